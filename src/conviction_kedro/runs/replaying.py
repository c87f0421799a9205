"""`kedro replay`: run again what a run was, and say whether it comes out the same."""

from __future__ import annotations

import shutil
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from kedro.framework.cli.utils import _split_params

from conviction_kedro.console import readable_errors

if TYPE_CHECKING:
    from conviction_kedro.runs import RunReader, TrackedRun
    from conviction_kedro.runs._replay_checks import Check

EXIT_SAME, EXIT_DIFFERENT, EXIT_IMPOSSIBLE = 0, 1, 2
_FOLDER = Path("data") / "replays"


def replay_run(run: TrackedRun, *, root: Path, params: dict[str, Any]) -> tuple[str, dict[str, dict[str, Any]]]:
    """Run a recorded run again into `root`; return the new session and what it made.

    Parameters
    ----------
    run : TrackedRun
    root : pathlib.Path
        Data root of the replay; emptied first.
    params : dict
        Run-time parameters that make the parameters those of the run.

    Returns
    -------
    tuple
        The session's identifier and `outputs_record` of the recorded datasets.
    """
    from kedro.framework.session import KedroSession

    from conviction_kedro.resuming import WISH, Wish
    from conviction_kedro.run_record import outputs_record

    asked = run.record["asked"]
    shutil.rmtree(root, ignore_errors=True)
    WISH.set(Wish(root=str(root), tags={"replay_of": run.run_id}))
    try:
        with KedroSession.create(env=asked["env"], runtime_params=params) as session:
            workspace: Any = session  # the abstract session of Kedro 1.7 does not declare run and store
            names = _pipelines(asked)
            workspace.run(pipeline_names=names if len(names) > 1 else None, to_outputs=sorted(run.outputs))
            catalog = workspace.load_context().catalog
            return str(workspace.store["session_id"]), outputs_record(_replayed(run), catalog)
    finally:
        WISH.set(Wish())


def _pipelines(asked: dict[str, Any]) -> list[str]:
    """Return the pipelines that a replay runs: what was asked, and the main job, whose data it may have read."""
    names = [name for name in asked["pipeline_names"] if name != "__default__"]
    return [*names, "__default__"]


def _replayed(run: TrackedRun) -> Any:
    from kedro.framework.project import pipelines
    from kedro.pipeline import Pipeline

    pipelines.set_requested(None)
    everything: Pipeline = sum((pipelines[name] for name in _pipelines(run.record["asked"])), Pipeline([]))
    return everything.to_outputs(*sorted(run.outputs))


def _checked(run: TrackedRun, params: dict[str, Any]) -> tuple[list[Check], dict[str, Any]]:
    """Return the checks, and the run-time parameters with which they were made."""
    from conviction_kedro.parameters import validate_parameters
    from conviction_kedro.project import open_project
    from conviction_kedro.runs._replay_checks import checks, overlaid, overrides

    env = run.record["asked"]["env"]
    given = overlaid(run.record["given"], params)
    with open_project(env, given) as project:
        now = validate_parameters(project.context.params).model_dump(mode="json")
    laid = overlaid(overlaid(run.record["given"], overrides(run.record["parameters"], now)), params)
    with open_project(env, laid) as project:
        return checks(run, project, _replayed(run)), laid


def _say_checks(found: list[Check]) -> bool:
    """Print the checks; return whether all hold."""
    wrong = [check for check in found if not check.holds]
    click.echo(f"checked: {len(found)}; the same: {len(found) - len(wrong)}")
    for check in wrong:
        click.secho(f"  {check.name}: {check.recorded} then, {check.now} now", err=True, fg="red")
        if check.remedy:
            click.echo(f"    -> {check.remedy}", err=True)
    return not wrong


def _judge(
    run: TrackedRun, reader: RunReader, session_id: str, made: dict[str, Any], *, folder: Path, tolerance: float
) -> str | None:
    """Print what was compared; return the first difference, or None."""
    from conviction_kedro.runs._replay_results import compare_metrics, compare_outputs

    replay = reader.find(session_id)
    count, metric = compare_metrics(run, replay, tolerance=tolerance)
    same, other, prediction = compare_outputs(run, made, folder=folder, tolerance=tolerance)
    click.echo(f"metrics compared: {count}; datasets with the same bytes: {len(same)} of {len(same) + len(other)}")
    if other:
        click.echo(
            f"other bytes (pages and tables with a clock or a run's name in them are expected): {', '.join(other)}"
        )
    first = prediction or metric
    result = f"differs: {first}" if first else f"same within {tolerance:g}" if tolerance else "identical"
    replay.client.set_tag(replay.run_id, "replay_result", result[:500])
    return first


@click.command(name="replay")
@click.argument("name", metavar="RUN_ID")
@click.option(
    "--env", "-e", default=None, help="Environment whose run store is read; the run's own decides on the data."
)
@click.option(
    "--params",
    default="",
    callback=_split_params,
    help="Where this machine keeps the data, as for `kedro run`: paths.bars=prices.parquet",
)
@click.option(
    "--tolerance",
    default=1e-6,
    show_default=True,
    type=click.FloatRange(0),
    help="On another platform; on the same one bytes must agree.",
)
@click.option("--anyway", is_flag=True, help="Run though a check fails; the first difference is still named.")
@click.option("--keep", is_flag=True, help="Keep the replay's data though nothing differs.")
@click.option("--check-only", is_flag=True, help="Check everything, run nothing.")
def replay(
    name: str, env: str | None, params: dict[str, Any], tolerance: float, *, anyway: bool, keep: bool, check_only: bool
) -> None:
    """Check that everything is as it was (commit, difference, lock, data, parameters, seed), run again and compare.

    Checks out nothing and leaves data/ alone: the replay has a folder and a tracked run of its own. Exit code 0: every metric
    and prediction is the same; 1: the first difference is named; 2: something is not as it was, or cannot be read.
    """
    from conviction.errors import ConvictionError
    from conviction_kedro.project import open_project
    from conviction_kedro.runs import open_reader
    from conviction_kedro.runs._replay_checks import other_platform

    with readable_errors(), tempfile.TemporaryDirectory() as home, open_project(env) as project:
        reader = open_reader(project, Path(home))
        try:
            run = reader.find(name)
            click.echo(f"{run.run_id}  {run.begun:%Y-%m-%d %H:%M}  {run.run.info.run_name}")
            outputs, (found, laid) = run.outputs, _checked(run, params)
        except ConvictionError as error:
            click.secho(f"{type(error).__name__}: {error}", err=True, fg="red")
            sys.exit(EXIT_IMPOSSIBLE)
        if not _say_checks(found) and not anyway:
            click.echo("Not replayed. --anyway runs nevertheless.", err=True)
            sys.exit(EXIT_IMPOSSIBLE)
        if check_only:
            sys.exit(EXIT_SAME)
        foreign = other_platform(run, project.root)
        allowed = tolerance if foreign else 0.0
        if foreign:
            click.echo(f"another platform ({'; '.join(foreign)}): compared within {tolerance:g}")
        folder = project.root / _FOLDER / run.short
        session_id, made = replay_run(run, root=folder, params=laid)
        first = _judge(run, reader, session_id, made, folder=folder, tolerance=allowed)
    if first is not None:
        click.secho(f"DIFFERENT: {first}", fg="red")
        click.echo(f"the replay's data: {folder}")
        sys.exit(EXIT_DIFFERENT)
    click.secho(
        f"SAME: every metric and prediction of {len(outputs)} datasets{' within the tolerance' if allowed else ', bit for bit'}",
        fg="green",
    )
    if not keep:
        shutil.rmtree(folder, ignore_errors=True)
