"""The only pipeline that looks at the hold-out: the opening is put on record before anything is scored."""

from __future__ import annotations

from typing import Any

import polars as pl

from conviction.audit import AuditedPanel
from conviction.ensembling import EnsemblingParameters, ensemble_holdout
from conviction.evaluation import EvaluationParameters, score_table
from conviction.features import FeatureParameters
from conviction.folds import FoldPlan
from conviction.frames import key_of
from conviction.oof import fit_for_holdout
from conviction_kedro import records, runtime
from conviction_kedro.parameters import HoldoutParameters, ModelingParameters
from conviction_kedro.searchable import searchable


def open_holdout(audited_panel: AuditedPanel, fold_plan: FoldPlan, holdout: HoldoutParameters) -> pl.DataFrame:
    """Return this opening of the hold-out, to be appended to the record."""
    return records.of_opening(audited_panel, fold_plan, reason=holdout.reason)


def predict_holdout(
    holdout_openings: pl.DataFrame,
    audited_panel: AuditedPanel,
    fold_plan: FoldPlan,
    best_parameters: dict[str, Any],
    oof: pl.DataFrame,
    ensemble_choice: pl.DataFrame,
    panel: pl.DataFrame,
    features: FeatureParameters,
    modeling: ModelingParameters,
    ensembling: EnsemblingParameters,
    seed: int,
) -> pl.DataFrame:
    """Fit on all sessions before the hold-out, predict it, and combine as the out-of-fold predictions chose."""
    records.require_opening(holdout_openings, audited_panel, fold_plan)
    single = fit_for_holdout(
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
        observer=runtime.current().observer,
    ).predictions
    inputs = pl.col("model").is_in(modeling.models)
    combined = ensemble_holdout(
        oof.filter(inputs),
        single.filter(inputs),
        choice=ensemble_choice,
        targets=ensemble_choice["target"].to_list(),
        ensembling=ensembling,
        seed=seed,
    )
    together = pl.concat([single, combined.select(single.columns)])
    return together.sort("target", "model", *key_of(together))


def score_holdout(
    holdout_oof: pl.DataFrame, modeling: ModelingParameters, evaluation: EvaluationParameters, seed: int
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Return the scores of the hold-out with intervals, and the records for tracking."""
    scored = score_table(holdout_oof, evaluation=evaluation, seed=seed)
    scores = records.with_kind(scored, modeling, split="holdout")
    return scores, records.of_scores(scores)
