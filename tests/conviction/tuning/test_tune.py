"""The tuner chooses on a fold's own training sessions, and an interrupted study goes on as if nothing had happened."""

from __future__ import annotations

import json
from itertools import pairwise
from types import SimpleNamespace

import numpy as np
import optuna
import polars as pl
import pytest
from pydantic import ValidationError
from sklearn.metrics import roc_auc_score

from conviction.errors import TuningError
from conviction.folds import HOLDOUT_FOLD, FoldParameters, make_fold_plan
from conviction.models import Block
from conviction.oof import LabelledRows, out_of_fold
from conviction.testing import planted_panel
from conviction.tuning import TuningParameters, empty_ledger, objective_value, tune
from conviction.tuning._objective import make_stages

QUICK = TuningParameters(n_trials=4, n_startup_trials=2)


@pytest.fixture(scope="module")
def panel():
    return planted_panel(n_symbols=6, n_sessions=360, n_features=6, planted_auc=0.62, seed=11)


@pytest.fixture(scope="module")
def plan(panel):
    return make_fold_plan(
        panel.labels, folds=FoldParameters(purge=1, embargo=3, holdout_sessions=40, n_folds=2, min_train_sessions=150)
    )


def told(result):
    return result.trials.drop("seconds")


def test_best_is_the_best_trial_and_fits_the_folds(panel, plan):
    found = tune(panel, plan, target="relative", model="lightgbm", tuning=QUICK, seed=0)
    assert sorted(found.best) == list(plan.folds)
    assert found.trials.height == 8
    for fold in plan.folds:
        mine = found.trials.filter(pl.col("fold") == fold)
        assert json.loads(mine.sort("value", "trial", descending=[True, False])["params"][0]) == found.best[fold]
    assert out_of_fold(panel, plan, target="relative", model="lightgbm", params=found.best, seed=0).predictions.height


def test_the_first_trial_is_the_configured_one(panel, plan):
    found = tune(
        panel,
        plan,
        target="relative",
        model="lightgbm",
        params={"num_leaves": 9, "n_estimators": 30},
        tuning=QUICK,
        seed=0,
    )
    first = [json.loads(p) for p in found.trials.filter(pl.col("trial") == 0)["params"]]
    assert [(p["num_leaves"], p["n_estimators"]) for p in first] == [(9, 30)] * 2
    assert all(json.loads(p)["n_estimators"] == 30 for p in found.trials["params"])


@pytest.mark.parametrize("model", ["logistic", "xgboost"])
def test_the_choice_of_a_fold_sees_nothing_outside_its_training_sessions(panel, plan, model):
    """Ruin features and labels of every session that fold 0 neither trains on nor watches: its trials stay the same."""
    own = pl.concat([plan.sessions(0, "train"), plan.sessions(0, "inner")])
    outside = ~pl.col("session").is_in(own.implode())
    ruined = panel.frame.with_columns(
        *[pl.when(outside).then(pl.lit(7.5, pl.Float32)).otherwise(name).alias(name) for name in panel.features],
        pl.when(outside & pl.col("relative").is_not_null())
        .then(1 - pl.col("relative"))
        .otherwise("relative")
        .cast(pl.Int8),
    )
    twin = SimpleNamespace(frame=ruined, features=panel.features, targets=panel.targets, certificate=None)
    seen = []
    for audited in (panel, twin):
        found = tune(audited, plan, target="relative", model=model, tuning=QUICK, seed=0, folds=[0],
                     storage=optuna.storages.InMemoryStorage())  # fmt: skip
        seen.append(found.trials.select("trial", "value", "params").row(0))
    assert seen[0] == seen[1]


def test_stages_are_purged_from_each_other_and_inside_the_fold(panel, plan):
    rows = LabelledRows(panel, target="relative")
    allowed = set(plan.sessions(1, "train")) | set(plan.sessions(1, "inner"))
    spans = panel.frame.select("session", "t0", "t1").unique("session")
    for model, inner_folds in (("lightgbm", 1), ("lightgbm", 3), ("logistic", 2)):
        stages = make_stages(rows, plan, 1, model=model, inner_folds=inner_folds)
        assert len(stages) == inner_folds
        for stage in stages:
            parts = [b for b in (stage.train, stage.watched, stage.scored) if b is not None]
            assert all(set(part.sessions) <= allowed for part in parts)
            for earlier, later in pairwise(parts):
                ends = spans.filter(pl.col("session").is_in(earlier.sessions.unique().implode()))["t1"].max()
                starts = spans.filter(pl.col("session").is_in(later.sessions.unique().implode()))["t0"].min()
                assert ends < starts
        assert stages[-1].scored.sessions.max() == max(allowed)


def test_same_seed_same_trials_whatever_the_jobs(panel, plan):
    one = tune(panel, plan, target="relative", model="lightgbm", tuning=QUICK, seed=3)
    two = tune(panel, plan, target="relative", model="lightgbm", tuning=QUICK, seed=3, n_jobs=2)
    assert told(one).equals(told(two))
    assert one.ledger.equals(two.ledger)
    other = tune(panel, plan, target="relative", model="lightgbm", tuning=QUICK, seed=4)
    assert not told(one).equals(told(other))


def test_a_resumed_study_repeats_the_uninterrupted_sequence(panel, plan, tmp_path):
    call = {"target": "relative", "model": "lightgbm", "seed": 0, "folds": [1]}
    whole = tune(panel, plan, tuning=TuningParameters(n_trials=7, n_startup_trials=2), **call)
    storage = f"sqlite:///{tmp_path}/study.db"
    short = TuningParameters(n_trials=3, n_startup_trials=2)
    tune(panel, plan, tuning=short, storage=storage, **call)
    # A killed worker leaves a trial running.
    name = optuna.get_all_study_names(storage)[0]
    optuna.load_study(study_name=name, storage=storage).ask()
    resumed = tune(panel, plan, tuning=TuningParameters(n_trials=7, n_startup_trials=2), storage=storage, **call)
    assert told(whole).equals(told(resumed))
    states = [trial.state.name for trial in optuna.load_study(study_name=name, storage=storage).trials]
    assert states.count("COMPLETE") == 7
    assert states.count("RUNNING") == 0


def test_the_ledger_grows_by_new_trials_only(panel, plan):
    call = {"target": "relative", "model": "lightgbm", "folds": [0]}
    first = tune(panel, plan, tuning=QUICK, seed=0, ledger=empty_ledger(), **call)
    again = tune(panel, plan, tuning=QUICK, seed=0, ledger=first.ledger, **call)
    assert again.ledger.equals(first.ledger)
    other = tune(panel, plan, tuning=QUICK, seed=1, ledger=first.ledger, **call)
    assert other.ledger.height > first.ledger.height == 4
    assert other.ledger[:4].equals(first.ledger)
    assert other.ledger["trial_key"].is_unique().all()


def test_the_holdout_fold_may_be_tuned_on_its_own_training_sessions(panel, plan):
    found = tune(panel, plan, target="relative", model="logistic", tuning=QUICK, seed=0, folds=[HOLDOUT_FOLD])
    assert list(found.best) == [HOLDOUT_FOLD]


def test_pruned_trials_stop_early_and_are_never_best(panel, plan):
    tuning = TuningParameters(n_trials=12, n_startup_trials=3, inner_folds=3, pruning=True)
    found = tune(panel, plan, target="relative", model="lightgbm", tuning=tuning, seed=0, folds=[1])
    pruned = found.trials.filter(pl.col("state") == "pruned")
    assert 0 < pruned.height < 12
    counts = {row["state"]: len(json.loads(row["scores"])) for row in found.ledger.iter_rows(named=True)}
    assert counts["complete"] == 3
    assert counts["pruned"] < 3
    complete = found.trials.filter(pl.col("state") == "complete")
    best = complete.filter(pl.col("value") == complete["value"].max())["params"][0]
    assert json.loads(best) == found.best[1]


def test_ranges_may_be_narrowed(panel, plan):
    tuning = QUICK.model_copy(update={"search": {"xgboost": {"max_depth": {"low": 3, "high": 3}}}})
    found = tune(panel, plan, target="relative", model="xgboost", tuning=tuning, seed=0, folds=[0])
    assert {json.loads(p)["max_depth"] for p in found.trials["params"]} == {3}


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"model": "base_rate"}, "has nothing to tune"),
        ({"tuning": QUICK.model_copy(update={"search": {"lightgbm": {"num_leaves": {"low": 90}}}})}, "is impossible"),
        (
            {"tuning": QUICK.model_copy(update={"search": {"lightgbm": {"leaves": {"low": 90}}}})},
            "unknown search dimension",
        ),
        ({"tuning": QUICK.model_copy(update={"inner_folds": 9})}, "too short to score trials on 9 inner blocks"),
    ],
)
def test_impossible_studies_are_named(panel, plan, change, match):
    with pytest.raises(TuningError, match=match):
        tune(panel, plan, **{"target": "relative", "model": "lightgbm", "tuning": QUICK, "seed": 0, **change})


def test_one_symbol_has_no_daily_auc_and_is_told_so(panel, plan):
    one = SimpleNamespace(
        frame=panel.frame.filter(pl.col("symbol") == "SYN000"), features=panel.features, targets=panel.targets
    )
    with pytest.raises(TuningError, match=r"'auc_daily' is not defined.*tuning.objective=auc_pooled"):
        tune(one, plan, target="direction", model="logistic", tuning=QUICK, seed=0)
    pooled = QUICK.model_copy(update={"objective": "auc_pooled"})
    assert tune(one, plan, target="direction", model="logistic", tuning=pooled, seed=0).trials.height == 8


def test_the_objective_is_scikit_learns_auc_with_ties():
    rng = np.random.default_rng(0)
    n = 400
    days = pl.Series("session", np.arange(n) // 8).cast(pl.Int32).cast(pl.Date)
    scores, y = rng.integers(0, 6, n) / 6, rng.integers(0, 2, n).astype(float)
    y[:8] = 1.0
    block = Block(("a",), np.zeros((n, 1), np.float32), y=y, keys=pl.DataFrame({"symbol": "S", "session": days}))
    assert objective_value(block, scores, objective="auc_pooled") == pytest.approx(roc_auc_score(y, scores), abs=1e-12)
    by_day = [roc_auc_score(y[i : i + 8], scores[i : i + 8]) for i in range(0, n, 8) if 0 < y[i : i + 8].sum() < 8]
    assert len(by_day) < n // 8
    assert objective_value(block, scores, objective="auc_daily") == pytest.approx(np.mean(by_day), abs=1e-12)


def test_with_a_margin_the_configured_parameters_stay_unless_they_are_clearly_beaten(panel, plan):
    """The paired difference by session decides: luck does not replace the configuration, a real gain does."""
    call = {"target": "relative", "model": "lightgbm", "folds": [1], "params": {"num_leaves": 9}}
    replaced = 0
    for seed in range(3):
        plain = tune(panel, plan, tuning=QUICK, seed=seed, **call)
        careful = tune(panel, plan, tuning=QUICK.model_copy(update={"margin": 3.0}), seed=seed, **call)
        assert careful.trials.drop("seconds").equals(plain.trials.drop("seconds"))
        first = json.loads(plain.trials.sort("trial")["params"][0])
        replaced += plain.best[1] != first
        assert careful.best[1] == first
    assert replaced > 0
    # Configured to see one feature's noise only: every trial with more leaves and rows beats it clearly.
    blind = {
        "n_estimators": 1,
        "early_stopping_rounds": None,
        "num_leaves": 2,
        "min_child_samples": 200,
        "subsample": 0.5,
    }
    noise = SimpleNamespace(
        frame=panel.frame.with_columns(
            relative=(pl.col("x000") > pl.col("x000").median().over("session")).cast(pl.Int8)
        ),
        features=panel.features,
        targets=panel.targets,
    )
    tuning = TuningParameters(n_trials=4, margin=2.0, search={"lightgbm": {"num_leaves": {"high": 63}}})
    found = tune(noise, plan, target="relative", model="lightgbm", tuning=tuning, params=blind, seed=0, folds=[1])
    assert found.best[1]["num_leaves"] > 4
    with pytest.raises(ValidationError, match="needs objective=auc_daily"):
        TuningParameters(margin=1.0, objective="auc_pooled")


@pytest.mark.slow
def test_a_planted_auc_of_053_is_recovered():
    """Positive control: what the tuned models reach lies within the sampling error of what was planted."""
    panel = planted_panel(n_symbols=30, n_sessions=2500, n_features=8, planted_auc=0.53, seed=5, nonlinear=0.0)
    plan = make_fold_plan(
        panel.labels, folds=FoldParameters(purge=1, embargo=5, holdout_sessions=200, n_folds=4, min_train_sessions=800)
    )
    tuning = TuningParameters(n_trials=6)
    for model in ("logistic", "lightgbm", "xgboost"):
        best = tune(panel, plan, target="relative", model=model, tuning=tuning, seed=0, n_jobs=2).best
        found = out_of_fold(panel, plan, target="relative", model=model, params=best, seed=0, n_jobs=2).predictions
        reached = roc_auc_score(found["label"], found["score"])
        # Standard error of the AUC of independent rows, half of them 1 (Hanley and McNeil 1982, under the null).
        error = np.sqrt(1 / (3 * found.height))
        assert reached - 3 * error > 0.5, (model, reached)
        assert reached - 3 * error < 0.53, (model, reached)
        if model == "logistic":
            # The planted score is linear; trees need more sessions than these to draw a plane.
            assert reached + 3 * error > 0.53, (model, reached)
