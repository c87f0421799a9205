"""Raw rows in, checked bars and a quality report out."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import date

import polars as pl

from conviction.errors import BarsError, ParameterError, UniverseError
from conviction.frames import KEY, SESSION, SYMBOL, check_panel
from conviction.market._quality import QualityProblem, QualityReport
from conviction.market._rules import ERRORS, span_facts
from conviction.market._screen import screen

PRICES: tuple[str, ...] = ("open", "high", "low", "close")
VALUES: tuple[str, ...] = (*PRICES, "volume")


@dataclass(frozen=True, kw_only=True)
class CheckedBars:
    """Bars that passed the check, and what was found on the way.

    Parameters
    ----------
    bars : polars.DataFrame
        ``symbol, session`` and those of ``open, high, low, close, volume`` that the source has, Float64, sorted, unique.
    quality : QualityReport
        Warnings, facts and what was quarantined.
    """

    bars: pl.DataFrame
    quality: QualityReport


def check_bars(
    raw: pl.DataFrame,
    *,
    calendar: str,
    as_of: date | None = None,
    allow: Collection[str] = frozenset(),
    source: str = "bars",
) -> CheckedBars:
    """Check raw daily rows and return them as bars, or say everything that is wrong at once.

    Parameters
    ----------
    raw : polars.DataFrame
        One row per symbol and session in any order of symbols, each symbol's rows oldest first. ``symbol``; ``session`` or ``date``
        (Date, midnight Datetime or ISO text); ``close``; any of ``open, high, low, volume``. A column that the source lacks stays
        absent. NaN counts as missing. Other columns are left out and reported.
    calendar : str
        Exchange calendar (exchange_calendars), such as ``XNYS``.
    as_of : datetime.date, optional
        The day the data were taken. Later sessions are an error. The library never looks at the clock.
    allow : collection of str
        Names of errors whose rows are quarantined (taken out and reported) instead of stopping the run. ``unsorted_rows`` takes
        nothing out: the rows are sorted. Of exact copies of a row the first is kept; of rows that contradict each other, none.
    source : str
        What the data are called in the report.

    Returns
    -------
    CheckedBars
        Bars sorted by symbol and session, and the quality report.

    Raises
    ------
    BarsError
        If a column is missing or of the wrong type, no row is left, or an error that is not in `allow` was found; the message
        lists all of them.
    ParameterError
        If `allow` or `calendar` has an unknown name.

    Notes
    -----
    A price may exceed its bar's range by one part in a million: vendors adjust the four prices separately, and rounding then
    puts a close a hair above its high. An open outside the range is only a warning (real vendors have them).

    Examples
    --------
    >>> from datetime import date
    >>> raw = pl.DataFrame({"symbol": ["A", "A"], "date": [date(2024, 7, 2), date(2024, 7, 3)], "close": [10.0, 10.5]})
    >>> check_bars(raw, calendar="XNYS").bars.columns
    ['symbol', 'session', 'close']
    """
    unknown = sorted(set(allow) - set(ERRORS))
    if unknown:
        raise ParameterError.from_unknown_name(kind="data problem that can be allowed", name=unknown[0], known=ERRORS)
    checked = _examine(raw, calendar=calendar, as_of=as_of, allow=frozenset(allow), source=source)
    if not checked.quality.passed:
        names = sorted({problem.name for problem in checked.quality.errors})
        raise BarsError(
            what=f"{source} cannot be used: {len(names)} kinds of errors",
            got="\n" + checked.quality.summary(only_errors=True),
            allowed="rows without these",
            fix=f"repair the source, or quarantine the rows knowingly with allow={set(names)}",
        )
    if checked.bars.is_empty():
        raise BarsError(
            what=f"no row of {source} is left",
            got=f"{raw.height} rows in, all quarantined",
            allowed="at least one good row",
            fix="look at the quality report (conviction.market.inspect_bars) and repair the source",
        )
    check_panel(checked.bars, name="bars", required=["close"])
    return checked


def inspect_bars(raw: pl.DataFrame, *, calendar: str, as_of: date | None = None, source: str = "bars") -> QualityReport:
    """Return the quality report of raw rows without raising on what they contain.

    Parameters
    ----------
    raw : polars.DataFrame
        As for `check_bars`.
    calendar : str
        Exchange calendar.
    as_of : datetime.date, optional
        The day the data were taken.
    source : str
        What the data are called in the report.

    Returns
    -------
    QualityReport
        All problems; `passed` says whether `check_bars` would accept the rows.

    Raises
    ------
    BarsError
        If the frame is empty or its columns cannot be read as bars.

    Examples
    --------
    >>> from datetime import date
    >>> raw = pl.DataFrame({"symbol": ["A"], "session": [date(2024, 7, 4)], "close": [-1.0]})
    >>> inspect_bars(raw, calendar="XNYS").names()
    ('non_positive_price', 'not_a_session')
    """
    return _examine(raw, calendar=calendar, as_of=as_of, allow=frozenset(), source=source).quality


def select_universe(bars: pl.DataFrame, symbols: Sequence[str], *, allow_missing: bool) -> pl.DataFrame:
    """Return the bars of the named symbols.

    Parameters
    ----------
    bars : polars.DataFrame
        Checked bars, or any frame with ``symbol``.
    symbols : sequence of str
        The universe; no repeats.
    allow_missing : bool
        Whether a symbol without bars is accepted. The caller records who is missing.

    Returns
    -------
    polars.DataFrame
        Rows of the universe in their order.

    Raises
    ------
    UniverseError
        If the universe is empty, has repeats, or a symbol has no bars and that is not allowed.

    Examples
    --------
    >>> select_universe(pl.DataFrame({"symbol": ["A", "B"]}), ["B"], allow_missing=False)["symbol"].to_list()
    ['B']
    """
    if not symbols:
        raise UniverseError(
            what="the universe is empty",
            got="0 symbols",
            allowed="at least one symbol",
            fix="name symbols, or a universe from conf that has some",
        )
    repeated = sorted({symbol for symbol in symbols if list(symbols).count(symbol) > 1})
    if repeated:
        raise UniverseError(
            what="the universe names a symbol more than once",
            got=repeated[:5],
            allowed="each symbol once",
            fix="remove the repeats",
        )
    present = set(bars[SYMBOL].unique().to_list())
    missing = sorted(set(symbols) - present)
    if len(missing) == len(symbols) or (missing and not allow_missing):
        raise UniverseError(
            what=f"{len(missing)} of {len(symbols)} symbols of the universe have no bars",
            got=f"no rows for {missing[:10]}",
            allowed=f"symbols among the {len(present)} of the bars, such as {sorted(present)[:5]}",
            fix="correct the symbols, load their bars, or set allow_missing to true and accept the smaller universe",
        )
    return bars.filter(pl.col(SYMBOL).is_in(list(symbols)))


def _examine(
    raw: pl.DataFrame, *, calendar: str, as_of: date | None, allow: frozenset[str], source: str
) -> CheckedBars:
    if raw.is_empty():
        raise BarsError(
            what=f"{source} has no rows",
            got="0 rows",
            allowed="at least one row",
            fix="check the source and the date span",
        )
    rows, ignored = _normalised(raw, source=source)
    good, problems = screen(rows, calendar=calendar, as_of=as_of, allow=allow)
    good = good.sort(*KEY)
    if ignored:
        problems.append(_ignored_columns(ignored))
    if not any(p.severity == "error" and not p.quarantined for p in problems):
        problems += span_facts(good, calendar=calendar)
    report = QualityReport(
        source=source,
        rows=rows.height,
        kept=good.height,
        symbols=rows[SYMBOL].n_unique(),
        first_session=rows[SESSION].min(),  # type: ignore[arg-type]
        last_session=rows[SESSION].max(),  # type: ignore[arg-type]
        problems=tuple(problems),
    )
    return CheckedBars(bars=good, quality=report)


def _ignored_columns(columns: list[str]) -> QualityProblem:
    return QualityProblem(
        name="ignored_columns",
        severity="info",
        symbol=None,
        session=None,
        rows=0,
        value=", ".join(columns[:10]),
        explanation="bars have prices and volume only; other columns were left out",
    )


def _normalised(raw: pl.DataFrame, *, source: str) -> tuple[pl.DataFrame, list[str]]:
    frame = raw
    if SESSION not in frame.columns and "date" in frame.columns:
        frame = frame.rename({"date": SESSION})
    missing = [column for column in (SYMBOL, SESSION, "close") if column not in frame.columns]
    if missing:
        raise BarsError(
            what=f"{source} lacks the columns {missing}",
            got=raw.columns,
            allowed="symbol, session (or date), close and any of open, high, low, volume",
            fix="rename the columns where the file is read",
        )
    present = [column for column in VALUES if column in frame.columns]
    ignored = [column for column in frame.columns if column not in (*KEY, *VALUES)]
    for column in present:
        if not frame.schema[column].is_numeric():
            raise BarsError(
                what=f"{source}.{column} is not a number",
                got=frame.schema[column],
                allowed="a numeric column",
                fix="read the column as float; text such as 'null' or '1,234' must be repaired at the edge",
            )
    values = [pl.col(column).cast(pl.Float64).fill_nan(None) for column in present]
    rows = frame.select(
        pl.col(SYMBOL).cast(pl.String), _session_column(frame.get_column(SESSION), source=source), *values
    )
    for column in KEY:
        if rows[column].null_count():
            raise BarsError(
                what=f"{source}.{column} has missing values",
                got=f"{rows[column].null_count()} of {rows.height} rows",
                allowed="every row names its symbol and session",
                fix="a symbol such as 'NA' or 'NULL' read as missing is usual: read the column as text without missing markers",
            )
    return rows, ignored


def _session_column(column: pl.Series, *, source: str) -> pl.Series:
    if column.dtype == pl.Date:
        return column
    if isinstance(column.dtype, pl.Datetime) and column.dtype.time_zone is None:
        days = column.dt.date()
        if (days.cast(column.dtype) == column).fill_null(value=True).all():
            return days.alias(SESSION)
    elif column.dtype == pl.String:
        days = column.str.to_date("%Y-%m-%d", strict=False)
        if days.null_count() == column.null_count():
            return days.alias(SESSION)
    first = column.drop_nulls().head(1).to_list()
    raise BarsError(
        what=f"{source}.session cannot be read as the exchange's date",
        got=f"{column.dtype}, first value {first}",
        allowed="Date, Datetime without time zone at midnight, or text YYYY-MM-DD",
        fix="convert moments to the exchange's time zone and take the date, where the file is read",
    )
