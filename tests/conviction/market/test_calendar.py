from __future__ import annotations

from datetime import UTC, date, datetime
from zoneinfo import ZoneInfo

import polars as pl
import pytest

from conviction.errors import BarsError, ParameterError
from conviction.frames import UTC as UTC_DTYPE
from conviction.market import calendar_timezone, exchange_sessions, later_sessions, session_closes, session_opens

NEW_YORK = ZoneInfo("America/New_York")


def test_holidays_weekends_and_one_off_closures_are_no_sessions():
    sessions = set(exchange_sessions("XNYS", date(2001, 1, 1), date(2024, 12, 31)).to_list())
    closed = [
        date(2001, 9, 11),  # attacks
        date(2012, 10, 29),  # hurricane
        date(2021, 1, 1),
        date(2021, 4, 2),  # Good Friday, a working day elsewhere
        date(2023, 6, 19),
        date(2024, 11, 28),
        date(2024, 11, 30),
    ]
    assert sessions.isdisjoint(closed)
    assert date(2024, 11, 29) in sessions


def test_sessions_of_a_known_year_are_252_and_reach_back_to_1990():
    assert exchange_sessions("XNYS", date(2024, 1, 1), date(2024, 12, 31)).len() == 252
    assert exchange_sessions("XNYS", date(1990, 1, 1), date(1990, 1, 5)).to_list() == [
        date(1990, 1, d) for d in (2, 3, 4, 5)
    ]


def test_sessions_agree_with_real_prices(market_dir):
    traded = pl.read_csv(market_dir / "sp500_index_daily.csv", try_parse_dates=True)["date"]
    sessions = exchange_sessions("XNYS", traded.min(), traded.max())
    assert sessions.to_list() == traded.to_list()


@pytest.mark.parametrize(
    ("day", "hour"),
    [
        (date(2024, 1, 3), 16),
        (date(2024, 7, 2), 16),  # summer time: another UTC hour, the same hour in New York
        (date(2024, 7, 3), 13),
        (date(2024, 11, 29), 13),
        (date(2024, 12, 24), 13),
    ],
)
def test_closes_are_new_york_hours_with_early_closes(day, hour):
    close = session_closes("XNYS", pl.Series([day]))
    opened = session_opens("XNYS", pl.Series([day]))
    assert close.dtype == UTC_DTYPE
    assert close[0] == datetime(day.year, day.month, day.day, hour, tzinfo=NEW_YORK).astimezone(UTC)
    assert opened[0] == datetime(day.year, day.month, day.day, 9, 30, tzinfo=NEW_YORK).astimezone(UTC)


def test_moments_keep_order_and_repeats():
    days = pl.Series([date(2024, 7, 5), date(2024, 7, 3), date(2024, 7, 5)])
    assert session_closes("XNYS", days).dt.hour().to_list() == [20, 17, 20]


def test_later_sessions_is_the_slow_walk():
    sessions = exchange_sessions("XNYS", date(2024, 6, 1), date(2024, 12, 31)).to_list()
    asked = pl.Series(sessions[:60])
    for ahead in (0, 1, 5, 21):
        assert later_sessions("XNYS", asked, ahead=ahead).to_list() == [sessions[i + ahead] for i in range(60)]


def test_a_holiday_is_named_when_it_is_asked_for():
    with pytest.raises(BarsError, match=r"1 dates are not sessions of XNYS: got 2024-07-04"):
        session_closes("XNYS", pl.Series([date(2024, 7, 3), date(2024, 7, 4)]))


@pytest.mark.parametrize(
    ("start", "end"),
    [(date(2024, 2, 1), date(2024, 1, 1)), (date(1204, 1, 1), date(2024, 1, 1)), (date(2024, 1, 1), date(2204, 1, 1))],
)
def test_an_impossible_span_is_an_error(start, end):
    with pytest.raises(BarsError, match="between 1970-01-01 and 2049-12-31"):
        exchange_sessions("XNYS", start, end)


def test_an_unknown_calendar_gets_a_hint():
    with pytest.raises(ParameterError, match="did you mean 'XNYS'"):
        exchange_sessions("XNYX", date(2024, 1, 1), date(2024, 1, 5))


def test_a_calendar_with_bounds_of_its_own_still_works():
    assert date(2024, 2, 12) not in exchange_sessions("XHKG", date(2024, 2, 1), date(2024, 2, 29)).to_list()
    assert calendar_timezone("XLON") == "Europe/London"
