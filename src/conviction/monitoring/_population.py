"""Population stability index, with the distribution that it has when nothing changed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import polars as pl

if TYPE_CHECKING:
    import numpy.typing as npt

    Floats = npt.NDArray[np.float64]

_SMOOTHING = 0.5
# Share of a period's sessions in which a column must have values for the period to be judged.
PRESENT = 0.8


def stability_index(counts: Floats, reference: Floats) -> Floats:
    """Return the population stability index of counts in bins, sum of (p - q) ln(p / q).

    Half a row is added to each bin, so that an empty one does not make the index infinite.

    Parameters
    ----------
    counts, reference : numpy.ndarray of float64, shape (..., n_bins)
        Rows in each bin.

    Returns
    -------
    numpy.ndarray of float64, shape (...)
        0 where the shares are equal; never negative.

    References
    ----------
    Siddiqi, *Credit Risk Scorecards* (2006). It is Jeffreys' divergence (1946) of the two histograms.

    Examples
    --------
    >>> round(float(stability_index(np.array([50.0, 50.0]), np.array([80.0, 20.0]))), 2)
    0.41
    """
    shares = [
        (one + _SMOOTHING) / (one.sum(axis=-1, keepdims=True) + _SMOOTHING * one.shape[-1])
        for one in (counts, reference)
    ]
    return np.asarray(((shares[0] - shares[1]) * np.log(shares[0] / shares[1])).sum(axis=-1))


def session_counts(frame: pl.DataFrame, column: str, *, reference: pl.Series, n_bins: int) -> Floats:
    """Return how many rows of each session fall into each bin of a column.

    Parameters
    ----------
    frame : polars.DataFrame
        `session` and the column; null and NaN have a bin of their own.
    column : str
    reference : polars.Series of Date
        Sessions whose quantiles are the edges of the bins.
    n_bins : int
        At most; equal quantiles make fewer.

    Returns
    -------
    numpy.ndarray of float64, shape (n_sessions, bins + 1)
        Sessions in order, the last column counts missing values.
    """
    values = frame[column].cast(pl.Float64).fill_nan(None)
    known = values.filter(frame["session"].is_in(reference.implode())).drop_nulls().to_numpy()
    inner = np.linspace(0, 1, n_bins + 1)[1:-1]
    edges = np.unique(np.quantile(known, inner, method="inverted_cdf")) if known.size else np.empty(0)
    position = frame["session"].rank("dense").to_numpy().astype(np.int64) - 1
    width = len(edges) + 2
    place = np.searchsorted(edges, values.fill_null(0.0).to_numpy(), side="left")
    place[values.is_null().to_numpy()] = width - 1
    flat = np.bincount(position * width + place, minlength=(int(position.max()) + 1) * width)
    return flat.reshape(-1, width).astype(np.float64)


def past_indices(counts: Floats, *, window: int, stride: int) -> Floats:
    """Return the index of every earlier period against the rest of the reference.

    Whole periods of sessions are taken, one after the other, so that the dependence between sessions and between the rows of a
    session is in the distribution (subsampling: Politis, Romano and Wolf 1999).

    Parameters
    ----------
    counts : numpy.ndarray of float64, shape (n_sessions, n_bins)
        Of the reference.
    window : int
        Sessions of a period.
    stride : int
        Sessions between the starts of two periods.

    Returns
    -------
    numpy.ndarray of float64, shape (n_periods,)
        NaN where the column has values in less than four fifths of the period's sessions.
    """
    total = counts.sum(axis=0)
    running = np.vstack([np.zeros(counts.shape[1]), np.cumsum(counts, axis=0)])
    starts = np.arange(0, len(counts) - window + 1, stride)
    inside = running[starts + window] - running[starts]
    present = np.concatenate([[0], np.cumsum(counts.sum(axis=1) > 0)])
    enough = present[starts + window] - present[starts] >= PRESENT * window
    return np.where(enough, stability_index(inside, total - inside), np.nan)
