"""Provenance of a run and keys of all snapshots, installed before the first node."""

from __future__ import annotations

import logging
from itertools import filterfalse
from typing import TYPE_CHECKING, Any

from kedro.framework.hooks import hook_impl
from kedro.io import DatasetError

from conviction.frames import fingerprint
from conviction_kedro import runtime
from conviction_kedro.datasets import ChampionDataset, Snapshot, SnapshotError
from conviction_kedro.observers import make_observer
from conviction_kedro.parameters import validate_parameters
from conviction_kedro.pinning import pin_tags
from conviction_kedro.provenance import (
    dataset_keys,
    environment_facts,
    is_parameter,
    packages_sha,
    run_key,
    sha,
    tree_state,
)
from conviction_kedro.resuming import WISH

if TYPE_CHECKING:
    from collections.abc import Mapping

    import polars as pl
    from kedro.framework.context import KedroContext
    from kedro.io import DataCatalog
    from kedro.pipeline import Pipeline

logger = logging.getLogger(__name__)

# What of a command decides which nodes run; the order in which names are given does not.
_LISTS = ("pipeline_names", "tags", "from_nodes", "to_nodes", "node_names", "from_inputs", "to_outputs", "namespaces")
_ASKED = (*_LISTS, "env", "load_versions", "only_missing_outputs")


class ProvenanceHooks:
    """Makes the run's identity known and refuses data that other parameters, code or inputs made."""

    @hook_impl
    def after_context_created(self, context: KedroContext) -> None:
        """Remember what the run is made of."""
        self._context = context

    @hook_impl
    def after_catalog_created(self, catalog: DataCatalog) -> None:
        """Move what the run makes to the folder that its command names: a replay leaves the user's data alone."""
        root = WISH.get().root
        if root is not None:
            for name in list(catalog.keys()):
                dataset = catalog.get(name)
                if isinstance(dataset, Snapshot):
                    dataset.relocate(root)

    @hook_impl
    def before_pipeline_run(self, run_params: dict[str, Any], pipeline: Pipeline, catalog: DataCatalog) -> None:
        """Compute all keys, check what the run reads but does not make, and install the runtime."""
        root = self._context.project_path
        parameters = validate_parameters(self._context.params)
        # Before the raw data are read: other data than the pinned ones are refused as such.
        pinned = pin_tags(self._context, catalog, run_params)
        # Kedro puts typed objects into `context.params` for the pipelines of this run only; plain data is the same for all.
        plain = parameters.model_dump(mode="json")
        raw = raw_contents(pipeline, catalog)
        keys = dataset_keys(nodes_that_matter(pipeline), parameter_values(plain), raw)
        facts = environment_facts(root)
        provenance = {
            **tree_state(root),
            **facts,
            **pinned,
            "run_key": run_key(
                parameters=plain, raw=_foreign(raw, catalog), versions=facts, asked=asked_for(run_params)
            ),
            **WISH.get().tags,
            "code_sha": packages_sha(),
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
        _refuse_stale(pipeline, catalog, keys, made_elsewhere=raw)


def nodes_that_matter(pipeline: Pipeline) -> Pipeline:
    """Return the main job together with `pipeline`: all that decides what the pipeline's data must be made from."""
    from kedro.framework.project import pipelines

    pipelines.set_requested(None)
    main: Pipeline = pipelines["__default__"]
    # Another way to make the same data (delegated tuning) stands in for the main job's own.
    made = pipeline.all_outputs()
    everything: Pipeline = main.filter(node_names=others) if (others := _not_making(main, made)) else type(main)([])
    everything += pipeline
    return everything


def _not_making(pipeline: Pipeline, outputs: set[str]) -> list[str]:
    return [node.name for node in pipeline.nodes if not outputs.intersection(node.outputs)]


def asked_for(run_params: dict[str, Any]) -> dict[str, Any]:
    """Return what a command names beside parameters: pipelines, environment and filters."""
    return {name: sorted(run_params[name] or ()) if name in _LISTS else run_params.get(name) for name in _ASKED}


def _foreign(raw: dict[str, str], catalog: DataCatalog) -> dict[str, str]:
    """Return the contents of what comes from outside, without records that runs append to."""
    return {name: content for name, content in raw.items() if not isinstance(catalog.get(name), Snapshot)}


def parameter_values(params: dict[str, Any]) -> dict[str, Any]:
    """Return the value of every `params:` name, nested ones by their dotted names."""
    values: dict[str, Any] = {"parameters": params}

    def walk(prefix: str, value: Any) -> None:
        values[f"params:{prefix}"] = value
        if isinstance(value, dict):
            for key, item in value.items():
                walk(f"{prefix}.{key}", item)

    for name, value in params.items():
        walk(name, value)
    return values


def raw_contents(
    pipeline: Pipeline, catalog: DataCatalog, *, known: Mapping[str, str] | None = None, must_read: bool = True
) -> dict[str, str]:
    """Return the fingerprint of each input that no node makes; one that `pipeline` does not read may be unreadable.

    Parameters
    ----------
    pipeline : kedro.pipeline.Pipeline
        What is run, or asked about.
    catalog : kedro.io.DataCatalog
    known : mapping, optional
        Contents that need not be read again.
    must_read : bool
        Whether an input of `pipeline` that cannot be read is an error.

    Returns
    -------
    dict
        Dataset -> fingerprint of its frame; of a record that other pipelines append to, the SHA-256 of its content. What was
        read for its fingerprint is what the nodes get: a source is read once in a run.
    """
    contents: dict[str, str] = dict(known or {})
    for name in sorted(filterfalse(is_parameter, nodes_that_matter(pipeline).inputs() - set(contents))):
        dataset = catalog.get(name)
        if dataset is None:
            continue
        if isinstance(dataset, Snapshot):
            contents[name] = str((dataset.sidecar() or {}).get("content_sha"))
            continue
        if isinstance(dataset, ChampionDataset):
            contents[name] = dataset.identity()
            continue
        try:
            frame = dataset.load()
            contents[name] = fingerprint(frame)
            if name in pipeline.inputs():
                _ReadOnce(dataset, frame, times=len(pipeline.only_nodes_with_inputs(name).nodes))
        except DatasetError:
            if must_read and name in pipeline.inputs():
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


def _refuse_stale(
    pipeline: Pipeline, catalog: DataCatalog, keys: dict[str, str], *, made_elsewhere: dict[str, str]
) -> None:
    for name in sorted(filterfalse(is_parameter, pipeline.inputs() - set(made_elsewhere))):
        dataset = catalog.get(name)
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
    """Return whether only inference or monitoring reads a dataset: newer prices than those of training are their purpose."""
    return all(node.tags & {"inference", "monitoring"} for node in pipeline.only_nodes_with_inputs(name).nodes)
