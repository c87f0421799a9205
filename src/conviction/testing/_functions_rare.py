"""Leaks that show only sometimes: in one symbol, on some days, after large moves, in long frames, between calls."""

from __future__ import annotations

from datetime import date
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from conviction.testing._leaky_functions import specimen

if TYPE_CHECKING:
    import pandas as pd

_CLOSE = pl.col("close")
_AHEAD = _CLOSE.shift(-1) / _CLOSE - 1
_BEHIND = _CLOSE / _CLOSE.shift(1) - 1
_DAY = pl.col("date").cast(pl.Date)


def _when(bars: pl.DataFrame, condition: pl.Expr, *, leaky: bool) -> pl.DataFrame:
    value = pl.when(condition).then(_AHEAD if leaky else 2 * _BEHIND).otherwise(_BEHIND)
    return bars.select("symbol", "date", value.over("symbol").alias("x"))


_CONDITIONS: dict[str, pl.Expr] = {
    "one_symbol": pl.col("symbol").str.slice(0, 1) == "A",
    "one_symbol_in_one_week": (pl.col("symbol").str.slice(0, 1) == "A")
    & (date(2021, 5, 3) <= _DAY)
    & (date(2021, 5, 7) >= _DAY),
    "fridays": _DAY.dt.weekday() == 5,
    "after_a_date": date(2022, 6, 1) <= _DAY,
    "one_month": (date(2021, 3, 1) <= _DAY) & (date(2021, 4, 1) > _DAY),
    "after_high_volume": pl.col("volume") > 2.0 * pl.col("volume").rolling_mean(20),
    "month_end": _DAY.dt.day() >= 28,
}


def _register_conditions() -> None:
    for name, condition in _CONDITIONS.items():
        for leaky in (True, False):

            def function(bars: pl.DataFrame, condition: pl.Expr = condition, leaky: bool = leaky) -> pl.DataFrame:
                return _when(bars, condition, leaky=leaky)

            specimen(f"only_{name}", "polars", leaky=leaky)(function)


_register_conditions()


@specimen("large_moves", "polars", leaky=True)
def _(bars: pl.DataFrame) -> pl.DataFrame:
    return bars.select("symbol", "date", x=pl.when(_AHEAD.abs() > 0.15).then(1.0).otherwise(0.0).over("symbol"))


@specimen("large_moves", "polars", leaky=False)
def _(bars: pl.DataFrame) -> pl.DataFrame:
    return bars.select("symbol", "date", x=pl.when(_BEHIND.abs() > 0.15).then(1.0).otherwise(0.0).over("symbol"))


@specimen("long_frames", "pandas", leaky=True)
def _(bars: pd.DataFrame) -> pd.DataFrame:
    close = bars.groupby("symbol")["close"]
    shift = -1 if len(bars) > 3000 else 1
    return bars[["symbol", "date"]].assign(x=close.shift(shift))


@specimen("long_frames", "pandas", leaky=False)
def _(bars: pd.DataFrame) -> pd.DataFrame:
    return bars[["symbol", "date"]].assign(x=bars.groupby("symbol")["close"].shift(1))


@specimen("newest_date", "pandas", leaky=True)
def _(bars: pd.DataFrame) -> pd.DataFrame:
    newest = bars["date"].max()
    final = bars[bars["date"] == newest].set_index("symbol")["close"]
    return bars[["symbol", "date"]].assign(x=bars["close"] / bars["symbol"].map(final))


@specimen("newest_date", "pandas", leaky=False)
def _(bars: pd.DataFrame) -> pd.DataFrame:
    oldest = bars["date"].min()
    first = bars[bars["date"] == oldest].set_index("symbol")["close"]
    return bars[["symbol", "date"]].assign(x=bars["close"] / bars["symbol"].map(first))


_FITTED: dict[str, float] = {}


@specimen("fitted_on_first_call", "pandas", leaky=True)
def _(bars: pd.DataFrame) -> pd.DataFrame:
    if not _FITTED:
        _FITTED.update(mean=float(bars["close"].mean()), std=float(bars["close"].std()))
    return bars[["symbol", "date"]].assign(x=(bars["close"] - _FITTED["mean"]) / _FITTED["std"])


@specimen("fitted_on_first_call", "pandas", leaky=False)
def _(bars: pd.DataFrame) -> pd.DataFrame:
    constants = {"mean": 100.0, "std": 50.0}
    return bars[["symbol", "date"]].assign(x=(bars["close"] - constants["mean"]) / constants["std"])


_SEEN: dict[Any, float] = {}
_PAST: dict[Any, float] = {}


@specimen("remembers_prices", "pandas", leaky=True)
def _(bars: pd.DataFrame) -> pd.DataFrame:
    for symbol, rows in bars.groupby("symbol"):
        _SEEN.update({(symbol, i): close for i, close in enumerate(rows["close"])})
    place = bars.groupby("symbol").cumcount()
    ahead = [_SEEN.get((symbol, i + 1), np.nan) for symbol, i in zip(bars["symbol"], place, strict=True)]
    return bars[["symbol", "date"]].assign(x=ahead)


@specimen("remembers_prices", "pandas", leaky=False)
def _(bars: pd.DataFrame) -> pd.DataFrame:
    for symbol, rows in bars.groupby("symbol"):
        _PAST.update({(symbol, i): close for i, close in enumerate(rows["close"])})
    place = bars.groupby("symbol").cumcount()
    behind = [_PAST.get((symbol, i - 1), np.nan) for symbol, i in zip(bars["symbol"], place, strict=True)]
    return bars[["symbol", "date"]].assign(x=behind)


@specimen("seeded_by_the_sample", "pandas", leaky=True)
def _(bars: pd.DataFrame) -> pd.DataFrame:
    rng = np.random.default_rng(int(bars["close"].sum() * 100))
    return bars[["symbol", "date"]].assign(x=bars["close"] + rng.normal(size=len(bars)))


@specimen("seeded_by_the_sample", "pandas", leaky=False)
def _(bars: pd.DataFrame) -> pd.DataFrame:
    noise = bars.groupby("symbol")["close"].transform(lambda close: np.random.default_rng(3).normal(size=len(close)))
    return bars[["symbol", "date"]].assign(x=bars["close"] + noise)


@specimen("sector_of_tomorrow", "pandas", leaky=True)
def _(bars: pd.DataFrame) -> pd.DataFrame:
    """Read the next session of the other symbols only."""
    moves = bars.groupby("symbol")["close"].pct_change()
    total = moves.groupby(bars["date"]).transform("sum")
    others = (total - moves).groupby(bars["symbol"]).shift(-1)
    return bars[["symbol", "date"]].assign(x=others)


@specimen("sector_of_tomorrow", "pandas", leaky=False)
def _(bars: pd.DataFrame) -> pd.DataFrame:
    moves = bars.groupby("symbol")["close"].pct_change()
    total = moves.groupby(bars["date"]).transform("sum")
    return bars[["symbol", "date"]].assign(x=total - moves)


@specimen("sparse_events", "pandas", leaky=True)
def _(bars: pd.DataFrame) -> pd.DataFrame:
    """Fill the rows between events from the next event."""
    peak = bars.groupby("symbol")["close"].transform(lambda close: close == close.rolling(60).max())
    return bars[["symbol", "date"]].assign(x=bars["close"].where(peak).groupby(bars["symbol"]).bfill())


@specimen("sparse_events", "pandas", leaky=False)
def _(bars: pd.DataFrame) -> pd.DataFrame:
    peak = bars.groupby("symbol")["close"].transform(lambda close: close == close.rolling(60).max())
    return bars[["symbol", "date"]].assign(x=bars["close"].where(peak).groupby(bars["symbol"]).ffill())


@specimen("indexed_result", "pandas", leaky=False)
def _(bars: pd.DataFrame) -> pd.DataFrame:
    return bars.set_index(["symbol", "date"])[["close"]].groupby(level="symbol").pct_change()


@specimen("one_hot_months", "pandas", leaky=False)
def _(bars: pd.DataFrame) -> pd.DataFrame:
    import pandas as pd

    month = pd.to_datetime(bars["date"]).dt.month
    return pd.concat([bars[["symbol", "date"]], pd.get_dummies(month, prefix="month")], axis=1)


@specimen("nullable_dtypes", "pandas", leaky=False)
def _(bars: pd.DataFrame) -> pd.DataFrame:
    moves = bars.groupby("symbol")["close"].pct_change()
    return bars[["symbol", "date"]].assign(
        x=moves.astype("Float64"), y=(moves > 0).astype("boolean"), z=moves.astype("float32")
    )


@specimen("shuffled_rows", "pandas", leaky=False)
def _(bars: pd.DataFrame) -> pd.DataFrame:
    moves = bars.groupby("symbol")["close"].pct_change()
    return bars[["symbol", "date"]].assign(x=moves).sample(frac=1.0, random_state=1)
