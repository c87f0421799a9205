"""What commands share: an error of ours is one sentence and exit code 1, never a trace."""

from __future__ import annotations

import contextlib
import sys
from typing import TYPE_CHECKING

import click
from kedro.io import DatasetError
from kedro.validation.exceptions import ParameterValidationError

from conviction.errors import ConvictionError

if TYPE_CHECKING:
    from collections.abc import Iterator


def causes(error: BaseException | None) -> Iterator[BaseException]:
    """Yield an error and everything it came from.

    Examples
    --------
    >>> [type(cause).__name__ for cause in causes(ValueError("x"))]
    ['ValueError']
    """
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


@contextlib.contextmanager
def readable_errors() -> Iterator[None]:
    """Print an error of the workspace, of a dataset that cannot be read or of a parameter, and leave with exit code 1."""
    try:
        yield
    except Exception as error:
        chain = list(causes(error))
        known = next(
            (
                e
                for kind in (ConvictionError, DatasetError, ParameterValidationError)
                for e in chain
                if isinstance(e, kind)
            ),
            None,
        )
        if known is None:
            raise
        click.secho(f"\n{type(known).__name__}: {known}", err=True, fg="red")
        sys.exit(1)
