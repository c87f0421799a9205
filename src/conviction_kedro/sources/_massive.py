"""REST of Polygon (now Massive): news with sentiment, splits, dividends, ticker details."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Any

import polars as pl

from conviction_kedro.sources._errors import SourceError
from conviction_kedro.sources._http import JsonClient
from conviction_kedro.sources._massive_frames import dividends_frame, news_frame, splits_frame, ticker_details_frame
from conviction_kedro.sources._paging import Counts, Identity, PagedDownload

if TYPE_CHECKING:
    from conviction_kedro.sources._retry import RetryPolicy
    from conviction_kedro.sources._secrets import Secret
    from conviction_kedro.sources._storage import Storage

logger = logging.getLogger(__name__)

REST_ENDPOINT = "https://api.massive.com"
# What is asked this long after its time span will not grow any more; later corrections need `refresh`.
_SETTLED_AFTER = timedelta(days=2)


@dataclass(frozen=True, kw_only=True)
class RestTable:
    """A table read from a REST service, with what was counted on the way.

    Parameters
    ----------
    frame : polars.DataFrame
    counts : tuple of (str, Counts)
        One entry a query, by the name of its folder.
    missing : tuple of str
        What was asked for and the vendor does not know.
    """

    frame: pl.DataFrame
    counts: tuple[tuple[str, Counts], ...]
    missing: tuple[str, ...] = ()

    def total(self) -> Counts:
        """Return the sum over all queries."""
        every = [counts for _, counts in self.counts]
        names = ("pages", "received", "duplicates", "updated", "kept")
        return Counts(**{name: sum(getattr(counts, name) for counts in every) for name in names})


@dataclass(kw_only=True)
class MassiveRest:
    """Reads reference data and news, page by page, into the workspace's own place; a second call asks only for what is new.

    Every page is kept as it came, compressed. A call that was killed goes on behind the last stored page. Time spans are
    cut into closed pieces (news: months, splits and dividends: years); a piece that was still growing when it was asked for is
    asked for again.

    Parameters
    ----------
    key : Secret
        The vendor's REST key (not the S3 keys of the flat files); sent in a header only.
    storage : Storage
        Where pages are kept.
    base_url : str
        ``https://api.massive.com``; the older ``https://api.polygon.io`` answers in the same way.
    retry : RetryPolicy, optional
    page_size : int
        Records a page; the vendor gives at most 1,000.
    check_counts : bool
        Whether a page whose ``count`` contradicts its results is refused as cut. The vendor documents ``count`` as the
        number of results of this answer.
    offline : bool
        Whether only what is stored is read, and nothing asked of the vendor.
    clock : callable
        Gives the present moment in UTC.

    Examples
    --------
    >>> from conviction_kedro.sources import Secret, Storage
    >>> MassiveRest(key=Secret("abc"), storage=Storage("data/01_raw/rest")).client
    JsonClient('https://api.massive.com')
    """

    key: Secret
    storage: Storage
    base_url: str = REST_ENDPOINT
    retry: RetryPolicy | None = None
    page_size: int = 1000
    check_counts: bool = True
    offline: bool = False
    clock: Callable[[], datetime] = field(default=lambda: datetime.now(UTC), repr=False)

    def __post_init__(self) -> None:
        self.client = JsonClient(self.base_url, self.key, retry=self.retry)

    def news(
        self,
        first: date,
        last: date,
        *,
        ticker: str | None = None,
        delay: timedelta = timedelta(0),
        refresh: bool = False,
    ) -> RestTable:
        """Return the news published from `first` to `last` (UTC days, both included), one row an article and ticker.

        Parameters
        ----------
        first, last : datetime.date
        ticker : str, optional
            Only articles that name this ticker of the vendor; all by default.
        delay : datetime.timedelta
            See `news_frame`.
        refresh : bool
            Ask for everything again.

        Returns
        -------
        RestTable
            See `news_frame` for the columns.
        """
        records: list[dict[str, Any]] = []
        counts = []
        for start, end in _months(first, last):
            query = {
                "ticker": ticker,
                "published_utc.gte": f"{start}T00:00:00Z",
                "published_utc.lt": f"{end + timedelta(days=1)}T00:00:00Z",
            }
            name = f"news/{ticker or 'all'}/{start:%Y-%m}"
            found, count = self._span(name, "/v2/reference/news", query, "published_utc", end, refresh=refresh)
            records += found
            counts.append((name, count))
        # Two months share no article, unless the vendor corrected its moment between the two answers.
        unique = {record["id"]: record for record in records}
        frame = news_frame(list(unique.values()), delay=delay)
        begin, finish = _midnight(first), _midnight(last + timedelta(days=1))
        published = pl.col("known_at") - delay
        return RestTable(frame=frame.filter((published >= begin) & (published < finish)), counts=tuple(counts))

    def splits(self, first: date, last: date, *, refresh: bool = False) -> RestTable:
        """Return the splits executed from `first` to `last`, both included; see `splits_frame` for the columns."""
        return self._actions("splits", "execution_date", first, last, splits_frame, refresh=refresh)

    def dividends(self, first: date, last: date, *, refresh: bool = False) -> RestTable:
        """Return the dividends with an ex-date from `first` to `last`, both included; see `dividends_frame`."""
        return self._actions("dividends", "ex_dividend_date", first, last, dividends_frame, refresh=refresh)

    def ticker_details(self, tickers: Sequence[str], *, as_of: date, refresh: bool = False) -> RestTable:
        """Return what the vendor knew of each ticker on a day; see `ticker_details_frame`.

        Tickers the vendor does not know are named in ``missing``, not an error: a list of a past universe has some.
        """
        records: list[dict[str, Any]] = []
        counts, missing = [], []
        for ticker in tickers:
            name, path = f"tickers/{as_of}/{ticker}", f"/v3/reference/tickers/{ticker}"
            download = self._download(name, path, {"date": as_of.isoformat()}, lambda record: str(record["ticker"]))
            try:
                found, count = download.run(refresh=refresh)
            except SourceError as error:
                if error.status != 404:
                    raise
                download.store_nothing()
                found, count = download.run()
            counts.append((name, count))
            records += found
            if not found:
                missing.append(ticker)
        if missing:
            logger.warning("%d tickers are unknown to the vendor on %s: %s", len(missing), as_of, ", ".join(missing))
        return RestTable(frame=ticker_details_frame(records, as_of=as_of), counts=tuple(counts), missing=tuple(missing))

    def _actions(
        self,
        kind: str,
        day: str,
        first: date,
        last: date,
        frame: Callable[[list[dict[str, Any]]], pl.DataFrame],
        *,
        refresh: bool,
    ) -> RestTable:
        records: list[dict[str, Any]] = []
        counts = []
        for year in range(first.year, last.year + 1):
            start, end = date(year, 1, 1), date(year, 12, 31)
            query: dict[str, object] = {f"{day}.gte": start.isoformat(), f"{day}.lte": end.isoformat()}
            name = f"{kind}/{year}"
            found, count = self._span(name, f"/v3/reference/{kind}", query, day, end, refresh=refresh)
            records += found
            counts.append((name, count))
        table = frame(records).filter(pl.col(day).is_between(first, last))
        return RestTable(frame=table, counts=tuple(counts))

    def _span(
        self, name: str, path: str, query: dict[str, Any], sort: str, end: date, *, refresh: bool
    ) -> tuple[list[dict[str, Any]], Counts]:
        """Run the query of one time span, again if it was finished before the span had settled."""
        given = {**query, "order": "asc", "sort": sort, "limit": self.page_size}
        download = self._download(name, path, given, _identity)
        settled = _midnight(end + timedelta(days=1)) + _SETTLED_AFTER
        growing = download.finished() and not download.finished_since(settled)
        return download.run(refresh=refresh or growing)

    def _download(self, name: str, path: str, query: dict[str, Any], identity: Identity) -> PagedDownload:
        return PagedDownload(
            client=self.client,
            storage=self.storage,
            name=name,
            path=path,
            parameters=query,
            identity=identity,
            check_counts=self.check_counts,
            offline=self.offline,
            clock=self.clock,
        )


def _identity(record: dict[str, Any]) -> str:
    """Return the vendor's id, or for older records without one all that they say."""
    return str(record["id"]) if record.get("id") else repr(sorted(record.items(), key=lambda item: item[0]))


def _midnight(day: date) -> datetime:
    return datetime(day.year, day.month, day.day, tzinfo=UTC)


def _months(first: date, last: date) -> Iterator[tuple[date, date]]:
    """Yield first and last day of every month that the span touches."""
    start = first.replace(day=1)
    while start <= last:
        following = (start + timedelta(days=32)).replace(day=1)
        yield start, following - timedelta(days=1)
        start = following
