"""Values of features against independent oracles: pandas windows, obvious loops, DuckDB's SQL windows."""

from __future__ import annotations

import calendar
import re
from collections.abc import Callable
from datetime import date, timedelta

import duckdb
import numpy as np
import pandas as pd
import polars as pl
import polars.selectors as cs
import pytest
import talib

from conviction.features import FeatureParameters, build_features, definitions

from .conftest import make_panel


@pytest.fixture(scope="module")
def panel():
    return make_panel(symbols=4, sessions=330, seed=5)


@pytest.fixture(scope="module")
def matrix(panel, every_feature):
    return build_features(panel, features=every_feature).matrix


ORACLES: dict[str, Callable[..., pd.Series]] = {}


def oracle(pattern: str):
    """Register the slow, obvious form of the features whose names match; numbers in the name are its arguments."""

    def register(function):
        ORACLES[pattern] = function
        return function

    return register


def simple(pattern: str, function) -> None:
    ORACLES[pattern] = function


def log_returns(f: pd.DataFrame) -> pd.Series:
    return np.log(f.close).diff()


def rolled(x: pd.Series, window: int, function) -> pd.Series:
    return x.rolling(window).apply(function, raw=True)


def on(f: pd.DataFrame, values) -> pd.Series:
    return pd.Series(np.asarray(values, dtype=float), index=f.index)


def smoothed(values: np.ndarray, window: int, weight: float) -> np.ndarray:
    """Return an exponential mean that starts with the plain mean of its first `window` values."""
    out = np.full(len(values), np.nan)
    known = np.flatnonzero(np.isfinite(values))
    if len(known) < window:
        return out
    first = int(known[0])
    level = values[first : first + window].mean()
    out[first + window - 1] = level
    for t in range(first + window, len(values)):
        level += (values[t] - level) * weight
        out[t] = level
    return out


def ema(values, span: int) -> np.ndarray:
    return smoothed(np.asarray(values, dtype=float), span, 2.0 / (span + 1.0))


def wilder(values, window: int) -> np.ndarray:
    return smoothed(np.asarray(values, dtype=float), window, 1.0 / window)


def gains(f: pd.DataFrame, n: int) -> tuple[np.ndarray, np.ndarray]:
    return wilder(f.close.diff().clip(lower=0), n), wilder((-f.close.diff()).clip(lower=0), n)


def regression(f: pd.DataFrame, n: int, what: str) -> pd.Series:
    y, x = f.close.pct_change().to_numpy(), f.market_close.pct_change().to_numpy()
    out = np.full(len(y), np.nan)
    for t in range(n, len(y)):
        xs, ys = x[t - n + 1 : t + 1], y[t - n + 1 : t + 1]
        slope, intercept = np.polyfit(xs, ys, 1)
        residual = ys - slope * xs - intercept
        out[t] = {
            "beta": slope,
            "alpha": intercept,
            "resid": y[t] - slope * x[t],
            "idio": np.sqrt((residual**2).sum() / (n - 1)),
            "corr": np.corrcoef(xs, ys)[0, 1],
        }[what]
    return on(f, out)


def true_range(f: pd.DataFrame) -> pd.Series:
    before = f.close.shift(1)
    ranges = pd.concat([f.high - f.low, (f.high - before).abs(), (f.low - before).abs()], axis=1)
    return ranges.max(axis=1).where(before.notna())


def fast_k(f: pd.DataFrame, n: int) -> pd.Series:
    low, high = f.low.rolling(n).min(), f.high.rolling(n).max()
    return 100 * (f.close - low) / (high - low)


def percentile(x: pd.Series, n: int) -> pd.Series:
    return rolled(x, n, lambda w: ((w[:-1] < w[-1]).sum() + 0.5 * (w[:-1] == w[-1]).sum()) / (n - 1))


simple(r"ret_(\d+)d", lambda f, n: f.close.pct_change(n))
simple(r"ret_(\d+)d_lag(\d+)", lambda f, n, k: f.close.pct_change(n).shift(k))
simple(r"mom_(\d+)", lambda f, n: f.close.shift(20) / f.close.shift(n) - 1)
simple(r"close_to_high_(\d+)", lambda f, n: f.close / f.close.rolling(n).max() - 1)
simple(r"close_to_low_(\d+)", lambda f, n: f.close / f.close.rolling(n).min() - 1)
simple(r"trend_(\d+)", lambda f, n: log_returns(f).rolling(n).mean() / log_returns(f).rolling(n).std())
simple(r"efficiency_(\d+)", lambda f, n: log_returns(f).rolling(n).sum().abs() / log_returns(f).abs().rolling(n).sum())
simple(r"vol_(\d+)", lambda f, n: log_returns(f).rolling(n).std())
simple(r"vol_ratio_(\d+)_(\d+)", lambda f, n, m: log_returns(f).rolling(n).std() / log_returns(f).rolling(m).std())
simple(r"downside_vol_(\d+)", lambda f, n: np.sqrt((log_returns(f).clip(upper=0) ** 2).rolling(n).mean()))
simple(r"skew_(\d+)", lambda f, n: rolled(log_returns(f), n, lambda w: ((w - w.mean()) ** 3).mean() / w.std() ** 3))
simple(r"kurt_(\d+)", lambda f, n: rolled(log_returns(f), n, lambda w: ((w - w.mean()) ** 4).mean() / w.std() ** 4 - 3))
simple(r"max_move_(\d+)", lambda f, n: log_returns(f).abs().rolling(n).max())
simple(r"vol_of_vol_(\d+)", lambda f, n: log_returns(f).rolling(5).std().rolling(n).std())
simple(r"vol_ewma", lambda f: on(f, np.sqrt(ema(log_returns(f) ** 2, 32))))
simple(r"sma_ratio_(\d+)", lambda f, n: f.close / f.close.rolling(n).mean() - 1)
simple(r"sma_cross_(\d+)_(\d+)", lambda f, n, m: f.close.rolling(n).mean() / f.close.rolling(m).mean() - 1)
simple(r"ema_ratio_(\d+)", lambda f, n: f.close / ema(f.close, n) - 1)
simple(r"intraday_ret", lambda f: f.close / f.open - 1)
simple(r"overnight_ret", lambda f: f.open / f.close.shift(1) - 1)
simple(r"range_pct", lambda f: (f.high - f.low) / f.close)
simple(r"close_location", lambda f: (f.close - f.low) / (f.high - f.low))
simple(r"natr_(\d+)", lambda f, n: on(f, 100 * wilder(true_range(f), n) / f.close))
simple(r"parkinson_(\d+)", lambda f, n: np.sqrt((np.log(f.high / f.low) ** 2).rolling(n).mean() / (4 * np.log(2))))
simple(r"overnight_mean_(\d+)", lambda f, n: np.log(f.open / f.close.shift(1)).rolling(n).mean())
simple(r"intraday_mean_(\d+)", lambda f, n: np.log(f.close / f.open).rolling(n).mean())
simple(r"volume_ratio_(\d+)", lambda f, n: f.volume / f.volume.rolling(n).mean())
simple(r"dollar_volume_(\d+)", lambda f, n: np.log1p((f.close * f.volume).rolling(n).mean()))
simple(r"corr_ret_volume_(\d+)", lambda f, n: log_returns(f).rolling(n).corr(np.log1p(f.volume)))
simple(r"volume_change_(\d+)d", lambda f, n: np.log1p(f.volume).diff(n))
simple(r"rel_market_(\d+)d", lambda f, n: f.close.pct_change(n) - f.market_close.pct_change(n))
simple(r"market_ret_(\d+)d", lambda f, n: f.market_close.pct_change(n))
simple(r"market_ret_1d_lag(\d+)", lambda f, k: f.market_close.pct_change().shift(k))
simple(r"market_vol_(\d+)", lambda f, n: f.market_close.pct_change().rolling(n).std())
simple(r"beta_(\d+)", lambda f, n: regression(f, n, "beta"))
simple(r"idio_vol_(\d+)", lambda f, n: regression(f, n, "idio"))
simple(r"corr_market_(\d+)", lambda f, n: regression(f, n, "corr"))
simple(r"alpha_market", lambda f: regression(f, 60, "alpha"))
simple(r"resid_market_1d", lambda f: regression(f, 60, "resid"))
simple(r"qqq_ret_(\d+)d", lambda f, n: f.qqq_close.pct_change(n))
simple(r"tlt_ret_(\d+)d", lambda f, n: f.tlt_close.pct_change(n))
simple(r"rel_qqq_(\d+)d", lambda f, n: f.close.pct_change(n) - f.qqq_close.pct_change(n))
simple(r"rel_tlt_(\d+)d", lambda f, n: f.close.pct_change(n) - f.tlt_close.pct_change(n))
simple(r"qqq_ret_1d_lag(\d+)", lambda f, k: f.qqq_close.pct_change().shift(k))
simple(r"tlt_ret_1d_lag(\d+)", lambda f, k: f.tlt_close.pct_change().shift(k))
simple(r"vix_level", lambda f: f.vix_close)
simple(r"vix_change_(\d+)d", lambda f, n: f.vix_close.diff(n))
simple(r"vix_momentum", lambda f: f.vix_close.pct_change(5))
simple(r"vix_regime", lambda f: (f.vix_close > 20).astype(float))
simple(r"vix_rank", lambda f: percentile(f.vix_close, 252))
simple(r"vix_to_mean", lambda f: f.vix_close / f.vix_close.rolling(252).mean() - 1)
simple(r"vix_premium", lambda f: f.vix_close - 100 * np.sqrt(252) * f.market_close.pct_change().rolling(20).std())
simple(r"iv_level", lambda f: f.iv_30d)
simple(r"iv_change", lambda f: f.iv_30d.pct_change(5))
simple(r"iv_term_slope", lambda f: (f.iv_60d / f.iv_30d - 1).rolling(5).mean())
simple(r"iv_premium", lambda f: f.iv_30d - np.sqrt(252) * log_returns(f).rolling(20).std())
simple(r"put_call_gap", lambda f: f.put_call_ratio - f.put_call_ratio.rolling(20).mean())
simple(r"news_volume", lambda f: np.log1p(f.news_count.rolling(5).sum()))
simple(r"news_surprise", lambda f: np.log1p(f.news_count) - np.log1p(f.news_count).rolling(20).mean())
for _series in ("macro_dgs10", "macro_t10y2y", "macro_unrate", "macro_cpiaucsl"):
    simple(f"{_series}_level", lambda f, s=_series: f[s])
    simple(f"{_series}_change", lambda f, s=_series: f[s].diff(20))
    simple(f"{_series}_z", lambda f, s=_series: (f[s] - f[s].rolling(252).mean()) / f[s].rolling(252).std())
for _kind in ("ht_trend_gap", "ht_period", "ht_sine"):
    # The Hilbert transform has no short form: TA-Lib itself, one symbol at a time.
    simple(_kind, lambda f, k=_kind: hilbert(f, k))


def hilbert(f, kind):
    close = f.close.to_numpy()
    return on(
        f,
        {
            "ht_trend_gap": lambda: close / talib.HT_TRENDLINE(close) - 1,
            "ht_period": lambda: talib.HT_DCPERIOD(close),
            "ht_sine": lambda: np.sin(np.deg2rad(talib.HT_DCPHASE(close))),
        }[kind](),
    )


@oracle(r"up_share_(\d+)")
def _(f, n):
    return (f.close.pct_change() > 0).astype(float).where(f.close.shift(1).notna()).rolling(n).mean()


@oracle(r"kama_ratio_(\d+)")
def _(f, n):
    close = f.close.to_numpy()
    out, level = np.full(len(close), np.nan), close[n - 1]
    for t in range(n, len(close)):
        path = np.abs(np.diff(close[t - n : t + 1])).sum()
        efficiency = abs(close[t] - close[t - n]) / path
        level += (efficiency * (2 / 3 - 2 / 31) + 2 / 31) ** 2 * (close[t] - level)
        out[t] = level
    return f.close / out - 1


@oracle(r"rsi_(\d+)")
def _(f, n):
    up, down = gains(f, n)
    return on(f, 100 * up / (up + down))


@oracle(r"cmo_(\d+)")
def _(f, n):
    up, down = gains(f, n)
    return on(f, 100 * (up - down) / (up + down))


@oracle(r"stoch_rsi_(\d+)")
def _(f, n):
    up, down = gains(f, n)
    rsi = on(f, 100 * up / (up + down))
    low, high = rsi.rolling(n).min(), rsi.rolling(n).max()
    found = 100 * (rsi - low) / (high - low)
    # TA-Lib gives %K only where its mean of three rows is there too.
    found.iloc[: found.first_valid_index() - f.index[0] + 2] = np.nan
    return found


@oracle(r"trix_(\d+)")
def _(f, n):
    triple = on(f, ema(ema(ema(f.close, n), n), n))
    return 100 * triple.pct_change(fill_method=None)


@oracle("bb_(pct|width)")
def _(f, what):
    middle, deviation = f.close.rolling(20).mean(), f.close.rolling(20).std(ddof=0)
    return (f.close - middle + 2 * deviation) / (4 * deviation) if what == "pct" else 4 * deviation / middle


@oracle(r"garman_klass_(\d+)")
def _(f, n):
    daily = 0.5 * np.log(f.high / f.low) ** 2 - (2 * np.log(2) - 1) * np.log(f.close / f.open) ** 2
    return np.sqrt(daily.rolling(n).mean().clip(lower=0))


def rogers_satchell(f):
    return np.log(f.high / f.close) * np.log(f.high / f.open) + np.log(f.low / f.close) * np.log(f.low / f.open)


@oracle(r"rogers_satchell_(\d+)")
def _(f, n):
    return np.sqrt(rogers_satchell(f).rolling(n).mean())


@oracle(r"yang_zhang_(\d+)")
def _(f, n):
    overnight, intraday = np.log(f.open / f.close.shift(1)), np.log(f.close / f.open)
    k = 0.34 / (1.34 + (n + 1) / (n - 1))
    rest = (1 - k) * rogers_satchell(f).rolling(n).mean()
    return np.sqrt(overnight.rolling(n).var() + k * intraday.rolling(n).var() + rest)


@oracle(r"volume_z_(\d+)")
def _(f, n):
    logs = np.log1p(f.volume)
    return (logs - logs.rolling(n).mean()) / logs.rolling(n).std()


@oracle(r"amihud_(\d+)")
def _(f, n):
    return np.log1p((f.close.pct_change().abs() / (f.close * f.volume) * 1e6).rolling(n).mean())


@oracle(r"vwap_ratio_(\d+)")
def _(f, n):
    return f.close * f.volume.rolling(n).sum() / (f.close * f.volume).rolling(n).sum() - 1


@oracle(r"obv_share_(\d+)")
def _(f, n):
    signed = np.sign(f.close.diff()) * f.volume
    return signed.rolling(n).sum() / f.volume.rolling(n).sum()


@oracle(r"corwin_schultz_(\d+)")
def _(f, n):
    out = [np.nan]
    high, low = f.high.to_numpy(), f.low.to_numpy()
    for t in range(1, len(f)):
        beta = np.log(high[t] / low[t]) ** 2 + np.log(high[t - 1] / low[t - 1]) ** 2
        gamma = np.log(max(high[t], high[t - 1]) / min(low[t], low[t - 1])) ** 2
        alpha = (np.sqrt(2 * beta) - np.sqrt(beta)) / (3 - 2 * np.sqrt(2)) - np.sqrt(gamma / (3 - 2 * np.sqrt(2)))
        out.append(max(2 * (np.exp(alpha) - 1) / (1 + np.exp(alpha)), 0))
    return on(f, out).rolling(n).mean()


@oracle(r"roll_spread_(\d+)")
def _(f, n):
    return 2 * np.sqrt((-log_returns(f).rolling(n).cov(log_returns(f).shift(1))).clip(lower=0))


@oracle(r"mfi_(\d+)")
def _(f, n):
    typical = (f.high + f.low + f.close) / 3
    flow = typical * f.volume
    up = flow.where(typical.diff() > 0, 0).where(typical.shift(1).notna()).rolling(n).sum()
    down = flow.where(typical.diff() < 0, 0).where(typical.shift(1).notna()).rolling(n).sum()
    return 100 * up / (up + down)


@oracle("chaikin_osc")
def _(f):
    line = (((f.close - f.low) - (f.high - f.close)) / (f.high - f.low) * f.volume).cumsum().to_numpy()
    fast = slow = line[0]
    out = []
    for value in line:
        fast += (value - fast) * 2 / 4
        slow += (value - slow) * 2 / 11
        out.append(fast - slow)
    return on(f, out) / f.volume.rolling(20).mean()


def directional(f, n):
    up, down = f.high.diff(), -f.low.diff()
    plus = up.where((up > down) & (up > 0), 0.0).to_numpy()
    minus = down.where((down > up) & (down > 0), 0.0).to_numpy()
    rng = true_range(f).to_numpy()
    sums = {}
    for key, values in (("plus", plus), ("minus", minus), ("range", rng)):
        level, out = values[1:n].sum(), np.full(len(f), np.nan)
        for t in range(n, len(f)):
            level = level - level / n + values[t]
            out[t] = level
        sums[key] = out
    return 100 * sums["plus"] / sums["range"], 100 * sums["minus"] / sums["range"]


@oracle(r"plus_di_(\d+)")
def _(f, n):
    return on(f, directional(f, n)[0])


@oracle(r"minus_di_(\d+)")
def _(f, n):
    return on(f, directional(f, n)[1])


@oracle(r"di_spread_(\d+)")
def _(f, n):
    plus, minus = directional(f, n)
    return on(f, plus - minus)


@oracle(r"adx_(\d+)")
def _(f, n):
    plus, minus = directional(f, n)
    return on(f, wilder(100 * np.abs(plus - minus) / (plus + minus), n))


@oracle(r"aroon_(up|down|osc)_(\d+)")
def _(f, what, n):
    # The newest of several extremes counts; the reversed window finds it first.
    up = rolled(f.high, n + 1, lambda w: 100 * (n - w[::-1].argmax()) / n)
    down = rolled(f.low, n + 1, lambda w: 100 * (n - w[::-1].argmin()) / n)
    return {"up": up, "down": down, "osc": up - down}[what]


@oracle("stoch_k")
def _(f):
    return fast_k(f, 14).rolling(3).mean()


@oracle("stoch_d")
def _(f):
    return fast_k(f, 14).rolling(3).mean().rolling(3).mean()


@oracle(r"cci_(\d+)")
def _(f, n):
    typical = (f.high + f.low + f.close) / 3
    return rolled(typical, n, lambda w: (w[-1] - w.mean()) / (0.015 * np.abs(w - w.mean()).mean()))


@oracle(r"willr_(\d+)")
def _(f, n):
    return fast_k(f, n) - 100


@oracle("ultosc")
def _(f):
    low = pd.concat([f.low, f.close.shift(1)], axis=1).min(axis=1)
    pressure = (f.close - low).where(f.close.shift(1).notna())
    parts = [pressure.rolling(n).sum() / true_range(f).rolling(n).sum() for n in (7, 14, 28)]
    return 100 * (4 * parts[0] + 2 * parts[1] + parts[2]) / 7


@oracle("ppo")
def _(f):
    fast, slow = ema(f.close, 12), ema(f.close, 26)
    return on(f, 100 * (fast - slow) / slow)


@oracle("bop")
def _(f):
    return (f.close - f.open) / (f.high - f.low)


@oracle("sar_gap")
def _(f):
    high, low = f.high.to_numpy(), f.low.to_numpy()
    out = np.full(len(f), np.nan)
    down_move, up_move = low[0] - low[1], high[1] - high[0]
    rising = not (down_move > 0 and down_move > up_move)
    extreme, stop, step = (high[1], low[0], 0.02) if rising else (low[1], high[0], 0.02)
    for t in range(1, len(f)):
        before = slice(max(t - 1, 1), t + 1)
        if rising and low[t] <= stop:
            rising, stop = False, max(extreme, high[before].max())
            out[t] = stop
            extreme, step = low[t], 0.02
            stop = max(stop + step * (extreme - stop), high[before].max())
        elif not rising and high[t] >= stop:
            rising, stop = True, min(extreme, low[before].min())
            out[t] = stop
            extreme, step = high[t], 0.02
            stop = min(stop + step * (extreme - stop), low[before].min())
        else:
            out[t] = stop
            if rising and high[t] > extreme:
                extreme, step = high[t], min(step + 0.02, 0.2)
            if not rising and low[t] < extreme:
                extreme, step = low[t], min(step + 0.02, 0.2)
            stop += step * (extreme - stop)
            stop = min(stop, low[before].min()) if rising else max(stop, high[before].max())
    return f.close / out - 1


@oracle(r"linreg_slope_(\d+)")
def _(f, n):
    return rolled(f.close, n, lambda w: np.polyfit(np.arange(n), w, 1)[0]) / f.close


@oracle(r"tsf_gap_(\d+)")
def _(f, n):
    return f.close / rolled(f.close, n, lambda w: np.polyval(np.polyfit(np.arange(n), w, 1), n)) - 1


@oracle(r"wma_ratio_(\d+)")
def _(f, n):
    return f.close / rolled(f.close, n, lambda w: np.average(w, weights=np.arange(1, n + 1))) - 1


@oracle(r"trima_ratio_(\d+)")
def _(f, n):
    weights = np.minimum(np.arange(1, n + 1), np.arange(n, 0, -1))
    return f.close / rolled(f.close, n, lambda w: np.average(w, weights=weights)) - 1


def chain(f, n, depth):
    found, values = [], f.close.to_numpy()
    for _ in range(depth):
        values = ema(values, n)
        found.append(values)
    return found


@oracle(r"dema_ratio_(\d+)")
def _(f, n):
    one, two = chain(f, n, 2)
    return f.close / (2 * one - two) - 1


@oracle(r"tema_ratio_(\d+)")
def _(f, n):
    one, two, three = chain(f, n, 3)
    return f.close / (3 * one - 3 * two + three) - 1


@oracle(r"t3_ratio_(\d+)")
def _(f, n):
    v = 0.7
    means = chain(f, n, 6)
    a, b, c = 3 * v**2 + 3 * v**3, 1 + 3 * v + v**3 + 3 * v**2, 6 * v**2
    d = 3 * v + 3 * v**3
    t3 = -(v**3) * means[5] + a * means[4] - (c + d) * means[3] + b * means[2]
    return f.close / t3 - 1


@oracle("iv_rank")
def _(f):
    low, high = f.iv_30d.rolling(252).min(), f.iv_30d.rolling(252).max()
    return 0.5 * (f.iv_30d - low) / (high - low) + 0.5 * percentile(f.iv_30d, 252)


def sentiment(f, weight):
    score = f.news_score.where(f.news_score.abs() >= 0.05, 0.0)
    out = []
    for t in range(len(f)):
        part = slice(t - 4, t + 1)
        if t < 4 or not (heavy := (f.news_count * weight).iloc[part]).sum():
            out.append(np.nan)
        else:
            out.append((score.iloc[part] * heavy).sum() / heavy.sum())
    return on(f, out)


@oracle("news_sentiment(|_weighted)")
def _(f, kind):
    return sentiment(f, 1.0)


@oracle("news_sentiment_change")
def _(f):
    return sentiment(f, 1.0) - sentiment(f, 1.0).shift(5)


@oracle("news_balance")
def _(f):
    return sentiment(f.assign(news_score=np.sign(f.news_score.where(f.news_score.abs() >= 0.05, 0.0))), 1.0)


def weekdays(begin, end):
    if begin is None or end is None or begin is pd.NaT or end is pd.NaT:
        return np.nan
    return sum((begin + timedelta(n)).weekday() < 5 for n in range((end - begin).days))


@oracle("(days_to|is_before)_event")
def _(f, kind):
    days = np.array([weekdays(a, b) for a, b in zip(f.session, f.event_next, strict=True)])
    return on(f, np.minimum(days, 5) if kind == "days_to" else days <= 5)


@oracle("(days_since|is_after)_event")
def _(f, kind):
    days = np.array([weekdays(a, b) for a, b in zip(f.event_last, f.session, strict=True)])
    return on(f, np.minimum(days, 10) if kind == "days_since" else days <= 10)


# Compared with SQL, the standard library or a seed-free stretch below, or in test_alpha158_values.py.
ELSEWHERE = {"cross_section", "sector", "calendar", "alpha158"}
MACD = {"macd", "macd_signal", "macd_hist"}
DEFINITIONS = definitions(FeatureParameters())
NAMES = [n for n, d in DEFINITIONS.items() if d.feature.family not in ELSEWHERE and n not in MACD]


@pytest.mark.parametrize("name", NAMES)
def test_value_equals_the_oracle(panel, matrix, name):
    found = [(function, match) for p, function in ORACLES.items() if (match := re.fullmatch(p, name))]
    assert len(found) == 1, f"{name} has {len(found)} oracles"
    function, match = found[0]
    arguments = [int(group) if group.isdigit() else group for group in match.groups()]
    parts = [part.reset_index(drop=True) for _, part in panel.to_pandas().groupby("symbol")]
    wanted = np.concatenate([np.asarray(function(part, *arguments), dtype=float) for part in parts])
    got = matrix[name].to_numpy().astype(np.float64)
    np.testing.assert_array_equal(np.isnan(got), np.isnan(wanted))
    np.testing.assert_allclose(got, wanted, rtol=5e-6, atol=1e-7)
    assert np.isfinite(wanted).sum() > 50


def test_days_since_last_session_is_in_the_calendar_family(panel, matrix):
    for _, part in panel.join(matrix, on=["symbol", "session"]).to_pandas().groupby("symbol"):
        wanted = pd.to_datetime(part.session).diff().dt.days.to_numpy(dtype=float)
        np.testing.assert_array_equal(part.days_since_last_session.to_numpy(dtype=float), wanted)


def test_macd_is_the_difference_of_two_exponential_means(panel, matrix):
    for symbol in ("S0", "S1"):
        close = panel.filter(pl.col("symbol") == symbol)["close"].to_numpy()
        own = matrix.filter(pl.col("symbol") == symbol)
        # TA-Lib seeds the fast mean where the slow one begins; the difference fades with the fast span.
        line = ema(close, 12) - ema(close, 26)
        got = own["macd"].to_numpy() * close
        assert np.isnan(got[:33]).all()
        assert np.isfinite(got[33:]).all()
        np.testing.assert_allclose(got[200:], line[200:], rtol=1e-4, atol=1e-5)
        hist = own["macd"] - own["macd_signal"]
        np.testing.assert_allclose(hist.drop_nulls(), own["macd_hist"].drop_nulls(), atol=1e-6)


def test_ties_share_their_average_rank():
    day = [date(2020, 1, 2), date(2020, 1, 3)]
    closes = {"A": [1.0, 2.0], "B": [1.0, 2.0], "C": [1.0, 1.5], "D": [1.0, 3.0]}
    panel = pl.DataFrame(
        [{"symbol": s, "session": d, "close": c} for s, pair in closes.items() for d, c in zip(day, pair, strict=True)]
    )
    got = build_features(panel, features=FeatureParameters(sets=(), names=("xs_rank_ret_1d",))).matrix
    ranks = got.filter(pl.col("session") == day[1])["xs_rank_ret_1d"].to_list()
    assert ranks == [0.5, 0.5, 0.0, 1.0]


def test_every_cross_sectional_feature_equals_sql(panel, matrix):
    def ranked(column):
        ties = f"(count(*) over (partition by session, {column}) - 1) / 2.0"
        low = f"rank() over (partition by session order by {column})"
        return f"case when {column} is not null then ({low} - 1 + {ties}) / nullif(count({column}) over w - 1, 0) end"

    columns = {"turnover": "avg(close * volume) over (partition by symbol order by session rows 19 preceding)"}
    relation = panel.select("symbol", "session", "close", "volume", "sector", "in_universe").join(  # noqa: F841 (SQL)
        matrix.select("symbol", "session", cs.matches(r"^(ret_\d+d|vol_\d+|dollar_volume_20)$")),
        on=["symbol", "session"],
    )
    wanted = {
        **{f"xs_rank_ret_{n}d": ranked(f"ret_{n}d") for n in (1, 5, 20, 60)},
        **{f"xs_rank_vol_{n}": ranked(f"vol_{n}") for n in (20, 60)},
        "xs_rank_dollar_volume_20": ranked("(case when dollar_volume_20 is not null then turnover end)"),
        **{f"xs_demean_ret_{n}d": f"ret_{n}d - avg(ret_{n}d) over w" for n in (1, 5)},
        **{f"xs_z_ret_{n}d": f"(ret_{n}d - avg(ret_{n}d) over w) / stddev_samp(ret_{n}d) over w" for n in (5, 20)},
        **{
            f"xs_resid_ret_{n}d": f"ret_{n}d - regr_intercept(ret_{n}d, vol_60) over w - regr_slope(ret_{n}d, vol_60) over w * vol_60"
            for n in (1, 5)
        },
        **{
            f"sector_resid_ret_{n}d": f"case when sector is not null then ret_{n}d - avg(ret_{n}d) over (partition by session, sector) end"
            for n in (1, 5, 20)
        },
        "xs_mean_ret_1d_lag1": "avg(ret_1d) over w + 0 * ret_1d",
        "xs_breadth": "avg((ret_1d > 0)::int) over w + 0 * ret_1d",
        "xs_dispersion": "stddev_samp(ret_1d) over w + 0 * ret_1d",
    }
    assert set(wanted) == {n for n, d in DEFINITIONS.items() if d.feature.family in {"cross_section", "sector"}}
    body = ", ".join(f"{sql} as {name}" for name, sql in wanted.items())
    found = duckdb.sql(
        f"""
        with widened as (select *, {columns["turnover"]} as turnover from relation),
        computed as (select symbol, session, {body} from widened where in_universe window w as (partition by session))
        select r.symbol, r.session, c.* exclude (symbol, session)
        from relation r left join computed c using (symbol, session) order by r.symbol, r.session
        """  # noqa: S608 (no user's text)
    ).pl()
    # The lagged mean is that of the symbol's own row before, which SQL takes over all of its rows.
    found = found.with_columns(pl.col("xs_mean_ret_1d_lag1").shift(1).over("symbol"))
    for name in wanted:
        got, expected = matrix[name].to_numpy(), found[name].cast(pl.Float64).to_numpy()
        known = np.isfinite(expected)
        if name.startswith("xs_resid"):
            # With two members a line fits both, and SQL divides by what rounding left of a spread.
            known &= np.isfinite(got)
        else:
            np.testing.assert_array_equal(np.isnan(got), ~known, err_msg=name)
        np.testing.assert_allclose(got[known], expected[known], rtol=1e-4, atol=2e-7, err_msg=name)
        assert known.sum() > 300, name


def test_tuned_parameters_do_what_they_say(panel):
    tuned = FeatureParameters.model_validate(
        {
            "sets": [],
            "names": [
                "vix_regime",
                "vix_momentum",
                "iv_rank",
                "iv_term_slope",
                "days_to_event",
                "is_after_event",
                "news_sentiment",
                "news_sentiment_weighted",
            ],
            "vix": {"regime_threshold": 14.0, "momentum_window": 12},
            "options": {"rank_window": 40, "rank_weight": 1.0, "term_window": 3},
            "events": {"lead": 2, "lag": 3},
            "news": {"threshold": 0.6, "lookback": 3, "source_weights": {"wire": 4.0}},
        }
    )
    got = build_features(panel, features=tuned).matrix.filter(pl.col("symbol") == "S0")
    f = panel.filter(pl.col("symbol") == "S0").to_pandas()
    low, high = f.iv_30d.rolling(40).min(), f.iv_30d.rolling(40).max()
    weight = f.news_source.map({"wire": 4.0}).fillna(1.0)
    score = f.news_score.where(f.news_score.abs() >= 0.6, 0.0)
    count = f.news_count
    wanted = {
        "vix_regime": (f.vix_close > 14.0).astype(float),
        "vix_momentum": f.vix_close.pct_change(12),
        "iv_rank": (f.iv_30d - low) / (high - low),
        "iv_term_slope": (f.iv_60d / f.iv_30d - 1).rolling(3).mean(),
        "days_to_event": np.minimum([weekdays(a, b) for a, b in zip(f.session, f.event_next, strict=True)], 2),
        "is_after_event": np.array([weekdays(a, b) for a, b in zip(f.event_last, f.session, strict=True)]) <= 3,
        "news_sentiment": (score * count).rolling(3).sum() / count.rolling(3).sum().replace(0.0, np.nan),
        "news_sentiment_weighted": (score * count * weight).rolling(3).sum()
        / (count * weight).rolling(3).sum().replace(0.0, np.nan),
    }
    for name, values in wanted.items():
        np.testing.assert_allclose(
            got[name].to_numpy(), np.asarray(values, dtype=float), rtol=1e-5, atol=1e-7, err_msg=name
        )
    assert not got["news_sentiment"].equals(got["news_sentiment_weighted"])


def test_calendar_equals_the_standard_library(panel, matrix):
    for row in matrix.filter(pl.col("symbol") == "S0").iter_rows(named=True):
        day = row["session"]
        length = calendar.monthrange(day.year, day.month)[1]
        later = [day + timedelta(n) for n in range(1, length - day.day + 1)]
        earlier = [day - timedelta(n) for n in range(1, day.day)]
        before, after = (sum(d.weekday() < 5 for d in days) for days in (earlier, later))
        assert row["day_of_week"] == day.weekday()
        assert row["day_of_month"] == day.day
        assert row["month"] == day.month
        assert row["week_of_month"] == (day.day - 1) // 7
        assert row["weekdays_to_month_end"] == after
        assert row["is_month_turn"] == float(after < 3 or before < 3)
        assert row["is_quarter_end_month"] == float(day.month in {3, 6, 9, 12})
        angle = 2 * np.pi * (day.timetuple().tm_yday - 1) / (366 if calendar.isleap(day.year) else 365)
        assert row["year_sin"] == pytest.approx(np.sin(angle), abs=1e-6)
        assert row["year_cos"] == pytest.approx(np.cos(angle), abs=1e-6)


def test_a_missing_input_blanks_the_windows_that_hold_it_and_no_other():
    panel = make_panel(symbols=2, sessions=120, gaps=False)
    row = 60
    holed = panel.with_columns(
        pl.when(pl.int_range(pl.len()) == row).then(None).otherwise(pl.col("volume")).alias("volume")
    )
    parameters = FeatureParameters(sets=(), names=("volume_ratio_20", "mfi_14"))
    before, after = (build_features(p, features=parameters).matrix for p in (panel, holed))
    assert after["volume_ratio_20"][row : row + 20].null_count() == 20
    assert after["volume_ratio_20"][row + 20 :].equals(before["volume_ratio_20"][row + 20 :])
    assert after["volume_ratio_20"][:row].equals(before["volume_ratio_20"][:row])
    # TA-Lib starts anew after the hole.
    assert after["mfi_14"][row : row + 15].null_count() == 15
    assert after["mfi_14"][row + 15 : 120].null_count() == 0
