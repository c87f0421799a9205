"""Placebo runs hold one half on an honest pipeline and catch one that lets its model see the answers."""

from __future__ import annotations

import polars as pl
import pytest

from conviction.errors import EvaluationError
from conviction.evaluation import EvaluationParameters, placebo_band, placebo_panel, placebo_runs, score
from conviction.folds import FoldParameters, make_fold_plan
from conviction.oof import out_of_fold
from conviction.testing import planted_panel

FAST = EvaluationParameters(n_resamples=200)
FOLDS = FoldParameters(purge=1, embargo=5, holdout_sessions=60, n_folds=3, min_train_sessions=150)


@pytest.fixture(scope="module")
def panel():
    return planted_panel(n_symbols=8, n_sessions=420, n_features=6, planted_auc=0.6, seed=3)


@pytest.fixture(scope="module")
def plan(panel):
    return make_fold_plan(panel.labels, folds=FOLDS)


def leaky(panel, plan, **arguments):
    """Predict honestly, then lean a little towards the answers."""
    oof = out_of_fold(panel, plan, **arguments).predictions
    return oof.with_columns(score=0.9 * pl.col("score") + 0.1 * (pl.col("score") + pl.col("label")) / 2)


def test_labels_move_by_whole_sessions_and_nothing_else_moves(panel, plan):
    placebo = placebo_panel(panel, plan, seed=1)
    moving = ["direction", "relative", "target_1d"]
    assert placebo.frame.drop(moving).equals(panel.frame.drop(moving))
    open_part = ~pl.col("session").is_in(plan.holdout.to_list())
    assert placebo.frame.filter(~open_part).select(pl.col(moving).is_null().all()).row(0) == (True, True, True)

    def by_session(frame):
        part = frame.filter(open_part & pl.col("target_1d").is_not_null())
        return sorted(tuple(day["target_1d"].to_list()) for _, day in part.group_by("session", maintain_order=True))

    assert by_session(placebo.frame) == by_session(panel.frame)
    agree = (placebo.frame["direction"] == (placebo.frame["target_1d"] > 0).cast(pl.Int8)).drop_nulls()
    assert agree.all()
    same = (placebo.frame["target_1d"] == panel.frame["target_1d"]).drop_nulls()
    assert same.mean() < 0.1


def test_an_honest_pipeline_holds_one_half_on_placebos_though_its_data_have_a_signal(panel, plan):
    real = out_of_fold(panel, plan, target="relative", model="logistic", seed=0).predictions
    placebos = placebo_runs(panel, plan, target="relative", model="logistic", evaluation=FAST, seed=0)
    assert placebos.height == 20
    assert placebo_band(placebos)["inside"].all()
    assert abs(placebos["auc_pooled"].mean() - 0.5) < 0.01
    assert score(real, evaluation=FAST, seed=0).metrics["auc_pooled_lo"] > 0.52
    assert placebos["n_rows"].max() <= real.height


def test_a_pipeline_that_sees_the_answers_is_caught(panel, plan):
    placebos = placebo_runs(panel, plan, target="relative", model="logistic", evaluation=FAST, seed=0, predict=leaky)
    assert not placebo_band(placebos)["inside"].any()


def test_placebos_are_reproducible_and_parameters_reach_the_model(panel, plan):
    seen = []

    def predict(panel, plan, **arguments):
        seen.append(arguments)
        return out_of_fold(panel, plan, **arguments).predictions

    shared = {"target": "relative", "model": "logistic", "evaluation": FAST, "seed": 5, "n_placebos": 2}
    one = placebo_runs(panel, plan, params={"C": 0.001}, predict=predict, **shared)
    assert one.equals(placebo_runs(panel, plan, params={"C": 0.001}, **shared))
    assert [call["seed"] for call in seen] == [5, 6]
    assert all(call["params"] == {"C": 0.001} for call in seen)
    assert one["auc_pooled"][0] != one["auc_pooled"][1]
    with pytest.raises(EvaluationError, match="no placebo"):
        placebo_runs(panel, plan, **{**shared, "n_placebos": 0})
