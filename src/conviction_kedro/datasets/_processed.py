"""The team's processed format: a directory with one ``{SYMBOL}_features.csv`` for each symbol."""

from __future__ import annotations

import io
import logging
import re
from typing import TYPE_CHECKING, Any

import polars as pl
from kedro.io import AbstractDataset

from conviction.errors import FrameError, UniverseError
from conviction.frames import SESSION, SYMBOL, check_panel
from conviction_kedro.datasets._prices import parse_sessions
from conviction_kedro.sources._storage import Storage

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

logger = logging.getLogger(__name__)

SUFFIX = "_features.csv"
_SAVING = "SAVING"
_LEADING = ("open", "high", "low", "close", "volume")
_TARGET = re.compile(r"target_\d+d|direction")
# A symbol becomes a file name: nothing that could climb out of the directory.
_SYMBOL = re.compile(r"[A-Za-z0-9^=][A-Za-z0-9.^=_-]*")
_MISSING = ("", "NA", "N/A", "NaN", "nan", "null", "NULL", "None", "<NA>", "#N/A")


class ProcessedFormatDataset(AbstractDataset[pl.DataFrame, pl.DataFrame]):
    """A directory of ``{SYMBOL}_features.csv``, read and written as one long frame, on a disk or on S3.

    Each file holds one row a session, oldest first: ``date, open, high, low, close, volume, <features>, target_1d,
    target_3d, target_5d, target_10d, direction``; any of these but ``date`` may be missing, and every other column is a
    feature. What row t says is claimed to be known at the close of t; whether that is true is for the audit to find out.

    Loading takes the symbol from the file's name (so BRK-B, NA and TRUE are what they say), renames ``date`` to
    ``session``, and turns every other column into Float64 (``direction`` into Int8), with null where a file says nothing,
    NA, NaN or null. Row order and duplicates stay as they are: they are evidence. Symbols come in sorted order.

    Saving writes one file a symbol, then removes the files of symbols that are no longer there. A directory whose saving
    was interrupted refuses to load.

    Parameters
    ----------
    filepath : str
        The directory, local or ``s3://``.
    symbols : sequence of str, optional
        Read only these; all by default.
    allow_missing : bool
        Whether asked symbols without a file are left out (and logged) rather than an error.
    allow_different_columns : bool
        Whether files may have different columns, with null where a symbol lacks one, rather than an error.
    text_columns : sequence of str
        Columns to keep as text.
    credentials : mapping, optional
        See `conviction_kedro.sources.Storage`.
    metadata : mapping, optional
        Ignored by Kedro.

    Raises
    ------
    FrameError
        On a file without ``date``, columns that differ, text among numbers, a symbol column that contradicts the file's
        name, or an interrupted save; the message names the file and the column.
    UniverseError
        On an asked symbol without a file, or an empty directory.

    Examples
    --------
    >>> import tempfile
    >>> from datetime import date
    >>> dataset = ProcessedFormatDataset(filepath=tempfile.mkdtemp())
    >>> rows = {"symbol": ["BRK-B", "NA"], "session": [date(2024, 1, 2)] * 2, "close": [360.0, 1.5], "direction": [1, None]}
    >>> dataset.save(pl.DataFrame(rows))
    >>> dataset.load().rows()
    [('BRK-B', datetime.date(2024, 1, 2), 360.0, 1), ('NA', datetime.date(2024, 1, 2), 1.5, None)]
    """

    def __init__(
        self,
        *,
        filepath: str,
        symbols: Sequence[str] | None = None,
        allow_missing: bool = False,
        allow_different_columns: bool = False,
        text_columns: Sequence[str] = (),
        credentials: Mapping[str, Any] | None = None,
        metadata: Mapping[str, Any] | None = None,
    ) -> None:
        self._storage = Storage(filepath, credentials)
        self._symbols = list(symbols) if symbols is not None else None
        self._allow_missing = allow_missing
        self._allow_different_columns = allow_different_columns
        self._text = frozenset(text_columns)
        self.metadata = metadata

    def load(self) -> pl.DataFrame:
        """Return all symbols as one long frame."""
        names = self._files()
        if _SAVING in names:
            raise FrameError(
                what=f"{self._storage.uri()} was being saved when its writer stopped",
                got=f"a file {_SAVING}",
                allowed="a directory that was saved to the end",
                fix="save it again; if it is whole for certain, delete that file",
            )
        chosen = self._chosen({name.removesuffix(SUFFIX): name for name in names if name.endswith(SUFFIX)})
        contents = self._storage.read_many(list(chosen.values()))
        frames = [self._parse(symbol, contents[name]) for symbol, name in sorted(chosen.items())]
        self._check_columns(frames)
        return pl.concat(frames, how="diagonal")

    def save(self, data: pl.DataFrame) -> None:
        """Write one file a symbol; files of other symbols in the directory are removed."""
        check_panel(data, name="processed frame")
        strange = [s for s in data[SYMBOL].unique().sort() if not _SYMBOL.fullmatch(s)]
        if strange:
            raise FrameError(
                what="symbols that cannot be file names",
                got=strange[:5],
                allowed="letters, digits and . ^ = _ -",
                fix="write class shares as BRK-B",
            )
        columns = [c for c in data.columns if c not in (SYMBOL, SESSION)]
        leading = [c for c in _LEADING if c in columns]
        trailing = sorted((c for c in columns if _TARGET.fullmatch(c)), key=_target_order)
        features = [c for c in columns if c not in leading and c not in trailing]
        ordered = data.select(SYMBOL, pl.col(SESSION).alias("date"), *leading, *features, *trailing)
        self._storage.write(_SAVING, b"")
        kept = set()
        for (symbol,), rows in ordered.group_by(SYMBOL, maintain_order=True):
            buffer = io.BytesIO()
            rows.drop(SYMBOL).write_csv(buffer)
            self._storage.write(f"{symbol}{SUFFIX}", buffer.getvalue())
            kept.add(f"{symbol}{SUFFIX}")
        for stale in set(self._files()) - kept - {_SAVING}:
            if stale.endswith(SUFFIX):
                self._storage.delete(stale)
        self._storage.delete(_SAVING)

    def address(self) -> tuple[str, Mapping[str, Any], str | None]:
        """Return the directory and the credentials of its place, for the dataset pin; it has no versions."""
        return self._storage.uri(), self._storage.credentials, None

    def _files(self) -> list[str]:
        return [name for name in self._storage.walk() if "/" not in name] if self._storage.exists() else []

    def _chosen(self, found: dict[str, str]) -> dict[str, str]:
        if not found:
            raise UniverseError(
                what=f"no {{SYMBOL}}{SUFFIX} in {self._storage.uri()}",
                got="no such file",
                allowed="at least one",
                fix="check the path; the files lie directly in the directory",
            )
        if self._symbols is None:
            return found
        missing = [symbol for symbol in self._symbols if symbol not in found]
        if missing and not self._allow_missing:
            raise UniverseError(
                what=f"{len(missing)} symbols have no file in {self._storage.uri()}",
                got=", ".join(missing[:10]),
                allowed=f"symbols among the {len(found)} files there",
                fix="correct the universe, or set allow_missing: true",
            )
        if missing:
            logger.warning("%d symbols have no file and are left out: %s", len(missing), ", ".join(missing))
        return {symbol: found[symbol] for symbol in self._symbols if symbol in found}

    def _parse(self, symbol: str, content: bytes) -> pl.DataFrame:
        name = f"{symbol}{SUFFIX}"
        try:
            raw = pl.read_csv(io.BytesIO(content), infer_schema=False)
        except pl.exceptions.PolarsError as error:
            raise FrameError(
                what=f"{name} cannot be read as CSV",
                got=str(error).splitlines()[0],
                allowed="a header and rows of the same width",
                fix="export that symbol again",
            ) from error
        if SYMBOL in raw.columns:
            others = raw.filter(pl.col(SYMBOL) != symbol)[SYMBOL]
            if others.len():
                raise FrameError(
                    what=f"{name} has rows of another symbol",
                    got=others[0],
                    allowed=symbol,
                    fix="the file's name and its symbol column must agree",
                )
            raw = raw.drop(SYMBOL)
        day = "date" if "date" in raw.columns else SESSION
        if day not in raw.columns:
            raise FrameError(
                what=f"{name} has no date",
                got=raw.columns[:8],
                allowed="a column date",
                fix="name the day's column 'date'",
            )
        sessions = parse_sessions(raw[day].replace("", None), name=name).alias(SESSION)
        values = [self._numbers(name, column) for column in raw.drop(day).iter_columns()]
        return pl.DataFrame(
            [pl.repeat(symbol, raw.height, dtype=pl.String, eager=True).alias(SYMBOL), sessions, *values]
        )

    def _numbers(self, name: str, column: pl.Series) -> pl.Series:
        text = column.str.strip_chars()
        text = text.set(text.is_in(_MISSING), None)
        if column.name in self._text:
            return text
        numbers = text.cast(pl.Float64, strict=False).fill_nan(None)
        unread = text.filter(numbers.is_null() & text.is_not_null() & ~text.str.to_lowercase().is_in(["-nan", "+nan"]))
        if unread.len():
            raise FrameError(
                what=f"{name}: column {column.name!r} has {unread.len()} values that are no numbers",
                got=repr(unread[0]),
                allowed="numbers, or nothing where a value is missing",
                fix=f"correct the file, or list the column in text_columns: [{column.name}]",
            )
        whole = column.name == "direction" and numbers.drop_nulls().is_in([0.0, 1.0, -1.0]).all()
        return numbers.cast(pl.Int8) if whole else numbers

    def _check_columns(self, frames: list[pl.DataFrame]) -> None:
        first = frames[0]
        for frame in frames[1:]:
            differ = sorted(set(frame.columns) ^ set(first.columns))
            if differ and not self._allow_different_columns:
                raise FrameError(
                    what=f"{frame[SYMBOL][0]}{SUFFIX} and {first[SYMBOL][0]}{SUFFIX} have different columns",
                    got=f"{len(differ)} columns in only one of them, first {differ[:5]}",
                    allowed="the same columns in every file",
                    fix="export all symbols with one program, or set allow_different_columns: true to fill with nulls",
                )

    def _exists(self) -> bool:
        return any(name.endswith(SUFFIX) for name in self._files())

    def _describe(self) -> dict[str, Any]:
        return {"filepath": self._storage.uri(), "symbols": self._symbols, "allow_missing": self._allow_missing}


def _target_order(column: str) -> tuple[int, str]:
    digits = re.sub(r"\D", "", column)
    return (int(digits) if digits else 10**6, column)
