"""Wiring of `feature_groups`."""

from __future__ import annotations

from kedro.pipeline import Node, Pipeline

from conviction_kedro.pipelines.feature_groups import nodes


def create_pipeline() -> Pipeline:
    """Return audited panel -> predictions by group -> table of AUCs by symbol and group."""
    return Pipeline(
        [
            Node(
                nodes.predict_by_group,
                ["audited_panel", "fold_plan", "params:feature_groups", "params:seed", "params:n_jobs"],
                "group_oof",
                name="predict_by_group",
            ),
            Node(
                nodes.score_groups,
                ["group_oof", "params:evaluation", "params:seed"],
                ["group_scores", "group_table"],
                name="score_groups",
            ),
        ],
        tags="feature_groups",
    )
