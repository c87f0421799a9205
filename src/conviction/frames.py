"""The one frame contract: a long panel keyed by symbol and session, unique and sorted.

``symbol`` is a polars String, ``session`` a Date (the exchange's), intraday frames add ``bar_end`` Datetime[us, UTC].
Missing values are nulls in polars frames, never NaN; feature matrices are Float32 with nulls.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import polars as pl

from conviction.errors import FrameError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

SYMBOL = "symbol"
SESSION = "session"
BAR_END = "bar_end"
KEY: tuple[str, ...] = (SYMBOL, SESSION)
UTC = pl.Datetime("us", "UTC")


def key_of(frame: pl.DataFrame) -> tuple[str, ...]:
    """Return the columns that name a row of a frame: those of a bar where it has `bar_end`, else symbol and session.

    Examples
    --------
    >>> key_of(pl.DataFrame({"symbol": ["A"], "close": [1.0]}))
    ('symbol', 'session')
    """
    return (*KEY, BAR_END) if BAR_END in frame.columns else KEY


def moment_of(frame: pl.DataFrame) -> str:
    """Return the column that orders decisions and names a cross-section: `bar_end` of intraday frames, else `session`.

    Examples
    --------
    >>> moment_of(pl.DataFrame({"symbol": ["A"], "bar_end": [1]}))
    'bar_end'
    """
    return BAR_END if BAR_END in frame.columns else SESSION


def check_columns(frame: pl.DataFrame, required: Iterable[str], *, name: str) -> None:
    """Raise a FrameError naming every required column that `frame` lacks.

    Parameters
    ----------
    frame : polars.DataFrame
        Any frame.
    required : iterable of str
        Column names that must be there.
    name : str
        What the frame is called in the message.

    Raises
    ------
    FrameError
        If a column is missing.

    Examples
    --------
    >>> check_columns(pl.DataFrame({"symbol": ["A"]}), ["symbol"], name="bars")
    """
    missing = [column for column in required if column not in frame.columns]
    if missing:
        raise FrameError(
            what=f"{name} lacks the columns {missing}",
            got=frame.columns,
            allowed=f"a frame with {list(required)}",
            fix="rename the columns at the edge, or build the frame with the stage that makes it",
        )


def check_panel(
    frame: pl.DataFrame,
    *,
    name: str,
    required: Sequence[str] = (),
    key: Sequence[str] | None = None,
    allow_empty: bool = False,
) -> pl.DataFrame:
    """Check the frame contract and return the frame unchanged.

    Parameters
    ----------
    frame : polars.DataFrame
        Long panel, one row per `key`.
    name : str
        What the frame is called in the message.
    required : sequence of str
        Columns beside the key that must be there.
    key : sequence of str, optional
        The key; rows must be unique and sorted by it. By default that of `key_of`.
    allow_empty : bool
        Whether a frame without rows passes.

    Returns
    -------
    polars.DataFrame
        The same object.

    Raises
    ------
    FrameError
        On missing columns, wrong key dtypes, null keys, duplicates, disorder or no rows.

    Examples
    --------
    >>> from datetime import date
    >>> bars = pl.DataFrame({"symbol": ["A", "A"], "session": [date(2020, 1, 2), date(2020, 1, 3)], "close": [1.0, 1.1]})
    >>> check_panel(bars, name="bars", required=["close"]).height
    2
    """
    key = key_of(frame) if key is None else key
    check_columns(frame, [*key, *required], name=name)
    if frame.is_empty() and not allow_empty:
        raise FrameError(
            what=f"{name} has no rows",
            got="0 rows",
            allowed="at least one row",
            fix="check the universe and the date span",
        )
    dtypes = {SYMBOL: pl.String, SESSION: pl.Date, BAR_END: UTC}
    for column in key:
        wanted = dtypes.get(column)
        if wanted is not None and frame.schema[column] != wanted:
            raise FrameError(
                what=f"{name}.{column} has the wrong dtype",
                got=frame.schema[column],
                allowed=wanted,
                fix="cast the column at the edge, where the file is read",
            )
        if frame[column].null_count():
            raise FrameError(
                what=f"{name}.{column} has nulls",
                got=f"{frame[column].null_count()} nulls",
                allowed="no null key",
                fix="drop or repair those rows at the edge and say so in the quality report",
            )
    keys = frame.select(key)
    if _strictly_increasing(keys):
        return frame
    duplicated = keys.is_duplicated()
    if duplicated.any():
        raise FrameError(
            what=f"{name} has duplicated rows",
            got=f"{int(duplicated.sum())} rows share a key, first {keys.filter(duplicated).row(0)}",
            allowed=f"one row per {tuple(key)}",
            fix="remove the duplicates where the data is read; conviction.market.check_bars reports them",
        )
    if not keys.equals(keys.sort(key)):
        raise FrameError(
            what=f"{name} is not sorted",
            got="rows out of order",
            allowed=f"rows sorted by {tuple(key)}",
            fix=f"frame.sort({list(key)})",
        )
    return frame


def _strictly_increasing(keys: pl.DataFrame) -> bool:
    """Say in one pass whether the rows are sorted and unique: nearly every frame is, and sorting again is dear."""
    later = pl.lit(value=False)
    for column in map(pl.col, reversed(keys.columns)):
        later = (column > column.shift(1)) | ((column == column.shift(1)) & later)
    return bool(keys.select(later.slice(1).all()).item())


def fingerprint(frame: pl.DataFrame) -> str:
    """Return the SHA-256 of a frame's content: column names, dtypes and values in their order.

    Equal frames give equal fingerprints in any process on any platform; nulls and NaN differ.

    Parameters
    ----------
    frame : polars.DataFrame
        Any frame of flat columns.

    Returns
    -------
    str
        64 hexadecimal digits.

    Examples
    --------
    >>> fingerprint(pl.DataFrame({"a": [1, 2]})) == fingerprint(pl.DataFrame({"a": [1, 2]}))
    True
    >>> fingerprint(pl.DataFrame({"a": [1, 2]})) == fingerprint(pl.DataFrame({"a": [2, 1]}))
    False
    """
    digest = hashlib.sha256()
    for column in frame.iter_columns():
        digest.update(f"\x00{column.name}\x01{column.dtype}\x02{column.len()}\x03".encode())
        digest.update(column.is_null().to_numpy().tobytes())
        values = column.drop_nulls()
        if values.dtype in (pl.String, pl.Categorical, pl.Enum):
            text = values.cast(pl.String)
            digest.update(text.str.len_bytes().to_numpy().tobytes())
            digest.update("".join(text.to_list()).encode())
        else:
            digest.update(values.to_physical().to_numpy().tobytes())
    return digest.hexdigest()
