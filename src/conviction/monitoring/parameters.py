"""Typed parameters of the monitoring room."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field


class MonitoringParameters(BaseModel):
    """What is compared with what, and how often an alarm may be false.

    Examples
    --------
    >>> MonitoringParameters(current_sessions=21, false_alarms=0.05).n_bins
    10
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    current_sessions: int = Field(ge=5, le=252, description="the newest sessions, which are compared; 21 is a month")
    false_alarms: float = Field(
        gt=0.0,
        le=0.5,
        description="share of such periods in which anything at all may be reported though nothing changed",
    )
    n_bins: int = Field(default=10, ge=2, le=50, description="bins of the stability index, quantiles of the reference")
    min_windows: int = Field(
        default=20, ge=10, description="disjoint periods that the reference must hold, or else nothing is claimed"
    )
    chart_share: float = Field(
        default=0.4,
        gt=0.0,
        lt=1.0,
        description="part of `false_alarms` that the chart of prediction quality may use up",
    )
