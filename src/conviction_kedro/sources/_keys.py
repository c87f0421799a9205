"""Names of the vendor's flat files: which market, which granularity, which session."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import date
from typing import Literal, get_args

from conviction.errors import ParameterError

Market = Literal["stocks", "options", "indices", "forex", "crypto"]
Granularity = Literal["day", "minute"]

PREFIXES: dict[Market, str] = {
    "stocks": "us_stocks_sip",
    "options": "us_options_opra",
    "indices": "us_indices",
    "forex": "global_forex",
    "crypto": "global_crypto",
}
CALENDARS: dict[Market, str] = {
    "stocks": "XNYS",
    "options": "XNYS",
    "indices": "XNYS",
    "forex": "24/5",
    "crypto": "24/7",
}
_MARKETS = {prefix: market for market, prefix in PREFIXES.items()}
_KEY = re.compile(
    r"(?P<prefix>[a-z_]+)/(?P<granularity>day|minute)_aggs_v1/(?P<year>\d{4})/(?P<month>\d{2})/"
    r"(?P<session>\d{4}-\d{2}-\d{2})(?:\.(?P<version>[0-9a-f]{12}))?\.csv\.gz"
)


@dataclass(frozen=True, kw_only=True, order=True)
class FlatFileKey:
    """The name of one flat file: one market, one granularity, one session, all tickers.

    Parameters
    ----------
    market : {"stocks", "options", "indices", "forex", "crypto"}
    granularity : {"day", "minute"}
    session : datetime.date
        The session the file claims to hold.

    Examples
    --------
    >>> key = FlatFileKey(market="stocks", granularity="day", session=date(2024, 1, 2))
    >>> str(key)
    'us_stocks_sip/day_aggs_v1/2024/01/2024-01-02.csv.gz'
    >>> FlatFileKey.parse(str(key)) == key
    True
    """

    market: Market
    granularity: Granularity
    session: date

    def __str__(self) -> str:
        return f"{self.folder}/{self.session:%Y/%m}/{self.session.isoformat()}.csv.gz"

    @property
    def folder(self) -> str:
        """The part of the name before the year."""
        return flat_file_folder(self.market, self.granularity)

    def versioned(self, etag: str) -> str:
        """Return the name under which a later edition of this file is kept beside the first."""
        # A multi-part ETag has a dash and a count: letters and digits alone make a name safe everywhere.
        return str(self).removesuffix(".csv.gz") + f".{re.sub('[^0-9a-f]', '', etag.lower())[:12]:0<12}.csv.gz"

    @classmethod
    def parse(cls, key: str) -> FlatFileKey | None:
        """Return the parts of a vendor's key or of a kept edition; None for any other file."""
        match = _KEY.fullmatch(key)
        if match is None or match["prefix"] not in _MARKETS:
            return None
        try:
            session = date.fromisoformat(match["session"])
        except ValueError:
            return None
        if (match["year"], match["month"]) != (f"{session:%Y}", f"{session:%m}"):
            return None
        granularity: Granularity = "day" if match["granularity"] == "day" else "minute"
        return cls(market=_MARKETS[match["prefix"]], granularity=granularity, session=session)


def flat_file_folder(market: Market, granularity: Granularity) -> str:
    """Return the folder of one market and granularity, refusing names that do not exist.

    Raises
    ------
    ParameterError
        If the market or the granularity is unknown.

    Examples
    --------
    >>> flat_file_folder("crypto", "minute")
    'global_crypto/minute_aggs_v1'
    """
    if market not in PREFIXES:
        raise ParameterError.from_unknown_name(kind="market", name=market, known=PREFIXES)
    if granularity not in get_args(Granularity):
        raise ParameterError.from_unknown_name(kind="granularity", name=granularity, known=get_args(Granularity))
    return f"{PREFIXES[market]}/{granularity}_aggs_v1"
