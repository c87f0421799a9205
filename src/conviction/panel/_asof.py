"""Joins on the moment a value became known, never on the date that it speaks about."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

import polars as pl

from conviction.errors import FrameError, PointInTimeError
from conviction.frames import UTC, check_columns

DECISION_AT = "decision_at"


def asof_join(
    panel: pl.DataFrame,
    events: pl.DataFrame,
    *,
    by: Sequence[str],
    known_at: str,
    values: Sequence[str],
    keep_known_at: str | None = None,
    max_age: timedelta | None = None,
) -> pl.DataFrame:
    """Give each panel row the last event that was known at its decision time: ``known_at <= decision_at``.

    Parameters
    ----------
    panel : polars.DataFrame
        Any frame with ``decision_at`` Datetime[us, UTC] and the columns of `by`; its row order is kept.
    events : polars.DataFrame
        One row an event, any order: the columns of `by`, `known_at` and `values`.
    by : sequence of str
        Columns that must be equal, such as ``["symbol"]``; empty for values that concern every symbol (macro).
    known_at : str
        The moment the value was published: a Datetime with a time zone. Not the period or day it speaks about.
    values : sequence of str
        Columns to bring over; null where no event was known yet.
    keep_known_at : str, optional
        Bring the event's moment over too, under this name; ages of events come from it.
    max_age : datetime.timedelta, optional
        Events older than this at the decision count as unknown: null instead of a value that a dead source left behind.

    Returns
    -------
    polars.DataFrame
        The panel's rows and columns, plus `values`.

    Raises
    ------
    PointInTimeError
        If `known_at` is not a moment (a Date, or a Datetime without time zone), is missing in a row, or two events of one `by`
        became known at the same moment (which came last is not defined), or the panel has no decision time.
    FrameError
        If a column is missing, or a value would overwrite a panel column.

    Examples
    --------
    >>> from datetime import UTC, datetime
    >>> panel = pl.DataFrame({"symbol": ["A"], "decision_at": [datetime(2024, 7, 2, 20, tzinfo=UTC)]})
    >>> news = pl.DataFrame({
    ...     "symbol": ["A", "A"],
    ...     "published_at": [datetime(2024, 7, 2, 19, 59, tzinfo=UTC), datetime(2024, 7, 2, 20, 1, tzinfo=UTC)],
    ...     "score": [0.1, 0.9],
    ... })
    >>> asof_join(panel, news, by=["symbol"], known_at="published_at", values=["score"])["score"].to_list()
    [0.1]
    """
    check_columns(panel, [*by, DECISION_AT], name="panel")
    check_columns(events, [*by, known_at, *values], name="events")
    _check_new_columns(panel, values=values, keep_known_at=keep_known_at)
    decision = pl.col(DECISION_AT)
    if panel.schema[DECISION_AT] != UTC or panel[DECISION_AT].null_count():
        raise PointInTimeError(
            what="panel.decision_at is not a moment in every row",
            got=f"{panel.schema[DECISION_AT]} with {panel[DECISION_AT].null_count()} nulls",
            allowed=f"{UTC} without nulls",
            fix="build the panel with conviction.panel.build_panel",
        )
    moments = known_moments(events, known_at)
    right = events.select(*by, *values).with_columns(moments.alias("_known_at")).sort("_known_at", maintain_order=True)
    _check_unambiguous(right, by=by, known_at=known_at)
    left = panel.with_columns(pl.int_range(pl.len(), dtype=pl.UInt32).alias("_row")).sort(decision, maintain_order=True)
    joined = left.join_asof(
        right,
        left_on=DECISION_AT,
        right_on="_known_at",
        by=list(by) or None,
        strategy="backward",
        coalesce=False,
        check_sortedness=False,
    ).sort("_row")
    if max_age is not None:
        fresh = (pl.col(DECISION_AT) - pl.col("_known_at")) <= max_age
        joined = joined.with_columns(pl.when(fresh).then(pl.col(c)).alias(c) for c in (*values, "_known_at"))
    if keep_known_at is None:
        return joined.drop("_row", "_known_at")
    return joined.drop("_row").rename({"_known_at": keep_known_at})


def known_moments(events: pl.DataFrame, known_at: str) -> pl.Series:
    """Return the publication moments of events in UTC microseconds, rounded up so that nothing is known too early.

    Parameters
    ----------
    events : polars.DataFrame
        One row an event.
    known_at : str
        Column of moments with a time zone.

    Returns
    -------
    polars.Series
        Datetime[us, UTC].

    Raises
    ------
    PointInTimeError
        If the column is not a Datetime with a time zone, or has nulls.
    """
    dtype = events.schema[known_at]
    if not isinstance(dtype, pl.Datetime) or dtype.time_zone is None:
        raise PointInTimeError(
            what=f"events.{known_at} is not a moment",
            got=dtype,
            allowed="a Datetime with a time zone: when the value was published",
            fix="parse the publication time with its zone; a date alone does not say whether it was before the decision",
        )
    if events[known_at].null_count():
        raise PointInTimeError(
            what=f"events.{known_at} is missing in some rows",
            got=f"{events[known_at].null_count()} nulls",
            allowed="a moment in every row",
            fix="drop events of unknown publication time, and say so",
        )
    moments = events[known_at].dt.convert_time_zone("UTC")
    if dtype.time_unit == "ns":
        return ((moments.to_physical() + 999) // 1000).cast(UTC)
    return moments.cast(UTC)


def _check_new_columns(panel: pl.DataFrame, *, values: Sequence[str], keep_known_at: str | None) -> None:
    new = [*values, *([] if keep_known_at is None else [keep_known_at])]
    clash = [column for column in new if column in panel.columns or new.count(column) > 1]
    if clash:
        raise FrameError(
            what="the join would overwrite columns of the panel",
            got=sorted(set(clash)),
            allowed="names that the panel does not have",
            fix="rename the event columns before the join",
        )


def _check_unambiguous(right: pl.DataFrame, *, by: Sequence[str], known_at: str) -> None:
    keys = right.select(*by, "_known_at")
    repeated = keys.is_duplicated()
    if repeated.any():
        raise PointInTimeError(
            what=f"several events share {[*by, known_at]}",
            got=f"{int(repeated.sum())} rows, first {keys.filter(repeated).row(0)}",
            allowed="one event at a moment",
            fix="aggregate events of the same moment first (mean, sum or count), so that their order cannot matter",
        )
