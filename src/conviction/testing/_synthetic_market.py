"""A made-up market that behaves like one, with a signal of known strength planted in it.

What is copied from real daily bars: volatility that clusters (GARCH(1,1) for the market and for each stock), fat tails
(Student t), a common factor (pairwise correlation of returns near 0.4), opening gaps, ranges that contain open and close, and
volume with memory that reacts to moves. What is not: sectors, news, listings and delistings.

Everything made here is tagged: symbols are ``SYN000``, ``SYN001``, ...; `is_synthetic` knows them, so that a run on real data can
refuse them.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import polars as pl

from conviction.errors import ParameterError
from conviction.frames import SESSION, SYMBOL
from conviction.market import exchange_sessions

Array = npt.NDArray[np.float64]
TAG: Literal["synthetic"] = "synthetic"
_PATTERN = r"^SYN\d{3,}$"
_MARKET_VOL = 0.010
_IDIOSYNCRATIC_VOL = 0.0123  # with _MARKET_VOL and betas near 1: correlation of returns near 0.4
_BETA_SPREAD = 0.2
_TAIL = 5.0  # degrees of freedom of the Student t
_PERSISTENCE = 0.90
_REACTION = 0.08
_GAP_SHARE = 0.3  # share of a session's variance that comes before its open
_WARM_UP = 100


@dataclass(frozen=True, kw_only=True)
class SyntheticMarket:
    """Bars of a made-up market and what was planted in them.

    Parameters
    ----------
    bars : polars.DataFrame
        ``symbol, session, open, high, low, close, volume`` (or ``close`` alone), sorted, real exchange sessions.
    market : polars.DataFrame
        ``session, close`` of the index whose returns are the common factor.
    vix : polars.DataFrame
        ``session, close``: the factor's conditional volatility of the next session, annualised, in percent.
    signal : polars.DataFrame
        ``symbol, session, oracle_score, relative``: the planted score, known at the close of the session and computable from
        bars up to it, and the next session's label. No model can beat this score. Null in the first and last session.
    planted_auc : float
        The area asked for.
    oracle_auc : float
        The area that `oracle_score` has against `relative` in these bars, all rows pooled.
    strength : float
        Mean of the planted return at the extreme ranks, in units of the stock's own daily volatility.
    tag : str
        ``synthetic``, always.
    """

    bars: pl.DataFrame
    market: pl.DataFrame
    vix: pl.DataFrame
    signal: pl.DataFrame
    planted_auc: float
    oracle_auc: float
    strength: float
    tag: Literal["synthetic"] = TAG


def synthetic_market(
    *,
    n_symbols: int,
    n_sessions: int,
    seed: int,
    planted_auc: float = 0.5,
    closes_only: bool = False,
    start: date = date(2015, 1, 2),
    calendar: str = "XNYS",
) -> SyntheticMarket:
    """Make a market in which yesterday's relative losers tend to win, as strongly as asked.

    The planted score of a stock is minus its cross-sectional rank of the session's close-to-close return (``xs_rank_ret_1d``), centred:
    one-day reversal, learnable from ordinary features. The next session's idiosyncratic return has mean ``strength`` x score x the
    stock's own volatility. `strength` is found by bisection over the same random numbers, so that the pooled AUC of the score
    against ``relative`` (next close-to-close return above the session's median) equals `planted_auc` in the bars returned. The AUC
    against ``direction`` is lower, since the market's own move is not predictable here; from the next open it is lower too, since
    the gap takes its share.

    Parameters
    ----------
    n_symbols : int
        At least 4.
    n_sessions : int
        Exchange sessions, at least 20.
    seed : int
        Same seed, same bytes.
    planted_auc : float
        In [0.5, 0.7]. At 0.5 nothing is planted, and `oracle_auc` is 0.5 up to chance.
    closes_only : bool
        Leave open, high, low and volume out, like a source that has none.
    start : datetime.date
        First date that may be a session.
    calendar : str
        Exchange calendar.

    Returns
    -------
    SyntheticMarket
        Bars, index, VIX, the planted score, and the strength found.

    Raises
    ------
    ParameterError
        If a size or `planted_auc` is out of bounds.

    Notes
    -----
    GARCH(1,1): s2[t+1] = (1 - a - b) s2 + a e[t]^2 + b s2[t] (Bollerslev 1986), with unit-variance Student t innovations. Highs and
    lows: extremes of a Brownian bridge from open to close (Asmussen, Glynn and Pitman 1995).

    Examples
    --------
    >>> market = synthetic_market(n_symbols=20, n_sessions=120, seed=1, planted_auc=0.55)
    >>> market.bars.columns
    ['symbol', 'session', 'open', 'high', 'low', 'close', 'volume']
    >>> round(market.oracle_auc, 2)
    0.55
    """
    _check(n_symbols=n_symbols, n_sessions=n_sessions, planted_auc=planted_auc)
    sessions = exchange_sessions(calendar, start, start + timedelta(days=int(n_sessions * 1.6) + 60)).head(n_sessions)
    draws = _draw(np.random.default_rng(seed), n_symbols=n_symbols, n_sessions=n_sessions)
    strength = _calibrate(draws, planted_auc=planted_auc)
    path = _simulate(draws, strength=strength)
    symbols = [f"SYN{number:03d}" for number in range(n_symbols)]
    close = draws.first_close * np.exp(np.cumsum(path.returns, axis=0))
    columns = {"close": close} if closes_only else _intraday(draws, path, close)
    bars = _long(symbols, sessions, columns)
    score, label = _score_and_label(path.returns)
    signal = _long(symbols, sessions, {"oracle_score": score, "relative": label})
    signal = signal.with_columns(pl.col("oracle_score").fill_nan(None), pl.col("relative").fill_nan(None).cast(pl.Int8))
    return SyntheticMarket(
        bars=bars,
        market=pl.DataFrame({SESSION: sessions, "close": 1000.0 * np.exp(np.cumsum(path.factor))}),
        vix=pl.DataFrame({SESSION: sessions, "close": 100.0 * np.sqrt(252.0) * path.next_factor_vol}),
        signal=signal,
        planted_auc=planted_auc,
        oracle_auc=_auc(score, label),
        strength=strength,
    )


def is_synthetic(frame: pl.DataFrame) -> bool:
    """Return whether any row comes from `synthetic_market`, by its symbols.

    Parameters
    ----------
    frame : polars.DataFrame
        Any frame with ``symbol``.

    Returns
    -------
    bool
        True if a symbol is ``SYN`` and digits.

    Examples
    --------
    >>> is_synthetic(pl.DataFrame({"symbol": ["SYN001"]})), is_synthetic(pl.DataFrame({"symbol": ["SYF"]}))
    (True, False)
    """
    return bool(frame[SYMBOL].unique().str.contains(_PATTERN).any())


@dataclass(frozen=True, kw_only=True)
class _Draws:
    """All random numbers of one market, [session, symbol], so that only the strength differs between simulations."""

    factor: Array
    idiosyncratic: Array
    betas: Array
    first_close: Array
    gap: Array
    up: Array
    down: Array
    volume: Array
    volume_level: Array


@dataclass(frozen=True, kw_only=True)
class _Path:
    """Log returns [session, symbol], the stocks' conditional volatility, the factor and its volatility one session ahead."""

    returns: Array
    vol: Array
    factor: Array
    next_factor_vol: Array


def _draw(rng: np.random.Generator, *, n_symbols: int, n_sessions: int) -> _Draws:
    shape = (n_sessions, n_symbols)
    unit = np.sqrt((_TAIL - 2.0) / _TAIL)
    return _Draws(
        factor=rng.standard_t(_TAIL, n_sessions + _WARM_UP) * unit,
        idiosyncratic=rng.standard_t(_TAIL, (n_sessions + _WARM_UP, n_symbols)) * unit,
        betas=np.clip(rng.normal(1.0, _BETA_SPREAD, n_symbols), 0.4, 1.6),
        first_close=np.exp(rng.uniform(np.log(20.0), np.log(300.0), n_symbols)),
        gap=rng.standard_normal(shape),
        up=rng.uniform(1e-12, 1.0, shape),
        down=rng.uniform(1e-12, 1.0, shape),
        volume=rng.standard_normal(shape),
        volume_level=rng.normal(np.log(3e6), 0.8, n_symbols),
    )


def _simulate(draws: _Draws, *, strength: float) -> _Path:
    n_total, n_symbols = draws.idiosyncratic.shape
    factor, factor_vol = _garch(draws.factor[:, None], vol=_MARKET_VOL)
    score = np.zeros(n_symbols)
    variance = np.full(n_symbols, _IDIOSYNCRATIC_VOL**2)
    returns, vols = np.empty((n_total, n_symbols)), np.empty((n_total, n_symbols))
    for t in range(n_total):
        vol = np.sqrt(variance)
        shock = vol * draws.idiosyncratic[t]
        returns[t] = draws.betas * factor[t, 0] + shock + strength * score * vol
        vols[t] = vol
        variance = (
            (1 - _REACTION - _PERSISTENCE) * _IDIOSYNCRATIC_VOL**2 + _REACTION * shock**2 + _PERSISTENCE * variance
        )
        score = _reversal_score(returns[t])
    total = np.sqrt(vols**2 + (draws.betas * factor_vol[:-1]) ** 2)
    return _Path(
        returns=returns[_WARM_UP:],
        vol=total[_WARM_UP:],
        factor=factor[_WARM_UP:, 0],
        next_factor_vol=factor_vol[_WARM_UP + 1 :, 0],
    )


def _garch(innovations: Array, *, vol: float) -> tuple[Array, Array]:
    """Return the series and its volatility, the latter one session longer."""
    series = np.empty_like(innovations)
    vols = np.empty((len(innovations) + 1, innovations.shape[1]))
    variance = np.full(innovations.shape[1], vol**2)
    for t, innovation in enumerate(innovations):
        vols[t] = np.sqrt(variance)
        series[t] = vols[t] * innovation
        variance = (1 - _REACTION - _PERSISTENCE) * vol**2 + _REACTION * series[t] ** 2 + _PERSISTENCE * variance
    vols[-1] = np.sqrt(variance)
    return series, vols


def _reversal_score(returns: Array) -> Array:
    """Return minus the centred cross-sectional rank along the last axis, in [-1, 1]."""
    n_symbols = returns.shape[-1]
    ranks = returns.argsort(axis=-1).argsort(axis=-1)
    return np.asarray(1.0 - 2.0 * ranks / (n_symbols - 1), dtype=np.float64)


def _score_and_label(returns: Array) -> tuple[Array, Array]:
    score, label = np.full_like(returns, np.nan), np.full_like(returns, np.nan)
    # The first session's close has no earlier close in the bars, so its one-day return cannot be computed from them.
    score[1:-1] = _reversal_score(returns[1:-1])
    following = returns[2:]
    label[1:-1] = following > np.median(following, axis=1, keepdims=True)
    return score, label


def _auc(score: Array, label: Array) -> float:
    """Mann-Whitney area with tied scores counted half."""
    known = np.isfinite(score) & np.isfinite(label)
    values, positive = score[known], label[known] == 1
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    ranks = (np.cumsum(counts) - (counts - 1) / 2.0)[inverse]
    n_positive, n_negative = int(positive.sum()), int((~positive).sum())
    return float((ranks[positive].sum() - n_positive * (n_positive + 1) / 2.0) / (n_positive * n_negative))


def _calibrate(draws: _Draws, *, planted_auc: float) -> float:
    if planted_auc == 0.5:
        return 0.0
    low, high = -1.0, 3.0
    for _ in range(24):
        middle = (low + high) / 2.0
        if _auc(*_score_and_label(_simulate(draws, strength=middle).returns)) < planted_auc:
            low = middle
        else:
            high = middle
        if high - low < 1e-5:
            break
    return (low + high) / 2.0


def _intraday(draws: _Draws, path: _Path, close: Array) -> dict[str, Any]:
    previous = np.vstack([close[:1] / np.exp(path.returns[:1]), close[:-1]])
    gap = _GAP_SHARE * path.returns + np.sqrt(_GAP_SHARE * (1 - _GAP_SHARE)) * path.vol * draws.gap
    # The first gap share keeps the open's mean on the way to the close; the second is the bridge's own noise.
    opens = previous * np.exp(gap)
    rest = np.log(close / opens)
    variance = (1 - _GAP_SHARE) * path.vol**2
    top = (rest + np.sqrt(rest**2 - 2.0 * variance * np.log(draws.up))) / 2.0
    bottom = (rest - np.sqrt(rest**2 - 2.0 * variance * np.log(draws.down))) / 2.0
    surprise = np.abs(path.returns) / path.vol
    log_volume = np.empty_like(close)
    state = np.zeros(close.shape[1])
    for t in range(len(close)):
        state = 0.85 * state + 0.20 * draws.volume[t] + 0.15 * (surprise[t] - 0.73)
        log_volume[t] = draws.volume_level + state + 0.25 * (surprise[t] - 0.73)
    high = np.maximum(opens * np.exp(top), np.maximum(opens, close))
    low = np.minimum(opens * np.exp(bottom), np.minimum(opens, close))
    return {"open": opens, "high": high, "low": low, "close": close, "volume": np.round(np.exp(log_volume))}


def _long(symbols: list[str], sessions: pl.Series, columns: dict[str, Array]) -> pl.DataFrame:
    n_sessions, n_symbols = next(iter(columns.values())).shape
    return pl.DataFrame(
        {
            SYMBOL: np.repeat(np.array(symbols, dtype=object), n_sessions).tolist(),
            SESSION: sessions.to_list() * n_symbols,
            **{name: np.ascontiguousarray(values.T).ravel() for name, values in columns.items()},
        },
        schema_overrides={SYMBOL: pl.String, SESSION: pl.Date},
    )


def _check(*, n_symbols: int, n_sessions: int, planted_auc: float) -> None:
    for name, got, lowest in (("n_symbols", n_symbols, 4), ("n_sessions", n_sessions, 20)):
        if got < lowest:
            raise ParameterError(
                what=f"{name} is too small for a market",
                got=got,
                allowed=f"an integer >= {lowest}",
                fix=f"ask for {lowest} or more",
            )
    if not 0.5 <= planted_auc <= 0.7:
        raise ParameterError(
            what="planted_auc is out of bounds",
            got=planted_auc,
            allowed="0.5 to 0.7",
            fix="plant 0.53, which is what an honest model may find",
        )
