from __future__ import annotations

from collections import Counter
from datetime import UTC, date, datetime, timedelta

import hypothesis.strategies as st
import polars as pl
import pytest
from hypothesis import given, settings
from polars.testing import assert_frame_equal

from conviction.errors import FrameError, PointInTimeError
from conviction.frames import UTC as UTC_DTYPE
from conviction.market import exchange_sessions
from conviction.panel import add_events, add_macro, add_news, asof_join, build_panel, newest_period

SESSIONS = exchange_sessions("XNYS", date(2024, 6, 24), date(2024, 7, 12)).to_list()
START = datetime(2024, 6, 24, tzinfo=UTC)


def make_panel(*, gap=True, decision="close"):
    """Two symbols, one of which misses three sessions."""
    rows = [
        (s, d, 10.0) for s in ("AAA", "BBB") for t, d in enumerate(SESSIONS) if not (gap and s == "BBB" and 4 <= t < 7)
    ]
    bars = pl.DataFrame(rows, schema=["symbol", "session", "close"], orient="row")
    return build_panel(bars, calendar="XNYS", decision=decision, market=None, vix=None, membership=None)


# Closes of the sessions themselves come often: 20:00 UTC on most days.
MINUTES = st.one_of(st.integers(-600, 30_000), st.sampled_from([1200 + 1440 * day for day in range(19)]))

# --- news ---------------------------------------------------------------------------------------------------------------------------

NEWS = st.lists(
    st.tuples(
        st.sampled_from(["AAA", "BBB", "CCC"]),
        MINUTES,
        st.sampled_from([None, -1.0, -0.5, 0.0, 1.0]),
        st.sampled_from(["X", "Y", "Z"]),
    ),
    max_size=30,
)


def news_frame(items):
    schema = {"symbol": pl.String, "at": UTC_DTYPE, "score": pl.Float64, "who": pl.String}
    return pl.DataFrame([(s, START + timedelta(minutes=m), v, w) for s, m, v, w in items], schema=schema, orient="row")


def slow_news(panel, news):
    """The definition: for each row, the items after the symbol's previous decision and up to this one."""
    first = min((at for _, at, _, _ in news.rows()), default=None)
    previous, expected = {}, []
    for row in panel.iter_rows(named=True):
        since = previous.get(row["symbol"])
        previous[row["symbol"]] = row["decision_at"]
        if since is None or first is None or since < first:
            expected.append((None, None, None))
            continue
        items = [(v, w) for s, at, v, w in news.rows() if s == row["symbol"] and since < at <= row["decision_at"]]
        scores = [v for v, _ in items if v is not None]
        counts = Counter(w for _, w in items)
        busiest = min(counts, key=lambda w: (-counts[w], w)) if counts else None
        expected.append((sum(scores) / len(scores) if scores else None, float(len(items)), busiest))
    return expected


@settings(max_examples=80, deadline=None)
@given(NEWS, st.sampled_from(["close", "before_next_open"]))
def test_news_is_the_slow_definition(items, decision):
    panel, news = make_panel(decision=decision), news_frame(items)
    got = add_news(panel, news, known_at="at", score="score", source="who")
    assert_frame_equal(got.select(panel.columns), panel)
    expected = slow_news(panel, news)
    assert [r[1:] for r in got.select("news_score", "news_count", "news_source").rows()] == [r[1:] for r in expected]
    assert got["news_score"].to_list() == pytest.approx([r[0] for r in expected], nan_ok=True)


@settings(max_examples=40, deadline=None)
@given(NEWS, st.integers(1, len(SESSIONS) - 1))
def test_news_of_the_future_changes_nothing(items, cut):
    panel, news = make_panel(), news_frame(items)
    decided = panel.filter(pl.col("session") == SESSIONS[cut])["decision_at"][0]
    whole = add_news(panel, news, known_at="at", score="score", source="who")
    earlier = add_news(
        panel.filter(pl.col("session") <= SESSIONS[cut]),
        news.filter(pl.col("at") <= decided),
        known_at="at",
        score="score",
        source="who",
    )
    assert_frame_equal(earlier, whole.filter(pl.col("session") <= SESSIONS[cut]))


def test_news_after_the_close_belongs_to_the_next_session_and_a_date_join_leaks():
    panel = make_panel()
    close = panel.filter((pl.col("symbol") == "AAA") & (pl.col("session") == SESSIONS[5]))["decision_at"][0]
    items = pl.DataFrame(
        {"symbol": ["AAA"] * 3, "at": [START, close, close + timedelta(seconds=1)], "score": [0.0, 0.5, -1.0]}
    )
    joined = add_news(panel, items, known_at="at", score="score", source=None).filter(pl.col("symbol") == "AAA")
    assert joined["news_score"].to_list()[5:7] == [0.5, -1.0]
    by_date = panel.join(items.with_columns(session=pl.col("at").dt.date()), on=["symbol", "session"])
    assert by_date.filter((pl.col("session") == SESSIONS[5]) & (pl.col("at") > pl.col("decision_at"))).height == 1


def test_news_that_cannot_be_used_is_refused():
    panel, news = make_panel(), news_frame([("AAA", 10, 0.5, "X")])
    kwargs = {"known_at": "at", "score": "score", "source": None}
    with pytest.raises(FrameError, match="not a sentiment"):
        add_news(panel, news.with_columns(score=50.0), **kwargs)
    with pytest.raises(PointInTimeError, match="is not a moment"):
        add_news(panel, news.with_columns(pl.col("at").dt.date()), **kwargs)
    with pytest.raises(FrameError, match="has these columns already"):
        add_news(add_news(panel, news, **kwargs), news, **kwargs)


# --- macro --------------------------------------------------------------------------------------------------------------------------

RELEASES = st.lists(st.tuples(st.sampled_from(["CPI", "UNRATE"]), MINUTES, st.integers(1, 6)), max_size=20, unique=True)


def release_frame(items):
    rows = [(s, START + timedelta(minutes=m), f"2024-{p:02d}", float(i)) for i, (s, m, p) in enumerate(items)]
    schema = {"id": pl.String, "at": UTC_DTYPE, "month": pl.String, "value": pl.Float64}
    return pl.DataFrame(rows, schema=schema, orient="row")


@settings(max_examples=80, deadline=None)
@given(RELEASES)
def test_macro_is_the_newest_vintage_of_the_newest_period_known(items):
    panel, releases = make_panel(), release_frame(items)
    got = add_macro(panel, releases, series="id", known_at="at", period="month", value="value")
    for name in sorted(set(releases["id"])):
        expected = []
        for decided in panel["decision_at"]:
            known = [(month, at, value) for s, at, month, value in releases.rows() if s == name and at <= decided]
            expected.append(max(known)[2] if known else None)
        assert got[f"macro_{name.lower()}"].to_list() == expected
    assert got.columns == [*panel.columns, *[f"macro_{n.lower()}" for n in sorted(set(releases["id"]))]]


def test_a_late_revision_of_an_older_month_is_not_the_newest_figure_but_a_plain_join_takes_it():
    panel = make_panel(gap=False)
    rows = [
        ("CPI", START, "2024-04", 1.0),
        ("CPI", START + timedelta(days=2), "2024-05", 2.0),
        ("CPI", START + timedelta(days=4), "2024-04", 9.0),
    ]
    releases = pl.DataFrame(rows, schema=["id", "at", "month", "value"], orient="row").with_columns(
        pl.col("at").cast(UTC_DTYPE)
    )
    plain = asof_join(panel, releases, by=[], known_at="at", values=["value"])["value"]
    assert plain[-1] == 9.0
    right = add_macro(panel, releases, series="id", known_at="at", period="month", value="value")["macro_cpi"]
    assert right[-1] == 2.0


def test_a_release_counts_from_its_publication_and_not_from_its_period():
    panel = make_panel(gap=False)
    published = datetime(2024, 7, 5, 12, 30, tzinfo=UTC)
    releases = pl.DataFrame({"id": ["UNRATE"], "at": [published], "month": [date(2024, 6, 1)], "value": [4.1]})
    got = add_macro(panel, releases, series="id", known_at="at", period="month", value="value")
    known = got.filter(pl.col("macro_unrate").is_not_null())["session"].min()
    assert known == date(2024, 7, 5)


def test_two_figures_at_one_moment_are_refused():
    releases = pl.DataFrame({"at": [START, START], "month": ["2024-05"] * 2, "value": [1.0, 2.0]})
    with pytest.raises(PointInTimeError, match="two figures of one period"):
        newest_period(releases, by=[], known_at="at", period="month")
    with pytest.raises(FrameError, match="month is missing"):
        newest_period(releases.with_columns(month=pl.lit(None, dtype=pl.String)), by=[], known_at="at", period="month")


# --- company events -----------------------------------------------------------------------------------------------------------------

SCHEDULE = st.lists(
    st.tuples(
        st.sampled_from(["AAA", "BBB", "CCC"]),
        MINUTES,
        st.one_of(st.none(), st.integers(-10, 40)),
        st.sampled_from(["Q1", "Q2", "Q3"]),
    ),
    max_size=15,
    unique_by=lambda e: (e[0], e[1], e[3]),
)


def schedule_frame(items):
    schema = {"symbol": pl.String, "at": UTC_DTYPE, "day": pl.Date, "quarter": pl.String}
    rows = [
        (s, START + timedelta(minutes=m), None if d is None else SESSIONS[0] + timedelta(days=d), q)
        for s, m, d, q in items
    ]
    return pl.DataFrame(rows, schema=schema, orient="row")


@settings(max_examples=80, deadline=None)
@given(SCHEDULE)
def test_events_are_as_the_schedule_stood(items):
    panel, schedule = make_panel(), schedule_frame(items)
    got = add_events(panel, schedule, known_at="at", event_date="day", event="quarter")
    assert_frame_equal(got.select(panel.columns), panel)
    for row in got.iter_rows(named=True):
        announced = sorted(schedule.rows(), key=lambda r: r[1])
        standing = {q: day for s, at, day, q in announced if s == row["symbol"] and at <= row["decision_at"]}
        days = [d for d in standing.values() if d is not None]
        assert row["event_next"] == min((d for d in days if d >= row["session"]), default=None)
        assert row["event_last"] == max((d for d in days if d < row["session"]), default=None)


def test_events_that_are_no_dates_are_refused():
    schedule = schedule_frame([("AAA", 10, 3, "Q1")])
    with pytest.raises(FrameError, match="day is not a date"):
        add_events(
            make_panel(),
            schedule.with_columns(pl.col("day").cast(pl.String)),
            known_at="at",
            event_date="day",
            event=None,
        )
    with pytest.raises(PointInTimeError, match="two dates of one event"):
        add_events(make_panel(), pl.concat([schedule] * 2), known_at="at", event_date="day", event="quarter")


# --- stale values -------------------------------------------------------------------------------------------------------------------


def test_a_value_older_than_allowed_is_unknown():
    panel = make_panel(gap=False).filter(pl.col("symbol") == "AAA")
    implied = pl.DataFrame({"symbol": ["AAA"], "at": [panel["decision_at"][3]], "iv_30d": [0.3]})
    kwargs = {"by": ["symbol"], "known_at": "at", "values": ["iv_30d"]}
    forever = asof_join(panel, implied, **kwargs)["iv_30d"]
    fresh = asof_join(panel, implied, **kwargs, keep_known_at="iv_at", max_age=timedelta(days=1))
    assert forever.null_count() == 3
    assert [t for t, v in enumerate(fresh["iv_30d"]) if v is not None] == [3, 4]
    assert fresh["iv_at"].null_count() == fresh["iv_30d"].null_count()


def test_an_item_that_opens_the_source_exactly_at_a_decision_opens_the_next_window():
    panel = make_panel(gap=False).filter(pl.col("symbol") == "AAA")
    items = pl.DataFrame({"symbol": ["AAA"], "at": [panel["decision_at"][2]], "score": [1.0]})
    got = add_news(panel, items, known_at="at", score="score", source=None)
    assert got["news_count"].to_list()[:5] == [None, None, None, 0.0, 0.0]


def test_an_event_moved_exactly_at_the_decision_has_moved():
    panel = make_panel(gap=False).filter(pl.col("symbol") == "AAA")
    days = [date(2024, 8, 1), date(2024, 8, 8)]
    schedule = pl.DataFrame(
        {"symbol": ["AAA"] * 2, "at": [START, panel["decision_at"][2]], "day": days, "quarter": ["Q2"] * 2}
    )
    got = add_events(panel, schedule, known_at="at", event_date="day", event="quarter")
    assert got["event_next"].to_list()[:4] == [days[0], days[0], days[1], days[1]]
