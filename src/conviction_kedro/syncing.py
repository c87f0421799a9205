"""`kedro sync`: the artifacts of a run copied to or from a bucket or folder, gone on with after a break, verified by hash."""

from __future__ import annotations

import hashlib
import json
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from conviction_kedro.console import readable_errors

if TYPE_CHECKING:
    from collections.abc import Iterator

    from conviction_kedro.runs import TrackedRun
    from conviction_kedro.sources import Storage

MANIFEST = "manifest.json"


def _sha(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def contents_of(run: TrackedRun) -> Iterator[tuple[str, bytes]]:
    """Yield every artifact file of a run and its children, and last what the store says of them.

    Yields
    ------
    tuple of str and bytes
        `artifacts/<path>` of the run, `children/<target>/<model>/<path>`, `runs.json`.
    """
    for path in sorted(run.artifacts()):
        yield f"artifacts/{path}", run.artifact(path).read_bytes()
    for key, child in sorted(run.children.items()):
        for path in sorted(run.artifacts_of(child.info.run_id)):
            yield f"children/{key}/{path}", run.artifact_of(child.info.run_id, path).read_bytes()
    told = {"run": run.run.to_dictionary(), "children": {key: one.to_dictionary() for key, one in run.children.items()}}
    yield "runs.json", json.dumps(told, indent=1, sort_keys=True, default=str).encode()


def send(run: TrackedRun, place: Storage) -> dict[str, int]:
    """Copy a run to a place; files that are there with the same content stay, the list of all hashes is written last.

    Parameters
    ----------
    run : TrackedRun
    place : Storage
        The run's own folder there.

    Returns
    -------
    dict
        `copied`, `there already`, `bytes`.

    Raises
    ------
    SourceError
        When what lies there after the copy is not what was sent.
    """
    done = {"copied": 0, "there already": 0, "bytes": 0}
    known = place.sizes() if place.exists() else {}
    manifest: dict[str, dict[str, Any]] = {}
    for name, content in contents_of(run):
        manifest[name] = {"sha256": _sha(content), "size": len(content)}
        if known.get(name) == len(content) and _sha(place.read(name)) == manifest[name]["sha256"]:
            done["there already"] += 1
            continue
        place.write(name, content)
        _verify(place, name, manifest[name]["sha256"])
        done["copied"] += 1
        done["bytes"] += len(content)
    record = {"run": run.run_id, "files": manifest}
    place.write(MANIFEST, json.dumps(record, indent=1, sort_keys=True).encode())
    return done


def _verify(place: Storage, name: str, sha: str) -> None:
    from conviction_kedro.sources import SourceError

    found = _sha(place.read(name))
    if found != sha:
        raise SourceError(
            what=f"{name} did not arrive whole",
            got=f"content {found[:12]}",
            allowed=f"content {sha[:12]}",
            fix="give the command again: it goes on with what is missing",
        )


def fetch(place: Storage, folder: Path) -> dict[str, int]:
    """Copy a run from a place into a folder; files that are there whole stay, each is checked against the list of hashes.

    Raises
    ------
    SourceError
        When the place holds no complete copy, or a file is not what the list says.
    """
    from conviction_kedro.sources import SourceError, Storage

    done = {"copied": 0, "there already": 0, "bytes": 0}
    if not place.exists(MANIFEST):
        raise SourceError(
            what="no complete copy of the run lies there",
            got=place.uri(),
            allowed=f"a folder with {MANIFEST}, which `kedro sync RUN --to` writes last",
            fix="finish the copy with `kedro sync RUN --to` where the run is, or correct the address",
        )
    local = Storage(folder)
    for name, entry in sorted(json.loads(place.read(MANIFEST))["files"].items()):
        if (folder / name).is_file() and _sha((folder / name).read_bytes()) == entry["sha256"]:
            done["there already"] += 1
            continue
        content = place.read(name)
        if _sha(content) != entry["sha256"]:
            raise SourceError(
                what=f"{name} is not what was copied there",
                got=f"content {_sha(content)[:12]}",
                allowed=f"content {entry['sha256'][:12]}",
                fix="copy it again from where the run is: `kedro sync RUN --to`",
            )
        local.write(name, content)
        done["copied"] += 1
        done["bytes"] += len(content)
    return done


@click.command(name="sync")
@click.argument("name", metavar="RUN")
@click.option("--to", "target", default=None, help="s3://bucket/prefix or a folder that the run is copied to.")
@click.option(
    "--from", "source", default=None, help="The same address: the run is copied from there into data/runs/<RUN>."
)
@click.option("--env", "-e", default=None, help="Environment whose run store is read.")
def sync(name: str, target: str | None, source: str | None, env: str | None) -> None:
    """Copy all artifacts of a run, its children and what the store says of them; --from needs the whole identifier.

    Given again after a break it goes on; every file is read back and compared by SHA-256.
    """
    from conviction_kedro.project import open_project
    from conviction_kedro.runs import RunError, open_reader
    from conviction_kedro.sources import Storage

    with readable_errors(), open_project(env) as project, tempfile.TemporaryDirectory() as home:
        if (target is None) == (source is None):
            raise RunError(
                what="kedro sync needs one direction",
                got="both --to and --from" if target else "neither --to nor --from",
                allowed="--to s3://bucket/prefix or --from s3://bucket/prefix",
                fix="give one of them",
            )
        if target is not None:
            run = open_reader(project, Path(home)).find(name)
            place = Storage(f"{target.rstrip('/')}/{run.run_id}")
            done: dict[str, Any] = _reaching(place, lambda: send(run, place))
            where = place.uri()
        else:
            place = Storage(f"{str(source).rstrip('/')}/{name}")
            folder = project.root / "data" / "runs" / name
            done = _reaching(place, lambda: fetch(place, folder))
            where = str(folder)
    click.echo(f"{where}: " + ", ".join(f"{count} {what}" for what, count in done.items()) + "; verified by SHA-256")


def _reaching(place: Storage, work: Any) -> Any:
    """Do the work; an error of the place is one sentence that names it."""
    from conviction.errors import ConvictionError
    from conviction_kedro.sources import SourceError

    try:
        return work()
    except ConvictionError:
        raise
    except Exception as error:
        raise SourceError(
            what="the place of the copy cannot be used",
            got=f"{type(error).__name__}: {error}",
            allowed=f"{place.uri()} that can be read and written",
            fix="check bucket and credentials (kedro preflight); given again the command goes on with what is missing",
        ) from error
