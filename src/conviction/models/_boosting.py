"""LightGBM and XGBoost: bins made once per block, early stopping on the inner block only."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from conviction.errors import ModelError
from conviction.models import _dask
from conviction.models._block import Block, balanced
from conviction.models._fitted import ranked

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from conviction.models.parameters import BoostingParameters, LightGBMParameters, XGBoostParameters

LIGHTGBM_FILE = "lightgbm.txt"
XGBOOST_FILE = "xgboost.ubj"
# LightGBM copies the sample to double with its row numbers: all rows would take three times the matrix.
_BIN_SAMPLE = 10_000
_PLAIN = re.compile(r"[A-Za-z0-9_.+-]+")


def native_names(features: tuple[str, ...]) -> list[str]:
    """Return the names, or their positions where a library's file format could not hold one of them."""
    if all(_PLAIN.fullmatch(name) for name in features):
        return list(features)
    return [f"f{position}" for position in range(len(features))]


def need_inner(inner: Block | None, params: BoostingParameters, *, name: str) -> None:
    """Raise a ModelError when early stopping is asked for without rows to watch."""
    if params.early_stopping_rounds is not None and inner is None:
        raise ModelError(
            what=f"{name} has no inner block to stop early on",
            got=f"early_stopping_rounds={params.early_stopping_rounds} and inner=None",
            allowed="an inner block, purged from training and not the scored fold",
            fix="pass inner=(X, y), or set early_stopping_rounds to null for a fixed number of rounds",
        )


@dataclass(frozen=True, eq=False)
class _Boosted:
    """What both libraries' estimators hold: a booster cut at its best round."""

    booster: Any
    best_iteration: int
    curve: tuple[float, ...] = ()

    @property
    def native(self) -> Any:
        """Return the library's `Booster`."""
        return self.booster

    @property
    def facts(self) -> dict[str, Any]:
        """Return the best round."""
        return {"best_iteration": self.best_iteration}


@dataclass(frozen=True, eq=False)
class LightGBMEstimator(_Boosted):
    """A LightGBM booster cut at its best round."""

    def predict(self, block: Block) -> NDArray[np.float64]:
        """Return the probability of 1 for each row."""
        return np.asarray(self.booster.predict(block.matrix, num_threads=1), dtype=np.float64)

    def contributions(self, block: Block) -> NDArray[np.float64]:
        """Return LightGBM's own SHAP values."""
        return np.asarray(self.booster.predict(block.matrix, num_threads=1, pred_contrib=True), dtype=np.float64)

    def importance(self, features: tuple[str, ...]) -> pl.DataFrame:
        """Return the total gain of each feature."""
        return ranked(features, self.booster.feature_importance("gain"))

    def save(self, folder: Path) -> None:
        """Write LightGBM's text format."""
        (folder / LIGHTGBM_FILE).write_text(self.booster.model_to_string(num_iteration=-1), encoding="utf-8")


def _lightgbm_sets(train: Block, inner: Block | None, params: LightGBMParameters) -> tuple[Any, Any]:
    import lightgbm as lgb

    key = ("lightgbm", params.max_bin, params.class_balance)
    if key not in train.cache:
        dataset_params = {
            "max_bin": params.max_bin,
            "bin_construct_sample_cnt": _BIN_SAMPLE,
            "feature_pre_filter": False,
            "verbosity": -1,
            "num_threads": 1,
        }
        train.cache[key] = lgb.Dataset(
            train.matrix,
            train.labels,
            weight=balanced(train, balance=params.class_balance),
            feature_name=native_names(train.features),
            params=dataset_params,
            free_raw_data=True,
        ).construct()
    dataset = train.cache[key]
    if inner is None:
        return dataset, None
    # The inner rows are binned with the edges of the training rows, so what is cached belongs to the pair.
    if key not in inner.cache or inner.cache[key][0] is not train:
        # LightGBM keeps one number of threads for the whole process, and `get_params` leaves it out: binning these rows with the
        # default number while another fold trains on one thread ends in a crash.
        watched = dataset.create_valid(
            inner.matrix,
            inner.labels,
            weight=inner.weight,
            params={**dataset.get_params(), "num_threads": 1, "verbosity": -1},
        ).construct()
        inner.cache[key] = (train, watched)
    return dataset, inner.cache[key][1]


def fit_lightgbm(
    train: Block, inner: Block | None, params: LightGBMParameters, *, seed: int, n_threads: int
) -> LightGBMEstimator:
    """Boost on the training rows, stop on the inner rows."""
    import lightgbm as lgb

    stopping = params.early_stopping_rounds
    need_inner(inner, params, name="lightgbm")
    native = {
        **params.model_dump(
            exclude={
                "n_estimators",
                "early_stopping_rounds",
                "early_stopping_metric",
                "max_bin",
                "class_balance",
                "training",
            }
        ),
        "objective": "binary",
        "metric": {"auc": "auc", "logloss": "binary_logloss"}[params.early_stopping_metric],
        "subsample_freq": 1,
        "max_bin": params.max_bin,
        "bin_construct_sample_cnt": _BIN_SAMPLE,
        "feature_pre_filter": False,
        "seed": seed,
        "num_threads": n_threads,
        "deterministic": True,
        "force_row_wise": True,
        "verbosity": -1,
    }
    if params.training == "dask":
        whole = _dask.train_lightgbm(native, train, rounds=params.n_estimators, balance=params.class_balance)
        best = whole.current_iteration()
        curve: tuple[float, ...] = ()
        if stopping and inner is not None:
            best, curve = _dask.best_round(whole, inner, metric=params.early_stopping_metric, patience=stopping)
        return LightGBMEstimator(lgb.Booster(model_str=whole.model_to_string(num_iteration=best)), int(best), curve)
    dataset, watched = _lightgbm_sets(train, inner if stopping else None, params)
    watched_scores: dict[str, dict[str, list[float]]] = {}
    booster = lgb.train(
        native,
        dataset,
        num_boost_round=params.n_estimators,
        valid_sets=[watched] if watched is not None else None,
        callbacks=[lgb.early_stopping(stopping, verbose=False), lgb.record_evaluation(watched_scores)]
        if stopping
        else None,
    )
    best = booster.best_iteration if stopping and booster.best_iteration > 0 else booster.current_iteration()
    # Reading the text back drops the data and the rounds after the best one: what is kept is what is saved.
    return LightGBMEstimator(
        lgb.Booster(model_str=booster.model_to_string(num_iteration=best)), int(best), _only_curve(watched_scores)
    )


def _only_curve(watched_scores: dict[str, dict[str, list[float]]]) -> tuple[float, ...]:
    """Return the scores of the one metric that was watched on the inner block, a value a round."""
    return tuple(float(value) for metrics in watched_scores.values() for values in metrics.values() for value in values)


def load_lightgbm(folder: Path, meta: dict[str, Any]) -> LightGBMEstimator:
    """Read what `LightGBMEstimator.save` wrote."""
    import lightgbm as lgb

    return LightGBMEstimator(lgb.Booster(model_file=folder / LIGHTGBM_FILE), int(meta["facts"]["best_iteration"]))


@dataclass(frozen=True, eq=False)
class XGBoostEstimator(_Boosted):
    """An XGBoost booster cut at its best round."""

    def contributions(self, block: Block) -> NDArray[np.float64]:
        """Return XGBoost's own SHAP values."""
        import xgboost as xgb

        matrix = xgb.DMatrix(block.matrix, feature_names=native_names(block.features), nthread=1)
        return np.asarray(self.booster.predict(matrix, pred_contribs=True), dtype=np.float64)

    def predict(self, block: Block) -> NDArray[np.float64]:
        """Return the probability of 1 for each row."""
        return np.asarray(self.booster.inplace_predict(block.matrix, missing=np.nan), dtype=np.float64)

    def importance(self, features: tuple[str, ...]) -> pl.DataFrame:
        """Return the total gain of each feature."""
        gain = self.booster.get_score(importance_type="total_gain")
        return ranked(features, np.array([gain.get(name, 0.0) for name in native_names(features)]))

    def save(self, folder: Path) -> None:
        """Write XGBoost's binary JSON."""
        self.booster.save_model(folder / XGBOOST_FILE)


def _xgboost_sets(train: Block, inner: Block | None, params: XGBoostParameters) -> tuple[Any, Any]:
    import xgboost as xgb

    key = ("xgboost", params.max_bin, params.class_balance)
    if key not in train.cache:
        train.cache[key] = xgb.QuantileDMatrix(
            train.matrix,
            train.labels,
            weight=balanced(train, balance=params.class_balance),
            feature_names=native_names(train.features),
            max_bin=params.max_bin,
            nthread=1,
        )
    matrix = train.cache[key]
    if inner is None:
        return matrix, None
    if key not in inner.cache or inner.cache[key][0] is not train:
        watched = xgb.QuantileDMatrix(
            inner.matrix,
            inner.labels,
            weight=inner.weight,
            feature_names=native_names(inner.features),
            max_bin=params.max_bin,
            nthread=1,
            ref=matrix,
        )
        inner.cache[key] = (train, watched)
    return matrix, inner.cache[key][1]


def fit_xgboost(
    train: Block, inner: Block | None, params: XGBoostParameters, *, seed: int, n_threads: int
) -> XGBoostEstimator:
    """Boost on the training rows, stop on the inner rows."""
    import xgboost as xgb

    stopping = params.early_stopping_rounds
    need_inner(inner, params, name="xgboost")
    native = {
        **params.model_dump(
            by_alias=True,
            exclude={"n_estimators", "early_stopping_rounds", "early_stopping_metric", "class_balance", "training"},
        ),
        "objective": "binary:logistic",
        "eval_metric": params.early_stopping_metric,
        "tree_method": "hist",
        "seed": seed,
        "nthread": n_threads,
        "verbosity": 0,
    }
    watched_scores: dict[str, dict[str, list[float]]] = {}
    if params.training == "dask":
        booster, watched_scores = _dask.train_xgboost(
            native, train, inner, rounds=params.n_estimators, stopping=stopping, max_bin=params.max_bin,
            balance=params.class_balance, names=native_names(train.features),
        )  # fmt: skip
    else:
        matrix, watched = _xgboost_sets(train, inner if stopping else None, params)
        booster = xgb.train(
            native,
            matrix,
            num_boost_round=params.n_estimators,
            evals=[(watched, "inner")] if watched is not None else None,
            early_stopping_rounds=stopping,
            evals_result=watched_scores,
            verbose_eval=False,
        )
    best = booster.best_iteration + 1 if stopping else booster.num_boosted_rounds()
    kept = xgb.Booster()
    kept.load_model(bytearray(booster[:best].save_raw("ubj")))
    kept.set_param({"nthread": 1})
    return XGBoostEstimator(kept, int(best), _only_curve(watched_scores))


def load_xgboost(folder: Path, meta: dict[str, Any]) -> XGBoostEstimator:
    """Read what `XGBoostEstimator.save` wrote."""
    import xgboost as xgb

    booster = xgb.Booster()
    booster.load_model(folder / XGBOOST_FILE)
    booster.set_param({"nthread": 1})
    return XGBoostEstimator(booster, int(meta["facts"]["best_iteration"]))
