"""Hold rows against the rules: what is wrong is named, what may be quarantined is taken out."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import date

import polars as pl

from conviction.frames import KEY, SESSION, SYMBOL
from conviction.market._calendar import calendar_frame
from conviction.market._quality import QualityProblem, Severity
from conviction.market._rules import ROW_RULES, UNSORTED, rule_expressions


def screen(
    rows: pl.DataFrame,
    *,
    calendar: str,
    as_of: date | None,
    allow: Collection[str],
    key: Sequence[str] = KEY,
    skip: Collection[str] = (),
) -> tuple[pl.DataFrame, list[QualityProblem]]:
    """Return the rows that may go on, and every problem found.

    Parameters
    ----------
    rows : polars.DataFrame
        ``symbol, session``, ``close`` and any of the other values, Float64 with nulls.
    calendar : str
        Exchange calendar.
    as_of : datetime.date or None
        Last session that may exist.
    allow : collection of str
        Rules whose rows are taken out rather than left for the caller to raise on.
    key : sequence of str
        What a row is unique by.
    skip : collection of str
        Rules that make no sense for these rows.

    Returns
    -------
    tuple of polars.DataFrame and list of QualityProblem
        Rows in their order, and one problem for each rule and symbol.
    """
    sessions = calendar_frame(calendar).select(SESSION, _is_session=pl.lit(value=True))
    marked = rows.join(sessions, on=SESSION, how="left", maintain_order="left").with_columns(
        **rule_expressions(rows.columns, as_of=as_of, key=key)
    )
    problems: list[QualityProblem] = []
    bad = pl.lit(value=False)
    for rule in ROW_RULES:
        if rule.flag not in marked.columns or rule.name in skip:
            continue
        hit = marked.filter(pl.col(rule.flag))
        if hit.is_empty():
            continue
        taken = rule.name in allow
        problems += by_symbol(
            hit, name=rule.name, severity=rule.severity, explanation=rule.explanation, column=rule.column, taken=taken
        )
        if taken and rule.name != UNSORTED:
            bad = bad | pl.col(rule.flag)
    return marked.filter(~bad).select(rows.columns), problems


def by_symbol(
    hit: pl.DataFrame, *, name: str, severity: Severity, explanation: str, column: str, taken: bool
) -> list[QualityProblem]:
    """Return one problem for each symbol of the rows that were hit."""
    grouped = hit.group_by(SYMBOL, maintain_order=True).agg(
        pl.len().alias("rows"), pl.col(SESSION).first(), pl.col(column).first().cast(pl.String).alias("value")
    )
    return [
        QualityProblem(
            name=name,
            severity=severity,
            symbol=row[SYMBOL],
            session=row[SESSION],
            rows=row["rows"],
            value=f"{column} {row['value']}",
            explanation=explanation,
            quarantined=taken,
        )
        for row in grouped.iter_rows(named=True)
    ]
