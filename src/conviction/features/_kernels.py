"""Compiled kernels over flat columns.

Window statistics are merged from shorter blocks, each step joining a newer block with the older one before it. Two
consequences: seven merges serve the windows 5, 10, 20, 30 and 60 together, and a value is a function of its window's rows alone, to the last bit, since no running sum carries rounding from row to row. Blocks that reach over a
symbol's first row hold nonsense and are blanked when the columns are written.

Means and centred moments are merged by the pairwise formula of Chan, Golub and LeVeque (1983), which loses no digits to
cancellation and is exactly zero for a constant window.

A step is a row ``(target, newer, newer_rows, older, older_rows)`` of an int64 array; see `ladder`.
"""

# ruff: noqa: PLR0917 (compiled functions take no keywords)
from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Narrow = NDArray[np.float32]
Ints = NDArray[np.int64]

_compiled = njit(cache=True, nogil=True, error_model="numpy")


def ladder(windows: Sequence[int]) -> tuple[Ints, int, dict[int, int]]:
    """Plan the merges that give every window.

    Returns
    -------
    steps : ndarray of int64, shape (n_steps, 5)
        target slot, newer slot, its rows, older slot, its rows; in the order in which they must run.
    slots : int
        Number of slots a statistic needs; slot 0 holds the single rows.
    slot_of : dict
        The slot in which each window's result stands.

    Examples
    --------
    >>> steps, slots, slot_of = ladder([5, 10])
    >>> steps.tolist(), slots, slot_of
    ([[1, 0, 1, 0, 1], [2, 1, 2, 0, 1], [3, 2, 3, 1, 2], [4, 3, 5, 3, 5]], 5, {5: 3, 10: 4})
    """
    slot_of_size = {1: 0}
    steps: list[list[int]] = []

    def reach(size: int) -> None:
        if size in slot_of_size:
            return
        pairs = [newer for newer in slot_of_size if size - newer in slot_of_size]
        newer = max(pairs, default=(size + 1) // 2)
        reach(newer)
        reach(size - newer)
        steps.append([len(slot_of_size), slot_of_size[newer], newer, slot_of_size[size - newer], size - newer])
        slot_of_size[size] = len(slot_of_size)

    for window in sorted(windows):
        reach(window)
    return np.array(steps, dtype=np.int64).reshape(-1, 5), len(slot_of_size), {w: slot_of_size[w] for w in windows}


@_compiled
def fold_sums(steps: Ints, total: Floats) -> None:
    """Sum over every window; `total` is (slots, rows) with slot 0 filled."""
    rows = total.shape[1]
    for i in range(steps.shape[0]):
        target, newer, older = total[steps[i, 0]], total[steps[i, 1]], total[steps[i, 3]]
        reach = steps[i, 2]
        for t in range(reach, rows):
            target[t] = newer[t] + older[t - reach]


@_compiled
def fold_moments(steps: Ints, mean: Floats, square: Floats) -> None:
    """Mean and centred sum of squares over every window; slot 0 holds the values and zeros."""
    rows = mean.shape[1]
    for i in range(steps.shape[0]):
        reach = steps[i, 2]
        part = steps[i, 4] / (reach + steps[i, 4])
        weight = part * reach
        mt, ma, mb = mean[steps[i, 0]], mean[steps[i, 1]], mean[steps[i, 3]]
        qt, qa, qb = square[steps[i, 0]], square[steps[i, 1]], square[steps[i, 3]]
        for t in range(reach, rows):
            step = mb[t - reach] - ma[t]
            qt[t] = qa[t] + qb[t - reach] + weight * step * step
            mt[t] = ma[t] + part * step


@_compiled
def fold_products(steps: Ints, x: Floats, y: Floats, product: Floats) -> None:
    """Centred sum of products over every window, from means that `fold_moments` has left in `x` and `y`."""
    rows = x.shape[1]
    for i in range(steps.shape[0]):
        reach = steps[i, 2]
        weight = steps[i, 4] * reach / (reach + steps[i, 4])
        xa, xb = x[steps[i, 1]], x[steps[i, 3]]
        ya, yb = y[steps[i, 1]], y[steps[i, 3]]
        pt, pa, pb = product[steps[i, 0]], product[steps[i, 1]], product[steps[i, 3]]
        for t in range(reach, rows):
            pt[t] = pa[t] + pb[t - reach] + weight * (xb[t - reach] - xa[t]) * (yb[t - reach] - ya[t])


@_compiled
def fold_slopes(steps: Ints, mean: Floats, product: Floats) -> None:
    """Centred sum of products with time over every window, from the means of `fold_moments`."""
    rows = mean.shape[1]
    for i in range(steps.shape[0]):
        reach, size = steps[i, 2], steps[i, 4]
        # The centre of the newer block lies half of both blocks after the centre of the older one.
        weight = size * reach / (reach + size) * (reach + size) / 2.0
        ma, mb = mean[steps[i, 1]], mean[steps[i, 3]]
        pt, pa, pb = product[steps[i, 0]], product[steps[i, 1]], product[steps[i, 3]]
        for t in range(reach, rows):
            pt[t] = pa[t] + pb[t - reach] + weight * (ma[t] - mb[t - reach])


@_compiled
def fold_largest(steps: Ints, largest: Floats, lag: Floats) -> None:
    """Largest value and its lag over every window, the oldest where several are largest; NaN where one is missing."""
    rows = largest.shape[1]
    for i in range(steps.shape[0]):
        reach = steps[i, 2]
        mt, ma, mb = largest[steps[i, 0]], largest[steps[i, 1]], largest[steps[i, 3]]
        lt, la, lb = lag[steps[i, 0]], lag[steps[i, 1]], lag[steps[i, 3]]
        for t in range(reach, rows):
            new, old = ma[t], mb[t - reach]
            keep = (new > old) | np.isnan(new)
            lt[t] = la[t] if keep else lb[t - reach] + reach
            mt[t] = new if keep else old


@_compiled
def ordered_windows(
    values: Floats, starts: Ints, window: int, shares: Floats, low: Narrow, high: Narrow, rank: Narrow
) -> None:
    """Two quantiles over the newest value, and its rank, from one sorted window that slides along each symbol.

    `shares` holds the two probabilities; quantiles interpolate linearly between order statistics. The rank is the average
    rank of the newest value over the window's rows, in (0, 1].
    """
    ordered = np.empty(window)
    where = shares * (window - 1)
    first = np.minimum(where.astype(np.int64), max(window - 2, 0))
    part = where - first
    for s in range(starts.shape[0] - 1):
        size = 0
        for t in range(starts[s], starts[s + 1]):
            value = values[t]
            low[t] = np.nan
            high[t] = np.nan
            rank[t] = np.nan
            if np.isnan(value):
                size = 0
                continue
            if size < window:
                place = size
                while place > 0 and ordered[place - 1] > value:
                    ordered[place] = ordered[place - 1]
                    place -= 1
                size += 1
            else:
                place = _replace(ordered, values[t - window], value)
            ordered[place] = value
            if size == window:
                begin = place
                while begin > 0 and ordered[begin - 1] == value:
                    begin -= 1
                end = place
                while end < window - 1 and ordered[end + 1] == value:
                    end += 1
                rank[t] = ((begin + end) * 0.5 + 1.0) / window
                low[t] = (ordered[first[0]] + part[0] * (ordered[first[0] + 1] - ordered[first[0]])) / value
                high[t] = (ordered[first[1]] + part[1] * (ordered[first[1] + 1] - ordered[first[1]])) / value


@_compiled
def _replace(ordered: Floats, leaving: float, value: float) -> int:
    """Take `leaving` out of the sorted array, close up towards where `value` belongs, and return that place."""
    left, right = 0, ordered.shape[0] - 1
    while left < right:
        middle = (left + right) >> 1
        if ordered[middle] < leaving:
            left = middle + 1
        else:
            right = middle
    place = left
    while place + 1 < ordered.shape[0] and ordered[place + 1] < value:
        ordered[place] = ordered[place + 1]
        place += 1
    while place > 0 and ordered[place - 1] > value:
        ordered[place] = ordered[place - 1]
        place -= 1
    return place


@_compiled
def write_scaled(position: Ints, warm: int, values: Floats, scale: float, over: Floats, out: Narrow) -> None:
    """Write scale * values / over as Float32, NaN while fewer than `warm` rows came before."""
    for t in range(values.shape[0]):
        out[t] = values[t] * scale / over[t] if position[t] >= warm else np.nan


@_compiled
def write_deviation(position: Ints, warm: int, square: Floats, divisor: float, over: Floats, out: Narrow) -> None:
    """Write sqrt(square / divisor) / over."""
    for t in range(square.shape[0]):
        out[t] = np.sqrt(square[t] / divisor) / over[t] if position[t] >= warm else np.nan


@_compiled
def write_share(position: Ints, warm: int, up: Floats, total: Floats, out: NDArray[np.float32]) -> None:
    """Write up, down and up - down, each over the total, into the three rows of `out`; down = total - up."""
    first, second, third = out[0], out[1], out[2]
    for t in range(up.shape[0]):
        over = total[t] + 1e-12
        good = position[t] >= warm
        first[t] = up[t] / over if good else np.nan
        second[t] = (total[t] - up[t]) / over if good else np.nan
        third[t] = (2.0 * up[t] - total[t]) / over if good else np.nan


@_compiled
def write_counts(position: Ints, window: int, up: Floats, down: Floats, out: NDArray[np.float32]) -> None:
    """Write the shares of rising and falling rows and their difference; the window needs one row before it."""
    first, second, third = out[0], out[1], out[2]
    for t in range(up.shape[0]):
        good = position[t] >= window
        first[t] = up[t] / window if good else np.nan
        second[t] = down[t] / window if good else np.nan
        third[t] = (up[t] - down[t]) / window if good else np.nan


@_compiled
def write_regression(
    position: Ints, window: int, close: Floats, mean: Floats, square: Floats, product: Floats, out: NDArray[np.float32]
) -> None:
    """Write slope / close, r-square and newest residual / close of the regression on time."""
    slopes, fits, rests = out[0], out[1], out[2]
    spread = window * (window * window - 1.0) / 12.0
    for t in range(close.shape[0]):
        good = position[t] >= window - 1
        slope = product[t] / spread
        fit = product[t] * slope / square[t]
        rest = close[t] - mean[t] - slope * (window - 1.0) / 2.0
        slopes[t] = slope / close[t] if good else np.nan
        fits[t] = fit if good & (square[t] > 0.0) else np.nan
        rests[t] = rest / close[t] if good else np.nan


@_compiled
def write_correlation(position: Ints, warm: int, x: Floats, y: Floats, product: Floats, out: Narrow) -> None:
    """Write product / sqrt(x * y), NaN where a side does not move."""
    for t in range(x.shape[0]):
        good = (position[t] >= warm) & (x[t] > 0.0) & (y[t] > 0.0)
        out[t] = product[t] / np.sqrt(x[t] * y[t]) if good else np.nan


@_compiled
def write_extremes(
    position: Ints,
    window: int,
    close: Floats,
    highest: Floats,
    lag_high: Floats,
    lowest: Floats,
    lag_low: Floats,
    out: NDArray[np.float32],
) -> None:
    """Write max / close, min / close, place of the close between them, and the places of both within the window.

    `lowest` holds the largest of the negated lows.
    """
    tops, bottoms, places, at_tops, at_bottoms, gaps = out[0], out[1], out[2], out[3], out[4], out[5]
    for t in range(close.shape[0]):
        top, bottom = highest[t], -lowest[t]
        good = (position[t] >= window - 1) & np.isfinite(top + bottom + close[t])
        tops[t] = top / close[t] if good else np.nan
        bottoms[t] = bottom / close[t] if good else np.nan
        places[t] = (close[t] - bottom) / (top - bottom + 1e-12) if good else np.nan
        at_tops[t] = (window - lag_high[t]) / window if good else np.nan
        at_bottoms[t] = (window - lag_low[t]) / window if good else np.nan
        gaps[t] = (lag_low[t] - lag_high[t]) / window if good else np.nan


KERNELS = (
    fold_sums,
    fold_moments,
    fold_products,
    fold_slopes,
    fold_largest,
    ordered_windows,
    write_scaled,
    write_deviation,
    write_share,
    write_counts,
    write_regression,
    write_correlation,
    write_extremes,
)


def compiled_before(kernel: Any) -> bool:
    """Return whether the kernel stands compiled, as it is written now, in memory or in the cache on disk."""
    from pathlib import Path

    if kernel.signatures:
        return True
    written = Path(__file__).stat().st_mtime
    cached = Path(kernel.stats.cache_path).glob(f"_kernels.{kernel.py_func.__name__}-*.nbi")
    return any(index.stat().st_mtime >= written for index in cached)
