"""Hooks: validation of parameters, provenance and snapshot keys, resuming, the engine, tracking in MLflow."""

from conviction_kedro.hooks._engine import EngineHooks
from conviction_kedro.hooks._provenance import ProvenanceHooks
from conviction_kedro.hooks._resuming import ResumingHooks
from conviction_kedro.hooks._studies import StudyHooks
from conviction_kedro.hooks._summary import SummaryHooks
from conviction_kedro.hooks._tracking import TrackingHooks
from conviction_kedro.hooks._validation import ValidationHooks

__all__ = [
    "EngineHooks",
    "ProvenanceHooks",
    "ResumingHooks",
    "StudyHooks",
    "SummaryHooks",
    "TrackingHooks",
    "ValidationHooks",
]
