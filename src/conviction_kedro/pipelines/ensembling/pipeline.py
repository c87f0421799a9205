"""Wiring of `ensembling`."""

from __future__ import annotations

from kedro.pipeline import Node, Pipeline

from conviction_kedro.pipelines.ensembling import nodes


def create_pipeline() -> Pipeline:
    """Return out-of-fold predictions -> ensemble predictions and the choice."""
    return Pipeline(
        [
            Node(
                nodes.combine,
                ["oof", "params:modeling", "params:ensembling", "params:seed"],
                ["ensemble_oof", "ensemble_choice"],
                name="combine",
            )
        ],
        tags="ensembling",
    )
