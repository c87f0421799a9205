"""Going on with a run that was killed: the journal of unfinished runs, and what of theirs is complete and valid.

Each `kedro run` keeps one small file in `.conviction/runs` and a lock on it for as long as its process lives; the operating
system gives the lock back however the process dies. A file whose lock is free belongs to a run that never ended.
"""

from __future__ import annotations

import contextlib
import json
import os
from contextvars import ContextVar
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from conviction_kedro.datasets import Snapshot, SnapshotError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from kedro.io import DataCatalog
    from kedro.pipeline import Pipeline
    from kedro.pipeline.node import Node

_LENGTH = 512
JOURNAL = Path(".conviction") / "runs"


@dataclass(frozen=True)
class Wish:
    """What a command says of the run that it starts, beside its parameters.

    Attributes
    ----------
    resumable : bool
        Whether its runner can leave nodes out.
    fresh : bool
        Whether an unfinished run is not to be gone on with.
    root : str or None
        Local folder that all snapshots go to instead of the catalog's places.
    tags : dict
        What the tracked run says of itself in addition.
    """

    resumable: bool = False
    fresh: bool = False
    root: str | None = None
    tags: dict[str, str] = field(default_factory=dict)


WISH: ContextVar[Wish] = ContextVar("conviction_wish", default=Wish())  # noqa: B039  # frozen


@dataclass(frozen=True)
class Entry:
    """One unfinished run.

    Attributes
    ----------
    session_id : str
        Kedro's identifier, which sidecars and the tag `session_id` of the tracked run carry.
    command : str
        Hash of what the command named: pipelines, environment, filters.
    run_key : str
        Hash of all that decides the results (`conviction_kedro.provenance.run_key`).
    pid : int
        Process of the newest attempt.
    """

    session_id: str
    command: str
    run_key: str
    pid: int


class Journal:
    """The unfinished runs of one workspace.

    Parameters
    ----------
    root : pathlib.Path
        The project's folder.
    """

    def __init__(self, root: Path) -> None:
        self._folder = root / JOURNAL
        self._held: dict[str, int] = {}

    def claim(self, command: str) -> list[Entry]:
        """Return the unfinished runs of a command whose processes are gone, oldest first, and hold their locks.

        A run of the same command that is still going on is not among them.
        """
        found = []
        for path in sorted(self._folder.glob("*.json")):
            entry = _read(path)
            if entry is not None and entry.command == command and self._lock(path):
                found.append(entry)
        return found

    def unfinished(self) -> set[str]:
        """Return the sessions of all unfinished runs whose processes are gone; their locks stay free."""
        found = set()
        for path in sorted(self._folder.glob("*.json")):
            entry = _read(path)
            if entry is not None and self._lock(path):
                found.add(entry.session_id)
                os.close(self._held.pop(path.stem))
        return found

    def begin(self, entry: Entry) -> None:
        """Put a run on record, or its newest attempt, before anything of it is done."""
        self._folder.mkdir(parents=True, exist_ok=True)
        path = self._path(entry.session_id)
        if path.stem not in self._held:
            path.touch()
            self._lock(path)
        # In place, since a new file would not be locked, and in one write of one length, which no kill cuts in two.
        handle = self._held[path.stem]
        os.pwrite(handle, json.dumps(asdict(entry)).ljust(_LENGTH).encode(), 0)
        os.fsync(handle)

    def end(self, session_id: str) -> None:
        """Take a run off the record: it finished, failed or was given up."""
        self._path(session_id).unlink(missing_ok=True)
        handle = self._held.pop(self._path(session_id).stem, None)
        if handle is not None:
            os.close(handle)

    def _path(self, session_id: str) -> Path:
        return self._folder / f"{session_id.replace(':', '.')}.json"

    def _lock(self, path: Path) -> bool:
        import fcntl

        try:
            handle = os.open(path, os.O_RDWR)
        except FileNotFoundError:
            return False
        try:
            # A record lock: forked workers that outlive a killed run do not inherit it.
            fcntl.lockf(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(handle)
            return False
        self._held[path.stem] = handle
        return True


def _read(path: Path) -> Entry | None:
    # A file of a run that was killed while it wrote it holds nothing that could be gone on with.
    with contextlib.suppress(OSError, ValueError, TypeError):
        return Entry(**json.loads(path.read_text(encoding="utf-8")))
    return None


def complete_nodes(
    pipeline: Pipeline, catalog: DataCatalog, keys: Mapping[str, str], *, session_id: str
) -> frozenset[str]:
    """Return the names of the nodes whose every output this run has already made, whole and from what holds now.

    Parameters
    ----------
    pipeline : kedro.pipeline.Pipeline
    catalog : kedro.io.DataCatalog
    keys : mapping
        Dataset -> key of what it must be made from now (`conviction_kedro.provenance.dataset_keys`).
    session_id : str
        The unfinished run.

    Returns
    -------
    frozenset of str
        A node is among them when each of its outputs is a snapshot with this key and this run in its sidecar, and the content
        is the one that the sidecar vouches for.
    """
    return frozenset(
        node.name
        for node in pipeline.nodes
        if node.outputs and all(_valid(catalog.get(name), keys.get(name), session_id) for name in node.outputs)
    )


def _valid(dataset: Any, key: str | None, session_id: str) -> bool:
    if key is None or not isinstance(dataset, Snapshot):
        return False
    sidecar = dataset.sidecar()
    if sidecar is None or sidecar["key"] != key or sidecar["run_id"] != session_id:
        return False
    try:
        dataset.content()
    except SnapshotError:
        return False
    return True


def sweep(pipeline: Pipeline, catalog: DataCatalog, *, pid: int) -> None:
    """Remove what a killed process had written aside and never moved into place."""
    for _, dataset in outputs_of(pipeline.nodes, catalog):
        path = Path(dataset.filepath)
        if path.parent.is_dir():
            for name in (path.name, f"{path.name}.meta.json"):
                (path.parent / f".{name}.{pid}.aside").unlink(missing_ok=True)


def outputs_of(nodes: list[Node], catalog: DataCatalog) -> Iterator[tuple[str, Snapshot[Any]]]:
    """Yield name and dataset of every snapshot that some nodes write."""
    for node in nodes:
        for name in node.outputs:
            dataset = catalog.get(name)
            if isinstance(dataset, Snapshot):
                yield name, dataset
