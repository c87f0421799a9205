"""Pipeline `ensembling`."""

from conviction_kedro.pipelines.ensembling.pipeline import create_pipeline

__all__ = ["create_pipeline"]
