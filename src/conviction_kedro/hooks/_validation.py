"""Validation of all parameters at once, before anything else happens."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kedro.framework.hooks import hook_impl

from conviction_kedro.bars_only_daily import refuse_bars
from conviction_kedro.engine_choice import follow_engine
from conviction_kedro.parameters import validate_parameters

if TYPE_CHECKING:
    from kedro.framework.context import KedroContext
    from kedro.pipeline import Pipeline


class ValidationHooks:
    """Refuses unknown, missing and out-of-bounds parameters; Kedro alone is silent about an unknown top-level key."""

    @hook_impl
    def after_context_created(self, context: KedroContext) -> None:
        """Build the root parameter model, which raises on the first sight of a wrong key."""
        # Not `context.params`: Kedro would refuse first, with what Pydantic says of one node's model.
        self._parameters = validate_parameters(context.config_loader["parameters"])
        follow_engine(self._parameters.engine)

    @hook_impl
    def before_pipeline_run(self, pipeline: Pipeline) -> None:
        """Refuse what these parameters cannot be run with."""
        refuse_bars(self._parameters, {tag for node in pipeline.nodes for tag in node.tags})
