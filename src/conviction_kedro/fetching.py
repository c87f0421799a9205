"""`kedro fetch`: ask the vendors of a catalog for what is new."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Any

import click
from kedro.framework.cli.utils import _split_params

from conviction.errors import ConvictionError, ParameterError
from conviction.observer import Observer
from conviction_kedro.console import readable_errors
from conviction_kedro.datasets import Fetchable

logger = logging.getLogger(__name__)


def fetchable(catalog: Mapping[str, Any], names: Sequence[str] = ()) -> dict[str, Fetchable]:
    """Return the entries of a catalog whose data come from a vendor.

    Parameters
    ----------
    catalog : mapping
        A Kedro catalog.
    names : sequence of str
        Only these; all that can be fetched by default.

    Raises
    ------
    ParameterError
        If a name is no entry, or one that cannot be fetched.
    """
    found = {name: catalog[name] for name in catalog if isinstance(catalog[name], Fetchable)}
    for name in names:
        if name not in found:
            raise ParameterError.from_unknown_name(
                kind="catalog entry that can be fetched", name=name, known=found or ["none here"]
            )
    return {name: found[name] for name in (names or found)}


def fetch_all(
    catalog: Mapping[str, Any], names: Sequence[str] = (), *, observer: Observer | None = None
) -> dict[str, str]:
    """Fetch entries one after the other and return a line on each; one that fails does not stop the others.

    Parameters
    ----------
    catalog : mapping
        A Kedro catalog.
    names : sequence of str
        Only these; all that can be fetched by default.
    observer : Observer, optional

    Returns
    -------
    dict of str to str
        What came, by entry.

    Raises
    ------
    ConvictionError
        The first failure, after all entries were tried; the others are logged.
    """
    lines: dict[str, str] = {}
    failures: list[tuple[str, ConvictionError]] = []
    for name, entry in fetchable(catalog, names).items():
        try:
            lines[name] = entry.fetch(observer)
        except ConvictionError as error:
            logger.error("%s was not fetched: %s", name, error)  # noqa: TRY400  # the trace says nothing that the sentence does not
            failures.append((name, error))
        else:
            logger.info("%s: %s", name, lines[name])
    if failures:
        raise failures[0][1]
    return lines


@click.command(name="fetch")
@click.argument("names", nargs=-1)
@click.option("--env", "-e", default=None, help="Environment whose catalog names the vendors, conf/<env>.")
@click.option(
    "--params",
    type=click.UNPROCESSED,
    default="",
    callback=_split_params,
    help="Run-time parameters as for kedro run: key=value,key=value.",
)
def fetch(names: tuple[str, ...], env: str | None, params: dict[str, Any]) -> None:
    """Ask the vendors of the catalog for what is new; a run reads only what was fetched.

    NAMES are catalog entries; without any, every entry that can be fetched is.
    """
    from kedro.framework.session import KedroSession

    with readable_errors(), KedroSession.create(env=env, runtime_params=params) as session:
        workspace: Any = session  # the abstract session of Kedro 1.7 does not declare load_context
        lines = fetch_all(workspace.load_context().catalog, names)
    if not lines:
        click.echo(f"The catalog of {env or 'base'} names no vendor; see docs/how-to/polygon.md.")
    for name, line in lines.items():
        click.echo(f"{name}: {line}")
