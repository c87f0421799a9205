"""Typed parameters of how a fold is fitted, whatever the model."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator


class FittingParameters(BaseModel):
    """Weights and calibration of every fold's fit.

    Parameters
    ----------
    calibration : {"isotonic", "sigmoid"}, optional
        Map the scores to probabilities, learnt on the second half of the fold's inner block, purged from the first;
        only the first half is then watched for early stopping.
    uniqueness : bool
        Weight a row by how little its label's span overlaps those of the same symbol.
    half_life_sessions : float, optional
        Weight a row half as much for every so many sessions that it is older than the newest training row.
    refit : bool
        Once the inner block has said when to stop, boost again for that many rounds on train and inner together.
        Costs a second fit, gains the newest sessions. Not together with a calibration, which needs rows unseen.

    Examples
    --------
    >>> FittingParameters(calibration="isotonic").uniqueness
    False
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    calibration: Literal["isotonic", "sigmoid"] | None = None
    uniqueness: bool = False
    half_life_sessions: float | None = Field(default=None, gt=0)
    refit: bool = False

    @model_validator(mode="after")
    def _check_together(self) -> Self:
        if self.refit and self.calibration is not None:
            message = "refit uses up the inner block that calibration needs; choose one of them"
            raise ValueError(message)
        return self

    @property
    def weighted(self) -> bool:
        """Return whether rows are weighted at all."""
        return self.uniqueness or self.half_life_sessions is not None
