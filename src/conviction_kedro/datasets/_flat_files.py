"""Bars out of the copied flat files, as a catalog entry."""

from __future__ import annotations

import json
import logging
from dataclasses import replace
from datetime import date
from typing import TYPE_CHECKING, Any, NoReturn

import polars as pl
from kedro.io import AbstractDataset, DatasetError

from conviction.errors import BarsError, ParameterError
from conviction.market import adjust_bars, inspect_splits
from conviction.observer import Observer, SilentObserver
from conviction_kedro.datasets._vendor_tables import as_day, vendor_options
from conviction_kedro.sources import (
    FlatFileSource,
    FlatFileSync,
    Granularity,
    Market,
    MassiveRest,
    Secret,
    Storage,
    read_flat_files,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from conviction.market import ParsedAggregates

logger = logging.getLogger(__name__)

_SPLIT_ERRORS = ("already_adjusted",)


class FlatFilesDataset(AbstractDataset[NoReturn, pl.DataFrame]):
    """Bars of one market and granularity from the workspace's own copy of the vendor's flat files.

    `fetch` copies what is new from the vendor (`FlatFileSync`); `load` reads the copy and asks nobody. Files with problems stop
    the load, all named at once, unless `allow` names the problem; what was left out stands in the quality report.

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
        See `conviction_kedro.sources.read_flat_files`; also ``already_adjusted``: a listed split that the prices do not show.
    actions : str, optional
        Place of the splits and dividends that `MassiveTableDataset` has fetched. Day bars are then adjusted as the chart of
        `last_session` showed them (`conviction.market.adjust_bars`), and prices that contradict the list of splits are
        reported. Without it they are as traded: a 4-for-1 split looks like a loss of 75 %.
    report_filepath : str, optional
        Where the quality report of the load is written as JSON.
    vendor : mapping, optional
        For `fetch`: ``key`` and ``secret`` (by default ``env:MASSIVE_S3_KEY`` and ``env:MASSIVE_S3_SECRET``), ``endpoint_url``,
        ``bucket``, ``when_replaced``, ``concurrency``, ``allow`` (problems of the copy to live with), or
        ``credentials: <entry of credentials.yml with key and secret>``.
    credentials : mapping, optional
        Of the workspace's own bucket, not of the vendor.
    metadata : mapping, optional
        Ignored by Kedro.

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
        actions: str | None = None,
        report_filepath: str | None = None,
        vendor: Mapping[str, Any] | None = None,
        credentials: Mapping[str, Any] | None = None,
        metadata: Mapping[str, Any] | None = None,
    ) -> None:
        self._storage = Storage(filepath, credentials)
        self._options: dict[str, Any] = {
            "market": market,
            "granularity": granularity,
            "first": as_day(first_session),
            "last": as_day(last_session),
            "calendar": calendar,
            "symbols": symbols,
            "extended_hours": extended_hours,
            "as_of": None if as_of is None else as_day(as_of),
            "allow": tuple(name for name in allow if name not in _SPLIT_ERRORS),
        }
        self._allow = frozenset(allow)
        if actions is not None and granularity != "day":
            raise ParameterError(
                what="only day bars are adjusted for splits and dividends",
                got=f"actions with granularity {granularity!r}",
                allowed="granularity: day, or no actions",
                fix="leave out `actions` for minute bars",
            )
        self._actions = None if actions is None else Storage(actions, credentials)
        self._report_filepath = report_filepath
        self._vendor = vendor_options(vendor)
        self._credentials = credentials
        self.metadata = metadata

    def fetch(self, observer: Observer | None = None) -> str:
        """Copy the sessions that are new; return one line on what was copied, and raise on what is missing."""
        options = {"key": "env:MASSIVE_S3_KEY", "secret": "env:MASSIVE_S3_SECRET", **self._vendor}
        allow = options.pop("allow", ())
        places = {name: options.pop(name) for name in ("bucket", "endpoint_url") if name in options}
        keys: dict[str, Any] = {
            name: options.pop(name) for name in ("key", "secret", "client_kwargs") if name in options
        }
        sync = FlatFileSync(
            source=FlatFileSource(keys, **places),
            destination=self._storage,
            market=self._options["market"],
            granularity=self._options["granularity"],
            calendar=self._options["calendar"] or "",
            observer=observer or SilentObserver(),
            **options,
        )
        return sync.run(self._options["first"], self._options["last"]).check(allow=allow).summary()

    def read(self) -> ParsedAggregates:
        """Return the bars, adjusted where `actions` says so, together with their quality report."""
        found = read_flat_files(self._storage, **self._options)
        if self._actions is None:
            return found
        splits, dividends = self._events(found.bars)
        told = inspect_splits(found.bars, splits).problems
        wrong = [p for p in told if p.severity == "error" and p.name not in self._allow]
        if wrong:
            raise BarsError(
                what=f"{len(wrong)} splits contradict the prices of {self._storage.uri()}",
                got=f"{wrong[0].symbol} on {wrong[0].session}: {wrong[0].value} ({wrong[0].explanation})",
                allowed="splits that the prices show",
                fix=f"check the list of splits, or live with it knowingly: allow: [{wrong[0].name}]",
            )
        bars = adjust_bars(found.bars, splits, dividends, as_of=self._options["last"])
        return replace(found, bars=bars, quality=replace(found.quality, problems=(*found.quality.problems, *told)))

    def _events(self, bars: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
        """Return the stored splits and dividends that concern these bars."""
        rest = MassiveRest(key=Secret(""), storage=self._actions or self._storage, offline=True)
        try:
            span = (self._options["first"], self._options["last"])
            frames = rest.splits(*span).frame, rest.dividends(*span).frame
        finally:
            rest.client.close()
        ours = bars.select("symbol").unique()
        return frames[0].join(ours, on="symbol", how="semi"), frames[1].join(ours, on="symbol", how="semi")

    def load(self) -> pl.DataFrame:
        """Return the bars, and write the quality report where it was asked for."""
        found = self.read()
        left_out = [
            f"{p.session} {p.name}{f' of {p.symbol}' if p.symbol else ''}"
            for p in found.quality.problems
            if p.quarantined
        ]
        if left_out:
            more = f" and {len(left_out) - 10} more" if len(left_out) > 10 else ""
            logger.warning("left out of %s as allowed: %s%s", self._storage.uri(), "; ".join(left_out[:10]), more)
        if self._report_filepath is not None:
            folder, _, name = self._report_filepath.rpartition("/")
            text = json.dumps(found.quality.to_dict(), indent=1)
            Storage(folder or ".", self._credentials).write(name, text.encode())
        return found.bars

    def address(self) -> tuple[str, Mapping[str, Any], str | None]:
        """Return the directory and the credentials of its place, for the dataset pin; it has no versions."""
        return self._storage.uri(), self._storage.credentials, None

    def save(self, data: NoReturn) -> None:
        """Refuse: the files are the vendor's."""
        message = f"flat files are the vendor's and are only copied, not written (got a {type(data).__name__})"
        raise DatasetError(message)

    def _exists(self) -> bool:
        return self._storage.exists()

    def _describe(self) -> dict[str, Any]:
        return {"filepath": self._storage.uri(), **{k: v for k, v in self._options.items() if v is not None}}
