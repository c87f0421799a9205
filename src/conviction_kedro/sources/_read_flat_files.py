"""Copied flat files become one frame of bars, with every file's problems named."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import date
from typing import TYPE_CHECKING

import polars as pl

from conviction.errors import BarsError, ParameterError
from conviction.frames import KEY, SYMBOL
from conviction.market import (
    AGGREGATE_ERRORS,
    INTRADAY_KEY,
    ParsedAggregates,
    QualityProblem,
    combine_aggregates,
    exchange_sessions,
    parse_aggregates,
)
from conviction_kedro.sources._flat_files import MANIFEST_NAME
from conviction_kedro.sources._keys import CALENDARS, FlatFileKey, Granularity, Market, flat_file_folder
from conviction_kedro.sources._manifest import FlatFileRecord, Manifest
from conviction_kedro.sources._massive_frames import vendor_ticker, workspace_symbol

if TYPE_CHECKING:
    from conviction_kedro.sources._storage import Storage

_DAMAGED = "damaged_copy"
FLAT_FILE_ERRORS: tuple[str, ...] = tuple(sorted((*AGGREGATE_ERRORS, _DAMAGED)))


def read_flat_files(
    storage: Storage,
    *,
    market: Market,
    granularity: Granularity,
    first: date,
    last: date,
    calendar: str | None = None,
    symbols: Sequence[str] | None = None,
    extended_hours: bool = False,
    as_of: date | None = None,
    allow: Collection[str] = (),
    n_jobs: int = 4,
) -> ParsedAggregates:
    """Read the copied flat files of a span as unadjusted bars.

    Every stored file is held against the manifest's SHA-256 before it is parsed; of a file with several editions the newest
    copied one is read. Files that lie there without a manifest (copied by other means) are read and reported.

    Parameters
    ----------
    storage : Storage
        Where `FlatFileSync` has put the files.
    market : {"stocks", "options", "indices", "forex", "crypto"}
    granularity : {"day", "minute"}
    first, last : datetime.date
        Sessions wanted, both included.
    calendar : str, optional
        Calendar whose sessions are expected; by default the market's.
    symbols : sequence of str, optional
        Our spelling (BRK-B); all by default, which for minutes or options is more than fits into memory.
    extended_hours : bool
        Whether minute bars before the open and after the close are kept.
    as_of : datetime.date, optional
        The day the data were taken; a later session is an error.
    allow : collection of str
        Names among ``conviction.market.AGGREGATE_ERRORS`` and ``damaged_copy``. A file, or the rows, with such a problem are
        left out and the report says so; a problem that is not allowed stops everything, after all files have been looked at.
    n_jobs : int
        Files read at a time; the result does not depend on it.

    Returns
    -------
    conviction.market.ParsedAggregates
        ``bars`` (symbols in our spelling) and the quality report.

    Raises
    ------
    BarsError
        Naming every file with a problem that is not allowed.
    ParameterError
        If a name in `allow` does not exist.
    """
    for name in allow:
        if name not in FLAT_FILE_ERRORS:
            raise ParameterError.from_unknown_name(kind="problem of a flat file", name=name, known=FLAT_FILE_ERRORS)
    folder = flat_file_folder(market, granularity)
    clock = calendar or CALENDARS[market]
    tickers = None if symbols is None else [vendor_ticker(symbol) for symbol in symbols]
    records = Manifest(storage, f"{folder}/{MANIFEST_NAME}").current()
    stored = storage.sizes(folder) if storage.exists(folder) else {}

    def read(session: date) -> tuple[ParsedAggregates | None, list[QualityProblem]]:
        key = str(FlatFileKey(market=market, granularity=granularity, session=session))
        name = records[key].stored if key in records else key
        content, found = (None, []) if name not in stored else _verified(storage, name, records.get(key), session)
        if content is None:
            return None, found
        part = parse_aggregates(
            content,
            key=key,
            kind=granularity,
            calendar=calendar,
            hours="extended" if extended_hours else "regular",
            symbols=tickers,
            as_of=as_of,
            allow=AGGREGATE_ERRORS,
        )
        return replace(part, quality=replace(part.quality, problems=())), [*found, *part.quality.problems]

    # Reading a bucket, unzipping and parsing all leave the interpreter free: threads, in the order of the sessions.
    with ThreadPoolExecutor(max_workers=n_jobs, thread_name_prefix="flat-files") as pool:
        results = list(pool.map(read, exchange_sessions(clock, first, last).to_list()))
    parts = [part for part, _ in results if part is not None]
    problems = [problem for _, found in results for problem in found]
    _refuse(problems, allow=allow, where=storage.uri(folder))
    return _combined(parts, problems, clock=clock, first=first, last=last, allow=allow, where=storage.uri(folder))


def _verified(
    storage: Storage, name: str, record: FlatFileRecord | None, session: date
) -> tuple[bytes | None, list[QualityProblem]]:
    content = storage.read(name)
    if record is None:
        return content, [
            QualityProblem(
                name="not_in_manifest",
                severity="warning",
                symbol=None,
                session=session,
                rows=0,
                value=name,
                explanation="nobody knows when this file was copied and whether it is the vendor's",
            )
        ]
    digest = hashlib.sha256(content).hexdigest()
    if digest == record.sha256:
        return content, []
    return None, [
        QualityProblem(
            name=_DAMAGED,
            severity="error",
            symbol=None,
            session=session,
            rows=0,
            value=f"{name} has SHA-256 {digest[:12]}, the manifest {record.sha256[:12]}",
            explanation="the stored file is not the one that was copied; delete it and copy again",
            quarantined=True,
        )
    ]


def _refuse(problems: list[QualityProblem], *, allow: Collection[str], where: str) -> None:
    stopping = [p for p in problems if p.severity == "error" and p.name not in allow]
    if stopping:
        names = sorted({p.name for p in stopping})
        shown = [
            f"{p.session} {p.name}{f' of {p.symbol}' if p.symbol else ''}: {p.value} ({p.explanation})"
            for p in stopping[:20]
        ]
        more = f"\n... and {len(stopping) - 20} more" if len(stopping) > 20 else ""
        raise BarsError(
            what=f"{len({p.session for p in stopping})} flat files of {where} cannot be used as they are",
            got="\n" + "\n".join(shown) + more,
            allowed="\nfiles without these problems",
            fix=f"copy the files again, or leave them out knowingly with allow={names}",
        )


def _combined(
    parts: list[ParsedAggregates],
    problems: list[QualityProblem],
    *,
    clock: str,
    first: date,
    last: date,
    allow: Collection[str],
    where: str,
) -> ParsedAggregates:
    if not parts:
        raise BarsError(
            what=f"no flat file of {where} can be read",
            got=f"no usable file from {first} to {last}",
            allowed="at least one",
            fix="copy the files first; see docs/how-to/polygon.md",
        )
    # A damaged file is reported as such already; it is not missing too.
    damaged = {p.session for p in problems if p.name == _DAMAGED}
    whole = combine_aggregates(parts, calendar=clock, first=first, last=last, allow={"missing_file"}, source=where)
    found = [p for p in whole.quality.problems if not (p.name == "missing_file" and p.session in damaged)]
    _refuse(found, allow=allow, where=where)
    named = whole.bars.with_columns(
        pl.col(SYMBOL).replace_strict(
            {ticker: workspace_symbol(ticker) for ticker in whole.bars[SYMBOL].unique()}, return_dtype=pl.String
        )
    )
    key = KEY if whole.kind == "day" else INTRADAY_KEY
    report = replace(whole.quality, problems=(*problems, *found))
    return replace(whole, bars=named.sort(*key), quality=report)
