from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import duckdb
import hypothesis.strategies as st
import polars as pl
import pytest
from hypothesis import given, settings
from polars.testing import assert_frame_equal

from conviction.errors import BarsError, FrameError, ParameterError
from conviction.frames import UTC as UTC_DTYPE
from conviction.frames import check_panel
from conviction.market import INTRADAY_KEY, bar_grid, resample_bars

# A full session in summer time, an early close, and a full session in winter time.
OPENS = {date(2024, 7, 2): (13, 30, 390), date(2024, 7, 3): (13, 30, 210), date(2024, 12, 2): (14, 30, 390)}


@st.composite
def minute_bars(draw):
    rows = []
    for symbol in "AB":
        for day, (hour, minute, length) in OPENS.items():
            opened = datetime(day.year, day.month, day.day, hour, minute, tzinfo=UTC)
            for m in sorted(draw(st.sets(st.integers(1, length), max_size=25))):
                low, spread = draw(st.integers(10, 20)), draw(st.integers(0, 5))
                rows.append(
                    (
                        symbol,
                        day,
                        opened + timedelta(minutes=m),
                        low + spread * 0.5,
                        low + spread,
                        low,
                        low + spread * 0.25,
                        float(m % 7),
                    )
                )
    schema = {"symbol": pl.String, "session": pl.Date, "bar_end": UTC_DTYPE} | dict.fromkeys(
        ["open", "high", "low", "close", "volume"], pl.Float64
    )
    return pl.DataFrame(rows, schema=schema, orient="row")


@settings(max_examples=60, deadline=None)
@given(minute_bars().filter(lambda f: f.height > 0), st.sampled_from([1, 5, 7, 10, 60, 390]))
def test_longer_bars_are_the_sql_aggregates_over_the_grid(bars, minutes):
    got = resample_bars(bars, minutes=minutes, calendar="XNYS")
    check_panel(got, name="bars", key=INTRADAY_KEY)
    with duckdb.connect() as sql:
        sql.execute("set timezone = 'UTC'")
        sql.register("bars", bars.to_arrow())
        sql.register("grid", bar_grid("XNYS", bars["session"], minutes=minutes).to_arrow())
        expected = sql.execute("""
            select symbol, b.session, epoch_us(g.bar_end), arg_min(open, b.bar_end), max(high), min(low), arg_max(close, b.bar_end), sum(volume)
            from bars b join grid g on b.session = g.session and b.bar_end > g.bar_start and b.bar_end <= g.bar_end
            group by 1, 2, 3 order by 1, 2, 3
        """).fetchall()
    assert got.with_columns(pl.col("bar_end").dt.epoch("us")).rows() == expected
    assert got["volume"].sum() == bars["volume"].sum()


@settings(max_examples=40, deadline=None)
@given(minute_bars().filter(lambda f: f.height > 3), st.sampled_from([5, 10, 60]), st.data())
def test_a_bar_is_made_of_what_happened_before_its_end(bars, minutes, data):
    whole = resample_bars(bars, minutes=minutes, calendar="XNYS")
    cut = data.draw(st.sampled_from(whole["bar_end"].unique().sort().to_list()))
    earlier = resample_bars(bars.filter(pl.col("bar_end") <= cut), minutes=minutes, calendar="XNYS")
    assert_frame_equal(earlier, whole.filter(pl.col("bar_end") <= cut))


@settings(max_examples=30, deadline=None)
@given(minute_bars().filter(lambda f: f.height > 0), st.sampled_from([(5, 10), (5, 60), (10, 60)]))
def test_bars_of_bars_are_bars(bars, lengths):
    short, long = lengths
    direct = resample_bars(bars, minutes=long, calendar="XNYS")
    assert_frame_equal(
        resample_bars(resample_bars(bars, minutes=short, calendar="XNYS"), minutes=long, calendar="XNYS"), direct
    )


def test_the_grid_ends_at_each_close():
    grid = bar_grid("XNYS", pl.Series(list(OPENS)), minutes=60)
    assert grid.group_by("session", maintain_order=True).agg(pl.len())["len"].to_list() == [7, 4, 7]
    last = grid.group_by("session", maintain_order=True).agg(pl.col("bar_end").max())["bar_end"].to_list()
    assert last == [
        datetime(2024, 7, 2, 20, tzinfo=UTC),
        datetime(2024, 7, 3, 17, tzinfo=UTC),
        datetime(2024, 12, 2, 21, tzinfo=UTC),
    ]
    assert ((grid["bar_end"] - grid["bar_start"]).dt.total_minutes() <= 60).all()
    assert bar_grid("XNYS", pl.Series([date(2024, 7, 2)]), minutes=5).height == 78


def test_bars_outside_the_session_are_refused():
    row = {"symbol": ["A"], "session": [date(2024, 7, 3)], "close": [1.0]}
    for end in (datetime(2024, 7, 3, 13, 30, tzinfo=UTC), datetime(2024, 7, 3, 17, 1, tzinfo=UTC)):
        frame = pl.DataFrame({**row, "bar_end": [end]}, schema_overrides={"bar_end": UTC_DTYPE})
        with pytest.raises(BarsError, match="1 minute bars lie outside their session"):
            resample_bars(frame, minutes=5, calendar="XNYS")
    with pytest.raises(FrameError, match="bar_end"):
        resample_bars(pl.DataFrame(row), minutes=5, calendar="XNYS")


@pytest.mark.parametrize("minutes", [0, -5, 2.5, True, 5000])
def test_a_length_that_is_none_is_refused(minutes):
    with pytest.raises(ParameterError, match="length of a bar"):
        bar_grid("XNYS", pl.Series([date(2024, 7, 3)]), minutes=minutes)


def test_the_grid_of_a_holiday_is_an_error():
    with pytest.raises(BarsError, match="not sessions of XNYS"):
        bar_grid("XNYS", pl.Series([date(2024, 7, 4)]), minutes=5)
