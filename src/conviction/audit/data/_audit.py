"""`audit_dataset`: every check over one foreign dataset, and the report."""

from __future__ import annotations

import time
import warnings
from collections.abc import Mapping
from typing import Any

import numpy as np
import polars as pl

from conviction.audit._report import AuditReport, CheckRun, DatasetFacts, Finding
from conviction.audit.data._context import Context, SkipCheckError
from conviction.audit.data._panel import Panel
from conviction.audit.data._profiles import lead_lag_profiles
from conviction.audit.data._quality import quality_summary
from conviction.audit.data._registry import DATA_CHECKS
from conviction.audit.data._sources import Sources
from conviction.audit.data._table import ROW, Table, clean_rows, panel_of, read_table
from conviction.errors import AuditError
from conviction.frames import fingerprint
from conviction.market import calendar_frame
from conviction.observer import Observer, SilentObserver

_RANK = {"error": 0, "warning": 1, "info": 2}


def audit_dataset(
    frame: Any,
    *,
    sources: Mapping[str, Any] | None = None,
    targets: Mapping[str, int] | None = None,
    reference: Any = None,
    calendar: str = "XNYS",
    observer: Observer | None = None,
    name: str = "",
) -> AuditReport:
    """Audit a dataset that arrives without its code: labels, features, rows, prices, folds.

    Everything in row t is taken as claimed to be known at the close of session t (16:00 New York).

    Parameters
    ----------
    frame : polars.DataFrame or pandas.DataFrame
        Long frame as it came: ``symbol``, ``date`` or ``session``, any of open, high, low, close, volume, features,
        targets, optionally ``fold`` or ``split``. Order and duplicates are evidence; it is never changed. Columns that
        no role is known for are features. NaN and null both count as missing.
    sources : mapping of str to frame, optional
        ``market`` (date, market_ret, vix), ``macro_releases`` (reference_month, release_date, value) and ``news``
        (symbol, published_at in New York time, score); any subset.
    targets : mapping of str to int, optional
        Target column to horizon in sessions (rows, for intraday bars). Default: ``target_{k}d``, ``direction``,
        ``target``, ``target_next_day``, ``y``, ``label``.
    reference : frame, optional
        Trusted prices (symbol, date, close) to compare with.
    calendar : str
        Name of the exchange's calendar in `exchange_calendars`.
    observer : Observer, optional
        Told about progress.
    name : str
        What the report calls the dataset.

    Returns
    -------
    AuditReport
        ``verdict`` fail when anything is proved or no honest daily feature could show it (`error`); `warning` asks for
        provenance. ``quality`` has real-data confidence with its evidence, timestamp alignment, temporal consistency.

    Raises
    ------
    AuditError
        If the frame cannot be read: no rows, no date column, named targets missing, unknown sources.

    Notes
    -----
    Statistics are clustered by session and corrected for the number of tests; columns that recomputation proves causal
    leave them. What no audit of data can tell is said in docs/audit-limits.md.

    Examples
    --------
    >>> from datetime import date, timedelta
    >>> days = [date(2024, 1, 2) + timedelta(days=i) for i in range(3)]
    >>> frame = pl.DataFrame({"symbol": ["A"] * 3, "date": days, "close": [10.0, 11.0, 11.0],
    ...                       "target_1d": [0.1, 0.0, None], "direction": [0, 0, None]})
    >>> [f.columns for f in audit_dataset(frame).findings if f.check == "labels.recomputed"]
    [('direction',)]
    """
    table = read_table(frame, targets=targets)
    if table.raw.drop_nulls(["symbol", "session"]).is_empty():
        raise AuditError(
            what="no row has both a symbol and a session",
            got=f"{table.raw.height} rows",
            allowed="rows keyed by symbol and session",
            fix="check how the file was read",
        )
    sessions = _calendar_sessions(table, calendar)
    known = None if sessions is None else set(sessions)
    clean = clean_rows(table, known_sessions=known)
    ctx = Context(
        table=table,
        panel=panel_of(table, clean, known_sessions=known),
        sources=Sources.read(sources),
        known_sessions=frozenset(sessions or ()),
        reference=_reference(reference),
        observer=observer or SilentObserver(),
    )
    del clean
    findings, runs = _run(ctx, known)
    findings.sort(key=lambda f: _RANK[f.severity])
    panel = ctx.panel
    facts = DatasetFacts(
        fingerprint=dataset_fingerprint(frame),
        rows=table.raw.height,
        symbols=table.raw["symbol"].n_unique(),
        first_session=panel.session_text(0),
        last_session=panel.session_text(-1),
        columns=len(table.raw.columns) - 1,
        name=name,
    )
    return AuditReport(
        dataset=facts,
        checks=tuple(runs),
        findings=tuple(findings),
        quality=quality_summary(ctx, findings),
        profiles=lead_lag_profiles(ctx, findings),
    )


def dataset_fingerprint(frame: Any) -> str:
    """Return the SHA-256 of a dataset's content in its own order of rows and columns, the same from pandas or polars."""
    from conviction.audit.data._table import to_polars

    table = to_polars(frame, name="the dataset")
    numeric = [
        pl.col(c).cast(pl.Float64).fill_nan(None) if t.is_numeric() or t == pl.Boolean else pl.col(c).cast(pl.String)
        for c, t in table.schema.items()
        if t != pl.Null
    ]
    return fingerprint(table.select(numeric))


def _calendar_sessions(table: Table, calendar: str) -> set[Any] | None:
    if table.intraday or not calendar:
        return None
    first, last = table.raw["session"].min(), table.raw["session"].max()
    sessions = calendar_frame(calendar)["session"]
    return set(sessions.filter(sessions.is_between(first, last)))


def _reference(frame: Any) -> Panel | None:
    if frame is None:
        return None
    table = read_table(frame, targets={})
    return panel_of(table, clean_rows(table, known_sessions=None))


def _run(ctx: Context, known: set[Any] | None) -> tuple[list[Finding], list[CheckRun]]:
    findings: list[Finding] = []
    runs: list[CheckRun] = []
    ctx.observer.start("audit", len(DATA_CHECKS))
    aside = 0
    for check in DATA_CHECKS:
        if len(ctx.set_aside) > aside and check.family not in ("rows", "prices"):
            # A symbol whose rows or prices are broken would drag every column with it: it is reported once, then left out.
            aside = len(ctx.set_aside)
            _leave_out(ctx, known)
        started = time.perf_counter()
        skipped, found = None, []
        try:
            with np.errstate(all="ignore"), warnings.catch_warnings():
                # Empty slices and constants are what audits meet: they end as NaN, which every check handles.
                warnings.simplefilter("ignore", RuntimeWarning)
                found = list(check.run(ctx))
        except SkipCheckError as reason:
            skipped = str(reason)
        findings += found
        runs.append(
            CheckRun(
                name=check.name,
                evaluated=0 if skipped else _count(ctx, check.unit),
                unit=check.unit,
                seconds=round(time.perf_counter() - started, 4),
                skipped=skipped,
            )
        )
        ctx.observer.advance("audit", note=check.name)
    ctx.observer.finish("audit")
    return findings, runs


def _leave_out(ctx: Context, known: set[Any] | None) -> None:
    clean = clean_rows(ctx.table, known_sessions=known)
    left = clean.filter(~pl.col("symbol").is_in(list(ctx.set_aside)))
    if left["symbol"].n_unique() * 2 >= clean["symbol"].n_unique() and not left.is_empty():
        ctx.panel = panel_of(ctx.table, left, known_sessions=known)
        ctx.memo.clear()


def _count(ctx: Context, unit: str) -> int:
    counts = {
        "rows": ctx.table.raw.height,
        "sessions": len(ctx.panel.sessions),
        "symbols": len(ctx.panel.symbols),
        "targets": len(ctx.table.targets),
        "columns": len(ctx.table.features),
    }
    return counts[unit]


__all__ = ["ROW", "audit_dataset", "dataset_fingerprint"]
