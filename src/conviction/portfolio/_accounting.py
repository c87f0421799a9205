"""Turnover, costs and the statistics of a series of returns, each with its interval."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from conviction.evaluation import BootstrapEstimate, block_counts, block_length, bootstrap_estimate, newey_west_mean
from conviction.portfolio.parameters import PortfolioParameters

if TYPE_CHECKING:
    import numpy.typing as npt

    Floats = npt.NDArray[np.float64]

BPS = 1e4


def traded_notional(weights: Floats, returns: Floats) -> Floats:
    """Return how much is traded in each session, as a share of the capital.

    The sum over symbols of the distance between the new weight and the old one as returns have moved it; the first session
    enters from cash; the last exit is not counted.

    Parameters
    ----------
    weights : numpy.ndarray of float64, shape (n_sessions, n_symbols)
        Target weights; zero where nothing is held.
    returns : numpy.ndarray of float64, shape (n_sessions, n_symbols)
        What each holding earned until the next session; no NaN.

    Returns
    -------
    numpy.ndarray of float64, shape (n_sessions,)

    Examples
    --------
    >>> traded_notional(np.array([[1.0, 0.0], [0.0, 1.0]]), np.zeros((2, 2))).tolist()
    [1.0, 2.0]
    """
    earned = (weights * returns).sum(axis=1, keepdims=True)
    drifted = weights * (1 + returns) / (1 + earned)
    before = np.vstack([np.zeros(weights.shape[1]), drifted[:-1]])
    return np.asarray(np.abs(weights - before).sum(axis=1))


def max_drawdown(returns: Floats) -> float:
    """Return the largest loss from a peak of the compounded series, as a positive share.

    Examples
    --------
    >>> round(max_drawdown(np.array([0.1, -0.5, 0.2])), 6)
    0.5
    """
    wealth = np.concatenate([[1.0], np.cumprod(1 + returns)])
    return float((1 - wealth / np.maximum.accumulate(wealth)).max())


@dataclass(frozen=True)
class Economics:
    """What a series of weights earned, before and after costs, each with its interval.

    All means are per session and in basis points; Sharpe ratios are annualised. `lo`, `hi` are NaN where there are too few sessions.

    Attributes
    ----------
    n_sessions : int
    gross_bps, gross_lo, gross_hi, gross_t : float
        Mean return before costs (Newey-West).
    net_bps, net_lo, net_hi, net_t : float
        The same after costs.
    turnover : float
        Mean traded notional a session, as a share of the capital.
    break_even_bps, break_even_lo, break_even_hi : float
        One-way cost of a traded unit at which nothing is left: mean gross return over mean traded notional (block bootstrap).
    sharpe_gross, sharpe_net, sharpe_net_lo, sharpe_net_hi : float
        Annualised mean over standard deviation (block bootstrap).
    max_drawdown : float
        Of the net returns.
    """

    n_sessions: int
    gross_bps: float
    gross_lo: float
    gross_hi: float
    gross_t: float
    net_bps: float
    net_lo: float
    net_hi: float
    net_t: float
    turnover: float
    break_even_bps: float
    break_even_lo: float
    break_even_hi: float
    sharpe_gross: float
    sharpe_net: float
    sharpe_net_lo: float
    sharpe_net_hi: float
    max_drawdown: float

    @property
    def positive_after_costs(self) -> bool:
        """Whether the whole interval of the net mean is above zero."""
        return self.net_lo > 0


def economics(gross: Floats, traded: Floats, *, portfolio: PortfolioParameters, seed: int) -> Economics:
    """Measure a series of gross returns and what had to be traded for them.

    Parameters
    ----------
    gross, traded : numpy.ndarray of float64, shape (n_sessions,)
        Return and traded notional of each session.
    portfolio : PortfolioParameters
        `cost_bps`, `confidence`, and the bootstrap's settings.
    seed : int
    """
    nan = float("nan")
    net = gross - traded * portfolio.cost_bps / BPS
    annual = np.sqrt(portfolio.sessions_a_year)
    point = {
        "n_sessions": len(gross),
        "gross_bps": float(gross.mean()) * BPS,
        "net_bps": float(net.mean()) * BPS,
        "turnover": float(traded.mean()),
        "break_even_bps": float(_ratio(gross.mean(), traded.mean())) * BPS,
        "sharpe_gross": float(_ratio(gross.mean(), gross.std(ddof=1)) * annual) if len(gross) > 1 else nan,
        "sharpe_net": float(_ratio(net.mean(), net.std(ddof=1)) * annual) if len(gross) > 1 else nan,
        "max_drawdown": max_drawdown(net),
    }
    bounds = dict.fromkeys(
        ["gross_lo", "gross_hi", "gross_t", "net_lo", "net_hi", "net_t", "break_even_lo", "break_even_hi"], nan
    ) | dict.fromkeys(["sharpe_net_lo", "sharpe_net_hi"], nan)
    if len(gross) >= portfolio.min_sessions:
        bounds = _bounds(gross, net, traded, portfolio=portfolio, seed=seed)
    return Economics(**point, **bounds)  # type: ignore[arg-type]


def _bounds(
    gross: Floats, net: Floats, traded: Floats, *, portfolio: PortfolioParameters, seed: int
) -> dict[str, float]:
    before = newey_west_mean(gross, null=0.0, confidence=portfolio.confidence)
    after = newey_west_mean(net, null=0.0, confidence=portfolio.confidence)
    n = len(gross)
    block = block_length(net, minimum=portfolio.min_block)
    counts = block_counts(n, block=block, n_resamples=portfolio.n_resamples, rng=np.random.default_rng(seed)) / n
    mean = counts @ net
    spread = np.sqrt(np.maximum(counts @ net**2 - mean**2, 0) * n / (n - 1))
    annual = np.sqrt(portfolio.sessions_a_year)

    def estimate(value: Floats, resampled: Floats) -> BootstrapEstimate:
        return bootstrap_estimate(
            float(value), resampled, null=0.0, confidence=portfolio.confidence, block=block, n_sessions=n
        )

    sharpe = estimate(_ratio(net.mean(), net.std(ddof=1)) * annual, _ratio(mean, spread) * annual)
    even = estimate(_ratio(gross.mean(), traded.mean()) * BPS, _ratio(counts @ gross, counts @ traded) * BPS)
    return {
        "gross_lo": before.lo * BPS,
        "gross_hi": before.hi * BPS,
        "gross_t": before.t,
        "net_lo": after.lo * BPS,
        "net_hi": after.hi * BPS,
        "net_t": after.t,
        "break_even_lo": even.lo,
        "break_even_hi": even.hi,
        "sharpe_net_lo": sharpe.lo,
        "sharpe_net_hi": sharpe.hi,
    }


def _ratio(top: npt.ArrayLike, bottom: npt.ArrayLike) -> Floats:
    """Divide where the divisor is above zero; NaN elsewhere."""
    divisor = np.asarray(bottom, dtype=np.float64)
    value = np.asarray(top, dtype=np.float64)
    out = np.full(divisor.shape, np.nan)
    np.divide(value, divisor, out=out, where=divisor > 0)
    return out
