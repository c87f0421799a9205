"""Every model of the registry against scikit-learn, the native libraries and its own declarations."""

from __future__ import annotations

import json
from datetime import date, timedelta

import lightgbm as lgb
import numpy as np
import polars as pl
import pytest
import xgboost as xgb
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from conviction.errors import ModelError, ParameterError, SeenRowError, TuningError
from conviction.models import (
    MODELS,
    Block,
    Dimension,
    FittedModel,
    SearchSpace,
    fit_blocks,
    fit_model,
    model_spec,
)


def sample(n, *, seed=0, missing=0.05):
    rng = np.random.default_rng(seed)
    matrix = rng.normal(size=(n, 5)).astype(np.float32)
    y = (0.8 * matrix[:, 0] - 0.5 * matrix[:, 1] + rng.logistic(size=n) > 0).astype(np.int8)
    matrix[rng.random(matrix.shape) < missing] = np.nan
    frame = pl.DataFrame(matrix, schema=["ret_1d", "mom_20", "vol_20", "rsi_14", "beta"]).fill_nan(None)
    days = [date(2020, 1, 1) + timedelta(days=i // 4) for i in range(n)]
    return frame.with_columns(symbol=pl.Series([f"S{i % 4}" for i in range(n)]), session=pl.Series(days)), y


X, Y = sample(1200)
TRAIN, INNER, TEST = X[:800], X[800:1000], X[1000:]
Y_TRAIN, Y_INNER, Y_TEST = Y[:800], Y[800:1000], Y[1000:]
FEATURES = X.drop("symbol", "session").columns


def test_logistic_is_scikit_learns_pipeline():
    C = 0.3
    ours = fit_model("logistic", TRAIN, Y_TRAIN, params={"C": C, "clip": None}, seed=0)
    peer = make_pipeline(
        SimpleImputer(strategy="median", add_indicator=True),
        StandardScaler(),
        LogisticRegression(C=C, tol=1e-10, max_iter=1000),
    )
    raw = TRAIN.select(FEATURES).to_numpy().astype(float)
    peer.fit(raw, Y_TRAIN)
    expected = peer.predict_proba(TEST.select(FEATURES).to_numpy().astype(float))[:, 1]
    np.testing.assert_allclose(ours.predict(TEST), expected, atol=1e-5)


def test_logistic_learns_its_medians_and_scales_from_training_rows_only():
    fitted = fit_model("logistic", TRAIN, Y_TRAIN, params={"C": 1.0}, seed=0)
    values = TRAIN["ret_1d"].to_numpy().astype(float)
    assert fitted.native["median"][0] == pytest.approx(np.nanmedian(values))
    filled = np.where(np.isnan(values), np.nanmedian(values), values)
    assert fitted.native["mean"][0] == pytest.approx(filled.mean(), abs=1e-9)
    alone = fitted.predict(TEST[:1])
    shifted = pl.concat([TEST[:1], TEST[1:].with_columns(pl.col(FEATURES) * 100)])
    assert fitted.predict(shifted)[0] == alone[0]


def test_logistic_reports_constant_and_empty_columns():
    odd = TRAIN.with_columns(flat=pl.lit(3.0, pl.Float32), none=pl.lit(None, pl.Float32))
    fitted = fit_model("logistic", odd, Y_TRAIN, params={"C": 1.0}, seed=0)
    assert fitted.facts == {"ignored_columns": ["flat", "none"]}
    twin = fit_model("logistic", TRAIN, Y_TRAIN, params={"C": 1.0}, seed=0)
    wide = TEST.with_columns(flat=pl.lit(9.0, pl.Float32), none=pl.lit(1.0, pl.Float32))
    np.testing.assert_allclose(fitted.predict(wide), twin.predict(TEST), rtol=1e-12)
    with pytest.raises(ModelError, match="every feature is constant"):
        fit_model("logistic", odd.select("flat"), Y_TRAIN, seed=0)


def test_lightgbm_is_lightgbm():
    params = {"n_estimators": 40, "early_stopping_rounds": None, "subsample": 1.0, "colsample_bytree": 1.0}
    ours = fit_model("lightgbm", TRAIN, Y_TRAIN, params={**params, "min_child_samples": 20}, seed=0)
    peer = lgb.LGBMClassifier(
        n_estimators=40, learning_rate=0.03, num_leaves=7, min_child_samples=20, reg_lambda=10.0, max_bin=63,
        deterministic=True, force_row_wise=True, n_jobs=1, verbosity=-1,
    )  # fmt: skip
    peer.fit(TRAIN.select(FEATURES).to_numpy(), Y_TRAIN)
    expected = peer.booster_.predict(TEST.select(FEATURES).to_numpy())
    np.testing.assert_allclose(ours.predict(TEST), expected, rtol=1e-12)


def test_xgboost_is_xgboost():
    params = {"n_estimators": 40, "early_stopping_rounds": None, "subsample": 1.0, "colsample_bytree": 1.0}
    ours = fit_model("xgboost", TRAIN, Y_TRAIN, params={**params, "lambda": 2.0, "alpha": 0.5}, seed=0)
    peer = xgb.XGBClassifier(
        n_estimators=40, learning_rate=0.03, max_depth=3, min_child_weight=10, reg_lambda=2.0, reg_alpha=0.5, max_bin=63,
        tree_method="hist", n_jobs=1,
    )  # fmt: skip
    peer.fit(TRAIN.select(FEATURES).to_numpy(), Y_TRAIN)
    expected = peer.predict_proba(TEST.select(FEATURES).to_numpy())[:, 1]
    np.testing.assert_allclose(ours.predict(TEST), expected, rtol=1e-5)


@pytest.mark.parametrize("name", ["lightgbm", "xgboost"])
@pytest.mark.parametrize("metric", ["auc", "logloss"])
def test_boosting_stops_where_the_inner_block_says(name, metric):
    params = {"early_stopping_metric": metric, "early_stopping_rounds": 10, "n_estimators": 300}
    fitted = fit_model(name, TRAIN, Y_TRAIN, params=params, inner=(INNER, Y_INNER), seed=0)
    best = fitted.facts["best_iteration"]
    assert 1 <= best < 300
    fixed = fit_model(
        name, TRAIN, Y_TRAIN, params={"n_estimators": best, "early_stopping_rounds": None}, seed=0
    ).predict(TEST)
    np.testing.assert_allclose(fitted.predict(TEST), fixed, rtol=1e-6)


@pytest.mark.parametrize("name", ["lightgbm", "xgboost"])
def test_bins_shared_between_fits_change_nothing(name):
    """The same block fitted twice with other parameters gives what fresh blocks give."""
    from conviction.models import Block, fit_blocks

    train, inner = Block.from_frame(TRAIN, Y_TRAIN), Block.from_frame(INNER, Y_INNER)
    first = {"lightgbm": {"num_leaves": 7, "min_child_samples": 500}, "xgboost": {"max_depth": 2}}[name]
    second = {"lightgbm": {"num_leaves": 31, "min_child_samples": 5}, "xgboost": {"max_depth": 6}}[name]
    fit_blocks(name, train, inner, params=first, seed=0)
    shared = fit_blocks(name, train, inner, params=second, seed=0)
    assert train.cache
    fresh = fit_model(name, TRAIN, Y_TRAIN, params=second, inner=(INNER, Y_INNER), seed=0)
    assert np.array_equal(shared.predict(TEST), fresh.predict(TEST))
    # Watched rows that belong to another training block are binned anew.
    other = Block.from_frame(TRAIN[:500], Y_TRAIN[:500])
    moved = fit_blocks(name, other, inner, params=second, seed=0)
    again = fit_model(name, TRAIN[:500], Y_TRAIN[:500], params=second, inner=(INNER, Y_INNER), seed=0)
    assert np.array_equal(moved.predict(TEST), again.predict(TEST))


def test_early_stopping_without_an_inner_block_is_refused():
    with pytest.raises(ModelError, match="no inner block to stop early on"):
        fit_model("lightgbm", TRAIN, Y_TRAIN, seed=0)


def test_baselines_rank_as_their_column_says():
    fall = fit_model("reversal_1d", TRAIN, Y_TRAIN, seed=0).predict(TEST)
    rise = fit_model("momentum", TRAIN, Y_TRAIN, params={"column": "ret_1d"}, seed=0).predict(TEST)
    known = TEST["ret_1d"].is_not_null().to_numpy()
    values = TEST["ret_1d"].to_numpy()[known]
    assert np.array_equal(np.argsort(fall[known]), np.argsort(-values))
    assert np.array_equal(np.argsort(rise[known]), np.argsort(values))
    np.testing.assert_allclose(fall[~known], Y_TRAIN.mean())
    assert np.unique(fit_model("base_rate", TRAIN, Y_TRAIN, seed=0).predict(TEST)) == pytest.approx(Y_TRAIN.mean())
    with pytest.raises(ModelError, match="'reversal_1d' needs the feature 'ret_1d'"):
        fit_model("reversal_1d", TRAIN.drop("ret_1d"), Y_TRAIN, seed=0)
    with pytest.raises(ModelError, match="constant column 'flat'"):
        fit_model("momentum", TRAIN.with_columns(flat=pl.lit(1.0)), Y_TRAIN, params={"column": "flat"}, seed=0)


@pytest.mark.parametrize("name", ["logistic", "lightgbm", "xgboost"])
def test_importance_finds_what_moves_the_label(name):
    fitted = fit_model(name, TRAIN, Y_TRAIN, params={}, inner=(INNER, Y_INNER), seed=0)
    table = fitted.importance()
    assert sorted(table["feature"]) == sorted(FEATURES)
    assert set(table["feature"][:2]) == {"ret_1d", "mom_20"}


@pytest.mark.parametrize("name", ["logistic", "lightgbm", "xgboost"])
def test_weights_are_repetitions(name):
    """A weight of 3 is three copies of the row (fixed rounds, no penalty on row counts)."""
    params = {
        "logistic": {"C": 1.0, "clip": None},
        "lightgbm": {"early_stopping_rounds": None, "n_estimators": 20, "min_child_samples": 1, "max_bin": 255},
        "xgboost": {"early_stopping_rounds": None, "n_estimators": 20, "min_child_weight": 5.0, "max_bin": 255},
    }[name]
    if name != "logistic":
        params.update(subsample=1.0, colsample_bytree=1.0)
    small, y = TRAIN[:200].with_columns(pl.col(FEATURES).round(1)), Y_TRAIN[:200]
    weight = np.where(np.arange(200) % 3 == 0, 3.0, 1.0)
    copies = np.repeat(np.arange(200), weight.astype(int))
    weighted = fit_model(name, small, y, params=params, weight=weight, seed=0).predict(TEST)
    copied = fit_model(name, small[copies], y[copies], params=params, seed=0).predict(TEST)
    plain = fit_model(name, small, y, params=params, seed=0).predict(TEST)
    # Bin edges, medians and scales are of the rows as they are, so equality is not exact.
    assert np.abs(weighted - copied).mean() < 0.6 * np.abs(plain - copied).mean()


@pytest.mark.parametrize("name", ["logistic", "lightgbm", "xgboost"])
def test_class_balance_moves_the_mean_score_to_one_half(name):
    rare = (np.arange(800) % 10 == 0) & (Y_TRAIN == 1)
    rows = np.flatnonzero((Y_TRAIN == 0) | rare)
    part, y = TRAIN[rows], Y_TRAIN[rows]
    params = {} if name == "logistic" else {"early_stopping_rounds": None, "n_estimators": 60, "reg_lambda": 1.0}
    if name == "xgboost":
        params["lambda"] = params.pop("reg_lambda")
    plain = fit_model(name, part, y, params=params, seed=0).predict(TEST).mean()
    equal = fit_model(name, part, y, params={**params, "class_balance": True}, seed=0).predict(TEST).mean()
    assert plain < 0.25
    assert 0.35 < equal < 0.65


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"X": TRAIN.drop("beta")}, None),
        ({"y": np.ones(800)}, r"only one class to fit on: got counts \{1.0: 800\}"),
        ({"y": np.where(Y_TRAIN == 1, 2, 0)}, "labels other than 0 and 1"),
        ({"y": np.where(np.arange(800) == 3, np.nan, Y_TRAIN)}, "labels other than 0 and 1"),
        ({"y": Y_TRAIN[:5]}, r"y does not belong to X: got shape \(5,\)"),
        ({"X": TRAIN[:0], "y": Y_TRAIN[:0]}, "no rows to fit on"),
        ({"weight": np.full(800, -1.0)}, "weights that are negative"),
        ({"weight": np.full(800, np.nan)}, "weights that are negative or not finite"),
        ({"X": TRAIN.with_columns(beta=pl.lit("high"))}, r"numeric features: got columns \['beta'\]"),
        ({"X": TRAIN.with_columns(beta=pl.lit(np.inf, pl.Float32))}, r"infinite feature values: got \['beta'\]"),
        ({"X": TRAIN.select("symbol", "session")}, "no feature column"),
        ({"inner": (INNER.drop("beta"), Y_INNER)}, r"not those the model was fitted on: got missing \['beta'\]"),
    ],
)
@pytest.mark.parametrize("name", ["logistic", "lightgbm"])
def test_bad_input_is_named_before_any_fit(name, change, match):
    call = {"X": TRAIN, "y": Y_TRAIN, "inner": (INNER, Y_INNER), "weight": None, "seed": 0, **change}
    if match is None:
        call["inner"] = (INNER.drop("beta"), Y_INNER)
        assert fit_model(name, call.pop("X"), call.pop("y"), **call).feature_names == tuple(FEATURES[:-1])
        return
    with pytest.raises(ModelError, match=match):
        fit_model(name, call.pop("X"), call.pop("y"), **call)


def test_prediction_checks_its_columns_and_takes_them_in_any_order():
    fitted = fit_model("lightgbm", TRAIN, Y_TRAIN, inner=(INNER, Y_INNER), seed=0)
    assert np.array_equal(fitted.predict(TEST), fitted.predict(TEST.select(reversed(TEST.columns))))
    with pytest.raises(ModelError, match=r"missing \['beta'\] \(1 in all\), unexpected \['gamma'\]"):
        fitted.predict(TEST.rename({"beta": "gamma"}))
    with pytest.raises(ModelError, match="infinite"):
        fitted.predict(TEST.with_columns(beta=pl.lit(np.inf, pl.Float32)))
    with pytest.raises(SeenRowError, match="200 rows of 50 seen sessions"):
        fitted.predict(INNER)
    assert fitted.predict(INNER.drop("symbol", "session")).shape == (200,)


def test_a_folder_that_is_no_model_is_refused(tmp_path):
    with pytest.raises(ModelError, match="holds no model"):
        FittedModel.load(tmp_path)
    fit_model("base_rate", TRAIN, Y_TRAIN, seed=0).save(tmp_path)
    meta = json.loads((tmp_path / "model.json").read_text())
    (tmp_path / "model.json").write_text(json.dumps({**meta, "name": "oracle"}))
    with pytest.raises(ModelError, match="unknown model: got 'oracle'"):
        FittedModel.load(tmp_path)
    (tmp_path / "model.json").write_text(json.dumps({**meta, "format": 99}))
    with pytest.raises(ModelError, match="another format"):
        FittedModel.load(tmp_path)


def test_names_that_a_file_format_cannot_hold_are_kept_by_position(tmp_path):
    odd = {"beta": "beta [SPY], <60>"}
    for name in ("lightgbm", "xgboost"):
        fitted = fit_model(name, TRAIN.rename(odd), Y_TRAIN, inner=(INNER.rename(odd), Y_INNER), seed=0)
        fitted.save(tmp_path / name)
        loaded = FittedModel.load(tmp_path / name)
        assert loaded.feature_names[-1] == "beta [SPY], <60>"
        assert loaded.importance().equals(fitted.importance())


@pytest.mark.parametrize("name", sorted(MODELS))
def test_every_searched_parameter_is_a_parameter_with_room_for_its_range(name):
    spec = model_spec(name)
    assert spec.capabilities.tunable == bool(len(spec.search_space))
    for dimension in spec.search_space:
        for value in (dimension.low, dimension.high, *dimension.choices):
            if value is None:
                continue
            typed = spec.parse({dimension.name: int(value) if dimension.kind == "int" else value})
            assert typed.model_dump(by_alias=True)[dimension.name] == value


def test_the_xgboost_ranges_are_those_of_the_mission():
    ranges = {d.name: (d.kind, d.low, d.high) for d in MODELS["xgboost"].search_space}
    assert ranges == {
        "max_depth": ("int", 3, 10),
        "eta": ("float", 0.01, 0.3),
        "subsample": ("float", 0.5, 1),
        "colsample_bytree": ("float", 0.5, 1),
        "gamma": ("float", 0, 10),
        "alpha": ("float", 0, 10),
        "lambda": ("float", 0, 10),
        "min_child_weight": ("int", 1, 10),
    }


@pytest.mark.parametrize(
    "fields",
    [
        {"kind": "float"},
        {"kind": "float", "low": 2.0, "high": 1.0},
        {"kind": "float", "low": float("nan"), "high": 1.0},
        {"kind": "float", "low": 0.0, "high": 1.0, "log": True},
        {"kind": "int", "low": 0.5, "high": 2},
        {"kind": "categorical"},
    ],
)
def test_impossible_dimensions_are_refused(fields):
    with pytest.raises(TuningError, match="search dimension 'a' is impossible"):
        Dimension(name="a", **fields)


def test_a_space_is_narrowed_by_name_only():
    space = MODELS["xgboost"].search_space
    assert space.narrowed({"max_depth": {"high": 4}})["max_depth"].high == 4
    assert space["max_depth"].high == 10
    with pytest.raises(TuningError, match="unknown search dimension: got 'depth'"):
        space.narrowed({"depth": {"high": 4}})
    with pytest.raises(TuningError, match="unknown search range field: got 'maximum'"):
        space.narrowed({"max_depth": {"maximum": 4}})
    with pytest.raises(TuningError, match="low=3 above high=2"):
        space.narrowed({"max_depth": {"high": 2}})
    with pytest.raises(TuningError, match="appears twice"):
        SearchSpace((space["eta"], space["eta"]))


@settings(deadline=None, max_examples=20)
@given(st.integers(0, 10_000), st.sampled_from(["logistic", "lightgbm", "xgboost", "reversal_1d"]))
def test_a_score_does_not_depend_on_its_neighbours(seed, name):
    fitted = FITTED[name]
    rng = np.random.default_rng(seed)
    rows = rng.permutation(len(TEST))[: rng.integers(1, 50)]
    assert np.array_equal(fitted.predict(TEST[rows]), fitted.predict(TEST)[rows])


FITTED = {
    name: fit_model(name, TRAIN, Y_TRAIN, inner=(INNER, Y_INNER), seed=0)
    for name in ("logistic", "lightgbm", "xgboost", "reversal_1d")
}


def test_unknown_parameters_are_named():
    with pytest.raises(ParameterError, match=r"parameter 'depth' of model 'xgboost'.*allowed: .*max_depth"):
        fit_model("xgboost", TRAIN, Y_TRAIN, params={"depth": 3}, inner=(INNER, Y_INNER), seed=0)


def test_without_a_cluster_the_fit_says_what_is_missing():
    pytest.importorskip("distributed")
    block = Block(("a",), np.arange(20, dtype=np.float32)[:, None], y=np.arange(20) % 2.0)
    params = {"early_stopping_rounds": None, "training": "dask"}
    with pytest.raises(ModelError, match=r"no active distributed\.Client"):
        fit_blocks("xgboost", block, None, params=params, seed=0)
