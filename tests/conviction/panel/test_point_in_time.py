from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import duckdb
import hypothesis.strategies as st
import polars as pl
import pytest
from hypothesis import given, settings
from polars.testing import assert_frame_equal, assert_series_equal

from conviction.errors import FrameError, ParameterError, PointInTimeError
from conviction.frames import UTC as UTC_DTYPE
from conviction.frames import check_panel
from conviction.market import exchange_sessions
from conviction.panel import asof_join, build_panel, in_universe, survivorship_note

SESSIONS = exchange_sessions("XNYS", date(2024, 6, 24), date(2024, 7, 12)).to_list()


def bars(symbols=("AAA", "BBB"), sessions=SESSIONS):
    rows = [(s, d, 10.0 + i + 0.1 * t) for i, s in enumerate(symbols) for t, d in enumerate(sessions)]
    return pl.DataFrame(rows, schema=["symbol", "session", "close"], orient="row")


def panel(decision="close", **kwargs):
    return build_panel(
        bars(), calendar="XNYS", decision=decision, **{"market": None, "vix": None, "membership": None} | kwargs
    )


@pytest.mark.parametrize("decision", ["close", "before_next_open"])
def test_nothing_is_decided_before_it_is_known(decision):
    built = panel(decision)
    check_panel(built, name="panel", required=["close", "in_universe"])
    assert (built["known_at"] <= built["decision_at"]).all()
    assert built["in_universe"].all()
    by_day = dict(zip(built["session"], zip(built["known_at"], built["decision_at"], strict=True), strict=True))
    known, decided = by_day[date(2024, 7, 3)]
    assert known == datetime(2024, 7, 3, 17, 0, tzinfo=UTC)
    expected = known if decision == "close" else datetime(2024, 7, 5, 13, 30, tzinfo=UTC)
    assert decided == expected


def test_side_columns_come_by_session_and_a_missing_day_is_null_not_stale():
    market = pl.DataFrame({"date": SESSIONS, "close": [100.0 + t for t in range(len(SESSIONS))]}).filter(
        pl.col("date") != SESSIONS[5]
    )
    built = panel(market=market)
    values = built.filter(pl.col("symbol") == "BBB")["market_close"].to_list()
    assert values == [None if t == 5 else 100.0 + t for t in range(len(SESSIONS))]


def test_a_side_value_that_settles_after_the_close_is_yesterdays_until_the_open():
    closes = panel().filter(pl.col("symbol") == "AAA")["known_at"]
    vix = pl.DataFrame({"session": SESSIONS, "close": [10.0 + t for t in range(len(SESSIONS))]}).with_columns(
        known_at=closes + timedelta(minutes=15)
    )
    at_close = panel(vix=vix).filter(pl.col("symbol") == "AAA")["vix_close"].to_list()
    assert at_close == [None, *[10.0 + t for t in range(len(SESSIONS) - 1)]]
    at_open = panel("before_next_open", vix=vix).filter(pl.col("symbol") == "AAA")["vix_close"].to_list()
    assert at_open == [10.0 + t for t in range(len(SESSIONS))]


@pytest.mark.parametrize("with_moment", [False, True])
def test_a_session_that_the_vix_misses_is_null_and_never_the_value_before(with_moment):
    closes = panel().filter(pl.col("symbol") == "AAA")["known_at"]
    vix = pl.DataFrame({"session": SESSIONS, "close": [10.0 + t for t in range(len(SESSIONS))]})
    if with_moment:
        vix = vix.with_columns(known_at=closes + timedelta(minutes=15))
    # Without a moment of its own the VIX settles a quarter of an hour after the close, whatever file it comes from.
    holed = vix.filter(~pl.col("session").is_in([SESSIONS[3], SESSIONS[-1]]))
    n = len(SESSIONS)
    at_close = panel(vix=holed).filter(pl.col("symbol") == "AAA")["vix_close"].to_list()
    assert at_close == [None if t - 1 in (-1, 3) else 9.0 + t for t in range(n)]
    at_open = panel("before_next_open", vix=holed).filter(pl.col("symbol") == "AAA")["vix_close"].to_list()
    assert at_open == [None if t in (3, n - 1) else 10.0 + t for t in range(n)]


def test_panel_refuses_what_it_cannot_join():
    market = pl.DataFrame({"session": SESSIONS, "close": 1.0})
    with pytest.raises(FrameError, match="several rows of one session"):
        panel(market=pl.concat([market, market.head(1)]))
    with pytest.raises(PointInTimeError, match="covers no session"):
        panel(market=market.with_columns(pl.col("session") - timedelta(days=3650)))
    with pytest.raises(FrameError, match=r"lacks the columns \['close'\]"):
        panel(vix=market.rename({"close": "vix"}))
    with pytest.raises(ParameterError, match="unknown decision time"):
        panel("at_lunch")
    with pytest.raises(FrameError, match="already have columns of the panel"):
        build_panel(panel(), calendar="XNYS", decision="close", market=None, vix=None, membership=None)


def test_input_frames_are_not_changed():
    raw, market = bars(), pl.DataFrame({"session": SESSIONS, "close": 1.0})
    before = raw.clone(), market.clone()
    build_panel(raw, calendar="XNYS", decision="close", market=market, vix=market, membership=None)
    assert_frame_equal(raw, before[0])
    assert_frame_equal(market, before[1])


# --- membership ---------------------------------------------------------------------------------------------------------------------


def test_membership_has_spells_with_an_excluded_end():
    spells = pl.DataFrame(
        {
            "symbol": ["AAA", "AAA"],
            "from": [date(2020, 1, 1), SESSIONS[6]],
            "to": [SESSIONS[2], None],
        }
    )
    built = panel(membership=spells)
    inside = built.filter(pl.col("in_universe")).select("symbol", "session").rows()
    assert inside == [("AAA", SESSIONS[t]) for t in (0, 1, *range(6, len(SESSIONS)))]


@settings(max_examples=80, deadline=None)
@given(st.data())
def test_membership_is_the_slow_loop(data):
    spells = []
    for symbol in "AB":
        cuts = sorted(data.draw(st.sets(st.integers(0, 60), max_size=6)))
        pairs = list(zip(cuts[::2], cuts[1::2], strict=False))
        spells += [
            (symbol, date(2024, 1, 1) + timedelta(days=a), date(2024, 1, 1) + timedelta(days=b)) for a, b in pairs
        ]
        if len(cuts) % 2:
            spells.append((symbol, date(2024, 1, 1) + timedelta(days=cuts[-1]), None))
    days = [date(2024, 1, 1) + timedelta(days=d) for d in range(-2, 64)]
    keys = pl.DataFrame(
        [(s, d) for d in days for s in "BAC"], schema={"symbol": pl.String, "session": pl.Date}, orient="row"
    )
    frame = pl.DataFrame(spells, schema={"symbol": pl.String, "from": pl.Date, "to": pl.Date}, orient="row")
    expected = [any(s == x and a <= d and (b is None or d < b) for x, a, b in spells) for s, d in keys.rows()]
    assert in_universe(keys, frame).to_list() == expected


def test_a_spell_may_begin_on_the_day_the_last_one_ended():
    spells = pl.DataFrame(
        {"symbol": ["AAA", "AAA"], "from": [SESSIONS[0], SESSIONS[4]], "to": [SESSIONS[4], SESSIONS[6]]}
    )
    inside = panel(membership=spells).filter(pl.col("in_universe"))["session"].to_list()
    assert inside == SESSIONS[:6]


@pytest.mark.parametrize(
    "spells",
    [
        {"from": [date(2020, 1, 2)], "to": [date(2020, 1, 2)]},
        {"from": [date(2020, 1, 1), date(2020, 6, 1)], "to": [date(2020, 7, 1), None]},
        {"from": [date(2020, 1, 1), date(2020, 6, 1)], "to": [None, None]},
    ],
)
def test_impossible_spells_are_an_error(spells):
    frame = pl.DataFrame({"symbol": ["AAA"] * len(spells["from"]), **spells}, schema_overrides={"to": pl.Date})
    with pytest.raises(FrameError, match="ends before it begins or overlaps"):
        panel(membership=frame)


def test_survivorship_is_stated_in_both_cases():
    spells = pl.DataFrame(
        {"symbol": ["A", "A"], "from": [date(2020, 1, 1), date(2022, 1, 1)], "to": [date(2021, 1, 1), None]}
    )
    assert "Survivorship bias" in survivorship_note(None)
    assert "1 symbols in 2 spells of membership, 1 of them ended" in survivorship_note(spells)


# --- as-of joins --------------------------------------------------------------------------------------------------------------------


def news(minutes_after_close):
    """One item a session for AAA, published so many minutes after the close, with the session's number as its value."""
    closes = panel().filter(pl.col("symbol") == "AAA")["known_at"]
    return pl.DataFrame(
        {
            "symbol": ["AAA"] * len(SESSIONS),
            "published_at": closes + timedelta(minutes=minutes_after_close),
            "score": [float(t) for t in range(len(SESSIONS))],
        }
    )


def test_a_join_by_date_leaks_and_the_join_by_moment_does_not():
    built = panel()
    late = news(minutes_after_close=30)
    by_date = built.join(
        late.with_columns(session=pl.col("published_at").dt.date()), on=["symbol", "session"], how="left"
    )
    joined = asof_join(built, late, by=["symbol"], known_at="published_at", values=["score"], keep_known_at="news_at")
    leaked = by_date.filter(pl.col("published_at") > pl.col("decision_at"))
    assert leaked.height == len(SESSIONS)  # the planted leak is there
    assert joined.filter(pl.col("news_at") > pl.col("decision_at")).is_empty()
    assert joined.filter(pl.col("symbol") == "AAA")["score"].to_list() == [None, *range(len(SESSIONS) - 1)]
    assert joined.filter(pl.col("symbol") == "BBB")["score"].null_count() == len(SESSIONS)


@pytest.mark.parametrize(("minutes", "lag"), [(-30, 0), (0, 0), (1, 1)])
def test_the_boundary_is_the_decision_itself(minutes, lag):
    joined = asof_join(panel(), news(minutes), by=["symbol"], known_at="published_at", values=["score"])
    expected = [None] * lag + [float(t) for t in range(len(SESSIONS) - lag)]
    assert joined.filter(pl.col("symbol") == "AAA")["score"].to_list() == expected


def test_a_nanosecond_after_the_decision_is_after_it():
    close = panel()["decision_at"][0]
    for nanoseconds, expected in ((0, 1.0), (1, None)):
        moment = pl.Series([int(close.timestamp()) * 10**9 + nanoseconds]).cast(pl.Datetime("ns", "UTC"))
        events = pl.DataFrame({"symbol": ["AAA"], "at": moment, "x": [1.0]})
        assert asof_join(panel().head(1), events, by=["symbol"], known_at="at", values=["x"])["x"][0] == expected


def test_moments_in_another_zone_are_the_same_moments():
    built = panel()
    events = news(-5)
    there = events.with_columns(pl.col("published_at").dt.convert_time_zone("Asia/Tokyo"))
    kwargs = {"by": ["symbol"], "known_at": "published_at", "values": ["score"]}
    assert_frame_equal(asof_join(built, events, **kwargs), asof_join(built, there, **kwargs))


def test_values_for_everybody_need_no_key_and_row_order_is_kept():
    built = panel().sample(fraction=1.0, shuffle=True, seed=3)
    release = pl.DataFrame({"released": [datetime(2024, 7, 1, 12, 30, tzinfo=UTC)], "pmi": [48.5]})
    joined = asof_join(built, release, by=[], known_at="released", values=["pmi"])
    assert_frame_equal(joined.drop("pmi"), built)
    expected = [48.5 if d >= date(2024, 7, 1) else None for d in built["session"]]
    assert joined["pmi"].to_list() == expected


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(st.sampled_from(["AAA", "BBB", "CCC"]), st.integers(-500, 30_000)), max_size=25, unique=True),
    st.sampled_from(["close", "before_next_open"]),
)
def test_as_of_is_the_sql_correlated_subquery(items, decision):
    start = datetime(2024, 6, 24, tzinfo=UTC)
    events = pl.DataFrame(
        [(s, start + timedelta(minutes=m), float(i)) for i, (s, m) in enumerate(items)],
        schema={"symbol": pl.String, "at": UTC_DTYPE, "value": pl.Float64},
        orient="row",
    )
    built = panel(decision)
    joined = asof_join(built, events, by=["symbol"], known_at="at", values=["value"])
    with duckdb.connect() as sql:
        sql.register("p", built.select("symbol", "session", "decision_at").to_arrow())
        sql.register("e", events.to_arrow())
        expected = sql.execute(
            "select (select arg_max(e.value, e.at) from e where e.symbol = p.symbol and e.at <= p.decision_at) from p order by symbol, session"
        ).fetchall()
    assert joined["value"].to_list() == [row[0] for row in expected]


def test_events_without_a_moment_are_refused():
    built = panel()
    events = news(0)
    kwargs = {"by": ["symbol"], "known_at": "published_at", "values": ["score"]}
    with pytest.raises(PointInTimeError, match="is not a moment"):
        asof_join(built, events.with_columns(pl.col("published_at").dt.date()), **kwargs)
    with pytest.raises(PointInTimeError, match="is not a moment"):
        asof_join(built, events.with_columns(pl.col("published_at").dt.replace_time_zone(None)), **kwargs)
    with pytest.raises(PointInTimeError, match="missing in some rows"):
        asof_join(built, events.with_columns(published_at=pl.lit(None, dtype=UTC_DTYPE)), **kwargs)
    with pytest.raises(PointInTimeError, match="several events share"):
        asof_join(built, pl.concat([events, events]), **kwargs)
    with pytest.raises(FrameError, match="overwrite columns"):
        asof_join(built, events.rename({"score": "close"}), by=["symbol"], known_at="published_at", values=["close"])
    with pytest.raises(PointInTimeError, match="decision_at is not a moment"):
        asof_join(built.with_columns(pl.col("decision_at").dt.replace_time_zone(None)), events, **kwargs)


def test_an_empty_event_frame_gives_nulls():
    joined = asof_join(panel(), news(0).clear(), by=["symbol"], known_at="published_at", values=["score"])
    assert_series_equal(joined["score"], pl.Series("score", [None] * joined.height, dtype=pl.Float64))
