"""Exchange calendars as polars series: which days are sessions, when they open, when they close."""

from __future__ import annotations

import warnings
from datetime import date
from functools import lru_cache
from typing import Any

import polars as pl

from conviction.errors import BarsError, ParameterError
from conviction.frames import UTC

# Both ends are fixed, so that no answer depends on the day it is asked; exchange_calendars would start 20 years before today.
_FIRST = date(1970, 1, 1)
_LAST = date(2049, 12, 31)


@lru_cache(maxsize=16)
def _span(calendar: str) -> tuple[date, date]:
    import exchange_calendars

    with warnings.catch_warnings():
        # exchange_calendars 4.13 uses a pandas accessor that pandas 3.1 deprecates; its values are right.
        warnings.simplefilter("ignore")
        known = type(exchange_calendars.get_calendar(calendar))
        earliest, latest = known.bound_min(), known.bound_max()
    return (
        _FIRST if earliest is None else max(_FIRST, earliest.date()),
        _LAST if latest is None else min(_LAST, latest.date()),
    )


@lru_cache(maxsize=16)
def _exchange(calendar: str) -> Any:
    import exchange_calendars

    if calendar not in exchange_calendars.get_calendar_names(include_aliases=True):
        raise ParameterError.from_unknown_name(
            kind="calendar", name=calendar, known=exchange_calendars.get_calendar_names()
        )
    start, end = _span(calendar)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return exchange_calendars.get_calendar(calendar, start=str(start), end=str(end))


@lru_cache(maxsize=16)
def calendar_frame(calendar: str) -> pl.DataFrame:
    """Return every session of a calendar with its open and close.

    Parameters
    ----------
    calendar : str
        Name in exchange_calendars, such as ``XNYS``.

    Returns
    -------
    polars.DataFrame
        ``session`` Date, sorted; ``open`` and ``close`` Datetime[us, UTC], early closes respected; ``position`` Int64.
        From 1970 to 2049, or as far as the exchange's calendar is defined.

    Raises
    ------
    ParameterError
        If no such calendar exists.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        exchange = _exchange(calendar)
        days = exchange.sessions.tz_localize(None).to_numpy().astype("datetime64[D]")
        opens = exchange.schedule["open"].dt.tz_convert(None).to_numpy().astype("datetime64[us]")
        closes = exchange.schedule["close"].dt.tz_convert(None).to_numpy().astype("datetime64[us]")
    frame = pl.DataFrame({"session": days, "open": opens, "close": closes})
    return frame.with_columns(
        pl.col("open", "close").dt.replace_time_zone("UTC").cast(UTC),
        position=pl.int_range(pl.len(), dtype=pl.Int64),
    )


def calendar_timezone(calendar: str) -> str:
    """Return the IANA time zone of the exchange.

    Parameters
    ----------
    calendar : str
        Name in exchange_calendars.

    Returns
    -------
    str
        Such as ``America/New_York``.

    Examples
    --------
    >>> calendar_timezone("XNYS")
    'America/New_York'
    """
    return str(_exchange(calendar).tz)


def exchange_sessions(calendar: str, start: date, end: date) -> pl.Series:
    """Return the sessions of an exchange between two dates, both included.

    Parameters
    ----------
    calendar : str
        Name in exchange_calendars, such as ``XNYS``.
    start, end : datetime.date
        First and last date that may be returned.

    Returns
    -------
    polars.Series
        ``session``, Date, sorted; empty when there is no session in between.

    Raises
    ------
    BarsError
        If the dates are reversed or outside the calendar (1970 to 2049).

    Examples
    --------
    >>> from datetime import date
    >>> exchange_sessions("XNYS", date(2024, 7, 3), date(2024, 7, 5)).to_list()
    [datetime.date(2024, 7, 3), datetime.date(2024, 7, 5)]
    """
    sessions = calendar_frame(calendar)["session"]
    earliest, latest = _span(calendar)
    if start > end or start < earliest or end > latest:
        raise BarsError(
            what=f"no sessions of {calendar} can be given for this span",
            got=f"{start} to {end}",
            allowed=f"start <= end, between {earliest} and {latest}",
            fix="check the dates; a typing error in the year is usual",
        )
    return sessions.filter(sessions.is_between(start, end))


def session_closes(calendar: str, sessions: pl.Series) -> pl.Series:
    """Return the moment at which each session closes; early closes respected.

    Parameters
    ----------
    calendar : str
        Name in exchange_calendars.
    sessions : polars.Series
        Date, any order, repeats allowed.

    Returns
    -------
    polars.Series
        ``close``, Datetime[us, UTC], one value for each input.

    Raises
    ------
    BarsError
        If a date is not a session of the exchange.

    Examples
    --------
    >>> from datetime import date
    >>> session_closes("XNYS", pl.Series([date(2024, 7, 3)])).to_list()  # early close, 13:00 in New York
    [datetime.datetime(2024, 7, 3, 17, 0, tzinfo=zoneinfo.ZoneInfo(key='UTC'))]
    """
    return _looked_up(calendar, sessions)["close"]


def session_opens(calendar: str, sessions: pl.Series) -> pl.Series:
    """Return the moment at which each session opens.

    Parameters
    ----------
    calendar : str
        Name in exchange_calendars.
    sessions : polars.Series
        Date, any order, repeats allowed.

    Returns
    -------
    polars.Series
        ``open``, Datetime[us, UTC], one value for each input.

    Raises
    ------
    BarsError
        If a date is not a session of the exchange.

    Examples
    --------
    >>> from datetime import date
    >>> session_opens("XNYS", pl.Series([date(2024, 7, 3)])).to_list()
    [datetime.datetime(2024, 7, 3, 13, 30, tzinfo=zoneinfo.ZoneInfo(key='UTC'))]
    """
    return _looked_up(calendar, sessions)["open"]


def later_sessions(calendar: str, sessions: pl.Series, *, ahead: int) -> pl.Series:
    """Return the exchange's session that lies `ahead` sessions after each given one.

    Parameters
    ----------
    calendar : str
        Name in exchange_calendars.
    sessions : polars.Series
        Date, any order, repeats allowed.
    ahead : int
        Number of exchange sessions, at least 0.

    Returns
    -------
    polars.Series
        ``session``, Date, one value for each input.

    Raises
    ------
    BarsError
        If a date is not a session, or the calendar ends before the asked one.

    Examples
    --------
    >>> from datetime import date
    >>> later_sessions("XNYS", pl.Series([date(2024, 7, 3)]), ahead=1).to_list()
    [datetime.date(2024, 7, 5)]
    """
    known = calendar_frame(calendar)
    positions = _looked_up(calendar, sessions)["position"] + ahead
    if ahead < 0 or (positions.len() and int(positions.max()) >= known.height):  # type: ignore[arg-type]
        raise BarsError(
            what=f"the calendar {calendar} cannot go {ahead} sessions ahead",
            got=f"{ahead} sessions after {sessions.max()!s}",
            allowed=f"0 or more sessions, to {known['session'][-1]} at most",
            fix="shorten the horizon or check the dates of the bars",
        )
    return known["session"].gather(positions)


def _looked_up(calendar: str, sessions: pl.Series) -> pl.DataFrame:
    asked = sessions.cast(pl.Date).to_frame("session")
    found = asked.join(calendar_frame(calendar), on="session", how="left", maintain_order="left")
    if found["position"].null_count():
        strangers = found.filter(pl.col("position").is_null())["session"].unique().sort()
        raise BarsError(
            what=f"{strangers.len()} dates are not sessions of {calendar}",
            got=", ".join(str(day) for day in strangers.head(5)),
            allowed=f"sessions of {calendar}",
            fix="check the calendar's name, or quarantine these rows with conviction.market.check_bars(..., allow={'not_a_session'})",
        )
    return found
