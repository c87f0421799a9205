"""The report says of each source what of it was used."""

from __future__ import annotations

from datetime import UTC, date, datetime

import polars as pl

from conviction.panel import source_notes

AT = datetime(2024, 7, 2, 15, tzinfo=UTC)
NEWS = pl.DataFrame({"symbol": ["A"], "known_at": [AT], "sentiment": [1.0]})


def test_bars_do_not_claim_the_sources_they_do_not_take():
    daily = pl.DataFrame({"symbol": ["A"], "session": [date(2024, 7, 2)], "decision_at": [AT]})
    bars = daily.with_columns(bar_end="decision_at")
    renames = pl.DataFrame({"old": ["B"], "new": ["A"]})
    frames = {"news": NEWS, "macro": None, "renames": renames}
    assert source_notes(daily, **frames)["news"] == "1 rows of 1 symbols of the universe, by publication"
    notes = source_notes(bars, **frames)
    assert notes["news"] == "1 rows, not joined to intraday bars: features of news are missing"
    assert (
        notes["macro"] == source_notes(daily, **frames)["macro"] == "none: features of macroeconomic series are missing"
    )
    assert notes["renames"] == source_notes(daily, **frames)["renames"] == "1 rows"
