"""The slow, obvious form of every symbol-wise feature, in pandas and plain loops, written from the literature's formulas.

Numbers in a feature's name are the arguments of its oracle.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import numpy as np
import pandas as pd
import talib

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
    score = f.news_score.where(f.news_score.abs() >= 0.05, 0.0).to_numpy()
    heavy = (f.news_count * weight).to_numpy()
    out = [np.nan] * 4
    for t in range(4, len(f)):
        items, scores = heavy[t - 4 : t + 1], score[t - 4 : t + 1]
        out.append((scores * items).sum() / items.sum() if items.sum() else np.nan)
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
    """Count the Mondays to Fridays from `begin` to the day before `end`; 20 stands for more."""
    if pd.isna(begin) or pd.isna(end):
        return np.nan
    return sum((begin + timedelta(n)).weekday() < 5 for n in range(min((end - begin).days, 28)))


@oracle("(days_to|is_before)_event")
def _(f, kind):
    days = np.array([weekdays(a, b) for a, b in zip(f.session, f.event_next, strict=True)])
    return on(f, np.minimum(days, 5) if kind == "days_to" else days <= 5)


@oracle("(days_since|is_after)_event")
def _(f, kind):
    days = np.array([weekdays(a, b) for a, b in zip(f.event_last, f.session, strict=True)])
    return on(f, np.minimum(days, 10) if kind == "days_since" else days <= 10)
