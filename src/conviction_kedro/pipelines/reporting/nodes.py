"""Judge the out-of-fold predictions and write the page; nothing is fitted here."""

from __future__ import annotations

from typing import Any

import polars as pl

from conviction.audit import AuditReport
from conviction.evaluation import EvaluationParameters, score_table
from conviction.folds import FoldPlan
from conviction.frames import key_of
from conviction.reporting import console_summary, figures, render_report
from conviction_kedro import records, runtime
from conviction_kedro.examining import selection_table
from conviction_kedro.explaining import importance_shares, with_selected
from conviction_kedro.judging import daily_auc_table, luck_lines, symbol_table, with_deflation
from conviction_kedro.parameters import ModelingParameters
from conviction_kedro.quarantine import sentences
from conviction_kedro.report_contents import Behind, assemble, not_evaluated, of_panel

NEXT_STEPS = {
    "the page": "data/08_reporting/report.html",
    "compare runs": "make ui",
    "explore the pipelines": "make viz",
    "open the hold-out, on the record": "kedro run --pipeline=holdout",
}


def score_predictions(
    oof: pl.DataFrame,
    ensemble_oof: pl.DataFrame,
    ledger: pl.DataFrame,
    trials: pl.DataFrame,
    modeling: ModelingParameters,
    evaluation: EvaluationParameters,
    seed: int,
) -> tuple[pl.DataFrame, pl.DataFrame, pl.DataFrame, pl.DataFrame]:
    """Return scores with intervals for each (target, model), the per-symbol table, the AUC of each session, and the records."""
    predictions = pl.concat([oof, ensemble_oof]).sort("target", "model", *key_of(oof))
    scored = with_deflation(score_table(predictions, evaluation=evaluation, seed=seed), of_panel(ledger, trials))
    scores = records.with_kind(scored, modeling)
    chosen = ensemble_oof.filter(pl.col("model") == "ensemble")
    symbols = symbol_table(chosen, evaluation=evaluation, seed=seed)
    return scores, symbols, daily_auc_table(predictions, evaluation=evaluation), records.of_scores(scores)


def write_report(
    scores: pl.DataFrame,
    symbol_scores: pl.DataFrame,
    daily_auc: pl.DataFrame,
    ensemble_choice: pl.DataFrame,
    audit_report: AuditReport,
    fold_plan: FoldPlan,
    feature_catalog: pl.DataFrame,
    data_facts: dict[str, Any],
    quality_report: dict[str, Any],
    ledger: pl.DataFrame,
    trials: pl.DataFrame,
    holdout_openings: pl.DataFrame,
    calibration_curve: pl.DataFrame,
    ic_decay: pl.DataFrame,
    model_confidence: pl.DataFrame,
    overfitting: pl.DataFrame,
    undefined: pl.DataFrame,
    placebo_scores: pl.DataFrame,
    economics: pl.DataFrame,
    quantile_returns: pl.DataFrame,
    economics_omitted: pl.DataFrame,
    second_audit: dict[str, Any],
    importances: pl.DataFrame,
    importance_stability: pl.DataFrame,
    shadow_scores: pl.DataFrame,
    left_out: pl.DataFrame,
    profile: str,
) -> tuple[str, str, Any, Any, Any]:
    """Return the HTML page, the console summary and the figures that Kedro-Viz shows."""
    contents = assemble(
        scores=scores,
        symbol_scores=symbol_scores,
        ensemble_choice=ensemble_choice,
        audit_report=audit_report,
        fold_plan=fold_plan,
        feature_catalog=feature_catalog,
        data_facts=data_facts,
        quality=quality_report,
        trials=of_panel(ledger, trials),
        holdout_openings=holdout_openings,
        daily_auc=daily_auc,
        luck=luck_lines(symbol_scores),
        behind=Behind(
            calibration=calibration_curve,
            decay=ic_decay,
            selection=selection_table(scores, of_panel(ledger, trials), overfitting, model_confidence),
            placebo=placebo_scores,
            economics=economics,
            quantiles=quantile_returns,
            importance=importance_shares(importances),
            stability=with_selected(importance_stability, shadow_scores),
            quarantine=sentences(second_audit),
            not_evaluated=not_evaluated(profile, undefined, economics_omitted, left_out),
        ),
        provenance=runtime.current().provenance,
        run_id=runtime.current().run_id,
    )
    drawn = figures(contents)
    return (
        render_report(contents),
        console_summary(contents, next_steps=NEXT_STEPS),
        drawn["auc_forest"],
        drawn["per_symbol"],
        drawn["folds"],
    )
