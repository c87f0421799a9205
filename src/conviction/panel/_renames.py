"""One company under several tickers, one ticker of several companies."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import polars as pl

from conviction.errors import FrameError, UniverseError
from conviction.frames import KEY, SESSION, SYMBOL, check_columns, check_panel
from conviction.market import select_universe


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


def earlier_names(symbols: Iterable[str], renames: pl.DataFrame) -> tuple[str, ...]:
    """Return symbols together with every ticker under which they were listed before.

    Parameters
    ----------
    symbols : iterable of str
        Newest tickers.
    renames : polars.DataFrame
        As for `apply_renames`.

    Returns
    -------
    tuple of str
        Sorted, each once: what to read, so that `apply_renames` finds whole histories.

    Examples
    --------
    >>> from datetime import date
    >>> renames = pl.DataFrame({"old": ["FB"], "new": ["META"], "date": [date(2022, 6, 9)]})
    >>> earlier_names(["META", "AAPL"], renames)
    ('AAPL', 'FB', 'META')
    """
    found = set(symbols)
    pairs = list(renames.select("old", "new").iter_rows())
    while fresh := {old for old, new in pairs if new in found} - found:
        found |= fresh
    return tuple(sorted(found))


def select_history(
    bars: pl.DataFrame, symbols: Sequence[str] | None, renames: pl.DataFrame, *, allow_missing: bool
) -> pl.DataFrame:
    """Return the bars of the named symbols under every ticker they had, to be checked before `join_histories`.

    Parameters
    ----------
    bars : polars.DataFrame
        Raw or checked bars.
    symbols : sequence of str or None
        The universe by its newest tickers; None means every symbol of the source.
    renames : polars.DataFrame
        As for `apply_renames`; without rows this is `conviction.market.select_universe`.
    allow_missing : bool
        Whether a symbol without bars is accepted.

    Returns
    -------
    polars.DataFrame

    Raises
    ------
    UniverseError
        If a symbol has no bars under any of its tickers and that is not allowed.

    Examples
    --------
    >>> from datetime import date
    >>> renames = pl.DataFrame({"old": ["FB"], "new": ["META"], "date": [date(2022, 6, 9)]})
    >>> bars = pl.DataFrame({"symbol": ["FB", "MSFT"]})
    >>> select_history(bars, ["META"], renames, allow_missing=False)["symbol"].to_list()
    ['FB']
    """
    if symbols is None:
        return bars
    if renames.is_empty():
        return select_universe(bars, symbols, allow_missing=allow_missing)
    return select_universe(bars, earlier_names(symbols, renames), allow_missing=True)


def join_histories(
    bars: pl.DataFrame, symbols: Sequence[str] | None, renames: pl.DataFrame, *, allow_missing: bool
) -> pl.DataFrame:
    """Rename checked bars and keep the named symbols: rows of another company that took over an old ticker go.

    Parameters
    ----------
    bars, symbols, renames, allow_missing
        As for `select_history`; the bars are checked.

    Returns
    -------
    polars.DataFrame

    Raises
    ------
    UniverseError
        As for `apply_renames` and `conviction.market.select_universe`.

    Examples
    --------
    >>> from datetime import date
    >>> renames = pl.DataFrame({"old": ["FB"], "new": ["META"], "date": [date(2022, 6, 9)]})
    >>> bars = pl.DataFrame({"symbol": ["FB", "FB"], "session": [date(2022, 6, 8), date(2022, 6, 9)], "close": [1.0, 9.0]})
    >>> join_histories(bars, ["META"], renames, allow_missing=False).rows()
    [('META', datetime.date(2022, 6, 8), 1.0)]
    """
    if renames.is_empty():
        return bars
    renamed = apply_renames(bars, renames)
    return renamed if symbols is None else select_universe(renamed, symbols, allow_missing=allow_missing)


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
