"""Resampling of whole sessions in blocks, and means of dependent series."""

from __future__ import annotations

from dataclasses import dataclass
from math import floor, sqrt
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import numpy.typing as npt

    Floats = npt.NDArray[np.float64]


def block_length(series: Floats, *, minimum: int) -> int:
    """Return the block length of the circular bootstrap that suits a series, in sessions.

    Politis and White 2004 with the correction of Patton, Politis and White 2009 (``arch.bootstrap.optimal_block_length``),
    but at least `minimum` and at most a fifth of the series.

    Examples
    --------
    >>> block_length(np.random.default_rng(0).normal(size=500), minimum=5)
    5
    """
    ceiling = max(1, len(series) // 5)
    floor_ = min(minimum, ceiling)
    if len(series) < 20 or not np.std(series) > 0:
        return floor_
    from arch.bootstrap import optimal_block_length

    suggested = float(optimal_block_length(series)["circular"].iloc[0])
    if not np.isfinite(suggested):
        return floor_
    return int(min(ceiling, max(floor_, np.ceil(suggested))))


def block_counts(n_sessions: int, *, block: int, n_resamples: int, rng: np.random.Generator) -> Floats:
    """Draw resamples of sessions in circular blocks and return how often each session was drawn.

    Circular block bootstrap (Politis and Romano 1992, after Kunsch 1989): every session is equally likely; blocks wrap
    around the end; a resample has exactly `n_sessions` sessions.

    Returns
    -------
    numpy.ndarray of float64, shape (n_resamples, n_sessions)
        Each row sums to `n_sessions`.

    Examples
    --------
    >>> counts = block_counts(10, block=3, n_resamples=4, rng=np.random.default_rng(0))
    >>> counts.shape, counts.sum(axis=1).tolist()
    ((4, 10), [10.0, 10.0, 10.0, 10.0])
    """
    n_blocks = -(-n_sessions // block)
    starts = rng.integers(0, n_sessions, size=(n_resamples, n_blocks))
    drawn = (starts[:, :, None] + np.arange(block)).reshape(n_resamples, -1)[:, :n_sessions] % n_sessions
    drawn += np.arange(n_resamples)[:, None] * n_sessions
    flat = np.bincount(drawn.ravel(), minlength=n_resamples * n_sessions)
    return flat.reshape(n_resamples, n_sessions).astype(np.float64)


@dataclass(frozen=True)
class MeanEstimate:
    """A mean of a dependent series with its standard error, interval and test against a null value."""

    mean: float
    se: float
    lo: float
    hi: float
    t: float
    p: float
    n: int


def newey_west_lags(n: int) -> int:
    """Return L = floor(4 (n/100)^(2/9)), the lag of Newey and West 1987 in the form of their 1994 rule.

    Examples
    --------
    >>> newey_west_lags(100), newey_west_lags(560)
    (4, 5)
    """
    rule: float = 4 * (n / 100) ** (2 / 9)
    return floor(rule)


def newey_west_mean(series: Floats, *, null: float, confidence: float) -> MeanEstimate:
    """Estimate the mean of a serially dependent series with a Newey-West standard error.

    Bartlett weights, L = floor(4 (T/100)^(2/9)) lags, small-sample factor T / (T - 1) (Newey and West 1987). The standard
    error is itself an estimate from about T / (L + 1) independent pieces, so that the interval and the p-value take
    Student's t with T / (L + 1) - 1 degrees of freedom, close to the fixed-b values of Kiefer and Vogelsang 2005.

    Parameters
    ----------
    series : numpy.ndarray of float64, shape (T,)
        Ascending in time, no missing values, T >= 2.
    null : float
        Value of the mean under the null, for `t` and the two-sided `p`.
    confidence : float
        Of the interval.

    Returns
    -------
    MeanEstimate
        `t` and `p` are NaN when the series does not vary.

    Examples
    --------
    >>> estimate = newey_west_mean(np.array([0.1, -0.1] * 50), null=0.0, confidence=0.95)
    >>> round(estimate.mean, 6), estimate.lo < 0 < estimate.hi
    (0.0, True)
    """
    from scipy.stats import t as student

    n = len(series)
    mean = float(np.mean(series))
    centred = series - mean
    variance = float(centred @ centred) / n
    lags = min(newey_west_lags(n), n - 1)
    for lag in range(1, lags + 1):
        variance += 2 * (1 - lag / (lags + 1)) * float(centred[lag:] @ centred[:-lag]) / n
    se = sqrt(max(variance, 0.0) / n * n / (n - 1))
    if se < 1e-15:
        return MeanEstimate(mean, 0.0, mean, mean, float("nan"), float("nan"), n)
    freedom = max(1.0, n / (lags + 1) - 1)
    half = float(student.ppf(0.5 + confidence / 2, freedom)) * se
    statistic = (mean - null) / se
    p = 2 * float(student.sf(abs(statistic), freedom))
    return MeanEstimate(mean, se, mean - half, mean + half, statistic, p, n)


@dataclass(frozen=True)
class BootstrapEstimate:
    """A statistic with the standard error, interval and test that a block bootstrap gives it.

    Attributes
    ----------
    value, se, lo, hi : float
        The statistic on all sessions, its standard error, and its interval.
    p : float
        Two-sided, against the null value; NaN when the resamples do not vary.
    block : int
        Block length in sessions.
    """

    value: float
    se: float
    lo: float
    hi: float
    p: float
    block: int


def bootstrap_estimate(
    value: float, resampled: Floats, *, null: float, confidence: float, block: int, n_sessions: int
) -> BootstrapEstimate:
    """Turn the resamples of a statistic into a standard error, an interval and a p-value that agree with each other.

    The standard error is the standard deviation of the resamples times sqrt(T / (T - b)), which repays the variance that
    centring takes from T / b blocks; the interval is Student's t with T / b - 1 degrees of freedom around the value.
    Against percentiles this holds its coverage on short histories and gives p-values below one over the number of
    resamples, which corrections for multiplicity need. `benchmarks/evaluation.py` measures the coverage.

    Parameters
    ----------
    value : float
        The statistic on all sessions.
    resampled : numpy.ndarray of float64, shape (n_resamples,)
        NaN where a resample left it undefined.
    null : float
        Value under the null, for `p`.
    confidence : float
        Of the interval.
    block, n_sessions : int
        Of the bootstrap that made the resamples.
    """
    from scipy.stats import t as student

    usable = resampled[np.isfinite(resampled)]
    freedom = max(1, n_sessions // block - 1)
    inflation = sqrt(n_sessions / max(1, n_sessions - block))
    se = float(np.std(usable, ddof=1)) * inflation if len(usable) > 1 else 0.0
    if se < 1e-12:
        return BootstrapEstimate(value, 0.0, value, value, float("nan"), block)
    half = float(student.ppf(0.5 + confidence / 2, freedom)) * se
    p = 2 * float(student.sf(abs(value - null) / se, freedom))
    return BootstrapEstimate(value, se, value - half, value + half, p, block)
