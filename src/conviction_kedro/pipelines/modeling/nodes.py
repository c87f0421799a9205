"""Tuning inside each fold's training part, then out-of-fold predictions; nothing here sees the hold-out."""

from __future__ import annotations

from typing import Any

import polars as pl

from conviction.audit import AuditedPanel
from conviction.features import FeatureParameters
from conviction.folds import FoldPlan
from conviction.oof import fit_out_of_fold
from conviction.tuning import tune_all
from conviction_kedro import records, runtime
from conviction_kedro.modeling_parameters import ModelingParameters
from conviction_kedro.searchable import searchable


def tune_models(
    audited_panel: AuditedPanel,
    fold_plan: FoldPlan,
    panel: pl.DataFrame,
    features: FeatureParameters,
    modeling: ModelingParameters,
    seed: int,
    n_jobs: int,
) -> tuple[dict[str, Any], pl.DataFrame, pl.DataFrame, pl.DataFrame]:
    """Return the best parameters of each (target, model, fold), the trials, what goes on the ledger, the records for tracking."""
    result = tune_all(
        searchable(audited_panel, panel, features, modeling),
        fold_plan,
        targets=modeling.targets,
        models=modeling.models,
        tuning=modeling.tuning,
        seed=seed,
        configured=modeling.configured,
        untuned=modeling.untuned,
        fitting=modeling.fitting,
        on_missing_extra=modeling.on_missing_extra,
        storage=runtime.current().studies.storage,
        namespace=runtime.current().studies.namespace,
        observer=runtime.current().observer,
        n_jobs=n_jobs,
    )
    return result.best, result.trials, result.ledger, records.of_trials(result.trials, best=modeling.tracked_trials)


def predict_out_of_fold(
    audited_panel: AuditedPanel,
    fold_plan: FoldPlan,
    best_parameters: dict[str, Any],
    trials: pl.DataFrame,
    panel: pl.DataFrame,
    features: FeatureParameters,
    modeling: ModelingParameters,
    seed: int,
    n_jobs: int,
) -> tuple[pl.DataFrame, dict[str, Any], pl.DataFrame, pl.DataFrame, pl.DataFrame, pl.DataFrame]:
    """Return predictions and fitted models, importances, learning curves, what was left out, and the records for tracking."""
    result = fit_out_of_fold(
        searchable(audited_panel, panel, features, modeling),
        fold_plan,
        targets=modeling.targets,
        models=(*modeling.baselines, *modeling.models),
        params=best_parameters,
        configured=modeling.configured,
        fitting=modeling.fitting,
        min_train_rows=modeling.fitting.min_train_rows,
        on_missing_extra=modeling.on_missing_extra,
        seed=seed,
        n_jobs=n_jobs,
        observer=runtime.current().observer,
    )
    made = records.of_models(result.timings, best_parameters, trials, left_out=result.left_out)
    return result.predictions, result.models, result.importances, result.curves, result.left_out, made
