"""The audit of the workspace's own dataset: its code is at hand, so most of it is proof, not statistics."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Final

import numpy as np
import polars as pl

from conviction.audit._certificate import workspace_fingerprint
from conviction.audit._profiles import lead_lag_profiles
from conviction.audit._report import AuditReport, CheckRun, DatasetFacts, Finding
from conviction.audit._workspace_folds import fold_findings
from conviction.audit._workspace_labels import label_findings
from conviction.audit._workspace_recompute import DeclaredFeature, Offence, Recomputation, recompute_findings
from conviction.audit._workspace_relations import Relations, across_findings, shuffled_findings
from conviction.audit._workspace_statistics import copy_findings, profile_findings
from conviction.frames import SESSION, SYMBOL, check_panel, key_of
from conviction.observer import Observer, SilentObserver

_TASK: Final = "leakage audit"


@dataclass
class _Run:
    """Findings and checks gathered while an audit runs, and who is told about it."""

    observer: Observer
    findings: list[Finding] = field(default_factory=list)
    checks: list[CheckRun] = field(default_factory=list)

    @contextmanager
    def check(self, name: str, evaluated: Callable[[], int], unit: str) -> Iterator[list[Finding]]:
        begun = time.perf_counter()
        found: list[Finding] = []
        yield found
        self.findings += found
        self.checks.append(
            CheckRun(name=name, evaluated=evaluated(), unit=unit, seconds=round(time.perf_counter() - begun, 4))
        )
        self.observer.advance(_TASK, 1, name)


def audit_workspace(
    panel: pl.DataFrame,
    matrix: pl.DataFrame,
    labels: pl.DataFrame,
    plan_frame: pl.DataFrame,
    *,
    build: Callable[[pl.DataFrame], pl.DataFrame],
    features: Sequence[DeclaredFeature],
    calendar: str,
    horizon: int,
    decision: str,
    purge: int,
    embargo: int,
    across: Collection[str] | None = None,
    minutes: int | None = None,
    n_cuts: int = 4,
    seed: int = 0,
    tolerance: float = 0.0,
    name: str = "workspace",
    observer: Observer | None = None,
) -> AuditReport:
    """Audit panel, features, labels and folds of the workspace before anything is fitted.

    Parameters
    ----------
    panel : polars.DataFrame
        Point-in-time panel: key, ``close`` (and what else there is), ``known_at``, ``decision_at``.
    matrix : polars.DataFrame
        Feature matrix of exactly the panel's rows.
    labels : polars.DataFrame
        ``target_{h}d``, ``direction``, ``relative``, ``t0``, ``t1``.
    plan_frame : polars.DataFrame
        Fold plan: ``fold, session, role``.
    build : callable
        From a panel to its feature matrix, with the very parameters that made `matrix`.
    features : sequence of declarations
        Each with ``name`` and ``lookback`` (earlier rows that may change a value; None has no end).
    calendar : str
        Exchange calendar code.
    horizon : int
        Sessions from decision to the end of the label.
    decision : {"close", "before_next_open"}
        When the decision is made.
    purge, embargo : int
        Sessions promised between a test block and what is fitted.
    across : collection of str or None
        Columns that are meant to read other symbols of the session (ranks, breadth); any other that changes when
        symbols are dropped is an error. None: what reads across symbols is only listed in ``quality``.
    minutes : int or None
        Length of the bars of an intraday panel, whose horizon counts bars; None for daily bars.
    n_cuts : int
        Sessions (of an intraday panel: bars) at which the data is cut: a third in the warm-up, the last but one, the others random. The cost is
        about ``1 + n_cuts / 2`` builds at most.
    seed : int
        Seed of the random cuts and of the changed futures.
    tolerance : float
        Relative difference between two recomputations that still counts as equal. The default 0 compares bit for
        bit; raise it only for features whose arithmetic is not reproducible.
    name : str
        What the report calls the dataset.
    observer : Observer or None
        Told after each check.

    Returns
    -------
    AuditReport
        Bound to the four frames by its fingerprint; `certify` turns a passing one into an audited panel.

    Raises
    ------
    FrameError
        When a frame breaks the frame contract.
    AuditError
        When the labels cannot be recomputed at all.

    Notes
    -----
    Columns that every recomputation gave again are proved causal and exempt from statistics: an honest predictor may
    correlate with the future. Columns whose code is not at hand, or which were caught, are also measured.

    References
    ----------
    Recomputation on cut data follows the metamorphic-testing idea of Chen, Cheung and Yiu (1998).
    """
    check_panel(panel, name="panel", required=("close", "known_at", "decision_at"))
    check_panel(matrix, name="feature matrix")
    check_panel(labels, name="labels", required=("t0", "t1"))
    run = _Run(observer or SilentObserver())
    run.observer.start(_TASK, 10)
    with run.check("declarations", lambda: len(features), "features") as found:
        found.extend(_declaration_findings(panel, matrix, labels, features))
    again = Recomputation(panel, matrix, build=build, tolerance=tolerance)
    with run.check("truncation", lambda: again.cells, "cells") as found:
        cuts, by_cut, by_change = again.run(n_cuts=n_cuts, seed=seed)
        what = f"when the data is cut ({len(cuts)} cuts)"
        found.extend(recompute_findings("truncation", by_cut, what=what))
        found.extend(_unproved_findings(again))
    with run.check("future_perturbation", lambda: len(again.names), "columns") as found:
        fresh = {name: offence for name, offence in by_change.items() if name not in by_cut}
        found.extend(recompute_findings("future_perturbation", fresh, what="when only later prices change"))
    measured: dict[str, int] = {}
    with run.check("lookback", lambda: len(measured), "columns") as found:
        measured.update(again.measure_lookback(features))
        found.extend(_lookback_findings(features, measured))
    same = Relations(again, again.few_symbols(features))
    with run.check("symbols_dropped", lambda: same.cells, "cells") as found:
        reading = same.symbols_dropped()
        found.extend(across_findings(reading, across))
    with run.check("rows_shuffled", lambda: same.grid.rows, "rows") as found:
        found.extend(shuffled_findings(same.rows_shuffled(seed=seed)))
    with run.check("warm_up", lambda: again.grid.rows, "rows") as found:
        found.extend(_warm_up_findings(again, features))
    with run.check("label_recomputation", lambda: labels.height, "rows") as found:
        found.extend(
            label_findings(panel, labels, calendar=calendar, horizon=horizon, decision=decision, minutes=minutes)
        )
    with run.check("fold_plan", lambda: plan_frame.height, "roles") as found:
        found.extend(fold_findings(labels, plan_frame, purge=purge, embargo=embargo))
    with run.check("statistics", lambda: len(again.names), "columns") as found:
        close = panel["close"].cast(pl.Float64).fill_null(float("nan")).to_numpy()
        profiles = lead_lag_profiles(again.base, close, again.grid)
        suspects = [column for column in again.names if column not in again.proved]
        found.extend(copy_findings({c: again.base[c] for c in suspects}, panel, labels))
        found.extend(profile_findings([p for p in profiles if p.column in suspects], horizon=horizon))
    run.observer.finish(_TASK)
    return AuditReport(
        dataset=_facts(panel, matrix, labels, plan_frame, name=name),
        checks=tuple(run.checks),
        findings=tuple(run.findings),
        quality={
            "proved_causal": sorted(again.proved),
            "reads_across_symbols": sorted(reading),
            "measured_lookback": dict(sorted(measured.items())),
            "cut_sessions": [again.grid.session_name(cut) for cut in cuts],
        },
        profiles=profiles,
    )


def _facts(
    panel: pl.DataFrame, matrix: pl.DataFrame, labels: pl.DataFrame, plan_frame: pl.DataFrame, *, name: str
) -> DatasetFacts:
    return DatasetFacts(
        fingerprint=workspace_fingerprint(panel=panel, matrix=matrix, labels=labels, plan_frame=plan_frame),
        rows=panel.height,
        symbols=panel[SYMBOL].n_unique(),
        first_session=str(panel[SESSION].min()),
        last_session=str(panel[SESSION].max()),
        columns=len(matrix.columns) - len(key_of(matrix)),
        name=name,
    )


def _declaration_findings(
    panel: pl.DataFrame, matrix: pl.DataFrame, labels: pl.DataFrame, features: Sequence[DeclaredFeature]
) -> list[Finding]:
    findings = []
    columns = [column for column in matrix.columns if column not in key_of(matrix)]
    undeclared = sorted(set(columns) - {feature.name for feature in features})
    if undeclared:
        findings.append(
            Finding(
                check="declarations",
                severity="error",
                columns=tuple(undeclared),
                explanation="The matrix has columns that no feature declares.",
                remedy="declare look-back and availability of each feature, or drop the columns.",
            )
        )
    clash = sorted(set(columns) & set(labels.columns))
    if clash:
        findings.append(
            Finding(
                check="declarations",
                severity="error",
                columns=tuple(clash),
                explanation="Label columns are among the features.",
                remedy="drop them from the features.",
            )
        )
    if not matrix.select(key_of(matrix)).equals(panel.select(key_of(panel))):
        findings.append(
            Finding(
                check="declarations",
                severity="error",
                evidence={"panel_rows": panel.height, "matrix_rows": matrix.height},
                explanation="The feature matrix does not have exactly the panel's rows.",
                remedy="build the matrix from this panel and drop no row.",
            )
        )
    return findings


def _unproved_findings(again: Recomputation) -> list[Finding]:
    if not again.missing:
        return []
    return [
        Finding(
            check="truncation",
            severity="error",
            columns=tuple(sorted(again.missing)),
            explanation="The feature code does not give these columns, so nothing proves when their values were known.",
            remedy="build the matrix with the code that is audited.",
        )
    ]


def _lookback_findings(features: Sequence[DeclaredFeature], measured: dict[str, int]) -> list[Finding]:
    return [
        Finding(
            check="lookback",
            severity="error",
            columns=(feature.name,),
            evidence={"declared": feature.lookback, "measured": measured[feature.name]},
            explanation=f"{feature.name} reads {measured[feature.name]} earlier rows but declares {feature.lookback}.",
            remedy="declare the true look-back: warm-up and embargo rely on it.",
        )
        for feature in features
        if feature.lookback is not None and measured.get(feature.name, 0) > feature.lookback
    ]


def _warm_up_findings(again: Recomputation, features: Sequence[DeclaredFeature]) -> list[Finding]:
    early: dict[bool, list[str]] = {True: [], False: []}
    first: dict[bool, int] = {}
    for feature in features:
        if not feature.lookback or feature.name not in again.base:
            continue
        valued = np.isfinite(again.base[feature.name]) & (again.grid.ordinal < feature.lookback)
        if valued.any():
            proved = feature.name in again.proved
            early[proved].append(feature.name)
            row = int(again.grid.session_code[valued].min())
            first[proved] = min(row, first.get(proved, row))
    findings = []
    for proved, columns in early.items():
        if columns:
            text = "Values stand in rows that have fewer earlier rows than the declared look-back"
            findings.append(
                Finding(
                    check="warm_up",
                    severity="info" if proved else "error",
                    columns=tuple(columns),
                    first_session=again.grid.session_name(first[proved]),
                    explanation=text + ("; recomputation proves them causal: partial windows." if proved else "."),
                    remedy="keep them if partial windows are meant."
                    if proved
                    else "leave the warm-up empty: do not back-fill.",
                )
            )
    return findings


__all__ = ["Offence", "audit_workspace"]
