"""Pipeline `feature_groups`."""

from conviction_kedro.pipelines.feature_groups.pipeline import create_pipeline

__all__ = ["create_pipeline"]
