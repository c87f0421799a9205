"""Typed parameters of the portfolio room."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

Execution = Literal["close", "next_open", "next_close"]


class PortfolioParameters(BaseModel):
    """What trading on a score costs and how its worth is measured.

    Examples
    --------
    >>> PortfolioParameters(cost_bps=5.0).n_quantiles
    10
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    cost_bps: float = Field(
        ge=0.0,
        le=1000.0,
        description=(
            "one-way cost of a traded unit in basis points, half the spread and impact included; 2 to 10 is honest for US large "
            "caps, more for small ones"
        ),
    )
    executions: tuple[Execution, ...] = Field(
        default=("close", "next_open", "next_close"),
        min_length=1,
        description="when a decision is traded: at its own close (idealised), at the next open, at the next close",
    )
    n_quantiles: int = Field(default=10, ge=2, le=100, description="groups of symbols by score in each session")
    sessions_a_year: int = Field(default=252, ge=1, le=366)
    n_resamples: int = Field(default=1000, ge=100, le=100_000, description="bootstrap resamples of session blocks")
    confidence: float = Field(default=0.95, gt=0.5, lt=1.0)
    min_block: int = Field(default=5, ge=1, description="shortest block of the bootstrap in sessions")
    min_sessions: int = Field(default=40, ge=10, description="fewer sessions than this give no interval")

    # The optimised portfolio.
    rebalance_every: int = Field(default=5, ge=1, description="sessions between optimisations")
    lookback: int = Field(default=252, ge=20, description="past sessions behind the covariance")
    max_symbols: int = Field(default=50, ge=2, description="symbols optimised at a time: those with the best scores")
    max_weight: float = Field(default=0.1, gt=0.0, le=1.0)
    risk_aversion: float = Field(default=5.0, gt=0.0)
    information_coefficient: float = Field(
        default=0.03,
        gt=0.0,
        lt=0.5,
        description="assumed skill that turns a score into a return; about the best public figures",
    )
