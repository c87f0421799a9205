"""The point-in-time panel of intraday bars: each bar is known, and acted upon, at its end."""

from __future__ import annotations

import polars as pl

from conviction.frames import BAR_END, KEY, check_panel
from conviction.market import INTRADAY_KEY
from conviction.panel._asof import DECISION_AT
from conviction.panel._membership import in_universe


def build_intraday_panel(bars: pl.DataFrame, *, membership: pl.DataFrame | None) -> pl.DataFrame:
    """Build the point-in-time panel of intraday bars.

    Parameters
    ----------
    bars : polars.DataFrame
        ``symbol, session, bar_end, close`` and what else the source has; `bar_end` is the moment the bar is complete.
    membership : polars.DataFrame or None
        As for `build_panel`, by session.

    Returns
    -------
    polars.DataFrame
        The bars plus ``known_at`` and ``decision_at`` (both `bar_end`) and ``in_universe``. Events join it with `asof_join` as they join the
        daily panel.

    Raises
    ------
    FrameError
        If bars or membership break the frame contract.

    Examples
    --------
    >>> from datetime import UTC, date, datetime
    >>> end = datetime(2024, 7, 3, 13, 35, tzinfo=UTC)
    >>> bars = pl.DataFrame({"symbol": ["A"], "session": [date(2024, 7, 3)], "bar_end": [end], "close": [1.0]})
    >>> build_intraday_panel(bars, membership=None)["decision_at"].to_list() == [end]
    True
    """
    check_panel(bars, name="intraday bars", required=["close"], key=INTRADAY_KEY)
    return bars.with_columns(
        pl.col(BAR_END).alias("known_at"),
        pl.col(BAR_END).alias(DECISION_AT),
        in_universe(bars.select(*KEY), membership),
    )
