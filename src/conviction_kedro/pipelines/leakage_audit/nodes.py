"""The gate: audit always saves its report; only a passing one makes the audited panel."""

from __future__ import annotations

from functools import partial

import polars as pl

from conviction.audit import AuditedPanel, AuditReport, audit_workspace, certify
from conviction.features import FAMILIES, FeatureParameters, build_features
from conviction.folds import FoldParameters, FoldPlan
from conviction_kedro import runtime
from conviction_kedro.parameters import AuditParameters, DataParameters
from conviction_kedro.provenance import FEATURE_ROOMS, code_sha


def _rebuild(panel: pl.DataFrame, *, features: FeatureParameters) -> pl.DataFrame:
    return build_features(panel, features=features).matrix


def audit(
    panel: pl.DataFrame,
    feature_matrix: pl.DataFrame,
    labels: pl.DataFrame,
    fold_plan: FoldPlan,
    data: DataParameters,
    features: FeatureParameters,
    folds: FoldParameters,
    audit_parameters: AuditParameters,
    seed: int,
) -> tuple[AuditReport, str, str]:
    """Audit matrix, labels and folds against the panel; return the report, its table and its HTML section."""
    declared = build_features(panel.head(1), features=features).features
    report = audit_workspace(
        panel,
        feature_matrix,
        labels,
        fold_plan.frame,
        build=partial(_rebuild, features=features),
        features=declared,
        across={feature.name for feature in declared if FAMILIES[feature.family].scope == "session"},
        calendar=data.calendar,
        horizon=data.horizon,
        decision=data.decision,
        purge=folds.purge,
        embargo=folds.embargo,
        minutes=data.bar_minutes,
        n_cuts=audit_parameters.n_cuts,
        seed=seed,
        observer=runtime.current().observer,
    )
    return report, report.to_table(), report.to_html()


def certify_panel(
    audit_report: AuditReport,
    panel: pl.DataFrame,
    feature_matrix: pl.DataFrame,
    labels: pl.DataFrame,
    fold_plan: FoldPlan,
    audit_parameters: AuditParameters,
) -> AuditedPanel:
    """Return the audited panel, or stop the run with the guilty columns and what to do about them."""
    return certify(
        audit_report,
        panel=panel,
        matrix=feature_matrix,
        labels=labels,
        plan_frame=fold_plan.frame,
        code_sha=code_sha(FEATURE_ROOMS),
        accepted_warnings=audit_parameters.accepted_warnings,
    )
