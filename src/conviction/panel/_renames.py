"""One company under several tickers, one ticker of several companies."""

from __future__ import annotations

from typing import Any

import polars as pl

from conviction.errors import FrameError, UniverseError
from conviction.frames import KEY, SESSION, SYMBOL, check_columns, check_panel


def apply_renames(bars: pl.DataFrame, renames: pl.DataFrame) -> pl.DataFrame:
    """Give a company's whole history its newest ticker.

    Parameters
    ----------
    bars : polars.DataFrame
        Any frame keyed by ``symbol, session`` under the tickers of the time.
    renames : polars.DataFrame
        ``old, new`` String and ``date`` Date, the first session under the new ticker. Chains (A to B to C) and tickers that another
        company took over later are understood; renames are applied in the order of their dates.

    Returns
    -------
    polars.DataFrame
        The same rows with renamed symbols, sorted.

    Raises
    ------
    UniverseError
        If a company would have two rows in a session, which happens when the new ticker belonged to another company before: give
        that company's own rename (or end) first.
    FrameError
        If a frame breaks its contract, or a company is renamed twice on one day.

    Notes
    -----
    The symbol is only a name here. That a company was called by its later ticker tells no feature anything about the future, as long as no
    feature is made of the name.

    Examples
    --------
    >>> from datetime import date
    >>> bars = pl.DataFrame({
    ...     "symbol": ["FB", "META"], "session": [date(2022, 6, 8), date(2022, 6, 9)], "close": [196.6, 184.0]
    ... })
    >>> renames = pl.DataFrame({"old": ["FB"], "new": ["META"], "date": [date(2022, 6, 9)]})
    >>> apply_renames(bars, renames)["symbol"].to_list()
    ['META', 'META']
    """
    check_panel(bars, name="bars")
    check_columns(renames, ["old", "new", "date"], name="renames")
    twice = renames.filter(pl.struct("old", "date").is_duplicated() | (pl.col("old") == pl.col("new")))
    if not twice.is_empty() or renames.schema["date"] != pl.Date or sum(renames.null_count().row(0)):
        raise FrameError(
            what="renames are not usable",
            got=renames.schema if twice.is_empty() else twice.row(0),
            allowed="old, new (another name) and date (Date), no nulls, one rename of a ticker a day",
            fix="correct the list of renames",
        )
    symbol = pl.col(SYMBOL)
    renamed = bars
    for row in renames.sort("date", maintain_order=True).iter_rows(named=True):
        earlier = (symbol == row["old"]) & (pl.col(SESSION) < row["date"])
        _check_free(renamed, row)
        renamed = renamed.with_columns(pl.when(earlier).then(pl.lit(row["new"])).otherwise(symbol).alias(SYMBOL))
    return renamed.sort(*KEY)


def _check_free(bars: pl.DataFrame, row: dict[str, Any]) -> None:
    before = bars.filter(pl.col(SESSION) < row["date"])
    old, new = before.filter(pl.col(SYMBOL) == row["old"]), before.filter(pl.col(SYMBOL) == row["new"])
    if not old.is_empty() and not new.is_empty():
        raise UniverseError(
            what=f"{row['new']} was the ticker of another company before {row['old']} took it on {row['date']}",
            got=f"{new.height} rows of {row['new']} until {new[SESSION].max()!s}",
            allowed="a ticker that nobody used in the rows before, or an earlier rename of the company that had it",
            fix=f"add a rename of {row['new']} to a name of its own, dated when it lost the ticker",
        )
