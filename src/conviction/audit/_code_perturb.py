"""Where to cut the data, and how to change what comes after the cut.

Every change keeps a bar possible: open, high, low and close of a row move by one factor, volume by another.
"""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Final

import numpy as np
import polars as pl

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

PRICES: Final = ("open", "high", "low", "close")
#: Factors of (price, volume) that make the session after a cut an extreme one.
JUMPS: Final = {"up": (1.35, 6.0), "down": (0.70, 0.15)}


def spread_cuts(n_sessions: int, n_cuts: int, *, seed: int) -> list[int]:
    """Return session positions (the last one kept) at which to cut: warm-up, random middle, the last but one.

    Parameters
    ----------
    n_sessions : int
        Number of sessions, at least 3.
    n_cuts : int
        How many cuts, at least 3.
    seed : int
        Seed of the random ones.

    Returns
    -------
    list of int
        Sorted distinct positions in ``[0, n_sessions - 2]``. A third of them falls into the first tenth of the
        history (at most 60 sessions), where windows are not yet full; the last is the last but one session, which
        leaves nearly all rows comparable; the others are random, one in each equal part of the first half, where a cut
        costs less and looks as far.

    Examples
    --------
    >>> spread_cuts(1000, 4, seed=0)
    [29, 246, 419, 998]
    """
    last = n_sessions - 2
    n_warm = max(1, n_cuts // 3)
    warm_end = max(2, min(60, n_sessions // 10))
    warm = [max(0, round(warm_end * (i + 1) / (n_warm + 1)) - 1) for i in range(n_warm)]
    n_middle = max(0, n_cuts - n_warm - 1)
    rng = np.random.default_rng(seed)
    edges = np.linspace(warm_end, max(warm_end + 1, int(last * 0.5)), n_middle + 1)
    middle = [int(rng.integers(int(low), max(int(low) + 1, int(high)))) for low, high in pairwise(edges)]
    return sorted({min(last, position) for position in (*warm, *middle, last)})


def scaled(
    bars: pl.DataFrame, price: NDArray[np.float64], volume: NDArray[np.float64], *, extra: Sequence[str] = ()
) -> pl.DataFrame:
    """Return the bars with each row's prices multiplied by `price` and its volume by `volume` (shape (rows,) each).

    Other columns named in `extra` move with the price factor. Integer volumes stay integers.
    """
    by_price = pl.Series(price)
    columns = [(bars[name] * by_price).alias(name) for name in (*PRICES, *extra) if name in bars.columns]
    if "volume" in bars.columns:
        moved = bars["volume"] * pl.Series(volume)
        if bars.schema["volume"].is_integer():
            moved = moved.round().cast(bars.schema["volume"])
        columns.append(moved.alias("volume"))
    return bars.with_columns(columns)


def noisy_factors(
    rows: int, where: NDArray[np.bool_], *, seed: int, sigma: float = 0.08
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return (price, volume) factors: lognormal noise on the rows `where`, one elsewhere."""
    rng = np.random.default_rng(seed)
    price = np.where(where, np.exp(sigma * rng.standard_normal(rows)), 1.0)
    volume = np.where(where, np.exp(6 * sigma * rng.standard_normal(rows)), 1.0)
    return price, volume


def jump_factors(where: NDArray[np.bool_], direction: str) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return (price, volume) factors of one level shift on the rows `where`."""
    price, volume = JUMPS[direction]
    return np.where(where, price, 1.0), np.where(where, volume, 1.0)
