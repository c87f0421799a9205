"""The VIX as a catalog entry: a file of the user, or Cboe's history, fetched."""

from __future__ import annotations

import io
import logging
from collections.abc import Mapping
from typing import Any

import polars as pl

from conviction.errors import ParameterError
from conviction.observer import Observer, SilentObserver
from conviction_kedro.datasets._vendor_tables import VendorDataset, vendor_options
from conviction_kedro.sources import JsonClient, Secret, Storage, read_vix

CBOE_ENDPOINT = "https://cdn.cboe.com"
CBOE_HISTORY = "/api/global/us_indices/daily_prices/VIX_History.csv"
logger = logging.getLogger(__name__)


class VixDataset(VendorDataset):
    """Closes of the VIX from a file, with the moment they became known: ``session, close, known_at``.

    Parameters
    ----------
    filepath : str or None
        Cboe's ``VIX_History.csv``, FRED's ``VIXCLS.csv`` or any ``date, close`` as CSV or Parquet; local or ``s3://``. None means
        that the user gave nothing: the frame has no rows.
    calendar : str
    required : bool
        Whether a run without the file stops (True), or goes on with no rows after a warning (False).
    credentials, metadata : mapping, optional

    Examples
    --------
    >>> VixDataset(filepath="data/01_raw/VIX_History.csv").exists()
    False
    """

    def __init__(
        self,
        *,
        filepath: str | None,
        calendar: str = "XNYS",
        required: bool = True,
        credentials: Mapping[str, Any] | None = None,
        metadata: Mapping[str, Any] | None = None,
    ) -> None:
        folder, _, name = (filepath or "").rpartition("/")
        self._name = name or None
        self._storage = Storage(folder or ".", credentials)
        self._calendar = calendar
        self._required = required
        self.metadata = metadata

    def load(self) -> pl.DataFrame:
        """Return the closes, point in time."""
        if self._name is None or (not self._required and not self._storage.exists(self._name)):
            if self._name is not None:
                logger.warning("no VIX is at %s: the run goes on without it", self._storage.uri(self._name))
            return pl.DataFrame(schema={"session": pl.Date, "close": pl.Float64, "known_at": pl.Datetime("us", "UTC")})
        data = self._storage.read(self._name)
        if self._name.endswith(".parquet"):
            data = pl.read_parquet(io.BytesIO(data)).write_csv().encode()
        return read_vix(data, calendar=self._calendar, name=self._name)

    def _exists(self) -> bool:
        return self._name is None or self._storage.exists(self._name)

    def _describe(self) -> dict[str, Any]:
        return {"filepath": self._name and self._storage.uri(self._name), "calendar": self._calendar}


class CboeVixDataset(VixDataset):
    """The VIX whose file `fetch` replaces by Cboe's history of daily closes, which needs no key.

    Parameters
    ----------
    filepath : str
        Where the file is kept.
    vendor : mapping, optional
        ``base_url`` of Cboe's files.
    calendar, required, credentials, metadata
        As for `VixDataset`.

    Examples
    --------
    >>> CboeVixDataset(filepath="data/01_raw/VIX_History.csv", required=False).load().height
    0
    """

    def __init__(self, *, filepath: str, vendor: Mapping[str, Any] | None = None, **options: Any) -> None:
        super().__init__(filepath=filepath, **options)
        self._vendor = vendor_options(vendor)
        unknown = sorted(set(self._vendor) - {"base_url"})
        if unknown:
            raise ParameterError.from_unknown_name(kind="option of the VIX", name=unknown[0], known=["base_url"])

    def fetch(self, observer: Observer | None = None) -> str:
        """Ask Cboe for the history and replace the file once it has been read whole; return one line on what came."""
        watch, name = observer or SilentObserver(), str(self._name)
        watch.start("vix", 1)
        client = JsonClient(self._vendor.get("base_url", CBOE_ENDPOINT), Secret(""))
        try:
            data = client.get_bytes(CBOE_HISTORY)
        finally:
            client.close()
            watch.finish("vix")
        frame = read_vix(data, calendar=self._calendar, name=name)
        self._storage.write(name, data)
        return f"{frame.height} closes of the VIX, {frame['session'].min()!s} to {frame['session'].max()!s}"
