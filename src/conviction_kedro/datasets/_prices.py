"""Price tables: any long file given by path, and the real prices that ship inside a dependency."""

from __future__ import annotations

import io
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

import polars as pl
from kedro.io import AbstractDataset

from conviction.errors import BarsError, ParameterError, PointInTimeError
from conviction.frames import SESSION, SYMBOL, check_columns
from conviction_kedro.sources._storage import Storage

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_FORMATS = (".parquet", ".csv", ".csv.gz")
_PRICE_COLUMNS = ("open", "high", "low", "close", "volume")
# A day, alone or at midnight with any offset: the offset of a midnight is the exchange's and changes with summer time.
_DAY = r"^(\d{4}-?\d{2}-?\d{2})(?:[ T]00:00(?::00(?:\.0+)?)?(?:Z| ?[+-]\d{2}:?\d{2})?)?$"


def parse_sessions(column: pl.Series, *, name: str) -> pl.Series:
    """Return a column of days as dates, whatever a vendor wrote them as.

    Parameters
    ----------
    column : polars.Series
        Date, Datetime at midnight (of its own zone), or text as ``2024-01-31``, ``2024-01-31 00:00:00``, ``20240131``.
    name : str
        What the file is called in a message.

    Returns
    -------
    polars.Series
        Date, with the column's own name; nulls stay nulls.

    Raises
    ------
    BarsError
        If a value is no day: an unreadable text, or a moment that is not midnight (whose session only a calendar knows).

    Examples
    --------
    >>> parse_sessions(pl.Series("date", ["2024-01-31"]), name="prices.csv").to_list()
    [datetime.date(2024, 1, 31)]
    """
    if column.dtype == pl.Date:
        return column
    if column.dtype == pl.Datetime:
        moments = column.dt.replace_time_zone(None)
        unread = moments.filter(moments.dt.truncate("1d") != moments)
        days = moments.cast(pl.Date)
    else:
        text = column.cast(pl.String).str.strip_chars()
        days = text.str.extract(_DAY, 1).str.replace_all("-", "").str.to_date("%Y%m%d", strict=False)
        unread = text.filter(days.is_null() & text.is_not_null())
    if unread.len():
        raise BarsError(
            what=f"{name}: column {column.name!r} has {unread.len()} values that are not plainly a session",
            got=f"{unread[0]!s}",
            allowed="days as 2024-01-31, or moments at midnight of the exchange",
            fix="convert moments to the exchange's days before, or load the file as intraday bars",
        )
    return days.alias(column.name)


def parse_moments(column: pl.Series, *, name: str) -> pl.Series:
    """Return a column of moments in UTC, refusing what says no time zone.

    Parameters
    ----------
    column : polars.Series
        Datetime with a time zone, or text as ISO 8601 with an offset: ``2024-07-02T19:59:00Z``, ``2024-07-02 15:59:00.5-04:00``.
    name : str
        What the file is called in a message.

    Returns
    -------
    polars.Series
        Datetime with the time zone UTC, with the column's own name; nulls stay nulls.

    Raises
    ------
    PointInTimeError
        If a value cannot be read, is a day, or has no time zone.

    Examples
    --------
    >>> parse_moments(pl.Series("known_at", ["2024-07-02T15:59:00-04:00"]), name="news.csv")[0].isoformat()
    '2024-07-02T19:59:00+00:00'
    """
    if isinstance(column.dtype, pl.Datetime) and column.dtype.time_zone is not None:
        return column.dt.convert_time_zone("UTC")
    unread = column
    if column.dtype in (pl.String, pl.Null):
        text = (
            column.cast(pl.String)
            .str.strip_chars()
            .str.replace(r"(\d) (\d)", "${1}T${2}")
            .str.replace(r" ?[zZ]$", "+00:00")
        )
        # Seconds may be left out, as in 2024-07-02T19:59Z.
        text = text.str.replace(r"^(.{10}T\d\d:\d\d)([+-])", "${1}:00${2}").str.replace(
            r"([+-]\d\d)(\d\d)$", "${1}:${2}"
        )
        moments = text.str.to_datetime("%Y-%m-%dT%H:%M:%S%.f%:z", time_unit="us", time_zone="UTC", strict=False)
        unread = column.filter(moments.is_null() & column.is_not_null())
        if unread.is_empty():
            return moments.alias(column.name)
    raise PointInTimeError(
        what=f"{name}: column {column.name!r} has {unread.len()} values that are no moment with a time zone",
        got=f"{unread.dtype} {unread[0]!s}",
        allowed="2024-07-02T19:59:00Z or 2024-07-02 15:59:00-04:00: when the value was published",
        fix="write the time of publication with its offset; a day alone does not say whether it was before the decision",
    )


class LongTableDataset(AbstractDataset[pl.DataFrame, pl.DataFrame]):
    """A long Parquet or CSV table with one row a day, or a symbol and day, on a disk or on S3.

    Loading renames a foreign ``date`` to ``session`` and parses it, keeps the file's row order and its duplicates (they
    are evidence for the checks that follow), turns NaN into null and reads symbols as text, so that the tickers NA, NULL
    and TRUE stay tickers. Saving writes the frame whole and replaces the file.

    Parameters
    ----------
    filepath : str
        ``.parquet``, ``.csv`` or ``.csv.gz``; local or ``s3://``.
    columns : sequence of str, optional
        Columns to keep, by the names in the file; all by default.
    rename : mapping of str to str, optional
        Further names to change, from the file's to ours.
    required : sequence of str
        Columns (our names) without which the table is refused.
    load_args : mapping, optional
        Passed to ``polars.read_parquet`` or ``polars.read_csv``.
    save_args : mapping, optional
        Passed to ``DataFrame.write_parquet`` or ``DataFrame.write_csv``.
    object_version : str, optional
        Read this version of the object in a versioned bucket, as a dataset pin names it; the newest by default.
    credentials : mapping, optional
        See `conviction_kedro.sources.Storage`.
    metadata : mapping, optional
        Ignored by Kedro, for tools that read the catalog.

    Raises
    ------
    ParameterError
        If the file's ending is none of the known ones.

    Examples
    --------
    >>> import tempfile
    >>> from datetime import date
    >>> table = LongTableDataset(filepath=tempfile.mkdtemp() + "/vix.csv", rename={"close": "vix_close"})
    >>> table.save(pl.DataFrame({"date": [date(2024, 1, 2)], "close": [13.2]}))
    >>> table.load().row(0, named=True)
    {'session': datetime.date(2024, 1, 2), 'vix_close': 13.2}
    """

    _prices: tuple[str, ...] = ()

    def __init__(
        self,
        *,
        filepath: str,
        columns: Sequence[str] | None = None,
        rename: Mapping[str, str] | None = None,
        required: Sequence[str] = (SESSION,),
        load_args: Mapping[str, Any] | None = None,
        save_args: Mapping[str, Any] | None = None,
        object_version: str | None = None,
        credentials: Mapping[str, Any] | None = None,
        metadata: Mapping[str, Any] | None = None,
    ) -> None:
        if not filepath:
            raise ParameterError(
                what="no file of prices was given",
                got=repr(filepath),
                allowed="a path or s3:// URI",
                fix="set the environment variable CONVICTION_BARS, or --params=paths.bars=PATH, with --env=sp500",
            )
        name = PurePosixPath(filepath).name
        if not name.endswith(_FORMATS):
            raise ParameterError(
                what="the format of a table is told by the ending of its file",
                got=repr(name),
                allowed=", ".join(_FORMATS),
                fix="rename the file, or convert it to Parquet",
            )
        folder = filepath[: -len(name)].rstrip("/") or "."
        self._name = name
        self._storage = Storage(folder, credentials)
        self._columns = list(columns) if columns is not None else None
        self._rename = dict(rename or {})
        self._required = tuple(required)
        self._load_args = dict(load_args or {})
        self._save_args = dict(save_args or {})
        self._object_version = object_version
        self.metadata = metadata

    def load(self) -> pl.DataFrame:
        """Return the table, in the file's order."""
        raw = self._read()
        if self._columns is not None:
            check_columns(raw, self._columns, name=self._name)
            raw = raw.select(self._columns)
        named = {"date": SESSION, **self._rename}
        frame = raw.rename({old: new for old, new in named.items() if old in raw.columns and new not in raw.columns})
        check_columns(frame, self._required, name=self._name)
        if SYMBOL in frame.columns:
            frame = frame.with_columns(pl.col(SYMBOL).cast(pl.String))
        if SESSION in frame.columns:
            frame = frame.with_columns(parse_sessions(frame[SESSION], name=self._name))
        prices = [column for column in self._prices if column in frame.columns]
        self._check_numbers(frame, prices)
        floats = pl.selectors.float()
        return frame.with_columns(pl.col(prices).cast(pl.Float64)).with_columns(floats.fill_nan(None))

    def save(self, data: pl.DataFrame) -> None:
        """Write the table whole, aside, and put it in place."""
        buffer = io.BytesIO()
        if self._name.endswith(".parquet"):
            data.write_parquet(buffer, **self._save_args)
            content = buffer.getvalue()
        else:
            data.write_csv(buffer, **self._save_args)
            content = _compress(buffer.getvalue()) if self._name.endswith(".gz") else buffer.getvalue()
        self._storage.write(self._name, content)

    def address(self) -> tuple[str, Mapping[str, Any], str | None]:
        """Return where the table lies, the credentials of the place and the version that is read, for the dataset pin."""
        return self._storage.uri(self._name), self._storage.credentials, self._object_version

    def _read(self) -> pl.DataFrame:
        source: Any = self._storage.path(self._name)
        if self._storage.protocol != "file":
            source = io.BytesIO(self._storage.read(self._name, version=self._object_version))
        if self._name.endswith(".parquet"):
            return pl.read_parquet(source, **self._load_args)
        # A schema guessed from the first rows fails on a number that only later has a decimal point.
        options = {"infer_schema_length": None, **self._load_args}
        options["schema_overrides"] = {SYMBOL: pl.String, "ticker": pl.String, **options.get("schema_overrides", {})}
        return pl.read_csv(source, **options)

    def _check_numbers(self, frame: pl.DataFrame, prices: Sequence[str]) -> None:
        for column in prices:
            if not frame.schema[column].is_numeric() and frame.schema[column] != pl.Null:
                raise BarsError(
                    what=f"{self._name}: column {column!r} is not numeric",
                    got=frame.schema[column],
                    allowed="numbers, or empty where a price is missing",
                    fix="remove the text from that column, or name its spelling in load_args: {null_values: [...]}",
                )

    def _exists(self) -> bool:
        return self._storage.exists(self._name)

    def _describe(self) -> dict[str, Any]:
        return {
            "filepath": self._storage.uri(self._name),
            "columns": self._columns,
            "rename": self._rename,
            "object_version": self._object_version,
            "load_args": self._load_args,
            "save_args": self._save_args,
        }


class LongBarsDataset(LongTableDataset):
    """Daily prices of many symbols as one long table: ``symbol``, ``session``, ``close`` and what else the file has.

    Parameters
    ----------
    filepath : str
        ``.parquet``, ``.csv`` or ``.csv.gz``; local or ``s3://``; columns ``symbol``, ``date`` (or ``session``), ``close``
        and any of ``open, high, low, volume``, which become Float64.
    columns, rename, load_args, save_args, object_version, credentials, metadata
        As in `LongTableDataset`.

    Notes
    -----
    The frame is raw: `conviction.market.check_bars` sorts it, judges duplicates and impossible prices and reports them.

    Examples
    --------
    >>> import tempfile
    >>> bars = LongBarsDataset(filepath=tempfile.mkdtemp() + "/bars.csv")
    >>> bars.save(pl.DataFrame({"symbol": ["NA", "TRUE"], "date": ["2024-01-02"] * 2, "close": [1, 2]}))
    >>> bars.load().rows()
    [('NA', datetime.date(2024, 1, 2), 1.0), ('TRUE', datetime.date(2024, 1, 2), 2.0)]
    """

    _prices = _PRICE_COLUMNS

    def __init__(
        self,
        *,
        filepath: str,
        columns: Sequence[str] | None = None,
        rename: Mapping[str, str] | None = None,
        load_args: Mapping[str, Any] | None = None,
        save_args: Mapping[str, Any] | None = None,
        object_version: str | None = None,
        credentials: Mapping[str, Any] | None = None,
        metadata: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(
            filepath=filepath,
            columns=columns,
            rename=rename,
            required=(SYMBOL, SESSION, "close"),
            load_args=load_args,
            save_args=save_args,
            object_version=object_version,
            credentials=credentials,
            metadata=metadata,
        )


def _compress(data: bytes) -> bytes:
    import gzip

    # No time in the header: equal frames give equal bytes.
    return gzip.compress(data, mtime=0)
