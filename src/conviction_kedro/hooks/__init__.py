"""Hooks: validation of parameters, provenance and snapshot keys, the engine, tracking in MLflow."""

from conviction_kedro.hooks._engine import EngineHooks
from conviction_kedro.hooks._provenance import ProvenanceHooks
from conviction_kedro.hooks._summary import SummaryHooks
from conviction_kedro.hooks._tracking import TrackingHooks
from conviction_kedro.hooks._validation import ValidationHooks

__all__ = ["EngineHooks", "ProvenanceHooks", "SummaryHooks", "TrackingHooks", "ValidationHooks"]
