"""Every pipeline by name. The default is the main job; it never opens the hold-out."""

from __future__ import annotations

from kedro.framework.project import find_pipelines
from kedro.pipeline import Pipeline

from conviction_kedro.engine_choice import DELEGATED, engine_of_pipelines
from conviction_kedro.pipelines import delegated_tuning

MAIN_JOB = ("data_engineering", "leakage_audit", "modeling", "ensembling", "reporting")


def register_pipelines() -> dict[str, Pipeline]:
    """Return all pipelines; `__default__` is the main job in the order of the data."""
    found = find_pipelines(raise_errors=True)
    if "modeling" in found and engine_of_pipelines() in DELEGATED:
        found["modeling"] = _delegated(found["modeling"])
    pipelines = {name: _folded(name, pipeline) for name, pipeline in found.items()}
    pipelines["__default__"] = sum((pipelines[name] for name in MAIN_JOB if name in pipelines), Pipeline([]))
    return pipelines


def _folded(name: str, pipeline: Pipeline) -> Pipeline:
    """Give the nodes a namespace of their pipeline: Kedro-Viz folds it into one box; names of datasets stay as they are."""
    if not pipeline.nodes or any(node.namespace for node in pipeline.nodes):
        return pipeline
    return Pipeline(pipeline, namespace=name, prefix_datasets_with_namespace=False)


def _delegated(modeling: Pipeline) -> Pipeline:
    """Return `modeling` with request, launch and collect in the place of the search."""
    here = Pipeline([node for node in modeling.nodes if node.name != "tune_models"])
    return Pipeline(delegated_tuning.create_pipeline(), tags="modeling") + here
