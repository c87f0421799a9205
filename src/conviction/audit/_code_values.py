"""Feature values on a fixed grid of rows, so that two recomputations can be compared cell by cell."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from conviction.frames import KEY, SYMBOL, key_of, moment_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import NDArray

_ROW = "__row"


@dataclass(frozen=True)
class Grid:
    """The rows of the audited bars, sorted by symbol and session.

    Parameters
    ----------
    keys : polars.DataFrame
        ``symbol`` String and ``session`` (Date or Datetime), of bars ``bar_end`` too; sorted, unique.
    symbols, sessions : list
        Distinct values in order; the codes below index them. The sessions of bars are their ends: each bar is a decision.
    symbol_code, session_code : numpy.ndarray of int64, shape (rows,)
        Position of each row's symbol and session.
    ordinal : numpy.ndarray of int64, shape (rows,)
        Number of earlier rows of the same symbol.
    """

    keys: pl.DataFrame
    symbols: list[str]
    sessions: list[Any]
    symbol_code: NDArray[np.int64]
    session_code: NDArray[np.int64]
    ordinal: NDArray[np.int64]

    @classmethod
    def from_keys(cls, keys: pl.DataFrame) -> Grid:
        """Build the grid of sorted, unique keys."""
        keys = keys.select(key_of(keys))
        moment = keys[moment_of(keys)]
        symbol_code = (keys[SYMBOL].rank("dense").to_numpy() - 1).astype(np.int64)
        session_code = (moment.rank("dense").to_numpy() - 1).astype(np.int64)
        starts = np.flatnonzero(np.diff(symbol_code, prepend=-1))
        ordinal = np.arange(keys.height) - np.repeat(starts, np.diff(np.append(starts, keys.height)))
        return cls(
            keys=keys,
            symbols=keys[SYMBOL].unique().sort().to_list(),
            sessions=moment.unique().sort().to_list(),
            symbol_code=symbol_code,
            session_code=session_code,
            ordinal=ordinal.astype(np.int64),
        )

    @property
    def rows(self) -> int:
        """Return the number of rows."""
        return self.keys.height

    def session_name(self, code: int) -> str:
        """Return a session as ISO text."""
        return str(self.sessions[code])


@dataclass
class ValueCoder:
    """Numbers for values that are not numbers, the same in every recomputation of one audit."""

    codes: dict[Any, float] = field(default_factory=dict)

    def encode(self, series: pl.Series) -> NDArray[np.floating[Any]]:
        """Return a column as floats, NaN for missing; float32 stays float32."""
        dtype = series.dtype
        if dtype in (pl.Float32, pl.Float64):
            return series.to_numpy()  # nulls become NaN
        if dtype.is_numeric() or dtype == pl.Boolean:
            return series.cast(pl.Float64, strict=False).fill_null(float("nan")).to_numpy()
        if dtype.is_temporal():
            return series.to_physical().cast(pl.Float64).fill_null(float("nan")).to_numpy()
        if dtype == pl.Null:
            return np.full(series.len(), np.nan)
        text = [None if item is None else str(item) for item in series.to_list()]
        codes = self.codes
        return np.array([np.nan if item is None else codes.setdefault(item, float(len(codes))) for item in text])


Columns = dict[str, "NDArray[np.floating[Any]]"]


def align(
    frame: pl.DataFrame, grid: Grid, mask: NDArray[np.bool_] | None, names: Sequence[str], coder: ValueCoder
) -> Columns:
    """Return the named columns of `frame` on the grid's rows, NaN where the frame has no such row or column.

    Parameters
    ----------
    frame : polars.DataFrame
        ``symbol``, ``session`` and feature columns, any row order, keys unique.
    grid : Grid
        The rows to align to.
    mask : numpy.ndarray of bool or None
        Rows of the grid that the frame was computed on; only a shortcut for frames that come sorted and complete.
    names : sequence of str
        Columns wanted.
    coder : ValueCoder
        Shared coder of values that are not numbers.
    """
    wanted = grid.keys if mask is None else grid.keys.filter(pl.Series(mask))
    have = [name for name in names if name in frame.columns]
    if (
        frame.height == wanted.height
        and set(wanted.columns) <= set(frame.columns)
        and frame.select(wanted.columns).equals(wanted)
    ):
        where = slice(None) if mask is None else np.flatnonzero(mask)
        source = frame
    else:
        numbered = grid.keys.with_row_index(_ROW)
        source = frame.join(numbered, on=grid.keys.columns, how="inner")
        where = source[_ROW].to_numpy().astype(np.int64)
    columns: Columns = {}
    for name in names:
        values = coder.encode(source[name]) if name in have else None
        if values is not None and isinstance(where, slice):
            columns[name] = values
            continue
        dense = np.full(grid.rows, np.nan, dtype=np.float64 if values is None else values.dtype)
        if values is not None:
            dense[where] = values
        columns[name] = dense
    return columns


def differs(
    a: NDArray[np.floating[Any]], b: NDArray[np.floating[Any]], *, tolerance: float, scale: float = 0.0
) -> NDArray[np.bool_]:
    """Return where two columns differ.

    A missing value against a number is a difference. Numbers differ when they are further apart than
    ``tolerance * max(|a|, |b|, scale)``; with tolerance 0 every bit counts.
    """
    nan_a, nan_b = np.isnan(a), np.isnan(b)
    if tolerance == 0.0:
        return np.asarray((a != b) & ~(nan_a & nan_b), dtype=np.bool_)
    with np.errstate(invalid="ignore", over="ignore"):
        apart = np.abs(a - b) > tolerance * np.maximum(np.maximum(np.abs(a), np.abs(b)), scale)
        # inf - inf is nan, and an infinity tolerates everything
        infinite = (np.isinf(a) | np.isinf(b)) & (a != b)
    return np.asarray(np.where(nan_a | nan_b, nan_a != nan_b, apart | infinite), dtype=np.bool_)


def column_scale(values: NDArray[np.floating[Any]]) -> float:
    """Return the typical size of a column's finite values (their median distance from zero), 0 when there is none."""
    finite = values[np.isfinite(values)]
    return float(np.median(np.abs(finite))) if finite.size else 0.0


def feature_names(columns: Iterable[str]) -> list[str]:
    """Return the columns that are not part of the key."""
    return [name for name in columns if name not in KEY]
