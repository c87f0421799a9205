"""`kedro status`: where each pipeline stands, and what to run next."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import click

from conviction_kedro.console import readable_errors

if TYPE_CHECKING:
    from collections.abc import Mapping

    from kedro.io import DataCatalog
    from kedro.pipeline import Pipeline

    from conviction_kedro.project import Project

CERTIFIED = "audited_panel"
# What the state of a pipeline is when its datasets are in several: the one that asks for more work.
_WORST = ("damaged", "stale", "missing", "unknown", "valid")


def dataset_state(dataset: Any, key: str | None) -> tuple[str, str]:
    """Return how a saved dataset stands to what would be made now, and a word about it.

    Parameters
    ----------
    dataset : Snapshot
    key : str or None
        What it must be made from (`conviction_kedro.provenance.dataset_keys`).

    Returns
    -------
    tuple of str
        `missing`, `damaged` (not what its sidecar vouches for), `stale` (made from other code, parameters or data), `unknown`
        (the raw data cannot be read, so nothing can be said) or `valid`; and the run that made it.
    """
    from conviction_kedro.datasets import SnapshotError

    sidecar = dataset.sidecar()
    if sidecar is None or not dataset.exists():
        return "missing", ""
    run = f"run {sidecar['run_id']}"
    try:
        dataset.content()
    except SnapshotError:
        return "damaged", run
    if dataset.append_only:
        return "valid", run
    if key is None:
        return "unknown", run
    return ("valid" if sidecar["key"] == key else "stale"), run


def pipeline_status(pipeline: Pipeline, catalog: DataCatalog, keys: Mapping[str, str]) -> dict[str, Any]:
    """Return the state of one pipeline and of each dataset that it makes.

    Returns
    -------
    dict
        `state`: the worst of its datasets, or `certified` when the audited panel is valid and its certificate holds; `datasets`.
    """
    from conviction_kedro.resuming import outputs_of

    datasets = {}
    for name, dataset in outputs_of(pipeline.nodes, catalog):
        state, note = dataset_state(dataset, keys.get(name))
        datasets[name] = {"state": state, "note": note}
    states = {entry["state"] for entry in datasets.values()}
    state = next((name for name in _WORST if name in states), "valid")
    if state == "valid" and CERTIFIED in datasets:
        state = _certificate(catalog)
    return {"state": state, "datasets": datasets}


def _certificate(catalog: DataCatalog) -> str:
    from kedro.io import DatasetError

    try:
        catalog.load(CERTIFIED)
    except DatasetError:
        return "void"
    return "certified"


def workspace_status(project: Project) -> dict[str, Any]:
    """Return the state of every pipeline of the project, unfinished runs, and what to run next."""
    from kedro.framework.project import pipelines

    from conviction_kedro.hooks._provenance import nodes_that_matter, parameter_values, raw_contents
    from conviction_kedro.parameters import validate_parameters
    from conviction_kedro.pipeline_registry import MAIN_JOB
    from conviction_kedro.provenance import dataset_keys
    from conviction_kedro.resuming import Journal

    catalog: Any = project.context.catalog
    pipelines.set_requested(None)
    names = [*(name for name in MAIN_JOB if name in pipelines), *sorted(set(pipelines) - {"__default__", *MAIN_JOB})]
    plain = validate_parameters(project.context.params).model_dump(mode="json")
    found: dict[str, Any] = {}
    raw: dict[str, str] = {}
    for name in names:
        raw |= raw_contents(pipelines[name], catalog, known=raw, must_read=False)
        nodes = nodes_that_matter(pipelines[name])
        own = {key: value for key, value in raw.items() if key not in nodes.all_outputs()}
        found[name] = pipeline_status(pipelines[name], catalog, dataset_keys(nodes, parameter_values(plain), own))
    unfinished = sorted(Journal(project.root).unfinished())
    return {"pipelines": found, "unfinished": unfinished, "next": _next(found, unfinished, list(MAIN_JOB))}


def _next(found: Mapping[str, Any], unfinished: list[str], main: list[str]) -> str:
    if unfinished:
        return "kedro run   (goes on with the unfinished run when the command is the same; --fresh begins anew)"
    todo = [name for name in main if name in found and found[name]["state"] not in {"valid", "certified"}]
    if len(todo) == 1:
        return f"kedro run --pipeline={todo[0]}"
    if todo:
        return "kedro run"
    return "nothing: the main job stands; kedro runs, kedro run --pipeline=holdout (on the record)"


def _text(status: Mapping[str, Any]) -> str:
    lines = []
    for name, entry in status["pipelines"].items():
        datasets = entry["datasets"]
        good = sum(dataset["state"] == "valid" for dataset in datasets.values())
        lines.append(f"{name:18s} {entry['state']:10s} {good} of {len(datasets)} datasets valid")
        by_state: dict[str, list[str]] = {}
        for dataset, one in datasets.items():
            if one["state"] != "valid":
                by_state.setdefault(one["state"], []).append(dataset)
        if good:
            lines += [f"{'':18s}   {state}: {', '.join(listed)}" for state, listed in by_state.items()]
    lines += [f"unfinished run: {session}" for session in status["unfinished"]]
    return "\n".join([*lines, f"next: {status['next']}"])


@click.command(name="status")
@click.option("--env", "-e", default=None, help="Environment, conf/<env>.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of lines.")
def status(env: str | None, *, as_json: bool) -> None:
    """Show where each pipeline stands (missing, damaged, stale, valid, certified) and what to run next."""
    from conviction_kedro.project import open_project

    with readable_errors(), open_project(env) as project:
        found = workspace_status(project)
    click.echo(json.dumps(found, indent=1) if as_json else _text(found))
