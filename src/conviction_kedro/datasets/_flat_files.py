"""Bars out of the copied flat files, as a catalog entry."""

from __future__ import annotations

import json
from datetime import date
from typing import TYPE_CHECKING, Any, NoReturn

import polars as pl
from kedro.io import AbstractDataset, DatasetError

from conviction_kedro.sources import Granularity, Market, Storage, read_flat_files

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from conviction.market import ParsedAggregates


class FlatFilesDataset(AbstractDataset[NoReturn, pl.DataFrame]):
    """Unadjusted bars of one market and granularity from the workspace's own copy of the vendor's flat files.

    It reads what `FlatFileSync` has copied and asks the vendor for nothing. Files with problems stop the load, all named at
    once, unless `allow` names the problem; what was left out stands in the quality report.

    Parameters
    ----------
    filepath : str
        The copy's place, local or ``s3://``: the folder that holds ``us_stocks_sip/``.
    market : {"stocks", "options", "indices", "forex", "crypto"}
    granularity : {"day", "minute"}
    first_session, last_session : date or str
        Sessions wanted, both included.
    calendar : str, optional
    symbols : sequence of str, optional
        Our spelling; all by default.
    extended_hours : bool
    as_of : date or str, optional
        The day the data were taken.
    allow : sequence of str
        See `conviction_kedro.sources.read_flat_files`.
    report_filepath : str, optional
        Where the quality report of the load is written as JSON.
    credentials : mapping, optional
        Of the workspace's own bucket, not of the vendor.
    metadata : mapping, optional
        Ignored by Kedro.

    Notes
    -----
    Prices are as traded: a 4-for-1 split looks like a loss of 75 %. Pass the frame through
    `conviction.market.adjust_bars` with the splits and dividends of `conviction_kedro.sources.MassiveRest`.

    Examples
    --------
    >>> FlatFilesDataset(filepath="data/01_raw/flat_files", market="stocks", granularity="day",
    ...                  first_session="2024-01-02", last_session="2024-01-31").exists()
    False
    """

    def __init__(
        self,
        *,
        filepath: str,
        market: Market,
        granularity: Granularity,
        first_session: date | str,
        last_session: date | str,
        calendar: str | None = None,
        symbols: Sequence[str] | None = None,
        extended_hours: bool = False,
        as_of: date | str | None = None,
        allow: Sequence[str] = (),
        report_filepath: str | None = None,
        credentials: Mapping[str, Any] | None = None,
        metadata: Mapping[str, Any] | None = None,
    ) -> None:
        self._storage = Storage(filepath, credentials)
        self._options: dict[str, Any] = {
            "market": market,
            "granularity": granularity,
            "first": _day(first_session),
            "last": _day(last_session),
            "calendar": calendar,
            "symbols": symbols,
            "extended_hours": extended_hours,
            "as_of": None if as_of is None else _day(as_of),
            "allow": tuple(allow),
        }
        self._report_filepath = report_filepath
        self._credentials = credentials
        self.metadata = metadata

    def read(self) -> ParsedAggregates:
        """Return the bars together with their quality report."""
        return read_flat_files(self._storage, **self._options)

    def load(self) -> pl.DataFrame:
        """Return the bars, and write the quality report where it was asked for."""
        found = self.read()
        if self._report_filepath is not None:
            folder, _, name = self._report_filepath.rpartition("/")
            text = json.dumps(found.quality.to_dict(), indent=1)
            Storage(folder or ".", self._credentials).write(name, text.encode())
        return found.bars

    def save(self, data: NoReturn) -> None:
        """Refuse: the files are the vendor's."""
        message = f"flat files are the vendor's and are only copied, not written (got a {type(data).__name__})"
        raise DatasetError(message)

    def _exists(self) -> bool:
        return self._storage.exists()

    def _describe(self) -> dict[str, Any]:
        return {"filepath": self._storage.uri(), **{k: v for k, v in self._options.items() if v is not None}}


def _day(value: date | str) -> date:
    return date.fromisoformat(value) if isinstance(value, str) else value
