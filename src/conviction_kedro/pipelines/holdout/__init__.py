"""Pipeline `holdout`."""

from conviction_kedro.pipelines.holdout.pipeline import create_pipeline

__all__ = ["create_pipeline"]
