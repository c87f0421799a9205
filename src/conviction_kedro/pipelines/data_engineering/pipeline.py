"""Wiring of `data_engineering`."""

from __future__ import annotations

from kedro.pipeline import Node, Pipeline

from conviction_kedro.pipelines.data_engineering import nodes


def create_pipeline() -> Pipeline:
    """Return raw prices -> bars -> panel -> labels, features -> fold plan."""
    return Pipeline(
        [
            Node(
                nodes.make_bars,
                ["raw_bars", "params:source", "params:data", "params:universe", "params:universes"],
                ["bars", "quality_report"],
                name="check_bars",
            ),
            Node(
                nodes.make_panel,
                ["bars", "index_prices", "vix_prices", "membership", "news", "macro_releases", "params:data"],
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
