"""What the ledger says: distinct trials, how many they amount to, and whether choosing the best of them helped."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from conviction.errors import EvaluationError
from conviction.evaluation import (
    deflate_by_ledger,
    deflated_auc,
    effective_trials,
    ledger_overfitting,
    ledger_trials,
    overfitting_probability,
)


def ledger(*groups, target="relative"):
    """One row a trial; each group is a fold's matrix (sessions x trials), or a number of trials without session scores."""
    rows = []
    for fold, group in enumerate(groups):
        columns = [None] * group if isinstance(group, int) else group.T.tolist()
        for trial, series in enumerate(columns):
            rows.append(
                {"target": target, "state": "complete", "predictions_sha": f"{fold}.{trial}", "fold": fold,
                 "plan_sha": "p", "by_session": series}
            )  # fmt: skip
    return pl.DataFrame(rows, schema_overrides={"by_session": pl.List(pl.Float64)}, infer_schema_length=None)


def noise(n_sessions, n_trials, *, seed=0, common=0.0):
    rng = np.random.default_rng(seed)
    return 0.5 + 0.05 * (rng.normal(size=(n_sessions, n_trials)) + common * rng.normal(size=(n_sessions, 1)))


def test_groups_on_other_sessions_add_up_and_unmeasured_trials_count_in_full():
    one, two = noise(60, 5, common=2.0), noise(90, 4, seed=1, common=2.0)
    found = ledger_trials(ledger(one, two, 3), target="relative")
    assert (found.n, found.n_measured) == (12, 9)
    assert found.effective == pytest.approx(effective_trials(one) + effective_trials(two) + 3)
    assert 5 < found.effective < 9


def test_copies_and_unfinished_trials_and_other_targets_are_no_trials():
    table = ledger(noise(60, 3))
    copies = table.vstack(table)
    unfinished = table.with_columns(state=pl.lit("pruned"), predictions_sha=pl.lit("x"))
    others = ledger(noise(60, 3), target="direction")
    assert ledger_trials(pl.concat([copies, unfinished, others]), target="relative") == ledger_trials(
        table, target="relative"
    )


def test_an_empty_ledger_is_one_trial():
    assert ledger_trials(ledger(noise(60, 2)).clear(), target="relative").effective == 1.0


def test_the_deflation_takes_the_measured_number_and_less_than_every_trial_in_full():
    table = ledger(noise(60, 20, common=2.0))
    metrics = {"auc_daily": 0.52, "auc_daily_se": 0.01}
    found = deflate_by_ledger(metrics, table, target="relative")
    n = ledger_trials(table, target="relative").effective
    assert found == deflated_auc(0.52, se=0.01, n_trials=n, trial_sd=0.01)
    assert found.probability > deflate_by_ledger(metrics, table, target="relative", correlation=0.0).probability


def test_overfitting_is_the_weighted_mean_over_folds():
    one, two = noise(64, 5), noise(96, 4, seed=1)
    found = ledger_overfitting(ledger(one, two), target="relative")
    apart = [overfitting_probability(series, n_blocks=16).pbo for series in (one, two)]
    assert found.by_fold["pbo"].to_list() == apart
    assert found.pbo == pytest.approx((64 * apart[0] + 96 * apart[1]) / 160)


def test_a_search_with_one_good_trial_is_not_overfitted_and_one_among_noise_is():
    good = noise(120, 8)
    good[:, 3] += 0.1
    assert ledger_overfitting(ledger(good), target="relative").pbo < 0.05
    drawn = [ledger_overfitting(ledger(noise(120, 8, seed=seed)), target="relative").pbo for seed in range(20)]
    assert 0.3 < np.mean(drawn) < 0.7


def test_a_ledger_that_cannot_say_says_why():
    with pytest.raises(EvaluationError, match="auc_daily"):
        ledger_overfitting(ledger(5), target="relative")
    with pytest.raises(EvaluationError, match="two different trials"):
        ledger_overfitting(ledger(noise(60, 1)), target="relative")
