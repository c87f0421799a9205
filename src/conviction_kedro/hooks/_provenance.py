"""Provenance of a run and keys of all snapshots, installed before the first node."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from kedro.framework.hooks import hook_impl
from kedro.io import DatasetError

from conviction.frames import fingerprint
from conviction_kedro import runtime
from conviction_kedro.datasets import Snapshot, SnapshotError
from conviction_kedro.observers import make_observer
from conviction_kedro.parameters import validate_parameters
from conviction_kedro.pinning import pin_tags
from conviction_kedro.provenance import dataset_keys, environment_facts, sha, tree_state

if TYPE_CHECKING:
    import polars as pl
    from kedro.framework.context import KedroContext
    from kedro.io import DataCatalog
    from kedro.pipeline import Pipeline

logger = logging.getLogger(__name__)


class ProvenanceHooks:
    """Makes the run's identity known and refuses data that other parameters, code or inputs made."""

    @hook_impl
    def after_context_created(self, context: KedroContext) -> None:
        """Remember what the run is made of."""
        self._context = context

    @hook_impl
    def before_pipeline_run(self, run_params: dict[str, Any], pipeline: Pipeline, catalog: DataCatalog) -> None:
        """Compute all keys, check what the run reads but does not make, and install the runtime."""
        root = self._context.project_path
        parameters = validate_parameters(self._context.params)
        # Before the raw data are read: other data than the pinned ones are refused as such.
        pinned = pin_tags(self._context, catalog, run_params)
        # Kedro puts typed objects into `context.params` for the pipelines of this run only; plain data is the same for all.
        plain = parameters.model_dump(mode="json")
        keys = dataset_keys(_all_nodes(), _parameter_values(plain), _raw_contents(catalog, pipeline))
        provenance = {
            **tree_state(root),
            **environment_facts(root),
            **pinned,
            "parameter_sha": sha(plain),
            "environment": str(self._context.env or "base"),
            "pipeline": ",".join(run_params.get("pipeline_names") or ["__default__"]),
            "source": parameters.source,
            "universe": parameters.universe,
            "profile": parameters.profile,
            "engine": parameters.engine,
            "seed": str(parameters.seed),
        }
        runtime.install(
            runtime.Runtime(
                observer=make_observer(), run_id=str(run_params["run_id"]), keys=keys, provenance=provenance
            )
        )
        _refuse_stale(pipeline, catalog, keys)


def _all_nodes() -> Pipeline:
    from kedro.framework.project import pipelines

    pipelines.set_requested(None)
    everything: Pipeline = pipelines["__default__"]
    return everything


def _parameter_values(params: dict[str, Any]) -> dict[str, Any]:
    values: dict[str, Any] = {"parameters": params}

    def walk(prefix: str, value: Any) -> None:
        values[f"params:{prefix}"] = value
        if isinstance(value, dict):
            for key, item in value.items():
                walk(f"{prefix}.{key}", item)

    for name, value in params.items():
        walk(name, value)
    return values


def _raw_contents(catalog: DataCatalog, pipeline: Pipeline) -> dict[str, str]:
    """Return the fingerprint of each input that no node makes; one that a partial run does not need may be unreadable.

    What was read for its fingerprint is what the nodes get: a source is read once in a run.
    """
    wanted = pipeline.inputs()
    contents: dict[str, str] = {}
    for name in sorted(_all_nodes().inputs()):
        if name.startswith(("params:", "parameters")):
            continue
        dataset = catalog.get(name)
        if dataset is None or isinstance(dataset, Snapshot):
            continue
        try:
            frame = dataset.load()
            contents[name] = fingerprint(frame)
            if name in wanted:
                _ReadOnce(dataset, frame, times=len(pipeline.only_nodes_with_inputs(name).nodes))
        except DatasetError:
            if name in wanted:
                raise
            logger.warning("%s cannot be read now: whether saved data still follows from it cannot be checked", name)
    return contents


class _ReadOnce:
    """Stands in for the `load` of a dataset until every node of the run has had what was read already, then gives it back."""

    def __init__(self, dataset: Any, frame: pl.DataFrame, *, times: int) -> None:
        self._dataset, self._frame, self._left = dataset, frame, times
        vars(dataset)["load"] = self

    def __call__(self) -> pl.DataFrame:
        self._left -= 1
        if self._left <= 0:
            vars(self._dataset).pop("load", None)
        return self._frame


def _refuse_stale(pipeline: Pipeline, catalog: DataCatalog, keys: dict[str, str]) -> None:
    for name in sorted(pipeline.inputs()):
        dataset = None if name.startswith(("params:", "parameters")) else catalog.get(name)
        if not isinstance(dataset, Snapshot) or name not in keys or _only_newest(pipeline, name):
            continue
        sidecar = dataset.sidecar()
        if sidecar is not None and sidecar["key"] != keys[name]:
            raise SnapshotError(
                what=f"the saved {name!r} is stale: other code, parameters or input data made it",
                got=f"key {str(sidecar['key'])[:12]} of run {sidecar['run_id']}",
                allowed=f"key {keys[name][:12]}, what the present code and parameters would make",
                fix="run the pipelines before this one again, or plain `kedro run`",
            )


def _only_newest(pipeline: Pipeline, name: str) -> bool:
    """Return whether only inference reads a dataset: newer prices than those of training are its purpose."""
    return all("inference" in node.tags for node in pipeline.only_nodes_with_inputs(name).nodes)
