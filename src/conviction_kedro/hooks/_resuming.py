"""Goes on with the unfinished run of the same command, from what of it is complete and valid."""

from __future__ import annotations

import os
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import click
from kedro.framework.hooks import hook_impl

from conviction_kedro import runtime
from conviction_kedro.hooks._provenance import asked_for
from conviction_kedro.provenance import sha
from conviction_kedro.resuming import WISH, Entry, Journal, complete_nodes, sweep
from conviction_kedro.tracking import open_store

if TYPE_CHECKING:
    from kedro.framework.context import KedroContext
    from kedro.io import DataCatalog
    from kedro.pipeline import Pipeline

    from conviction_kedro.tracking import RunStore


class ResumingHooks:
    """Keeps the journal of unfinished runs and decides which nodes of this one are done already."""

    def __init__(self) -> None:
        self._journal: Journal | None = None

    @hook_impl
    def after_context_created(self, context: KedroContext) -> None:
        """Remember where the project and its run store are."""
        self._context = context

    @hook_impl
    def before_pipeline_run(self, run_params: dict[str, Any], pipeline: Pipeline, catalog: DataCatalog) -> None:
        """Find the unfinished run, or put this one on record."""
        self._journal = None
        if not WISH.get().resumable:
            return
        current = runtime.current()
        names = run_params.get("pipeline_names") or ["main-job"]
        store = open_store(self._context.config_loader["tracking"], self._context.project_path, pipeline=names[0])
        self._journal = Journal(self._context.project_path)
        command = sha([asked_for(run_params), str(self._context.env)])
        mine = Entry(current.run_id, command, current.provenance["run_key"], os.getpid())
        unfinished = self._unfinished(store, mine)
        if unfinished is not None:
            mine = replace(mine, session_id=unfinished.session_id)
            self._go_on(unfinished, pipeline, catalog, store)
        self._journal.begin(mine)

    @hook_impl(trylast=True)
    def after_pipeline_run(self) -> None:
        """Take the run off the record, after its end is tracked."""
        self._end()

    @hook_impl(trylast=True)
    def on_pipeline_error(self) -> None:
        """Take the run off the record: it ended, though badly."""
        self._end()

    def _end(self) -> None:
        if self._journal is not None:
            self._journal.end(runtime.current().run_id)

    def _unfinished(self, store: RunStore, mine: Entry) -> Entry | None:
        """Return the newest unfinished run that can be gone on with; the others of this command are given up."""
        assert self._journal is not None  # noqa: S101  # set by the caller
        chosen = None
        for entry in reversed(self._journal.claim(mine.command)):
            same = entry.run_key == mine.run_key and not WISH.get().fresh
            status = store.status_of(entry.session_id)
            if chosen is None and same and status in {None, "RUNNING"}:
                chosen = entry
                continue
            if status == "RUNNING":
                why = "--fresh" if WISH.get().fresh else "its parameters, code or data have changed since"
                store.give_up(entry.session_id, reason=f"killed, and not gone on with: {why}")
                click.echo(f"The unfinished run {entry.session_id} is not gone on with: {why}.")
            self._journal.end(entry.session_id)
        return chosen

    def _go_on(self, entry: Entry, pipeline: Pipeline, catalog: DataCatalog, store: RunStore) -> None:
        current = runtime.current()
        sweep(pipeline, catalog, pid=entry.pid)
        skipped = complete_nodes(pipeline, catalog, current.keys, session_id=entry.session_id)
        tracked = store.find(entry.session_id)
        runtime.install(replace(current, run_id=entry.session_id, skipped=skipped, tracked_run=tracked))
        in_order = [node.name for node in pipeline.nodes if node.name in skipped]
        click.echo(
            f"Going on with the unfinished run {entry.session_id}: {len(in_order)} of {len(pipeline.nodes)} nodes are "
            f"complete and valid{', skipped: ' if in_order else ''}{', '.join(in_order)}. (--fresh begins anew.)"
        )
