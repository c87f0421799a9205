"""Every pipeline by name. The default is the main job; it never opens the hold-out."""

from __future__ import annotations

from kedro.framework.project import find_pipelines
from kedro.pipeline import Pipeline

MAIN_JOB = ("data_engineering", "leakage_audit", "modeling", "ensembling", "reporting")


def register_pipelines() -> dict[str, Pipeline]:
    """Return all pipelines; `__default__` is the main job in the order of the data."""
    pipelines = {name: _folded(name, pipeline) for name, pipeline in find_pipelines(raise_errors=True).items()}
    pipelines["__default__"] = sum((pipelines[name] for name in MAIN_JOB if name in pipelines), Pipeline([]))
    return pipelines


def _folded(name: str, pipeline: Pipeline) -> Pipeline:
    """Give the nodes a namespace of their pipeline: Kedro-Viz folds it into one box; names of datasets stay as they are."""
    if not pipeline.nodes or any(node.namespace for node in pipeline.nodes):
        return pipeline
    return Pipeline(pipeline, namespace=name, prefix_datasets_with_namespace=False)
