"""Permutations of whole sessions: the best symbol under luck, and placebos."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from scipy.stats import norm
from sklearn.metrics import roc_auc_score

from conviction.errors import EvaluationError, FrameError
from conviction.evaluation import (
    EvaluationParameters,
    best_symbol_test,
    null_auc_se,
    permute_by_session,
    placebo_band,
    simulate_null_oof,
)
from conviction.evaluation._permutation import _symbol_kernel, permute_blocks, step_down_p

FAST = EvaluationParameters(n_resamples=200)


def test_blocks_stay_together_and_every_session_appears_once():
    rng = np.random.default_rng(0)
    for _ in range(50):
        moved = permute_blocks(23, block=5, rng=rng)
        assert sorted(moved) == list(range(23))
        neighbours = np.mean((np.diff(moved) % 23) == 1)
        assert neighbours >= 17 / 22
    firsts = [permute_blocks(10, block=2, rng=rng)[0] for _ in range(400)]
    assert len(set(firsts)) == 10


def test_placebo_moves_whole_sessions_symbol_by_symbol():
    oof = simulate_null_oof(n_symbols=5, n_sessions=60, seed=1)
    placebo = permute_by_session(oof, columns=["label", "forward_return"], seed=3)
    assert placebo.drop("label", "forward_return").equals(oof.drop("label", "forward_return"))
    real = {
        session: part["forward_return"].to_list() for (session,), part in oof.group_by("session", maintain_order=True)
    }
    moved = {s: part["forward_return"].to_list() for (s,), part in placebo.group_by("session", maintain_order=True)}
    assert sorted(real.values()) == sorted(moved.values())
    assert sum(real[session] == moved[session] for session in real) < 10
    label_of = dict(zip(oof["forward_return"], oof["label"], strict=True))
    assert [label_of[value] for value in placebo["forward_return"]] == placebo["label"].to_list()


def test_placebo_of_an_incomplete_panel_has_nulls_where_the_symbol_was_missing():
    oof = simulate_null_oof(n_symbols=3, n_sessions=40, seed=1)
    gappy = oof.filter((pl.col("symbol") != "S001") | (pl.int_range(pl.len()).over("symbol") % 4 > 0))
    placebo = permute_by_session(gappy, columns=["label"], seed=3)
    assert placebo.height == gappy.height
    nulls = placebo.group_by("symbol").agg(pl.col("label").null_count()).sort("symbol")["label"].to_list()
    assert nulls[0] == nulls[2] == 0
    assert nulls[1] > 0


def test_placebo_is_reproducible_and_differs_by_seed():
    oof = simulate_null_oof(n_symbols=3, n_sessions=40, seed=1)
    one, again, other = (permute_by_session(oof, columns=["label"], seed=seed) for seed in (1, 1, 2))
    assert one.equals(again)
    assert not one.equals(other)


def test_what_cannot_be_permuted_is_refused():
    oof = simulate_null_oof(n_symbols=3, n_sessions=8, seed=1)
    with pytest.raises(EvaluationError, match="too few sessions to permute"):
        permute_by_session(oof, columns=["label"], seed=1)
    with pytest.raises(FrameError, match="direction"):
        permute_by_session(oof, columns=["direction"], seed=1)


def test_band_is_sidaks_and_flags_what_lies_outside():
    z = norm.ppf((1 + 0.99 ** (1 / 20)) / 2)
    runs = pl.DataFrame(
        {"seed": range(20), "auc_pooled": [0.5] * 19 + [0.5 + 0.01 * z * 1.001], "auc_pooled_se": [0.01] * 20}
    )
    banded = placebo_band(runs)
    assert banded["inside"].to_list() == [True] * 19 + [False]
    assert banded["band_hi"][0] == pytest.approx(0.5 + 0.01 * z)
    assert banded["band_lo"][0] == pytest.approx(0.5 - 0.01 * z)
    assert "seed" in banded.columns


def test_band_holds_worthless_scores_and_catches_a_leaking_pipeline():
    rng = np.random.default_rng(0)
    held = 0
    for _ in range(400):
        runs = pl.DataFrame({"auc_pooled": rng.normal(0.5, 0.01, 20), "auc_pooled_se": [0.01] * 20})
        held += placebo_band(runs)["inside"].all()
    assert 0.97 <= held / 400 <= 1.0
    leaking = pl.DataFrame({"auc_pooled": rng.normal(0.6, 0.01, 20), "auc_pooled_se": [0.01] * 20})
    assert not placebo_band(leaking)["inside"].any()


def test_too_few_placebos_are_refused():
    with pytest.raises(EvaluationError, match="19 placebos"):
        placebo_band(pl.DataFrame({"auc_pooled": [0.5] * 19, "auc_pooled_se": [0.01] * 19}))
    with pytest.raises(EvaluationError, match="1 missing"):
        placebo_band(pl.DataFrame({"auc_pooled": [0.5] * 19 + [None], "auc_pooled_se": [0.01] * 20}))


def test_step_down_equals_the_books_algorithm():
    """Westfall and Young 1993, algorithm 2.8, by loops."""
    rng = np.random.default_rng(0)
    observed, luck = rng.normal(loc=[3, 0, 0, 2, 0, 1]), rng.normal(size=(99, 6))
    order = sorted(range(6), key=lambda j: -observed[j])
    expected = {}
    running = 0.0
    for position, j in enumerate(order):
        exceed = sum(max(row[i] for i in order[position:]) >= observed[j] for row in luck)
        running = max(running, (1 + exceed) / 100)
        expected[j] = running
    assert step_down_p(observed, luck).tolist() == pytest.approx([expected[j] for j in range(6)])


def test_statistics_of_symbols_equal_scikit_learn_with_gaps_and_ties():
    oof = simulate_null_oof(n_symbols=5, n_sessions=120, seed=4).with_columns(pl.col("score").round(2))
    gappy = oof.filter((pl.col("symbol") != "S001") | (pl.int_range(pl.len()).over("symbol") % 3 > 0))
    table = best_symbol_test(gappy, evaluation=FAST, seed=0, n_permutations=50)
    assert table["auc"].to_list() == sorted(table["auc"], reverse=True)
    for row in table.iter_rows(named=True):
        part = gappy.filter(pl.col("symbol") == row["symbol"])
        assert row["auc"] == pytest.approx(roc_auc_score(part["label"], part["score"]), abs=1e-12)
        ones = int(part["label"].sum())
        se = null_auc_se(n_positive=ones, n_negative=part.height - ones)
        assert row["z"] == pytest.approx((row["auc"] - 0.5) / se, rel=1e-9)
        assert row["n_sessions"] == part.height


def test_a_skilled_symbol_survives_and_worthless_ones_do_not():
    oof = simulate_null_oof(n_symbols=20, n_sessions=400, seed=3)
    good = simulate_null_oof(n_symbols=20, n_sessions=400, seed=3, skill=0.5)
    mixed = pl.concat([oof.filter(pl.col("symbol") != "S007"), good.filter(pl.col("symbol") == "S007")])
    table = best_symbol_test(mixed.sort("symbol", "session"), evaluation=FAST, seed=0, n_permutations=300)
    assert table["symbol"][0] == "S007"
    assert table["p_best"][0] < 0.01
    assert (table["p_best"][1:] > 0.05).all()


def test_family_wise_error_is_what_it_should_be():
    wrong = 0
    for seed in range(60):
        oof = simulate_null_oof(n_symbols=15, n_sessions=150, seed=seed)
        table = best_symbol_test(oof, evaluation=FAST, seed=seed, n_permutations=150)
        wrong += table["p_best"].min() <= 0.05
    assert wrong <= 8  # binomial(60, 0.05): 99.7 % at most 8


def test_symbols_that_move_together_pay_less_for_being_many():
    """Twenty copies of one symbol are one test: the adjusted p of the best is its own."""
    one = simulate_null_oof(n_symbols=1, n_sessions=300, seed=2, skill=0.2)
    copies = pl.concat([one.with_columns(symbol=pl.lit(f"C{i:02d}")) for i in range(20)]).sort("symbol", "session")
    table = best_symbol_test(copies, evaluation=FAST, seed=0, n_permutations=300)
    assert (table["p_best"] == table["p"]).all()


def test_nothing_to_test_is_refused():
    oof = simulate_null_oof(n_symbols=3, n_sessions=20, seed=2)
    with pytest.raises(EvaluationError, match="no symbol can be tested"):
        best_symbol_test(oof, evaluation=FAST, seed=0, n_permutations=10)


def test_permuted_statistics_equal_scikit_learn_where_labels_are_missing_and_scores_tie_across_symbols():
    rng = np.random.default_rng(0)
    n_sessions = 12
    labels = rng.integers(-1, 2, (n_sessions, 2)).astype(np.int8)
    scores = [np.array([0.1, 0.2, 0.2, 0.3, 0.4, 0.5]), np.array([0.5, 0.6, 0.6, 0.7, 0.8, 0.9])]
    sessions = np.concatenate([rng.permutation(n_sessions)[:6] for _ in scores])
    flat = np.concatenate(scores)
    symbol = np.repeat([0, 1], 6)
    last = np.ones(12, dtype=bool)
    last[:-1] = (flat[1:] != flat[:-1]) | (symbol[1:] != symbol[:-1])
    moves = np.vstack([rng.permutation(n_sessions) for _ in range(30)])
    aucs, _ = _symbol_kernel(sessions, last, np.array([0, 6, 12]), labels, moves)
    compared = 0
    for m, move in enumerate(moves):
        for j in range(2):
            label = labels[move[sessions[symbol == j]], j]
            known = label >= 0
            if len(np.unique(label[known])) == 2:
                assert aucs[m, j] == pytest.approx(roc_auc_score(label[known], scores[j][known]))
                compared += 1
    assert compared > 30


def test_symbols_that_share_a_score_are_still_ranked_apart():
    first = simulate_null_oof(n_symbols=1, n_sessions=100, seed=1).with_columns(
        score=pl.col("score").clip(upper_bound=0.5)
    )
    second = simulate_null_oof(n_symbols=1, n_sessions=100, seed=2).with_columns(
        symbol=pl.lit("S001"), score=pl.col("score").clip(lower_bound=0.5)
    )
    table = best_symbol_test(pl.concat([first, second]), evaluation=FAST, seed=0, n_permutations=10)
    for name, part in (("S000", first), ("S001", second)):
        got = table.filter(pl.col("symbol") == name)["auc"].item()
        assert got == pytest.approx(roc_auc_score(part["label"], part["score"]), abs=1e-12)
