"""Commands of the workspace: `kedro run` with readable errors, `kedro audit`, and what else a user types."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import click
from kedro.framework.cli.project import run as kedro_run

from conviction_kedro.console import readable_errors
from conviction_kedro.endpoint import serve
from conviction_kedro.endpoint_commands import endpoint
from conviction_kedro.engine_choice import choose_engine, only_the_request
from conviction_kedro.fetching import fetch
from conviction_kedro.inventory import inventory
from conviction_kedro.pinning import pin
from conviction_kedro.preflight import preflight
from conviction_kedro.processed import export, repair
from conviction_kedro.promotion import promote, rollback
from conviction_kedro.retraining import retrain
from conviction_kedro.runs.comparing import compare
from conviction_kedro.runs.listing import runs
from conviction_kedro.runs.replaying import replay
from conviction_kedro.sagemaker_commands import sagemaker
from conviction_kedro.stages import status
from conviction_kedro.standalone import audit
from conviction_kedro.syncing import sync
from conviction_kedro.usage import check_usage


@click.group(name="conviction-kedro")
def cli() -> None:
    """Experiment-tracked research on next-day stock direction."""


def _run(*, fresh: bool, **options: Any) -> None:
    """Run a pipeline; an error of the workspace is printed as one sentence, with exit code 1."""
    from conviction_kedro.resuming import WISH, Wish
    from conviction_kedro.runners import RESUMING

    runner = options["runner"] or "SequentialRunner"
    WISH.set(Wish(resumable=runner in RESUMING, fresh=fresh))
    options["runner"] = RESUMING.get(runner, runner)
    # Kedro announces that --pipeline becomes --pipelines; the commands in every guide use the first.
    warnings.filterwarnings("ignore", message="Option '--pipeline' is deprecated")
    assert kedro_run.callback is not None  # noqa: S101  # click commands made from functions have one
    with readable_errors():
        engine = choose_engine(options, Path.cwd())
        check_usage(options, Path.cwd())
        if options.pop("dry_run", False):
            options |= only_the_request(options, engine=engine)
        kedro_run.callback(**options)


_FRESH = click.Option(["--fresh"], is_flag=True, help="Begin anew, though the same command was killed before it ended.")
_DRY_RUN = click.Option(
    ["--dry-run"],
    is_flag=True,
    help="Delegated tuning: write the requests, their checks and the most they can cost; call nothing.",
)
_OPTIONS = [*kedro_run.params, _FRESH, _DRY_RUN]
cli.add_command(click.Command("run", params=_OPTIONS, callback=_run, help=kedro_run.help))
cli.add_command(audit)
cli.add_command(fetch)
cli.add_command(pin)
cli.add_command(export)
cli.add_command(repair)
cli.add_command(runs)
cli.add_command(compare)
cli.add_command(promote)
cli.add_command(rollback)
cli.add_command(serve)
cli.add_command(endpoint)
cli.add_command(sagemaker)
cli.add_command(retrain)
cli.add_command(replay)
cli.add_command(status)
cli.add_command(preflight)
cli.add_command(inventory)
cli.add_command(sync)
