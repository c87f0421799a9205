"""Typed parameters of every registered model; defaults are strongly regularised, as a signal this weak asks for."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, SerializerFunctionWrapHandler, model_serializer


class ModelParameters(BaseModel):
    """Base of all model parameters: frozen, closed."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)


class BaseRateParameters(ModelParameters):
    """The base rate has nothing to choose."""


class OneColumnParameters(ModelParameters):
    """Parameters of a baseline that ranks by one declared feature.

    Parameters
    ----------
    column : str
        The feature.
    """

    column: str


class ReversalParameters(OneColumnParameters):
    """One-day reversal: the lower the last return, the higher the score."""

    column: str = "ret_1d"


class MomentumParameters(OneColumnParameters):
    """Momentum: the higher the past return, the higher the score."""

    column: str = "ret_1d"


class LogisticParameters(ModelParameters):
    """Logistic regression on standardised, median-imputed features with missing indicators.

    Parameters
    ----------
    C : float
        Inverse strength of the L2 penalty, on the sum of the weighted losses.
    clip : float, optional
        Standardised values are cut at plus and minus this many standard deviations; None leaves them.
    class_balance : bool
        Weight the two classes equally.
    """

    C: float = Field(default=0.001, gt=0)
    clip: float | None = Field(default=5.0, gt=0)
    class_balance: bool = False


class BoostingParameters(ModelParameters):
    """What both boosting libraries share.

    Parameters
    ----------
    n_estimators : int
        Most rounds; early stopping ends sooner.
    early_stopping_rounds : int, optional
        Rounds without a better score on the inner block after which boosting stops. None trains all rounds and needs
        no inner block.
    early_stopping_metric : {"auc", "logloss"}
        What is watched on the inner block.
    max_bin : int
        Histogram bins a feature.
    class_balance : bool
        Weight the two classes equally.
    """

    n_estimators: int = Field(default=300, ge=1)
    early_stopping_rounds: int | None = Field(default=60, ge=1)
    early_stopping_metric: Literal["auc", "logloss"] = "logloss"
    max_bin: int = Field(default=63, ge=7, le=255)
    class_balance: bool = False


class ClusterParameters(BoostingParameters):
    """Boosting that a cluster can do together.

    Parameters
    ----------
    training : {"local", "dask"}
        "dask": the library's own distributed training on the workers of the active `distributed.Client`, each holding a
        share of the training rows; for a panel larger than one machine. What is learnt equals the local fit, up to
        rounding, only where no rows are sampled (`subsample=1`) and no feature has more distinct values than bins.
    """

    training: Literal["local", "dask"] = "local"

    @model_serializer(mode="wrap")
    def _without_the_usual(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        # The parameters of a local fit are those that it always had: studies and ledgers go by them.
        plain: dict[str, Any] = handler(self)
        if plain.get("training") == "local":
            del plain["training"]
        return plain


class LightGBMParameters(ClusterParameters):
    """LightGBM; names as in its scikit-learn interface."""

    learning_rate: float = Field(default=0.03, gt=0, le=1)
    num_leaves: int = Field(default=7, ge=2, le=1024)
    max_depth: int = Field(default=-1, ge=-1)
    min_child_samples: int = Field(default=200, ge=1)
    subsample: float = Field(default=0.8, gt=0, le=1)
    colsample_bytree: float = Field(default=0.5, gt=0, le=1)
    reg_alpha: float = Field(default=0.0, ge=0)
    reg_lambda: float = Field(default=10.0, ge=0)
    min_split_gain: float = Field(default=0.0, ge=0)


class XGBoostParameters(ClusterParameters):
    """XGBoost; names as in its native interface, so that a delegated container takes the same table."""

    eta: float = Field(default=0.03, gt=0, le=1)
    max_depth: int = Field(default=3, ge=1, le=16)
    min_child_weight: float = Field(default=10.0, ge=0)
    subsample: float = Field(default=0.8, gt=0, le=1)
    colsample_bytree: float = Field(default=0.5, gt=0, le=1)
    gamma: float = Field(default=0.0, ge=0)
    alpha: float = Field(default=0.0, ge=0)
    reg_lambda: float = Field(default=10.0, ge=0, alias="lambda")


class RandomForestParameters(ModelParameters):
    """Random forest; names as in scikit-learn."""

    n_estimators: int = Field(default=100, ge=1)
    max_depth: int | None = Field(default=6, ge=1)
    min_samples_leaf: int = Field(default=100, ge=1)
    max_features: float = Field(default=0.3, gt=0, le=1)
    max_samples: float = Field(default=0.3, gt=0, le=1)
    class_balance: bool = False


class CatBoostParameters(BoostingParameters):
    """CatBoost; names as in its native interface.

    Parameters
    ----------
    max_seconds : float
        The training process is ended after this time, and the fit fails with a named error.
    """

    learning_rate: float = Field(default=0.05, gt=0, le=1)
    depth: int = Field(default=4, ge=1, le=16)
    l2_leaf_reg: float = Field(default=10.0, ge=0)
    rsm: float = Field(default=0.5, gt=0, le=1)
    subsample: float = Field(default=0.8, gt=0, le=1)
    max_seconds: float = Field(default=600.0, gt=0)


class DeepParameters(ModelParameters):
    """What both neural models share.

    Parameters
    ----------
    max_epochs, patience : int
        Most epochs, and epochs without a lower log-loss on the inner block after which training stops.
    clip : float
        Standardised inputs are cut at plus and minus this many standard deviations.
    """

    max_epochs: int = Field(default=30, ge=1)
    patience: int = Field(default=5, ge=1)
    batch_size: int = Field(default=1024, ge=2)
    learning_rate: float = Field(default=0.005, gt=0, le=1)
    clip: float = Field(default=5.0, gt=0)
    class_balance: bool = False


class TabNetParameters(DeepParameters):
    """TabNet; `width` is the width of its decision and attention layers."""

    width: int = Field(default=8, ge=1)
    n_steps: int = Field(default=3, ge=1)
    gamma: float = Field(default=1.3, ge=1.0)
    lambda_sparse: float = Field(default=1e-3, ge=0)
    virtual_batch_size: int = Field(default=256, ge=2)


class GruParameters(DeepParameters):
    """GRU; `length` rows of a symbol make a sequence, the row itself included."""

    length: int = Field(default=20, ge=1)
    hidden: int = Field(default=16, ge=1)
    dropout: float = Field(default=0.2, ge=0, lt=1)
    weight_decay: float = Field(default=0.01, ge=0)
