"""Distance to scheduled events of the company (earnings, dividends), as the schedule stood at the decision.

`event_next` is the date of the next event announced so far, `event_last` the date of the newest one that has happened;
both Date, null where unknown.
"""

from __future__ import annotations

import numpy as np
import polars as pl

from conviction.features._feature import AT_DECISION, Definition, Family, FamilyParameters, Feature, Formula, Tunable
from conviction.features._rows import Floats, Rows
from conviction.features._windows import Lag


class EventsParameters(FamilyParameters):
    """Parameters of the event family; their names keep when they are tuned.

    Parameters
    ----------
    lead : int
        Weekdays before an event that count as its approach.
    lag : int
        Weekdays after an event that count as its wake.
    """

    lead: Lag = 5
    lag: Lag = 10


def define(parameters: EventsParameters) -> list[Definition]:
    """Define the event features."""
    lead, lag = parameters.lead, parameters.lag
    return [
        _make(
            "days_to_event",
            "event_next",
            f"weekdays until the next event, at most {lead}",
            lambda rows: np.minimum(_until(rows), lead),
        ),
        _make(
            "days_since_event",
            "event_last",
            f"weekdays since the last event, at most {lag}",
            lambda rows: np.minimum(_since(rows), lag),
        ),
        _make(
            "is_before_event",
            "event_next",
            f"1 within {lead} weekdays before an event, 0 otherwise or where none is announced",
            lambda rows: (_until(rows) <= lead).astype(np.float64),
        ),
        _make(
            "is_after_event",
            "event_last",
            f"1 within {lag} weekdays after an event, 0 otherwise or where none is known",
            lambda rows: (_since(rows) <= lag).astype(np.float64),
        ),
    ]


def _make(name: str, column: str, text: str, formula: Formula) -> Definition:
    return Definition(Feature(name, "events", (column,), 0, AT_DECISION, text), formula)


def _weekdays(begin: pl.Series, end: pl.Series) -> Floats:
    known = (begin.is_not_null() & end.is_not_null()).to_numpy()
    out = np.full(len(begin), np.nan)
    first, last = (side.to_numpy().astype("datetime64[D]")[known] for side in (begin, end))
    out[known] = np.busday_count(first, last)
    return np.where(out < 0.0, np.nan, out)


def _until(rows: Rows) -> Floats:
    return _weekdays(rows.series("session"), rows.series("event_next"))


def _since(rows: Rows) -> Floats:
    return _weekdays(rows.series("event_last"), rows.series("session"))


TUNABLES = (
    Tunable(name="events.lead", kind="int", low=1, high=30, log=True, features=("days_to_event", "is_before_event")),
    Tunable(name="events.lag", kind="int", low=1, high=60, log=True, features=("days_since_event", "is_after_event")),
)
FAMILY = Family("events", "symbol", define, tunables=TUNABLES)
