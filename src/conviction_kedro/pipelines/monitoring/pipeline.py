"""Wiring of `monitoring`."""

from __future__ import annotations

from kedro.pipeline import Node, Pipeline

from conviction_kedro.pipelines.data_engineering.nodes import make_bars, make_panel
from conviction_kedro.pipelines.data_engineering.pipeline import BAR_INPUTS, PANEL_INPUTS
from conviction_kedro.pipelines.monitoring import nodes


def create_pipeline() -> Pipeline:
    """Return newest prices -> features, labels and scores -> report -> alarm; what training saved is only read."""
    return Pipeline(
        [
            Node(
                make_bars,
                BAR_INPUTS,
                ["monitoring_bars", "monitoring_quality"],
                name="check_watched_bars",
            ),
            Node(
                make_panel,
                ["monitoring_bars", *PANEL_INPUTS],
                ["monitoring_panel", "monitoring_facts"],
                name="build_watched_panel",
            ),
            Node(
                nodes.observe,
                [
                    "monitoring_panel",
                    "audited_panel",
                    "ensemble_oof",
                    "champion",
                    "params:features",
                    "params:data",
                    "params:n_jobs",
                ],
                "monitoring_frame",
                name="observe",
            ),
            Node(
                nodes.compare_periods,
                ["monitoring_frame", "audited_panel", "champion", "params:monitoring"],
                ["drift_report", "drift_section", "drift_note"],
                name="compare_periods",
            ),
            Node(nodes.sound_alarm, "drift_report", None, name="sound_alarm"),
        ],
        tags="monitoring",
    )
