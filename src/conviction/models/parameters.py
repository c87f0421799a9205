"""Typed parameters of every registered model; defaults are strongly regularised, as a signal this weak asks for."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


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


class LightGBMParameters(BoostingParameters):
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


class XGBoostParameters(BoostingParameters):
    """XGBoost; names as in its native interface, so that a delegated container takes the same table."""

    eta: float = Field(default=0.03, gt=0, le=1)
    max_depth: int = Field(default=3, ge=1, le=16)
    min_child_weight: float = Field(default=10.0, ge=0)
    subsample: float = Field(default=0.8, gt=0, le=1)
    colsample_bytree: float = Field(default=0.5, gt=0, le=1)
    gamma: float = Field(default=0.0, ge=0)
    alpha: float = Field(default=0.0, ge=0)
    reg_lambda: float = Field(default=10.0, ge=0, alias="lambda")
