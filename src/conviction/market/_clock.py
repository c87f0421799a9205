"""Rows of vendor files against the clock: the file's session, the exchange's hours."""

from __future__ import annotations

from collections.abc import Collection
from typing import Literal

import polars as pl

from conviction.frames import BAR_END, SESSION
from conviction.market._calendar import calendar_frame
from conviction.market._flat_file import FileName
from conviction.market._quality import QualityProblem
from conviction.market._screen import by_symbol

Hours = Literal["regular", "extended"]
CLOCK_ERRORS: dict[str, str] = {
    "session_mismatch": "window_start lies on another day than the file's key says: a row of another session",
    "mixed_time_zones": "window_start of some rows is on another clock than the exchange's: these bars are hours early or late",
    "wrong_time_zone": "window_start of all rows is on another clock than the exchange's",
}
# A session whose trading stops this early for every ticker was cut, not quiet.
_PARTIAL_MINUTES = 10


def on_the_clock(
    timed: pl.DataFrame, *, name: FileName, allow: Collection[str]
) -> tuple[pl.DataFrame, list[QualityProblem]]:
    """Return the rows whose ``window_start`` lies where the file's key and the exchange's clock say, and name the others.

    Parameters
    ----------
    timed : polars.DataFrame
        Rows with ``symbol, session, window_start`` and ``_local``, the same moment on the exchange's clock.
    name : FileName
        What the file's key says.
    allow : collection of str
        Errors that the caller quarantines.

    Returns
    -------
    tuple of polars.DataFrame and list of QualityProblem
        Rows on the clock; one error for each kind and symbol.
    """
    local, on_day = pl.col("_local"), pl.col("_local").dt.date() == pl.col(SESSION)
    if name.kind == "day":
        # Rows on the UTC clock start at midnight UTC, which is the evening before in New York.
        right = on_day & (local.dt.time() == pl.time(0, 0))
        other_clock = (pl.from_epoch("window_start", time_unit="ns").dt.date() == pl.col(SESSION)) & ~right
    else:
        hour = local.dt.hour()
        right = on_day & hour.is_between(name.clock.first_hour, name.clock.last_hour, closed="left")
        near = (local.dt.replace_time_zone(None) - pl.col(SESSION).cast(pl.Datetime("ns"))).abs() <= pl.duration(
            hours=36
        )
        other_clock = near & ~right
    marked = timed.with_columns(right.alias("_right"), other_clock.alias("_other_clock"))
    wrong = marked.filter(~pl.col("_right"))
    if wrong.is_empty():
        return timed, []
    elsewhere = "mixed_time_zones" if marked["_right"].any() else "wrong_time_zone"
    problems = []
    for rule, rows in (
        (elsewhere, wrong.filter(pl.col("_other_clock"))),
        ("session_mismatch", wrong.filter(~pl.col("_other_clock"))),
    ):
        if not rows.is_empty():
            problems += by_symbol(
                rows.with_columns(pl.col("_local").alias("window_start")),
                name=rule,
                severity="error",
                explanation=CLOCK_ERRORS[rule],
                column="window_start",
                taken=rule in allow,
            )
    return marked.filter("_right").select(timed.columns), problems


def within_session(
    bars: pl.DataFrame, *, name: FileName, calendar: str, hours: Hours
) -> tuple[pl.DataFrame, list[QualityProblem]]:
    """Return the minute bars inside the session, early closes respected, and how many were outside.

    Parameters
    ----------
    bars : polars.DataFrame
        Minute bars with ``bar_end``.
    name : FileName
        What the file's key says.
    calendar : str
        Exchange calendar.
    hours : {"regular", "extended"}
        ``extended`` keeps all.

    Returns
    -------
    tuple of polars.DataFrame and list of QualityProblem
        Bars that end after the open and not after the close; an ``extended_hours`` note.
    """
    known = calendar_frame(calendar).filter(pl.col(SESSION) == name.session)
    if hours == "extended" or known.is_empty():
        return bars, []
    opens, closes = known["open"][0], known["close"][0]
    regular = bars.filter((pl.col(BAR_END) > opens) & (pl.col(BAR_END) <= closes))
    if regular.height == bars.height:
        return bars, []
    note = QualityProblem(
        name="extended_hours",
        severity="info",
        symbol=None,
        session=name.session,
        rows=bars.height - regular.height,
        value=f"session {opens:%H:%M} to {closes:%H:%M} UTC",
        explanation="bars before the open or after the close were left out",
    )
    return regular, [note]


def partial_session(starts: pl.Series, *, name: FileName, calendar: str) -> list[QualityProblem]:
    """Say whether a file's minutes cover the session from open to close.

    Parameters
    ----------
    starts : polars.Series
        ``window_start`` of all tickers of the file, whichever are kept: one stock may be quiet, the market is not.
    name : FileName
        What the file's key says.
    calendar : str
        Exchange calendar.

    Returns
    -------
    list of QualityProblem
        A ``partial_session`` warning, or nothing.
    """
    known = calendar_frame(calendar).filter(pl.col(SESSION) == name.session)
    if known.is_empty():
        return []
    opens, closes = known["open"][0], known["close"][0]
    moments = pl.from_epoch(starts, time_unit="ns").dt.replace_time_zone("UTC")
    inside = moments.filter((moments >= opens) & (moments < closes))
    value = "no bar inside the session"
    if inside.len():
        late = int((inside.min() - opens).total_seconds() // 60)
        early = int((closes - inside.max()).total_seconds() // 60) - 1
        edges = (
            (late, f"first bar {late} minutes after the open"),
            (early, f"last bar {early} minutes before the close"),
        )
        value = ", ".join(text for minutes, text in edges if minutes > _PARTIAL_MINUTES)
    if not value:
        return []
    warning = QualityProblem(
        name="partial_session",
        severity="warning",
        symbol=None,
        session=name.session,
        rows=inside.len(),
        value=value,
        explanation="no ticker traded for the first or last ten minutes: the file was cut, or trading was halted",
    )
    return [warning]
