"""Nested tuning: each outer fold searches on its own training sessions; every trial goes on the ledger."""

from conviction.tuning._all import Tunings, searches_of, tune_all, tunings_of
from conviction.tuning._delegated import gather_trials, stage_rows
from conviction.tuning._feature_space import feature_search_space
from conviction.tuning._objective import objective_value
from conviction.tuning._study import opened
from conviction.tuning._tune import LEDGER_SCHEMA, TuningResult, empty_ledger, search_space, tune
from conviction.tuning.parameters import TuningParameters

__all__ = [
    "LEDGER_SCHEMA",
    "TuningParameters",
    "TuningResult",
    "Tunings",
    "empty_ledger",
    "feature_search_space",
    "gather_trials",
    "objective_value",
    "opened",
    "search_space",
    "searches_of",
    "stage_rows",
    "tune",
    "tune_all",
    "tunings_of",
]
