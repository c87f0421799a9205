"""Who was in the universe on which day, and what to say when nobody knows."""

from __future__ import annotations

from datetime import date

import polars as pl

from conviction.errors import FrameError
from conviction.frames import SESSION, SYMBOL, check_columns


def in_universe(keys: pl.DataFrame, membership: pl.DataFrame | None) -> pl.Series:
    """Return for each row whether its symbol was a member of the universe that session.

    Parameters
    ----------
    keys : polars.DataFrame
        ``symbol, session``.
    membership : polars.DataFrame or None
        ``symbol`` String, ``from`` Date (first session as a member), ``to`` Date or null (first session no longer a member).
        A symbol may leave and come back: one row a spell. None: everybody, always.

    Returns
    -------
    polars.Series
        ``in_universe``, Boolean without nulls, one value a row.

    Raises
    ------
    FrameError
        If columns or dtypes are wrong, a spell ends before it begins, or two spells of a symbol overlap.

    Examples
    --------
    >>> from datetime import date
    >>> keys = pl.DataFrame({"symbol": ["A", "A"], "session": [date(2024, 7, 2), date(2024, 7, 3)]})
    >>> spells = pl.DataFrame({"symbol": ["A"], "from": [date(2020, 1, 1)], "to": [date(2024, 7, 3)]})
    >>> in_universe(keys, spells).to_list()
    [True, False]
    """
    if membership is None:
        return pl.Series("in_universe", [True], dtype=pl.Boolean).new_from_index(0, keys.height)
    spells = check_spells(membership, name="membership")
    left = keys.select(SYMBOL, SESSION).with_columns(pl.int_range(pl.len()).alias("_row")).sort(SESSION)
    found = left.join_asof(
        spells, left_on=SESSION, right_on="from", by=SYMBOL, strategy="backward", coalesce=False, check_sortedness=False
    ).sort("_row")
    inside = found["from"].is_not_null() & (
        found["to"].is_null() | (found[SESSION] < found["to"]).fill_null(value=False)
    )
    return inside.alias("in_universe")


def check_spells(spells: pl.DataFrame, *, name: str) -> pl.DataFrame:
    """Check spells (``symbol, from, to``) and return them sorted by ``from``.

    Parameters
    ----------
    spells : polars.DataFrame
        One row a spell; `to` excluded, null = open.
    name : str
        What the frame is called in the message.

    Returns
    -------
    polars.DataFrame
        The same rows sorted by ``from``.

    Raises
    ------
    FrameError
        If columns or dtypes are wrong, a spell ends before it begins, or two spells of a symbol overlap.
    """
    check_columns(spells, [SYMBOL, "from", "to"], name=name)
    to = spells["to"].cast(pl.Date) if spells.schema["to"] == pl.Null else spells["to"]
    right = spells.schema[SYMBOL] == pl.String and spells.schema["from"] == pl.Date and to.dtype == pl.Date
    if not right or spells["from"].null_count():
        raise FrameError(
            what=f"{name} has the wrong dtypes",
            got=dict(spells.schema),
            allowed="symbol String, from Date without nulls, to Date (null = still a member)",
            fix="cast the columns where the file is read",
        )
    ordered = spells.with_columns(to).sort(SYMBOL, "from")
    left = pl.col("to").fill_null(date.max).shift(1).over(SYMBOL)
    wrong = ordered.filter((pl.col("to") <= pl.col("from")) | (pl.col("from") < left))
    if not wrong.is_empty():
        raise FrameError(
            what=f"{name} has a spell that ends before it begins or overlaps the one before",
            got=wrong.row(0),
            allowed="disjoint spells with from < to",
            fix="correct the dates; one row for each time the symbol was a member",
        )
    return ordered.sort("from")


def survivorship_note(membership: pl.DataFrame | None) -> str:
    """Return the sentence on survivorship that every report must carry.

    Parameters
    ----------
    membership : polars.DataFrame or None
        Spells by symbol, or None where the universe of the past is not known.

    Returns
    -------
    str
        A warning without membership, a statement with it.

    Examples
    --------
    >>> survivorship_note(None).startswith("Survivorship bias")
    True
    """
    if membership is None:
        return (
            "Survivorship bias: the universe is a list of today carried back, without the date at which each symbol joined or left. "
            "Stocks that failed or were taken over are missing, so scores and especially returns are too good."
        )
    spells = check_spells(membership, name="membership")
    ended = spells["to"].count()
    return (
        f"Universe by date: {spells[SYMBOL].n_unique()} symbols in {spells.height} spells of membership, {ended} of them ended. "
        "A row counts only while its symbol was a member."
    )
