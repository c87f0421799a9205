"""What a decision earns, by the moment it is traded."""

from __future__ import annotations

from typing import get_args

import polars as pl

from conviction.errors import EvaluationError
from conviction.frames import check_panel
from conviction.portfolio.parameters import Execution

# Sessions from the decision to entry, and the price that is paid and got one session later.
_ENTRY: dict[Execution, tuple[int, str]] = {"close": (0, "close"), "next_open": (1, "open"), "next_close": (1, "close")}


def realised_returns(bars: pl.DataFrame, *, execution: Execution) -> pl.DataFrame:
    """Return what one session's holding earns after a decision at the close of each session.

    ``close`` buys at the close of the decision's own session, which nobody can do exactly, and sells at the next close;
    ``next_open`` buys at the next open and sells at the open after it; ``next_close`` buys at the next close, one day late.

    Parameters
    ----------
    bars : polars.DataFrame
        ``symbol, session, close`` and, for ``next_open``, ``open``; adjusted prices.
    execution : {"close", "next_open", "next_close"}

    Returns
    -------
    polars.DataFrame
        ``symbol``, ``session`` (of the decision), ``realised`` Float64; null where a price is missing. Sessions are counted by
        the frame's own sessions, not by a symbol's rows. The value is known one or two sessions after the decision.

    Raises
    ------
    EvaluationError
        On an unknown execution, or when the bars have no opens.
    FrameError
        When the bars break the frame contract.

    Examples
    --------
    >>> from datetime import date
    >>> bars = pl.DataFrame({
    ...     "symbol": ["A"] * 4, "session": [date(2020, 1, day) for day in (2, 3, 6, 7)], "close": [100.0, 110.0, 99.0, 99.0]
    ... })
    >>> realised_returns(bars, execution="close")["realised"].round(3).to_list()
    [0.1, -0.1, 0.0, None]
    >>> realised_returns(bars, execution="next_close")["realised"].round(3).to_list()
    [-0.1, 0.0, None, None]
    """
    if execution not in _ENTRY:
        raise EvaluationError.from_unknown_name(kind="execution", name=execution, known=get_args(Execution))
    delay, price = _ENTRY[execution]
    if price not in bars.columns:
        raise EvaluationError(
            what=f"execution {execution!r} needs the column {price!r}",
            got=bars.columns,
            allowed=f"bars with {price!r}",
            fix="use a source that has opens, or leave next_open out of portfolio.executions",
        )
    check_panel(bars, name="bars", required=[price])
    calendar = bars.select("session").unique().sort("session").with_row_index("position").cast({"position": pl.Int64})
    placed = bars.select("symbol", "session", price).join(calendar, on="session", maintain_order="left")
    paid = placed.select("symbol", position=pl.col("position") - delay, paid=price)
    got = placed.select("symbol", position=pl.col("position") - delay - 1, got=price)
    return (
        placed.join(paid, on=["symbol", "position"], how="left", maintain_order="left")
        .join(got, on=["symbol", "position"], how="left", maintain_order="left")
        .select("symbol", "session", realised=pl.col("got") / pl.col("paid") - 1)
    )
