"""Wiring of `data_engineering`."""

from __future__ import annotations

from kedro.pipeline import Node, Pipeline

from conviction_kedro.pipelines.data_engineering import nodes

BAR_INPUTS = ["raw_bars", "renames", "params:source", "params:data", "params:universe", "params:universes"]
# What is joined to the bars, after them in the order of `nodes.make_panel`.
PANEL_INPUTS = [
    *("index_prices", "vix_prices", "membership", "renames", "news", "macro_releases"),
    *("events", "options", "sectors", "references", "params:data", "params:sources"),
]


def create_pipeline() -> Pipeline:
    """Return raw prices -> bars -> panel -> labels, features -> fold plan."""
    return Pipeline(
        [
            Node(
                nodes.make_bars,
                BAR_INPUTS,
                ["bars", "quality_report"],
                name="check_bars",
            ),
            Node(
                nodes.make_panel,
                ["bars", *PANEL_INPUTS],
                ["panel", "data_facts"],
                name="build_panel",
            ),
            Node(nodes.make_label_table, ["panel", "params:data"], "labels", name="make_labels"),
            Node(
                nodes.make_features,
                ["panel", "params:features", "params:n_jobs"],
                ["feature_matrix", "feature_catalog"],
                name="build_features",
            ),
            Node(nodes.make_folds, ["labels", "params:folds"], "fold_plan", name="plan_folds"),
        ],
        tags="data_engineering",
    )
