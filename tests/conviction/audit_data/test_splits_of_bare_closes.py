"""Without opens and volumes a rise by a half is no proof of a split; a halved price still is an error."""

from __future__ import annotations

import polars as pl
import pytest

from conviction.audit import audit_dataset

CLOSE = pl.col("close")


@pytest.fixture(scope="module")
def closes(embedded_bars) -> pl.DataFrame:
    """Return AMD, which truly rose by 52 % on 2016-04-22, among quiet stocks."""
    chosen = embedded_bars.filter(
        pl.col("symbol").is_in(["AMD", "AAPL", "KO", "PG", "XOM"]) & pl.col("session").dt.year().is_between(2015, 2016)
    )
    return chosen.with_columns(target_1d=(CLOSE.shift(-1) / CLOSE - 1).over("symbol"))


def found(frame: pl.DataFrame) -> list[tuple[str, tuple[str, ...]]]:
    report = audit_dataset(frame.rename({"session": "date"}))
    return [(finding.severity, finding.symbols) for finding in report.findings if finding.check == "prices.splits"]


def test_a_real_rise_is_at_most_a_question(closes):
    assert found(closes) == [("warning", ("AMD",))]


def test_a_halved_price_is_an_error(closes):
    day = closes["session"].unique().sort()[250]
    split = (pl.col("symbol") == "KO") & (pl.col("session") < day)
    frame = closes.with_columns(close=pl.when(split).then(CLOSE * 2).otherwise(CLOSE))
    frame = frame.with_columns(target_1d=(CLOSE.shift(-1) / CLOSE - 1).over("symbol"))
    assert ("error", ("KO",)) in found(frame)
