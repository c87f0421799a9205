"""Typed parameters of the panel's sources."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field


class SourceParameters(BaseModel):
    """How long a published value speaks for later sessions.

    Parameters
    ----------
    options_max_age_days : int
        Calendar days after which an option-implied value counts as unknown. It is published every session, so an old one means that
        the source has stopped, not that nothing has changed.

    Examples
    --------
    >>> SourceParameters().options_max_age_days
    4
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    options_max_age_days: int = Field(default=4, ge=1, le=60)
