"""Every pipeline by name. The default is the main job; it never opens the hold-out."""

from __future__ import annotations

from kedro.framework.project import find_pipelines
from kedro.pipeline import Pipeline

MAIN_JOB = ("data_engineering", "leakage_audit", "modeling", "ensembling", "reporting")


def register_pipelines() -> dict[str, Pipeline]:
    """Return all pipelines; `__default__` is the main job in the order of the data."""
    pipelines = find_pipelines(raise_errors=True)
    pipelines["__default__"] = sum((pipelines[name] for name in MAIN_JOB if name in pipelines), Pipeline([]))
    return pipelines
