"""News, macro releases and company events become panel columns, each as it stood at the decision."""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl

from conviction.errors import FrameError, PointInTimeError
from conviction.frames import KEY, SESSION, SYMBOL, UTC, check_columns
from conviction.panel._asof import DECISION_AT, asof_join, known_moments

_KNOWN = "_known_at"


def add_news(panel: pl.DataFrame, news: pl.DataFrame, *, known_at: str, score: str, source: str | None) -> pl.DataFrame:
    """Add what was published between the previous decision and this one.

    Parameters
    ----------
    panel : polars.DataFrame
        Point-in-time panel with ``decision_at``.
    news : polars.DataFrame
        One row an item and symbol, any order: ``symbol``, `known_at`, `score` and perhaps `source`. Items may share a moment.
    known_at : str
        Moment of publication, with a time zone.
    score : str
        Sentiment from -1 to 1; null where an item has none: it is counted, but says nothing.
    source : str or None
        Column that names who published.

    Returns
    -------
    polars.DataFrame
        The panel's rows in their order, plus ``news_score`` Float64 (mean sentiment of the items, null without any),
        ``news_count`` Float64 and, with `source`, ``news_source`` (who published most items; ties by name). An item belongs to the
        symbol's first row whose decision is not before it. Rows whose window begins before the first item of the whole source (nobody was
        listening), and the first row of a symbol (its window has no beginning), have nulls; later rows without items have a count of 0.

    Raises
    ------
    PointInTimeError
        If `known_at` is not a moment in every row.
    FrameError
        If a column is missing, a score lies outside -1 to 1, or the panel has news already.

    Examples
    --------
    >>> from datetime import UTC, date, datetime
    >>> days = [date(2024, 7, d) for d in (1, 2, 3)]
    >>> panel = pl.DataFrame({
    ...     "symbol": ["A"] * 3, "session": days, "decision_at": [datetime(2024, 7, d, 20, tzinfo=UTC) for d in (1, 2, 3)]
    ... })
    >>> moments = [datetime(2024, 7, 1, 12, tzinfo=UTC), datetime(2024, 7, 2, 20, 0, 1, tzinfo=UTC)]
    >>> news = pl.DataFrame({"symbol": ["A", "A"], "at": moments, "score": [1.0, -1.0]})
    >>> add_news(panel, news, known_at="at", score="score", source=None)["news_score"].to_list()
    [None, None, -1.0]
    """
    check_columns(panel, [*KEY, DECISION_AT], name="panel")
    check_columns(news, [SYMBOL, known_at, score, *([] if source is None else [source])], name="news")
    _refuse_columns(panel, ["news_score", "news_count", *([] if source is None else ["news_source"])])
    outside = news.filter((pl.col(score).abs() > 1.0) | pl.col(score).is_nan())
    if not outside.is_empty():
        raise FrameError(
            what=f"news.{score} is not a sentiment",
            got=outside[score][0],
            allowed="-1 to 1, or null",
            fix="scale the source's scores to -1 (bad) .. 1 (good)",
        )
    named = [] if source is None else [pl.col(source).cast(pl.String).alias("_source")]
    items = news.select(SYMBOL, pl.col(score).cast(pl.Float64).alias("_score"), *named).with_columns(
        known_moments(news, known_at).alias(_KNOWN)
    )
    rows = panel.select(*KEY, DECISION_AT).sort(SYMBOL, DECISION_AT)
    rows = rows.with_columns(pl.col(DECISION_AT).shift(1).over(SYMBOL).alias("_since"))
    placed = items.sort(_KNOWN, maintain_order=True).join_asof(
        rows.sort(DECISION_AT),
        left_on=_KNOWN,
        right_on=DECISION_AT,
        by=SYMBOL,
        strategy="forward",
        check_sortedness=False,
    )
    daily = (
        placed.drop_nulls(SESSION)
        .group_by(*KEY)
        .agg(pl.col("_score").mean().alias("news_score"), pl.len().cast(pl.Float64).alias("news_count"))
    )
    if source is not None:
        daily = daily.join(_busiest(placed), on=KEY, how="left")
    first = items[_KNOWN].min()
    heard = (
        pl.lit(value=False) if first is None else (pl.col("_since") >= pl.lit(first, dtype=UTC)).fill_null(value=False)
    )
    found = rows.join(daily, on=KEY, how="left").with_columns(pl.col("news_count").fill_null(0.0))
    columns = [c for c in ("news_score", "news_count", "news_source") if c in found.columns]
    found = found.select(*KEY, *[pl.when(heard).then(pl.col(c)).alias(c) for c in columns])
    return panel.join(found, on=KEY, how="left", maintain_order="left")


def newest_period(releases: pl.DataFrame, *, by: Sequence[str], known_at: str, period: str) -> pl.DataFrame:
    """Keep the releases that changed what the newest figure of a series was: revisions of older periods are left out.

    Without it an as-of join is wrong although it is point in time: a revision of March, published after the first figure of April, would be
    taken for the newest value.

    Parameters
    ----------
    releases : polars.DataFrame
        One row a publication of a value (first release or revision), any order.
    by : sequence of str
        What names a series.
    known_at : str
        Moment of publication, with a time zone.
    period : str
        The period that the value speaks about; later sorts higher.

    Returns
    -------
    polars.DataFrame
        Rows sorted by `by` and `known_at`, at most one for each moment of a series, periods never going back.

    Raises
    ------
    PointInTimeError
        If `known_at` is not a moment in every row, or a period has two figures at one moment.
    FrameError
        If a column is missing or a period is.

    Examples
    --------
    >>> from datetime import UTC, datetime
    >>> moments = [datetime(2024, m, 10, tzinfo=UTC) for m in (4, 5, 6)]
    >>> releases = pl.DataFrame({"at": moments, "month": ["2024-03", "2024-04", "2024-03"], "value": [1.0, 2.0, 1.1]})
    >>> newest_period(releases, by=[], known_at="at", period="month")["value"].to_list()
    [1.0, 2.0]
    """
    check_columns(releases, [*by, known_at, period], name="releases")
    if releases[period].null_count():
        raise FrameError(
            what=f"releases.{period} is missing in some rows",
            got=f"{releases[period].null_count()} nulls",
            allowed="the period that each value speaks about",
            fix="drop values of unknown period",
        )
    ordered = releases.with_columns(known_moments(releases, known_at).alias(_KNOWN)).sort(
        *by, _KNOWN, period, maintain_order=True
    )
    same = ordered.filter(pl.struct(*by, _KNOWN, period).is_duplicated())
    if not same.is_empty():
        raise PointInTimeError(
            what="two figures of one period were published at the same moment",
            got=same.select(*by, known_at, period).row(0),
            allowed="one figure of a period at a moment",
            fix="keep the one that the source holds valid",
        )
    if by:
        highest = pl.col(period).rank("dense").cum_max().over(by)
        rank = pl.col(period).rank("dense").over(by)
    else:
        highest, rank = pl.col(period).rank("dense").cum_max(), pl.col(period).rank("dense")
    kept = ordered.filter(rank == highest)
    return kept.unique([*by, _KNOWN], keep="last", maintain_order=True).drop(_KNOWN)


def add_macro(
    panel: pl.DataFrame, releases: pl.DataFrame, *, series: str, known_at: str, period: str, value: str
) -> pl.DataFrame:
    """Add each macroeconomic series as it was published by the decision.

    Parameters
    ----------
    panel : polars.DataFrame
        Point-in-time panel with ``decision_at``.
    releases : polars.DataFrame
        One row a publication (vintages included): `series`, `known_at`, `period`, `value`.
    series : str
        Column with the series' identifier, such as ``UNRATE``.
    known_at : str
        Moment of publication, with a time zone; not the reference period.
    period : str
        The period that the value speaks about.
    value : str
        The figure; null means that the source withdrew it.

    Returns
    -------
    polars.DataFrame
        The panel's rows plus ``macro_{identifier in lower case}`` Float64 for each series, sorted by name: the newest period's figure,
        in its newest vintage, known at the decision.

    Raises
    ------
    PointInTimeError
        If `known_at` is not a moment in every row.
    FrameError
        If a column is missing, or the panel has one of the series already.

    Examples
    --------
    >>> from datetime import UTC, datetime
    >>> panel = pl.DataFrame({"symbol": ["A"], "decision_at": [datetime(2024, 7, 2, 20, tzinfo=UTC)]})
    >>> releases = pl.DataFrame({
    ...     "id": ["UNRATE", "UNRATE"], "month": ["2024-05", "2024-06"], "value": [4.0, 4.1],
    ...     "at": [datetime(2024, 6, 7, 12, 30, tzinfo=UTC), datetime(2024, 7, 5, 12, 30, tzinfo=UTC)],
    ... })
    >>> add_macro(panel, releases, series="id", known_at="at", period="month", value="value")["macro_unrate"].to_list()
    [4.0]
    """
    check_columns(releases, [series, known_at, period, value], name="releases")
    newest = newest_period(releases, by=[series], known_at=known_at, period=period)
    names = sorted({str(name) for name in newest[series].drop_nulls().unique()})
    _refuse_columns(panel, [f"macro_{name.lower()}" for name in names])
    joined = panel
    for name in names:
        column = f"macro_{name.lower()}"
        one = newest.filter(pl.col(series) == name).select(
            known_at, pl.col(value).cast(pl.Float64).fill_nan(None).alias(column)
        )
        joined = asof_join(joined, one, by=[], known_at=known_at, values=[column])
    return joined


def add_events(
    panel: pl.DataFrame, schedule: pl.DataFrame, *, known_at: str, event_date: str, event: str | None
) -> pl.DataFrame:
    """Add the next announced and the last past event of each company, as the schedule stood at the decision.

    Parameters
    ----------
    panel : polars.DataFrame
        Point-in-time panel with ``decision_at``.
    schedule : polars.DataFrame
        One row an announcement: ``symbol``, `known_at`, `event_date`.
    known_at : str
        Moment at which that date was announced, with a time zone.
    event_date : str
        Date of the event; null cancels it.
    event : str or None
        Column that names the event (such as a quarter), so that a later announcement moves it. None: every row is an event of its own.

    Returns
    -------
    polars.DataFrame
        The panel's rows in their order, plus ``event_next`` (first event on the session or later) and ``event_last`` (newest event before the
        session), Date, null where none was known.

    Raises
    ------
    PointInTimeError
        If `known_at` is not a moment in every row, or an event has two dates at one moment.
    FrameError
        If a column is missing or of the wrong type, or the panel has events already.

    Examples
    --------
    >>> from datetime import UTC, date, datetime
    >>> panel = pl.DataFrame({
    ...     "symbol": ["A"], "session": [date(2024, 7, 2)], "decision_at": [datetime(2024, 7, 2, 20, tzinfo=UTC)]
    ... })
    >>> schedule = pl.DataFrame({"symbol": ["A"], "at": [datetime(2024, 6, 1, tzinfo=UTC)], "day": [date(2024, 7, 30)]})
    >>> add_events(panel, schedule, known_at="at", event_date="day", event=None)["event_next"].to_list()
    [datetime.date(2024, 7, 30)]
    """
    check_columns(panel, [*KEY, DECISION_AT], name="panel")
    check_columns(schedule, [SYMBOL, known_at, event_date, *([] if event is None else [event])], name="schedule")
    _refuse_columns(panel, ["event_next", "event_last"])
    if schedule.schema[event_date] != pl.Date:
        raise FrameError(
            what=f"schedule.{event_date} is not a date",
            got=schedule.schema[event_date],
            allowed="Date",
            fix="cast the column where the source is read",
        )
    name = pl.int_range(pl.len()).alias("_event") if event is None else pl.col(event).alias("_event")
    announced = schedule.select(SYMBOL, pl.col(event_date).alias("_day"), name).with_columns(
        known_moments(schedule, known_at).alias(_KNOWN)
    )
    tied = announced.filter(pl.struct(SYMBOL, "_event", _KNOWN).is_duplicated())
    if not tied.is_empty():
        raise PointInTimeError(
            what="two dates of one event were announced at the same moment",
            got=tied.row(0),
            allowed="one date of an event at a moment",
            fix="keep the one that the source holds valid",
        )
    # An announcement holds until the next one on the same event.
    announced = announced.sort(_KNOWN, descending=True, maintain_order=True).with_columns(
        pl.col(_KNOWN).shift(1).over(SYMBOL, "_event").alias("_until")
    )
    by_symbol = announced.drop_nulls("_day").partition_by(SYMBOL, as_dict=True)
    found = [
        _events_of_symbol(rows, by_symbol[key])
        for key, rows in panel.select(*KEY, DECISION_AT).partition_by(SYMBOL, as_dict=True).items()
        if key in by_symbol
    ]
    dates = {"event_next": pl.Date, "event_last": pl.Date}
    empty = pl.DataFrame(schema={SYMBOL: pl.String, SESSION: pl.Date, **dates})
    return panel.join(pl.concat([empty, *found]), on=KEY, how="left", maintain_order="left")


def _events_of_symbol(rows: pl.DataFrame, announced: pl.DataFrame) -> pl.DataFrame:
    # One symbol at a time keeps the product of rows and announcements small.
    pairs = rows.join(announced.drop(SYMBOL), how="cross").filter(
        (pl.col(_KNOWN) <= pl.col(DECISION_AT))
        & (pl.col("_until").is_null() | (pl.col("_until") > pl.col(DECISION_AT)))
    )
    day, session = pl.col("_day"), pl.col(SESSION)
    return pairs.group_by(*KEY).agg(
        day.filter(day >= session).min().alias("event_next"), day.filter(day < session).max().alias("event_last")
    )


def _busiest(placed: pl.DataFrame) -> pl.DataFrame:
    counts = placed.drop_nulls([SESSION, "_source"]).group_by(*KEY, "_source").len()
    ordered = counts.sort("len", "_source", descending=[True, False])
    return ordered.group_by(*KEY, maintain_order=True).agg(pl.col("_source").first().alias("news_source"))


def _refuse_columns(panel: pl.DataFrame, names: Sequence[str]) -> None:
    there = [name for name in names if name in panel.columns]
    if there:
        raise FrameError(
            what="the panel has these columns already",
            got=there,
            allowed="a panel without them",
            fix="add each source once",
        )
