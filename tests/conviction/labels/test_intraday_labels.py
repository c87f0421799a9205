from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from statistics import median

import hypothesis.strategies as st
import polars as pl
import pytest
from hypothesis import given, settings
from polars.testing import assert_frame_equal

from conviction.errors import LabelError
from conviction.frames import UTC as UTC_DTYPE
from conviction.frames import check_panel
from conviction.labels import intraday_target_name, make_intraday_labels
from conviction.market import INTRADAY_KEY, bar_grid
from conviction.panel import build_intraday_panel

# The session before a holiday ends early; the one after is whole.
SESSIONS = pl.Series([date(2024, 7, 3), date(2024, 7, 5)])


@st.composite
def intraday_panels(draw, minutes):
    grid = bar_grid("XNYS", SESSIONS, minutes=minutes).rows(named=True)
    rows = []
    for symbol in "ABC":
        for place in draw(st.sets(st.integers(0, len(grid) - 1), min_size=1)):
            prices = draw(st.tuples(st.sampled_from([10.0, 11.0, 12.0]), st.sampled_from([10.0, 11.0])))
            rows.append((symbol, grid[place]["session"], grid[place]["bar_end"], *prices, draw(st.booleans())))
    schema = {
        "symbol": pl.String,
        "session": pl.Date,
        "bar_end": UTC_DTYPE,
        "open": pl.Float64,
        "close": pl.Float64,
        "in_universe": pl.Boolean,
    }
    frame = pl.DataFrame(rows, schema=schema, orient="row").sort(INTRADAY_KEY)
    return build_intraday_panel(frame.drop("in_universe"), membership=None).with_columns(frame["in_universe"])


def slow_labels(panel, minutes, horizon, decision):
    """The definition, bar by bar, on a grid counted in minutes from the open."""
    price = {(r["symbol"], r["bar_end"]): r for r in panel.iter_rows(named=True)}
    closes = {
        date(2024, 7, 3): datetime(2024, 7, 3, 17, tzinfo=UTC),
        date(2024, 7, 5): datetime(2024, 7, 5, 20, tzinfo=UTC),
    }

    def later(session, end, bars):
        for _ in range(bars):
            if end == closes[session]:
                return None
            end = min(end + timedelta(minutes=minutes), closes[session])
        return end

    forward = {}
    for (symbol, end), row in price.items():
        last = later(row["session"], end, horizon)
        following = later(row["session"], end, 1)
        start = row["close"] if decision == "close" else price.get((symbol, following), {}).get("open")
        reached = price.get((symbol, last))
        forward[symbol, end] = None if reached is None or start is None else reached["close"] / start - 1.0
    rows = []
    for (symbol, end), value in forward.items():
        members = [v for (s, e), v in forward.items() if e == end and v is not None and price[s, e]["in_universe"]]
        usable = value is not None and price[symbol, end]["in_universe"] and len(members) >= 2
        last = later(price[symbol, end]["session"], end, horizon) or closes[price[symbol, end]["session"]]
        rows.append(
            (
                symbol,
                end,
                value,
                None if value is None else int(value > 0),
                int(value > median(members)) if usable else None,
                end,
                last,
            )
        )
    return sorted(rows)


@settings(max_examples=60, deadline=None)
@given(
    st.sampled_from([30, 60]).flatmap(lambda m: st.tuples(st.just(m), intraday_panels(m))),
    st.integers(1, 4),
    st.sampled_from(["close", "before_next_open"]),
)
def test_intraday_labels_are_the_slow_definition(drawn, horizon, decision):
    minutes, panel = drawn
    labels = make_intraday_labels(panel, calendar="XNYS", minutes=minutes, horizon=horizon, decision=decision)
    check_panel(labels, name="labels", key=INTRADAY_KEY)
    target = intraday_target_name(minutes=minutes, horizon=horizon)
    got = labels.select("symbol", "bar_end", target, "direction", "relative", "t0", "t1").rows()
    assert got == slow_labels(panel, minutes, horizon, decision)
    assert (labels["t0"] == panel["decision_at"]).all()


def test_no_label_crosses_the_night():
    grid = bar_grid("XNYS", SESSIONS, minutes=5)
    bars = grid.select(pl.lit("A").alias("symbol"), "session", "bar_end", close=pl.lit(10.0), open=pl.lit(10.0))
    labels = make_intraday_labels(
        build_intraday_panel(bars, membership=None), calendar="XNYS", minutes=5, horizon=2, decision="close"
    )
    without = labels.filter(pl.col("direction").is_null())
    assert without.group_by("session").len()["len"].to_list() == [2, 2]
    assert (labels["t1"].dt.date() == labels["session"]).all()


def test_what_comes_after_the_span_changes_no_label():
    grid = bar_grid("XNYS", SESSIONS, minutes=30)
    bars = pl.concat(
        grid.select(pl.lit(s).alias("symbol"), "session", "bar_end", close=pl.int_range(pl.len()) * step % 7 + 10.0)
        for s, step in (("A", 3), ("B", 5))
    )
    panel = build_intraday_panel(bars, membership=None)
    kwargs = {"calendar": "XNYS", "minutes": 30, "horizon": 2, "decision": "close"}
    whole = make_intraday_labels(panel, **kwargs)
    for cut in grid["bar_end"].to_list()[3::4]:
        early = make_intraday_labels(panel.filter(pl.col("bar_end") <= cut), **kwargs)
        done = whole.filter(pl.col("t1") <= cut)
        assert_frame_equal(early.join(done.select(INTRADAY_KEY), on=INTRADAY_KEY), done)


def test_labels_that_cannot_be_made_are_errors():
    bars = bar_grid("XNYS", SESSIONS, minutes=5).select(
        pl.lit("A").alias("symbol"), "session", "bar_end", close=pl.lit(1.0)
    )
    panel = build_intraday_panel(bars, membership=None)
    kwargs = {"calendar": "XNYS", "minutes": 5, "horizon": 1, "decision": "close"}
    with pytest.raises(LabelError, match="not a number of sessions"):
        make_intraday_labels(panel, **kwargs | {"horizon": 0})
    with pytest.raises(LabelError, match="need the column 'open'"):
        make_intraday_labels(panel, **kwargs | {"decision": "before_next_open"})
    with pytest.raises(LabelError, match="do not end on the grid of 10 minutes"):
        make_intraday_labels(panel, **kwargs | {"minutes": 10})
