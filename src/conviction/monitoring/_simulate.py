"""Sessions in which nothing changes and everything depends on everything: what false alarms are counted on."""

from __future__ import annotations

from datetime import date

import numpy as np
import polars as pl


def stationary_sessions(
    *, n_sessions: int, n_symbols: int, n_features: int, seed: int, persistence: tuple[float, ...] = (0.0, 0.8, 0.95)
) -> tuple[pl.DataFrame, tuple[str, ...]]:
    """Make a stationary panel of features that depend on each other, within sessions and from session to session.

    Feature j of symbol i on day t is half the day's common factor, half the symbol's own, both first-order autoregressive with
    `persistence[j % len(persistence)]`; a fifth of its variance is shared by all features. Every third feature is squared,
    so that not everything is normal.

    Parameters
    ----------
    n_sessions, n_symbols, n_features : int
    seed : int
    persistence : tuple of float
        Autocorrelations at one session.

    Returns
    -------
    frame : polars.DataFrame
        `symbol`, `session`, `x0`, `x1`, ... Float64.
    columns : tuple of str

    Examples
    --------
    >>> frame, columns = stationary_sessions(n_sessions=30, n_symbols=4, n_features=2, seed=0)
    >>> frame.height, columns
    (120, ('x0', 'x1'))
    """
    rng = np.random.default_rng(seed)
    days = np.busday_offset(np.datetime64(date(2015, 1, 1)), np.arange(n_sessions), roll="forward")
    values = {}
    shared: dict[float, np.ndarray] = {}
    for j in range(n_features):
        rho = persistence[j % len(persistence)]
        if rho not in shared:
            shared[rho] = _autoregressive(rng, n_sessions, 1, rho)
        own = np.sqrt(0.5) * _autoregressive(rng, n_sessions, 1, rho) + np.sqrt(0.5) * _autoregressive(
            rng, n_sessions, n_symbols, rho
        )
        value = np.sqrt(0.2) * shared[rho] + np.sqrt(0.8) * own
        values[f"x{j}"] = (value**2 if j % 3 == 2 else value).ravel()
    frame = pl.DataFrame(
        {
            "symbol": np.tile([f"SYN{i:03d}" for i in range(n_symbols)], n_sessions),
            "session": np.repeat(days, n_symbols),
            **values,
        }
    ).with_columns(pl.col("session").cast(pl.Date))
    return frame, tuple(values)


def _autoregressive(rng: np.random.Generator, n_sessions: int, width: int, rho: float) -> np.ndarray:
    """Return columns of unit variance, started from their stationary distribution."""
    from scipy.signal import lfilter

    noise = rng.standard_normal((n_sessions, width)) * np.sqrt(1 - rho**2)
    noise[0] /= np.sqrt(1 - rho**2)
    return np.asarray(lfilter([1.0], [1.0, -rho], noise, axis=0))
