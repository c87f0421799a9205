"""Typed parameters of the evaluation room."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field, model_validator


class EvaluationParameters(BaseModel):
    """How scores are judged: resampling, cross-sections, and what an honest number looks like.

    The bounds on plausibility come from public figures for daily equity data: the best published rank information
    coefficient of about 0.06 is an AUC of about 0.528, so that 0.55 is twice the best known and 0.60 is a bug until
    proved otherwise.

    Examples
    --------
    >>> EvaluationParameters(n_resamples=200).confidence
    0.95
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    n_resamples: int = Field(default=1000, ge=100, le=100_000, description="bootstrap resamples of session blocks")
    confidence: float = Field(default=0.95, gt=0.5, lt=1.0, description="two-sided confidence of every interval")
    min_block: int = Field(
        default=5, ge=1, description="shortest block in sessions; at least the label's horizon, a week by default"
    )
    min_sessions: int = Field(default=40, ge=10, description="fewer sessions than this give no interval")
    min_symbols: int = Field(default=5, ge=2, description="a session with fewer symbols has no cross-section")
    lift: float = Field(
        default=0.02,
        gt=0.0,
        lt=0.5,
        description="AUC above one half that a test must be able to see; 0.02 is a good public model",
    )
    power: float = Field(default=0.8, gt=0.5, lt=1.0, description="probability with which it must see that lift")
    remarkable_auc: float = Field(
        default=0.55, gt=0.5, lt=1.0, description="a score whose whole interval lies above this is implausible"
    )
    implausible_auc: float = Field(
        default=0.60, gt=0.5, lt=1.0, description="a score above this that luck does not explain is implausible"
    )

    @model_validator(mode="after")
    def _bounds_are_ordered(self) -> EvaluationParameters:
        if self.remarkable_auc > self.implausible_auc:
            msg = (
                f"remarkable_auc {self.remarkable_auc} is above implausible_auc {self.implausible_auc}; "
                "set remarkable_auc to at most implausible_auc"
            )
            raise ValueError(msg)
        return self
