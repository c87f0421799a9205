"""Labels of intraday bars recomputed price by price; nothing of `conviction.labels` is used."""

from __future__ import annotations

import statistics
from datetime import datetime, timedelta
from typing import Any

import polars as pl

from conviction.errors import AuditError
from conviction.frames import BAR_END, SESSION, SYMBOL, UTC
from conviction.market import session_closes, session_opens


def recompute_bar_labels(
    panel: pl.DataFrame, *, calendar: str, minutes: int, horizon: int, decision: str
) -> pl.DataFrame:
    """Return the labels of an intraday panel, looked up bar by bar; none reaches over its session's close.

    Parameters
    ----------
    panel : polars.DataFrame
        ``symbol, session, bar_end, close`` and, for ``before_next_open``, ``open``.
    calendar : str
        Exchange calendar code.
    minutes, horizon : int
        Length of a bar; bars from this one to the end of the label.
    decision : {"close", "before_next_open"}
        From this bar's close, or from the open of the next bar.

    Returns
    -------
    polars.DataFrame
        Key, ``target_{minutes x horizon}min`` Float64, ``direction``, ``relative`` Int8, ``t0``, ``t1`` (UTC).

    Raises
    ------
    AuditError
        If the panel is not one of bars, or lacks the price that the decision needs.
    """
    entry = "close" if decision == "close" else "open"
    lacking = [column for column in (BAR_END, entry) if column not in panel.columns]
    if lacking:
        raise AuditError(
            what=f"labels of bars decided {decision!r} cannot be recomputed without {lacking}",
            got=panel.columns,
            allowed=f"an intraday panel with {entry!r}",
            fix="build it with conviction.panel.build_intraday_panel, or leave out `minutes`",
        )
    ends = _bar_ends(panel[SESSION].unique().sort(), calendar=calendar, minutes=minutes)
    prices = {
        (s, e): (paid, got)
        for s, e, paid, got in panel.select(SYMBOL, BAR_END, pl.col(entry).alias("_paid"), "close").iter_rows()
    }
    rows: list[dict[str, Any]] = []
    by_bar: dict[datetime, list[float]] = {}
    member = (
        panel["in_universe"] if "in_universe" in panel.columns else pl.repeat(value=True, n=panel.height, eager=True)
    )
    for (symbol, session, end), inside in zip(panel.select(SYMBOL, SESSION, BAR_END).iter_rows(), member, strict=True):
        grid = ends[session]
        here = grid.index(end) if end in grid else len(grid)
        last = here + horizon
        begun = here if decision == "close" else here + 1
        value = None
        if last < len(grid) and (symbol, grid[begun]) in prices and (symbol, grid[last]) in prices:
            paid, got = prices[symbol, grid[begun]][0], prices[symbol, grid[last]][1]
            value = None if paid is None or got is None else got / paid - 1.0
        if value is not None and inside:
            by_bar.setdefault(end, []).append(value)
        rows.append(
            {"symbol": symbol, "session": session, "bar_end": end, "value": value, "inside": bool(inside)}
            | {"t0": end, "t1": grid[last] if last < len(grid) else grid[-1]}
        )
    medians = {end: statistics.median(values) for end, values in by_bar.items() if len(values) > 1}
    for row in rows:
        value, middle = row.pop("value"), medians.get(row["bar_end"])
        row[f"target_{minutes * horizon}min"] = value
        row["direction"] = None if value is None else int(value > 0)
        row["relative"] = (
            int(value > middle) if row.pop("inside") and value is not None and middle is not None else None
        )
    schema: dict[str, Any] = {
        SYMBOL: pl.String,
        SESSION: pl.Date,
        BAR_END: UTC,
        f"target_{minutes * horizon}min": pl.Float64,
    }
    return pl.DataFrame(rows, schema={**schema, "direction": pl.Int8, "relative": pl.Int8, "t0": UTC, "t1": UTC})


def _bar_ends(sessions: pl.Series, *, calendar: str, minutes: int) -> dict[Any, list[datetime]]:
    """Return the ends of the bars of each session, the last one at its close."""
    found: dict[Any, list[datetime]] = {}
    edges = zip(sessions, session_opens(calendar, sessions), session_closes(calendar, sessions), strict=True)
    for session, begins, closes in edges:
        ends, end = [], begins + timedelta(minutes=minutes)
        while end < closes:
            ends.append(end)
            end += timedelta(minutes=minutes)
        found[session] = [*ends, closes]
    return found
