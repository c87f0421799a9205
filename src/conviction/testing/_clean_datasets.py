"""Honest datasets over real prices, in the format that foreign datasets have: the clean twins of the planted-leak zoo."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import polars as pl

from conviction.frames import check_columns

if TYPE_CHECKING:
    import pandas as pd

Variant = Literal[
    "plain",
    "alpha",
    "earlier_history",
    "small",
    "gaps",
    "opaque_names",
    "no_sources",
    "closes_only",
    "late_listings",
    "other_definitions",
    "rounded",
    "slow_windows",
]
VARIANTS: tuple[Variant, ...] = (
    "plain",
    "alpha",
    "earlier_history",
    "small",
    "gaps",
    "opaque_names",
    "no_sources",
    "closes_only",
    "late_listings",
    "other_definitions",
    "rounded",
    "slow_windows",
)
HORIZONS = (1, 3, 5, 10)
_WARM = 70  # rows of earlier history that the variant `earlier_history` computes with and then cuts off


@dataclass(frozen=True, kw_only=True)
class Dataset:
    """A dataset as a stranger would hand it over, with its optional point-in-time sources.

    Attributes
    ----------
    frame : polars.DataFrame
        Long frame ``symbol, date, [open, high, low,] close[, volume], <features>, target_1d, ..., direction``,
        rows by symbol and date; targets and warm-up null.
    sources : dict of str to polars.DataFrame
        Any of ``market``, ``macro_releases``, ``news``.
    features : tuple of str
        The feature columns.
    """

    frame: pl.DataFrame
    sources: dict[str, pl.DataFrame] = field(default_factory=dict)
    features: tuple[str, ...] = ()


def make_clean_dataset(
    bars: pl.DataFrame,
    *,
    seed: int,
    variant: Variant = "plain",
    n_symbols: int = 20,
    n_sessions: int = 500,
    vix: pl.DataFrame | None = None,
) -> Dataset:
    """Build an honest dataset of usual-named features, targets and sources over real (or any) bars.

    Everything in row t uses prices up to the close of t, releases and news published by 16:00 New York of t.

    Parameters
    ----------
    bars : polars.DataFrame
        ``symbol, session, close`` and optionally ``open, high, low, volume``; what is absent stays absent.
    seed : int
        Chooses symbols, the span, news, macro values and vendor columns.
    variant : str
        ``alpha`` plants an honest predictor of AUC about 0.53; ``earlier_history`` computes with rows that are then
        cut off, so that there is no warm-up; ``small`` is 5 symbols and 250 sessions; ``gaps`` drops whole rows at
        random; ``opaque_names`` renames every feature; ``no_sources`` gives none; ``closes_only`` has no open, high,
        low, volume; ``late_listings`` lets some symbols start later; ``other_definitions`` adds honest columns that no
        standard definition gives (fillers, sparse events, countdowns, slow fundamentals, expanding statistics, market
        timing); ``slow_windows`` adds windows that may start short, ranks and scales of what has been so far, last
        week's totals and events counted since; ``rounded`` writes prices with two and everything else with five decimals.
    n_symbols, n_sessions : int
        Size of the dataset.
    vix : polars.DataFrame, optional
        ``session, vix``; a mean-reverting stand-in driven by realised volatility where not given.

    Returns
    -------
    Dataset

    Raises
    ------
    FrameError
        If `bars` lacks symbol, session or close.
    """
    check_columns(bars, ["symbol", "session", "close"], name="bars")
    rng = np.random.default_rng(seed)
    if variant == "small":
        n_symbols, n_sessions = 5, 250
    extra = _WARM if variant == "earlier_history" else 0
    wide = _wide(bars, rng, n_symbols=n_symbols, n_sessions=n_sessions + extra)
    if variant == "closes_only":
        wide = {"close": wide["close"]}
    sources = _make_sources(wide["close"], rng, vix)
    if variant == "no_sources":
        sources = {}
    if variant == "late_listings":
        _start_late(wide, rng)
    columns = _features(wide, sources, rng)
    if variant == "other_definitions":
        columns |= _other_definitions(wide, rng)
    if variant == "slow_windows":
        columns |= _slow_windows(wide)
    if variant == "alpha":
        columns["quality_score"] = _alpha(wide["close"], rng)
    features = list(columns)
    targets = _targets(wide["close"])
    frame = _long({**wide, **columns, **targets}, drop=extra)
    if variant == "rounded":
        priced = [name for name in ("open", "high", "low", "close") if name in frame.columns]
        others = [n for n in (*features, *targets) if n != "direction"]
        frame = frame.with_columns(pl.col(priced).round(2), pl.col(others).round(5))
    if variant == "gaps":
        keep = np.random.default_rng(seed + 1).random(frame.height) > 0.01
        frame = frame.filter(pl.Series(keep))
    if variant == "opaque_names":
        renamed = {name: f"factor_{i:02d}" for i, name in enumerate(features)}
        frame = frame.rename(renamed)
        features = list(renamed.values())
    return Dataset(frame=frame, sources=sources, features=tuple(features))


def _wide(bars: pl.DataFrame, rng: Any, *, n_symbols: int, n_sessions: int) -> dict[str, pd.DataFrame]:
    names = [name for name in ("open", "high", "low", "close", "volume") if name in bars.columns]
    counts = bars.group_by("symbol").len().sort("symbol")
    full = counts.filter(pl.col("len") == counts["len"].max())["symbol"].to_list()
    chosen = sorted(rng.choice(full, size=min(n_symbols, len(full)), replace=False).tolist())
    sessions = bars["session"].unique().sort()
    start = int(rng.integers(0, max(1, sessions.len() - n_sessions)))
    window = sessions[start : start + n_sessions]
    part = bars.filter(pl.col("symbol").is_in(chosen), pl.col("session").is_in(window.implode())).to_pandas()
    return {name: part.pivot_table(index="session", columns="symbol", values=name).astype(float) for name in names}


def _start_late(wide: dict[str, pd.DataFrame], rng: Any) -> None:
    late = rng.choice(wide["close"].shape[1], size=max(1, wide["close"].shape[1] // 5), replace=False)
    starts = rng.integers(20, len(wide["close"]) // 2, size=len(late))
    for name, frame in wide.items():
        values = frame.to_numpy(copy=True)
        for column, first in zip(late, starts, strict=True):
            values[:first, column] = np.nan
        wide[name] = type(frame)(values, index=frame.index, columns=frame.columns)


def _make_sources(close: pd.DataFrame, rng: Any, vix: pl.DataFrame | None) -> dict[str, pl.DataFrame]:
    import pandas as pd

    index = pd.DatetimeIndex(pd.to_datetime(close.index))
    market = close.pct_change(fill_method=None).mean(axis=1)
    if vix is None:
        level = 100 * market.rolling(21, min_periods=1).std().fillna(0.01) * np.sqrt(252) * 0.8 + 6
        level = level * np.exp(0.05 * rng.standard_normal(len(level)))
    else:
        table = vix.to_pandas().set_index("session")["vix"]
        level = table.reindex(close.index).ffill().bfill()
    months = pd.period_range(index[0] - pd.Timedelta(days=120), index[-1], freq="M")
    released = [m.to_timestamp(how="end").normalize() + pd.Timedelta(days=int(rng.integers(2, 16))) for m in months]
    value = 52 + np.cumsum(rng.normal(0, 0.8, len(months)))
    items = []
    moves = close.pct_change(fill_method=None).to_numpy()
    for column, symbol in enumerate(close.columns):
        for row in np.flatnonzero(rng.random(len(index)) < 0.35):
            for _ in range(int(rng.integers(1, 4))):
                minute = int(rng.integers(6 * 60, 21 * 60))
                signal = 0.0 if np.isnan(moves[row, column]) else float(np.tanh(20 * moves[row, column]))
                score = float(np.clip(0.3 * signal + rng.normal(0, 0.4), -1, 1))
                items.append((symbol, index[int(row)] + pd.Timedelta(minutes=minute), round(score, 4)))
    news = pd.DataFrame(items, columns=["symbol", "published_at", "score"]).sort_values(["published_at", "symbol"])
    return {
        "market": pl.DataFrame(
            {"date": [d.date() for d in index], "market_ret": market.to_numpy(), "vix": np.asarray(level, dtype=float)}
        ).with_columns(pl.col("market_ret").fill_nan(None)),
        "macro_releases": pl.DataFrame(
            {
                "reference_month": [str(m) for m in months],
                "release_date": [d.date() for d in released],
                "value": np.round(value, 2),
            }
        ),
        "news": pl.from_pandas(news.reset_index(drop=True)),
    }


def known_macro(sessions: Any, releases: pl.DataFrame) -> np.ndarray:
    """Return the latest released value at the close of each session (released on the session counts as known)."""
    ordered = releases.sort("release_date", "reference_month")
    dates = ordered["release_date"].to_numpy().astype("datetime64[D]")
    values = ordered["value"].to_numpy()
    at = np.searchsorted(dates, np.asarray(sessions, dtype="datetime64[D]"), side="right") - 1
    return np.where(at >= 0, values[np.maximum(at, 0)], np.nan)


def news_mean(close: pd.DataFrame, news: pl.DataFrame, *, cutoff_minutes: int | None) -> pd.DataFrame:
    """Return the mean news score a session and symbol; what is published after the cut-off counts for the next session.

    `cutoff_minutes` None joins by calendar date, which lets the evening's news into the afternoon: the leak.
    """
    import pandas as pd

    items = news.to_pandas()
    moment = pd.to_datetime(items["published_at"])
    day = moment.dt.normalize()
    if cutoff_minutes is not None:
        late = (moment - day) > pd.Timedelta(minutes=cutoff_minutes)
        day = day + pd.to_timedelta(late.astype(int), unit="D")
    sessions = pd.DatetimeIndex(pd.to_datetime(close.index))
    at = sessions.searchsorted(day.to_numpy(), side="left")
    items["row"] = at
    items = items[at < len(sessions)]
    table = items.pivot_table(index="row", columns="symbol", values="score", aggfunc="mean")
    table = table.reindex(index=range(len(sessions)), columns=close.columns).fillna(0.0)
    table.index = close.index
    return table


def _alpha(close: pd.DataFrame, rng: Any) -> pd.DataFrame:
    # A slow signal with a little truth about the next return: cross-sectional AUC about 0.53, as honest alpha may have.
    ahead = close.pct_change(fill_method=None).shift(-1)
    relative = ahead.sub(ahead.mean(axis=1), axis=0)
    scaled = relative / float(np.nanstd(relative.to_numpy()))
    noise = type(close)(rng.standard_normal(close.shape), index=close.index, columns=close.columns)
    return (0.075 * scaled.fillna(0.0).clip(-4, 4) + noise).where(close.notna())


def _features(wide: dict[str, pd.DataFrame], sources: dict[str, pl.DataFrame], rng: Any) -> dict[str, pd.DataFrame]:
    close = wide["close"]
    ret = close.pct_change(fill_method=None)
    out = {f"ret_{k}d": close.pct_change(k, fill_method=None) for k in (1, 2, 3, 5, 10, 20)}
    out |= {f"ret_1d_lag{k}": ret.shift(k) for k in (1, 2, 3, 5)}
    out |= {f"sma_{w}": close.rolling(w).mean() for w in (10, 20, 50)}
    started = close.notna().cumsum() >= 1
    fast, slow = (_ewm(close, span) for span in (12, 26))
    out |= {"ema_12": fast, "ema_26": slow, "macd": fast - slow}
    out["macd_signal"] = out["macd"].ewm(span=9, adjust=False).mean().where(started)
    out["macd_hist"] = out["macd"] - out["macd_signal"]
    change = close.diff()
    up, down = change.clip(lower=0), (-change).clip(lower=0)
    wilder = [side.ewm(alpha=1 / 14, adjust=False, min_periods=14).mean() for side in (up, down)]
    out["rsi_14"] = 100 - 100 / (1 + wilder[0] / wilder[1])
    middle, spread = close.rolling(20).mean(), close.rolling(20).std()
    out |= {"bb_upper": middle + 2 * spread, "bb_lower": middle - 2 * spread}
    out["bb_pct"] = (close - out["bb_lower"]) / (out["bb_upper"] - out["bb_lower"])
    out |= {f"vol_{w}": ret.rolling(w).std() for w in (5, 20, 60)}
    out["momentum_10"] = close / close.shift(10) - 1
    out["zscore_20"] = (close - middle) / spread
    out["dist_high_60"] = close / close.rolling(60).max() - 1
    out["price_to_sma_20"] = close / middle - 1
    if "volume" in wide and "high" in wide:
        out |= _bar_features(wide)
    market = ret.mean(axis=1)
    out["rel_spy_1d"] = ret.sub(market, axis=0)
    out["spy_ret_1d"] = _broadcast(market, close)
    out["beta_spy_60"] = ret.rolling(60).cov(market).div(market.rolling(60).var(), axis=0)
    out["xs_rank_ret_5d"] = out["ret_5d"].rank(axis=1, pct=True)
    out["xs_z_vol_20"] = out["vol_20"].sub(out["vol_20"].mean(axis=1), axis=0).div(out["vol_20"].std(axis=1), axis=0)
    out |= _calendar(close)
    if sources:
        out |= _external(close, sources)
    # Vendor columns: slow per-stock state, a noisy view of past moves and plain noise; none knows the future.
    shape = close.shape
    slow_state = np.cumsum(rng.standard_normal(shape) * 0.05, axis=0) + rng.standard_normal(shape[1])
    out["analyst_score"] = type(close)(slow_state, index=close.index, columns=close.columns)
    fear = type(close)(rng.standard_normal(shape) * 0.3, index=close.index, columns=close.columns).rolling(5).mean()
    out["put_call_ratio"] = (fear - 3 * ret).apply(np.exp)
    return {name: frame.where(close.notna()) for name, frame in out.items()}


def _ewm(frame: pd.DataFrame, span: int) -> pd.DataFrame:
    return frame.ewm(span=span, adjust=False).mean().where(frame.notna())


def _bar_features(wide: dict[str, pd.DataFrame]) -> dict[str, pd.DataFrame]:
    opening, high, low, close, volume = (wide[name] for name in ("open", "high", "low", "close", "volume"))
    before = close.shift(1)
    spread = np.maximum((high - before).abs(), (low - before).abs())
    true_range = type(close)(np.maximum(high - low, spread), index=close.index, columns=close.columns)
    lowest, highest = low.rolling(14).min(), high.rolling(14).max()
    stoch = 100 * (close - lowest) / (highest - lowest)
    return {
        "atr_14": true_range.rolling(14).mean(),
        "obv": (close.diff().apply(np.sign).fillna(0) * volume).cumsum().where(close.notna()),
        "stoch_k": stoch,
        "stoch_d": stoch.rolling(3).mean(),
        "williams_r": -100 * (highest - close) / (highest - lowest),
        "gap": opening / before - 1,
        "range_pct": (high - low) / close,
        "intraday_ret": close / opening - 1,
        "volume_ratio_20": volume / volume.rolling(20).mean(),
    }


def _calendar(close: pd.DataFrame) -> dict[str, pd.DataFrame]:
    import pandas as pd

    index = pd.Series(pd.DatetimeIndex(pd.to_datetime(close.index)), index=close.index)
    return {
        "day_of_week": _broadcast(index.dt.day_of_week.astype(float), close),
        "month": _broadcast(index.dt.month.astype(float), close),
    }


def _external(close: pd.DataFrame, sources: dict[str, pl.DataFrame]) -> dict[str, pd.DataFrame]:
    import pandas as pd

    vix = pd.Series(sources["market"]["vix"].to_numpy(), index=close.index)
    macro = pd.Series(known_macro(close.index, sources["macro_releases"]), index=close.index)
    return {
        "vix": _broadcast(vix, close),
        "vix_change": _broadcast(vix.diff(), close),
        "macro_pmi": _broadcast(macro, close),
        "news_sentiment": news_mean(close, sources["news"], cutoff_minutes=16 * 60),
    }


def _other_definitions(wide: dict[str, pd.DataFrame], rng: Any) -> dict[str, pd.DataFrame]:
    """Return honest columns that no standard definition gives: what a vendor or a colleague may well deliver."""
    close = wide["close"]
    frame, shape = type(close), close.shape
    ret = close.pct_change(fill_method=None)

    def table(values: Any) -> pd.DataFrame:
        return frame(values, index=close.index, columns=close.columns)

    reports = np.zeros(shape)
    countdown = np.zeros(shape)
    for column in range(shape[1]):
        days = np.arange(int(rng.integers(5, 60)), shape[0] + 70, 63)
        countdown[:, column] = days[np.searchsorted(days, np.arange(shape[0]))] - np.arange(shape[0])
        inside = days[days < shape[0]]
        reports[inside, column] = np.round(rng.normal(0, 0.05, len(inside)), 3)
    quarterly = np.repeat(rng.normal(15, 5, (shape[0] // 63 + 2, shape[1])), 63, axis=0)[: shape[0]]
    weekly = table(np.cumsum(rng.normal(0, 1, shape), axis=0)).iloc[::5].reindex(close.index).ffill()
    market = ret.mean(axis=1)
    timing = market.rolling(15).mean() - 0.3 * market + 0.004 * rng.standard_normal(shape[0])
    expanding = ret.expanding(30).mean() / ret.expanding(30).std()
    sparse = table(np.where(rng.random(shape) < 0.15, np.nan, rng.gamma(2.0, 1.0, shape)))
    return {
        "rsi_2_filled": (100 * (ret > 0).rolling(2).mean()).fillna(50.0),
        "trend_filled": close.rolling(30, min_periods=1).mean() / close - 1,
        "vol_ratio": (ret.rolling(5).std() / ret.rolling(40).std()).fillna(1.0),
        "vol_annualised": ret.ewm(halflife=11).std() * np.sqrt(252),
        "regime": (ret.rolling(20).std() > ret.rolling(100, min_periods=20).std()).astype(float),
        "expanding_sharpe": expanding,
        "expanding_zscore": (close - close.expanding(20).mean()) / close.expanding(20).std(),
        "expanding_rank": ret.expanding(20).rank(pct=True),
        "earnings_surprise": table(reports),
        "days_to_earnings": table(countdown),
        "pe_ratio": table(quarterly) * (1 + 0.0 * close),
        "short_interest": weekly,
        "sector_code": table(np.tile(rng.integers(1, 12, shape[1]).astype(float), (shape[0], 1))),
        "market_cap_class": table(np.tile(rng.normal(10, 2, shape[1]), (shape[0], 1))),
        "risk_appetite": _broadcast(timing, close),
        "option_flow": sparse,
        "sentiment_rank": table(rng.standard_normal(shape)).rolling(3).mean().rank(axis=1, pct=True),
        "beta_fast": ret.ewm(halflife=20).cov(market).div(market.ewm(halflife=20).var(), axis=0),
        "reversal": -(ret.rolling(3).sum()).sub(ret.rolling(3).sum().mean(axis=1), axis=0),
    }


def _broadcast(series: pd.Series, like: pd.DataFrame) -> pd.DataFrame:
    values = np.repeat(series.to_numpy(dtype=float)[:, None], like.shape[1], axis=1)
    return type(like)(values, index=like.index, columns=like.columns).where(like.notna())


def _targets(close: pd.DataFrame) -> dict[str, pd.DataFrame]:
    out = {f"target_{k}d": close.shift(-k) / close - 1 for k in HORIZONS}
    first = out["target_1d"]
    out["direction"] = (first > 0).astype(float).where(first.notna())
    return out


def _long(columns: dict[str, pd.DataFrame], *, drop: int = 0) -> pl.DataFrame:
    close = columns["close"]
    sessions, symbols = len(close.index), len(close.columns)
    data: dict[str, Any] = {
        "symbol": np.repeat(np.asarray(close.columns, dtype=object), sessions).tolist(),
        "date": np.tile(np.asarray(close.index, dtype="datetime64[D]"), symbols),
    }
    data |= {name: np.ascontiguousarray(frame.to_numpy(dtype=float).T).ravel() for name, frame in columns.items()}
    frame = pl.DataFrame(data).with_columns(pl.col("date").cast(pl.Date))
    numeric = [name for name in columns if name != "close"]
    frame = frame.with_columns([pl.when(pl.col(n).is_finite()).then(pl.col(n)).alias(n) for n in numeric]).filter(
        pl.col("close").is_finite()
    )
    return frame.filter(pl.col("date").rank("dense") > drop) if drop else frame


def _slow_windows(wide: dict[str, pd.DataFrame]) -> dict[str, pd.DataFrame]:
    """Return honest columns whose windows start short, grow, or end with the last whole week."""
    import pandas as pd

    close = wide["close"]
    ret = close.pct_change(fill_method=None)
    week = pd.DatetimeIndex(pd.to_datetime(close.index)).to_period("W")
    last = close.groupby(week).last().shift(1)
    spread = ret.rolling(20).std()
    big = ret.abs() > 2.5 * ret.shift(1).rolling(60, min_periods=20).std()
    calm = (~big).astype(int)
    return {
        "drawdown_252": close / close.rolling(252, min_periods=60).max() - 1,
        "expanding_range": (close - close.cummin()) / (close.cummax() - close.cummin()),
        "expanding_rank": ret.expanding(20).rank(pct=True),
        "short_rank_120": close.rolling(120, min_periods=20).rank(pct=True),
        "vol_scaled": (spread - spread.expanding(30).mean()) / spread.expanding(30).std(),
        "last_week_close": pd.DataFrame(last.reindex(week).to_numpy(), index=close.index, columns=close.columns),
        "sessions_since_event": calm.apply(lambda s: s.groupby((s == 0).cumsum()).cumsum()).astype(float),
    }
