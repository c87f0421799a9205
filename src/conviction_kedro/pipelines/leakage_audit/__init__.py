"""Pipeline `leakage_audit`."""

from conviction_kedro.pipelines.leakage_audit.pipeline import create_pipeline

__all__ = ["create_pipeline"]
