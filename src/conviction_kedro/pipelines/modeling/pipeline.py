"""Wiring of `modeling`."""

from __future__ import annotations

from kedro.pipeline import Node, Pipeline

from conviction_kedro.pipelines.modeling import nodes


def create_pipeline() -> Pipeline:
    """Return audited panel and fold plan -> tuned parameters, trials -> out-of-fold predictions and models."""
    common = ["panel", "params:features", "params:modeling", "params:seed", "params:n_jobs"]
    return Pipeline(
        [
            Node(
                nodes.tune_models,
                ["audited_panel", "fold_plan", *common],
                ["best_parameters", "trials", "ledger", "trial_records"],
                name="tune_models",
            ),
            Node(
                nodes.predict_out_of_fold,
                ["audited_panel", "fold_plan", "best_parameters", "trials", *common],
                ["oof", "models", "importances", "learning_curves", "left_out", "model_records"],
                name="predict_out_of_fold",
            ),
        ],
        tags="modeling",
    )
