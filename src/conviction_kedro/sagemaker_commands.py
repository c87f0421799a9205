"""`kedro sagemaker`: watch or stop the jobs of a run by their names in the tracking store, and write the bundle as CSV."""

from __future__ import annotations

import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from conviction_kedro.console import readable_errors
from conviction_kedro.engine_choice import choose_engine

if TYPE_CHECKING:
    from collections.abc import Iterator

_ENV = click.option("--env", "-e", default="sagemaker", show_default=True, help="Environment, conf/<env>.")


@click.group(name="sagemaker")
def sagemaker() -> None:
    """Look after delegated tuning."""


@contextmanager
def project_context(env: str | None) -> Iterator[Any]:
    """Yield the context of an environment, with the pipelines built for its engine."""
    from kedro.framework.session import KedroSession

    choose_engine({"env": env}, Path.cwd())
    with KedroSession.create(env=env) as session:
        workspace: Any = session  # the abstract session of Kedro 1.7 does not declare load_context
        yield workspace.load_context()


def tracked_jobs(client: Any, experiments: list[str], run_id: str | None) -> dict[str, str]:
    """Return the tuning jobs of a run by what they search: the newest run that has any, or the given one.

    Parameters
    ----------
    client : mlflow.tracking.MlflowClient
    experiments : list of str
        Identifiers.
    run_id : str, optional
        Of the parent run.

    Returns
    -------
    dict
        `target/models/fold` -> name of the job, as it was last launched.

    Raises
    ------
    SageMakerError
        If there is none.
    """
    from conviction_kedro.sagemaker import SageMakerError

    wanted = "tags.sagemaker_job != ''" + (f" and tags.mlflow.parentRunId = '{run_id}'" if run_id else "")
    found = client.search_runs(
        experiments, filter_string=wanted, order_by=["attributes.start_time DESC"], max_results=1000
    )
    if not found:
        raise SageMakerError(
            what="the tracking store knows no tuning job" + (f" of run {run_id}" if run_id else ""),
            got="no run with the tag sagemaker_job",
            allowed="a run with delegated tuning",
            fix="kedro run --pipeline=modeling --env=sagemaker, or name the jobs: --job NAME",
        )
    parent = found[0].data.tags["mlflow.parentRunId"]
    own = [run for run in found if run.data.tags["mlflow.parentRunId"] == parent]
    return {run.data.tags["record_key"].removeprefix("sagemaker/"): run.data.tags["sagemaker_job"] for run in own}


def _jobs(context: Any, run_id: str | None, names: tuple[str, ...]) -> dict[str, str]:
    if names:
        return {name: name for name in names}
    from conviction_kedro.tracking import open_client

    client = open_client(context.config_loader["tracking"], Path(context.project_path))
    experiments = [one.experiment_id for one in client.search_experiments()]
    return tracked_jobs(client, experiments, run_id)


@sagemaker.command(name="watch")
@_ENV
@click.option(
    "--run-id", default=None, help="Parent run in the tracking store; the newest with tuning jobs without it."
)
@click.option("--job", "names", multiple=True, help="Name of a tuning job, instead of looking it up.")
@click.option("--deadline-minutes", default=None, type=click.FloatRange(min=0.01), help="Then stop the jobs.")
def watch(env: str, run_id: str | None, names: tuple[str, ...], deadline_minutes: float | None) -> None:
    """Watch running jobs to their end. Exit code 0: every job completed; 1: one failed or was stopped, with the reason."""
    from conviction_kedro.observers import make_observer
    from conviction_kedro.parameters import validate_parameters
    from conviction_kedro.sagemaker import open_clients, watch_jobs

    with readable_errors(), project_context(env) as context:
        parameters = validate_parameters(context.params)
        settings = parameters.sagemaker
        if deadline_minutes is not None:
            settings = settings.model_copy(update={"deadline_minutes": deadline_minutes})
        jobs = _jobs(context, run_id, names)
        clients = open_clients(settings, engine=parameters.engine)
        launched = {"jobs": {key: {"name": name} for key, name in jobs.items()}}
        seen = watch_jobs(launched, settings=settings, clients=clients, observer=make_observer())
    ended = True
    for key, answer in sorted(seen.status.items()):
        status, reason = answer["HyperParameterTuningJobStatus"], answer.get("FailureReason", "")
        ended = ended and status == "Completed"
        click.echo(f"{status:10s} {jobs[key]:32s} {key}" + (f"  {reason}" if reason else ""))
    best = seen.best()
    click.echo(
        f"{seen.counters()}" + ("" if best is None else f"  best trial {best:.4f} (of many: lucky, not a result)")
    )
    sys.exit(0 if ended else 1)


@sagemaker.command(name="stop")
@_ENV
@click.option(
    "--run-id", default=None, help="Parent run in the tracking store; the newest with tuning jobs without it."
)
@click.option("--job", "names", multiple=True, help="Name of a tuning job, instead of looking it up.")
def stop(env: str, run_id: str | None, names: tuple[str, ...]) -> None:
    """Stop the jobs of a run; their finished trials stay and can be collected."""
    from conviction_kedro.parameters import validate_parameters
    from conviction_kedro.sagemaker import describe, open_clients, stop_job

    with readable_errors(), project_context(env) as context:
        parameters = validate_parameters(context.params)
        clients = open_clients(parameters.sagemaker, engine=parameters.engine)
        for name in _jobs(context, run_id, names).values():
            known = describe(name, clients=clients)
            if known is None or known["HyperParameterTuningJobStatus"] != "InProgress":
                click.echo(f"not running  {name}")
            else:
                stop_job(name, clients=clients)
                click.echo(f"stopping     {name}")


@sagemaker.command(name="bundle")
@click.option("--env", "-e", default=None, help="Environment, conf/<env>.")
@click.option("--target", required=True, help="direction or relative.")
@click.option("--fold", required=True, type=int)
@click.option("--to", "folder", required=True, type=click.Path(path_type=Path), help="New folder.")
def bundle(env: str | None, target: str, fold: int, folder: Path) -> None:
    """Write train.csv, validation.csv, test.csv (target first, no header) of a fold, with metadata and scaler."""
    from conviction_kedro.pinning import pin_tags
    from conviction_kedro.sagemaker import csv_bundle

    with readable_errors(), project_context(env) as context:
        catalog = context.catalog
        pin = pin_tags(context, catalog, {})["dataset_pin"]
        made = csv_bundle(catalog.load("audited_panel"), catalog.load("fold_plan"), target=target, fold=fold, pin=pin)
        folder.mkdir(parents=True, exist_ok=True)
        for name, content in made.files.items():
            (folder / name).write_bytes(content)
    click.echo(f"{len(made.files)} files in {folder}, content {made.sha[:16]}")
