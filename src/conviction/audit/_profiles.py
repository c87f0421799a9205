"""Lead-lag profiles: each column against the returns around it, with errors clustered by session."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np

from conviction.audit._report import LeadLagProfile

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from conviction.audit._code_values import Grid

LAGS: Final = tuple(range(-20, 21))


def dense(values: NDArray[np.floating[Any]], grid: Grid) -> NDArray[np.float64]:
    """Return a column as a (session, symbol) table, NaN where there is no row."""
    table = np.full((len(grid.sessions), len(grid.symbols)), np.nan)
    table[grid.session_code, grid.symbol_code] = values
    return table


def standard_ranks(table: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the ranks within each session, centred and of unit length, 0 where the value is missing.

    Ties share their mean rank. The product of two such rows is Spearman's correlation of the session when neither has
    missing values, and a shrunken one when some are missing.
    """
    from scipy.stats import rankdata

    known = np.isfinite(table)
    ranks = rankdata(np.where(known, table, np.inf), axis=1)
    ranks = np.where(known, ranks, 0.0)
    count = known.sum(axis=1, keepdims=True)
    centred = np.where(known, ranks - ranks.sum(axis=1, keepdims=True) / np.maximum(count, 1), 0.0)
    length = np.sqrt((centred**2).sum(axis=1, keepdims=True))
    return np.asarray(np.divide(centred, length, out=np.zeros_like(centred), where=length > 0))


def daily_associations(
    column: NDArray[np.float64], returns: NDArray[np.float64], lags: Sequence[int]
) -> list[NDArray[np.float64]]:
    """Return, for each lag, one association a session between standard ranks of a column at t and of returns at t + lag."""
    n = len(column)
    known, moved = np.asarray(column.any(axis=1)), np.asarray(returns.any(axis=1))
    series = []
    for lag in lags:
        here = slice(max(0, -lag), max(0, min(n, n - lag)))
        there = slice(here.start + lag, here.stop + lag)
        products = np.einsum("ij,ij->i", column[here], returns[there])
        series.append(products[known[here] & moved[there]])
    return series


def newey_west_error(series: NDArray[np.float64]) -> float:
    """Return the standard error of the mean of a series with L = floor(4 (T/100)^(2/9)) lags.

    References
    ----------
    Newey and West (1987).
    """
    n = len(series)
    if n < 3:
        return float("nan")
    centred = series - series.mean()
    lags = int(4 * (n / 100) ** (2 / 9))
    variance = float(centred @ centred) / n
    for k in range(1, min(lags, n - 1) + 1):
        variance += 2 * (1 - k / (lags + 1)) * float(centred[k:] @ centred[:-k]) / n
    return float(np.sqrt(max(variance, 0.0) / n))


def lead_lag_profiles(
    columns: Mapping[str, NDArray[np.floating[Any]]],
    close: NDArray[np.float64],
    grid: Grid,
    *,
    lags: Sequence[int] = LAGS,
    level: float = 0.05,
) -> tuple[LeadLagProfile, ...]:
    """Return the lead-lag profile of each column against one-session returns.

    Parameters
    ----------
    columns : mapping of str to numpy.ndarray, shape (rows,)
        Columns on the grid's rows, NaN for missing.
    close : numpy.ndarray of float64, shape (rows,)
        Closing prices.
    grid : Grid
        The rows.
    lags : sequence of int
        Sessions from the column's session to the return's; +1 is the return that begins at the column's close.
    level : float
        Family-wise level of the band, Bonferroni over lags and columns.

    Returns
    -------
    tuple of LeadLagProfile
        Mean over sessions of the rank correlation across symbols (columns that are the same for all symbols, and
        panels of fewer than three, are instead correlated over time, symbol by symbol mean). The band's half-width is
        the Newey-West error over sessions times the two-sided normal quantile of the corrected level.
    """
    from scipy.stats import norm

    price = dense(close, grid)
    returns = np.full_like(price, np.nan)
    with np.errstate(invalid="ignore", divide="ignore"):
        returns[1:] = price[1:] / price[:-1] - 1.0
    ranked_returns = standard_ranks(returns)
    mean_return = _standard(_session_mean(returns))
    quantile = float(norm.isf(level / (2 * max(1, len(columns)) * len(lags))))
    profiles = []
    for name, values in columns.items():
        table = dense(values, grid)
        ranked = standard_ranks(table)
        if len(grid.symbols) >= 3 and ranked.any():
            per_lag = daily_associations(ranked, ranked_returns, lags)
            measure = "mean daily rank correlation"
        else:
            mean_value = _standard(_session_mean(table))
            per_lag = [_time_products(mean_value, mean_return, lag) for lag in lags]
            measure = "correlation over sessions with the mean return"
        profiles.append(
            LeadLagProfile(
                column=name,
                lags=tuple(lags),
                values=tuple(float(series.mean()) if len(series) else float("nan") for series in per_lag),
                band=tuple(quantile * newey_west_error(series) for series in per_lag),
                measure=measure,
            )
        )
    return tuple(profiles)


def _session_mean(table: NDArray[np.float64]) -> NDArray[np.float64]:
    known = np.isfinite(table)
    count = known.sum(axis=1)
    total = np.where(known, table, 0.0).sum(axis=1)
    return np.asarray(np.divide(total, count, out=np.full(len(table), np.nan), where=count > 0))


def _standard(series: NDArray[np.float64]) -> NDArray[np.float64]:
    known = np.isfinite(series)
    if known.sum() < 3:
        return np.full(len(series), np.nan)
    spread = float(series[known].std())
    return (series - series[known].mean()) / spread if spread > 0 else np.full(len(series), np.nan)


def _time_products(column: NDArray[np.float64], returns: NDArray[np.float64], lag: int) -> NDArray[np.float64]:
    n = len(column)
    rows = np.arange(max(0, -lag), min(n, n - lag))
    products = column[rows] * returns[rows + lag]
    return np.asarray(products[np.isfinite(products)], dtype=np.float64)
