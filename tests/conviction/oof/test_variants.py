"""Models by name and variant, what is left out, and what a model says of its features."""

from __future__ import annotations

import sys

import numpy as np
import polars as pl
import pytest

from conviction.errors import MissingExtraError, ModelError
from conviction.folds import FoldParameters, make_fold_plan
from conviction.models import MODELS, fit_model
from conviction.oof import FittingParameters, Variant, fit_out_of_fold, out_of_fold, out_of_fold_by_symbol
from conviction.testing import planted_panel
from conviction.tuning import TuningParameters, tune, tune_all

FOLDS = FoldParameters(purge=1, embargo=3, holdout_sessions=60, n_folds=2, min_train_sessions=150)
BOOSTED = {"lightgbm": {"n_estimators": 30, "min_child_samples": 10}}


@pytest.fixture(scope="module")
def panel():
    return planted_panel(n_symbols=4, n_sessions=400, n_features=5, planted_auc=0.6, seed=3)


@pytest.fixture(scope="module")
def plan(panel):
    return make_fold_plan(panel.labels, folds=FOLDS)


class Changed:
    """A panel with another frame."""

    def __init__(self, panel, frame):
        self.frame, self.features, self.targets = frame, panel.features, panel.targets


def fits(panel, plan, *models, **options):
    call = {"targets": ["relative"], "models": models, "params": {}, "configured": BOOSTED, "seed": 0}
    return fit_out_of_fold(panel, plan, **(call | options))


def test_every_name_is_what_its_variant_says():
    for model in MODELS:
        for calibration in (None, "isotonic", "sigmoid"):
            for per_symbol in (False, True):
                variant = Variant(model, calibration, per_symbol)
                assert Variant.parse(variant.label) == variant
    with pytest.raises(ModelError, match=r"isotonik.*isotonic"):
        Variant.parse("lightgbm+isotonik")
    with pytest.raises(ModelError, match="lightbm"):
        Variant.parse("lightbm@symbol")


def test_each_variant_is_the_single_call(panel, plan):
    made = fits(panel, plan, "lightgbm", "lightgbm+sigmoid", "lightgbm@symbol").predictions
    call = {"target": "relative", "model": "lightgbm", "params": BOOSTED["lightgbm"], "seed": 0}
    alone = {
        "lightgbm": out_of_fold(panel, plan, **call),
        "lightgbm+sigmoid": out_of_fold(panel, plan, fitting=FittingParameters(calibration="sigmoid"), **call),
        "lightgbm@symbol": out_of_fold_by_symbol(panel, plan, **call),
    }
    for label, result in alone.items():
        assert made.filter(pl.col("model") == label).equals(result.predictions), label


def test_a_search_serves_all_variants_that_are_pooled(panel, plan):
    tuning = TuningParameters(n_trials=2)
    found = tune_all(
        panel,
        plan,
        targets=["relative"],
        models=["lightgbm", "lightgbm+isotonic", "lightgbm@symbol", "momentum", "logistic"],
        tuning=tuning,
        seed=0,
        configured=BOOSTED,
        untuned=["logistic"],
    )
    assert set(found.best) == {"relative/lightgbm", "relative/lightgbm+isotonic"}
    assert found.best["relative/lightgbm"] == found.best["relative/lightgbm+isotonic"]
    assert found.trials.height == 2 * tuning.n_trials
    assert set(found.trials["serves"]) == {"lightgbm"}


def test_nothing_to_search_is_an_empty_table_and_not_an_error(panel, plan):
    found = tune_all(
        panel, plan, targets=["relative"], models=["lightgbm@symbol"], tuning=TuningParameters(n_trials=1), seed=0
    )
    assert (found.best, found.trials.height, found.ledger.height) == ({}, 0, 0)


def test_a_target_of_a_single_symbol_is_left_out_with_its_reason(panel, plan):
    one = panel.frame.filter(pl.col("symbol") == panel.frame["symbol"][0])
    one = Changed(panel, one.with_columns(relative=pl.lit(None, pl.Int8)))
    result = fits(one, plan, "logistic", targets=["direction", "relative"])
    assert set(result.predictions["target"]) == {"direction"}
    (row,) = result.left_out.to_dicts()
    assert row["target"] == "relative"
    assert "1 symbol" in row["reason"]
    with pytest.raises(ModelError, match="nothing is left to fit"):
        fits(one, plan, "logistic", targets=["relative"])


def test_one_symbol_is_tuned_by_the_pooled_auc_and_the_ledger_says_so(panel, plan):
    one = Changed(panel, panel.frame.filter(pl.col("symbol") == panel.frame["symbol"][0]))
    call = {"target": "direction", "model": "logistic", "seed": 0}
    auto = tune(one, plan, tuning=TuningParameters(n_trials=2, objective="auto"), **call)
    said = tune(one, plan, tuning=TuningParameters(n_trials=2, objective="auc_pooled"), **call)
    assert set(auto.ledger["objective"]) == {"auc_pooled"}
    assert auto.ledger.equals(said.ledger)
    many = tune(panel, plan, tuning=TuningParameters(n_trials=1, objective="auto"), **call)
    assert set(many.ledger["objective"]) == {"auc_daily"}


def test_a_missing_extra_is_an_error_or_a_record(panel, plan, monkeypatch):
    monkeypatch.setitem(sys.modules, "catboost", None)
    with pytest.raises(MissingExtraError, match="catboost"):
        fits(panel, plan, "logistic", "catboost")
    result = fits(panel, plan, "logistic", "catboost", on_missing_extra="skip")
    assert set(result.predictions["model"]) == {"logistic"}
    (row,) = result.left_out.to_dicts()
    assert (row["model"], row["target"]) == ("catboost", None)
    assert "make setup-catboost" in row["reason"]


def test_symbols_that_cannot_be_fitted_and_constant_columns_are_on_record(panel, plan):
    symbols = panel.frame["symbol"].unique().sort().to_list()
    first, feature = plan.sessions(0, "test").min(), panel.features[0]
    frame = panel.frame.filter((pl.col("symbol") != symbols[0]) | (pl.col("session") >= first)).with_columns(
        pl.when(pl.col("session") < first).then(pl.lit(1.5)).otherwise(feature).cast(pl.Float32).alias(feature)
    )
    result = fits(Changed(panel, frame), plan, "logistic@symbol")
    skipped = result.left_out.filter(pl.col("symbol").is_not_null())
    assert skipped.select("model", "symbol", "fold").row(0) == ("logistic@symbol", symbols[0], 0)
    constant = result.left_out.filter(pl.col("feature").is_not_null())
    assert constant.select("fold", "feature").rows() == [(0, feature)]
    assert (symbols[0], 0) not in result.predictions.select("symbol", "fold").unique().rows()


@pytest.mark.parametrize("name", ["lightgbm", "xgboost", "catboost", "logistic"])
def test_contributions_add_up_to_the_log_odds_of_every_row(panel, name):
    """Additivity, Lundberg and Lee 2017: features and bias sum to what the model predicts."""
    if MODELS[name].missing_extra() is not None:
        pytest.skip("the extra is not installed")
    frame = panel.frame.select("symbol", "session", *panel.features).with_columns(
        pl.when(pl.int_range(pl.len()) % 7 == 0).then(None).otherwise(panel.features[1]).alias(panel.features[1])
    )
    frame = frame.filter(panel.frame["relative"].is_not_null())
    y = panel.frame["relative"].drop_nulls().to_numpy()
    params = {} if name == "logistic" else {"n_estimators": 20, "early_stopping_rounds": None}
    fitted = fit_model(name, frame.drop("symbol", "session"), y, params=params, seed=0)
    rows = frame.drop("symbol", "session").head(300)
    added = fitted.contributions(rows)
    assert added.columns == [*panel.features, "bias"]
    score = fitted.predict(rows)
    assert np.allclose(added.to_numpy().sum(axis=1), np.log(score / (1 - score)), atol=2e-5)


def test_importances_and_curves_of_every_fold(panel, plan):
    result = fits(panel, plan, "lightgbm", "logistic", "base_rate")
    shap = result.importances
    assert set(shap["model"]) == {"lightgbm", "logistic"}
    assert shap.height == 2 * 2 * len(panel.features)
    for (_, _), part in shap.group_by("model", "fold"):
        assert part["importance"].sum() == pytest.approx(1.0)
    fitted = result.models["relative/lightgbm/fold_01"]
    test = panel.frame.filter(pl.col("session").is_in(plan.sessions(1, "test").implode()))
    slow = fitted.contributions(test.sort("session", "symbol").select(panel.features)).drop("bias")
    expected = {name: slow[name].abs().mean() for name in panel.features}
    mine = shap.filter((pl.col("model") == "lightgbm") & (pl.col("fold") == 1))
    assert dict(mine.select("feature", "shap_mean_abs").rows()) == pytest.approx(expected)
    curve = result.curves.filter(pl.col("fold") == 1)
    assert set(result.curves["model"]) == {"lightgbm"}
    assert curve["iteration"].to_list() == list(range(1, curve.height + 1))
    # The best round of the curve is the one that was kept.
    assert curve["value"].arg_min() + 1 == fitted.facts["best_iteration"]


def test_weights_reach_the_search(panel, plan):
    call = {"target": "relative", "model": "logistic", "tuning": TuningParameters(n_trials=1), "seed": 0}
    plain = tune(panel, plan, **call)
    same = tune(panel, plan, fitting=FittingParameters(), **call)
    weighted = tune(panel, plan, fitting=FittingParameters(half_life_sessions=20), **call)
    assert same.ledger.equals(plain.ledger)
    assert weighted.trials["value"].to_list() != plain.trials["value"].to_list()
    assert set(weighted.ledger["trial_key"]).isdisjoint(plain.ledger["trial_key"])
