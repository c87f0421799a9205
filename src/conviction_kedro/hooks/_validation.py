"""Validation of all parameters at once, before anything else happens."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kedro.framework.hooks import hook_impl

from conviction_kedro.engine_choice import follow_engine
from conviction_kedro.parameters import validate_parameters

if TYPE_CHECKING:
    from kedro.framework.context import KedroContext


class ValidationHooks:
    """Refuses unknown, missing and out-of-bounds parameters; Kedro alone is silent about an unknown top-level key."""

    @hook_impl
    def after_context_created(self, context: KedroContext) -> None:
        """Build the root parameter model, which raises on the first sight of a wrong key."""
        follow_engine(validate_parameters(context.params).engine)
