"""Look-ahead of unknown definition, targets that nothing can check, and sessions that the file skips."""

from __future__ import annotations

import datetime as dt

import numpy as np
import polars as pl
import pytest

from conviction.audit import audit_dataset
from conviction.market import calendar_frame

CLOSE = pl.col("close")


def market(n: int = 320, width: int = 8, *, seed: int = 0) -> pl.DataFrame:
    """Return bars with one market in them: symbol, date, close and a one-session target."""
    rng = np.random.default_rng(seed)
    days = calendar_frame("XNYS")["session"].filter(calendar_frame("XNYS")["session"] >= dt.date(2020, 1, 2))[:n]
    size = np.exp(np.cumsum(rng.normal(0, 0.05, n)) * 0.5) * 0.008
    common = rng.standard_t(4, n) * size
    frames = []
    for symbol in range(width):
        moves = common + rng.standard_t(4, n) * size
        frames.append(pl.DataFrame({"symbol": f"S{symbol}", "date": days, "close": 50 * np.exp(np.cumsum(moves))}))
    return with_target(pl.concat(frames))


def with_target(frame: pl.DataFrame) -> pl.DataFrame:
    return frame.with_columns(target_1d=(CLOSE.shift(-1) / CLOSE - 1).over("symbol"))


def errors(frame: pl.DataFrame) -> dict[str, tuple[str, ...]]:
    return {f.check: f.columns for f in audit_dataset(frame).errors if not f.check.startswith("prices.")}


def countdown(frame: pl.DataFrame, event: pl.Expr) -> pl.DataFrame:
    """Add the sessions until the next event of the symbol."""
    marked = frame.with_columns(row=pl.int_range(pl.len()).over("symbol"), event=event)
    ahead = pl.when("event").then("row").backward_fill().over("symbol")
    return marked.with_columns(left=(ahead - pl.col("row")).cast(pl.Float64)).drop("row", "event")


def test_a_countdown_to_large_moves_knows_them():
    moves = (CLOSE / CLOSE.shift(1) - 1).over("symbol").abs()
    frame = countdown(market(), moves > 0.02)
    assert errors(frame) == {"future.countdown": ("left",)}


def test_a_countdown_to_announced_dates_is_honest():
    frame = countdown(
        market(), pl.int_range(pl.len()).over("symbol") % 21 == pl.col("symbol").str.slice(1).cast(pl.Int64)
    )
    assert errors(frame) == {}


@pytest.mark.parametrize(("ahead", "found"), [(-9, True), (0, False)])
def test_a_window_of_unknown_definition_is_seen_by_its_changes(ahead, found):
    common = pl.col("moves").mean().over("date")
    frame = (
        market()
        .with_columns(moves=(CLOSE / CLOSE.shift(1) - 1).over("symbol"))
        .with_columns(product=pl.col("moves") * common)
        .with_columns(mystery=pl.col("product").rolling_mean(12).shift(ahead).over("symbol"))
        .drop("moves", "product")
    )
    assert errors(frame) == ({"future.changes": ("mystery",)} if found else {})


def test_a_single_target_in_the_last_rows_is_a_warning_where_the_file_was_cut():
    frame = market().drop_nulls("target_1d")
    report = audit_dataset(frame)
    tails = [(f.check, f.severity) for f in report.findings if f.check == "labels.tail"]
    assert tails == [("labels.tail", "warning")]


@pytest.mark.parametrize("fill", ["zero", "mean", "carried"])
def test_a_filled_last_row_stays_an_error(fill):
    target = pl.col("target_1d")
    filled = {
        "zero": target.fill_null(0.0),
        "mean": target.fill_null(target.mean()).over("symbol"),
        "carried": target.forward_fill().over("symbol"),
    }
    assert errors(market().with_columns(filled[fill].alias("target_1d"))) == {"labels.tail": ("target_1d",)}


def test_targets_over_sessions_that_the_file_skips_are_not_accused():
    frame = market()
    days = frame["date"].unique().sort()
    gone = days[150:162]
    assert errors(frame.filter(~pl.col("date").is_in(gone.implode()))) == {}


def test_minutes_of_a_target_are_counted_in_bars():
    rng = np.random.default_rng(3)
    days = calendar_frame("XNYS")["session"].filter(calendar_frame("XNYS")["session"] >= dt.date(2024, 1, 2))[:8]
    moments = [dt.datetime.combine(d, dt.time(9, 35)) + dt.timedelta(minutes=5 * i) for d in days for i in range(78)]
    bars = pl.concat(
        pl.DataFrame(
            {"symbol": s, "bar_end": moments, "close": 100 * np.exp(np.cumsum(rng.normal(0, 1e-3, len(moments))))}
        )
        for s in "ABCD"
    )
    day = pl.col("bar_end").dt.date()
    honest = bars.with_columns(
        (CLOSE.shift(-k) / CLOSE - 1).over("symbol", day).alias(f"target_{5 * k}min") for k in (1, 2, 12)
    )
    assert errors(honest) == {}
    late = honest.with_columns(target_60min=pl.col("target_60min").shift(1).over("symbol", day))
    assert errors(late)["labels.recomputed"] == ("target_60min",)
