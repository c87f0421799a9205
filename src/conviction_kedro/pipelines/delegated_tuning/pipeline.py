"""Wiring of `delegated_tuning`, which stands in the place of `tune_models` when the engine is SageMaker."""

from __future__ import annotations

from kedro.pipeline import Node, Pipeline

from conviction_kedro.pipelines.delegated_tuning import nodes


def create_pipeline() -> Pipeline:
    """Return audited panel and fold plan -> requests -> launched jobs -> tuned parameters and trials."""
    data, settings = ["audited_panel", "fold_plan"], ["params:modeling", "params:sagemaker"]
    return Pipeline(
        [
            Node(
                nodes.request_tuning,
                [*data, *settings, "params:seed"],
                ["tuning_request", "tuning_plan", "request_records"],
                name="request_tuning",
            ),
            Node(
                nodes.launch_tuning,
                [*data, "tuning_request", *settings, "params:engine"],
                ["tuning_jobs", "launch_records"],
                name="launch_tuning",
            ),
            Node(
                nodes.collect_tuning,
                [*data, "tuning_request", "tuning_jobs", *settings, "params:seed", "params:engine"],
                [
                    "best_parameters",
                    "trials",
                    "ledger",
                    "delegated_trials",
                    "trial_analysis",
                    "trial_table",
                    "trial_records",
                ],
                name="collect_tuning",
            ),
        ],
        tags=["delegated_tuning"],
    )
