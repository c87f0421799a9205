"""The span of the data and the market proxy."""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl

from conviction.errors import BarsError

if TYPE_CHECKING:
    from datetime import date


def clip_sessions(frame: pl.DataFrame, *, first: date | None, last: date | None) -> pl.DataFrame:
    """Return the rows of `frame` whose session lies in [first, last].

    Parameters
    ----------
    frame : polars.DataFrame
        Any frame with a Date column `session`; row order is kept.
    first, last : datetime.date or None
        Bounds, both included; None leaves that side open.

    Returns
    -------
    polars.DataFrame

    Raises
    ------
    BarsError
        If nothing is left, with the span that the frame has.

    Examples
    --------
    >>> from datetime import date
    >>> frame = pl.DataFrame({"session": [date(2020, 1, 2), date(2020, 1, 3)]})
    >>> clip_sessions(frame, first=date(2020, 1, 3), last=None).height
    1
    """
    kept = frame
    if first is not None:
        kept = kept.filter(pl.col("session") >= first)
    if last is not None:
        kept = kept.filter(pl.col("session") <= last)
    if kept.is_empty():
        raise BarsError(
            what=f"no session lies between {first} and {last}",
            got=f"data from {frame['session'].min()!s} to {frame['session'].max()!s}, {frame.height} rows",
            allowed="a span that the source covers",
            fix="set data.first_session and data.last_session inside it",
        )
    return kept


def market_proxy(bars: pl.DataFrame, index: pl.DataFrame | None) -> pl.DataFrame:
    """Return the market proxy: the index where the source has one, else the equal-weight mean of the bars' returns.

    Parameters
    ----------
    bars : polars.DataFrame
        Checked bars; `close` is used.
    index : polars.DataFrame or None
        `session`, `close` of an index; None or no rows means that the source has none.

    Returns
    -------
    polars.DataFrame
        `session` Date, `close` Float64, sorted; known at the close of its session. The equal-weight level starts at 1 and
        compounds the mean of the close-to-close returns of the symbols that have both closes, so it only looks back.

    Examples
    --------
    >>> from datetime import date
    >>> days = [date(2020, 1, 2), date(2020, 1, 3)]
    >>> bars = pl.DataFrame({"symbol": ["A", "A", "B", "B"], "session": days * 2, "close": [1.0, 1.1, 2.0, 2.6]})
    >>> market_proxy(bars, None)["close"].round(2).to_list()
    [1.0, 1.2]
    """
    if index is not None and not index.is_empty():
        return index.select("session", pl.col("close").cast(pl.Float64)).sort("session")
    returns = bars.sort("symbol", "session").with_columns(move=pl.col("close").pct_change().over("symbol"))
    return (
        returns.sort("session", "symbol")
        .group_by("session", maintain_order=True)
        .agg(pl.col("move").mean().fill_null(0.0))
        .sort("session")
        .select("session", close=(1.0 + pl.col("move")).cum_prod())
    )
