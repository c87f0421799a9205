"""Typed parameters of the ensembling room."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

from conviction.errors import ParameterError

CombinerName = Literal["mean", "rank_mean", "past_weighted", "stack_logistic", "stack_mlp", "stack_xgboost"]


class EnsemblingParameters(BaseModel):
    """How base models are combined, and when something dearer than the rank average may replace it.

    Examples
    --------
    >>> EnsemblingParameters(purge=1).challengers
    ('stack_logistic',)
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    purge: int = Field(
        ge=1,
        description=(
            "sessions before a fold whose labels are not all known when the fold begins, and from which no weight is learnt; "
            "honest from the label's horizon upwards"
        ),
    )
    challengers: tuple[CombinerName, ...] = Field(
        default=("stack_logistic",), description="combiners that may replace the rank average, each only when better"
    )
    excluded: tuple[str, ...] = Field(
        default=("base_rate", "reversal_1d", "momentum"), description="models that are never combined: the baselines"
    )
    min_past_sessions: int = Field(default=60, ge=10, description="fewer past sessions than this teach no weights")
    regularisation: float = Field(default=1.0, gt=0.0, description="ridge penalty of the stacked logistic, in rows")
    rank_slope: float = Field(
        default=0.06,
        gt=0.0,
        le=1.0,
        description="probability between the lowest and the highest rank; 0.06 is an AUC of 0.52",
    )
    context: bool = Field(
        default=False, description="whether stacks see per-session and per-symbol context beside the scores"
    )
    calibrate: bool = Field(default=False, description="whether the ensemble is calibrated on past folds")
    metric: Literal["auc_pooled", "auc_daily"] = Field(
        default="auc_pooled", description="what a challenger must improve"
    )
    n_resamples: int = Field(default=1000, ge=100, le=100_000, description="resamples of the paired block bootstrap")
    confidence: float = Field(default=0.95, gt=0.5, lt=1.0, description="two-sided, shared by all challengers")
    min_sessions: int = Field(default=40, ge=10, description="fewer compared sessions leave the rank average")
    min_symbols: int = Field(default=5, ge=2, description="a session with fewer symbols has no cross-section")

    @field_validator("challengers")
    @classmethod
    def _challengers_are_distinct(cls, value: tuple[CombinerName, ...]) -> tuple[CombinerName, ...]:
        if len(set(value)) != len(value) or "rank_mean" in value:
            raise ValueError(
                str(
                    ParameterError(
                        what="ensembling.challengers repeats a combiner or names the one to be beaten",
                        got=list(value),
                        allowed="distinct combiners other than rank_mean",
                        fix="list each challenger once",
                    )
                )
            )
        return value
