"""The audited dataset as dense arrays: sessions by symbols, with the packing that makes windows count own rows."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl

Array = np.ndarray[Any, np.dtype[Any]]
_MOST_ABSENT = 0.25


@dataclass(kw_only=True)
class Panel:
    """Clean rows on a grid of sessions (axis 0) by symbols (axis 1); float64, NaN where a row or value is missing.

    Attributes
    ----------
    symbols : tuple of str
        Axis 1.
    sessions : ndarray of datetime64
        Axis 0.
    present : ndarray of bool, shape (T, S)
        Whether the symbol has a row in the session.
    rows : ndarray of int64, shape (T, S)
        Position of the row in the raw frame, -1 where absent.
    """

    symbols: tuple[str, ...]
    sessions: Array
    present: Array
    rows: Array
    frame: pl.DataFrame
    prices: dict[str, str]
    _pack: Array | None
    _grids: dict[str, Array]

    @classmethod
    def build(cls, frame: pl.DataFrame, *, prices: dict[str, str], calendar: Iterable[Any] = ()) -> Panel:
        """Build the grid from clean rows sorted by symbol and session.

        Sessions of the `calendar` that no row has get a place too, so that "k sessions later" never skips a gap;
        unless they are many, for then the dataset keeps a calendar of its own.
        """
        symbols = frame["symbol"].unique().sort()
        sessions = frame["session"].unique().sort()
        absent = pl.Series(sorted(set(calendar) - set(sessions)), dtype=sessions.dtype)
        if 0 < len(absent) <= _MOST_ABSENT * len(sessions):
            sessions = pl.concat([sessions, absent]).sort()
        column = frame["symbol"].rank("dense").to_numpy().astype(np.int64) - 1
        row = np.searchsorted(sessions.to_numpy(), frame["session"].to_numpy())
        shape = (sessions.len(), symbols.len())
        flat = row * shape[1] + column
        present = np.zeros(shape, dtype=bool)
        present.ravel()[flat] = True
        rows = np.full(shape, -1, dtype=np.int64)
        rows.ravel()[flat] = frame["__row__"].to_numpy()
        packing: Array | None = None
        if not present.all():
            # Stable: present rows first, in time order; each symbol's windows then run over its own rows.
            packing = np.argsort(~present, axis=0, kind="stable")
        grids: dict[str, Array] = {}
        for name in [c for c, t in frame.schema.items() if t == pl.Float64]:
            grid = np.full(present.size, np.nan)
            grid[flat] = frame[name].fill_null(float("nan")).to_numpy()
            grid[~np.isfinite(grid)] = np.nan
            grids[name] = grid.reshape(shape)
        return cls(
            symbols=tuple(symbols.to_list()),
            sessions=sessions.to_numpy(),
            present=present,
            rows=rows,
            frame=frame.drop(list(grids)),
            prices=prices,
            _pack=packing,
            _grids=grids,
        )

    @property
    def shape(self) -> tuple[int, int]:
        """Sessions, symbols."""
        return int(self.present.shape[0]), int(self.present.shape[1])

    def column(self, name: str) -> Array:
        """Return a column of the dataset on the grid, float64 with NaN; treat as read-only."""
        return self._grids[name]

    def price(self, standard: str) -> Array | None:
        """Return open, high, low, close or volume on the grid, or None where the dataset has none."""
        own = self.prices.get(standard)
        return None if own is None else self.column(own)

    def pack(self, values: Array) -> Array:
        """Move each symbol's own rows to the top, in time order (the identity where no row is missing)."""
        if self._pack is None:
            return values
        return np.take_along_axis(values, self._pack, axis=0)

    def unpack(self, values: Array) -> Array:
        """Undo `pack`."""
        if self._pack is None:
            return values
        out = np.full(self.shape, np.nan)
        np.put_along_axis(out, self._pack, values, axis=0)
        out[~self.present] = np.nan
        return out

    def without_gap(self, lookback: int) -> Array:
        """Say for each cell whether the symbol has a row in every one of the last `lookback` sessions and this one."""
        if self._pack is None:
            return self.present
        ones = np.cumsum(self.present, axis=0)
        before = np.zeros_like(ones)
        if lookback + 1 < len(ones):
            before[lookback + 1 :] = ones[: -lookback - 1]
        return np.asarray((ones - before) == np.minimum(np.arange(len(ones)) + 1, lookback + 1)[:, None])

    def session_text(self, row: int) -> str:
        """Return the session as ISO text."""
        value = self.sessions[row]
        text = str(value)
        return text[:10] if value.dtype == "datetime64[D]" else text[:19]


def ahead(values: Array, k: int) -> Array:
    """Return the values `k` sessions later (earlier for negative k) on the grid."""
    if k == 0:
        return values
    out = np.full_like(values, np.nan)
    if abs(k) >= len(values):
        return out
    if k > 0:
        out[:-k] = values[k:]
    else:
        out[-k:] = values[:k]
    return out


def session_mean(values: Array) -> Array:
    """Return the mean of each session over the symbols present, shape (T, 1); NaN where none."""
    good = np.isfinite(values)
    count = good.sum(axis=1, keepdims=True)
    total = np.where(good, values, 0.0).sum(axis=1, keepdims=True)
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)


def rank_sessions(values: Array) -> Array:
    """Return ranks within each session scaled to (0, 1], ties averaged as pandas does; NaN stays NaN."""
    from scipy.stats import rankdata

    ranks = rankdata(values, axis=1, nan_policy="omit")
    count = np.isfinite(values).sum(axis=1, keepdims=True)
    return np.asarray(ranks / np.maximum(count, 1))
