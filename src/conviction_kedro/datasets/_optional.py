"""A table that a user may give or not."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import polars as pl
from kedro.io import AbstractDataset, DatasetError

from conviction_kedro.datasets._prices import LongTableDataset, parse_moments, parse_sessions

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


class OptionalTableDataset(AbstractDataset[pl.DataFrame, pl.DataFrame]):
    """A long table by path, or an empty frame when no path is given; a path that does not exist is an error.

    Parameters
    ----------
    filepath : str or None
        As for `LongTableDataset`; None or an empty text means that the user gave nothing.
    rename, required, credentials, metadata
        As for `LongTableDataset`.
    moments : sequence of str
        Columns that hold moments; text (``2024-07-02T19:59:00Z``, ``2024-07-02 15:59:00-04:00``) becomes Datetime[us, UTC].
    days : sequence of str
        Columns that hold days; text becomes Date.

    Raises
    ------
    PointInTimeError
        If a moment cannot be read or names no time zone: whether it was before a decision could not be said.

    Examples
    --------
    >>> OptionalTableDataset(filepath=None).load().is_empty()
    True
    """

    def __init__(
        self,
        *,
        filepath: str | None = None,
        rename: Mapping[str, str] | None = None,
        required: Sequence[str] = ("session", "close"),
        moments: Sequence[str] = (),
        days: Sequence[str] = (),
        credentials: Mapping[str, Any] | None = None,
        metadata: Mapping[str, Any] | None = None,
    ) -> None:
        self.metadata = metadata
        self._required = list(required)
        self._moments, self._days = tuple(moments), tuple(days)
        self._name = (filepath or "").rsplit("/", 1)[-1]
        self._table = (
            LongTableDataset(filepath=filepath, rename=rename, required=required, credentials=credentials)
            if filepath
            else None
        )

    def load(self) -> pl.DataFrame:
        """Return the table, or a frame without rows."""
        if self._table is None:
            return pl.DataFrame({name: [] for name in self._required})
        frame = self._table.load()
        days = [parse_sessions(frame[name], name=self._name) for name in self._days if name in frame.columns]
        moments = [parse_moments(frame[name], name=self._name) for name in self._moments if name in frame.columns]
        return frame.with_columns(*days, *moments)

    def save(self, data: pl.DataFrame) -> None:
        """Refuse: the file is the user's."""
        message = f"the table is read-only; a frame of {data.height} rows was not saved"
        raise DatasetError(message)

    def _exists(self) -> bool:
        return self._table is None or self._table.exists()

    def _describe(self) -> dict[str, Any]:
        return {} if self._table is None else self._table._describe()  # a wrapper says what it wraps
