"""Feature functions in polars: the same kind of tricks, and honest functions of many shapes."""

from __future__ import annotations

import numpy as np
import polars as pl

from conviction.testing._leaky_functions import specimen

_CLOSE = pl.col("close")
_RETURN = _CLOSE / _CLOSE.shift(1) - 1


def _over(bars: pl.DataFrame, expression: pl.Expr) -> pl.DataFrame:
    return bars.select("symbol", "date", expression.over("symbol").alias("x"))


@specimen("polars_shift", "polars", leaky=True)
def _(bars: pl.DataFrame) -> pl.DataFrame:
    return _over(bars, _CLOSE.shift(-5) / _CLOSE - 1)


@specimen("polars_shift", "polars", leaky=False)
def _(bars: pl.DataFrame) -> pl.DataFrame:
    return _over(bars, _CLOSE / _CLOSE.shift(5) - 1)


@specimen("polars_centred", "polars", leaky=True)
def _(bars: pl.DataFrame) -> pl.DataFrame:
    return _over(bars, _CLOSE.rolling_std(21, center=True))


@specimen("polars_centred", "polars", leaky=False)
def _(bars: pl.DataFrame) -> pl.DataFrame:
    return _over(bars, _CLOSE.rolling_std(21))


@specimen("min_max_scaling", "polars", leaky=True)
def _(bars: pl.DataFrame) -> pl.DataFrame:
    return _over(bars, (_CLOSE - _CLOSE.min()) / (_CLOSE.max() - _CLOSE.min()))


@specimen("min_max_scaling", "polars", leaky=False)
def _(bars: pl.DataFrame) -> pl.DataFrame:
    return _over(bars, (_CLOSE - _CLOSE.cum_min()) / (_CLOSE.cum_max() - _CLOSE.cum_min()))


@specimen("pooled_scaling", "polars", leaky=True)
def _(bars: pl.DataFrame) -> pl.DataFrame:
    volume = pl.col("volume").log()
    return bars.select("symbol", "date", x=(volume - volume.mean()) / volume.std())


@specimen("pooled_scaling", "polars", leaky=False)
def _(bars: pl.DataFrame) -> pl.DataFrame:
    volume = pl.col("volume").log()
    scaled = (volume - volume.mean().over("date")) / volume.std().over("date")
    return bars.select("symbol", "date", x=scaled)


@specimen("next_session_cross_section", "polars", leaky=True)
def _(bars: pl.DataFrame) -> pl.DataFrame:
    ranked = bars.with_columns(r=_RETURN.over("symbol")).with_columns(k=pl.col("r").rank().over("date"))
    return ranked.select("symbol", "date", x=pl.col("k").shift(-1).over("symbol"))


@specimen("next_session_cross_section", "polars", leaky=False)
def _(bars: pl.DataFrame) -> pl.DataFrame:
    ranked = bars.with_columns(r=_RETURN.over("symbol")).with_columns(k=pl.col("r").rank().over("date"))
    return ranked.select("symbol", "date", x="k")


@specimen("same_day_of_target_market", "polars", leaky=True)
def _(bars: pl.DataFrame) -> pl.DataFrame:
    market = bars.with_columns(r=_RETURN.over("symbol")).group_by("date").agg(m=pl.col("r").mean()).sort("date")
    return bars.select("symbol", "date").join(market.select("date", x=pl.col("m").shift(-1)), on="date", how="left")


@specimen("same_day_of_target_market", "polars", leaky=False)
def _(bars: pl.DataFrame) -> pl.DataFrame:
    market = bars.with_columns(r=_RETURN.over("symbol")).group_by("date").agg(m=pl.col("r").mean()).sort("date")
    return bars.select("symbol", "date").join(market.select("date", x=pl.col("m").shift(1)), on="date", how="left")


@specimen("group_by_dynamic", "polars", leaky=True)
def _(bars: pl.DataFrame) -> pl.DataFrame:
    dated = bars.with_columns(pl.col("date").cast(pl.Date))
    weekly = dated.sort("symbol", "date").group_by_dynamic("date", every="1w", group_by="symbol").agg(x=_CLOSE.last())
    left = dated.select("symbol", "date").sort("date")
    return left.join_asof(weekly.sort("date"), on="date", by="symbol", check_sortedness=False)


@specimen("group_by_dynamic", "polars", leaky=False)
def _(bars: pl.DataFrame) -> pl.DataFrame:
    dated = bars.with_columns(pl.col("date").cast(pl.Date))
    weekly = dated.sort("symbol", "date").group_by_dynamic("date", every="1w", group_by="symbol").agg(w=_CLOSE.last())
    weekly = weekly.select("symbol", "date", x=pl.col("w").shift(1).over("symbol")).sort("date")
    left = dated.select("symbol", "date").sort("date")
    return left.join_asof(weekly, on="date", by="symbol", check_sortedness=False)


@specimen("drop_nulls_misalignment", "polars", leaky=True)
def _(bars: pl.DataFrame) -> pl.DataFrame:
    moves = bars.select(r=_RETURN.over("symbol"))["r"].drop_nulls()
    padded = pl.concat([moves, pl.Series("r", [None] * (bars.height - moves.len()), dtype=pl.Float64)])
    return bars.select("symbol", "date").with_columns(x=padded)


@specimen("drop_nulls_misalignment", "polars", leaky=False)
def _(bars: pl.DataFrame) -> pl.DataFrame:
    kept = bars.with_columns(x=_RETURN.over("symbol")).drop_nulls("x").select("symbol", "date", "x")
    return bars.select("symbol", "date").join(kept, on=["symbol", "date"], how="left")


@specimen("rows_until_the_end", "polars", leaky=True)
def _(bars: pl.DataFrame) -> pl.DataFrame:
    return _over(bars, pl.int_range(pl.len()) / pl.len())


@specimen("rows_until_the_end", "polars", leaky=False)
def _(bars: pl.DataFrame) -> pl.DataFrame:
    return _over(bars, (pl.int_range(pl.len()) / 252.0).clip(0.0, 1.0))


@specimen("last_value", "polars", leaky=True)
def _(bars: pl.DataFrame) -> pl.DataFrame:
    return _over(bars, _CLOSE / _CLOSE.last())


@specimen("last_value", "polars", leaky=False)
def _(bars: pl.DataFrame) -> pl.DataFrame:
    return _over(bars, _CLOSE / _CLOSE.first())


@specimen("null_where_no_target", "polars", leaky=True)
def _(bars: pl.DataFrame) -> pl.DataFrame:
    return _over(bars, pl.when(_CLOSE.shift(-1).is_not_null()).then(_RETURN))


@specimen("null_where_no_target", "polars", leaky=False)
def _(bars: pl.DataFrame) -> pl.DataFrame:
    return _over(bars, pl.when(_CLOSE.shift(1).is_not_null()).then(_RETURN))


@specimen("text_of_tomorrow", "polars", leaky=True)
def _(bars: pl.DataFrame) -> pl.DataFrame:
    rising = _CLOSE.shift(-1) > _CLOSE
    return _over(bars, pl.when(rising).then(pl.lit("buy")).otherwise(pl.lit("wait")))


@specimen("text_of_tomorrow", "polars", leaky=False)
def _(bars: pl.DataFrame) -> pl.DataFrame:
    rising = _CLOSE.shift(1) < _CLOSE
    return _over(bars, pl.when(rising).then(pl.lit("buy")).otherwise(pl.lit("wait")))


@specimen("tiny_weight", "polars", leaky=True)
def _(bars: pl.DataFrame) -> pl.DataFrame:
    return _over(bars, _RETURN + 1e-4 * (_CLOSE.shift(-1) / _CLOSE - 1))


@specimen("tiny_weight", "polars", leaky=False)
def _(bars: pl.DataFrame) -> pl.DataFrame:
    return _over(bars, _RETURN + 1e-4 * (_CLOSE / _CLOSE.shift(1) - 1))


@specimen("exponential_mean", "polars", leaky=False)
def _(bars: pl.DataFrame) -> pl.DataFrame:
    return _over(bars, _CLOSE.ewm_mean(span=26) - _CLOSE.ewm_mean(span=12))


@specimen("on_balance_volume", "polars", leaky=False)
def _(bars: pl.DataFrame) -> pl.DataFrame:
    return _over(bars, ((_CLOSE - _CLOSE.shift(1)).sign().fill_null(0) * pl.col("volume")).cum_sum())


@specimen("sum_over_all_symbols", "polars", leaky=False)
def _(bars: pl.DataFrame) -> pl.DataFrame:
    running = _CLOSE.cum_sum()
    return bars.with_columns(c=running).select(
        "symbol", "date", x=(pl.col("c") - pl.col("c").first().over("symbol") + _CLOSE.first().over("symbol"))
    )


@specimen("reordered_rows", "polars", leaky=False)
def _(bars: pl.DataFrame) -> pl.DataFrame:
    return _over(bars, _RETURN).sort("date", "symbol", descending=[True, False])


@specimen("extra_columns", "polars", leaky=False)
def _(bars: pl.DataFrame) -> pl.DataFrame:
    return bars.with_columns(x=_RETURN.over("symbol"), weekday=pl.col("date").cast(pl.Date).dt.weekday())


@specimen("lazy_result", "polars", leaky=False)
def _(bars: pl.DataFrame) -> pl.LazyFrame:
    return bars.lazy().select("symbol", "date", x=_RETURN.over("symbol").cast(pl.Float32))


@specimen("own_seed", "polars", leaky=False)
def _(bars: pl.DataFrame) -> pl.DataFrame:
    def jitter(values: pl.Series) -> pl.Series:
        return values + np.random.default_rng(7).normal(0, 1e-3, values.len())

    return _over(bars, _RETURN.map_batches(jitter, return_dtype=pl.Float64))


@specimen("calendar", "polars", leaky=False)
def _(bars: pl.DataFrame) -> pl.DataFrame:
    day = pl.col("date").cast(pl.Date)
    return bars.select(
        "symbol", "date", x=day.dt.month_end().dt.day() - day.dt.day(), y=day.dt.weekday().cast(pl.String)
    )


@specimen("boolean_and_integer", "polars", leaky=False)
def _(bars: pl.DataFrame) -> pl.DataFrame:
    return bars.select(
        "symbol",
        "date",
        x=(_CLOSE.rolling_mean(50) < _CLOSE).over("symbol"),
        y=(_CLOSE.shift(1) < _CLOSE).cast(pl.Int8).rolling_sum(10).over("symbol"),
    )


@specimen("flat_windows", "polars", leaky=False)
def _(bars: pl.DataFrame) -> pl.DataFrame:
    stepped = (_CLOSE / 50).floor() * 50
    return _over(bars, (stepped - stepped.rolling_mean(5)) / stepped.rolling_std(5))


@specimen("own_loop", "polars", leaky=False)
def _(bars: pl.DataFrame) -> pl.DataFrame:
    pieces: list[pl.DataFrame] = []
    for (symbol,), rows in bars.group_by("symbol", maintain_order=True):
        level, trail = 0.0, []
        for close in rows["close"]:
            level = max(level * 0.98, close)
            trail.append(close / level - 1)
        pieces.append(pl.DataFrame({"symbol": [str(symbol)] * rows.height, "date": rows["date"], "x": trail}))
    return pl.concat(pieces)
