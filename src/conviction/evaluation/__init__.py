"""Honest numbers: AUC with intervals over sessions, information coefficients, calibration, multiplicity, power, verdicts."""

from __future__ import annotations

from conviction.evaluation._auc import auc, daily_auc, daily_rank_ic
from conviction.evaluation._compare import Comparison, compare
from conviction.evaluation._confidence_set import model_confidence_set
from conviction.evaluation._decay import ic_decay
from conviction.evaluation._explain import Stability, cluster_features, importance_stability, permutation_importance
from conviction.evaluation._importances import (
    CLUSTER_SCHEMA,
    RUNS_SCHEMA,
    SHADOW_SCHEMA,
    STABILITY_SCHEMA,
    ShadowPanel,
    cluster_table,
    importance_runs,
    shadow_panel,
    shadow_table,
    stability_table,
)
from conviction.evaluation._ledger import (
    LedgerOverfitting,
    LedgerTrials,
    deflate_by_ledger,
    ledger_overfitting,
    ledger_trials,
)
from conviction.evaluation._multiplicity import (
    LuckLine,
    benjamini_hochberg,
    expected_best,
    luck_line,
    null_auc_se,
    per_symbol,
)
from conviction.evaluation._permutation import best_symbol_test, permute_by_session, placebo_band
from conviction.evaluation._placebo import PlaceboPanel, placebo_panel, placebo_runs
from conviction.evaluation._probability import known_base_rate
from conviction.evaluation._reliability import reliability
from conviction.evaluation._resampling import (
    BootstrapEstimate,
    MeanEstimate,
    block_counts,
    block_length,
    bootstrap_estimate,
    newey_west_lags,
    newey_west_mean,
)
from conviction.evaluation._score import METRICS, Scores, score, score_table
from conviction.evaluation._selection import out_of_fold_selected, select_features
from conviction.evaluation._shadow import shadow_features, shadow_selection
from conviction.evaluation._simulate import simulate_null_oof
from conviction.evaluation._trials import (
    BacktestOverfitting,
    DeflatedAuc,
    daily_series,
    deflated_auc,
    effective_trials,
    overfitting_probability,
)
from conviction.evaluation._verdict import Judgement, Verdict, detectable_lift, judge, sessions_needed
from conviction.evaluation.parameters import EvaluationParameters

__all__ = [
    "CLUSTER_SCHEMA",
    "METRICS",
    "RUNS_SCHEMA",
    "SHADOW_SCHEMA",
    "STABILITY_SCHEMA",
    "BacktestOverfitting",
    "BootstrapEstimate",
    "Comparison",
    "DeflatedAuc",
    "EvaluationParameters",
    "Judgement",
    "LedgerOverfitting",
    "LedgerTrials",
    "LuckLine",
    "MeanEstimate",
    "PlaceboPanel",
    "Scores",
    "ShadowPanel",
    "Stability",
    "Verdict",
    "auc",
    "benjamini_hochberg",
    "best_symbol_test",
    "block_counts",
    "block_length",
    "bootstrap_estimate",
    "cluster_features",
    "cluster_table",
    "compare",
    "daily_auc",
    "daily_rank_ic",
    "daily_series",
    "deflate_by_ledger",
    "deflated_auc",
    "detectable_lift",
    "effective_trials",
    "expected_best",
    "ic_decay",
    "importance_runs",
    "importance_stability",
    "judge",
    "known_base_rate",
    "ledger_overfitting",
    "ledger_trials",
    "luck_line",
    "model_confidence_set",
    "newey_west_lags",
    "newey_west_mean",
    "null_auc_se",
    "out_of_fold_selected",
    "overfitting_probability",
    "per_symbol",
    "permutation_importance",
    "permute_by_session",
    "placebo_band",
    "placebo_panel",
    "placebo_runs",
    "reliability",
    "score",
    "score_table",
    "select_features",
    "sessions_needed",
    "shadow_features",
    "shadow_panel",
    "shadow_selection",
    "shadow_table",
    "simulate_null_oof",
    "stability_table",
]
