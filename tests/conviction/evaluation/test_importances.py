"""Importances over folds and seeds, shadows beside the features, and a choice of features that never sees the scored sessions."""

from __future__ import annotations

from datetime import date, timedelta
from types import SimpleNamespace

import numpy as np
import polars as pl
import pytest

from conviction.evaluation import (
    EvaluationParameters,
    cluster_table,
    importance_runs,
    importance_stability,
    out_of_fold_selected,
    select_features,
    shadow_panel,
    shadow_table,
    stability_table,
)
from conviction.folds import FoldParameters, make_fold_plan
from conviction.oof import fit_out_of_fold

FEATURES = ("good", "twin", "noise_a", "noise_b", "noise_c")


@pytest.fixture(scope="module")
def market():
    """A panel in which `good` (and its twin) says something of the label and the rest says nothing, with a hold-out."""
    rng = np.random.default_rng(5)
    n_sessions, n_symbols = 320, 12
    start = date(2018, 1, 1)
    sessions = np.repeat([start + timedelta(days=i) for i in range(n_sessions)], n_symbols)
    rows = n_sessions * n_symbols
    noise = rng.normal(size=(rows, 4))
    signal = rng.normal(size=rows)
    move = 0.4 * signal + rng.normal(size=rows)
    frame = pl.DataFrame(
        {
            "symbol": [f"S{i:02d}" for i in range(n_symbols)] * n_sessions,
            "session": pl.Series(np.array(sessions, dtype="datetime64[D]")).cast(pl.Date),
            "good": signal,
            "twin": signal + 0.05 * noise[:, 3],
            "noise_a": noise[:, 0],
            "noise_b": noise[:, 1],
            "noise_c": noise[:, 2],
            "target_1d": 0.01 * move,
            "relative": (move > 0).astype(np.int8),
        }
    ).with_columns(
        pl.col(FEATURES).cast(pl.Float32),
        t0=pl.col("session").cast(pl.Datetime("us", "UTC")) + pl.duration(hours=21),
        t1=pl.col("session").cast(pl.Datetime("us", "UTC")) + pl.duration(hours=45),
    )
    frame = frame.sort("symbol", "session")
    labels = frame.select("symbol", "session", "target_1d", "relative", "t0", "t1")
    plan = make_fold_plan(
        labels,
        folds=FoldParameters(
            splitter="walk_forward", mode="expanding", n_folds=2, min_train_sessions=140, purge=1, embargo=2,
            holdout_sessions=40, inner_fraction=0.2,
        ),
    )  # fmt: skip
    return SimpleNamespace(frame=frame, features=FEATURES, targets=("relative",)), plan


def fit(panel, plan, *, seed):
    return fit_out_of_fold(panel, plan, targets=["relative"], models=["logistic"], params={}, seed=seed)


def test_stability_of_one_model_is_that_of_its_fits_over_folds_and_seeds(market):
    audited, plan = market
    runs = pl.concat([importance_runs(fit(audited, plan, seed=seed).importances, seed=seed) for seed in (1, 2)])
    (row,) = stability_table(runs).to_dicts()
    fits = runs.select(run=pl.format("{}/{}", "fold", "seed"), feature="feature", importance="importance")
    direct = importance_stability(fits)
    assert (row["rank_correlation"], row["lo"]) == (direct.mean, direct.lowest)
    assert (row["n_folds"], row["n_seeds"], row["features"], row["kind"]) == (2, 2, 5, "shap")


def test_a_feature_that_a_fold_lacks_counts_as_unimportant_there(market):
    audited, plan = market
    runs = importance_runs(fit(audited, plan, seed=1).importances, seed=1)
    fewer = runs.filter(~((pl.col("fold") == 0) & (pl.col("feature") == "good")))
    assert stability_table(fewer)["rank_correlation"][0] < stability_table(runs)["rank_correlation"][0]


def test_a_model_that_lacks_shap_somewhere_is_measured_by_its_own_importance_everywhere():
    table = pl.DataFrame(
        {"target": "t", "model": "m", "fold": [0, 0, 0, 1, 1, 1], "feature": list("abc") * 2,
         "importance": [3.0, 2, 1, 3, 2, 1], "shap_mean_abs": [1.0, 2, 3, None, None, None]}
    )  # fmt: skip
    runs = importance_runs(table, seed=0)
    assert set(runs["kind"]) == {"own"}
    assert stability_table(runs)["rank_correlation"].to_list() == [1.0]


def test_shadows_are_of_the_sessions_before_the_holdout_and_hold_nothing_in_it(market):
    audited, plan = market
    panel = shadow_panel(audited, plan, seed=3, n_sets=2)
    held = pl.col("session").is_in(plan.holdout.implode())
    shadows = [name for name in panel.features if name.startswith("shadow__")]
    assert len(shadows) == 10
    inside = panel.frame.filter(held).select(pl.col(shadows).is_null().all())
    assert all(inside.row(0))
    before = panel.frame.filter(~held)
    assert sorted(before["shadow__0__good"]) == sorted(before["good"])
    assert panel.frame.select(audited.frame.columns).equals(audited.frame)


def test_what_knows_something_stands_above_its_shadows_and_noise_does_not(market):
    audited, plan = market
    table = shadow_table(audited, plan, fit=fit, seed=3, n_sets=20, rate=0.1)
    assert set(table.filter("selected")["feature"]) >= {"good"}
    assert not set(table.filter("selected")["feature"]) & {"noise_a", "noise_b", "noise_c"}
    assert table["feature"].sort().to_list() == sorted(FEATURES)


def test_a_cluster_is_shuffled_together_so_that_a_twin_does_not_speak_for_it(market):
    audited, plan = market
    fitted = fit(audited, plan, seed=1).models
    table = cluster_table(audited, plan, fitted, evaluation=EvaluationParameters(n_resamples=200), seed=0, n_repeats=2)
    best = table.row(0, named=True)
    assert best["features"] == "good, twin"
    assert best["lo"] > 0.02
    assert best["fold"] == 1
    assert (table.filter(pl.col("cluster") != "good")["q"] > 0.01).all()


def spoilt(audited, plan):
    """The same panel with other features and labels in every session that is not of the first fold's training."""
    known = pl.concat([plan.sessions(0, "train"), plan.sessions(0, "inner")])
    later = ~pl.col("session").is_in(known.implode())
    changes = [pl.when(later).then(-pl.col(name) * 3 + 1).otherwise(pl.col(name)).alias(name) for name in FEATURES]
    label = pl.when(later).then(1 - pl.col("relative")).otherwise(pl.col("relative")).cast(pl.Int8).alias("relative")
    return SimpleNamespace(
        frame=audited.frame.with_columns(*changes, label), features=audited.features, targets=audited.targets
    )


def test_features_are_chosen_without_a_look_at_the_sessions_that_are_scored(market):
    audited, plan = market
    arguments = {"target": "relative", "model": "logistic", "seed": 1, "n_sets": 10, "n_seeds": 2}
    chosen = select_features(audited, plan, **arguments)
    other = select_features(spoilt(audited, plan), plan, **arguments)
    assert set(chosen[0]) <= {"good", "twin"}
    assert chosen[0] == other[0]
    # The second fold trains on what was spoilt, so that the comparison could have failed.
    one = out_of_fold_selected(audited, plan, target="relative", model="logistic", selection=chosen, seed=1)
    two = out_of_fold_selected(
        spoilt(audited, plan), plan, target="relative", model="logistic", selection=chosen, seed=1
    )
    assert not one["score"].equals(two["score"])


def test_predictions_from_chosen_features_cover_each_test_block_once(market):
    audited, plan = market
    chosen = dict.fromkeys(plan.folds, ("good",))
    oof = out_of_fold_selected(audited, plan, target="relative", model="lightgbm", selection=chosen, seed=1)
    tested = pl.concat([plan.sessions(fold, "test") for fold in plan.folds])
    assert set(oof["session"]) == set(tested)
    assert set(oof["model"]) == {"lightgbm+selected"}
    alone = SimpleNamespace(frame=audited.frame.drop(FEATURES[1:]), features=("good",), targets=("relative",))
    whole = fit_out_of_fold(alone, plan, targets=["relative"], models=["lightgbm"], params={}, seed=1).predictions
    assert oof["score"].to_list() == pytest.approx(whole["score"].to_list())


def test_a_fold_in_which_nothing_stands_out_keeps_all_features(market):
    audited, plan = market
    shuffled = audited.frame.with_columns(pl.col("relative").shuffle(seed=2))
    nothing = SimpleNamespace(frame=shuffled, features=audited.features, targets=audited.targets)
    chosen = select_features(nothing, plan, target="relative", model="logistic", seed=1, n_sets=10, rate=0.01)
    assert chosen == dict.fromkeys(plan.folds, FEATURES)
