"""Wiring of `reporting`."""

from __future__ import annotations

from kedro.pipeline import Node, Pipeline

from conviction_kedro.pipelines.reporting import evidence_nodes, nodes


def create_pipeline() -> Pipeline:
    """Return predictions -> scores -> page, summary, figures."""
    return Pipeline(
        [
            Node(
                nodes.score_predictions,
                ["oof", "ensemble_oof", "ledger", "trials", "params:modeling", "params:evaluation", "params:seed"],
                ["scores", "symbol_scores", "daily_auc", "score_records"],
                name="score_predictions",
            ),
            Node(
                evidence_nodes.value_in_money,
                ["ensemble_oof", "bars", "params:data", "params:portfolio", "params:seed"],
                ["economics", "quantile_returns", "economics_omitted"],
                name="value_in_money",
            ),
            Node(
                evidence_nodes.look_behind,
                ["oof", "ensemble_oof", "ledger", "trials", "params:evaluation", "params:seed"],
                ["calibration_curve", "ic_decay", "model_confidence", "overfitting", "undefined"],
                name="look_behind",
            ),
            Node(
                evidence_nodes.explain_models,
                [
                    *("audited_panel", "fold_plan", "best_parameters", "oof", "models", "importances"),
                    *("params:modeling", "params:evaluation", "params:assurance"),
                    *("params:profile", "params:seed", "params:n_jobs"),
                ],
                ["importance_stability", "shadow_scores", "cluster_importance"],
                name="explain_models",
            ),
            Node(
                evidence_nodes.ask_the_audit_again,
                [
                    *("scores", "panel", "feature_matrix", "labels", "fold_plan"),
                    *("params:data", "params:features", "params:folds", "params:audit", "params:seed"),
                ],
                "second_audit",
                name="ask_the_audit_again",
            ),
            Node(
                evidence_nodes.record_evidence,
                ["economics", "placebo_scores", "overfitting"],
                "evidence_records",
                name="record_evidence",
            ),
            Node(
                evidence_nodes.gather_gate_facts,
                [
                    "scores",
                    "ensemble_choice",
                    "audited_panel",
                    "ledger",
                    "trials",
                    "placebo_scores",
                    "importance_stability",
                    "economics",
                    "economics_omitted",
                    "params:profile",
                ],
                "gate_facts",
                name="gather_gate_facts",
            ),
            Node(
                nodes.write_report,
                [
                    "scores",
                    "symbol_scores",
                    "daily_auc",
                    "ensemble_choice",
                    "audit_report",
                    "fold_plan",
                    "feature_catalog",
                    "data_facts",
                    "quality_report",
                    "ledger",
                    "trials",
                    "holdout_openings",
                    "calibration_curve",
                    "ic_decay",
                    "model_confidence",
                    "overfitting",
                    "undefined",
                    "placebo_scores",
                    "economics",
                    "quantile_returns",
                    "economics_omitted",
                    "second_audit",
                    "importances",
                    "importance_stability",
                    "shadow_scores",
                    "left_out",
                    "params:profile",
                ],
                ["report", "summary", "auc_figure", "symbol_figure", "fold_figure"],
                name="write_report",
            ),
        ],
        tags="reporting",
    )
