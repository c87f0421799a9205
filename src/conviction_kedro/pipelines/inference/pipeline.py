"""Wiring of `inference`."""

from __future__ import annotations

from kedro.pipeline import Node, Pipeline

from conviction_kedro.pipelines.data_engineering.nodes import make_bars, make_panel
from conviction_kedro.pipelines.data_engineering.pipeline import BAR_INPUTS, PANEL_INPUTS
from conviction_kedro.pipelines.inference import nodes


def create_pipeline() -> Pipeline:
    """Return newest prices -> bars -> panel -> rows of the newest session; what training saved is only read."""
    return Pipeline(
        [
            Node(
                make_bars,
                BAR_INPUTS,
                ["inference_bars", "inference_quality"],
                name="check_newest_bars",
            ),
            Node(
                make_panel,
                ["inference_bars", *PANEL_INPUTS],
                ["inference_panel", "inference_facts"],
                name="build_newest_panel",
            ),
            Node(
                nodes.make_request,
                ["inference_panel", "audited_panel", "champion", "params:features", "params:data", "params:n_jobs"],
                ["inference_rows", "inference_request", "inference_body", "inference_note"],
                name="make_request",
            ),
        ],
        tags="inference",
    )
