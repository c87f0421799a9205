"""The dataset pin of a run: found, checked against what the catalog reads, and kept on record."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import click

from conviction_kedro.console import readable_errors
from conviction_kedro.sources import DatasetPin, PinError, ResolvedPin, Storage, check_pin, pin_file_of, resolve_pin

if TYPE_CHECKING:
    from kedro.framework.context import KedroContext

PINNED = "raw_bars"


@runtime_checkable
class Pinnable(Protocol):
    """A catalog entry that reads data of its own address."""

    def address(self) -> tuple[str, Mapping[str, Any], str | None]:
        """Return where the data lie, the credentials of the place, and the version that is read (None: the newest)."""


def check_run_pin(
    catalog: Mapping[str, Any],
    *,
    command_line: str | None,
    conf_source: Path,
    env: str | None,
    root: Path,
    environ: Mapping[str, str] | None = None,
) -> ResolvedPin | None:
    """Return the pin of a run after checking that the catalog reads the pinned data and nothing else.

    Parameters
    ----------
    catalog : mapping
        A Kedro catalog with ``raw_bars``.
    command_line : str, optional
        The run-time parameter ``dataset_pin``.
    conf_source : pathlib.Path
        Folder of the environments.
    env : str, optional
        Environment of the run.
    root : pathlib.Path
        The project, against which relative addresses are read.
    environ : mapping, optional
        The process's environment by default.

    Returns
    -------
    ResolvedPin or None
        None where nobody pins anything.

    Raises
    ------
    PinError
        If the catalog reads another address, or the data are not the pinned ones; the message shows both.
    """
    resolved = resolve_pin(command_line=command_line, environ=environ, pin_file=pin_file_of(conf_source, env))
    if resolved is None:
        return None
    entry = catalog[PINNED]
    if not isinstance(entry, Pinnable):
        raise PinError(
            what=f"a pin is given ({resolved.origin}), and {PINNED} of this environment has no address to pin",
            got=f"{PINNED} of type {type(entry).__name__}",
            allowed="data in a file, a directory or a bucket",
            fix="choose the environment that reads the pinned data, or remove the pin",
        )
    uri, credentials, version = entry.address()
    pinned = _absolute(resolved.pin.uri, root)
    if _absolute(uri, root) != pinned:
        raise PinError(
            what=f"the pinned dataset ({resolved.origin}) is not the one that {PINNED} reads",
            got=uri,
            allowed=resolved.pin.uri,
            fix="point the catalog to the pinned data, or pin what it reads: `kedro pin`",
        )
    at_place = DatasetPin(**{**resolved.pin.to_dict(), "uri": pinned})
    check_pin(at_place, credentials, superseded=version is not None and version == resolved.pin.version)
    return resolved


def pin_tags(context: KedroContext, catalog: Any, run_params: Mapping[str, Any]) -> dict[str, str]:
    """Return what a run records of its pin; checks it on the way.

    Raises
    ------
    PinError
        See `check_run_pin`; also if a parameter file holds ``dataset_pin``, whose place is ``dataset_pin.yml``.
    """
    given = (run_params.get("runtime_params") or {}).get("dataset_pin")
    if context.params.get("dataset_pin") and not given:
        raise PinError(
            what="dataset_pin stands in a parameter file",
            got=context.params["dataset_pin"],
            allowed="--params=dataset_pin=..., the environment variable, or conf/<env>/dataset_pin.yml",
            fix="move it to conf/<env>/dataset_pin.yml",
        )
    conf_source = Path(context.config_loader.conf_source)
    root = Path(context.project_path)
    resolved = check_run_pin(catalog, command_line=given, conf_source=conf_source, env=context.env, root=root)
    if resolved is None:
        return {"dataset_pin": "none"}
    return {"dataset_pin": str(resolved.pin), "dataset_pin_origin": resolved.origin}


@click.command(name="pin")
@click.option("--env", "-e", default=None, help="Environment whose raw_bars is pinned, conf/<env>.")
@click.option("--write", is_flag=True, help="Write it to conf/<env>/dataset_pin.yml instead of only printing it.")
def pin(env: str | None, *, write: bool) -> None:
    """Print the exact address, version, hash and size of what raw_bars reads now."""
    from kedro.framework.session import KedroSession

    from conviction_kedro.sources import make_pin, write_pin_file

    with readable_errors(), KedroSession.create(env=env) as session:
        workspace: Any = session  # the abstract session of Kedro 1.7 does not declare load_context
        context = workspace.load_context()
        entry = context.catalog[PINNED]
        if not isinstance(entry, Pinnable):
            message = f"{PINNED} of {env or 'base'} is a {type(entry).__name__}, which has no address to pin"
            raise click.ClickException(message)
        uri, credentials, _ = entry.address()
        found = make_pin(uri, credentials)
        root = Path(context.project_path)
        if not uri.startswith("s3://") and Path(uri).is_relative_to(root):
            found = DatasetPin(**{**found.to_dict(), "uri": str(Path(uri).relative_to(root))})
        click.echo(str(found))
        if write:
            target = Path(context.config_loader.conf_source) / (env or "base") / "dataset_pin.yml"
            write_pin_file(found, target)
            click.echo(f"written to {target}")


def _absolute(uri: str, root: Path) -> str:
    place = Storage(uri)
    return str((root / place.uri()).resolve()) if place.protocol == "file" else place.uri()
