"""What stands behind the scores: money, calibration, decay, the price of choosing, and the facts of the gate."""

from __future__ import annotations

from typing import Any

import polars as pl

from conviction.audit import AuditedPanel
from conviction.evaluation import EvaluationParameters
from conviction.features import FeatureParameters
from conviction.folds import FoldParameters, FoldPlan
from conviction.portfolio import PortfolioParameters
from conviction_kedro import explaining, gate_facts, quarantine, records, runtime
from conviction_kedro.examining import LOOKED_BEHIND, examine
from conviction_kedro.judging import money
from conviction_kedro.parameters import AssuranceParameters, AuditParameters, DataParameters, ModelingParameters
from conviction_kedro.pipelines.leakage_audit.nodes import audit
from conviction_kedro.refitting import fit_again
from conviction_kedro.report_contents import of_panel


def value_in_money(
    ensemble_oof: pl.DataFrame, bars: pl.DataFrame, data: DataParameters, portfolio: PortfolioParameters, seed: int
) -> tuple[pl.DataFrame, pl.DataFrame, pl.DataFrame]:
    """Return what each target's chosen predictions earn after costs, their returns by quantile, and what could not be measured."""
    chosen = ensemble_oof.filter(pl.col("model") == "ensemble")
    table = money(
        chosen,
        bars,
        portfolio=portfolio,
        decision=data.decision,
        seed=seed,
        observer=runtime.current().observer,
    )
    return table.summary, table.quantiles, table.omitted


def look_behind(
    oof: pl.DataFrame,
    ensemble_oof: pl.DataFrame,
    ledger: pl.DataFrame,
    trials: pl.DataFrame,
    evaluation: EvaluationParameters,
    seed: int,
) -> tuple[pl.DataFrame, ...]:
    """Return calibration and decay of the chosen scores, which models cannot be told apart, overfitting of the search, and what is undefined."""
    tables = examine(
        pl.concat([oof, ensemble_oof]),
        ensemble_oof.filter(pl.col("model") == "ensemble"),
        of_panel(ledger, trials),
        evaluation=evaluation,
        seed=seed,
    )
    return tuple(tables[name] for name in LOOKED_BEHIND)


def explain_models(
    audited_panel: AuditedPanel,
    fold_plan: FoldPlan,
    best_parameters: dict[str, Any],
    oof: pl.DataFrame,
    models: dict[str, Any],
    importances: pl.DataFrame,
    modeling: ModelingParameters,
    evaluation: EvaluationParameters,
    assurance: AssuranceParameters,
    profile: str,
    seed: int,
    n_jobs: int,
) -> tuple[pl.DataFrame, pl.DataFrame, pl.DataFrame]:
    """Return how stable importances are, which features stand above shadows, and what clusters of features are worth."""
    again = fit_again(modeling, best_parameters, targets=records.fitted_targets(oof, modeling), n_jobs=n_jobs)
    found = explaining.explain(
        audited_panel,
        fold_plan,
        fit=again,
        models=models,
        importances=importances,
        evaluation=evaluation,
        assurance=assurance,
        thorough=profile == "full",
        seed=seed,
        observer=runtime.current().observer,
    )
    return found.stability, found.shadows, found.clusters


def gather_gate_facts(
    scores: pl.DataFrame,
    ensemble_choice: pl.DataFrame,
    audited_panel: AuditedPanel,
    ledger: pl.DataFrame,
    trials: pl.DataFrame,
    placebo_scores: pl.DataFrame,
    importance_stability: pl.DataFrame,
    economics: pl.DataFrame,
    economics_omitted: pl.DataFrame,
    profile: str,
) -> dict[str, Any]:
    """Return the facts that a promotion is decided on, one candidate a target."""
    facts = gate_facts.gather(
        profile=profile,
        scores=scores,
        choice=ensemble_choice,
        audited_panel=audited_panel,
        ledger=of_panel(ledger, trials),
        placebos=placebo_scores,
        stability=importance_stability.filter(pl.col("n_seeds") > 1),
        economics=economics,
        reasons=gate_facts.known_reasons(profile, economics_omitted),
    )
    return facts.model_dump(mode="json")


def ask_the_audit_again(
    scores: pl.DataFrame,
    panel: pl.DataFrame,
    feature_matrix: pl.DataFrame,
    labels: pl.DataFrame,
    fold_plan: FoldPlan,
    data: DataParameters,
    features: FeatureParameters,
    folds: FoldParameters,
    audit_parameters: AuditParameters,
    seed: int,
) -> dict[str, Any]:
    """Return which scores are too good to be honest, and what a stricter audit says when there are any."""
    reasons = quarantine.too_good(scores)
    if not reasons:
        return quarantine.NOTHING
    again = quarantine.stricter(audit_parameters)
    report, _, _ = audit(panel, feature_matrix, labels, fold_plan, data, features, folds, again, seed + 1)
    return quarantine.answer(reasons, report, n_cuts=again.n_cuts)


def record_evidence(economics: pl.DataFrame, placebo_scores: pl.DataFrame, overfitting: pl.DataFrame) -> pl.DataFrame:
    """Return the records that add money, placebos and overfitting to the runs of the scores."""
    return records.of_evidence(economics, placebo_scores, overfitting)
