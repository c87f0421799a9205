"""`audit_dataset` from outside: what it reads, what it says, what it never does."""

from __future__ import annotations

import json

import numpy as np
import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from conviction.audit import AuditReport, audit_dataset
from conviction.audit.data import DATA_CHECKS, dataset_fingerprint
from conviction.errors import AuditError
from conviction.testing import make_clean_dataset, plant_leak


@pytest.fixture(scope="module")
def clean(embedded_bars):
    return make_clean_dataset(embedded_bars, seed=4, n_symbols=6, n_sessions=260)


@pytest.fixture(scope="module")
def bare(clean):
    """Prices and targets only: fast to audit."""
    return clean.frame.select("symbol", "date", "close", "^target_.*$", "direction")


def errors(report: AuditReport, check: str = "") -> list:
    return [f for f in report.findings if f.severity == "error" and f.check.startswith(check)]


def test_pandas_and_polars_give_the_same_report(bare):
    spoilt = bare.with_columns(target_5d=-pl.col("target_5d"))
    ours, theirs = audit_dataset(spoilt), audit_dataset(spoilt.to_pandas())
    assert ours.findings == theirs.findings
    assert errors(ours)[0].columns == ("target_5d",)


def test_the_frame_is_never_changed(clean):
    frame = clean.frame.to_pandas()
    before = frame.copy(deep=True)
    audit_dataset(frame, sources=clean.sources)
    assert frame.equals(before)
    assert list(frame.columns) == list(before.columns)


def test_the_report_survives_json(bare):
    report = audit_dataset(bare)
    again = AuditReport.from_dict(json.loads(json.dumps(report.to_dict())))
    assert again.verdict == report.verdict == "pass"
    assert {c.name for c in report.checks} == {c.name for c in DATA_CHECKS}


def test_the_same_dataset_gives_the_same_bytes(bare):
    def text() -> str:
        plain = audit_dataset(bare).to_dict()
        for check in plain["checks"]:
            check["seconds"] = 0
        return json.dumps(plain)

    assert text() == text()


def test_targets_agree_with_a_slow_loop(bare):
    """The verdict on targets follows a loop over rows that shares no code with the check."""
    rows = {(s, d): c for s, d, c in bare.select("symbol", "date", "close").iter_rows()}
    days = sorted({d for _, d in rows})
    for horizon in (1, 5):
        wrong = 0
        for symbol, day, value in bare.select("symbol", "date", f"target_{horizon}d").iter_rows():
            at = days.index(day) + horizon
            expected = rows[symbol, days[at]] / rows[symbol, day] - 1 if at < len(days) else None
            wrong += (value is None) != (expected is None) or (value is not None and abs(value - expected) > 1e-9)
        assert wrong == 0
    assert errors(audit_dataset(bare), "labels") == []


@pytest.mark.parametrize(
    ("change", "matches"),
    [
        (pl.col("close") / pl.col("close").shift(3).over("symbol") - 1, "same_day"),
        (pl.col("target_3d").shift(1).over("symbol"), "lagged_1"),
        (pl.col("target_3d").shift(-1).over("symbol"), "ahead_1"),
        (pl.col("close").shift(-4).over("symbol") / pl.col("close") - 1, "horizon_4"),
        (-pl.col("target_3d"), "inverted"),
    ],
)
def test_a_wrong_target_is_named_by_what_it_is(bare, change, matches):
    (finding, *_) = errors(audit_dataset(bare.with_columns(target_3d=change)), "labels.recomputed")
    assert finding.columns == ("target_3d",)
    assert finding.evidence["matches"] == matches


@pytest.mark.parametrize("change", [pl.col("target_3d").log1p(), 100 * pl.col("target_3d")])
def test_another_unit_is_no_accusation(bare, change):
    report = audit_dataset(bare.with_columns(target_3d=change))
    assert report.verdict == "pass"
    assert [f.severity for f in report.findings if f.columns == ("target_3d",)] == ["info"]


def test_aliases_and_named_targets(bare):
    frame = bare.rename({"symbol": "Ticker", "date": "Date", "close": "Adj Close", "direction": "target_next_day"})
    report = audit_dataset(frame.with_columns(target_next_day=1 - pl.col("target_next_day")))
    assert errors(report)[0].columns == ("target_next_day",)
    renamed = bare.rename({"target_5d": "outcome"}).with_columns(outcome=-pl.col("outcome"))
    named = audit_dataset(renamed, targets={"outcome": 5})
    assert errors(named, "labels.recomputed")[0].columns == ("outcome",)


def test_without_prices_the_report_says_what_it_could_not_do(bare):
    report = audit_dataset(bare.drop("close"))
    skipped = {c.name: c.skipped for c in report.checks if c.skipped}
    assert "no close" in skipped["labels.recomputed"]
    assert report.verdict == "pass"


def test_direction_is_checked_against_its_return_without_prices(bare):
    flipped = bare.drop("close").with_columns(direction=1 - pl.col("direction"))
    assert errors(audit_dataset(flipped), "labels.consistency")[0].columns == ("direction",)


def test_rows_in_any_order_are_judged_alike(bare):
    shuffled = bare.sample(fraction=1.0, shuffle=True, seed=1)
    report = audit_dataset(shuffled)
    assert errors(report) == []
    assert any(f.check == "rows.sorted" for f in report.findings)


@pytest.mark.parametrize(
    ("frame", "message"),
    [
        (pl.DataFrame({"symbol": ["A"], "close": [1.0]}), "no date column"),
        (pl.DataFrame(schema={"symbol": pl.String, "date": pl.Date}), "no rows"),
        (pl.DataFrame({"symbol": ["A"], "date": ["soon"]}), "cannot be read as dates"),
        ([1, 2], "is not a frame"),
    ],
)
def test_unusable_input_says_why(frame, message):
    with pytest.raises(AuditError, match=message):
        audit_dataset(frame)


def test_unknown_sources_and_targets_are_refused(bare):
    with pytest.raises(AuditError, match="unknown source"):
        audit_dataset(bare, sources={"markets": bare})
    with pytest.raises(AuditError, match="named targets are not in the dataset"):
        audit_dataset(bare, targets={"nothing": 1})


def test_the_fingerprint_sees_a_changed_value_and_the_order(bare):
    assert dataset_fingerprint(bare) == dataset_fingerprint(bare.to_pandas().assign(date=bare["date"].to_list()))
    assert dataset_fingerprint(bare) != dataset_fingerprint(bare.reverse())


def test_evidence_adds_up_to_the_confidence(bare):
    quality = audit_dataset(bare).quality
    total = 1.0 + sum(e["contribution"] for e in quality["evidence"])
    assert quality["real_data_confidence"] == pytest.approx(1 / (1 + np.exp(-total)), abs=1e-3)
    assert quality["real_data_confidence"] > 0.8


def test_the_case_that_started_it_all_is_no_market_data(clean):
    case = plant_leak(clean, "price_rows_not_of_these_prices", seed=0)
    report = audit_dataset(case.frame)
    assert errors(report, "prices.real_data")
    assert report.quality["real_data_confidence"] < 0.1
    assert {c for f in errors(report, "labels") for c in f.columns} >= {"target_1d", "target_3d", "target_5d"}


@given(scale=st.floats(0.01, 100.0), shift=st.integers(0, 3), seed=st.integers(0, 50))
@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_an_affine_copy_of_the_next_return_is_always_found(bare, scale, shift, seed):
    name = f"factor_{seed:02d}"
    frame = bare.with_columns((scale * pl.col("target_1d") + shift).alias(name))
    assert (name,) in [f.columns for f in errors(audit_dataset(frame))]
