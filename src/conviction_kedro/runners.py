"""Kedro's runners, which leave out the nodes that an unfinished run has completed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import kedro.runner
from kedro.runner import AbstractRunner

from conviction_kedro import runtime

if TYPE_CHECKING:
    from kedro.io import CatalogProtocol, SharedMemoryCatalogProtocol
    from kedro.pipeline import Pipeline
    from pluggy import PluginManager


class _Resuming(AbstractRunner):
    def run(
        self,
        pipeline: Pipeline,
        catalog: CatalogProtocol[Any, Any] | SharedMemoryCatalogProtocol,
        hook_manager: PluginManager | None = None,
        run_id: str | None = None,
        only_missing_outputs: bool = False,
    ) -> dict[str, Any]:
        """Run the nodes that are left; see Kedro's runner of the same name."""
        left = pipeline.only_nodes(
            *(node.name for node in pipeline.nodes if node.name not in runtime.current().skipped)
        )
        return super().run(left, catalog, hook_manager, run_id, only_missing_outputs)


class SequentialRunner(_Resuming, kedro.runner.SequentialRunner):
    """One node after another."""


class ThreadRunner(_Resuming, kedro.runner.ThreadRunner):
    """Independent nodes in threads."""


class ParallelRunner(_Resuming, kedro.runner.ParallelRunner):
    """Independent nodes in processes."""


RESUMING = {
    runner.__name__: f"{__name__}.{runner.__name__}" for runner in (SequentialRunner, ThreadRunner, ParallelRunner)
}
