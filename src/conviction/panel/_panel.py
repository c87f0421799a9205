"""Bars become a point-in-time panel: when each row was known, when it is decided upon, who was in the universe."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Literal

import polars as pl

from conviction.errors import FrameError, ParameterError, PointInTimeError
from conviction.frames import KEY, SESSION, check_columns, check_panel
from conviction.market import exchange_sessions, later_sessions, session_closes, session_opens
from conviction.panel._asof import DECISION_AT, asof_join
from conviction.panel._membership import in_universe

DecisionTime = Literal["close", "before_next_open"]
DECISION_TIMES: tuple[DecisionTime, ...] = ("close", "before_next_open")
KNOWN_AT = "known_at"
#: The VIX is computed until a quarter past the stocks' close (Cboe, VIX methodology): 16:15, or 13:15 on early closes.
VIX_DELAY = timedelta(minutes=15)


def build_panel(
    bars: pl.DataFrame,
    *,
    calendar: str,
    decision: DecisionTime,
    market: pl.DataFrame | None,
    vix: pl.DataFrame | None,
    membership: pl.DataFrame | None,
) -> pl.DataFrame:
    """Build the point-in-time panel of daily bars.

    Parameters
    ----------
    bars : polars.DataFrame
        Checked bars: ``symbol, session, close`` and what else the source has.
    calendar : str
        Exchange calendar, such as ``XNYS``.
    decision : {"close", "before_next_open"}
        When a row is acted upon. ``close``: at the close of its session, which is idealised (the price that decides is the price
        that is paid). ``before_next_open``: at the open of the next exchange session, with everything known by then.
    market, vix : polars.DataFrame or None
        ``session``, ``close`` of the index and of the VIX. The index counts as known at the session's close like the bars, the VIX
        `VIX_DELAY` later, when it settles: at a decision at the close of t the VIX is that of t-1. A frame with a ``known_at`` moment
        is joined on that moment instead. None leaves the column out; a session without a row has null, never the value before it.
    membership : polars.DataFrame or None
        ``symbol, from, to`` (Date, `to` excluded, null = still a member). None puts every row in the universe, and the
        survivorship of that is the report's to state (`survivorship_note`).

    Returns
    -------
    polars.DataFrame
        The bars plus ``known_at``, ``decision_at`` (Datetime[us, UTC]), ``in_universe`` Boolean and, where given,
        ``market_close`` and ``vix_close`` Float64. In every row ``known_at <= decision_at``.

    Raises
    ------
    FrameError
        If bars, market, VIX or membership break the frame contract.
    PointInTimeError
        If a side frame's ``known_at`` is no moment.
    ParameterError
        If `decision` is unknown.

    Examples
    --------
    >>> from datetime import date
    >>> bars = pl.DataFrame({"symbol": ["A"], "session": [date(2024, 7, 3)], "close": [10.0]})
    >>> panel = build_panel(bars, calendar="XNYS", decision="close", market=None, vix=None, membership=None)
    >>> panel["decision_at"].to_list()
    [datetime.datetime(2024, 7, 3, 17, 0, tzinfo=zoneinfo.ZoneInfo(key='UTC'))]
    """
    check_panel(bars, name="bars", required=["close"])
    reserved = {KNOWN_AT, DECISION_AT, "in_universe", "market_close", "vix_close"} & set(bars.columns)
    if reserved:
        raise FrameError(
            what="bars already have columns of the panel",
            got=sorted(reserved),
            allowed="symbol, session and prices",
            fix="pass the bars that conviction.market.check_bars returned",
        )
    moments = bars.select(pl.col(SESSION).unique().sort())
    moments = moments.with_columns(
        session_closes(calendar, moments[SESSION]).alias(KNOWN_AT),
        decision_moments(calendar, moments[SESSION], decision=decision).alias(DECISION_AT),
    )
    if market is not None:
        moments = _with_side(moments, market, name="market_close")
    if vix is not None:
        moments = _with_side(moments, _settled(vix, calendar=calendar, until=moments[SESSION][-1]), name="vix_close")
    panel = bars.join(moments, on=SESSION, how="left", maintain_order="left")
    panel = panel.with_columns(in_universe(panel.select(*KEY), membership))
    first = [*bars.columns, KNOWN_AT, DECISION_AT, "in_universe"]
    return panel.select(*first, *[c for c in panel.columns if c not in first])


def decision_moments(calendar: str, sessions: pl.Series, *, decision: DecisionTime) -> pl.Series:
    """Return the moment at which the rows of each session are acted upon.

    Parameters
    ----------
    calendar : str
        Exchange calendar.
    sessions : polars.Series
        Date, exchange sessions.
    decision : {"close", "before_next_open"}
        The close of the session, or the open of the next exchange session.

    Returns
    -------
    polars.Series
        Datetime[us, UTC], one value for each input.

    Raises
    ------
    ParameterError
        If `decision` is unknown.
    BarsError
        If a date is not a session.

    Examples
    --------
    >>> from datetime import date
    >>> decision_moments("XNYS", pl.Series([date(2024, 7, 3)]), decision="before_next_open").to_list()
    [datetime.datetime(2024, 7, 5, 13, 30, tzinfo=zoneinfo.ZoneInfo(key='UTC'))]
    """
    if decision == "close":
        return session_closes(calendar, sessions)
    if decision == "before_next_open":
        return session_opens(calendar, later_sessions(calendar, sessions, ahead=1))
    raise ParameterError.from_unknown_name(kind="decision time", name=decision, known=DECISION_TIMES)


def _settled(vix: pl.DataFrame, *, calendar: str, until: date) -> pl.DataFrame:
    """Give each close of the VIX its moment, and each session that the frame misses a row without a value."""
    frame = _by_session(vix, name="vix_close").with_columns(pl.col(SESSION).cast(pl.Date))
    if frame.is_empty():
        return frame
    sessions = exchange_sessions(calendar, frame[SESSION].min(), max(frame[SESSION].max(), until))  # type: ignore[type-var, arg-type]
    rule = sessions.to_frame(SESSION).with_columns((session_closes(calendar, sessions) + VIX_DELAY).alias("_settles"))
    whole = rule.join(frame, on=SESSION, how="left", maintain_order="left")
    given = pl.col(KNOWN_AT) if KNOWN_AT in frame.columns else pl.lit(None, dtype=pl.Datetime("us", "UTC"))
    return whole.with_columns(pl.coalesce(given, "_settles").alias(KNOWN_AT))


def _by_session(side: pl.DataFrame, *, name: str) -> pl.DataFrame:
    frame = side.rename({"date": SESSION}) if "date" in side.columns and SESSION not in side.columns else side
    check_columns(frame, [SESSION, "close"], name=name)
    repeated = frame.filter(frame[SESSION].is_duplicated())
    if not repeated.is_empty():
        raise FrameError(
            what=f"{name} has several rows of one session",
            got=str(repeated[SESSION][0]),
            allowed="one value a session",
            fix="remove the duplicates at the edge",
        )
    return frame


def _with_side(moments: pl.DataFrame, side: pl.DataFrame, *, name: str) -> pl.DataFrame:
    frame = _by_session(side, name=name)
    if KNOWN_AT in frame.columns:
        values = frame.select(KNOWN_AT, pl.col("close").cast(pl.Float64).alias(name))
        joined = asof_join(moments, values, by=[], known_at=KNOWN_AT, values=[name])
        return _covering(joined, frame, name=name)
    values = frame.select(pl.col(SESSION).cast(pl.Date), pl.col("close").cast(pl.Float64).fill_nan(None).alias(name))
    joined = moments.join(values, on=SESSION, how="left", maintain_order="left")
    return _covering(joined, values, name=name)


def _covering(joined: pl.DataFrame, values: pl.DataFrame, *, name: str) -> pl.DataFrame:
    if joined[name].null_count() == joined.height:
        raise PointInTimeError(
            what=f"{name} covers no session of the panel",
            got=f"{values[SESSION].min()!s} to {values[SESSION].max()!s}",
            allowed=f"sessions from {joined[SESSION][0]} to {joined[SESSION][-1]}",
            fix="give the file of the same span, or leave it out (None)",
        )
    return joined
