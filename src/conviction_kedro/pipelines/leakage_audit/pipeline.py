"""Wiring of `leakage_audit`."""

from __future__ import annotations

from kedro.pipeline import Node, Pipeline

from conviction_kedro.pipelines.leakage_audit import nodes


def create_pipeline() -> Pipeline:
    """Return audit -> certify; the report is saved before the verdict can stop the run."""
    data = ["panel", "feature_matrix", "labels", "fold_plan"]
    return Pipeline(
        [
            Node(
                nodes.audit,
                [*data, "params:data", "params:features", "params:folds", "params:audit", "params:seed"],
                ["audit_report", "audit_table", "audit_section"],
                name="audit",
            ),
            Node(nodes.certify_panel, ["audit_report", *data, "params:audit"], "audited_panel", name="certify"),
        ],
        tags="leakage_audit",
    )
