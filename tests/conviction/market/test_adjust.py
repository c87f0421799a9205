from __future__ import annotations

from datetime import date, timedelta

import hypothesis.strategies as st
import polars as pl
import pytest
from hypothesis import given, settings
from polars.testing import assert_frame_equal

from conviction.errors import BarsError, FrameError, PointInTimeError
from conviction.market import adjust_bars, exchange_sessions, inspect_splits

SESSIONS = exchange_sessions("XNYS", date(2024, 6, 24), date(2024, 7, 19)).to_list()
DAYS = [SESSIONS[0] + timedelta(days=d) for d in range(-3, 30)]


def bars_of(symbols="AB"):
    rows = []
    for i, symbol in enumerate(symbols):
        for t, session in enumerate(SESSIONS):
            close = 100.0 * (i + 1) + 3.0 * ((t * 7) % 5)
            rows.append((symbol, session, close - 1, close + 2, close - 2, close, 1000.0 + t))
    return pl.DataFrame(rows, schema=["symbol", "session", "open", "high", "low", "close", "volume"], orient="row")


def splits_of(*events):
    schema = {"symbol": pl.String, "execution_date": pl.Date, "split_from": pl.Float64, "split_to": pl.Float64}
    return pl.DataFrame(list(events), schema=schema, orient="row")


def dividends_of(*events):
    schema = {"symbol": pl.String, "ex_dividend_date": pl.Date, "cash_amount": pl.Float64}
    return pl.DataFrame(list(events), schema=schema, orient="row")


def slow_adjust(bars, splits, dividends, as_of):
    """The definition: one bar, one event at a time."""
    rows = [r for r in bars.iter_rows(named=True) if r["session"] <= as_of]
    out = []
    for row in rows:
        split = dividend = 1.0
        for symbol, day, old, new in splits.rows():
            if symbol == row["symbol"] and row["session"] < day <= as_of:
                split *= old / new
        for day in sorted({d for s, d, _ in dividends.rows() if s == row["symbol"]}):
            if not row["session"] < day <= as_of:
                continue
            cash = sum(c for s, d, c in dividends.rows() if s == row["symbol"] and d == day)
            before = [r for r in rows if r["symbol"] == row["symbol"] and r["session"] < day]
            basis = 1.0
            for symbol, executed, old, new in splits.rows():
                if symbol == row["symbol"] and before[-1]["session"] < executed <= day:
                    basis *= old / new
            dividend *= 1.0 - cash / (before[-1]["close"] * basis)
        prices = {c: row[c] * split * dividend for c in ("open", "high", "low", "close")}
        out.append(row | prices | {"volume": row["volume"] / split})
    return pl.DataFrame(out, schema=bars.schema)


EVENTS = st.tuples(
    st.lists(
        st.tuples(
            st.sampled_from("ABC"), st.sampled_from(DAYS), st.sampled_from([1.0, 2.0]), st.sampled_from([1.0, 3.0, 4.0])
        ),
        max_size=5,
        unique_by=lambda e: e[:2],
    ),
    st.lists(st.tuples(st.sampled_from("ABC"), st.sampled_from(DAYS), st.sampled_from([0.0, 0.5, 2.25])), max_size=6),
)


@settings(max_examples=120, deadline=None)
@given(EVENTS, st.sampled_from(SESSIONS))
def test_adjustment_is_the_slow_definition(events, as_of):
    splits, dividends = splits_of(*events[0]), dividends_of(*events[1])
    got = adjust_bars(bars_of(), splits, dividends, as_of=as_of)
    assert_frame_equal(got, slow_adjust(bars_of(), splits, dividends, as_of), rel_tol=1e-12)


@settings(max_examples=80, deadline=None)
@given(EVENTS, st.sampled_from(SESSIONS), st.sampled_from(SESSIONS))
def test_returns_known_on_a_day_do_not_change_with_what_came_later(events, one, other):
    splits, dividends = splits_of(*events[0]), dividends_of(*events[1])
    day, later = sorted((one, other))
    then = adjust_bars(bars_of(), splits, dividends, as_of=day)
    now = adjust_bars(bars_of(), splits, dividends, as_of=later).filter(pl.col("session") <= day)
    value = pl.col("close") / pl.col("close").shift(1).over("symbol"), (pl.col("high") / pl.col("low")).alias("range")
    assert_frame_equal(then.select(*value), now.select(*value), rel_tol=1e-12)


@settings(max_examples=50, deadline=None)
@given(EVENTS, st.sampled_from(SESSIONS))
def test_an_event_after_the_day_changes_nothing_and_the_last_price_is_the_price_paid(events, as_of):
    splits, dividends = splits_of(*events[0]), dividends_of(*events[1])
    known = splits.filter(pl.col("execution_date") <= as_of), dividends.filter(pl.col("ex_dividend_date") <= as_of)
    got = adjust_bars(bars_of(), splits, dividends, as_of=as_of)
    assert_frame_equal(got, adjust_bars(bars_of(), *known, as_of=as_of))
    today = pl.col("session") == as_of
    assert_frame_equal(got.filter(today), bars_of().filter(today))


def test_a_join_that_applies_all_factors_at_once_would_show_the_future_in_levels():
    splits = splits_of(("A", SESSIONS[10], 1.0, 4.0))
    honest = adjust_bars(bars_of("A"), splits, None, as_of=SESSIONS[5])["close"]
    leaky = adjust_bars(bars_of("A"), splits, None, as_of=SESSIONS[-1]).filter(pl.col("session") <= SESSIONS[5])[
        "close"
    ]
    assert honest.to_list() == bars_of("A")["close"].head(6).to_list()
    assert leaky.to_list() == pytest.approx([c / 4 for c in honest])


def test_a_known_total_return_comes_out():
    bars = pl.DataFrame({"symbol": ["A", "A"], "session": SESSIONS[:2], "close": [50.0, 49.0], "volume": [10.0, 10.0]})
    adjusted = adjust_bars(bars, None, dividends_of(("A", SESSIONS[1], 2.0)), as_of=SESSIONS[1])
    assert adjusted["close"].to_list() == pytest.approx([48.0, 49.0])
    assert adjusted["volume"].to_list() == [10.0, 10.0]


def test_a_split_and_a_dividend_on_one_day_use_the_new_share_basis():
    bars = pl.DataFrame({"symbol": ["A", "A"], "session": SESSIONS[:2], "close": [400.0, 99.0]})
    adjusted = adjust_bars(
        bars, splits_of(("A", SESSIONS[1], 1.0, 4.0)), dividends_of(("A", SESSIONS[1], 1.0)), as_of=SESSIONS[1]
    )
    assert adjusted["close"].to_list() == pytest.approx([99.0, 99.0])


@pytest.mark.parametrize(
    ("splits", "dividends", "message"),
    [
        (splits_of(("A", SESSIONS[3], 0.0, 2.0)), None, "splits has an impossible"),
        (splits_of(("A", SESSIONS[3], 1.0, 0.0)), None, "splits has an impossible"),
        (splits_of(("A", SESSIONS[3], 1.0, 2.0), ("A", SESSIONS[3], 1.0, 2.0)), None, "repeated"),
        (None, dividends_of(("A", SESSIONS[3], -0.5)), "dividends has an impossible"),
        (None, dividends_of(("A", SESSIONS[3], 500.0)), "dividends has an impossible"),
        (None, dividends_of(("A", SESSIONS[3], None)), "dividends has an impossible"),
    ],
)
def test_impossible_events_are_errors(splits, dividends, message):
    with pytest.raises(BarsError, match=message):
        adjust_bars(bars_of(), splits, dividends, as_of=SESSIONS[-1])


def test_frames_that_do_not_fit_are_errors():
    with pytest.raises(PointInTimeError, match="no bar was known"):
        adjust_bars(bars_of(), None, None, as_of=date(2000, 1, 1))
    with pytest.raises(FrameError, match="split_to"):
        adjust_bars(bars_of(), splits_of().drop("split_to"), None, as_of=SESSIONS[-1])


# --- do prices and the list of splits fit? ------------------------------------------------------------------------------------------


def raw_with_split(symbol="A", at=8, ratio=4.0):
    after = (pl.col("symbol") == symbol) & (pl.col("session") >= SESSIONS[at])
    return bars_of().with_columns(
        pl.when(after).then(pl.col(c) / ratio).otherwise(c).alias(c) for c in ("open", "high", "low", "close")
    )


@pytest.mark.parametrize("ratio", [1.5, 2.0, 4.0, 10.0, 0.1, 0.5])
def test_a_split_that_nobody_listed_is_found_and_its_clean_twin_is_silent(ratio):
    raw = bars_of().with_columns(close=100.0 + (pl.col("session").dt.day() % 3), open=101.0)
    after = (pl.col("symbol") == "A") & (pl.col("session") >= SESSIONS[8])
    split = raw.with_columns(pl.when(after).then(pl.col(c) / ratio).otherwise(c).alias(c) for c in ("open", "close"))
    found = inspect_splits(split, None).problems
    assert [(p.name, p.symbol, p.session, p.severity) for p in found] == [
        ("unlisted_split", "A", SESSIONS[8], "warning")
    ]
    assert inspect_splits(raw, None).problems == ()
    assert inspect_splits(split, splits_of(("A", SESSIONS[8], 1.0, ratio))).problems == ()


def test_prices_that_are_adjusted_already_are_not_adjusted_twice():
    listed = splits_of(("A", SESSIONS[8], 1.0, 4.0))
    assert inspect_splits(raw_with_split(), listed).problems == ()
    report = inspect_splits(bars_of(), listed)
    assert [(p.name, p.session) for p in report.errors] == [("already_adjusted", SESSIONS[8])]


def test_a_split_over_a_gap_shows_in_the_next_bar():
    gap = raw_with_split().filter(~((pl.col("symbol") == "A") & (pl.col("session") == SESSIONS[8])))
    assert inspect_splits(gap, splits_of(("A", SESSIONS[8], 1.0, 4.0))).problems == ()


def test_a_split_outside_the_bars_is_stated():
    report = inspect_splits(
        bars_of(),
        splits_of(("A", SESSIONS[0], 1.0, 2.0), ("B", date(2025, 1, 2), 1.0, 2.0), ("C", SESSIONS[4], 1.0, 2.0)),
    )
    assert [(p.name, p.symbol) for p in report.problems] == [("split_without_bars", s) for s in "ABC"]


def test_real_adjusted_prices_show_no_unlisted_split(market_dir):
    raw = pl.read_parquet(market_dir / "sp500_daily_2020_2024.parquet").rename({"date": "session"})
    # 12 single-day crashes are as large as a split; one of them stood at the open already.
    assert len(inspect_splits(raw.select("symbol", "session", "close"), None).problems) == 12
    assert [(p.symbol, p.session) for p in inspect_splits(raw, None).problems] == [("EOG", date(2020, 3, 9))]


def test_a_crash_during_the_session_is_no_split():
    crash = (
        bars_of()
        .with_columns(close=100.0, open=100.0)
        .with_columns(
            close=pl.when((pl.col("symbol") == "A") & (pl.col("session") >= SESSIONS[8])).then(50.0).otherwise("close")
        )
    )
    assert inspect_splits(crash, None).problems == ()
    assert inspect_splits(crash.drop("open"), None).names() == ("unlisted_split",)
