"""Every `kedro run` as one MLflow run with child runs: parameters, scores with intervals, artifacts, provenance, verdicts."""

from __future__ import annotations

import json
import traceback
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kedro.framework.hooks import hook_impl

from conviction_kedro import runtime
from conviction_kedro.datasets import ChampionDataset, Snapshot
from conviction_kedro.hooks._provenance import asked_for
from conviction_kedro.parameters import flatten, validate_parameters
from conviction_kedro.presenting import dataset_input, description, headline, headline_metrics, origin_tags
from conviction_kedro.provenance import tree_difference
from conviction_kedro.quarantine import tags as quarantine_tags
from conviction_kedro.resources import Meter
from conviction_kedro.resuming import outputs_of
from conviction_kedro.run_record import (
    DIFF_FILE,
    FOLDER,
    OUTPUTS_FILE,
    RUN_FILE,
    as_json,
    keep_difference,
    outputs_record,
)
from conviction_kedro.tracking import NOTE_TAG, RunStore, open_store

if TYPE_CHECKING:
    import polars as pl
    from kedro.framework.context import KedroContext
    from kedro.io import DataCatalog
    from kedro.pipeline import Pipeline
    from kedro.pipeline.node import Node

_RECORDS = "_records"
_HEADLINES = ("scores", "holdout_scores")
# Dataset -> the entry of its sidecar that becomes a tag of the run, and the tag's name.
_SIDECAR_TAGS = {"audit_report": ("verdict", "audit_verdict"), "bars": ("frame_sha", "data_fingerprint")}


class TrackingHooks:
    """Records the run; the library and the nodes know nothing of it."""

    def __init__(self) -> None:
        self._store: RunStore | None = None

    @hook_impl
    def after_context_created(self, context: KedroContext) -> None:
        """Remember the configuration."""
        self._context = context

    @hook_impl
    def after_catalog_created(self, catalog: DataCatalog) -> None:
        """Tell the champion's dataset which registry the environment has."""
        champion = catalog.get("champion") if "champion" in catalog else None
        if isinstance(champion, ChampionDataset):
            champion.configure(self._context.config_loader["tracking"], Path(self._context.project_path))

    @hook_impl
    def before_pipeline_run(self, run_params: dict[str, Any], pipeline: Pipeline, catalog: DataCatalog) -> None:
        """Open the parent run, or that of the unfinished run, with every parameter and the whole provenance."""
        parameters = validate_parameters(self._context.params)
        provenance = runtime.current().provenance
        names = run_params.get("pipeline_names") or ["main-job"]
        self._catalog = catalog
        self._store = open_store(self._context.config_loader["tracking"], self._context.project_path, pipeline=names[0])
        self._store.start(
            name=f"{'+'.join(names)} | {parameters.source} {parameters.universe} | {parameters.profile}",
            tags={
                **provenance,
                **origin_tags(run_params.get("pipeline_names") or [], provenance.get("commit")),
                "session_id": runtime.current().run_id,
                "kind": "command",
            },
            params=flatten(parameters),
            reopen=runtime.current().tracked_run,
        )
        self._keep_what_made_it(run_params, parameters.model_dump(mode="json"))
        for name in _SIDECAR_TAGS:
            self._tag_from_sidecar(name)
        if "data_facts" not in pipeline.all_outputs():
            self._say_which_data()
        self._catch_up([node for node in pipeline.nodes if node.name in runtime.current().skipped])

    def _keep_what_made_it(self, run_params: dict[str, Any], parameters: dict[str, Any]) -> None:
        """Log what a replay needs: what was asked with which parameters, and the difference of a dirty tree from its commit."""
        assert self._store is not None  # noqa: S101  # set by the caller
        current = runtime.current()
        record = {
            "session_id": current.run_id,
            "asked": asked_for(run_params),
            "given": run_params.get("runtime_params") or {},
            "parameters": parameters,
            "provenance": current.provenance,
            "keys": current.keys,
        }
        self._store.log_content(as_json(record), file_name=RUN_FILE, folder=FOLDER)
        if current.provenance.get("dirty") == "true":
            patch, kept = keep_difference(tree_difference(self._context.project_path))
            self._store.log_content(patch.encode(errors="surrogateescape"), file_name=DIFF_FILE, folder=FOLDER)
            self._store.tag("difference", kept)

    def _catch_up(self, done: list[Node]) -> None:
        """Record again what the unfinished run made: it may have been killed after saving and before recording."""
        made = {name: (dataset, dataset.load()) for name, dataset in outputs_of(done, self._catalog)}
        self._upsert({name: data for name, (_, data) in made.items()})
        for name, (_, data) in made.items():
            self.after_dataset_saved(name, data)

    @hook_impl
    def before_node_run(self) -> None:
        """Start the meter."""
        self._meter = Meter()

    @hook_impl
    def after_node_run(self, node: Node, outputs: dict[str, Any]) -> None:
        """Log what the node cost and upsert one child run for each record that it returned."""
        if self._store is None:
            return
        self._store.log_metrics(self._meter.read(node.name))
        self._upsert(outputs)

    def _upsert(self, outputs: dict[str, Any]) -> None:
        assert self._store is not None  # noqa: S101  # checked by the callers
        for name, data in outputs.items():
            if name.endswith(_RECORDS):
                self._store.upsert_children(data.to_dicts())

    @hook_impl
    def after_dataset_saved(self, dataset_name: str, data: Any) -> None:
        """Log the artifacts that the catalog asks for, and the verdicts as tags."""
        dataset = self._catalog.get(dataset_name)
        if self._store is None or not isinstance(dataset, Snapshot):
            return
        folder = ((dataset.metadata or {}).get("mlflow") or {}).get("artifact")
        if folder is not None:
            self._store.log_content(
                dataset.saved_content(), file_name=dataset.filepath.rsplit("/", 1)[-1], folder=folder
            )
        table = ((dataset.metadata or {}).get("mlflow") or {}).get("table")
        if table is not None:
            self._store.log_table(data, file_name=table)
        if dataset_name in _SIDECAR_TAGS:
            self._tag_from_sidecar(dataset_name)
        if dataset_name == "learning_curves":
            self._store.log_curves(data)
        if dataset_name == "models":
            self._store.log_models(data)
        if dataset_name == "data_facts":
            self._say_which_data()
        if dataset_name in _HEADLINES:
            self._describe(data)
        if dataset_name == "evidence_records":
            self._add_evidence(data)
        if dataset_name == "second_audit":
            for name, value in quarantine_tags(data).items():
                self._store.tag(name, value)

    @hook_impl
    def after_pipeline_run(self, pipeline: Pipeline, catalog: DataCatalog) -> None:
        """Keep the hashes of all that was made, and close the run as finished."""
        if self._store is not None:
            self._store.log_content(as_json(outputs_record(pipeline, catalog)), file_name=OUTPUTS_FILE, folder=FOLDER)
            self._store.finish()

    @hook_impl
    def on_pipeline_error(self, error: Exception) -> None:
        """Close the run as failed, with the reason."""
        if self._store is not None:
            text = "".join(traceback.format_exception(error))
            self._store.fail(reason=str(error) or type(error).__name__, trace=text)

    def _tag_from_sidecar(self, dataset_name: str) -> None:
        if self._store is None or dataset_name not in self._catalog:
            return
        dataset = self._catalog.get(dataset_name)
        sidecar = dataset.sidecar() if isinstance(dataset, Snapshot) else None
        if sidecar is not None:
            entry, tag = _SIDECAR_TAGS[dataset_name]
            self._store.tag(tag, str(sidecar[entry]))

    def _say_which_data(self) -> None:
        bars = self._catalog.get("bars") if "bars" in self._catalog else None
        sidecar = bars.sidecar() if isinstance(bars, Snapshot) else None
        if self._store is None or sidecar is None:
            return
        provenance = runtime.current().provenance
        name = f"{provenance.get('source')} {provenance.get('universe')}"
        self._store.log_dataset(dataset_input(self._facts(), name=name, fingerprint=str(sidecar["frame_sha"])))

    def _facts(self) -> dict[str, Any]:
        if "data_facts" not in self._catalog or not self._catalog.exists("data_facts"):
            return {}
        facts: dict[str, Any] = self._catalog.load("data_facts")
        return facts

    def _add_evidence(self, evidence: pl.DataFrame) -> None:
        """Give the parent what stands behind the score that it is compared by."""
        targets = validate_parameters(self._context.params).modeling.targets
        metrics = dict(evidence.select("record_key", "metrics").iter_rows())
        first = next((metrics[f"{target}/ensemble"] for target in targets if f"{target}/ensemble" in metrics), None)
        if self._store is not None and first is not None:
            self._store.add_metrics(json.loads(first))

    def _describe(self, scores: pl.DataFrame) -> None:
        if self._store is None:
            return
        rows = scores.to_dicts()
        first = headline(rows, list(validate_parameters(self._context.params).modeling.targets))
        if first is not None:
            self._store.headline(
                headline_metrics(first), verdict=str(first["verdict"]), of=f"{first['target']} | {first['model']}"
            )
        text = description(rows, first=first, facts=self._facts(), provenance=runtime.current().provenance)
        self._store.tag(NOTE_TAG, text)
