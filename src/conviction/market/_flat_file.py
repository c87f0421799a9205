"""The bytes of one vendor flat file become typed rows; what cannot be read is named, never guessed."""

from __future__ import annotations

import gzip
import io
import re
import zlib
from dataclasses import dataclass
from datetime import date
from typing import Literal

import polars as pl

from conviction.errors import BarsError
from conviction.market._quality import QualityProblem

AggregateKind = Literal["day", "minute"]
COLUMNS: tuple[str, ...] = ("ticker", "volume", "open", "close", "high", "low", "window_start", "transactions")
# Index files have neither: nobody trades an index.
_OPTIONAL = {"us_indices": ("volume", "transactions")}
_DTYPES: dict[str, type[pl.DataType]] = {
    "ticker": pl.String,
    "window_start": pl.Int64,
    "transactions": pl.Int64,
    **dict.fromkeys(("volume", "open", "close", "high", "low"), pl.Float64),
}
_KEY = re.compile(
    r"(?:^|/)(?P<prefix>[a-z_]+)/(?P<kind>day|minute)_aggs_v\d+/(?:.*/)?(?P<day>\d{4}-\d{2}-\d{2})[^/]*\.csv\.gz$"
)


@dataclass(frozen=True, kw_only=True)
class MarketClock:
    """Whose sessions and hours the files of one prefix follow; `zone` None means the calendar's."""

    calendar: str
    zone: str | None
    first_hour: int
    last_hour: int


# Minute aggregates of US securities cover 04:00 to 20:00 in New York; the others trade around the clock and are cut at UTC midnight.
CLOCKS: dict[str, MarketClock] = {
    "us_stocks_sip": MarketClock(calendar="XNYS", zone=None, first_hour=4, last_hour=20),
    "us_options_opra": MarketClock(calendar="XNYS", zone=None, first_hour=4, last_hour=20),
    "us_indices": MarketClock(calendar="XNYS", zone=None, first_hour=0, last_hour=24),
    "global_forex": MarketClock(calendar="24/5", zone="UTC", first_hour=0, last_hour=24),
    "global_crypto": MarketClock(calendar="24/7", zone="UTC", first_hour=0, last_hour=24),
}
FILE_ERRORS: dict[str, str] = {
    "not_gzip": "the file is not gzip: an error page or another format under this name",
    "truncated_gzip": "the file ends before its content does: an interrupted copy; the rows before the cut are not all of the session",
    "corrupt_gzip": "the content does not match its checksum",
    "wrong_header": "the columns are not the vendor's, so that a price may stand under another name",
    "malformed_csv": "a line has too many or too few fields: cut or glued together",
    "unreadable_number": "a field that must be a number is none",
    "empty_file": "the file has no rows, although the exchange had a session",
}


@dataclass(frozen=True, kw_only=True)
class FileName:
    """What the key of a flat file says: prefix, kind, session."""

    prefix: str
    kind: AggregateKind
    session: date
    clock: MarketClock


def read_key(key: str, *, kind: AggregateKind | None) -> FileName:
    """Return what a key says.

    Parameters
    ----------
    key : str
        Such as ``us_stocks_sip/day_aggs_v1/2024/07/2024-07-03.csv.gz``, with anything before it.
    kind : {"day", "minute"} or None
        What the caller expects.

    Returns
    -------
    FileName
        Prefix, kind, session and the market's clock.

    Raises
    ------
    BarsError
        If the key has another shape, an unknown prefix, an impossible date, or another kind than expected.
    """
    match = _KEY.search(key)
    try:
        session = None if match is None else date.fromisoformat(match["day"])
    except ValueError:
        session = None
    if (
        match is None
        or session is None
        or match["prefix"] not in CLOCKS
        or (kind is not None and match["kind"] != kind)
    ):
        raise BarsError(
            what="the key is not that of a flat file of aggregates" + ("" if kind is None else f" of kind {kind!r}"),
            got=key,
            allowed=f"PREFIX/{kind or '(day|minute)'}_aggs_v1/YYYY/MM/YYYY-MM-DD.csv.gz with PREFIX in {sorted(CLOCKS)}",
            fix="keep the vendor's keys when copying its files",
        )
    found: AggregateKind = "day" if match["kind"] == "day" else "minute"
    return FileName(prefix=match["prefix"], kind=found, session=session, clock=CLOCKS[match["prefix"]])


def read_rows(data: bytes, *, name: FileName) -> tuple[pl.DataFrame | None, list[QualityProblem]]:
    """Return the typed rows of a file, or None and the reason why it cannot be read.

    Parameters
    ----------
    data : bytes
        Content of the ``.csv.gz``.
    name : FileName
        What its key says.

    Returns
    -------
    tuple of polars.DataFrame or None and list of QualityProblem
        `COLUMNS` in that order with ``ticker`` String (``NA``, ``NULL``, ``TRUE`` are tickers), prices and volume Float64, ``window_start`` and
        ``transactions`` Int64.
    """
    text, problem = _unzipped(data, name=name)
    if text is None:
        return None, problem
    header = text.split(b"\n", 1)[0].decode("utf-8", errors="replace").strip().lstrip("\ufeff").split(",")
    optional = _OPTIONAL.get(name.prefix, ())
    missing = [column for column in COLUMNS if column not in header and column not in optional]
    if missing or len(set(header)) != len(header):
        return None, [file_problem("wrong_header", name=name, value=f"lacks {missing}, has {header[:10]}")]
    extra = [column for column in header if column not in COLUMNS]
    notes = [] if not extra else [_note_extra(extra, name=name)]
    rows, problem = _typed(text, header=header, name=name)
    if rows is None:
        return None, [*notes, *problem]
    if rows.is_empty():
        return None, [*notes, file_problem("empty_file", name=name, value="0 rows")]
    # A line that is cut short reads as nulls; without ticker or moment nobody knows what the rest of it is.
    cut = rows.with_row_index().filter(pl.col("ticker").is_null() | pl.col("window_start").is_null())
    if not cut.is_empty():
        value = f"line {cut['index'][0] + 2} has no ticker or window_start, {cut.height} lines"
        return None, [*notes, file_problem("malformed_csv", name=name, value=value)]
    return rows.select([column for column in COLUMNS if column in header]), notes


def file_problem(rule: str, *, name: FileName, value: str) -> QualityProblem:
    """Return the error for a whole file."""
    return QualityProblem(
        name=rule,
        severity="error",
        symbol=None,
        session=name.session,
        rows=0,
        value=value,
        explanation=FILE_ERRORS[rule],
    )


def _unzipped(data: bytes, *, name: FileName) -> tuple[bytes | None, list[QualityProblem]]:
    if data[:2] != b"\x1f\x8b":
        return None, [file_problem("not_gzip", name=name, value=f"first bytes {data[:12]!r}")]
    try:
        return gzip.decompress(data).rstrip(), []
    except EOFError as error:
        return None, [file_problem("truncated_gzip", name=name, value=f"{len(data)} bytes, {error}")]
    except (gzip.BadGzipFile, zlib.error) as error:
        return None, [file_problem("corrupt_gzip", name=name, value=str(error))]


def _typed(text: bytes, *, header: list[str], name: FileName) -> tuple[pl.DataFrame | None, list[QualityProblem]]:
    schema = {column: _DTYPES.get(column, pl.String) for column in header}
    try:
        return pl.read_csv(io.BytesIO(text), schema=schema), []
    except pl.exceptions.PolarsError:
        pass
    try:
        raw = pl.read_csv(io.BytesIO(text), infer_schema=False)
    except pl.exceptions.PolarsError as error:
        return None, [file_problem("malformed_csv", name=name, value=str(error).splitlines()[0][:120])]
    for column in (c for c in header if c in _DTYPES and c != "ticker"):
        bad = raw.filter(pl.col(column).cast(_DTYPES[column], strict=False).is_null() & (pl.col(column) != ""))
        if not bad.is_empty():
            first = bad.row(0, named=True)
            value = f"{column} {first[column]!r} of ticker {first['ticker']!r}, {bad.height} rows"
            return None, [file_problem("unreadable_number", name=name, value=value)]
    return None, [file_problem("malformed_csv", name=name, value="fields do not fit the columns")]


def _note_extra(extra: list[str], *, name: FileName) -> QualityProblem:
    return QualityProblem(
        name="ignored_columns",
        severity="info",
        symbol=None,
        session=name.session,
        rows=0,
        value=", ".join(extra[:10]),
        explanation="the vendor has added columns, which are not used",
    )
