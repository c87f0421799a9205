"""Minute bars become 5, 10 or 60-minute bars that never cross a session's edge."""

from __future__ import annotations

import polars as pl

from conviction.errors import BarsError, ParameterError
from conviction.frames import BAR_END, SESSION, SYMBOL, check_panel
from conviction.market._aggregates import INTRADAY_KEY
from conviction.market._bars import CheckedBars
from conviction.market._calendar import calendar_frame
from conviction.market._quality import QualityProblem, QualityReport


def bar_grid(calendar: str, sessions: pl.Series, *, minutes: int) -> pl.DataFrame:
    """Return the ends of all bars of the sessions, counted from each session's open.

    Parameters
    ----------
    calendar : str
        Exchange calendar.
    sessions : polars.Series
        Date, any order, repeats allowed.
    minutes : int
        Length of a bar. The last bar of a session ends at the close, even if it is shorter.

    Returns
    -------
    polars.DataFrame
        ``session, position`` (Int64, 0 for the first bar), ``bar_start, bar_end`` Datetime[us, UTC]; sorted.

    Raises
    ------
    ParameterError
        If `minutes` is not a positive integer.
    BarsError
        If a date is not a session.

    Examples
    --------
    >>> from datetime import date
    >>> bar_grid("XNYS", pl.Series([date(2024, 7, 3)]), minutes=60)["bar_end"].dt.strftime("%H:%M").to_list()  # 09:30 to 13:00
    ['14:30', '15:30', '16:30', '17:00']
    """
    _check_minutes(minutes)
    asked = sessions.cast(pl.Date).unique().sort().to_frame(SESSION)
    known = asked.join(calendar_frame(calendar), on=SESSION, how="inner", maintain_order="left").drop("position")
    if known.height < asked.height:
        strangers = asked.join(known, on=SESSION, how="anti")[SESSION]
        raise BarsError(
            what=f"{strangers.len()} dates are not sessions of {calendar}",
            got=strangers[0],
            allowed=f"sessions of {calendar}",
            fix="check the calendar, or quarantine the rows",
        )
    length = pl.duration(minutes=minutes)
    whole = ((pl.col("close") - pl.col("open")).dt.total_minutes() + minutes - 1) // minutes
    return (
        known.with_columns(pl.int_ranges(0, whole, dtype=pl.Int64).alias("position"))
        .explode("position")
        .with_columns((pl.col("open") + length * pl.col("position")).alias("bar_start"))
        .with_columns(pl.min_horizontal(pl.col("bar_start") + length, "close").alias(BAR_END))
        .select(SESSION, "position", "bar_start", BAR_END)
    )


def resample_bars(bars: pl.DataFrame, *, minutes: int, calendar: str) -> pl.DataFrame:
    """Build longer bars from minute bars, counted from the open of each session.

    Parameters
    ----------
    bars : polars.DataFrame
        Minute bars inside regular hours: ``symbol, session, bar_end`` (end of the minute), ``close`` and any of
        ``open, high, low, volume, transactions``.
    minutes : int
        Length of the new bars, such as 5, 10 or 60.
    calendar : str
        Exchange calendar.

    Returns
    -------
    polars.DataFrame
        The same columns. ``bar_end`` is the end of the whole bar, the moment it is known; the last bar of a session ends at its close.
        Open of the first minute, close of the last, highest high, lowest low, sums of volume and transactions. A bar in which the symbol did
        not trade has no row: nothing is filled.

    Raises
    ------
    BarsError
        If a bar lies outside its session.
    ParameterError
        If `minutes` is not a positive integer.
    FrameError
        If the bars are not sorted and unique by symbol, session, bar_end.

    Examples
    --------
    >>> from datetime import UTC, date, datetime
    >>> ends = [datetime(2024, 7, 3, 13, 31, tzinfo=UTC), datetime(2024, 7, 3, 13, 35, tzinfo=UTC)]
    >>> bars = pl.DataFrame({"symbol": ["A", "A"], "session": [date(2024, 7, 3)] * 2, "bar_end": ends, "close": [1.0, 2.0]})
    >>> resample_bars(bars, minutes=5, calendar="XNYS").rows()
    [('A', datetime.date(2024, 7, 3), datetime.datetime(2024, 7, 3, 13, 35, tzinfo=zoneinfo.ZoneInfo(key='UTC')), 2.0)]
    """
    _check_minutes(minutes)
    check_panel(bars, name="minute bars", required=["close"], key=INTRADAY_KEY)
    edges = calendar_frame(calendar).select(SESSION, pl.col("open").alias("_opens"), pl.col("close").alias("_closes"))
    placed = bars.join(edges, on=SESSION, how="left", maintain_order="left")
    inside = (pl.col(BAR_END) > pl.col("_opens")) & (pl.col(BAR_END) <= pl.col("_closes"))
    outside = placed.filter(~inside.fill_null(value=False))
    if not outside.is_empty():
        raise BarsError(
            what=f"{outside.height} minute bars lie outside their session",
            got=outside.select(INTRADAY_KEY).row(0),
            allowed="bars that end after the open and not after the close",
            fix="parse the files with hours='regular'",
        )
    length = pl.duration(minutes=minutes)
    # A minute that ends at 09:35 belongs to the bar that ends at 09:35, hence one microsecond back before counting.
    number = (pl.col(BAR_END) - pl.col("_opens") - pl.duration(microseconds=1)).dt.total_microseconds() // (
        minutes * 60_000_000
    )
    end = pl.min_horizontal(pl.col("_opens") + length * (number + 1), "_closes").alias("_end")
    how = {
        "open": pl.col("open").first(),
        "high": pl.col("high").max(),
        "low": pl.col("low").min(),
        "close": pl.col("close").last(),
        "volume": pl.col("volume").sum(),
        "transactions": pl.col("transactions").sum(),
    }
    columns = [c for c in bars.columns if c in how]
    return (
        placed.with_columns(end)
        .group_by(SYMBOL, SESSION, "_end", maintain_order=True)
        .agg(*[how[c] for c in columns])
        .rename({"_end": BAR_END})
    )


def check_intraday_bars(raw: pl.DataFrame, *, calendar: str, minutes: int, source: str = "minute bars") -> CheckedBars:
    """Check minute bars and return them as longer bars, the intraday counterpart of `check_bars`.

    Parameters
    ----------
    raw : polars.DataFrame
        ``symbol, session, bar_end, close`` and any of ``open, high, low, volume, transactions`` in any order, as
        `parse_aggregates` gives them: what is wrong with a single minute was named there.
    calendar : str
        Exchange calendar.
    minutes : int
        Length of the bars, such as 5, 10 or 60.
    source : str
        What the data are called in the report.

    Returns
    -------
    CheckedBars
        Bars of that length, Float64, and a report whose facts count what was put together. A symbol that traded in fewer than half
        of the bars of a session is a warning, by symbol: its windows and labels have holes.

    Raises
    ------
    BarsError
        If a minute lies outside its session.
    FrameError
        If a column is missing, or a symbol has two rows of one minute.
    ParameterError
        If `minutes` is not a positive integer.

    Examples
    --------
    >>> from datetime import UTC, date, datetime
    >>> ends = [datetime(2024, 7, 3, 13, 31, tzinfo=UTC), datetime(2024, 7, 3, 13, 35, tzinfo=UTC)]
    >>> raw = pl.DataFrame({"symbol": ["A", "A"], "session": [date(2024, 7, 3)] * 2, "bar_end": ends, "close": [1.0, 2.0]})
    >>> checked = check_intraday_bars(raw, calendar="XNYS", minutes=60)
    >>> checked.bars["close"].to_list(), [problem.name for problem in checked.quality.problems]
    ([2.0], ['sparse_bars'])
    """
    bars = resample_bars(raw.sort(INTRADAY_KEY), minutes=minutes, calendar=calendar)
    bars = bars.with_columns(pl.selectors.numeric().cast(pl.Float64).fill_nan(None))
    whole = bar_grid(calendar, bars[SESSION], minutes=minutes).group_by(SESSION).len("_whole")
    sparse = (
        bars.group_by(SYMBOL, SESSION)
        .len("_there")
        .join(whole, on=SESSION)
        .filter(pl.col("_there") * 2 < pl.col("_whole"))
        .sort(SYMBOL, SESSION)
        .group_by(SYMBOL, maintain_order=True)
        .agg(pl.len().alias("rows"), pl.col(SESSION).first(), pl.col("_there").first(), pl.col("_whole").first())
    )
    problems = tuple(
        QualityProblem(
            name="sparse_bars",
            severity="warning",
            symbol=row[SYMBOL],
            session=row[SESSION],
            rows=row["rows"],
            value=f"{row['_there']} of {row['_whole']} bars of {minutes} minutes",
            explanation="sessions in which the symbol traded in fewer than half of the bars",
        )
        for row in sparse.iter_rows(named=True)
    )
    report = QualityReport(
        source=source,
        rows=raw.height,
        kept=bars.height,
        symbols=bars[SYMBOL].n_unique(),
        first_session=bars[SESSION].min(),  # type: ignore[arg-type]
        last_session=bars[SESSION].max(),  # type: ignore[arg-type]
        problems=problems,
    )
    return CheckedBars(bars=bars, quality=report)


def _check_minutes(minutes: int) -> None:
    if isinstance(minutes, bool) or not isinstance(minutes, int) or not 1 <= minutes <= 1440:
        raise ParameterError(
            what="the length of a bar is not a number of minutes",
            got=minutes,
            allowed="an integer from 1 to 1440",
            fix="choose 5, 10 or 60",
        )
