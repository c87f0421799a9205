"""Macro series as catalog entries."""

from __future__ import annotations

import io
import logging
from collections.abc import Mapping
from datetime import time
from typing import Any

import polars as pl

from conviction.errors import ParameterError
from conviction.observer import Observer, SilentObserver
from conviction_kedro.datasets._vendor_tables import VendorDataset, as_day, vendor_options
from conviction_kedro.sources import FredRest, SourceError, Storage, releases_frame, resolve_secret
from conviction_kedro.sources._fred import FRED_ENDPOINT

logger = logging.getLogger(__name__)


class FredDataset(VendorDataset):
    """Macro series of FRED with all their vintages, as events known from their release.

    Parameters
    ----------
    filepath : str
        Where `fetch` writes the Parquet file that `load` reads; local or ``s3://``.
    series : mapping
        FRED's name to its options: ``release_time`` (``"08:30"``, New York; without it a value counts as known from the end of
        its release day), ``vintage_years`` and ``last_vintage`` (for daily series, see `FredRest.releases`).
    required : bool
        Whether a run without the file stops (True), or goes on with no rows after a warning (False).
    vendor : mapping, optional
        ``key`` (by default ``env:FRED_API_KEY``), ``base_url``, or ``credentials``. Read by `fetch` only.
    credentials : mapping, optional
        Of the workspace's own bucket.
    metadata : mapping, optional
        Ignored by Kedro.

    Examples
    --------
    >>> FredDataset(filepath="data/01_raw/macro.parquet", series={"UNRATE": {"release_time": "08:30"}}).exists()
    False
    """

    def __init__(
        self,
        *,
        filepath: str,
        series: Mapping[str, Mapping[str, Any] | None],
        required: bool = True,
        vendor: Mapping[str, Any] | None = None,
        credentials: Mapping[str, Any] | None = None,
        metadata: Mapping[str, Any] | None = None,
    ) -> None:
        folder, _, self._name = filepath.rpartition("/")
        self._storage = Storage(folder or ".", credentials)
        self._series = {name: _fred_options(name, options) for name, options in series.items()}
        self._required = required
        self._vendor = vendor_options(vendor)
        self.metadata = metadata

    def fetch(self, observer: Observer | None = None) -> str:
        """Ask FRED for every series and replace the file; return one line with the counts."""
        watch = observer or SilentObserver()
        key = resolve_secret(self._vendor.get("key", "env:FRED_API_KEY"))
        rest = FredRest(key=key, base_url=self._vendor.get("base_url", FRED_ENDPOINT))
        watch.start("fred", len(self._series))
        frames = []
        try:
            for name, options in self._series.items():
                frames.append(rest.releases(name, **options))
                watch.advance("fred", note=name)
        finally:
            rest.client.close()
            watch.finish("fred")
        frame = pl.concat(frames)
        buffer = io.BytesIO()
        frame.write_parquet(buffer)
        self._storage.write(self._name, buffer.getvalue())
        return f"{len(frames)} series of FRED: {frame.height} releases, the last on {frame['known_at'].max()!s}"

    def load(self) -> pl.DataFrame:
        """Return ``series, reference_date, known_at, value, revision`` of the series asked for."""
        if not self._required and not self._exists():
            logger.warning(
                "no macro series were fetched to %s: the run goes on without them", self._storage.uri(self._name)
            )
            return releases_frame("", [])
        try:
            frame = pl.read_parquet(io.BytesIO(self._storage.read(self._name)))
        except FileNotFoundError:
            raise SourceError(
                what="the macro series are not there",
                got=f"no {self._storage.uri(self._name)}",
                allowed="a file that was fetched",
                fix="fetch it first: `kedro fetch`; see docs/how-to/polygon.md",
            ) from None
        missing = sorted(set(self._series) - set(frame["series"].unique()))
        if missing:
            raise SourceError(
                what="series of the catalog were not fetched",
                got=f"{self._storage.uri(self._name)} without {missing}",
                allowed=f"all of {sorted(self._series)}",
                fix="fetch again: `kedro fetch`",
            )
        return frame.filter(pl.col("series").is_in(list(self._series)))

    def _exists(self) -> bool:
        return self._storage.exists(self._name)

    def _describe(self) -> dict[str, Any]:
        return {"filepath": self._storage.uri(self._name), "series": self._series}


def _fred_options(name: str, options: Mapping[str, Any] | None) -> dict[str, Any]:
    given = dict(options or {})
    unknown = sorted(set(given) - {"first", "release_time", "last_vintage", "vintage_years"})
    if unknown:
        raise ParameterError(
            what=f"the series {name} has unknown options",
            got=unknown,
            allowed="first, release_time, last_vintage, vintage_years",
            fix="correct the catalog",
        )
    if given.get("release_time") is not None:
        given["release_time"] = _clock(name, given["release_time"])
    for day in ("first", "last_vintage"):
        if given.get(day) is not None:
            given[day] = as_day(given[day])
    return given


def _clock(name: str, value: object) -> time:
    try:
        # YAML reads an unquoted 08:30 as a text, and 16:15 as the number 975.
        return time.fromisoformat(value) if isinstance(value, str) else time(*divmod(int(str(value)), 60))
    except ValueError:
        raise ParameterError(
            what=f"the release time of {name} cannot be read",
            got=repr(value),
            allowed='"08:30"',
            fix='write it as "HH:MM"',
        ) from None
