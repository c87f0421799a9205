"""Out-of-fold frames in which the truth is known: no skill at all, with the dependence that real panels have."""

from __future__ import annotations

from datetime import date, timedelta

import numpy as np
import polars as pl


def simulate_null_oof(
    *,
    n_symbols: int,
    n_sessions: int,
    seed: int,
    n_folds: int = 4,
    market_share: float = 0.4,
    persistence: float = 0.9,
    skill: float = 0.0,
) -> pl.DataFrame:
    """Simulate the out-of-fold rows of a model without skill on a market in which stocks move together.

    Returns share a market factor; scores are persistent, share a common part, and know nothing of the returns unless
    `skill` says so. A per-row standard error is wrong on such a panel; intervals over sessions are not.

    Parameters
    ----------
    n_symbols, n_sessions : int
        Size of the panel.
    seed : int
    n_folds : int
        Consecutive folds of equal length.
    market_share : float
        Share of the variance of returns that is common to all symbols; about 0.4 for large caps.
    persistence : float
        First-order autocorrelation of the scores.
    skill : float
        Correlation of the score with the symbol's own part of the return that follows.

    Returns
    -------
    polars.DataFrame
        ``symbol, session, target, model, fold, score, label, forward_return``, target ``direction``, model ``null``.

    Examples
    --------
    >>> simulate_null_oof(n_symbols=2, n_sessions=8, seed=0).shape
    (16, 8)
    """
    rng = np.random.default_rng(seed)
    market = rng.normal(size=(n_sessions, 1))
    own = rng.normal(size=(n_sessions, n_symbols))
    returns = 0.01 * (np.sqrt(market_share) * market + np.sqrt(1 - market_share) * own) + 0.0003
    latent = (
        _persistent(rng, n_sessions, 1, persistence) + _persistent(rng, n_sessions, n_symbols, persistence)
    ) / np.sqrt(2)
    latent = np.sqrt(1 - skill**2) * latent + skill * own
    sessions = [date(2015, 1, 1) + timedelta(days=day) for day in range(n_sessions)]
    return pl.DataFrame(
        {
            "symbol": np.tile([f"S{i:03d}" for i in range(n_symbols)], n_sessions),
            "session": pl.Series(np.repeat(np.array(sessions, dtype="datetime64[D]"), n_symbols)).cast(pl.Date),
            "target": "direction",
            "model": "null",
            "fold": (np.repeat(np.arange(n_sessions), n_symbols) * n_folds // n_sessions).astype(np.int32),
            "score": (1 / (1 + np.exp(-0.1 * latent))).ravel(),
            "label": (returns > 0).astype(np.int8).ravel(),
            "forward_return": returns.ravel(),
        }
    ).sort("symbol", "session")


def _persistent(rng: np.random.Generator, n_sessions: int, n: int, persistence: float) -> np.ndarray:
    noise = rng.normal(size=(n_sessions, n))
    series = np.empty_like(noise)
    series[0] = noise[0]
    scale = np.sqrt(1 - persistence**2)
    for step in range(1, n_sessions):
        series[step] = persistence * series[step - 1] + scale * noise[step]
    return series
