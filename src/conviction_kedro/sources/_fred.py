"""Macro series with their vintages: each value as an event, known from its release on."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, time, timedelta
from typing import TYPE_CHECKING, Any

import polars as pl

from conviction.frames import UTC
from conviction_kedro.sources._errors import RetryableError, SourceError
from conviction_kedro.sources._http import JsonClient

if TYPE_CHECKING:
    from conviction_kedro.sources._retry import RetryPolicy
    from conviction_kedro.sources._secrets import Secret

FRED_ENDPOINT = "https://api.stlouisfed.org"
NEW_YORK = "America/New_York"
_OBSERVATIONS = "/fred/series/observations"
_FIRST_VINTAGE, _LAST_VINTAGE = date(1776, 7, 4), date(9999, 12, 31)
_RAW = {"date": pl.String, "realtime_start": pl.String, "realtime_end": pl.String, "value": pl.String}


@dataclass(kw_only=True)
class FredRest:
    """Reads series of FRED with all their vintages (ALFRED).

    Parameters
    ----------
    key : Secret
        FRED takes its key in the address only; it is masked in logs and messages.
    base_url : str
    retry : RetryPolicy, optional
    page_size : int
        Rows a page; FRED gives at most 100,000.

    Examples
    --------
    >>> from conviction_kedro.sources import Secret
    >>> FredRest(key=Secret("abc")).client
    JsonClient('https://api.stlouisfed.org')
    """

    key: Secret
    base_url: str = FRED_ENDPOINT
    retry: RetryPolicy | None = None
    page_size: int = 100_000

    def __post_init__(self) -> None:
        self.client = JsonClient(self.base_url, self.key, key_parameter="api_key", retry=self.retry)

    def releases(
        self,
        series: str,
        *,
        first: date | None = None,
        release_time: time | None = None,
        last_vintage: date | None = None,
        vintage_years: int | None = None,
    ) -> pl.DataFrame:
        """Return every value of a series with the moment it became known, first releases and revisions alike.

        Parameters
        ----------
        series : str
            FRED's name, ``CPIAUCSL``.
        first : datetime.date, optional
            First reference period wanted.
        release_time : datetime.time, optional
            Time of day in New York from which the value is known on its release day, where the user is certain of it
            (08:30 for many of the labour and price statistics). FRED gives the day only: without it a value counts as
            known from the end of its release day, midnight in New York, which is late by hours but never early.
        last_vintage : datetime.date, optional
            Needed with `vintage_years`: where the last piece ends.
        vintage_years : int, optional
            Ask for the vintages in pieces of so many years. FRED refuses series with more than 2,000 vintages in one
            answer, which are the daily ones.

        Returns
        -------
        polars.DataFrame
            See `releases_frame`.

        Raises
        ------
        SourceError
            If FRED refuses, or its pages do not add up to the number it announces.
        """
        rows: list[dict[str, Any]] = []
        for start, end in _vintage_spans(vintage_years, last_vintage):
            rows += self._pages(series, first, start, end)
        return releases_frame(series, rows, release_time=release_time)

    def _pages(self, series: str, first: date | None, start: date, end: date) -> list[dict[str, Any]]:
        query = {
            "series_id": series,
            "file_type": "json",
            "output_type": 1,
            "realtime_start": start,
            "realtime_end": end,
            "observation_start": first,
            "sort_order": "asc",
            "limit": self.page_size,
        }
        rows: list[dict[str, Any]] = []
        total: int | None = None
        while total is None or len(rows) < total:
            page = self._page({**query, "offset": len(rows)}, name=f"{series} from {start}, row {len(rows)}")
            if total is not None and page["count"] != total:
                raise SourceError(
                    what=f"{series} changed while it was read",
                    got=f"{page['count']} rows announced, before {total}",
                    allowed="one number on all pages",
                    fix="run it again",
                )
            total = int(page["count"])
            rows += page["observations"]
        return rows

    def _page(self, query: dict[str, Any], *, name: str) -> dict[str, Any]:
        def fetch() -> dict[str, Any]:
            page = self.client.get(_OBSERVATIONS, query)
            count, rows = page.get("count"), page.get("observations")
            expected = min(self.page_size, count - query["offset"]) if isinstance(count, int) else None
            if not isinstance(rows, list) or len(rows) != expected:
                raise RetryableError(
                    what="a page is not whole",
                    got=f"{len(rows) if isinstance(rows, list) else 'no'} rows of {count}",
                    allowed=f"{expected} rows from row {query['offset']} on",
                    fix="run it again",
                )
            return page

        return self.client.retry.call(fetch, name=name)


def releases_frame(series: str, rows: list[dict[str, Any]], *, release_time: time | None = None) -> pl.DataFrame:
    """Return FRED's rows of all vintages as events.

    Parameters
    ----------
    series : str
    rows : list of dict
        ``observations`` of ``/fred/series/observations`` with the whole real-time period (``output_type=1``): ``date``,
        ``realtime_start``, ``value``. Vintages asked for in pieces overlap: a value that is open when a piece begins comes
        again, dated to that beginning. It repeats the value before it, and what repeats it is no release.
    release_time : datetime.time, optional
        See `FredRest.releases`.

    Returns
    -------
    polars.DataFrame
        ``series``, ``reference_date`` (first day of the period the value speaks about), ``known_at`` Datetime[us, UTC],
        ``value`` Float64, ``revision`` Int32 (0 for the first value of a period); sorted by series, known_at, reference_date.
        Where FRED writes ``.`` there is no row before the first value, and a null after one: it was withdrawn.

    Notes
    -----
    A series that entered ALFRED late has its whole earlier history known only from its first vintage on. That is late, and
    the only thing that can be proved.

    Examples
    --------
    >>> rows = [{"date": "2014-01-01", "realtime_start": "2014-04-30", "value": "17149.6"},
    ...         {"date": "2014-01-01", "realtime_start": "2014-05-29", "value": "17101.3"}]
    >>> releases_frame("GDP", rows).select("known_at", "value", "revision").rows()[1]
    (datetime.datetime(2014, 5, 30, 4, 0, tzinfo=zoneinfo.ZoneInfo(key='UTC')), 17101.3, 1)
    """
    raw = pl.DataFrame(rows, schema=_RAW)
    known = raw.select(
        pl.lit(series).alias("series"),
        pl.col("date").str.to_date("%Y-%m-%d").alias("reference_date"),
        pl.col("realtime_start").str.to_date("%Y-%m-%d").alias("_released"),
        pl.col("value").replace(".", None).cast(pl.Float64),
    )
    known = known.sort("reference_date", "_released", maintain_order=True)
    # Neither the next piece of one vintage nor a vintage that left the value as it was tells anybody anything new; nor does a
    # missing value before the first one (the shift gives null there).
    repeats = pl.col("value").eq_missing(pl.col("value").shift(1).over("reference_date"))
    known = known.filter(~repeats)
    moment = pl.col("_released").cast(pl.Datetime("us"))
    moment = moment + (timedelta(days=1) if release_time is None else _since_midnight(release_time))
    return known.select(
        "series",
        "reference_date",
        moment.dt.replace_time_zone(NEW_YORK).dt.convert_time_zone("UTC").cast(UTC).alias("known_at"),
        "value",
        pl.int_range(pl.len(), dtype=pl.Int32).over("reference_date").alias("revision"),
    ).sort("series", "known_at", "reference_date")


def _since_midnight(moment: time) -> timedelta:
    return timedelta(hours=moment.hour, minutes=moment.minute, seconds=moment.second)


def _vintage_spans(years: int | None, last: date | None) -> list[tuple[date, date]]:
    if years is None:
        return [(_FIRST_VINTAGE, _LAST_VINTAGE)]
    if last is None or years < 1:
        raise SourceError(
            what="vintages in pieces need a last day and a positive length",
            got=f"vintage_years={years}, last_vintage={last}",
            allowed="vintage_years >= 1 and a date",
            fix="pass last_vintage, today for instance",
        )
    # ALFRED keeps no vintage before 1991 for most series: the first piece takes all that lies before.
    starts = [_FIRST_VINTAGE, *(date(year, 1, 1) for year in range(1996, last.year + 1, years))]
    ends = [start - timedelta(days=1) for start in starts[1:]] + [last]
    return list(zip(starts, ends, strict=True))
