"""Many trials: effective number, deflation, overfitting, confidence set, decay."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import polars as pl
import pytest
from scipy.stats import norm, rankdata, spearmanr

from conviction.errors import EvaluationError
from conviction.evaluation import (
    EvaluationParameters,
    daily_auc,
    daily_series,
    deflate_by_ledger,
    deflated_auc,
    effective_trials,
    expected_best,
    ic_decay,
    model_confidence_set,
    newey_west_mean,
    overfitting_probability,
    simulate_null_oof,
)

FAST = EvaluationParameters(n_resamples=300)


def several(skills, *, n_symbols=10, n_sessions=150, seed=1, noise=0.01):
    rng = np.random.default_rng(seed)
    parts = []
    for position, skill in enumerate(skills):
        one = simulate_null_oof(n_symbols=n_symbols, n_sessions=n_sessions, seed=seed, skill=skill)
        score = one["score"] + pl.Series(rng.normal(0, noise, one.height))
        parts.append(one.with_columns(model=pl.lit(f"m{position}"), score=score))
    return pl.concat(parts)


def test_daily_series_puts_common_sessions_side_by_side():
    oof = several((0.0, 0.1))
    dropped = oof.filter((pl.col("model") != "m1") | (pl.col("session") > oof["session"].min()))
    series = daily_series(dropped, min_symbols=5)
    assert series.columns == ["session", "m0", "m1"]
    assert oof["session"].min() not in series["session"]
    one = daily_auc(dropped.filter(pl.col("model") == "m1"), min_symbols=5)
    assert one.join(series, on="session").select((pl.col("auc") == pl.col("m1")).all()).item()
    with pytest.raises(EvaluationError, match="several targets"):
        daily_series(pl.concat([oof, oof.with_columns(target=pl.lit("relative"))]), min_symbols=5)
    with pytest.raises(EvaluationError, match="no session has"):
        daily_series(oof, min_symbols=50)


def test_effective_trials_between_one_and_all():
    rng = np.random.default_rng(0)
    independent = rng.normal(size=(5000, 20))
    assert effective_trials(independent) == pytest.approx(20, abs=0.5)
    common = rng.normal(size=(5000, 1))
    half = np.sqrt(0.5) * common + np.sqrt(0.5) * independent
    assert effective_trials(half) == pytest.approx(0.5 + 0.5 * 20, abs=0.5)
    assert effective_trials(common) == 1.0
    correlations = np.corrcoef(half.T)
    mean = correlations[np.triu_indices(20, 1)].mean()
    assert effective_trials(half) == pytest.approx(mean + (1 - mean) * 20, abs=1e-9)


def test_deflated_auc_is_the_formula_and_has_the_right_size_under_luck():
    result = deflated_auc(0.53, se=0.01, n_trials=50, trial_sd=0.01)
    assert result.expected_best == expected_best(50, se=0.01)
    assert result.probability == pytest.approx(norm.cdf((0.53 - result.expected_best) / 0.01), abs=1e-12)
    best = np.random.default_rng(0).normal(0.5, 0.01, (5000, 50)).max(axis=1)
    claimed = np.mean([deflated_auc(value, se=0.01, n_trials=50, trial_sd=0.01).probability >= 0.95 for value in best])
    assert claimed < 0.01  # far fewer than the 92 % that an uncorrected 0.95 would let through
    assert np.mean(best > 0.5 + norm.ppf(0.95) * 0.01) > 0.9


def test_deflated_auc_without_a_standard_error_is_refused():
    with pytest.raises(EvaluationError, match="standard error"):
        deflated_auc(0.53, se=0.0, n_trials=50, trial_sd=0.01)
    with pytest.raises(EvaluationError, match="expected best"):
        deflated_auc(0.53, se=0.01, n_trials=0, trial_sd=0.01)


def test_the_ledger_counts_each_distinct_finished_trial_of_the_target_once():
    ledger = pl.DataFrame(
        {
            "target": ["direction"] * 6 + ["relative"] * 3,
            "state": ["complete"] * 4 + ["pruned", "failed"] + ["complete"] * 3,
            "predictions_sha": ["a", "b", "b", "c", "d", None, "e", "f", "g"],
        }
    )
    metrics = {"auc_daily": 0.53, "auc_daily_se": 0.01, "auc_pooled": 0.52, "auc_pooled_se": 0.02}
    assert deflate_by_ledger(metrics, ledger, target="direction") == deflated_auc(
        0.53, se=0.01, n_trials=3, trial_sd=0.01
    )
    pooled = deflate_by_ledger(metrics, ledger, target="relative", metric="auc_pooled", correlation=0.5)
    assert pooled == deflated_auc(0.52, se=0.02, n_trials=0.5 + 0.5 * 3, trial_sd=0.02)
    nobody = deflate_by_ledger(metrics, ledger.head(0), target="direction")
    assert nobody == deflated_auc(0.53, se=0.01, n_trials=1, trial_sd=0.01)
    with pytest.raises(EvaluationError, match="deflated by the ledger"):
        deflate_by_ledger({"auc_daily": 0.53}, ledger, target="direction")
    with pytest.raises(EvaluationError, match="correlation 2"):
        deflate_by_ledger(metrics, ledger, target="direction", correlation=2)


def test_overfitting_probability_equals_a_slow_loop():
    series = np.random.default_rng(3).normal(0.5, 0.05, (53, 7))
    blocks = np.array_split(np.arange(53), 6)
    logits, firsts, seconds = [], [], []
    for chosen in combinations(range(6), 3):
        inside = np.concatenate([blocks[b] for b in chosen])
        outside = np.setdiff1d(np.arange(53), inside)
        best = series[inside].mean(axis=0).argmax()
        rank = rankdata(series[outside].mean(axis=0))[best] / 8
        logits.append(np.log(rank / (1 - rank)))
        firsts.append(series[inside].mean(axis=0)[best])
        seconds.append(series[outside].mean(axis=0)[best])
    result = overfitting_probability(series, n_blocks=6)
    np.testing.assert_allclose(result.logits, logits, atol=1e-12)
    assert result.pbo == np.mean(np.array(logits) <= 0)
    assert result.slope == pytest.approx(np.polyfit(firsts, seconds, 1)[0], abs=1e-9)
    assert result.loss == np.mean(np.array(seconds) < 0.5)


def test_overfitting_probability_is_high_for_luck_and_low_for_skill():
    rng = np.random.default_rng(0)
    luck = [overfitting_probability(rng.normal(0.5, 0.05, (400, 30)), n_blocks=8).pbo for _ in range(30)]
    assert 0.4 < np.mean(luck) < 0.65
    skilled = rng.normal(0.5, 0.05, (400, 30))
    skilled[:, 4] += 0.02
    result = overfitting_probability(skilled, n_blocks=8)
    assert result.pbo < 0.05
    assert result.loss < 0.05


@pytest.mark.parametrize(
    ("shape", "n_blocks"), [((100, 1), 8), ((100, 5), 7), ((100, 5), 2), ((10, 5), 12), ((100, 5), 22)]
)
def test_impossible_overfitting_probability_is_refused(shape, n_blocks):
    with pytest.raises(EvaluationError, match="overfitting is not defined"):
        overfitting_probability(np.zeros(shape), n_blocks=n_blocks)


@pytest.mark.parametrize("loss", ["auc_daily", "log_loss"])
def test_confidence_set_keeps_the_best_and_drops_the_poor(loss):
    oof = several((0.0, 0.5, 0.5), n_symbols=20)
    table = model_confidence_set(oof, evaluation=FAST, seed=0, loss=loss)
    included = dict(table.select("model", "included").iter_rows())
    assert not included["m0"]
    assert included[table["model"][0]]
    assert table["loss"].is_sorted()
    worst = table.filter(pl.col("model") == "m0")
    if loss == "auc_daily":
        assert worst["loss"].item() == pytest.approx(1 - daily_series(oof, min_symbols=5)["m0"].mean(), abs=1e-12)
    assert worst["p"].item() < 0.1
    assert table["p"].max() == 1.0


def test_confidence_set_keeps_all_equally_poor_models_most_of_the_time():
    kept = [
        model_confidence_set(several((0.0, 0.0, 0.0), seed=seed, noise=0.05), evaluation=FAST, seed=seed)[
            "included"
        ].sum()
        for seed in range(12)
    ]
    assert np.mean(kept) > 2.5


def test_confidence_set_treats_identical_models_alike():
    oof = several((0.0, 0.5), n_symbols=20)
    twin = oof.filter(pl.col("model") == "m1").with_columns(model=pl.lit("twin"))
    table = model_confidence_set(pl.concat([oof, twin]), evaluation=FAST, seed=0)
    rows = {row["model"]: (row["loss"], row["p"], row["included"]) for row in table.iter_rows(named=True)}
    assert rows["m1"] == rows["twin"]
    assert rows["m1"][2]
    assert not rows["m0"][2]
    only_twins = pl.concat([oof.filter(pl.col("model") == "m1"), twin])
    assert model_confidence_set(only_twins, evaluation=FAST, seed=0)["included"].all()


def test_confidence_set_of_one_model_is_refused():
    with pytest.raises(EvaluationError, match="several models"):
        model_confidence_set(several((0.0,)), evaluation=FAST, seed=0)


def test_ic_decay_equals_a_slow_loop():
    oof = simulate_null_oof(n_symbols=8, n_sessions=90, seed=1, skill=0.2)
    gappy = oof.filter((pl.col("symbol") != "S001") | (pl.int_range(pl.len()).over("symbol") % 7 > 0))
    table = ic_decay(gappy, evaluation=FAST, lags=(0, 3))
    sessions = gappy["session"].unique().sort().to_list()
    score = {(s, d): v for s, d, v in gappy.select("symbol", "session", "score").iter_rows()}
    later = {(s, d): v for s, d, v in gappy.select("symbol", "session", "forward_return").iter_rows()}
    for lag in (0, 3):
        series = []
        for position in range(len(sessions) - lag):
            pairs = [
                (value, later[symbol, sessions[position + lag]])
                for (symbol, day), value in score.items()
                if day == sessions[position] and (symbol, sessions[position + lag]) in later
            ]
            series.append(spearmanr(*zip(*pairs, strict=True)).statistic)
        expected = newey_west_mean(np.array(series), null=0.0, confidence=0.95)
        row = table.filter(pl.col("lag") == lag).row(0, named=True)
        assert row["rank_ic"] == pytest.approx(expected.mean, abs=1e-12)
        assert row["t"] == pytest.approx(expected.t, rel=1e-9)
        assert row["n_sessions"] == len(series)


def test_ic_decay_of_too_late_a_lag_is_null_and_of_a_negative_one_refused():
    oof = simulate_null_oof(n_symbols=8, n_sessions=90, seed=1)
    assert ic_decay(oof, evaluation=FAST, lags=(80,))["rank_ic"].to_list() == [None]
    with pytest.raises(EvaluationError, match="negative"):
        ic_decay(oof, evaluation=FAST, lags=(-1,))
