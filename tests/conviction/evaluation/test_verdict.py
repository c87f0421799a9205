"""The four verdicts, and how many sessions a test needs."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import norm

from conviction.errors import EvaluationError
from conviction.evaluation import (
    EvaluationParameters,
    Verdict,
    detectable_lift,
    judge,
    score,
    sessions_needed,
    simulate_null_oof,
)

DEFAULTS = EvaluationParameters()


def metrics(pooled=None, daily=None, *, n_sessions=500):
    out = {"n_sessions": float(n_sessions)}
    for name, given in (("auc_pooled", pooled), ("auc_daily", daily)):
        if given is not None:
            value, se = given
            z = norm.ppf(0.975)
            p = 2 * norm.sf(abs(value - 0.5) / se)
            out |= {
                name: value,
                f"{name}_se": se,
                f"{name}_lo": value - z * se,
                f"{name}_hi": value + z * se,
                f"{name}_p": p,
            }
    return out


@pytest.mark.parametrize(
    ("pooled", "daily", "expected"),
    [
        ((0.51, 0.002), (0.50, 0.002), Verdict.SKILL),
        ((0.50, 0.004), (0.51, 0.003), Verdict.SKILL),
        ((0.508, 0.0038), (0.50, 0.004), Verdict.LUCK),  # p = 0.035 alone, 0.07 as the better of two
        ((0.508, 0.0038), None, Verdict.SKILL),  # the same as the only test
        ((0.49, 0.002), (0.50, 0.002), Verdict.LUCK),  # below one half is no skill
        ((0.52, 0.02), (0.51, 0.01), Verdict.UNDERPOWERED),
        ((0.58, 0.01), None, Verdict.IMPLAUSIBLE),  # the whole interval is above 0.55
        ((0.42, 0.01), None, Verdict.IMPLAUSIBLE),  # and its mirror image
        ((0.62, 0.04), None, Verdict.IMPLAUSIBLE),  # above 0.60 and not luck
        ((0.39, 0.04), None, Verdict.IMPLAUSIBLE),
        ((0.62, 0.08), None, Verdict.UNDERPOWERED),  # one symbol shows that by luck
        ((0.56, 0.01), None, Verdict.SKILL),
        ((0.595, 0.037), None, Verdict.UNDERPOWERED),  # one stock over a year never supports a claim
        ((0.595, 0.037), (0.51, 0.002), Verdict.SKILL),  # the other test does
        ((0.51, 0.003), (0.60, 0.01), Verdict.IMPLAUSIBLE),  # one implausible AUC is enough
        (None, None, Verdict.UNDERPOWERED),
    ],
)
def test_verdict_of_two_aucs(pooled, daily, expected):
    assert judge(metrics(pooled, daily), evaluation=DEFAULTS).verdict is expected


def test_below_one_half_by_more_than_luck_is_said():
    assert "below one half" in judge(metrics((0.49, 0.002)), evaluation=DEFAULTS).reason


def test_underpowered_names_the_sessions_that_would_do():
    said = judge(metrics((0.5, 0.02), n_sessions=250), evaluation=DEFAULTS).reason
    needed = sessions_needed(lift=0.02, se=0.02, n_sessions=250, confidence=0.95, power=0.8)
    assert f"{needed:,} sessions" in said


def test_power_on_the_sessions_needed_is_the_power_asked_for():
    """By simulation: tests of a lift of 0.02 on the suggested number of sessions succeed in about 80 % of cases."""
    pilot = simulate_null_oof(n_symbols=8, n_sessions=400, seed=0, persistence=0.0)
    se = score(pilot, evaluation=DEFAULTS, seed=0).metrics["auc_daily_se"]
    needed = sessions_needed(lift=0.02, se=se, n_sessions=400, confidence=0.95, power=0.8)
    found = np.random.default_rng(0).normal(0.52, se * np.sqrt(400 / needed), 20_000)
    seen = np.abs(found - 0.5) / (se * np.sqrt(400 / needed)) > norm.ppf(0.975)
    assert seen.mean() == pytest.approx(0.8, abs=0.01)


def test_detectable_lift_is_the_sum_of_two_quantiles():
    assert detectable_lift(1.0, confidence=0.95, power=0.8) == pytest.approx(1.959964 + 0.841621, abs=1e-5)


def test_undefined_power_is_refused():
    with pytest.raises(EvaluationError, match="sessions needed"):
        sessions_needed(lift=0.0, se=0.02, n_sessions=250, confidence=0.95, power=0.8)
    with pytest.raises(EvaluationError, match="sessions needed"):
        sessions_needed(lift=0.02, se=float("nan"), n_sessions=250, confidence=0.95, power=0.8)
