"""The code audit: any function from bars to features, judged by what it does, not by how it is written."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any, Final

import numpy as np
import polars as pl

from conviction.audit._code_call import Bars
from conviction.audit._code_relations import Evidence, FunctionFailedError, Relations
from conviction.audit._profiles import lead_lag_profiles
from conviction.audit._report import AuditReport, CheckRun, DatasetFacts, Finding
from conviction.audit._workspace_statistics import ERROR_LEVEL
from conviction.errors import AuditError
from conviction.frames import fingerprint

DEFAULT_CUTS: Final = 18
#: Family-wise level of the one statistical check: about one false alarm in a million audits.
_FOREIGN_LEVEL: Final = 1e-6
_WHAT: Final = {
    "truncation": "when later sessions are cut off",
    "future_perturbation": "when only later bars are changed",
    "calendar_extension": "when later sessions are added",
}
_REMEDY: Final = (
    "compute each row from rows up to its own session only: no negative shift, no centred window, no back-fill, no "
    "statistic, fit or ranking over the whole sample."
)


def audit_features(
    function: Callable[[Any], Any],
    bars: Any,
    *,
    declared: Mapping[str, int | None] | None = None,
    cuts: int = DEFAULT_CUTS,
    seed: int = 0,
    thorough: bool = True,
    name: str = "",
) -> AuditReport:
    """Audit a function from bars to features for values that depend on the future.

    Parameters
    ----------
    function : callable
        Takes a long frame ``symbol, date, open, high, low, close, volume`` sorted by symbol and date, of the library
        that `bars` is of, and returns a frame with ``symbol``, ``date`` and feature columns in any row order.
    bars : pandas.DataFrame or polars.DataFrame
        The bars; it is copied for each call and never changed. Any numeric columns beside the key will do.
    declared : mapping of str to int or None, optional
        Declared look-back of columns, in earlier rows; None has no end. A longer measured one is an error.
    cuts : int
        Number of sessions at which the data is cut, at least 3.
    seed : int
        Seed of random cuts and changed futures; the same call gives the same report.
    thorough : bool
        False runs the cuts and one changed future only, at about ``1 + cuts / 2`` calls of the function.
    name : str
        What the report calls the function; its own name by default.

    Returns
    -------
    AuditReport
        Errors: ``truncation``, ``future_perturbation``, ``calendar_extension`` (a value changed that lies before
        everything that was changed), ``not_reproducible`` (two equal calls differ), ``raises`` (no answer on the whole
        bars), ``lookback`` (reads further back than declared), ``foreign_data`` (does not react to the bars and knows
        the future). Warnings: ``rows_dropped``, ``rows_added``, ``duplicated_rows``, ``input_changed``,
        ``length_guard``, ``raises_on_cut``, ``index_dependence``, ``captured_data``. Notes: ``cross_section``,
        ``state``, ``no_key``.

    Raises
    ------
    AuditError
        When the bars cannot be audited: no key, duplicated keys, fewer than ten sessions, or fewer than three cuts.

    Notes
    -----
    Two values are equal when they differ by less than 1e-7 (2e-6 for float32) of the larger of their own size and the
    column's median size; up to a thousandth, differences must also exceed a hundred times what changing the last bit of
    every number does; missing against a number always differs. Nothing here is statistical but ``foreign_data``,
    for columns that no recomputation can reach.

    References
    ----------
    Chen, Cheung and Yiu (1998), *Metamorphic testing: a new approach for generating next test cases*.

    Examples
    --------
    >>> from datetime import date
    >>> days = pl.date_range(date(2024, 1, 1), date(2024, 3, 31), eager=True)
    >>> bars = pl.DataFrame({"symbol": "A", "date": days, "close": [100.0 + i % 7 for i in range(len(days))]})
    >>> def leaky(frame):
    ...     return frame.select("symbol", "date", tomorrow=pl.col("close").shift(-1).over("symbol"))
    >>> report = audit_features(leaky, bars)
    >>> report.verdict, report.guilty_columns, report.errors[0].evidence["reads_sessions_ahead"]
    ('fail', ('tomorrow',), 1)
    """
    if cuts < 3:
        raise AuditError(what="too few cuts", got=cuts, allowed="at least 3", fix="leave `cuts` at its default")
    begun = time.perf_counter()
    label = name or getattr(function, "__name__", type(function).__name__)
    data = Bars(bars)
    relations = Relations(function, data, seed=seed)
    try:
        notes = relations.run(n_cuts=cuts, thorough=thorough)
    except FunctionFailedError as error:
        findings, notes = [_raises(error)], {"cuts": []}
        findings += _problem_findings(relations)
    else:
        findings = _findings(relations, notes, declared or {})
    finally:
        relations.random.restore()
        relations.state.restore()
    return AuditReport(
        dataset=_facts(data, relations, label),
        checks=(
            CheckRun(
                name="metamorphic_relations",
                evaluated=relations.cells,
                unit="cells",
                seconds=round(time.perf_counter() - begun, 4),
            ),
            CheckRun(name="calls", evaluated=relations.calls, unit="calls of the function", seconds=0.0),
        ),
        findings=tuple(findings),
        quality={
            "cut_sessions": notes["cuts"],
            "measured_lookback": dict(sorted(notes.get("lookback", {}).items())),
            "proved_causal": sorted(
                set(relations.base) - set(relations.guilty) - set(relations.unstable) - notes.get("deaf", set())
            ),
        },
    )


def _facts(data: Bars, relations: Relations, label: str) -> DatasetFacts:
    frame = pl.DataFrame(data.numbers).hstack(data.grid.keys)
    return DatasetFacts(
        fingerprint=fingerprint(frame),
        rows=data.grid.rows,
        symbols=len(data.grid.symbols),
        first_session=str(data.grid.sessions[0])[:10],
        last_session=str(data.grid.sessions[-1])[:10],
        columns=len(relations.base),
        name=label,
    )


def _raises(error: Exception) -> Finding:
    return Finding(
        check="raises",
        severity="error",
        evidence={"error": str(error)},
        explanation="The function raised on the whole bars, or returned nothing that can be audited.",
        remedy="make it run on a sorted long frame of symbol, date, open, high, low, close, volume.",
    )


def _findings(relations: Relations, notes: dict[str, Any], declared: Mapping[str, int | None]) -> list[Finding]:
    findings = [_leak(column, evidence, relations) for column, evidence in relations.guilty.items()]
    findings.sort(key=lambda finding: finding.columns)
    findings += _unstable_findings(relations)
    findings += _foreign_findings(relations, notes.get("deaf", set()))
    findings += _lookback_findings(notes.get("lookback", {}), declared, relations)
    findings += _problem_findings(relations)
    return findings + _note_findings(relations, notes)


def _leak(column: str, evidence: Evidence, relations: Relations) -> Finding:
    relation = next(name for name in _WHAT if name in evidence.relations)
    what = _WHAT[relation]
    border = evidence.only_borders and evidence.reach > 0.6 * len(relations.grid.sessions)
    reads = f"it reads at least {evidence.reach} session{'s' if evidence.reach != 1 else ''} ahead"
    if evidence.reach >= len(relations.grid.sessions) - 60:
        reads = "it reads to the end of the sample"
    if border:
        reads = "its window runs over the border between two symbols, into the later sessions of the one before"
    return Finding(
        check=relation,
        severity="error",
        columns=(column,),
        symbols=(evidence.symbol, *sorted(evidence.symbols - {evidence.symbol})),
        first_session=evidence.session,
        evidence={
            "first_symbol": evidence.symbol,
            "reads_sessions_ahead": evidence.reach,
            "rows": evidence.rows,
            "value": None if np.isnan(evidence.got) else evidence.got,
            "recomputed": None if np.isnan(evidence.recomputed) else evidence.recomputed,
            "relations": ", ".join(sorted(evidence.relations)),
        },
        explanation=f"{column} of {evidence.symbol} on {evidence.session} changes {what}: {reads}.",
        remedy="compute windows within each symbol (group by symbol)." if border else _REMEDY,
    )


def _unstable_findings(relations: Relations) -> list[Finding]:
    if not relations.unstable:
        return []
    return [
        Finding(
            check="not_reproducible",
            severity="error",
            columns=tuple(sorted(relations.unstable)),
            explanation="Two calls on equal bars gave different values, so nothing can be proved about these columns.",
            remedy="seed the random numbers inside the function, and keep nothing between calls.",
        )
    ]


def _foreign_findings(relations: Relations, deaf: set[str]) -> list[Finding]:
    """Judge what recomputation cannot reach: columns that do not react to the bars, and functions with data of their own."""
    captured = relations.state.captured
    findings = []
    if captured:
        findings.append(
            Finding(
                check="captured_data",
                severity="warning",
                evidence={"names": ", ".join(sorted(captured))[:200]},
                explanation="The function reads data that is not among its arguments; cutting the bars does not cut that.",
                remedy="pass everything in through the bars, or join it as of the moment it was known.",
            )
        )
    suspects = (set(relations.base) if captured else deaf) - set(relations.guilty)
    suspects = {name for name in suspects if _varies_within_sessions(relations.base[name], relations)}
    close = relations.bars.numbers.get("close")
    if not suspects or close is None or len(relations.grid.symbols) < 3:
        return findings
    columns = {name: relations.base[name] for name in sorted(suspects)}
    for profile in lead_lag_profiles(columns, close, relations.grid, lags=range(6), level=_FOREIGN_LEVEL):
        ahead = [
            (abs(v), lag, v)
            for lag, v, b in zip(profile.lags, profile.values, profile.band, strict=True)
            if lag >= 1 and abs(v) > b
        ]
        size, lag, value = max(ahead, default=(0.0, 0, 0.0))
        if size > ERROR_LEVEL:
            findings.append(
                Finding(
                    check="foreign_data",
                    severity="error",
                    columns=(profile.column,),
                    evidence={"lag": lag, "mean_daily_rank_correlation": value},
                    explanation=f"{profile.column} does not follow from the bars and knows the return {lag} sessions ahead.",
                    remedy="remove the data behind it, or prove when it was known.",
                )
            )
    return findings


def _varies_within_sessions(values: Any, relations: Relations) -> bool:
    """Return whether symbols of one session ever have different values: a calendar or a market column has none."""
    known = np.isfinite(values)
    frame = pl.DataFrame({"session": relations.grid.session_code[known], "value": values[known]})
    return bool((frame.group_by("session").agg(pl.col("value").n_unique())["value"] > 1).any())


def _lookback_findings(
    measured: dict[str, int], declared: Mapping[str, int | None], relations: Relations
) -> list[Finding]:
    return [
        Finding(
            check="lookback",
            severity="error",
            columns=(column,),
            evidence={"declared": declared[column], "measured": rows},
            explanation=f"{column} reads {rows} earlier rows but declares {declared[column]}.",
            remedy="declare the true look-back.",
        )
        for column, rows in sorted(measured.items())
        if declared.get(column) is not None and rows > int(declared[column] or 0) and column not in relations.guilty
    ]


_PROBLEMS: Final = {
    "input_changed": ("The function changes the frame it is given", "work on a copy."),
    "rows_dropped": ("The function drops rows", "return one row for each row of the bars, with missing values."),
    "rows_added": ("The function returns rows that the bars do not have", "return the rows of the bars only."),
    "duplicated_rows": ("The function returns several rows with one key", "return one row per symbol and date."),
    "no_date": ("The function returns rows without a readable date", "return the date as it came."),
    "no_key": ("The function does not return symbol and date", "return them beside the features."),
}


def _problem_findings(relations: Relations) -> list[Finding]:
    return [
        Finding(
            check=problem,
            severity="info" if problem == "no_key" else "warning",
            evidence={"detail": detail},
            explanation=f"{_PROBLEMS[problem][0]}: {detail}.",
            remedy=_PROBLEMS[problem][1],
        )
        for problem, detail in sorted(relations.problems.items())
    ]


def _note_findings(relations: Relations, notes: dict[str, Any]) -> list[Finding]:
    findings = []
    guarded = {name: rows for name, rows in relations.guarded.items() if name not in relations.guilty}
    if guarded:
        findings.append(
            Finding(
                check="length_guard",
                severity="warning",
                columns=tuple(sorted(guarded)),
                evidence={"sessions": max(guarded.values())},
                explanation="A symbol with a short history gets no value at all on rows that have one in a longer history; no "
                "later price changes the values.",
                remedy="let the warm-up of each window leave its rows empty, instead of refusing short histories.",
            )
        )
    late = {label: text for label, text in relations.raised.items() if label != "repeated call"}
    if late:
        label, text = next(iter(late.items()))
        short = {f"cut at {name}" for name in notes["cuts"] if relations.position(name) < 60}
        findings.append(
            Finding(
                check="raises_on_cut",
                severity="info" if set(late) <= short else "warning",
                evidence={"times": len(late), "first": label, "error": text},
                explanation=f"The function raised on {len(late)} variants of the bars, first: {label}.",
                remedy="let it return missing values where it has too little data; those variants prove nothing.",
            )
        )
    if notes.get("reindexed"):
        findings.append(
            Finding(
                check="index_dependence",
                severity="warning",
                columns=tuple(sorted(notes["reindexed"])),
                explanation="Values change when the rows are shuffled and sorted again: they hang on the frame's index.",
                remedy="reset the index first, or align by symbol and date.",
            )
        )
    crossing = set(notes.get("crossing", ())) - set(relations.guilty)
    if crossing and len(relations.grid.symbols) > 1:
        findings.append(
            Finding(
                check="cross_section",
                severity="info",
                columns=tuple(sorted(crossing)),
                explanation="Values depend on other symbols of the same or earlier sessions.",
                remedy="nothing, if that is meant; serve whole sessions.",
            )
        )
    if relations.state.changed:
        findings.append(
            Finding(
                check="state",
                severity="info",
                evidence={"names": ", ".join(sorted(relations.state.changed))[:200]},
                explanation="The function keeps things between calls; they were reset before each call of this audit.",
                remedy="keep nothing between calls: what was fitted on more data would be used on less.",
            )
        )
    return findings
