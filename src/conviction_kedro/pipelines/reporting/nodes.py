"""Judge the out-of-fold predictions and write the page; nothing is fitted here."""

from __future__ import annotations

from typing import Any

import polars as pl

from conviction.audit import AuditedPanel, AuditReport
from conviction.evaluation import EvaluationParameters, score_table
from conviction.folds import FoldPlan
from conviction.portfolio import PortfolioParameters
from conviction.reporting import console_summary, figures, render_report
from conviction_kedro import gate_facts, records, runtime
from conviction_kedro.judging import daily_auc_table, luck_lines, money, symbol_table, with_deflation
from conviction_kedro.parameters import DataParameters, ModelingParameters
from conviction_kedro.report_contents import assemble, of_panel

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
    predictions = pl.concat([oof, ensemble_oof]).sort("target", "model", "symbol", "session")
    scored = with_deflation(score_table(predictions, evaluation=evaluation, seed=seed), of_panel(ledger, trials))
    scores = records.with_kind(scored, modeling)
    chosen = ensemble_oof.filter(pl.col("model") == "ensemble")
    symbols = symbol_table(chosen, evaluation=evaluation, seed=seed)
    return scores, symbols, daily_auc_table(predictions, evaluation=evaluation), records.of_scores(scores)


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


def gather_gate_facts(
    scores: pl.DataFrame,
    ensemble_choice: pl.DataFrame,
    audited_panel: AuditedPanel,
    ledger: pl.DataFrame,
    trials: pl.DataFrame,
    placebo_scores: pl.DataFrame,
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
        stability=pl.DataFrame(schema=gate_facts.STABILITY_SCHEMA),
        economics=economics,
        reasons=gate_facts.known_reasons(profile, economics_omitted),
    )
    return facts.model_dump(mode="json")


def write_report(
    scores: pl.DataFrame,
    symbol_scores: pl.DataFrame,
    daily_auc: pl.DataFrame,
    ensemble_choice: pl.DataFrame,
    audit_report: AuditReport,
    fold_plan: FoldPlan,
    feature_catalog: pl.DataFrame,
    data_facts: dict[str, Any],
    ledger: pl.DataFrame,
    trials: pl.DataFrame,
    holdout_openings: pl.DataFrame,
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
        trials=of_panel(ledger, trials),
        holdout_openings=holdout_openings,
        daily_auc=daily_auc,
        luck=luck_lines(symbol_scores),
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
