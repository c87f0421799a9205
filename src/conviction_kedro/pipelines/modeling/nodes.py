"""Tuning inside each fold's training part, then out-of-fold predictions; nothing here sees the hold-out."""

from __future__ import annotations

from typing import Any

import polars as pl

from conviction.audit import AuditedPanel
from conviction.folds import FoldPlan
from conviction.oof import fit_out_of_fold
from conviction.tuning import tune_all
from conviction_kedro import records, runtime
from conviction_kedro.parameters import ModelingParameters


def tune_models(
    audited_panel: AuditedPanel, fold_plan: FoldPlan, modeling: ModelingParameters, seed: int, n_jobs: int
) -> tuple[dict[str, Any], pl.DataFrame, pl.DataFrame]:
    """Return the best parameters of each (target, model, fold), the table of trials, and what goes on the ledger."""
    result = tune_all(
        audited_panel,
        fold_plan,
        targets=modeling.targets,
        models=modeling.models,
        tuning=modeling.tuning,
        seed=seed,
        observer=runtime.current().observer,
        n_jobs=n_jobs,
    )
    return result.best, result.trials, result.ledger


def predict_out_of_fold(
    audited_panel: AuditedPanel,
    fold_plan: FoldPlan,
    best_parameters: dict[str, Any],
    trials: pl.DataFrame,
    modeling: ModelingParameters,
    seed: int,
    n_jobs: int,
) -> tuple[pl.DataFrame, dict[str, Any], pl.DataFrame]:
    """Return out-of-fold predictions of models and baselines, the fitted models, and the records for tracking."""
    result = fit_out_of_fold(
        audited_panel,
        fold_plan,
        targets=modeling.targets,
        models=(*modeling.baselines, *modeling.models),
        params=best_parameters,
        seed=seed,
        n_jobs=n_jobs,
        observer=runtime.current().observer,
    )
    return result.predictions, result.models, records.of_models(result.timings, best_parameters, trials)
