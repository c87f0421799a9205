"""Wiring of `holdout`."""

from __future__ import annotations

from kedro.pipeline import Node, Pipeline

from conviction_kedro.pipelines.holdout import nodes


def create_pipeline() -> Pipeline:
    """Return opening on record -> predictions of the hold-out -> scores."""
    return Pipeline(
        [
            Node(
                nodes.open_holdout,
                ["audited_panel", "fold_plan", "params:holdout"],
                "holdout_openings",
                name="open_holdout",
            ),
            Node(
                nodes.predict_holdout,
                [
                    "holdout_openings",
                    "audited_panel",
                    "fold_plan",
                    "best_parameters",
                    "oof",
                    "ensemble_choice",
                    "panel",
                    "params:features",
                    "params:modeling",
                    "params:ensembling",
                    "params:seed",
                ],
                "holdout_oof",
                name="predict_holdout",
            ),
            Node(
                nodes.score_holdout,
                ["holdout_oof", "params:modeling", "params:evaluation", "params:seed"],
                ["holdout_scores", "holdout_records"],
                name="score_holdout",
            ),
        ],
        tags="holdout",
    )
