"""`kedro retrain`: the monthly job as one command: ingest, audit, tune, evaluate, promote only through the gate."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import click
from kedro.framework.cli.utils import _split_params

from conviction.errors import ConvictionError
from conviction_kedro.console import readable_errors
from conviction_kedro.fetching import fetch_all
from conviction_kedro.promotion import EXIT_PROMOTED, EXIT_REFUSED, latest_run, promote_run


class RetrainError(ConvictionError):
    """A step of the monthly job failed."""


def ingest(env: str | None, params: dict[str, Any]) -> dict[str, str]:
    """Fetch what the vendors of the environment have that is new; an environment without vendors has nothing to fetch."""
    from kedro.framework.session import KedroSession

    with KedroSession.create(env=env, runtime_params=params) as session:
        workspace: Any = session  # the abstract session of Kedro 1.7 does not declare load_context
        return fetch_all(workspace.load_context().catalog)


def run_everything(env: str | None, params: str) -> None:
    """Run the whole main job with `profile=full` in a process of its own, so that it is the job that everybody runs.

    Raises
    ------
    RetrainError
        If it failed; its own output says why.
    """
    command = [sys.executable, "-m", "kedro", "run", f"--params={params}", *([f"--env={env}"] if env else [])]
    done = subprocess.run(command, cwd=Path.cwd(), check=False)
    if done.returncode != 0:
        raise RetrainError(
            what="the main job of the retraining failed",
            got=f"exit code {done.returncode}",
            allowed="0",
            fix="read its output above; nothing was promoted, what is served stays",
        )


@click.command(name="retrain")
@click.option("--env", "-e", default=None, help="Environment, conf/<env>.")
@click.option(
    "--params", type=click.UNPROCESSED, default="", help="Run-time parameters as for kedro run: key=value,key=value."
)
@click.option(
    "--require-promotion", is_flag=True, help="Exit code 1 when the gate refuses; without it a refusal is a normal end."
)
def retrain(env: str | None, params: str, *, require_promotion: bool) -> None:
    """Fetch, audit, tune, evaluate with profile=full, and promote only through the gate.

    Exit code 0: promoted, or refused so that what is served stays; 1: a step failed (or refused, with --require-promotion).
    """
    given = ",".join(part for part in ("profile=full", params) if part)
    parsed: dict[str, Any] = _split_params(click.get_current_context(), None, given)
    with readable_errors():
        for name, line in ingest(env, parsed).items():
            click.echo(f"FETCHED  {name}: {line}")
        run_everything(env, given)
        promoted = promote_run(latest_run(env, parsed), env=env, params=parsed)
    click.echo(f"\nRETRAINED  {'promoted' if promoted else 'refused by the gate: what was served is served on'}")
    sys.exit(EXIT_PROMOTED if promoted or not require_promotion else EXIT_REFUSED)
