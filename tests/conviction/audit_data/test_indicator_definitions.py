"""Standard definitions against TA-Lib, pandas and slow loops: the audit accuses by them, so they must be right."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from conviction.audit.data._indicators import Bars, close_entries
from conviction.audit.data._indicators_bars import bar_entries
from conviction.audit.data._rolling import ewm, rolling_extreme, rolling_std


@pytest.fixture(scope="module")
def bars() -> Bars:
    rng = np.random.default_rng(0)
    close = 50 * np.exp(np.cumsum(0.015 * rng.standard_normal((320, 3)), axis=0))
    opening = close * np.exp(0.004 * rng.standard_normal(close.shape))
    high = np.maximum(opening, close) * (1 + 0.004 * rng.random(close.shape))
    low = np.minimum(opening, close) * (1 - 0.004 * rng.random(close.shape))
    volume = 1e6 * np.exp(0.3 * rng.standard_normal(close.shape))
    returns = np.vstack([np.full((1, 3), np.nan), close[1:] / close[:-1] - 1])
    market = np.repeat(returns.mean(axis=1, keepdims=True), 3, axis=1)
    return Bars(close=close, open=opening, high=high, low=low, volume=volume, market=market)


@pytest.fixture(scope="module")
def values(bars):
    known = {e.name: e for e in (*close_entries(), *bar_entries(bars))}

    def compute(name: str) -> np.ndarray:
        with np.errstate(all="ignore"):
            return known[name].compute(bars)[:, 0]

    return compute


def talib_cases(bars: Bars) -> dict[str, np.ndarray]:
    import talib

    c, h, low, v = (np.ascontiguousarray(x[:, 0]) for x in (bars.close, bars.high, bars.low, bars.volume))
    upper, _, lower = talib.BBANDS(c, 20, 2, 2)
    macd, _, _ = talib.MACD(c, 12, 26, 9)
    return {
        "sma_20": talib.SMA(c, 20),
        "rsi_14_wilder_seeded": talib.RSI(c, 14),
        "atr_14_seeded": talib.ATR(h, low, c, 14),
        "cci_20": talib.CCI(h, low, c, 20) * 0.015,
        "obv_from_volume": talib.OBV(c, v),
        "bb_upper_20_2.0_ddof0": upper,
        "bb_lower_20_2.0_ddof0": lower,
        "ret_10": talib.ROCP(c, 10),
        "macd_12_26_seeded": macd,
        "max_close_60": talib.MAX(c, 60),
        "log_ret_1": np.append(np.nan, np.diff(np.log(c))),
        "stoch_14": talib.WILLR(h, low, c, 14) / 100 + 1,
        "mfi_14": talib.MFI(h, low, c, v, 14) / 100,
    }


@pytest.mark.parametrize(
    "name",
    [
        "sma_20", "rsi_14_wilder_seeded", "atr_14_seeded", "cci_20", "obv_from_volume", "bb_upper_20_2.0_ddof0",
        "bb_lower_20_2.0_ddof0", "ret_10", "macd_12_26_seeded", "max_close_60", "log_ret_1", "stoch_14", "mfi_14",
    ],
)  # fmt: skip
def test_definition_equals_talib(bars, values, name):
    expected = talib_cases(bars)[name]
    got = values(name)
    both = np.isfinite(expected) & np.isfinite(got)
    assert both.sum() > 200
    np.testing.assert_allclose(got[both], expected[both], rtol=1e-7, atol=1e-9)


@pytest.mark.parametrize("adjust", [False, True])
def test_exponential_mean_equals_pandas(bars, adjust):
    x = bars.close.copy()
    x[:7, 1] = np.nan
    x[100:110, 2] = np.nan
    x[-20:, 0] = np.nan
    expected = pd.DataFrame(x).ewm(alpha=0.1, adjust=adjust, ignore_na=True).mean().to_numpy(copy=True)
    expected[~np.isfinite(x)] = np.nan
    np.testing.assert_allclose(ewm(x, 0.1, adjust=adjust), expected, rtol=1e-10)


@pytest.mark.parametrize("window", [2, 5, 20, 63])
def test_rolling_spread_and_extremes_equal_pandas(bars, window):
    frame = pd.DataFrame(bars.close)
    np.testing.assert_allclose(
        rolling_std(bars.close, window), frame.rolling(window).std().to_numpy(), rtol=1e-6, atol=1e-6
    )
    np.testing.assert_array_equal(
        rolling_extreme(bars.close, window, highest=True), frame.rolling(window).max().to_numpy()
    )
    np.testing.assert_array_equal(
        rolling_extreme(bars.close, window, highest=False), frame.rolling(window).min().to_numpy()
    )


def test_beta_equals_the_slope_of_a_regression(bars, values):
    got = values("beta_60")
    own = bars.close[1:, 0] / bars.close[:-1, 0] - 1
    slope = np.polyfit(bars.market[-60:, 0], own[-60:], 1)[0]
    assert got[-1] == pytest.approx(slope, rel=1e-9)


def test_no_definition_reads_a_later_row(bars):
    """Metamorphic: cutting the future away changes nothing before the cut."""
    cut = 200
    names = ("close", "open", "high", "low", "volume", "market")
    short = Bars(**{n: getattr(bars, n)[:cut] for n in names})
    whole = {e.name: e for e in (*close_entries(), *bar_entries(bars))}
    with np.errstate(all="ignore"):
        for entry in whole.values():
            np.testing.assert_allclose(
                entry.compute(short), entry.compute(bars)[:cut], rtol=1e-6, atol=1e-8, err_msg=entry.name
            )
