"""Gaps, halts, late listings, delistings and renames, carried through panel and labels."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import polars as pl
import pytest

from conviction.errors import FrameError, UniverseError
from conviction.frames import UTC as UTC_DTYPE
from conviction.frames import check_panel
from conviction.labels import make_labels
from conviction.market import check_bars, exchange_sessions
from conviction.panel import apply_renames, asof_join, build_intraday_panel, build_panel

SESSIONS = exchange_sessions("XNYS", date(2024, 6, 24), date(2024, 7, 12)).to_list()


def history(symbol, times, volume=100.0):
    return [(symbol, SESSIONS[t], 10.0 + t, volume) for t in times]


def frame(rows):
    return pl.DataFrame(rows, schema=["symbol", "session", "close", "volume"], orient="row")


def test_a_life_of_each_kind_goes_through_the_panel_without_being_filled():
    n = len(SESSIONS)
    raw = frame(
        [
            *history("FULL", range(n)),
            *history("GAP", [t for t in range(n) if t not in (4, 5)]),
            *history("GONE", range(6)),
            *history("HALT", range(3)), *history("HALT", range(3, 5), volume=0.0), *history("HALT", range(5, n)),
            *history("LATE", range(7, n)),
        ]
    )  # fmt: skip
    checked = check_bars(raw, calendar="XNYS")
    assert {(p.name, p.symbol) for p in checked.quality.problems} == {
        ("missing_sessions", "GAP"),
        ("early_end", "GONE"),
        ("zero_volume", "HALT"),
        ("late_listing", "LATE"),
    }
    panel = build_panel(checked.bars, calendar="XNYS", decision="close", market=None, vix=None, membership=None)
    assert panel.height == raw.height
    labels = make_labels(panel, calendar="XNYS", horizon=1, decision="close")
    unlabelled = labels.filter(pl.col("direction").is_null()).group_by("symbol").agg("session").sort("symbol")
    assert dict(unlabelled.iter_rows()) == {
        "FULL": [SESSIONS[-1]],
        "GAP": [SESSIONS[3], SESSIONS[-1]],
        "GONE": [SESSIONS[5]],
        "HALT": [SESSIONS[-1]],
        "LATE": [SESSIONS[-1]],
    }


def renames_of(*rows):
    return pl.DataFrame(list(rows), schema={"old": pl.String, "new": pl.String, "date": pl.Date}, orient="row")


def test_a_renamed_company_is_one_company_and_its_label_bridges_the_rename():
    raw = frame([*history("FB", range(5)), *history("META", range(5, 10))])
    whole = apply_renames(raw, renames_of(("FB", "META", SESSIONS[5])))
    check_panel(whole, name="bars")
    assert whole["symbol"].unique().to_list() == ["META"]
    panel = build_panel(whole, calendar="XNYS", decision="close", market=None, vix=None, membership=None)
    assert make_labels(panel, calendar="XNYS", horizon=1, decision="close")["direction"].null_count() == 1


def test_a_ticker_taken_over_on_the_very_day_stays_with_its_new_company():
    raw = frame([*history("FB", range(10)), *history("META", range(5, 10))])
    whole = apply_renames(raw, renames_of(("FB", "META", SESSIONS[5])))
    assert dict(whole.group_by("symbol").len().iter_rows()) == {"FB": 5, "META": 10}


def test_chains_and_tickers_that_change_hands():
    # META was a fund until session 3, then nobody's; FB took it at 5. X became Y became Z. FB was taken by another company at 8.
    raw = frame(
        [
            *history("FB", range(5)), *history("FB", range(8, 10)), *history("META", range(3)), *history("META", range(5, 10)),
            *history("METV", range(3, 10)), *history("X", range(2)), *history("Y", range(2, 4)), *history("Z", range(4, 10)),
        ]
    )  # fmt: skip
    renames = renames_of(
        ("Y", "Z", SESSIONS[4]), ("FB", "META", SESSIONS[5]), ("X", "Y", SESSIONS[2]), ("META", "METV", SESSIONS[3])
    )
    whole = apply_renames(raw, renames)
    counts = dict(whole.group_by("symbol").len().iter_rows())
    assert counts == {"FB": 2, "META": 10, "METV": 10, "Z": 10}
    assert whole.filter(pl.col("symbol") == "META")["close"].to_list() == [10.0 + t for t in range(10)]


def test_a_ticker_of_another_company_is_not_merged_in_silence():
    raw = frame([*history("FB", range(5)), *history("META", range(3)), *history("META", range(5, 10))])
    with pytest.raises(UniverseError, match="META was the ticker of another company before FB took it"):
        apply_renames(raw, renames_of(("FB", "META", SESSIONS[5])))


def test_renames_that_make_no_sense_are_refused():
    raw = frame(history("FB", range(5)))
    with pytest.raises(FrameError, match="renames are not usable"):
        apply_renames(raw, renames_of(("FB", "META", SESSIONS[5]), ("FB", "OTHER", SESSIONS[5])))
    with pytest.raises(FrameError, match="renames are not usable"):
        apply_renames(raw, renames_of(("FB", "FB", SESSIONS[5])))
    with pytest.raises(FrameError, match="renames lacks the columns"):
        apply_renames(raw, renames_of().drop("date"))


def test_an_intraday_panel_takes_events_by_their_moment():
    ends = [datetime(2024, 7, 2, 13, 35, tzinfo=UTC) + timedelta(minutes=5 * i) for i in range(4)]
    bars = pl.DataFrame({"symbol": ["A"] * 4, "session": [date(2024, 7, 2)] * 4, "bar_end": ends, "close": [1.0] * 4})
    bars = bars.with_columns(pl.col("bar_end").cast(UTC_DTYPE))
    spells = pl.DataFrame({"symbol": ["A"], "from": [date(2024, 7, 2)], "to": [None]}, schema_overrides={"to": pl.Date})
    panel = build_intraday_panel(bars, membership=spells)
    assert panel["in_universe"].all()
    events = pl.DataFrame({"symbol": ["A"], "at": [ends[1]], "score": [0.5]})
    assert asof_join(panel, events, by=["symbol"], known_at="at", values=["score"])["score"].to_list() == [
        None,
        0.5,
        0.5,
        0.5,
    ]
    with pytest.raises(FrameError, match="not sorted"):
        build_intraday_panel(bars.reverse(), membership=None)
