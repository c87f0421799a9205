"""Everything that is wrong with a request is said, and nothing wrong is answered."""

from __future__ import annotations

from datetime import UTC, date, datetime

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from conviction.errors import RequestError
from conviction.serving import RequestContract, check_request

SYMBOLS = ("A", "B", "C")
CONTRACT = RequestContract(
    certificate_sha="c" * 64,
    code_sha="d" * 64,
    features=("x", "y"),
    may_be_missing=("y",),
    symbols=SYMBOLS,
    last_fitted=date(2024, 3, 4),
    calendar="XNYS",
    decision="close",
    max_age_sessions=2,
)
TUESDAY_NIGHT = datetime(2024, 3, 5, 23, tzinfo=UTC)


def session(day="2024-03-05", **changes):
    frame = {"symbol": list(SYMBOLS), "session": [day] * 3, "x": [0.1, 0.2, 0.3], "y": [1.0, None, 3.0]}
    return pl.DataFrame(frame | changes)


def check(rows, *, sha="c" * 64, now=TUESDAY_NIGHT):
    return check_request(rows, CONTRACT, certificate_sha=sha, now=now)


def test_a_whole_session_passes_and_comes_back_typed_and_sorted():
    got = check(session().reverse())
    assert got["symbol"].to_list() == ["A", "B", "C"]
    assert got.schema == {"symbol": pl.String, "session": pl.Date, "x": pl.Float32, "y": pl.Float32}
    assert got["y"].to_list() == [1.0, None, 3.0]


@pytest.mark.parametrize(
    ("rows", "reason"),
    [
        (session().head(2), "a partial session: 2 of 3 symbols, missing C"),
        (session(symbol=["A", "B", "Z"]), "unknown symbols Z"),
        (session(symbol=["A", "B", "B"]), "repeated symbols B"),
        (session(symbol=["A", "B", None]), "1 rows without a symbol"),
        (session().drop("x"), "missing columns x"),
        (session(z=[1.0, 1.0, 1.0]), "unknown columns z"),
        (session(x=["a", "b", "c"]), "columns without numbers x"),
        (session(x=[0.1, None, 0.3]), r"missing values \(NaN\) in x"),
        (session(x=[0.1, float("nan"), 0.3]), r"missing values \(NaN\) in x"),
        (session(x=[0.1, float("inf"), 0.3]), "infinite values in x"),
        (session("2024-03-04"), "a stale session: the model was fitted on labels up to 2024-03-04"),
        (session("2024-03-06"), "a future session: the decision of 2024-03-06 is made at 2024-03-06 21:00 UTC"),
        (session("2024-03-09"), "2024-03-09 is no session of XNYS"),
        (session("soon"), "no session as YYYY-MM-DD"),
        (session(session=["2024-03-05", "2024-03-05", "2024-03-06"]), "2 sessions in one request"),
    ],
)
def test_what_is_wrong_is_said(rows, reason):
    with pytest.raises(RequestError, match=reason):
        check(rows)


def test_a_certificate_of_other_features_is_refused_and_so_is_none():
    with pytest.raises(RequestError, match="certificate dddddddddddd, the model was fitted under cccccccccccc"):
        check(session(), sha="d" * 64)
    with pytest.raises(RequestError, match=r"no certificate"):
        check(session(), sha="")


@pytest.mark.parametrize(
    ("now", "answered"),
    [
        ("2024-03-05T20:59+00:00", False),
        ("2024-03-05T21:00+00:00", True),
        ("2024-03-07T20:59+00:00", True),
        ("2024-03-08T20:59+00:00", True),
        ("2024-03-08T21:00+00:00", False),
    ],
)
def test_a_session_may_be_asked_from_its_decision_until_it_is_too_old(now, answered):
    """The close of New York is 21:00 UTC in early March; two sessions may end after the one that is asked."""
    moment = datetime.fromisoformat(now)
    if answered:
        check(session(), now=moment)
    else:
        with pytest.raises(RequestError, match=r"a (future|stale) session"):
            check(session(), now=moment)


def test_everything_wrong_is_said_at_once():
    with pytest.raises(RequestError) as refused:
        check(session("2024-03-06", symbol=["A", "B", "Z"], x=[None, 1.0, 1.0]))
    for reason in ("unknown symbols Z", "a partial session", "a future session", "missing values (NaN) in x"):
        assert reason in str(refused.value)


@given(st.permutations(SYMBOLS), st.lists(st.floats(-1e6, 1e6, width=32), min_size=3, max_size=3))
def test_any_finite_whole_session_passes_with_its_bits(symbols, values):
    got = check(session(symbol=list(symbols), x=values))
    assert dict(zip(got["symbol"], got["x"], strict=True)) == dict(zip(symbols, values, strict=True))


def test_the_contract_survives_json():
    import json

    assert RequestContract.from_dict(json.loads(json.dumps(CONTRACT.to_dict()))) == CONTRACT
