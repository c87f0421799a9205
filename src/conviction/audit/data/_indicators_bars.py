"""Standard definitions that need open, high, low or volume, the market, or the cross-section."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from conviction.audit.data._indicators import Bars, Entry
from conviction.audit.data._panel import Array
from conviction.audit.data._rolling import (
    ewm,
    lag,
    rolling_cov,
    rolling_extreme,
    rolling_mean,
    rolling_std,
    rolling_sum,
)


def range_entries() -> Iterator[Entry]:
    """Entries of high, low and close."""
    simple = {
        "high": lambda b: b.high,
        "low": lambda b: b.low,
        "range": lambda b: b.high - b.low,
        "range_over_close": lambda b: (b.high - b.low) / b.close,
        "range_over_low": lambda b: b.high / b.low,
        "high_over_close": lambda b: b.high / b.close,
        "low_over_close": lambda b: b.low / b.close,
        "close_over_low": lambda b: b.close / b.low,
        "close_over_high": lambda b: b.close / b.high,
        "close_location": lambda b: (b.close - b.low) / np.where(b.high > b.low, b.high - b.low, np.nan),
        "typical": lambda b: (b.high + b.low + b.close) / 3,
        "middle": lambda b: (b.high + b.low) / 2,
        "log_range": lambda b: np.log(b.high / b.low),
    }
    for name, compute in simple.items():
        yield Entry(name, 0, 1, compute)
    yield Entry("true_range", 1, 1, lambda b: b.true_range())
    yield Entry("true_range_over_close", 1, 1, lambda b: b.true_range() / b.close)
    for w in (5, 7, 9, 10, 14, 20, 21, 30, 50, 60, 63, 126, 252):
        yield from _window_entries(w)


def _window_entries(w: int) -> Iterator[Entry]:
    yield Entry(f"atr_{w}", w, w, lambda b: rolling_mean(b.true_range(), w))
    yield Entry(f"atr_{w}_over_close", w, w, lambda b: rolling_mean(b.true_range(), w) / b.close)
    yield Entry(f"atr_{w}_wilder", None, w, lambda b: ewm(b.true_range(), 1 / w))
    yield Entry(f"atr_{w}_wilder_over_close", None, w, lambda b: ewm(b.true_range(), 1 / w) / b.close)
    yield Entry(f"atr_{w}_wilder_adjusted", None, w, lambda b: ewm(b.true_range(), 1 / w, adjust=True))
    yield Entry(f"atr_{w}_seeded", None, w, lambda b: ewm(_after_first(b.true_range()), 1 / w, seed_mean=w))
    yield Entry(f"atr_{w}_ema", None, w, lambda b: ewm(b.true_range(), 2 / (w + 1)))
    yield Entry(f"stoch_{w}", w - 1, w, lambda b: _stochastic(b, w))
    yield Entry(f"stoch_{w}_d3", w + 1, w, lambda b: rolling_mean(_stochastic(b, w), 3))
    yield Entry(f"stoch_{w}_slow_d3", w + 3, w, lambda b: rolling_mean(rolling_mean(_stochastic(b, w), 3), 3))
    yield Entry(f"cci_{w}", w - 1, w, lambda b: _cci(b, w))
    yield Entry(f"max_high_{w}", w - 1, w, lambda b: rolling_extreme(_known(b.high), w, highest=True))
    yield Entry(f"min_low_{w}", w - 1, w, lambda b: rolling_extreme(_known(b.low), w, highest=False))
    yield Entry(
        f"close_over_max_high_{w}", w - 1, w, lambda b: b.close / rolling_extreme(_known(b.high), w, highest=True)
    )
    yield Entry(
        f"close_over_min_low_{w}", w - 1, w, lambda b: b.close / rolling_extreme(_known(b.low), w, highest=False)
    )
    yield Entry(f"parkinson_{w}", w - 1, w, lambda b: np.sqrt(rolling_mean(np.log(_known(b.high) / b.low) ** 2, w)))
    yield Entry(f"mean_range_{w}", w - 1, w, lambda b: rolling_mean((_known(b.high) - b.low) / b.close, w))
    yield Entry(f"adx_{w}", None, w, lambda b: _directional(b, w)[2])
    yield Entry(f"plus_di_{w}", None, w, lambda b: _directional(b, w)[0])
    yield Entry(f"minus_di_{w}", None, w, lambda b: _directional(b, w)[1])


def _known(x: Array | None) -> Array:
    assert x is not None  # noqa: S101 (entries are built only where the price exists)
    return x


def _after_first(x: Array) -> Array:
    out = x.copy()
    out[0] = np.nan
    return out


def _stochastic(b: Bars, w: int) -> Array:
    highest = rolling_extreme(_known(b.high), w, highest=True)
    lowest = rolling_extreme(_known(b.low), w, highest=False)
    return b.once(f"stoch{w}", lambda: (b.close - lowest) / np.where(highest > lowest, highest - lowest, np.nan))


def _cci(b: Bars, w: int) -> Array:
    typical = (_known(b.high) + _known(b.low) + b.close) / 3
    mean = rolling_mean(typical, w)
    deviation = sum((np.abs(lag(typical, i) - mean) for i in range(w)), np.zeros_like(mean)) / w
    return (typical - mean) / np.where(deviation > 0, deviation, np.nan)


def _directional(b: Bars, w: int) -> tuple[Array, Array, Array]:
    up = _known(b.high) - lag(_known(b.high), 1)
    down = lag(_known(b.low), 1) - _known(b.low)
    plus = np.where((up > down) & (up > 0), up, 0.0)
    minus = np.where((down > up) & (down > 0), down, 0.0)
    gone = ~np.isfinite(b.close)
    plus[gone], minus[gone] = np.nan, np.nan
    atr = ewm(b.true_range(), 1 / w)
    a, c = ewm(plus, 1 / w) / atr, ewm(minus, 1 / w) / atr
    return a, c, ewm(np.abs(a - c) / np.where(a + c > 0, a + c, np.nan), 1 / w)


def open_entries() -> Iterator[Entry]:
    """Entries of open and close."""
    yield Entry("open", 0, 1, lambda b: _known(b.open))
    yield Entry("gap", 1, 1, lambda b: _known(b.open) / lag(b.close, 1) - 1)
    yield Entry("log_gap", 1, 1, lambda b: np.log(_known(b.open) / lag(b.close, 1)))
    yield Entry("intraday", 0, 1, lambda b: b.close / _known(b.open) - 1)
    yield Entry("log_intraday", 0, 1, lambda b: np.log(b.close / _known(b.open)))
    yield Entry("body", 0, 1, lambda b: b.close - _known(b.open))
    yield Entry("open_ret", 1, 1, lambda b: _known(b.open) / lag(_known(b.open), 1) - 1)
    for w in (5, 10, 20):
        yield Entry(f"mean_gap_{w}", w, w, lambda b, w=w: rolling_mean(_known(b.open) / lag(b.close, 1) - 1, w))
        yield Entry(f"mean_intraday_{w}", w, w, lambda b, w=w: rolling_mean(b.close / _known(b.open) - 1, w))


def volume_entries() -> Iterator[Entry]:
    """Entries of volume and close."""
    yield Entry("volume", 0, 1, lambda b: _known(b.volume))
    yield Entry("log_volume", 0, 1, lambda b: np.log(np.where(_known(b.volume) > 0, _known(b.volume), np.nan)))
    yield Entry("log1p_volume", 0, 1, lambda b: np.log1p(_known(b.volume)))
    yield Entry("dollar_volume", 0, 1, lambda b: _known(b.volume) * b.close)
    yield Entry("log_dollar_volume", 0, 1, lambda b: np.log1p(_known(b.volume) * b.close))
    yield Entry("obv", None, 1, _obv)
    yield Entry("obv_from_volume", None, 1, lambda b: _obv(b) + _known(b.volume)[:1])
    for k in (1, 5, 10, 20):
        yield Entry(f"volume_ret_{k}", k, k, lambda b, k=k: _known(b.volume) / lag(_known(b.volume), k) - 1)
        yield Entry(f"log_volume_ret_{k}", k, k, lambda b, k=k: np.log(_known(b.volume) / lag(_known(b.volume), k)))
    for w in (5, 10, 14, 20, 21, 30, 50, 60, 63):
        yield Entry(f"volume_sma_{w}", w - 1, w, lambda b, w=w: rolling_mean(_known(b.volume), w))
        yield Entry(
            f"volume_over_sma_{w}", w - 1, w, lambda b, w=w: _known(b.volume) / rolling_mean(_known(b.volume), w)
        )
        yield Entry(
            f"volume_over_sma_{w}_before",
            w,
            w,
            lambda b, w=w: _known(b.volume) / lag(rolling_mean(_known(b.volume), w), 1),
        )
        yield Entry(f"volume_zscore_{w}", w - 1, w, lambda b, w=w: _zscore(_known(b.volume), w))
        yield Entry(f"log_volume_zscore_{w}", w - 1, w, lambda b, w=w: _zscore(np.log1p(_known(b.volume)), w))
        yield Entry(f"dollar_volume_sma_{w}", w - 1, w, lambda b, w=w: rolling_mean(_known(b.volume) * b.close, w))
        yield Entry(f"vwap_{w}", w - 1, w, lambda b, w=w: _vwap(b, w))
        yield Entry(f"close_over_vwap_{w}", w - 1, w, lambda b, w=w: b.close / _vwap(b, w))
        yield Entry(f"amihud_{w}", w, w, lambda b, w=w: rolling_mean(np.abs(b.ret) / (_known(b.volume) * b.close), w))
        yield Entry(f"obv_slope_{w}", w, w, lambda b, w=w: _obv(b) - lag(_obv(b), w))


def _obv(b: Bars) -> Array:
    def make() -> Array:
        volume = _known(b.volume)
        signed = np.sign(np.nan_to_num(b.close - lag(b.close, 1))) * np.nan_to_num(volume)
        return np.where(np.isfinite(b.close), np.cumsum(signed, axis=0), np.nan)

    return b.once("obv", make)


def _zscore(x: Array, w: int) -> Array:
    return (x - rolling_mean(x, w)) / rolling_std(x, w)


def _vwap(b: Bars, w: int) -> Array:
    price = b.close if b.high is None or b.low is None else (b.high + b.low + b.close) / 3
    return rolling_sum(price * _known(b.volume), w) / rolling_sum(_known(b.volume), w)


def flow_entries() -> Iterator[Entry]:
    """Entries of all five."""
    for w in (10, 14, 20, 21):
        yield Entry(f"mfi_{w}", w, w, lambda b, w=w: _money_flow(b, w))
        yield Entry(f"cmf_{w}", w - 1, w, lambda b, w=w: _chaikin(b, w))
    yield Entry("ad_line", None, 1, lambda b: np.cumsum(np.nan_to_num(_flow(b)), axis=0) + 0 * b.close)
    yield Entry("vwap_typical", 0, 1, lambda b: (_known(b.open) + _known(b.high) + _known(b.low) + b.close) / 4)


def _flow(b: Bars) -> Array:
    high, low = _known(b.high), _known(b.low)
    return np.asarray(_known(b.volume) * (2 * b.close - high - low) / np.where(high > low, high - low, np.nan))


def _chaikin(b: Bars, w: int) -> Array:
    flow = np.where(np.isfinite(b.close), np.nan_to_num(_flow(b)), np.nan)
    return rolling_sum(flow, w) / rolling_sum(_known(b.volume), w)


def _money_flow(b: Bars, w: int) -> Array:
    typical = (_known(b.high) + _known(b.low) + b.close) / 3
    flow, change = typical * _known(b.volume), typical - lag(typical, 1)
    up = rolling_sum(np.where(np.isfinite(change), np.where(change > 0, flow, 0.0), np.nan), w)
    down = rolling_sum(np.where(np.isfinite(change), np.where(change < 0, flow, 0.0), np.nan), w)
    return up / np.where(up + down > 0, up + down, np.nan)


def market_entries() -> Iterator[Entry]:
    """Entries of the close and the market's return (of the sources, or the mean of the dataset's own symbols)."""
    yield Entry("market", 1, 1, lambda b: _known(b.market))
    for k in (1, 2, 3, 5, 10, 20, 21, 60, 63):
        yield Entry(f"market_ret_{k}", k, k, lambda b, k=k: _market_level(b) / lag(_market_level(b), k) - 1)
        yield Entry(
            f"rel_market_{k}",
            k,
            k,
            lambda b, k=k: b.close / lag(b.close, k) - _market_level(b) / lag(_market_level(b), k),
        )
        yield Entry(f"market_sum_{k}", k, k, lambda b, k=k: rolling_sum(_known(b.market), k))
    for w in (5, 10, 20, 21, 30, 60, 63, 90, 120, 126, 252):
        yield Entry(f"market_vol_{w}", w, w, lambda b, w=w: rolling_std(_known(b.market), w))
        yield Entry(f"market_mean_{w}", w, w, lambda b, w=w: rolling_mean(_known(b.market), w))
        yield Entry(f"beta_{w}", w, w, lambda b, w=w: beta(b, w))
        yield Entry(f"corr_market_{w}", w, w, lambda b, w=w: _correlation(b, w))
        yield Entry(f"idio_vol_{w}", w, w, lambda b, w=w: rolling_std(b.ret - _known(b.market), w))
        yield Entry(
            f"alpha_{w}", w, w, lambda b, w=w: rolling_mean(b.ret, w) - beta(b, w) * rolling_mean(_known(b.market), w)
        )
        yield Entry(f"residual_{w}", w, w, lambda b, w=w: b.ret - beta(b, w) * _known(b.market))


def _market_level(b: Bars) -> Array:
    return b.once("mlevel", lambda: np.cumprod(1 + np.nan_to_num(_known(b.market)), axis=0) + 0 * b.close)


def beta(b: Bars, w: int) -> Array:
    """Return the slope of own on market returns over the last w rows."""
    market = np.where(np.isfinite(b.ret), _known(b.market), np.nan)
    return b.once(f"beta{w}", lambda: rolling_cov(b.ret, market, w) / rolling_cov(market, market, w))


def _correlation(b: Bars, w: int) -> Array:
    market = np.where(np.isfinite(b.ret), _known(b.market), np.nan)
    return np.asarray(rolling_cov(b.ret, market, w) / (rolling_std(b.ret, w) * rolling_std(market, w)))


def bar_entries(bars: Bars) -> tuple[Entry, ...]:
    """Return the entries that the given bars can carry beside those of the close."""
    entries: list[Entry] = []
    ranged = bars.high is not None and bars.low is not None
    if ranged:
        entries += range_entries()
    if bars.open is not None:
        entries += open_entries()
    if bars.volume is not None:
        entries += volume_entries()
    if ranged and bars.volume is not None and bars.open is not None:
        entries += flow_entries()
    if bars.market is not None:
        entries += market_entries()
    return tuple(entries)
