"""Kedro settings: hooks, configuration loader, and no telemetry."""

import os
from typing import Any

from kedro.config import OmegaConfigLoader

from conviction_kedro.hooks import (
    EngineHooks,
    ProvenanceHooks,
    ResumingHooks,
    StudyHooks,
    SummaryHooks,
    TrackingHooks,
    ValidationHooks,
)

# Kedro calls hooks last registered first: validation, provenance, resuming, engine, studies, tracking, summary.
HOOKS = (
    SummaryHooks(),
    TrackingHooks(),
    StudyHooks(),
    EngineHooks(),
    ResumingHooks(),
    ProvenanceHooks(),
    ValidationHooks(),
)
DISABLE_HOOKS_FOR_PLUGINS = ("kedro-telemetry",)

CONFIG_LOADER_CLASS = OmegaConfigLoader


def _from_environment(name: str, default: Any = None) -> Any:
    return os.environ.get(name, default)


CONFIG_LOADER_ARGS = {
    "base_env": "base",
    "default_run_env": "local",
    "merge_strategy": {"parameters": "soft"},
    "custom_resolvers": {"from_environment": _from_environment},
    "config_patterns": {"tracking": ["tracking*", "tracking*/**"]},
}
