"""Honest numbers: AUC with intervals over sessions, information coefficients, calibration, multiplicity, power, verdicts."""

from __future__ import annotations

from conviction.evaluation._auc import auc, daily_auc, daily_rank_ic
from conviction.evaluation._compare import Comparison, compare
from conviction.evaluation._multiplicity import (
    LuckLine,
    benjamini_hochberg,
    expected_best,
    luck_line,
    null_auc_se,
    per_symbol,
)
from conviction.evaluation._resampling import newey_west_lags, newey_west_mean
from conviction.evaluation._score import METRICS, Scores, known_base_rate, score, score_table
from conviction.evaluation._simulate import simulate_null_oof
from conviction.evaluation._verdict import Judgement, Verdict, detectable_lift, judge, sessions_needed
from conviction.evaluation.parameters import EvaluationParameters

__all__ = [
    "METRICS",
    "Comparison",
    "EvaluationParameters",
    "Judgement",
    "LuckLine",
    "Scores",
    "Verdict",
    "auc",
    "benjamini_hochberg",
    "compare",
    "daily_auc",
    "daily_rank_ic",
    "detectable_lift",
    "expected_best",
    "judge",
    "known_base_rate",
    "luck_line",
    "newey_west_lags",
    "newey_west_mean",
    "null_auc_se",
    "per_symbol",
    "score",
    "score_table",
    "sessions_needed",
    "simulate_null_oof",
]
