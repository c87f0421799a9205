"""Commands of the workspace: `kedro run` with readable errors, `kedro audit`, and what else a user types."""

from __future__ import annotations

import sys
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from kedro.framework.cli.project import run as kedro_run
from kedro.io import DatasetError

from conviction.errors import ConvictionError
from conviction_kedro.fetching import fetch
from conviction_kedro.pinning import pin
from conviction_kedro.processed import export, repair
from conviction_kedro.standalone import audit

if TYPE_CHECKING:
    from collections.abc import Iterator

SUMMARY = Path("data/08_reporting/summary.txt")


@click.group(name="conviction-kedro")
def cli() -> None:
    """Experiment-tracked research on next-day stock direction."""


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def _run(**options: Any) -> None:
    """Run a pipeline; an error of the workspace is printed as one sentence, with exit code 1."""
    # Kedro announces that --pipeline becomes --pipelines; the commands in every guide use the first.
    warnings.filterwarnings("ignore", message="Option '--pipeline' is deprecated")
    assert kedro_run.callback is not None  # noqa: S101  # click commands made from functions have one
    try:
        kedro_run.callback(**options)
    except Exception as error:
        causes = list(_causes(error))
        # A dataset that cannot be read is the user's file or path; Kedro's sentence names both.
        known = next(
            (cause for kind in (ConvictionError, DatasetError) for cause in causes if isinstance(cause, kind)), None
        )
        if known is None:
            raise
        click.secho(f"\n{type(known).__name__}: {known}", err=True, fg="red")
        sys.exit(1)


cli.add_command(click.Command("run", params=kedro_run.params, callback=_run, help=kedro_run.help))
cli.add_command(audit)
cli.add_command(fetch)
cli.add_command(pin)
cli.add_command(export)
cli.add_command(repair)
