"""Pipeline `delegated_tuning`."""

from conviction_kedro.pipelines.delegated_tuning.pipeline import create_pipeline

__all__ = ["create_pipeline"]
