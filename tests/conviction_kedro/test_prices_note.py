"""The report says which prices were left out and which sessions are missing."""

from __future__ import annotations

from datetime import date

import polars as pl

from conviction.market import check_bars, exchange_sessions
from conviction_kedro.report_contents import prices_note

SESSIONS = exchange_sessions("XNYS", date(2024, 6, 24), date(2024, 7, 12)).to_list()


def rows():
    parts = [
        pl.DataFrame({"symbol": s, "session": SESSIONS, "close": [10.0 + n for n in range(len(SESSIONS))]})
        for s in ("AAA", "NA")
    ]
    return pl.concat(parts)


def test_clean_prices_are_said_to_be_whole():
    quality = check_bars(rows(), calendar="XNYS").quality.to_dict()
    assert prices_note(quality).startswith(f"All {2 * len(SESSIONS)} rows read were kept. No session is missing within")


def test_what_was_quarantined_and_what_is_missing_is_named_with_its_count():
    gappy = rows().filter(~((pl.col("symbol") == "NA") & pl.col("session").is_in(SESSIONS[3:6])))
    broken = gappy.with_columns(close=pl.when(pl.int_range(pl.len()) == 2).then(-1.0).otherwise("close"))
    checked = check_bars(broken, calendar="XNYS", allow={"non_positive_price"})
    note = prices_note(checked.quality.to_dict())
    n = 2 * len(SESSIONS) - 3
    assert checked.bars.height == n - 1
    assert f"Left out as allowed: 1 of {n} rows (non_positive_price 1)." in note
    assert "Sessions without a row: NA 3, AAA 1." in note
