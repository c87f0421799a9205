"""Types of parameters that many families share."""

from __future__ import annotations

from typing import Annotated

from annotated_types import Gt, Le
from pydantic import AfterValidator, Field

#: Longest window or lag, in rows: ten years of sessions.
LONGEST = 2520


def _unique(values: tuple[int, ...]) -> tuple[int, ...]:
    if len(set(values)) != len(values):
        message = f"windows repeat: {values}; give each once"
        raise ValueError(message)
    return values


Window = Annotated[int, Field(ge=2, le=LONGEST)]
Lag = Annotated[int, Field(ge=1, le=LONGEST)]
#: Distinct windows of at least one row.
Windows = Annotated[tuple[Lag, ...], AfterValidator(_unique)]
#: Distinct windows of at least two rows: deviations need them.
LongWindows = Annotated[tuple[Window, ...], AfterValidator(_unique)]
Lags = Windows
Positive = Annotated[float, Gt(0.0), Le(1e6)]
