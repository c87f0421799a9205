"""Many symbols: intervals, false-discovery rates and what luck alone shows."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from scipy.stats import mannwhitneyu, norm, rankdata
from sklearn.metrics import roc_auc_score
from statsmodels.stats.multitest import multipletests

from conviction.errors import EvaluationError
from conviction.evaluation import (
    EvaluationParameters,
    benjamini_hochberg,
    expected_best,
    luck_line,
    null_auc_se,
    per_symbol,
    simulate_null_oof,
)

FAST = EvaluationParameters(n_resamples=300)


def test_each_symbol_has_scikit_learns_auc_and_statsmodels_q():
    oof = simulate_null_oof(n_symbols=12, n_sessions=150, seed=3)
    table = per_symbol(oof, evaluation=FAST, seed=0)
    assert table["symbol"].to_list() == sorted(oof["symbol"].unique())
    for symbol, value in table.select("symbol", "auc").iter_rows():
        part = oof.filter(pl.col("symbol") == symbol)
        assert value == pytest.approx(roc_auc_score(part["label"], part["score"]), abs=1e-12)
    expected = multipletests(table["p"].to_numpy(), method="fdr_bh")[1]
    np.testing.assert_allclose(table["q"].to_numpy(), expected, rtol=1e-12)


def test_standard_error_of_a_worthless_symbol_is_near_the_mann_whitney_one():
    oof = simulate_null_oof(n_symbols=40, n_sessions=250, seed=3, persistence=0.0)
    table = per_symbol(oof, evaluation=EvaluationParameters(n_resamples=500), seed=0)
    half = (table["auc_hi"] - table["auc_lo"]) / 2 / norm.ppf(0.975)
    assert half.mean() == pytest.approx(null_auc_se(n_positive=125, n_negative=125), rel=0.1)


def test_one_skilled_symbol_among_many_is_discovered_and_the_rest_are_not():
    oof = simulate_null_oof(n_symbols=30, n_sessions=600, seed=3)
    good = simulate_null_oof(n_symbols=30, n_sessions=600, seed=3, skill=0.5)
    mixed = pl.concat([oof.filter(pl.col("symbol") != "S007"), good.filter(pl.col("symbol") == "S007")])
    table = per_symbol(mixed.sort("symbol", "session"), evaluation=FAST, seed=0)
    assert table.filter("discovery")["symbol"].to_list() == ["S007"]


def test_a_symbol_below_one_half_is_no_discovery():
    oof = simulate_null_oof(n_symbols=6, n_sessions=600, seed=3, skill=0.5).with_columns(score=1 - pl.col("score"))
    table = per_symbol(oof, evaluation=FAST, seed=0)
    assert (table["q"] < 0.001).all()
    assert table["discovery"].sum() == 0


def test_symbols_without_an_interval_say_why_and_take_no_part_in_q():
    oof = simulate_null_oof(n_symbols=6, n_sessions=120, seed=3)
    start = oof["session"].min()
    changed = oof.filter((pl.col("symbol") != "S000") | (pl.col("session") < start.replace(day=20))).with_columns(
        label=pl.when(pl.col("symbol") == "S001").then(1).otherwise("label").cast(pl.Int8),
        score=pl.when(pl.col("symbol") == "S002").then(0.5).otherwise("score"),
    )
    table = per_symbol(changed, evaluation=FAST, seed=0)
    reasons = dict(table.select("symbol", "reason").iter_rows())
    assert "fewer than min_sessions" in reasons["S000"]
    assert "one class" in reasons["S001"]
    assert "does not vary" in reasons["S002"]
    assert table.filter(pl.col("symbol") == "S002")["auc"].item() == 0.5
    assert table["q"].is_null().to_list() == [True, True, True, False, False, False]
    assert table["discovery"].sum() == 0


def test_benjamini_hochberg_skips_what_was_not_tested():
    p = np.array([0.04, np.nan, 0.001, 0.5])
    q = benjamini_hochberg(p)
    assert np.isnan(q[1])
    np.testing.assert_allclose(q[[0, 2, 3]], multipletests(p[[0, 2, 3]], method="fdr_bh")[1])
    assert np.isnan(benjamini_hochberg(np.array([np.nan]))).all()


def test_null_standard_error_is_the_one_of_mann_whitney():
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=130), rng.normal(size=120)
    result = mannwhitneyu(x, y, use_continuity=False, method="asymptotic")
    value = result.statistic / (130 * 120)
    z = (value - 0.5) / null_auc_se(n_positive=130, n_negative=120)
    assert result.pvalue == pytest.approx(2 * norm.sf(abs(z)), rel=1e-9)


@pytest.mark.parametrize("n", [2, 5, 15, 46, 500])
def test_expected_best_is_near_the_mean_of_simulated_maxima(n):
    draws = np.random.default_rng(n).normal(0.5, 0.0366, (8000, n)).max(axis=1)
    assert expected_best(n, se=0.0366) == pytest.approx(draws.mean(), abs=0.003)


def test_luck_line_counts_what_simulation_counts():
    rng = np.random.default_rng(0)
    above = []
    for _ in range(400):
        label = rng.random((250, 46)) < 0.5
        score = rng.random((250, 46))
        positives = label.sum(axis=0)
        rank_sum = (rankdata(score, axis=0) * label).sum(axis=0)
        aucs = (rank_sum - positives * (positives + 1) / 2) / (positives * (250 - positives))
        above.append((aucs > 0.55).sum())
    line = luck_line(n_symbols=46, n_sessions=250)
    assert line.expected_above == pytest.approx(np.mean(above), abs=0.5)
    assert line.chance_of_any == pytest.approx(np.mean(np.array(above) > 0), abs=0.05)


def test_luck_line_of_unequal_histories():
    line = luck_line(n_symbols=2, n_sessions=[250, 1000])
    chances = [norm.sf(0.05 / null_auc_se(n_positive=n / 2, n_negative=n / 2)) for n in (250, 1000)]
    assert line.expected_above == pytest.approx(sum(chances))
    assert line.chance_of_any == pytest.approx(1 - (1 - chances[0]) * (1 - chances[1]))


def test_undefined_luck_is_refused():
    with pytest.raises(EvaluationError, match="luck line"):
        luck_line(n_symbols=3, n_sessions=[250, 250])
    with pytest.raises(EvaluationError, match="luck line"):
        luck_line(n_symbols=0, n_sessions=250)
    with pytest.raises(EvaluationError, match="expected best"):
        expected_best(0.5, se=0.03)
