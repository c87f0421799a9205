"""The calendar, from the session's date alone: known long before."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from conviction.features._feature import IN_ADVANCE, Definition, Family, FamilyParameters, Feature, Formula
from conviction.features._rows import Floats, Rows


class CalendarParameters(FamilyParameters):
    """Parameters of the calendar family.

    Parameters
    ----------
    turn_of_month_days : int
        Weekdays before the month's end that count as its turn.
    """

    turn_of_month_days: int = 3


def define(parameters: CalendarParameters) -> list[Definition]:
    """Define the calendar features."""
    turn = parameters.turn_of_month_days
    return [
        _make("day_of_week", "Monday 0 to Friday 4", _weekday),
        _make("day_of_month", "1 to 31", lambda rows: _day(rows).astype(np.float64)),
        _make("month", "1 to 12", lambda rows: _month(rows).astype(np.float64)),
        _make("week_of_month", "(day_of_month - 1) // 7", lambda rows: ((_day(rows) - 1) // 7).astype(np.float64)),
        _make("weekdays_to_month_end", "Mondays to Fridays after the session within its month", _to_month_end),
        _make(
            "is_month_turn",
            f"1 within the last {turn} or first {turn} weekdays of a month",
            lambda rows: ((_to_month_end(rows) < turn) | (_from_month_start(rows) < turn)).astype(np.float64),
        ),
        _make(
            "is_quarter_end_month",
            "1 in March, June, September, December",
            lambda rows: (_month(rows) % 3 == 0).astype(np.float64),
        ),
        _make("year_sin", "sine of the share of the year gone by", lambda rows: np.sin(_angle(rows))),
        _make("year_cos", "cosine of the share of the year gone by", lambda rows: np.cos(_angle(rows))),
        Definition(
            Feature(
                "days_since_last_session",
                "calendar",
                ("session",),
                1,
                IN_ADVANCE,
                "calendar days since the symbol's previous row",
            ),
            _gap,
        ),
    ]


def _make(name: str, text: str, formula: Formula) -> Definition:
    return Definition(Feature(name, "calendar", ("session",), 0, IN_ADVANCE, text), formula)


def _days(rows: Rows) -> NDArray[np.int64]:
    return rows.sessions().astype(np.int64)


def _weekday(rows: Rows) -> Floats:
    # 1970-01-01, day 0, was a Thursday.
    return ((_days(rows) + 3) % 7).astype(np.float64)


def _day(rows: Rows) -> NDArray[np.int64]:
    sessions = rows.sessions()
    first = sessions.astype("datetime64[M]").astype("datetime64[D]")
    day: NDArray[np.int64] = (sessions - first).astype(np.int64) + 1
    return day


def _month(rows: Rows) -> NDArray[np.int64]:
    return rows.sessions().astype("datetime64[M]").astype(np.int64) % 12 + 1


def _to_month_end(rows: Rows) -> Floats:
    sessions = rows.sessions()
    after = (sessions.astype("datetime64[M]") + 1).astype("datetime64[D]")
    return np.busday_count(sessions + 1, after).astype(np.float64)


def _from_month_start(rows: Rows) -> Floats:
    sessions = rows.sessions()
    return np.busday_count(sessions.astype("datetime64[M]").astype("datetime64[D]"), sessions).astype(np.float64)


def _angle(rows: Rows) -> Floats:
    sessions = rows.sessions()
    begin = sessions.astype("datetime64[Y]")
    gone = (sessions - begin.astype("datetime64[D]")).astype(np.float64)
    length = ((begin + 1).astype("datetime64[D]") - begin.astype("datetime64[D]")).astype(np.float64)
    angle: Floats = 2.0 * np.pi * gone / length
    return angle


def _gap(rows: Rows) -> Floats:
    days = _days(rows).astype(np.float64)
    return days - rows.lag(days, 1)


FAMILY = Family("calendar", "symbol", define)
