"""Statistics over the members of a session.

Sums over a session are taken in the order of the symbols, one member after the other, so that a value depends on its own
session alone, to the last bit.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from conviction.features._rows import Floats, Rows, divide

Codes = NDArray[np.int64]


def rank(rows: Rows, values: Floats) -> Floats:
    """Return the rank among the session's members as (average rank - 1) / (members - 1), NaN for a lone member.

    Parameters
    ----------
    rows : Rows
        Whole sessions.
    values : ndarray of float64, shape (height,)
        NaN values and rows outside the universe are not ranked.

    Examples
    --------
    >>> from datetime import date
    >>> import polars as pl
    >>> rows = Rows(pl.DataFrame({"symbol": ["A", "B", "C"], "session": [date(2020, 1, 2)] * 3}))
    >>> rank(rows, np.array([3.0, 1.0, 1.0])).tolist()
    [1.0, 0.25, 0.25]
    """
    chosen = np.flatnonzero(_counted(rows, values))
    out = np.full(rows.height, np.nan)
    if not chosen.size:
        return out
    codes, picked = rows.session_codes()[chosen], values[chosen]
    order = np.lexsort((picked, codes))
    codes, picked = codes[order], picked[order]
    place = np.arange(chosen.size)
    first = np.maximum.accumulate(np.where(np.diff(codes, prepend=-1) != 0, place, 0))
    size = np.bincount(codes)[codes]
    new = (np.diff(codes, prepend=-1) != 0) | (np.diff(picked, prepend=np.nan) != 0.0)
    tie = np.cumsum(new) - 1
    begin = np.flatnonzero(new)
    end = np.append(begin[1:], chosen.size) - 1
    middle = (begin[tie] + end[tie]) / 2.0
    out[chosen[order]] = divide(middle - first, (size - 1).astype(np.float64))
    return out


def mean(rows: Rows, values: Floats, groups: Codes | None = None) -> Floats:
    """Return the mean of the session's members (or of each of its groups), the same for each; NaN for the others.

    Parameters
    ----------
    rows : Rows
        Whole sessions.
    values : ndarray of float64, shape (height,)
        NaN values and rows outside the universe are not counted.
    groups : ndarray of int64, shape (height,), optional
        Codes that never join two sessions; below 0 for rows without a group. By default a session is one group.
    """
    counted, codes, size = _counted_groups(rows, values, groups)
    total: Floats = np.bincount(codes[counted], weights=values[counted], minlength=size.size).astype(np.float64)
    return np.where(counted, divide(total, size)[codes], np.nan)


def demean(rows: Rows, values: Floats, groups: Codes | None = None) -> Floats:
    """Return the values minus the mean of the session's members (or of their group); NaN outside the universe."""
    return values - mean(rows, values, groups)


def deviation(rows: Rows, values: Floats) -> Floats:
    """Return the session's standard deviation (divisor members - 1), the same for each counted member."""
    counted, codes, size = _counted_groups(rows, values, None)
    centred = demean(rows, values)[counted]
    squares: Floats = np.bincount(codes[counted], weights=centred * centred, minlength=size.size).astype(np.float64)
    return np.where(counted, np.sqrt(divide(squares, np.maximum(size - 1.0, 0.0)))[codes], np.nan)


def standardise(rows: Rows, values: Floats) -> Floats:
    """Return the values minus the session's mean over its standard deviation."""
    return divide(demean(rows, values), deviation(rows, values))


def residual(rows: Rows, values: Floats, regressor: Floats) -> Floats:
    """Return what the session's least-squares line of `values` on `regressor` leaves; NaN where either is missing."""
    both = np.isfinite(regressor) & np.isfinite(values)
    y = demean(rows, np.where(both, values, np.nan))
    x = demean(rows, np.where(both, regressor, np.nan))
    return y - divide(mean(rows, x * y), mean(rows, x * x)) * x


def _counted(rows: Rows, values: Floats) -> NDArray[np.bool_]:
    found: NDArray[np.bool_] = rows.members() & np.isfinite(values)
    return found


def _counted_groups(rows: Rows, values: Floats, groups: Codes | None) -> tuple[NDArray[np.bool_], Codes, Floats]:
    codes = rows.session_codes() if groups is None else groups
    counted = _counted(rows, values) & (codes >= 0)
    size: Floats = np.bincount(codes[counted], minlength=codes.max(initial=-1) + 1).astype(np.float64)
    return counted, codes, size
