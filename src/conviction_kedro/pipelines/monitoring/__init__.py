"""Pipeline `monitoring`."""

from conviction_kedro.pipelines.monitoring.pipeline import create_pipeline

__all__ = ["create_pipeline"]
