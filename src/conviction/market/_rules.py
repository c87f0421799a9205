"""The rules that raw rows are held against, as data: name, severity, reason."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

import polars as pl

from conviction.frames import KEY, SESSION, SYMBOL
from conviction.market._calendar import calendar_frame
from conviction.market._quality import QualityProblem, Severity

# Vendors adjust the four prices of a bar separately; one part in a million is rounding, not a wrong price.
RANGE_TOLERANCE = 1e-6
# A close that stands still this long is a halt or a vendor's forward fill.
STALE_ROWS = 10
# Beyond this an unadjusted split (3 for 1 and more) is likelier than news; in 558,866 real adjusted rows none was beyond it.
JUMP_FACTOR = 2.5
UNSORTED = "unsorted_rows"
CONFLICT = "duplicated_rows"


@dataclass(frozen=True, kw_only=True)
class RowRule:
    """One rule on rows: its name, how bad it is, why, and the column shown in the report."""

    name: str
    severity: Severity
    column: str
    explanation: str

    @property
    def flag(self) -> str:
        """Return the name of the marker column."""
        return f"_{self.name}"


ROW_RULES: tuple[RowRule, ...] = (
    RowRule(
        name=CONFLICT,
        severity="error",
        column="close",
        explanation="two rows claim the same symbol and session, and nobody can say which is right",
    ),
    RowRule(
        name=UNSORTED,
        severity="error",
        column=SESSION,
        explanation="a row comes after a later one of its symbol; every lag and window would mix up time",
    ),
    RowRule(
        name="null_close",
        severity="error",
        column="close",
        explanation="a bar without a close has no return and no label",
    ),
    RowRule(
        name="non_positive_price",
        severity="error",
        column="close",
        explanation="a price is zero, negative or infinite, so that returns are not defined",
    ),
    RowRule(
        name="not_a_session",
        severity="error",
        column=SESSION,
        explanation="the exchange was closed that day: made-up, shifted or foreign data",
    ),
    RowRule(
        name="future_session",
        severity="error",
        column=SESSION,
        explanation="the session lies after the day the data were taken",
    ),
    RowRule(
        name="high_below_low", severity="error", column="high", explanation="the highest price is under the lowest"
    ),
    RowRule(
        name="close_outside_range",
        severity="error",
        column="close",
        explanation="the close is not between low and high (tolerance 1e-6), so that one of the three is of another bar or adjustment",
    ),
    RowRule(
        name="negative_volume",
        severity="error",
        column="volume",
        explanation="volume counts shares and cannot be negative",
    ),
    RowRule(
        name="open_outside_range",
        severity="warning",
        column="open",
        explanation="the open is not between low and high (tolerance 1e-6); range features of that row are doubtful",
    ),
    RowRule(
        name="null_price",
        severity="warning",
        column="close",
        explanation="open, high or low is missing; features of it are missing too",
    ),
    RowRule(
        name="null_volume",
        severity="warning",
        column="volume",
        explanation="volume is missing; features of it are missing too",
    ),
    RowRule(
        name="price_jump",
        severity="warning",
        column="close",
        explanation="the close changed by a factor over 2.5 in one row: an unadjusted split, a re-used ticker or a wrong price",
    ),
    RowRule(
        name="stale_close",
        severity="warning",
        column="close",
        explanation="ten or more closes in a row are the same: a halt or a vendor's forward fill",
    ),
    RowRule(
        name="zero_volume",
        severity="info",
        column="volume",
        explanation="no trade that session; the prices are carried, not made",
    ),
)
ERRORS: tuple[str, ...] = tuple(sorted(rule.name for rule in ROW_RULES if rule.severity == "error"))


def rule_expressions(columns: Sequence[str], *, as_of: date | None, key: Sequence[str] = KEY) -> dict[str, pl.Expr]:
    """Return one Boolean expression for each rule that the columns allow; ``_is_session`` marks sessions.

    Parameters
    ----------
    columns : sequence of str
        Columns of the normalised rows.
    as_of : datetime.date or None
        Last session that may exist.
    key : sequence of str
        What a row is unique by; its last column is the order within a symbol.

    Returns
    -------
    dict of str to polars.Expr
        Marker name to expression; no nulls in the result.
    """
    prices = [c for c in ("open", "high", "low", "close") if c in columns]
    close, session, symbol = pl.col("close"), pl.col(SESSION), pl.col(SYMBOL)
    previous = close.shift(1).over(SYMBOL)
    ratio = close / previous
    run = close.rle_id().over(SYMBOL)
    same_row_copies = pl.struct(pl.col(columns)).is_first_distinct()
    conflicting = pl.struct(pl.col(columns)).n_unique().over(*key) > 1
    found = {
        CONFLICT: pl.struct(*key).is_duplicated() & (conflicting | ~same_row_copies),
        UNSORTED: pl.col(key[-1]) < pl.col(key[-1]).shift(1).over(SYMBOL),
        "null_close": close.is_null(),
        "non_positive_price": pl.any_horizontal([(pl.col(c) <= 0) | pl.col(c).is_infinite() for c in prices]),
        "not_a_session": pl.col("_is_session").is_null(),
        "price_jump": (ratio > JUMP_FACTOR) | (ratio < 1 / JUMP_FACTOR),
        "stale_close": (pl.len().over(symbol, run) >= STALE_ROWS) & close.is_not_null(),
    }
    if as_of is not None:
        found["future_session"] = session > pl.lit(as_of)
    others = [c for c in prices if c != "close"]
    if others:
        found["null_price"] = pl.any_horizontal([pl.col(c).is_null() for c in others])
    if {"high", "low"} <= set(columns):
        found["high_below_low"] = pl.col("high") < pl.col("low") * (1 - RANGE_TOLERANCE)
    for column in ("open", "close"):
        bounds = []
        if "high" in columns:
            bounds.append(pl.col(column) > pl.col("high") * (1 + RANGE_TOLERANCE))
        if "low" in columns:
            bounds.append(pl.col(column) < pl.col("low") * (1 - RANGE_TOLERANCE))
        if bounds and column in columns:
            found[f"{column}_outside_range"] = pl.any_horizontal(bounds)
    if "volume" in columns:
        found["negative_volume"] = pl.col("volume") < 0
        found["zero_volume"] = pl.col("volume") == 0
        found["null_volume"] = pl.col("volume").is_null()
    return {f"_{name}": expression.fill_null(value=False) for name, expression in found.items()}


def span_facts(bars: pl.DataFrame, *, calendar: str) -> list[QualityProblem]:
    """Return what each symbol's span says: late listings, early ends, missing sessions.

    Parameters
    ----------
    bars : polars.DataFrame
        Checked bars: sorted, unique, exchange sessions only.
    calendar : str
        Exchange calendar.

    Returns
    -------
    list of QualityProblem
        ``late_listing`` and ``early_end`` (info), ``missing_sessions`` (info; the first missing one).
    """
    if bars.is_empty():
        return []
    positions = calendar_frame(calendar).select(SESSION, "position")
    placed = bars.select(*KEY).join(positions, on=SESSION, how="left", maintain_order="left")
    spans = placed.group_by(SYMBOL, maintain_order=True).agg(
        first=pl.col(SESSION).first(),
        last=pl.col(SESSION).last(),
        absent=pl.col("position").last() - pl.col("position").first() + 1 - pl.len(),
        gap_before=(pl.col("position").filter(pl.col("position").diff().fill_null(1) > 1)).first(),
        gap=(pl.col("position").diff().filter(pl.col("position").diff() > 1)).first(),
    )
    start, end = placed[SESSION].min(), placed[SESSION].max()
    known = positions[SESSION]
    facts = []
    for row in spans.iter_rows(named=True):
        symbol = row[SYMBOL]
        if row["first"] > start:
            facts.append(_fact("late_listing", symbol, row["first"]))
        if row["last"] < end:
            facts.append(_fact("early_end", symbol, row["last"]))
        if row["absent"]:
            facts.append(
                _fact("missing_sessions", symbol, known[row["gap_before"] - row["gap"] + 1], rows=row["absent"])
            )
    return facts


_FACTS: dict[str, str] = {
    "late_listing": "the symbol begins after the others",
    "early_end": "the symbol ends before the others: delisted, renamed or cut",
    "missing_sessions": "sessions of the exchange without a row: a halt or missing data; labels that reach them are null",
}


def _fact(name: str, symbol: str, session: date, *, rows: int = 1) -> QualityProblem:
    return QualityProblem(
        name=name,
        severity="info",
        symbol=symbol,
        session=session,
        rows=rows,
        value=f"session {session}",
        explanation=_FACTS[name],
    )
