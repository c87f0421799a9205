"""Vendor flat files of day and minute aggregates become checked bars."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass, replace
from datetime import date

import polars as pl

from conviction.errors import BarsError, ParameterError
from conviction.frames import BAR_END, KEY, SESSION, SYMBOL, UTC
from conviction.market._calendar import calendar_timezone, exchange_sessions
from conviction.market._clock import CLOCK_ERRORS, Hours, on_the_clock, partial_session, within_session
from conviction.market._flat_file import FILE_ERRORS, AggregateKind, FileName, read_key, read_rows
from conviction.market._quality import QualityProblem, QualityReport
from conviction.market._rules import ERRORS
from conviction.market._screen import screen

INTRADAY_KEY: tuple[str, ...] = (SYMBOL, SESSION, BAR_END)
AGGREGATE_ERRORS: tuple[str, ...] = tuple(sorted({*ERRORS, *FILE_ERRORS, *CLOCK_ERRORS, "missing_file"}))
# A day file with less than this share of the usual number of tickers was cut.
_PARTIAL_SHARE = 0.5


@dataclass(frozen=True, kw_only=True)
class ParsedAggregates:
    """Bars of one or more flat files, and what was found in them.

    Parameters
    ----------
    bars : polars.DataFrame
        Day: ``symbol, session, open, high, low, close, volume, transactions``. Minute: also ``bar_end`` Datetime[us, UTC], the moment the
        bar is complete. Prices and volume Float64 (the vendor counts fractions of shares), unadjusted. Sorted, unique.
    quality : QualityReport
        Everything that was found; `source` is the key.
    kind : {"day", "minute"}
        What the bars are.
    sessions : tuple of datetime.date
        Sessions of the files, quarantined ones included.
    """

    bars: pl.DataFrame
    quality: QualityReport
    kind: AggregateKind
    sessions: tuple[date, ...]


def parse_aggregates(
    data: bytes,
    *,
    key: str,
    kind: AggregateKind,
    calendar: str | None = None,
    hours: Hours = "regular",
    symbols: Collection[str] | None = None,
    as_of: date | None = None,
    allow: Collection[str] = frozenset(),
) -> ParsedAggregates:
    r"""Parse one Polygon (Massive) flat file of day or minute aggregates.

    Parameters
    ----------
    data : bytes
        Content of the ``.csv.gz``: ``ticker,volume,open,close,high,low,window_start,transactions``, found by name.
    key : str
        The vendor's key, such as ``us_stocks_sip/day_aggs_v1/2024/07/2024-07-03.csv.gz``. The session is the key's; each row's
        ``window_start`` (UTC nanoseconds; day bars start at midnight in New York) is checked against it.
    kind : {"day", "minute"}
        What the caller expects the key to be.
    calendar : str, optional
        Exchange calendar; by default that of the key's market (XNYS, 24/5 for forex, 24/7 for crypto).
    hours : {"regular", "extended"}
        Minute bars kept: those inside the session (early closes respected), or all from 04:00 to 20:00 in New York.
    symbols : collection of str, optional
        Only these tickers; others are neither kept nor checked.
    as_of : datetime.date, optional
        The day the data were taken; a later session is an error.
    allow : collection of str
        Names of errors to quarantine: rows are taken out; an unreadable file gives no rows and is reported.

    Returns
    -------
    ParsedAggregates
        Unadjusted bars and the quality report.

    Raises
    ------
    BarsError
        If an error was found that is not in `allow`; the message lists all.
    ParameterError
        If `allow` has an unknown name.

    Examples
    --------
    >>> import gzip
    >>> text = "ticker,volume,open,close,high,low,window_start,transactions\nNA,10.5,1,1.5,2,1,1719979200000000000,3\n"
    >>> key = "us_stocks_sip/day_aggs_v1/2024/07/2024-07-03.csv.gz"
    >>> parse_aggregates(gzip.compress(text.encode()), key=key, kind="day").bars["symbol"].to_list()
    ['NA']
    """
    unknown = sorted(set(allow) - set(AGGREGATE_ERRORS))
    if unknown:
        raise ParameterError.from_unknown_name(
            kind="data problem that can be allowed", name=unknown[0], known=AGGREGATE_ERRORS
        )
    name = read_key(key, kind=kind)
    rows, problems = read_rows(data, name=name)
    total = 0 if rows is None else rows.height
    if rows is None:
        bars = empty_bars(kind)
    else:
        if kind == "minute":
            problems += partial_session(rows["window_start"], name=name, calendar=calendar or name.clock.calendar)
        if symbols is not None:
            rows = rows.filter(pl.col("ticker").is_in(list(symbols)))
        bars, found = _bars(
            rows, name=name, calendar=calendar or name.clock.calendar, hours=hours, as_of=as_of, allow=allow
        )
        problems += found
    problems = [replace(p, quarantined=p.quarantined or (p.severity == "error" and p.name in allow)) for p in problems]
    report = QualityReport(
        source=key,
        rows=total,
        kept=bars.height,
        symbols=0 if rows is None else rows["ticker"].n_unique(),
        first_session=name.session,
        last_session=name.session,
        problems=tuple(problems),
    )
    _raise_errors(report)
    return ParsedAggregates(bars=bars, quality=report, kind=kind, sessions=(name.session,))


def combine_aggregates(
    parts: Iterable[ParsedAggregates],
    *,
    calendar: str,
    first: date,
    last: date,
    allow: Collection[str] = frozenset(),
    source: str = "flat files",
) -> ParsedAggregates:
    """Put the files of a span together and say which sessions are missing.

    Parameters
    ----------
    parts : iterable of ParsedAggregates
        Files of one kind, any order, each session once.
    calendar : str
        Exchange calendar that says which sessions to expect.
    first, last : datetime.date
        Span, both included.
    allow : collection of str
        ``missing_file`` accepts sessions without a file; they are reported.
    source : str
        What the files are called in the report.

    Returns
    -------
    ParsedAggregates
        All bars sorted; the report has every part's problems, a ``missing_file`` for each expected session without a file, and
        a ``partial_file`` warning for a session with under half the usual number of symbols.

    Raises
    ------
    BarsError
        If there is no part, kinds are mixed, a session comes twice or lies outside the span, or a session has no file and that is not allowed.

    Examples
    --------
    >>> from datetime import date
    >>> combine_aggregates([], calendar="XNYS", first=date(2024, 7, 3), last=date(2024, 7, 3))
    Traceback (most recent call last):
        ...
    conviction.errors.BarsError: flat files cannot be combined: got 0 files...
    """
    files = sorted(parts, key=lambda part: part.sessions)
    kinds = sorted({part.kind for part in files})
    sessions = [session for part in files for session in part.sessions]
    if len(kinds) != 1 or len(set(sessions)) != len(sessions) or sessions[0] < first or sessions[-1] > last:
        raise BarsError(
            what=f"{source} cannot be combined",
            got=f"{len(files)} files of kinds {kinds}, {len(sessions) - len(set(sessions))} sessions repeated",
            allowed=f"files of one kind, each session once, from {first} to {last}",
            fix="parse each session's file once; of replaced files keep one version",
        )
    problems = [problem for part in files for problem in part.quality.problems]
    problems += _missing_files(sessions, expected=exchange_sessions(calendar, first, last).to_list(), allow=allow)
    problems += _partial_files(files)
    key = KEY if kinds[0] == "day" else INTRADAY_KEY
    bars = pl.concat([part.bars for part in files], how="diagonal").sort(*key)
    report = QualityReport(
        source=source,
        rows=sum(part.quality.rows for part in files),
        kept=bars.height,
        symbols=bars[SYMBOL].n_unique(),
        first_session=sessions[0],
        last_session=sessions[-1],
        problems=tuple(problems),
    )
    _raise_errors(report)
    return ParsedAggregates(bars=bars, quality=report, kind=files[0].kind, sessions=tuple(sessions))


def empty_bars(kind: AggregateKind) -> pl.DataFrame:
    """Return bars without rows, with the columns and dtypes of the kind."""
    end = {} if kind == "day" else {BAR_END: UTC}
    values = dict.fromkeys(("open", "high", "low", "close", "volume"), pl.Float64)
    return pl.DataFrame(schema={SYMBOL: pl.String, SESSION: pl.Date, **end, **values, "transactions": pl.Int64})


def _bars(
    rows: pl.DataFrame,
    *,
    name: FileName,
    calendar: str,
    hours: Hours,
    as_of: date | None,
    allow: Collection[str],
) -> tuple[pl.DataFrame, list[QualityProblem]]:
    zone = name.clock.zone or calendar_timezone(calendar)
    start = pl.from_epoch("window_start", time_unit="ns").dt.replace_time_zone("UTC")
    timed = rows.with_columns(
        pl.col("ticker").alias(SYMBOL),
        pl.lit(name.session, dtype=pl.Date).alias(SESSION),
        start.dt.convert_time_zone(zone).alias("_local"),
        (start.cast(UTC) + pl.duration(minutes=1)).alias(BAR_END),
    )
    timed, problems = on_the_clock(timed, name=name, allow=allow)
    key = KEY if name.kind == "day" else INTRADAY_KEY
    values = [c for c in ("open", "high", "low", "close", "volume") if c in timed.columns]
    counts = [c for c in ("transactions",) if c in timed.columns]
    clean = timed.select(*key, *[pl.col(c).fill_nan(None) for c in values], *counts)
    # Ten equal closes are ordinary in minutes, and one file has one row of a symbol a day: nothing to be out of order with.
    skip = ("stale_close", "price_jump") if name.kind == "minute" else ("unsorted_rows",)
    good, found = screen(clean, calendar=calendar, as_of=as_of, allow=allow, key=key, skip=skip)
    problems += found
    if name.kind == "minute":
        good, found = within_session(good, name=name, calendar=calendar, hours=hours)
        problems += found
    return good.sort(*key), problems


def _missing_files(sessions: list[date], *, expected: list[date], allow: Collection[str]) -> list[QualityProblem]:
    missing = sorted(set(expected) - set(sessions))
    return [
        QualityProblem(
            name="missing_file",
            severity="error",
            symbol=None,
            session=session,
            rows=0,
            value="no file",
            explanation="the exchange had a session, and no file of it was given",
            quarantined="missing_file" in allow,
        )
        for session in missing
    ]


def _partial_files(files: list[ParsedAggregates]) -> list[QualityProblem]:
    counts = sorted(part.bars[SYMBOL].n_unique() for part in files)
    usual = counts[len(counts) // 2]
    return [
        QualityProblem(
            name="partial_file",
            severity="warning",
            symbol=None,
            session=part.sessions[0],
            rows=part.bars.height,
            value=f"{part.bars[SYMBOL].n_unique()} symbols, usually {usual}",
            explanation="the file has under half the usual number of symbols: cut, quarantined or published too early",
        )
        for part in files
        if part.bars[SYMBOL].n_unique() < _PARTIAL_SHARE * usual
    ]


def _raise_errors(report: QualityReport) -> None:
    if not report.passed:
        names = sorted({problem.name for problem in report.errors})
        raise BarsError(
            what=f"{report.source} cannot be used: {len(names)} kinds of errors",
            got="\n" + report.summary(only_errors=True),
            allowed="files without these",
            fix=f"copy the file again, or quarantine it knowingly with allow={set(names)}",
        )
