"""Tables of Polygon (now Massive) as catalog entries: `kedro fetch` asks the vendor, a run reads only what was fetched."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from datetime import date, timedelta
from typing import Any, Literal, NoReturn, Protocol, runtime_checkable

import polars as pl
from kedro.io import AbstractDataset, DatasetError

from conviction.errors import ParameterError
from conviction.observer import Observer, SilentObserver
from conviction_kedro.sources import (
    MassiveRest,
    RestTable,
    Secret,
    Storage,
    dividends_frame,
    news_frame,
    resolve_secret,
    splits_frame,
    ticker_details_frame,
)
from conviction_kedro.sources._massive import REST_ENDPOINT

MassiveTable = Literal["news", "splits", "dividends", "ticker_details"]
MASSIVE_FRAMES: dict[MassiveTable, Callable[[list[dict[str, Any]]], pl.DataFrame]] = {
    "news": news_frame,
    "splits": splits_frame,
    "dividends": dividends_frame,
    "ticker_details": lambda records: ticker_details_frame(records, as_of=date.min),
}
logger = logging.getLogger(__name__)


@runtime_checkable
class Fetchable(Protocol):
    """A catalog entry whose data come from a vendor."""

    def fetch(self, observer: Observer | None = None) -> str:
        """Ask the vendor for what is new, store it, and return one line on what came."""


def vendor_options(vendor: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return the options of a vendor with its credentials among them.

    Parameters
    ----------
    vendor : mapping, optional
        Options as they stand in the catalog, with ``credentials`` filled in by Kedro where it stands there.

    Examples
    --------
    >>> vendor_options({"bucket": "flatfiles", "credentials": {"key": "a", "secret": "b"}})
    {'key': 'a', 'secret': 'b', 'bucket': 'flatfiles'}
    """
    given = dict(vendor or {})
    return {**(given.pop("credentials", None) or {}), **given}


def as_day(value: date | str) -> date:
    """Return a day of the catalog, refusing what is none.

    Examples
    --------
    >>> as_day("2024-01-02")
    datetime.date(2024, 1, 2)
    """
    try:
        return date.fromisoformat(value) if isinstance(value, str) else value
    except ValueError:
        raise ParameterError(
            what="a day of the catalog cannot be read",
            got=repr(value),
            allowed="2024-01-31",
            fix="write it as YYYY-MM-DD",
        ) from None


class VendorDataset(AbstractDataset[NoReturn, pl.DataFrame]):
    """Read-only: what it holds is the vendor's."""

    def save(self, data: NoReturn) -> None:
        """Refuse: the data are the vendor's."""
        message = f"{type(self).__name__} is read-only: the data are the vendor's (got a {type(data).__name__})"
        raise DatasetError(message)


class MassiveTableDataset(VendorDataset):
    """News, splits, dividends or ticker details of Polygon (now Massive), page by page in the workspace's own place.

    `fetch` asks the vendor for what is new; `load` reads what is stored and asks nobody, so that a run needs neither network
    nor key and gives the same rows tomorrow.

    Parameters
    ----------
    filepath : str
        Place of the pages, shared by all tables; local or ``s3://``.
    table : {"news", "splits", "dividends", "ticker_details"}
    first, last : date or str
        Span, both included: publication, execution or ex-date. Of ticker details, `last` is the day they were known on.
    tickers : sequence of str, optional
        Vendor's tickers: required for ticker details, optional for news (one query a ticker), not for the others.
    news_delay_minutes : int
        Added to each publication: the vendor scores an article after it and does not say when.
    required : bool
        Whether a run without the table stops (True), or goes on with no rows after a warning (False).
    vendor : mapping, optional
        ``key`` (the REST key, or ``env:NAME``, or ``secretsmanager:NAME#key``; by default ``env:MASSIVE_API_KEY``),
        ``base_url``, or ``credentials: <entry of credentials.yml with key>``. Read by `fetch` only.
    credentials : mapping, optional
        Of the workspace's own bucket.
    metadata : mapping, optional
        Ignored by Kedro.

    Examples
    --------
    >>> news = MassiveTableDataset(filepath="data/01_raw/massive", table="news", first="2024-01-01", last="2024-03-31")
    >>> news.exists()
    False
    """

    def __init__(
        self,
        *,
        filepath: str,
        table: MassiveTable,
        first: date | str,
        last: date | str,
        tickers: Sequence[str] | None = None,
        news_delay_minutes: int = 0,
        required: bool = True,
        vendor: Mapping[str, Any] | None = None,
        credentials: Mapping[str, Any] | None = None,
        metadata: Mapping[str, Any] | None = None,
    ) -> None:
        if table not in MASSIVE_FRAMES:
            raise ParameterError.from_unknown_name(kind="table of the vendor", name=table, known=MASSIVE_FRAMES)
        if (table == "ticker_details") != bool(tickers) and table != "news":
            raise ParameterError(
                what=f"tickers do not fit the table {table}",
                got=tickers,
                allowed="tickers for ticker_details, and for news if you like; splits and dividends come for all",
                fix="add or remove `tickers` in the catalog",
            )
        self._storage = Storage(filepath, credentials)
        self._table = table
        self._first, self._last = as_day(first), as_day(last)
        self._tickers = tuple(tickers or ())
        self._delay = timedelta(minutes=news_delay_minutes)
        self._required = required
        self._vendor = vendor_options(vendor)
        self.metadata = metadata

    def fetch(self, observer: Observer | None = None) -> str:
        """Ask the vendor for what is new; return one line with the counts."""
        (observer or SilentObserver()).start(self._table, 1)
        key = resolve_secret(self._vendor.get("key", "env:MASSIVE_API_KEY"))
        table = self._read(key=key, offline=False)
        (observer or SilentObserver()).finish(self._table)
        counts = table.total()
        unknown = f", unknown to the vendor: {', '.join(table.missing)}" if table.missing else ""
        return (
            f"{self._table} {self._first} to {self._last}: {table.frame.height} rows of {counts.kept} records on {counts.pages} "
            f"pages ({counts.duplicates} duplicates, {counts.updated} updates){unknown}"
        )

    def load(self) -> pl.DataFrame:
        """Return the stored rows; asks nobody."""
        if not self._required and not self._exists():
            logger.warning("no %s were fetched to %s: the run goes on without them", self._table, self._storage.uri())
            return MASSIVE_FRAMES[self._table]([])
        return self._read(key=Secret(""), offline=True).frame

    def _read(self, *, key: Secret, offline: bool) -> RestTable:
        rest = MassiveRest(
            key=key, storage=self._storage, base_url=self._vendor.get("base_url", REST_ENDPOINT), offline=offline
        )
        try:
            if self._table == "ticker_details":
                return rest.ticker_details(self._tickers, as_of=self._last)
            if self._table == "news":
                return _joined(
                    [rest.news(self._first, self._last, ticker=t, delay=self._delay) for t in self._tickers or (None,)]
                )
            ask: Callable[[date, date], RestTable] = getattr(rest, self._table)
            return ask(self._first, self._last)
        finally:
            rest.client.close()

    def _exists(self) -> bool:
        folder = "tickers" if self._table == "ticker_details" else self._table
        return self._storage.exists(folder)

    def _describe(self) -> dict[str, Any]:
        return {
            "filepath": self._storage.uri(),
            "table": self._table,
            "first": self._first.isoformat(),
            "last": self._last.isoformat(),
            "tickers": self._tickers,
        }


def _joined(tables: Sequence[RestTable]) -> RestTable:
    frame = (
        pl.concat([table.frame for table in tables])
        .unique(maintain_order=True)
        .sort("symbol", "known_at", "article_id")
    )
    return RestTable(frame=frame, counts=tuple(count for table in tables for count in table.counts))
