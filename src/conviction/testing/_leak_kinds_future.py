"""Planted future values, boundaries, external data and partial leaks."""

from __future__ import annotations

import numpy as np
import pandas as pd
import polars as pl

from conviction.testing._clean_datasets import news_mean
from conviction.testing._leaky_datasets import Patient, leak

_SHIFTED = ("rsi_14", "macd", "sma_10", "vol_20", "bb_pct", "zscore_20", "ret_5d", "price_to_sma_20", "ret_1d")


def _wide(p: Patient, column: str) -> pd.DataFrame:
    return p.frame.pivot_table(index="date", columns="symbol", values=column)


def _long(p: Patient, table: pd.DataFrame) -> np.ndarray:
    row = table.index.get_indexer(pd.Index(p.frame["date"]))
    column = table.columns.get_indexer(pd.Index(p.frame["symbol"]))
    return table.to_numpy(dtype=float)[row, column]


@leak("future values", needs=_SHIFTED)
def future_known_indicator(p: Patient) -> None:
    name = str(p.rng.choice(_SHIFTED))
    p.frame[name] = p.ahead(name, 1)
    p.columns = (name,)


@leak("future values", needs=_SHIFTED)
def future_opaque_indicator(p: Patient) -> None:
    p.plant(p.ahead(str(p.rng.choice(_SHIFTED)), 1))


@leak("future values", needs=("atr_14",))
def future_bar_indicator(p: Patient) -> None:
    name = str(p.rng.choice(["atr_14", "stoch_k", "obv", "williams_r", "range_pct", "volume_ratio_20"]))
    p.frame[name] = p.ahead(name, 1)
    p.columns = (name,)


@leak("future values", strengths=(3, 5, 11, 21))
def future_centred_mean(p: Patient) -> None:
    window = int(p.strength)
    mean = p.by_symbol("close").transform(lambda c: c.rolling(window, center=True).mean())
    p.plant(mean / p.frame["close"] - 1 if p.rng.random() < 0.5 else mean)


@leak("future values", strengths=(5, 11, 21))
def future_centred_volatility(p: Patient) -> None:
    window = int(p.strength)
    moves = p.by_symbol("close").pct_change()
    spread = moves.groupby(p.frame["symbol"], sort=False).transform(lambda r: r.rolling(window, center=True).std())
    p.plant(spread)


@leak("future values")
def future_smoother(p: Patient) -> None:
    # A two-sided exponential smoother, as filters and smoothers run over the whole series are.
    def smooth(close: pd.Series) -> pd.Series:
        forward = close.ewm(span=5, adjust=False).mean()
        return forward.iloc[::-1].ewm(span=5, adjust=False).mean().iloc[::-1]

    p.plant(p.by_symbol("close").transform(smooth))


@leak("future values", needs=("open",))
def future_gap(p: Patient) -> None:
    p.plant(p.ahead("open", 1) / p.frame["close"] - 1 + 0.002 * p.noise())


@leak("future values")
def future_market(p: Patient) -> None:
    table = _wide(p, "close").pct_change(fill_method=None).mean(axis=1).shift(-1)
    scaled = table + p.rng.standard_normal(len(table)) * table.std() * 0.5
    p.plant(p.frame["date"].map(scaled))


@leak("future values", needs=("volume",))
def future_volume(p: Patient) -> None:
    p.plant(p.ahead("volume", 1) / p.frame["volume"])


@leak("future values", needs=("high",))
def future_range(p: Patient) -> None:
    p.plant((p.ahead("high", 1) - p.ahead("low", 1)) / p.frame["close"])


@leak("future values")
def future_rank(p: Patient) -> None:
    p.plant(_long(p, _wide(p, "close").pct_change(fill_method=None).shift(-1).rank(axis=1, pct=True)))


@leak("future values")
def future_relative(p: Patient) -> None:
    moves = _wide(p, "close").pct_change(fill_method=None).shift(-1)
    p.plant(_long(p, moves.sub(moves.mean(axis=1), axis=0)))


@leak("future values")
def future_max_of_window(p: Patient) -> None:
    peak = p.by_symbol("close").transform(lambda c: c.iloc[::-1].rolling(5).max().iloc[::-1])
    p.plant(peak / p.frame["close"] - 1)


@leak("warm-up")
def warmup_backfilled(p: Patient) -> None:
    name = str(p.rng.choice(["sma_20", "rsi_14", "vol_20", "bb_pct", "sma_50"]))
    p.frame[name] = p.by_symbol(name).bfill()
    p.columns = (name,)


@leak("warm-up")
def warmup_backfilled_all(p: Patient) -> None:
    names = [n for n in ("sma_20", "rsi_14", "vol_20", "bb_pct", "sma_50", "bb_upper", "beta_spy_60") if n in p.frame]
    for name in names:
        p.frame[name] = p.by_symbol(name).bfill()
    p.columns = tuple(names)


@leak("warm-up")
def border_rolling(p: Patient) -> None:
    p.frame["sma_20"] = p.frame["close"].rolling(20).mean()
    p.columns = ("sma_20",)


@leak("warm-up")
def border_return(p: Patient) -> None:
    p.frame["ret_5d"] = p.frame["close"].pct_change(5)
    p.columns = ("ret_5d",)


@leak("warm-up")
def border_ewm(p: Patient) -> None:
    p.frame["ema_26"] = p.frame["close"].ewm(span=26, adjust=False).mean()
    p.columns = ("ema_26",)


@leak("warm-up")
def border_opaque(p: Patient) -> None:
    p.plant(p.frame["close"].pct_change(20))


@leak("external", needs=("vix", "market"))
def external_vix_tomorrow(p: Patient) -> None:
    p.frame["vix"] = p.ahead("vix", 1)
    p.columns = ("vix",)


@leak("external", needs=("spy_ret_1d", "market"))
def external_market_tomorrow(p: Patient) -> None:
    p.frame["spy_ret_1d"] = p.ahead("spy_ret_1d", 1)
    p.columns = ("spy_ret_1d",)


@leak("external", needs=("macro_pmi", "macro_releases"))
def external_macro_by_month(p: Patient) -> None:
    releases = p.sources["macro_releases"]
    values = dict(zip(releases["reference_month"].to_list(), releases["value"].to_list(), strict=True))
    months = pd.to_datetime(p.frame["date"]).dt.strftime("%Y-%m")
    p.frame["macro_pmi"] = months.map(values)
    p.columns = ("macro_pmi",)


@leak("external", needs=("macro_pmi", "macro_releases"))
def external_macro_after_month(p: Patient) -> None:
    # Known from the first day after the reference month, days before the release.
    releases = p.sources["macro_releases"]
    values = dict(zip(releases["reference_month"].to_list(), releases["value"].to_list(), strict=True))
    days = pd.to_datetime(p.frame["date"])
    months = (days - pd.to_timedelta(days.dt.day, unit="D")).dt.strftime("%Y-%m")
    p.frame["macro_pmi"] = months.map(values)
    p.columns = ("macro_pmi",)


@leak("external", needs=("macro_pmi", "macro_releases"))
def external_macro_interpolated(p: Patient) -> None:
    releases = p.sources["macro_releases"]
    table = pd.Series(releases["value"].to_numpy(), index=pd.to_datetime(releases["release_date"].to_list()))
    table = table[~table.index.duplicated()].sort_index()
    days = pd.DatetimeIndex(pd.to_datetime(sorted(p.frame["date"].unique())))
    joined = table.reindex(table.index.union(days)).interpolate("time").reindex(days)
    p.frame["macro_pmi"] = pd.to_datetime(p.frame["date"]).map(joined)
    p.columns = ("macro_pmi",)


@leak("external", needs=("news_sentiment", "news"))
def external_news_by_date(p: Patient) -> None:
    close = _wide(p, "close")
    p.frame["news_sentiment"] = _long(p, news_mean(close, p.sources["news"], cutoff_minutes=None))
    p.columns = ("news_sentiment",)


@leak("external", needs=("news_sentiment", "news"))
def external_news_tomorrow(p: Patient) -> None:
    p.frame["news_sentiment"] = p.ahead("news_sentiment", 1)
    p.columns = ("news_sentiment",)


@leak("external", needs=("news_sentiment", "news"))
def external_news_by_date_smoothed(p: Patient) -> None:
    close = _wide(p, "close")
    table = news_mean(close, p.sources["news"], cutoff_minutes=None).rolling(3, min_periods=1).mean()
    p.frame["news_sentiment"] = _long(p, table)
    p.columns = ("news_sentiment",)


@leak("partial", strengths=(1.0, 0.6))
def partial_one_symbol(p: Patient) -> None:
    at = p.at(p.pick_symbol())
    ahead = p.standard(p.next_return()).to_numpy()
    values = p.noise()
    values[at] = p.strength * ahead[at] + (1 - p.strength) * values[at]
    p.plant(values)


@leak("partial", strengths=(1.0, 0.6))
def partial_one_period(p: Patient) -> None:
    days = np.sort(p.frame["date"].unique())
    start = int(p.rng.integers(0, len(days) - 60))
    inside = p.frame["date"].isin(days[start : start + 50]).to_numpy()
    ahead = p.standard(p.next_return()).to_numpy()
    values = p.noise()
    values[inside] = p.strength * ahead[inside] + (1 - p.strength) * values[inside]
    p.plant(values)


@leak("partial")
def partial_indicator_one_symbol(p: Patient) -> None:
    name = str(p.rng.choice(["rsi_14", "ret_1d", "macd", "vol_20", "sma_10"]))
    at = p.at(p.pick_symbol())
    ahead = p.ahead(name, 1).to_numpy()
    values = p.frame[name].to_numpy(copy=True)
    values[at] = ahead[at]
    p.frame[name] = values
    p.columns = (name,)


@leak("partial")
def partial_indicator_one_period(p: Patient) -> None:
    name = str(p.rng.choice(["rsi_14", "ret_1d", "macd", "bb_pct", "sma_10"]))
    days = np.sort(p.frame["date"].unique())
    start = int(p.rng.integers(60, len(days) - 80))
    inside = p.frame["date"].isin(days[start : start + 40])
    ahead = p.ahead(name, 1)
    p.frame[name] = p.frame[name].where(~inside, ahead)
    p.columns = (name,)


def shifted_sources(sources: dict[str, pl.DataFrame]) -> dict[str, pl.DataFrame]:
    """Return the sources with the market's table moved one session into the past: tomorrow's values today."""
    market = sources["market"].with_columns(pl.col("market_ret", "vix").shift(-1))
    return {**sources, "market": market}
