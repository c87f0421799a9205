"""Paired comparisons against obvious loops, and their size."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from sklearn.metrics import roc_auc_score

from conviction.errors import EvaluationError
from conviction.evaluation import EvaluationParameters, compare, newey_west_mean, simulate_null_oof

FAST = EvaluationParameters(n_resamples=300)


def jittered(oof, seed, width=0.02):
    noise = np.random.default_rng(seed).normal(0, width, oof.height)
    return oof.with_columns(score=(pl.col("score") + pl.Series(noise)).clip(0.01, 0.99))


def test_pooled_difference_is_the_difference_of_aucs_and_turns_its_sign():
    oof = simulate_null_oof(n_symbols=10, n_sessions=200, seed=1, skill=0.1)
    a, b = jittered(oof, 1), jittered(oof, 2)
    one, other = compare(a, b, evaluation=FAST, seed=0), compare(b, a, evaluation=FAST, seed=0)
    assert one.a == pytest.approx(roc_auc_score(a["label"], a["score"]), abs=1e-12)
    assert one.delta == pytest.approx(one.a - one.b, abs=1e-12)
    assert other.delta == pytest.approx(-one.delta, abs=1e-12)
    assert (other.lo, other.hi) == (pytest.approx(-one.hi), pytest.approx(-one.lo))
    assert other.p == pytest.approx(one.p)


def test_better_needs_the_whole_interval():
    oof = simulate_null_oof(n_symbols=10, n_sessions=200, seed=1)
    one, other = (
        compare(*pair, evaluation=FAST, seed=0) for pair in ((oof, jittered(oof, 3)), (jittered(oof, 3), oof))
    )
    assert max(one.delta, other.delta) > 0
    assert not one.better
    assert not other.better


def test_blocks_follow_the_memory_of_the_difference_not_of_the_score():
    """A market-timing part shared by both scores has a long memory; their difference has none."""
    oof = simulate_null_oof(n_symbols=5, n_sessions=800, seed=4)
    slow = oof.join(oof.select("session").unique().sort("session").with_row_index("day"), on="session").with_columns(
        wave=((pl.col("day") / 100).sin()), up=pl.col("day") % 200 < 100
    )
    shared = slow.with_columns(score=0.5 + 0.2 * pl.col("wave"), label=pl.col("up").cast(pl.Int8)).select(oof.columns)
    rng = np.random.default_rng(0)
    flips = pl.Series(rng.random(shared.height) < 0.3)
    shared = shared.with_columns(label=pl.when(flips).then(1 - pl.col("label")).otherwise("label").cast(pl.Int8))
    result = compare(jittered(shared, 1, 0.002), jittered(shared, 2, 0.002), evaluation=FAST, seed=0)
    assert result.block < 20


def test_pairing_makes_the_interval_much_shorter_than_the_scores_own():
    oof = simulate_null_oof(n_symbols=10, n_sessions=300, seed=1)
    paired = compare(jittered(oof, 1, 0.003), jittered(oof, 2, 0.003), evaluation=FAST, seed=0)
    independent = compare(
        oof,
        oof.with_columns(score=simulate_null_oof(n_symbols=10, n_sessions=300, seed=9)["score"]),
        evaluation=FAST,
        seed=0,
    )
    assert paired.hi - paired.lo < 0.4 * (independent.hi - independent.lo)


def test_a_score_is_not_better_than_itself():
    oof = simulate_null_oof(n_symbols=10, n_sessions=200, seed=1)
    same = compare(oof, oof, evaluation=FAST, seed=0)
    assert (same.delta, same.lo, same.hi, same.p, same.better) == (0.0, 0.0, 0.0, 1.0, False)


def test_daily_difference_is_the_newey_west_mean_of_session_differences():
    oof = simulate_null_oof(n_symbols=10, n_sessions=200, seed=1, skill=0.1)
    a, b = jittered(oof, 1), jittered(oof, 2)
    differences = []
    for (_,), part in a.join(b, on=["symbol", "session"], suffix="_b").group_by("session", maintain_order=True):
        if 0 < part["label"].sum() < part.height:
            gap = roc_auc_score(part["label"], part["score"]) - roc_auc_score(part["label"], part["score_b"])
            differences.append((part["session"][0], gap))
    series = np.array([gap for _, gap in sorted(differences)])
    expected = newey_west_mean(series, null=0.0, confidence=0.95)
    got = compare(a, b, evaluation=FAST, seed=0, metric="auc_daily")
    assert got.delta == pytest.approx(expected.mean, abs=1e-12)
    assert got.p == pytest.approx(expected.p, rel=1e-9)


def test_rows_of_one_side_only_are_counted_and_left_out():
    oof = simulate_null_oof(n_symbols=10, n_sessions=200, seed=1)
    fewer = jittered(oof.filter(pl.col("symbol") != "S003"), 3)
    got = compare(oof, fewer, evaluation=FAST, seed=0)
    assert (got.n_rows, got.n_unpaired) == (1800, 200)
    common = oof.filter(pl.col("symbol") != "S003")
    assert got.a == pytest.approx(roc_auc_score(common["label"], common["score"]), abs=1e-12)


def test_incomparable_scores_are_refused():
    oof = simulate_null_oof(n_symbols=4, n_sessions=100, seed=1)
    with pytest.raises(EvaluationError, match="same labels"):
        compare(oof, oof.with_columns(label=1 - pl.col("label")), evaluation=FAST, seed=0)
    with pytest.raises(EvaluationError, match="too few sessions"):
        compare(
            oof, oof.filter(pl.col("session") < pl.col("session").min().dt.offset_by("9d")), evaluation=FAST, seed=0
        )
    with pytest.raises(EvaluationError, match="cross-section"):
        compare(oof, oof, evaluation=FAST, seed=0, metric="auc_daily")
    ones = oof.with_columns(label=pl.lit(1, pl.Int8))
    with pytest.raises(EvaluationError, match="one class"):
        compare(ones, ones, evaluation=FAST, seed=0)


def test_two_worthless_scores_differ_about_as_often_as_promised():
    fast = EvaluationParameters(n_resamples=200)
    found = 0
    for seed in range(120):
        base = simulate_null_oof(n_symbols=6, n_sessions=150, seed=seed)
        other = base.with_columns(score=simulate_null_oof(n_symbols=6, n_sessions=150, seed=10_000 + seed)["score"])
        found += compare(base, other, evaluation=fast, seed=seed).p < 0.05
    assert 1 <= found <= 13  # binomial(120, 0.05): 99.5 % below 13
