"""AUC of rows, sessions and resamples against scikit-learn and obvious loops."""

from __future__ import annotations

from datetime import date, timedelta

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import spearmanr
from sklearn.metrics import roc_auc_score

from conviction.evaluation import auc, daily_auc, daily_rank_ic, simulate_null_oof
from conviction.evaluation._auc import SortedRows, session_influence


def slow_auc(score, label):
    wins = 0.0
    pairs = 0
    for a in score[label]:
        for b in score[~label]:
            wins += 1.0 if a > b else 0.5 if a == b else 0.0
            pairs += 1
    return wins / pairs


labelled_scores = st.lists(st.tuples(st.integers(0, 6), st.booleans()), min_size=2, max_size=40).filter(
    lambda rows: 0 < sum(label for _, label in rows) < len(rows)
)


@given(labelled_scores)
def test_auc_equals_the_share_of_pairs_won(rows):
    score = np.array([value for value, _ in rows], dtype=float)
    label = np.array([flag for _, flag in rows])
    assert auc(score, label) == pytest.approx(slow_auc(score, label), abs=1e-12)


@given(labelled_scores)
def test_auc_of_the_negated_score_is_the_mirror_image(rows):
    score = np.array([value for value, _ in rows], dtype=float)
    label = np.array([flag for _, flag in rows])
    assert auc(-score, label) == pytest.approx(1 - auc(score, label), abs=1e-12)
    assert auc(np.exp(score), label) == auc(score, label)


def test_auc_of_one_class_is_undefined():
    assert np.isnan(auc(np.array([0.1, 0.2]), np.array([True, True])))


@settings(deadline=None, max_examples=25)
@given(st.integers(0, 2**32 - 1), st.integers(1, 8))
def test_resampled_auc_equals_scikit_learn_on_repeated_rows(seed, levels):
    rng = np.random.default_rng(seed)
    n_sessions = 6
    session = np.sort(rng.integers(0, n_sessions, 40))
    score = rng.integers(0, 4 * levels, 40) / levels
    label = rng.random(40) > 0.5
    label[:2] = [True, False]
    counts = rng.integers(0, 4, (35, n_sessions)).astype(float)
    counts[:, session[0]] += 1
    counts[:, session[1]] += 1
    fast = SortedRows.of(score, label, session).resampled_auc(counts)
    slow = [roc_auc_score(label, score, sample_weight=row[session]) for row in counts]
    np.testing.assert_allclose(fast, slow, atol=1e-12)


def test_resample_without_a_class_is_nan():
    rows = SortedRows.of(np.array([0.1, 0.9]), np.array([False, True]), np.array([0, 1]))
    assert np.isnan(rows.resampled_auc(np.array([[2.0, 0.0]]))).all()


def test_session_influence_is_the_jackknife_of_sessions_to_first_order():
    oof = simulate_null_oof(n_symbols=20, n_sessions=300, seed=5, skill=0.2).sort("session", "symbol")
    score, label = oof["score"].to_numpy(), oof["label"].to_numpy().astype(bool)
    session = oof["session"].rank("dense").to_numpy().astype(np.int64) - 1
    influence = session_influence(score, label, session, 300)
    assert influence.sum() == pytest.approx(0.0, abs=1e-12)
    whole = auc(score, label)
    left_out = np.array([whole - auc(score[session != s], label[session != s]) for s in range(300)])
    assert np.corrcoef(influence, left_out)[0, 1] > 0.999
    assert influence.std() == pytest.approx(left_out.std(), rel=0.02)


def test_session_influence_of_one_class_is_zero():
    assert session_influence(np.array([0.1, 0.2]), np.array([True, True]), np.array([0, 1]), 2).tolist() == [0.0, 0.0]


def test_daily_auc_and_rank_ic_equal_library_functions_session_by_session():
    oof = simulate_null_oof(n_symbols=15, n_sessions=40, seed=2, skill=0.1).with_columns(pl.col("score").round(2))
    aucs = dict(daily_auc(oof, min_symbols=5).select("session", "auc").iter_rows())
    ics = dict(daily_rank_ic(oof, min_symbols=5).iter_rows())
    compared = 0
    for (session,), part in oof.group_by("session"):
        if 0 < part["label"].sum() < part.height:
            assert aucs[session] == pytest.approx(roc_auc_score(part["label"], part["score"]), abs=1e-12)
            compared += 1
        else:
            assert session not in aucs
        if part["score"].n_unique() > 1:
            expected = spearmanr(part["score"], part["forward_return"]).statistic
            assert ics[session] == pytest.approx(expected, abs=1e-12)
    assert compared == len(aucs) > 30


def test_sessions_without_a_cross_section_are_left_out():
    day = [date(2020, 1, 1) + timedelta(days=i) for i in range(3)]
    rows = pl.DataFrame(
        {
            "session": [day[0]] * 3 + [day[1]] * 3 + [day[2]] * 2,
            "score": [0.1, 0.2, 0.3, 0.5, 0.5, 0.5, 0.1, 0.2],
            "label": pl.Series([1, 1, 1, 0, 1, 1, 0, 1], dtype=pl.Int8),
            "forward_return": [0.1, 0.2, None, 0.1, 0.2, 0.3, 0.1, 0.2],
        }
    )
    assert daily_auc(rows, min_symbols=3)["session"].to_list() == [day[1]]
    assert daily_rank_ic(rows, min_symbols=2)["session"].to_list() == [day[0], day[2]]
    assert daily_rank_ic(rows, min_symbols=3).is_empty()
