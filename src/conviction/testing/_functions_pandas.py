"""Feature functions in pandas: the tricks of the trade that read the future, and how they are done honestly."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from conviction.testing._leaky_functions import specimen

if TYPE_CHECKING:
    import pandas as pd


def _result(bars: pd.DataFrame, values: Any) -> pd.DataFrame:
    return bars[["symbol", "date"]].assign(x=np.asarray(values))


def _by_symbol(bars: pd.DataFrame, function: Any) -> pd.DataFrame:
    return _result(bars, bars.groupby("symbol")["close"].transform(function))


def _returns(bars: pd.DataFrame) -> pd.Series:
    return bars.groupby("symbol")["close"].pct_change()


@specimen("shift", "pandas", leaky=True)
def _(bars: pd.DataFrame) -> pd.DataFrame:
    return _result(bars, bars.groupby("symbol")["close"].shift(-1) / bars["close"] - 1)


@specimen("shift", "pandas", leaky=False)
def _(bars: pd.DataFrame) -> pd.DataFrame:
    return _result(bars, bars["close"] / bars.groupby("symbol")["close"].shift(1) - 1)


@specimen("far_shift", "pandas", leaky=True)
def _(bars: pd.DataFrame) -> pd.DataFrame:
    return _result(bars, bars.groupby("symbol")["volume"].shift(-60))


@specimen("far_shift", "pandas", leaky=False)
def _(bars: pd.DataFrame) -> pd.DataFrame:
    return _result(bars, bars.groupby("symbol")["volume"].shift(60))


@specimen("next_open_gap", "pandas", leaky=True)
def _(bars: pd.DataFrame) -> pd.DataFrame:
    return _result(bars, bars.groupby("symbol")["open"].shift(-1) / bars["close"] - 1)


@specimen("next_open_gap", "pandas", leaky=False)
def _(bars: pd.DataFrame) -> pd.DataFrame:
    return _result(bars, bars["open"] / bars.groupby("symbol")["close"].shift(1) - 1)


@specimen("centred_window", "pandas", leaky=True)
def _(bars: pd.DataFrame) -> pd.DataFrame:
    return _by_symbol(bars, lambda close: close.rolling(5, center=True).mean())


@specimen("centred_window", "pandas", leaky=False)
def _(bars: pd.DataFrame) -> pd.DataFrame:
    return _by_symbol(bars, lambda close: close.rolling(5).mean())


@specimen("back_fill_warm_up", "pandas", leaky=True)
def _(bars: pd.DataFrame) -> pd.DataFrame:
    return _by_symbol(bars, lambda close: (close / close.rolling(20).mean()).bfill())


@specimen("back_fill_warm_up", "pandas", leaky=False)
def _(bars: pd.DataFrame) -> pd.DataFrame:
    return _by_symbol(bars, lambda close: (close / close.rolling(20).mean()).ffill())


@specimen("interpolation", "pandas", leaky=True)
def _(bars: pd.DataFrame) -> pd.DataFrame:
    weekly = bars["close"].where(bars.groupby("symbol").cumcount() % 5 == 0)
    return _result(bars, weekly.groupby(bars["symbol"]).transform(lambda close: close.interpolate()))


@specimen("interpolation", "pandas", leaky=False)
def _(bars: pd.DataFrame) -> pd.DataFrame:
    weekly = bars["close"].where(bars.groupby("symbol").cumcount() % 5 == 0)
    return _result(bars, weekly.groupby(bars["symbol"]).ffill())


@specimen("full_sample_zscore", "pandas", leaky=True)
def _(bars: pd.DataFrame) -> pd.DataFrame:
    return _by_symbol(bars, lambda close: (close - close.mean()) / close.std())


@specimen("full_sample_zscore", "pandas", leaky=False)
def _(bars: pd.DataFrame) -> pd.DataFrame:
    return _by_symbol(bars, lambda close: (close - close.expanding().mean()) / close.expanding().std())


@specimen("full_sample_rank", "pandas", leaky=True)
def _(bars: pd.DataFrame) -> pd.DataFrame:
    return _by_symbol(bars, lambda close: close.pct_change().rank(pct=True))


@specimen("full_sample_rank", "pandas", leaky=False)
def _(bars: pd.DataFrame) -> pd.DataFrame:
    return _by_symbol(bars, lambda close: close.pct_change().expanding(20).rank(pct=True))


@specimen("winsorised", "pandas", leaky=True)
def _(bars: pd.DataFrame) -> pd.DataFrame:
    moves = _returns(bars)
    return _result(bars, moves.clip(float(moves.quantile(0.01)), float(moves.quantile(0.99))))


@specimen("winsorised", "pandas", leaky=False)
def _(bars: pd.DataFrame) -> pd.DataFrame:
    return _result(bars, _returns(bars).clip(-0.1, 0.1))


@specimen("quantile_bins", "pandas", leaky=True)
def _(bars: pd.DataFrame) -> pd.DataFrame:
    import pandas as pd

    return _result(bars, pd.qcut(bars["volume"], 10, labels=False, duplicates="drop"))


@specimen("quantile_bins", "pandas", leaky=False)
def _(bars: pd.DataFrame) -> pd.DataFrame:
    edges = [0.0, 1e5, 3e5, 1e6, 3e6, 1e7, 3e7, 1e8, np.inf]
    return _result(bars, np.digitize(bars["volume"], edges))


@specimen("fill_with_mean", "pandas", leaky=True)
def _(bars: pd.DataFrame) -> pd.DataFrame:
    return _by_symbol(bars, lambda close: close.pct_change(10).pipe(lambda s: s.fillna(s.mean())))


@specimen("fill_with_mean", "pandas", leaky=False)
def _(bars: pd.DataFrame) -> pd.DataFrame:
    return _by_symbol(bars, lambda close: close.pct_change(10).fillna(0.0))


@specimen("month_transform", "pandas", leaky=True)
def _(bars: pd.DataFrame) -> pd.DataFrame:
    import pandas as pd

    month = pd.to_datetime(bars["date"]).dt.to_period("M")
    return _result(bars, bars["close"] / bars.groupby(["symbol", month])["close"].transform("mean"))


@specimen("month_transform", "pandas", leaky=False)
def _(bars: pd.DataFrame) -> pd.DataFrame:
    import pandas as pd

    month = pd.to_datetime(bars["date"]).dt.to_period("M")
    return _result(bars, bars["close"] / bars.groupby(["symbol", month])["close"].transform("first"))


@specimen("weekly_bars", "pandas", leaky=True)
def _(bars: pd.DataFrame) -> pd.DataFrame:
    import pandas as pd

    week = pd.to_datetime(bars["date"]).dt.to_period("W")
    return _result(bars, bars.groupby(["symbol", week])["close"].transform("last") / bars["close"])


@specimen("weekly_bars", "pandas", leaky=False)
def _(bars: pd.DataFrame) -> pd.DataFrame:
    import pandas as pd

    week = pd.to_datetime(bars["date"]).dt.to_period("W").rename("week")
    last = bars.groupby(["symbol", week])["close"].last().groupby("symbol").shift(1).rename("prior")
    joined = bars.assign(week=week).merge(last.reset_index(), on=["symbol", "week"], how="left")
    return _result(bars, joined["close"] / joined["prior"])


@specimen("reversed_expanding", "pandas", leaky=True)
def _(bars: pd.DataFrame) -> pd.DataFrame:
    return _by_symbol(bars, lambda close: close[::-1].expanding().max()[::-1])


@specimen("reversed_expanding", "pandas", leaky=False)
def _(bars: pd.DataFrame) -> pd.DataFrame:
    return _by_symbol(bars, lambda close: close.expanding().max())


@specimen("descending_pct_change", "pandas", leaky=True)
def _(bars: pd.DataFrame) -> pd.DataFrame:
    newest_first = bars.sort_values(["symbol", "date"], ascending=[True, False])
    moves = newest_first.groupby("symbol")["close"].pct_change()
    return newest_first[["symbol", "date"]].assign(x=moves)


@specimen("descending_pct_change", "pandas", leaky=False)
def _(bars: pd.DataFrame) -> pd.DataFrame:
    newest_first = bars.sort_values(["symbol", "date"], ascending=[True, False])
    moves = newest_first.sort_values(["symbol", "date"]).groupby("symbol")["close"].pct_change()
    return newest_first[["symbol", "date"]].assign(x=moves)


@specimen("merge_asof", "pandas", leaky=True)
def _(bars: pd.DataFrame) -> pd.DataFrame:
    import pandas as pd

    dated = bars.assign(date=pd.to_datetime(bars["date"])).sort_values("date", kind="stable")
    month_end = dated[dated["date"].dt.day <= 5][["symbol", "date", "close"]].rename(columns={"close": "x"})
    return pd.merge_asof(dated[["symbol", "date"]], month_end, on="date", by="symbol", direction="forward")


@specimen("merge_asof", "pandas", leaky=False)
def _(bars: pd.DataFrame) -> pd.DataFrame:
    import pandas as pd

    dated = bars.assign(date=pd.to_datetime(bars["date"])).sort_values("date", kind="stable")
    month_end = dated[dated["date"].dt.day <= 5][["symbol", "date", "close"]].rename(columns={"close": "x"})
    return pd.merge_asof(dated[["symbol", "date"]], month_end, on="date", by="symbol", direction="backward")


@specimen("over_symbol_borders", "pandas", leaky=True)
def _(bars: pd.DataFrame) -> pd.DataFrame:
    return _result(bars, bars["close"].rolling(20).mean() / bars["close"])


@specimen("over_symbol_borders", "pandas", leaky=False)
def _(bars: pd.DataFrame) -> pd.DataFrame:
    whole = bars["close"].rolling(20).mean() / bars["close"]
    return _result(bars, whole.where(bars.groupby("symbol").cumcount() >= 19))


@specimen("index_misalignment", "pandas", leaky=True)
def _(bars: pd.DataFrame) -> pd.DataFrame:
    moves = _returns(bars).dropna().reset_index(drop=True)
    return _result(bars, moves.reindex(bars.reset_index(drop=True).index))


@specimen("index_misalignment", "pandas", leaky=False)
def _(bars: pd.DataFrame) -> pd.DataFrame:
    moves = _returns(bars).dropna()
    return _result(bars, moves.reindex(bars.index))


@specimen("savitzky_golay", "pandas", leaky=True)
def _(bars: pd.DataFrame) -> pd.DataFrame:
    from scipy.signal import savgol_filter

    return _by_symbol(bars, lambda close: savgol_filter(close, 11, 2) if len(close) > 11 else close * np.nan)


@specimen("savitzky_golay", "pandas", leaky=False)
def _(bars: pd.DataFrame) -> pd.DataFrame:
    from scipy.signal import savgol_coeffs

    weights = savgol_coeffs(11, 2, pos=10, use="dot")
    return _by_symbol(bars, lambda close: close.rolling(11).apply(lambda window: float(window @ weights), raw=True))


@specimen("zero_phase_filter", "pandas", leaky=True)
def _(bars: pd.DataFrame) -> pd.DataFrame:
    from scipy.signal import filtfilt

    return _by_symbol(bars, lambda close: filtfilt([0.2], [1.0, -0.8], close) if len(close) > 12 else close * np.nan)


@specimen("zero_phase_filter", "pandas", leaky=False)
def _(bars: pd.DataFrame) -> pd.DataFrame:
    from scipy.signal import lfilter

    return _by_symbol(bars, lambda close: lfilter([0.2], [1.0, -0.8], close))


@specimen("fourier_smoothing", "pandas", leaky=True)
def _(bars: pd.DataFrame) -> pd.DataFrame:
    def smooth(close: pd.Series) -> Any:
        spectrum = np.fft.rfft(close.to_numpy())
        spectrum[len(spectrum) // 10 :] = 0
        return np.fft.irfft(spectrum, n=len(close))

    return _by_symbol(bars, smooth)


@specimen("fourier_smoothing", "pandas", leaky=False)
def _(bars: pd.DataFrame) -> pd.DataFrame:
    def smooth(window: Any) -> float:
        spectrum = np.fft.rfft(window)
        spectrum[6:] = 0
        return float(np.fft.irfft(spectrum, n=len(window))[-1])

    return _by_symbol(bars, lambda close: close.rolling(32).apply(smooth, raw=True))


@specimen("detrended", "pandas", leaky=True)
def _(bars: pd.DataFrame) -> pd.DataFrame:
    from scipy.signal import detrend

    return _by_symbol(bars, lambda close: detrend(np.log(close)) if len(close) > 2 else close * np.nan)


@specimen("detrended", "pandas", leaky=False)
def _(bars: pd.DataFrame) -> pd.DataFrame:
    return _by_symbol(bars, lambda close: np.log(close) - np.log(close).ewm(span=60).mean())


@specimen("principal_component", "pandas", leaky=True)
def _(bars: pd.DataFrame) -> pd.DataFrame:
    wide = bars.pivot_table(index="date", columns="symbol", values="close").pct_change().fillna(0.0)
    if len(wide) < 3:
        return _result(bars, np.full(len(bars), np.nan))
    centred = wide - wide.mean()
    first = np.linalg.svd(centred, full_matrices=False)[2][0]
    scores = (centred @ (first * np.sign(first.sum()))).rename("x")
    return bars[["symbol", "date"]].merge(scores.reset_index(), on="date", how="left")


@specimen("principal_component", "pandas", leaky=False)
def _(bars: pd.DataFrame) -> pd.DataFrame:
    wide = bars.pivot_table(index="date", columns="symbol", values="close").pct_change().fillna(0.0)
    scores = np.full(len(wide), np.nan)
    table = wide.to_numpy()
    for t in range(60, len(wide), 20):
        past = table[t - 60 : t]
        first = np.linalg.svd(past - past.mean(axis=0), full_matrices=False)[2][0]
        block = slice(t, min(t + 20, len(wide)))
        scores[block] = (table[block] - past.mean(axis=0)) @ (first * np.sign(first.sum()))
    return bars[["symbol", "date"]].merge(wide.assign(x=scores)[["x"]].reset_index(), on="date", how="left")


@specimen("target_encoding", "pandas", leaky=True)
def _(bars: pd.DataFrame) -> pd.DataFrame:
    import pandas as pd

    ahead = bars.groupby("symbol")["close"].pct_change().groupby(bars["symbol"]).shift(-1)
    weekday = pd.to_datetime(bars["date"]).dt.weekday
    return _result(bars, ahead.groupby([bars["symbol"], weekday]).transform("mean"))


@specimen("target_encoding", "pandas", leaky=False)
def _(bars: pd.DataFrame) -> pd.DataFrame:
    import pandas as pd

    weekday = pd.to_datetime(bars["date"]).dt.weekday
    return _result(
        bars, _returns(bars).groupby([bars["symbol"], weekday]).transform(lambda s: s.expanding().mean().shift(1))
    )


@specimen("regression_residual", "pandas", leaky=True)
def _(bars: pd.DataFrame) -> pd.DataFrame:
    moves = _returns(bars)
    before = moves.groupby(bars["symbol"]).shift(1)
    known = before.notna() & moves.notna()
    beta = np.cov(moves[known], before[known])[0, 1] / before[known].var() if known.sum() > 3 else np.nan
    return _result(bars, moves - beta * before)


@specimen("regression_residual", "pandas", leaky=False)
def _(bars: pd.DataFrame) -> pd.DataFrame:
    import pandas as pd

    moves = _returns(bars)
    market = moves.groupby(bars["date"]).transform("mean")
    table = pd.DataFrame({"symbol": bars["symbol"], "y": moves, "m": market})
    pieces = [
        g["y"] - g["y"].rolling(60).cov(g["m"]) / g["m"].rolling(60).var() * g["m"] for _, g in table.groupby("symbol")
    ]
    return _result(bars, pd.concat(pieces).reindex(bars.index))


@specimen("clusters", "pandas", leaky=True)
def _(bars: pd.DataFrame) -> pd.DataFrame:
    from sklearn.cluster import KMeans

    moves = _returns(bars).fillna(0.0).to_numpy().reshape(-1, 1)
    return _result(
        bars,
        KMeans(3, n_init=1, random_state=0)
        .fit(moves)
        .cluster_centers_[:, 0][KMeans(3, n_init=1, random_state=0).fit_predict(moves)],
    )


@specimen("clusters", "pandas", leaky=False)
def _(bars: pd.DataFrame) -> pd.DataFrame:
    from sklearn.cluster import KMeans

    moves = _returns(bars).fillna(0.0)
    sessions = np.sort(bars["date"].unique())
    labels = np.full(len(bars), np.nan)
    for start in range(40, len(sessions), 150):
        past = moves[bars["date"] < sessions[start]].to_numpy().reshape(-1, 1)
        model = KMeans(3, n_init=1, random_state=0).fit(past)
        last = sessions[min(start + 150, len(sessions)) - 1]
        block = ((bars["date"] >= sessions[start]) & (bars["date"] <= last)).to_numpy()
        labels[block] = model.cluster_centers_[model.predict(moves[block].to_numpy().reshape(-1, 1)), 0]
    return _result(bars, labels)


@specimen("mixture_states", "pandas", leaky=True)
def _(bars: pd.DataFrame) -> pd.DataFrame:
    from sklearn.mixture import GaussianMixture

    moves = _returns(bars).fillna(0.0).to_numpy().reshape(-1, 1)
    model = GaussianMixture(2, random_state=0, max_iter=20, tol=0.1).fit(moves)
    return _result(bars, model.predict_proba(moves)[:, np.argmax(model.covariances_.ravel())])


@specimen("mixture_states", "pandas", leaky=False)
def _(bars: pd.DataFrame) -> pd.DataFrame:
    def calm(moves: pd.Series) -> Any:
        """Filter a two-state Markov chain forward with fixed volatilities: Hamilton's filter without smoothing."""
        values = moves.fillna(0.0).to_numpy()
        low, high = (np.exp(-0.5 * (values / s) ** 2) / s for s in (0.01, 0.03))
        state, filtered = 0.5, np.empty(len(values))
        for t in range(len(values)):
            prior = 0.95 * state + 0.05 * (1 - state)
            state = prior * high[t] / (prior * high[t] + (1 - prior) * low[t])
            filtered[t] = state
        return filtered

    return _result(bars, _returns(bars).groupby(bars["symbol"]).transform(calm))


@specimen("rolled_array", "pandas", leaky=True)
def _(bars: pd.DataFrame) -> pd.DataFrame:
    return _by_symbol(bars, lambda close: close - np.roll(close, 1))


@specimen("rolled_array", "pandas", leaky=False)
def _(bars: pd.DataFrame) -> pd.DataFrame:
    def past(close: pd.Series) -> Any:
        moved = np.roll(close.to_numpy(), 1)
        moved[0] = np.nan
        return close - moved

    return _by_symbol(bars, past)


@specimen("gradient", "pandas", leaky=True)
def _(bars: pd.DataFrame) -> pd.DataFrame:
    return _by_symbol(bars, lambda close: np.gradient(np.log(close)) if len(close) > 1 else close * np.nan)


@specimen("gradient", "pandas", leaky=False)
def _(bars: pd.DataFrame) -> pd.DataFrame:
    return _by_symbol(bars, lambda close: np.log(close).diff())


@specimen("convolution", "pandas", leaky=True)
def _(bars: pd.DataFrame) -> pd.DataFrame:
    return _by_symbol(bars, lambda close: np.convolve(close, np.ones(7) / 7, mode="same")[: len(close)])


@specimen("convolution", "pandas", leaky=False)
def _(bars: pd.DataFrame) -> pd.DataFrame:
    return _by_symbol(bars, lambda close: np.convolve(close, np.ones(7) / 7, mode="full")[: len(close)])


@specimen("zigzag_pivots", "pandas", leaky=True)
def _(bars: pd.DataFrame) -> pd.DataFrame:
    from scipy.signal import argrelextrema

    def pivots(close: pd.Series) -> Any:
        marks = np.zeros(len(close))
        marks[argrelextrema(close.to_numpy(), np.greater_equal, order=5)[0]] = 1.0
        return marks

    return _by_symbol(bars, pivots)


@specimen("zigzag_pivots", "pandas", leaky=False)
def _(bars: pd.DataFrame) -> pd.DataFrame:
    return _by_symbol(bars, lambda close: (close == close.rolling(11).max()).astype(float))


@specimen("survivors_only", "pandas", leaky=True)
def _(bars: pd.DataFrame) -> pd.DataFrame:
    last = bars.groupby("symbol")["close"].transform("last")
    first = bars.groupby("symbol")["close"].transform("first")
    return _result(bars, _returns(bars).where(last > first))


@specimen("survivors_only", "pandas", leaky=False)
def _(bars: pd.DataFrame) -> pd.DataFrame:
    first = bars.groupby("symbol")["close"].transform("first")
    return _result(bars, _returns(bars).where(bars["close"] > first))
