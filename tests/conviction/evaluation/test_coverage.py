"""Intervals hold the truth as often as they promise, on panels in which stocks move together."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from conviction.evaluation import EvaluationParameters, null_auc_se, score, simulate_null_oof

PROJECT = Path(__file__).resolve().parents[3]


@pytest.mark.slow
def test_intervals_over_sessions_hold_one_half_and_per_row_ones_do_not():
    evaluation = EvaluationParameters(n_resamples=300)
    held = np.zeros(3)
    for seed in range(300):
        oof = simulate_null_oof(n_symbols=25, n_sessions=250, seed=seed)
        m = score(oof, evaluation=evaluation, seed=seed).metrics
        ones = int(oof["label"].sum())
        row_se = null_auc_se(n_positive=ones, n_negative=oof.height - ones)
        held += [
            m["auc_pooled_lo"] <= 0.5 <= m["auc_pooled_hi"],
            m["auc_daily_lo"] <= 0.5 <= m["auc_daily_hi"],
            abs(m["auc_pooled"] - 0.5) <= 1.96 * row_se,
        ]
    pooled, daily, per_row = held / 300
    assert 0.92 <= pooled <= 0.98
    assert 0.92 <= daily <= 0.98
    assert per_row < 0.8


@pytest.mark.slow
def test_the_benchmark_ends_with_one_line_of_json():
    out = subprocess.run(
        [
            sys.executable,
            PROJECT / "benchmarks" / "evaluation.py",
            "--panels",
            "5",
            "--sessions",
            "120",
            "--resamples",
            "100",
        ],
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    result = json.loads(out.splitlines()[-1])
    assert 0 <= result["coverage"] <= 1
    assert result["panels"] == 5
    assert result["seconds_50k_rows"] > 0
