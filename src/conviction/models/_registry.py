"""The closed registry of models, and the one way to fit any of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import polars as pl

from conviction.errors import ModelError
from conviction.models import parameters as p
from conviction.models._baselines import fit_base_rate, fit_momentum, fit_reversal, load_baseline
from conviction.models._block import Block, check_training
from conviction.models._boosting import fit_lightgbm, fit_xgboost, load_lightgbm, load_xgboost
from conviction.models._catboost import fit_catboost, load_catboost
from conviction.models._dask import is_distributed
from conviction.models._fitted import FittedModel, seen_sessions
from conviction.models._forest import fit_random_forest, load_random_forest
from conviction.models._gru import fit_gru, load_gru
from conviction.models._logistic import fit_logistic, load_logistic
from conviction.models._space import Dimension, SearchSpace
from conviction.models._spec import Capabilities, ModelSpec
from conviction.models._tabnet import fit_tabnet, load_tabnet

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


def _space(*rows: tuple[str, str, float, float] | tuple[str, str, float, float, str]) -> SearchSpace:
    return SearchSpace(
        tuple(
            Dimension(name=row[0], kind=row[1], low=row[2], high=row[3], log=len(row) > 4)  # type: ignore[arg-type]
            for row in rows
        )
    )


_BASELINE = Capabilities(baseline=True)
_BOOSTED = Capabilities(uses_inner=True, importance=True, tunable=True)

MODELS: dict[str, ModelSpec] = {
    spec.name: spec
    for spec in (
        ModelSpec(
            name="base_rate",
            parameters=p.BaseRateParameters,
            search_space=SearchSpace(),
            capabilities=_BASELINE,
            fit=fit_base_rate,
            load=load_baseline,
        ),
        ModelSpec(
            name="catboost",
            parameters=p.CatBoostParameters,
            search_space=_space(
                ("learning_rate", "float", 0.01, 0.3, "log"),
                ("depth", "int", 2, 8),
                ("l2_leaf_reg", "float", 1.0, 100.0, "log"),
                ("rsm", "float", 0.2, 1.0),
                ("subsample", "float", 0.5, 1.0),
            ),
            capabilities=Capabilities(
                uses_inner=True, importance=True, tunable=True, extra="catboost", packages=("catboost",)
            ),
            fit=fit_catboost,
            load=load_catboost,
        ),
        ModelSpec(
            name="gru",
            parameters=p.GruParameters,
            search_space=_space(
                ("length", "int", 5, 60, "log"),
                ("hidden", "int", 4, 64, "log"),
                ("dropout", "float", 0.0, 0.5),
                ("learning_rate", "float", 0.0005, 0.02, "log"),
            ),
            capabilities=Capabilities(
                uses_inner=True, tunable=True, needs_keys=True, missing="imputed", extra="deep", packages=("torch",)
            ),
            fit=fit_gru,
            load=load_gru,
        ),
        ModelSpec(
            name="lightgbm",
            parameters=p.LightGBMParameters,
            search_space=_space(
                ("learning_rate", "float", 0.01, 0.3, "log"),
                ("num_leaves", "int", 4, 63, "log"),
                ("min_child_samples", "int", 20, 2000, "log"),
                ("subsample", "float", 0.5, 1.0),
                ("colsample_bytree", "float", 0.2, 1.0),
                ("reg_alpha", "float", 1e-3, 10.0, "log"),
                ("reg_lambda", "float", 1e-2, 100.0, "log"),
            ),
            capabilities=_BOOSTED,
            fit=fit_lightgbm,
            load=load_lightgbm,
        ),
        ModelSpec(
            name="logistic",
            parameters=p.LogisticParameters,
            search_space=_space(("C", "float", 1e-6, 1.0, "log")),
            capabilities=Capabilities(importance=True, tunable=True, missing="imputed"),
            fit=fit_logistic,
            load=load_logistic,
        ),
        ModelSpec(
            name="momentum",
            parameters=p.MomentumParameters,
            search_space=SearchSpace(),
            capabilities=_BASELINE,
            fit=fit_momentum,
            load=load_baseline,
        ),
        ModelSpec(
            name="random_forest",
            parameters=p.RandomForestParameters,
            search_space=_space(
                ("max_depth", "int", 2, 12),
                ("min_samples_leaf", "int", 20, 1000, "log"),
                ("max_features", "float", 0.1, 1.0),
                ("max_samples", "float", 0.2, 1.0),
            ),
            capabilities=Capabilities(importance=True, tunable=True),
            fit=fit_random_forest,
            load=load_random_forest,
        ),
        ModelSpec(
            name="reversal_1d",
            parameters=p.ReversalParameters,
            search_space=SearchSpace(),
            capabilities=_BASELINE,
            fit=fit_reversal,
            load=load_baseline,
        ),
        ModelSpec(
            name="tabnet",
            parameters=p.TabNetParameters,
            search_space=_space(
                ("width", "int", 4, 32, "log"),
                ("n_steps", "int", 2, 6),
                ("gamma", "float", 1.0, 2.0),
                ("lambda_sparse", "float", 1e-5, 0.1, "log"),
                ("learning_rate", "float", 0.001, 0.05, "log"),
            ),
            capabilities=Capabilities(
                uses_inner=True,
                importance=True,
                tunable=True,
                missing="imputed",
                extra="deep",
                packages=("torch", "pytorch_tabnet"),
            ),
            fit=fit_tabnet,
            load=load_tabnet,
        ),
        ModelSpec(
            name="xgboost",
            parameters=p.XGBoostParameters,
            search_space=_space(
                ("max_depth", "int", 3, 10),
                ("eta", "float", 0.01, 0.3),
                ("subsample", "float", 0.5, 1.0),
                ("colsample_bytree", "float", 0.5, 1.0),
                ("gamma", "float", 0.0, 10.0),
                ("alpha", "float", 0.0, 10.0),
                ("lambda", "float", 0.0, 10.0),
                ("min_child_weight", "int", 1, 10),
            ),
            capabilities=_BOOSTED,
            fit=fit_xgboost,
            load=load_xgboost,
        ),
    )
}


def model_spec(name: str) -> ModelSpec:
    """Return the registered model of that name.

    Raises
    ------
    ModelError
        For a name that is not registered.

    Examples
    --------
    >>> model_spec("lightgbm").capabilities.uses_inner
    True
    """
    if name not in MODELS:
        raise ModelError.from_unknown_name(kind="model", name=name, known=MODELS)
    return MODELS[name]


def fit_blocks(
    name: str,
    train: Block,
    inner: Block | None,
    *,
    params: Mapping[str, Any] | p.ModelParameters | None,
    seed: int,
    n_threads: int = 1,
) -> FittedModel:
    """Fit a registered model on blocks that are already matrices; `fit_model` does it from frames."""
    spec = model_spec(name)
    typed = spec.parse(params)
    if is_distributed(train) and getattr(typed, "training", "local") != "dask":
        raise ModelError(
            what=f"{name} cannot be fitted on rows that lie on a cluster",
            got="a block whose matrix is a dask.array",
            allowed="lightgbm or xgboost with training='dask'",
            fix="set training to 'dask', or fit on rows in memory",
        )
    check_training(train, name=name)
    if inner is not None:
        check_training(inner, name=f"{name}, inner block")
    if spec.capabilities.needs_keys and train.keys is None:
        raise ModelError(
            what=f"{name} needs to know which rows follow each other",
            got="features without symbol and session",
            allowed="the key columns beside the features",
            fix="pass a frame with symbol and session",
        )
    estimator = spec.fit(train, inner, typed, seed=seed, n_threads=n_threads)
    return FittedModel(
        name=name,
        feature_names=train.features,
        parameters=typed,
        seed=seed,
        seen=seen_sessions(train, inner),
        estimator=estimator,
        curve=getattr(estimator, "curve", ()),
    )


def fit_model(
    name: str,
    X: pl.DataFrame,
    y: NDArray[np.generic],
    *,
    params: Mapping[str, Any] | p.ModelParameters | None = None,
    inner: tuple[pl.DataFrame, NDArray[np.generic]] | None = None,
    weight: NDArray[np.generic] | None = None,
    seed: int,
    n_threads: int = 1,
) -> FittedModel:
    """Fit a registered model; whatever it learns, scaling and imputation included, it learns from these rows.

    Parameters
    ----------
    name : str
        Name in `MODELS`.
    X : polars.DataFrame
        Feature columns (numeric, null where missing, each known at the decision time of its row) and, if the model
        is to refuse rows it has seen, `symbol` and `session`.
    y : numpy.ndarray, shape (rows,)
        Labels, 0 or 1.
    params : mapping or ModelParameters, optional
        Parameters of the model; defaults where left out.
    inner : (X, y), optional
        Rows for early stopping: later than and purged from the training rows, never those that are scored.
    weight : numpy.ndarray, shape (rows,), optional
        Sample weights >= 0.
    seed : int
        Same rows, parameters, seed and library versions: same model, byte for byte.
    n_threads : int
        Threads inside the library.

    Returns
    -------
    FittedModel

    Raises
    ------
    ModelError
        For an unknown model, no rows, one class, labels other than 0 and 1, infinite features, or early stopping
        without an inner block.
    ParameterError
        For unknown or impossible parameters.
    MissingExtraError
        If the model's library is not installed.

    Examples
    --------
    >>> import numpy as np
    >>> X = pl.DataFrame({"a": np.linspace(-1, 1, 50, dtype=np.float32)})
    >>> fitted = fit_model("logistic", X, (X["a"].to_numpy() > 0).astype(int), params={"C": 1.0}, seed=0)
    >>> bool(fitted.predict(pl.DataFrame({"a": [0.9]}))[0] > 0.5)
    True
    """
    train = Block.from_frame(X, y, weight)
    inner_block = None if inner is None else Block.from_frame(inner[0], inner[1], features=train.features)
    return fit_blocks(name, train, inner_block, params=params, seed=seed, n_threads=n_threads)
