from __future__ import annotations

from datetime import UTC, date, datetime
from statistics import median

import duckdb
import hypothesis.strategies as st
import polars as pl
import pytest
from hypothesis import given, settings
from polars.testing import assert_frame_equal

from conviction.errors import FrameError, LabelError
from conviction.frames import UTC as UTC_DTYPE
from conviction.frames import check_panel
from conviction.labels import make_labels, target_name
from conviction.market import exchange_sessions
from conviction.panel import build_panel

SESSIONS = exchange_sessions("XNYS", date(2024, 6, 24), date(2024, 7, 19)).to_list()


def make_panel(frame, decision="close", membership=None):
    return build_panel(frame, calendar="XNYS", decision=decision, market=None, vix=None, membership=membership)


@st.composite
def panels(draw):
    """Up to five symbols with gaps, few distinct prices (so that ties and zero returns are common), some out of the universe."""
    rows = []
    for symbol in "ABCDE"[: draw(st.integers(1, 5))]:
        days = draw(st.sets(st.sampled_from(SESSIONS), min_size=1))
        for day in sorted(days):
            close, opened = draw(st.sampled_from([10.0, 10.5, 11.0, 12.0])), draw(st.sampled_from([10.0, 10.5, 11.0]))
            rows.append((symbol, day, opened, close, draw(st.booleans())))
    return pl.DataFrame(rows, schema=["symbol", "session", "open", "close", "member"], orient="row")


def slow_labels(frame, horizon, decision, calendar):
    """The definition, row by row."""
    price = {(r["symbol"], r["session"]): r for r in frame.iter_rows(named=True)}
    forward = {}
    for (symbol, day), row in price.items():
        at = calendar.index(day)
        end = price.get((symbol, calendar[at + horizon]))
        start = row["close"] if decision == "close" else price.get((symbol, calendar[at + 1]), {}).get("open")
        forward[symbol, day] = None if end is None or start is None else end["close"] / start - 1.0
    expected = []
    for (symbol, day), value in forward.items():
        members = [v for (s, d), v in forward.items() if d == day and v is not None and price[s, d]["member"]]
        direction = None if value is None else int(value > 0)
        relative = None
        if value is not None and price[symbol, day]["member"] and len(members) >= 2:
            relative = int(value > median(members))
        expected.append((symbol, day, value, direction, relative))
    return sorted(expected)


@settings(max_examples=150, deadline=None)
@given(panels(), st.integers(1, 6), st.sampled_from(["close", "before_next_open"]))
def test_labels_are_the_slow_definition(frame, horizon, decision):
    panel = make_panel(frame.drop("member"), decision).with_columns(in_universe=frame["member"])
    labels = make_labels(panel, calendar="XNYS", horizon=horizon, decision=decision)
    calendar = exchange_sessions("XNYS", date(2024, 6, 24), date(2024, 8, 30)).to_list()
    target = target_name(horizon)
    got = labels.select("symbol", "session", target, "direction", "relative").rows()
    assert got == slow_labels(frame, horizon, decision, calendar)


@settings(max_examples=60, deadline=None)
@given(panels(), st.integers(1, 6), st.sampled_from(["close", "before_next_open"]))
def test_spans_start_at_the_decision_and_end_later_for_every_row(frame, horizon, decision):
    panel = make_panel(frame.drop("member"), decision)
    labels = make_labels(panel, calendar="XNYS", horizon=horizon, decision=decision)
    check_panel(labels, name="labels")
    assert labels.select("symbol", "session").equals(panel.select("symbol", "session"))
    assert (labels["t0"] == panel["decision_at"]).all()
    assert (labels["t1"] > labels["t0"]).all()
    assert labels.select("t0", "t1").null_count().row(0) == (0, 0)
    assert dict(labels.schema) == {
        "symbol": pl.String, "session": pl.Date, target_name(horizon): pl.Float64,
        "direction": pl.Int8, "relative": pl.Int8, "t0": UTC_DTYPE, "t1": UTC_DTYPE,
    }  # fmt: skip


@settings(max_examples=60, deadline=None)
@given(panels(), st.integers(1, 3), st.integers(0, len(SESSIONS) - 1))
def test_the_past_does_not_move_a_label_and_the_future_beyond_its_span_does_not_either(frame, horizon, cut):
    panel = make_panel(frame.drop("member"))
    whole = make_labels(panel, calendar="XNYS", horizon=horizon, decision="close")
    later = panel.filter(pl.col("session") >= SESSIONS[cut])
    if not later.is_empty():
        labels = make_labels(later, calendar="XNYS", horizon=horizon, decision="close")
        assert_frame_equal(labels, whole.filter(pl.col("session") >= SESSIONS[cut]))
    earlier = panel.filter(pl.col("session") <= SESSIONS[cut])
    if not earlier.is_empty():
        labels = make_labels(earlier, calendar="XNYS", horizon=horizon, decision="close")
        ended = whole.filter(pl.col("t1") <= earlier["known_at"].max())
        assert_frame_equal(labels.join(ended.select("symbol", "session"), on=["symbol", "session"]), ended)


def test_real_prices_agree_with_sql(embedded_bars):
    labels = make_labels(make_panel(embedded_bars), calendar="XNYS", horizon=5, decision="close")
    with duckdb.connect() as sql:
        sql.register("bars", embedded_bars.to_arrow())
        expected = sql.execute("""
            with f as (select symbol, session, lead(close, 5) over (partition by symbol order by session) / close - 1 as target from bars)
            select symbol, session, target, (target > 0)::int, (target > median(target) over (partition by session))::int
            from f order by 1, 2
        """).fetchall()
    got = labels.select("symbol", "session", "target_5d", "direction", "relative")
    assert_frame_equal(got, pl.DataFrame(expected, schema=got.schema, orient="row"), rel_tol=1e-13)
    assert got["target_5d"].null_count() == 5 * 20
    assert 0.48 < got["relative"].mean() <= 0.5


def test_a_symbol_that_misses_the_next_session_has_no_label_although_it_trades_later():
    rows = [("A", d, 10.0 + t) for t, d in enumerate(SESSIONS[:6]) if t != 3] + [("B", d, 5.0) for d in SESSIONS[:6]]
    panel = make_panel(pl.DataFrame(rows, schema=["symbol", "session", "close"], orient="row"))
    labels = make_labels(panel, calendar="XNYS", horizon=1, decision="close").filter(pl.col("symbol") == "A")
    assert labels.filter(pl.col("direction").is_null())["session"].to_list() == [SESSIONS[2], SESSIONS[5]]


def test_over_a_holiday_the_span_is_one_session_and_two_days():
    rows = [("A", date(2024, 7, 3), 10.0, 10.0), ("A", date(2024, 7, 5), 12.0, 11.0)]
    frame = pl.DataFrame(rows, schema=["symbol", "session", "open", "close"], orient="row")
    at_close = make_labels(make_panel(frame), calendar="XNYS", horizon=1, decision="close").row(0, named=True)
    assert at_close["target_1d"] == pytest.approx(0.1)
    assert (at_close["t0"], at_close["t1"]) == (
        datetime(2024, 7, 3, 17, tzinfo=UTC),
        datetime(2024, 7, 5, 20, tzinfo=UTC),
    )
    at_open = make_labels(
        make_panel(frame, "before_next_open"), calendar="XNYS", horizon=1, decision="before_next_open"
    ).row(0, named=True)
    assert at_open["target_1d"] == pytest.approx(11 / 12 - 1)
    assert (at_open["t0"], at_open["t1"]) == (
        datetime(2024, 7, 5, 13, 30, tzinfo=UTC),
        datetime(2024, 7, 5, 20, tzinfo=UTC),
    )


def test_zero_returns_and_the_median_itself_are_zero():
    rows = [
        (s, d, p)
        for s, prices in (("A", (10, 10)), ("B", (10, 11)), ("C", (10, 9)))
        for d, p in zip(SESSIONS[:2], prices, strict=True)
    ]
    panel = make_panel(
        pl.DataFrame(rows, schema={"symbol": pl.String, "session": pl.Date, "close": pl.Float64}, orient="row")
    )
    first = make_labels(panel, calendar="XNYS", horizon=1, decision="close").filter(pl.col("session") == SESSIONS[0])
    assert first["direction"].to_list() == [0, 1, 0]
    assert first["relative"].to_list() == [0, 1, 0]


def test_labels_that_cannot_be_made_are_errors():
    frame = pl.DataFrame({"symbol": ["A"], "session": [SESSIONS[0]], "close": [1.0]})
    panel = make_panel(frame)
    for horizon in (0, -1, 1.0, True, "1"):
        with pytest.raises(LabelError, match="not a number of sessions"):
            make_labels(panel, calendar="XNYS", horizon=horizon, decision="close")
    with pytest.raises(LabelError, match="need the column 'open'"):
        make_labels(panel, calendar="XNYS", horizon=1, decision="before_next_open")
    with pytest.raises(LabelError, match="not built for decision='close'"):
        make_labels(make_panel(frame, "before_next_open"), calendar="XNYS", horizon=1, decision="close")
    with pytest.raises(FrameError, match="in_universe"):
        make_labels(panel.drop("in_universe"), calendar="XNYS", horizon=1, decision="close")


def test_inputs_are_not_changed():
    panel = make_panel(pl.DataFrame({"symbol": ["A"], "session": [SESSIONS[0]], "close": [1.0]}))
    before = panel.clone()
    make_labels(panel, calendar="XNYS", horizon=1, decision="close")
    assert_frame_equal(panel, before)
