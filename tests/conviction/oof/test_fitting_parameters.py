"""Weights, calibration and models per symbol: each inside its fold."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from importlib.util import find_spec
from itertools import pairwise
from types import SimpleNamespace

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from sklearn.metrics import log_loss

from conviction.errors import ModelError, SeenRowError
from conviction.folds import FoldParameters, make_fold_plan
from conviction.models import fit_blocks
from conviction.oof import FittingParameters, LabelledRows, out_of_fold, out_of_fold_by_symbol, sample_weights
from conviction.testing import planted_panel


@pytest.fixture(scope="module")
def panel():
    return planted_panel(n_symbols=6, n_sessions=420, n_features=6, planted_auc=0.65, seed=8)


@pytest.fixture(scope="module")
def plan(panel):
    return make_fold_plan(
        panel.labels, folds=FoldParameters(purge=1, embargo=3, holdout_sessions=40, n_folds=2, min_train_sessions=200)
    )


def slow_uniqueness(rows):
    """Count, step by step, how many labels of the symbol cover each step of a span."""
    moments = sorted({*rows["t0"], *rows["t1"]})
    steps = list(pairwise(moments))
    found = []
    for row in rows.iter_rows(named=True):
        mine = [step for step in steps if row["t0"] <= step[0] and step[1] <= row["t1"]]
        shares = []
        for step in mine:
            covering = [
                other
                for other in rows.iter_rows(named=True)
                if other["symbol"] == row["symbol"] and other["t0"] <= step[0] and step[1] <= other["t1"]
            ]
            shares.append(1 / len(covering))
        found.append(np.mean(shares))
    return np.array(found)


@settings(deadline=None, max_examples=40)
@given(
    st.lists(
        st.tuples(st.sampled_from("AB"), st.integers(0, 12), st.integers(1, 5)),
        min_size=1,
        max_size=14,
        unique_by=lambda row: row[:2],
    )
)
def test_uniqueness_agrees_with_the_definition(spans):
    rows = pl.DataFrame(
        {
            "symbol": [symbol for symbol, _, _ in spans],
            "session": [date(2020, 1, 1) + timedelta(days=start) for _, start, _ in spans],
            "t0": [datetime(2020, 1, 1, tzinfo=UTC) + timedelta(days=start) for _, start, _ in spans],
            "t1": [datetime(2020, 1, 1, tzinfo=UTC) + timedelta(days=start + length) for _, start, length in spans],
        }
    )
    expected = slow_uniqueness(rows)
    found = sample_weights(rows, uniqueness=True, half_life_sessions=None)
    np.testing.assert_allclose(found, expected / expected.mean(), rtol=1e-12)


def test_age_is_counted_in_sessions_and_the_mean_weight_is_one():
    days = [date(2020, 1, 1), date(2020, 1, 2), date(2020, 2, 1)]
    rows = pl.DataFrame(
        {
            "symbol": ["A", "B"] * 3,
            "session": [day for day in days for _ in range(2)],
            "t0": [datetime(2020, 1, 1, tzinfo=UTC)] * 6,
            "t1": [datetime(2020, 1, 2, tzinfo=UTC)] * 6,
        }
    )
    found = sample_weights(rows, uniqueness=False, half_life_sessions=1.0)
    assert found.mean() == pytest.approx(1.0)
    np.testing.assert_allclose(found / found[-1], [0.25, 0.25, 0.5, 0.5, 1.0, 1.0])


def test_weights_reach_the_fitted_rows_only(panel, plan):
    rows = LabelledRows(panel, target="relative")
    fitting = FittingParameters(half_life_sessions=50, uniqueness=True)
    block = rows.block(plan.sessions(0, "train"), fitting=fitting)
    own = panel.frame.filter(pl.col("session").is_in(plan.sessions(0, "train").implode())).sort("session", "symbol")
    np.testing.assert_allclose(block.weight, sample_weights(own, uniqueness=True, half_life_sessions=50))
    assert rows.block(plan.sessions(0, "train")).weight is None
    plain = out_of_fold(panel, plan, target="relative", model="lightgbm", seed=0).predictions
    heavy = out_of_fold(panel, plan, target="relative", model="lightgbm", seed=0, fitting=fitting).predictions
    assert not plain["score"].equals(heavy["score"])
    assert heavy["model"].unique().to_list() == ["lightgbm"]


@pytest.mark.parametrize("kind", ["isotonic", "sigmoid"])
@pytest.mark.parametrize("model", ["logistic", "xgboost"])
def test_calibrated_scores_are_learnt_on_the_second_half_of_inner(panel, plan, model, kind):
    found = out_of_fold(
        panel, plan, target="direction", model=model, seed=0, fitting=FittingParameters(calibration=kind)
    )
    assert found.predictions["model"].unique().to_list() == [f"{model}+{kind}"]
    for fold, fitted in found.models.items():
        inner = plan.sessions(fold, "inner")
        assert set(inner[len(inner) // 2 :]) <= fitted.seen
        # The session between what is watched and what calibrates is purged.
        assert inner[len(inner) // 2 - 1] not in fitted.seen
    assert log_loss(found.predictions["label"], found.predictions["score"]) < 0.75


def test_calibration_repairs_scores_that_are_too_bold(panel, plan):
    bold = {
        "n_estimators": 300,
        "early_stopping_rounds": None,
        "learning_rate": 0.3,
        "num_leaves": 31,
        "min_child_samples": 5,
    }
    losses = {}
    for kind in (None, "sigmoid", "isotonic"):
        found = out_of_fold(
            panel,
            plan,
            target="relative",
            model="lightgbm",
            params=bold,
            seed=0,
            fitting=FittingParameters(calibration=kind),
        ).predictions
        losses[kind] = log_loss(found["label"], found["score"])
    assert losses["sigmoid"] < losses[None] - 0.1
    assert losses["isotonic"] < losses[None] - 0.1


def test_a_model_per_symbol_is_the_model_of_that_symbol_alone(panel, plan):
    found = out_of_fold_by_symbol(panel, plan, target="direction", model="lightgbm", seed=0, n_jobs=2)
    assert found.predictions["model"].unique().to_list() == ["lightgbm@symbol"]
    assert sorted(found.models) == sorted((s, f) for s in panel.frame["symbol"].unique() for f in plan.folds)
    alone = SimpleNamespace(
        frame=panel.frame.filter(pl.col("symbol") == "SYN003"), features=panel.features, targets=panel.targets
    )
    one = out_of_fold(alone, plan, target="direction", model="lightgbm", seed=0).predictions
    mine = found.predictions.filter(pl.col("symbol") == "SYN003")
    assert mine["score"].equals(one["score"])


def test_symbols_that_cannot_be_fitted_are_skipped_with_the_reason(panel, plan):
    late = plan.sessions(0, "inner")[0]
    odd = panel.frame.filter((pl.col("symbol") != "SYN001") | (pl.col("session") >= late)).with_columns(
        direction=pl.when((pl.col("symbol") == "SYN002") & pl.col("direction").is_not_null())
        .then(pl.lit(1, pl.Int8))
        .otherwise("direction")
    )
    twin = SimpleNamespace(frame=odd, features=panel.features, targets=panel.targets)
    found = out_of_fold_by_symbol(twin, plan, target="direction", model="lightgbm", seed=0, min_train_rows=60)
    reasons = {(row["symbol"], row["fold"]): row["reason"] for row in found.skipped.iter_rows(named=True)}
    assert reasons[("SYN001", 0)].startswith("too few sessions to train on: got 0 rows")
    assert reasons[("SYN002", 0)].startswith("lightgbm: only one class to fit on")
    assert ("SYN002", 1) in reasons
    assert ("SYN000", 0) not in reasons
    assert found.predictions.filter(pl.col("symbol") == "SYN002").is_empty()
    with pytest.raises(ModelError, match="no symbol could be fitted in any fold: got 12 skipped"):
        out_of_fold_by_symbol(panel, plan, target="direction", model="lightgbm", seed=0, min_train_rows=10_000)


def test_refit_boosts_as_long_as_inner_said_on_all_sessions_of_the_fold(panel, plan):
    stopped = out_of_fold(panel, plan, target="relative", model="xgboost", seed=0)
    again = out_of_fold(panel, plan, target="relative", model="xgboost", seed=0, fitting=FittingParameters(refit=True))
    rows = LabelledRows(panel, target="relative")
    for fold in plan.folds:
        rounds = stopped.models[fold].facts["best_iteration"]
        both = pl.concat([plan.sessions(fold, "train"), plan.sessions(fold, "inner")])
        peer = fit_blocks(
            "xgboost", rows.block(both), None, params={"n_estimators": rounds, "early_stopping_rounds": None}, seed=0
        )
        test = rows.block(plan.sessions(fold, "test"), labels=False)
        assert np.array_equal(peer.predict_block(test), again.models[fold].predict_block(test))
        assert again.models[fold].seen == set(both)
    with pytest.raises(ValidationError, match="refit uses up the inner block"):
        FittingParameters(refit=True, calibration="isotonic")


@pytest.mark.slow
@pytest.mark.skipif(find_spec("torch") is None, reason="the optional package torch is missing")
def test_a_model_without_rounds_cannot_be_refitted(panel, plan):
    fitting = FittingParameters(refit=True)
    with pytest.raises(ModelError, match="gru cannot be refitted for a number of rounds"):
        out_of_fold(panel, plan, target="relative", model="gru", seed=0, params={"max_epochs": 1}, fitting=fitting)


def test_a_seen_row_is_never_a_mere_skip(panel, plan, monkeypatch):
    """Whatever is left out with a reason, a model that has seen what it is to score stops everything."""
    from conviction.oof import _task

    def knows_all(*args, **kwargs):
        return replace(fit_blocks(*args, **kwargs), seen=frozenset(panel.frame["session"]))

    monkeypatch.setattr(_task, "fit_blocks", knows_all)
    with pytest.raises(SeenRowError):
        out_of_fold_by_symbol(panel, plan, target="direction", model="base_rate", seed=0)
