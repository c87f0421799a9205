"""Combine the models' out-of-fold predictions, forward in time."""

from __future__ import annotations

from typing import Any

import polars as pl

from conviction.audit import AuditedPanel
from conviction.ensembling import PLACEBO_SCHEMA, EnsemblingParameters, ensemble_all, placebo_table
from conviction.evaluation import EvaluationParameters
from conviction.folds import FoldPlan
from conviction_kedro import records, runtime
from conviction_kedro.parameters import AssuranceParameters, ModelingParameters
from conviction_kedro.refitting import fit_again


def combine(
    oof: pl.DataFrame, modeling: ModelingParameters, ensembling: EnsemblingParameters, seed: int
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Return the combiners' out-of-fold predictions and, for each target, which one was chosen and why."""
    return ensemble_all(
        oof.filter(pl.col("model").is_in(modeling.models)),
        targets=records.fitted_targets(oof, modeling),
        ensembling=ensembling,
        seed=seed,
        observer=runtime.current().observer,
    )


def run_placebos(
    audited_panel: AuditedPanel,
    fold_plan: FoldPlan,
    best_parameters: dict[str, Any],
    oof: pl.DataFrame,
    modeling: ModelingParameters,
    ensembling: EnsemblingParameters,
    evaluation: EvaluationParameters,
    assurance: AssuranceParameters,
    profile: str,
    seed: int,
    n_jobs: int,
) -> pl.DataFrame:
    """Return the scores of models and ensemble on labels permuted by session; no row with profile=quick."""
    if profile != "full":
        return pl.DataFrame(schema=PLACEBO_SCHEMA)
    targets = records.fitted_targets(oof, modeling)
    return placebo_table(
        audited_panel,
        fold_plan,
        fit=fit_again(modeling, best_parameters, targets=targets, n_jobs=n_jobs),
        targets=targets,
        ensembling=ensembling,
        evaluation=evaluation,
        n_placebos=assurance.n_placebos,
        confidence=assurance.placebo_confidence,
        seed=seed,
        observer=runtime.current().observer,
    )
