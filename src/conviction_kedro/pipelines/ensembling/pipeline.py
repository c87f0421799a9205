"""Wiring of `ensembling`."""

from __future__ import annotations

from kedro.pipeline import Node, Pipeline

from conviction_kedro.pipelines.ensembling import nodes


def create_pipeline() -> Pipeline:
    """Return out-of-fold predictions -> ensemble predictions and the choice; placebos beside them."""
    return Pipeline(
        [
            Node(
                nodes.combine,
                ["oof", "params:modeling", "params:ensembling", "params:seed"],
                ["ensemble_oof", "ensemble_choice"],
                name="combine",
            ),
            Node(
                nodes.run_placebos,
                [
                    "audited_panel",
                    "fold_plan",
                    "best_parameters",
                    "oof",
                    "params:modeling",
                    "params:ensembling",
                    "params:evaluation",
                    "params:assurance",
                    "params:profile",
                    "params:seed",
                    "params:n_jobs",
                ],
                "placebo_scores",
                name="run_placebos",
            ),
        ],
        tags="ensembling",
    )
