"""The engine that the parameter `engine` names, for the time of a run."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from kedro.framework.hooks import hook_impl

from conviction_kedro.parameters import validate_parameters

if TYPE_CHECKING:
    from kedro.framework.context import KedroContext

    from conviction_kedro.engines import DaskEngine

logger = logging.getLogger(__name__)


class EngineHooks:
    """Starts the engine before the first node and makes it the one of each thread that runs a node."""

    def __init__(self) -> None:
        self._engine: DaskEngine | None = None

    @hook_impl
    def after_context_created(self, context: KedroContext) -> None:
        """Remember the parameters."""
        self._context = context

    @hook_impl
    def before_pipeline_run(self) -> None:
        """Start or reach the cluster; one that cannot be reached stops the run before any node."""
        parameters = validate_parameters(self._context.params)
        if parameters.engine == "dask":
            from conviction_kedro.engines import DaskEngine

            self._engine = DaskEngine(parameters.dask, n_jobs=parameters.n_jobs)

    @hook_impl
    def before_node_run(self) -> None:
        """Give the thread of this node the engine."""
        if self._engine is not None:
            self._engine.enter()

    @hook_impl
    def after_node_run(self) -> None:
        """Take it back."""
        if self._engine is not None:
            self._engine.leave()

    @hook_impl
    def on_node_error(self) -> None:
        """Take it back."""
        if self._engine is not None:
            self._engine.leave()

    @hook_impl
    def after_pipeline_run(self) -> None:
        """Say what the workers have done, and let them go."""
        if self._engine is not None:
            done = self._engine.tasks()
            logger.info("dask: tasks by worker: %s", ", ".join(f"{worker} {count}" for worker, count in done.items()))
        self._close()

    @hook_impl
    def on_pipeline_error(self) -> None:
        """Let the workers go."""
        self._close()

    def _close(self) -> None:
        if self._engine is not None:
            self._engine.close()
            self._engine = None
