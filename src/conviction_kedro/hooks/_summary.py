"""The console summary, last of all that a run prints."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click
from kedro.framework.hooks import hook_impl

from conviction_kedro import runtime
from conviction_kedro.resuming import outputs_of

if TYPE_CHECKING:
    from kedro.io import DataCatalog
    from kedro.pipeline import Pipeline

TEXTS = ("tuning_plan", "trial_table", "summary", "group_table", "inference_note", "drift_note")
FAILURE_TABLE = "audit_table"


class SummaryHooks:
    """Prints the summary of a finished run, and the audit's table of a run that the audit stopped."""

    def __init__(self) -> None:
        self._texts: dict[str, str] = {}

    @hook_impl
    def before_pipeline_run(self, pipeline: Pipeline, catalog: DataCatalog) -> None:
        """Forget what an earlier run in this process said; keep what the unfinished run that this one goes on with did say."""
        done = [node for node in pipeline.nodes if node.name in runtime.current().skipped]
        self._texts = {
            name: dataset.load() for name, dataset in outputs_of(done, catalog) if name in (*TEXTS, FAILURE_TABLE)
        }

    @hook_impl
    def after_dataset_saved(self, dataset_name: str, data: Any) -> None:
        """Keep the texts that are worth repeating at the end."""
        if dataset_name in (*TEXTS, FAILURE_TABLE):
            self._texts[dataset_name] = data

    @hook_impl
    def after_pipeline_run(self) -> None:
        """Print the summary, or the audit's table when the run ended with the audit."""
        said = [self._texts[name] for name in TEXTS if name in self._texts]
        for text in said or [self._texts.get(FAILURE_TABLE, "")]:
            if text:
                click.echo(f"\n{text}")

    @hook_impl
    def on_pipeline_error(self) -> None:
        """Print the audit's table, which names the guilty columns, or what monitoring found before its alarm."""
        if "drift_note" in self._texts:
            click.echo(f"\n{self._texts['drift_note']}", err=True)
        if FAILURE_TABLE in self._texts:
            click.echo(f"\n{self._texts[FAILURE_TABLE]}", err=True)
