"""Snapshots: the one wrapper for all intermediate data, on local disk or S3.

A snapshot is one file and, written last, one sidecar (`<file>.meta.json`) with the content's SHA-256, the key under which it
was made (code, parameters and upstream keys), the run, the schema and the platform. Content goes aside first and replaces
the old file in one step (on S3: one PUT), so that a run killed at any moment leaves the old snapshot or the new one; a file
whose sidecar does not match is refused on load.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
from pathlib import Path, PurePosixPath
from typing import Any, ClassVar, TypeVar

import fsspec
from kedro.io import AbstractDataset

from conviction.errors import ConvictionError
from conviction_kedro import runtime

_T = TypeVar("_T")
SIDECAR_SUFFIX = ".meta.json"


class SnapshotError(ConvictionError):
    """A snapshot is missing, half written, damaged or stale."""


class Snapshot(AbstractDataset[_T, _T]):
    """Base of all snapshot datasets; a subclass says how its content becomes bytes.

    Parameters
    ----------
    filepath : str
        Local path or `s3://` URI of the file; its stem is the dataset's name in the catalog.
    credentials : dict, optional
        Arguments of the file system, as Kedro keeps them: `{key, secret, client_kwargs: {...}}`.
    metadata : dict, optional
        For Kedro-Viz (`kedro-viz: {layer: ...}`) and tracking (`mlflow: {artifact: folder}`).
    """

    kind: ClassVar[str] = "bytes"
    append_only: ClassVar[bool] = False

    def __init__(
        self, filepath: str, credentials: dict[str, Any] | None = None, metadata: dict[str, Any] | None = None
    ) -> None:
        self._filepath = filepath
        self._protocol = filepath.split("://", 1)[0] if "://" in filepath else "file"
        self._credentials = dict(credentials or {})
        self.metadata = metadata
        self._saved: bytes | None = None

    @property
    def filepath(self) -> str:
        """Return where the content lies."""
        return self._filepath

    def relocate(self, root: str) -> None:
        """Read and write below another local folder from now on: `<root>/<layer>/<file>`."""
        self._filepath = relocated(self._filepath, root)
        self._protocol = "file"
        self._credentials = {}

    @property
    def name(self) -> str:
        """Return the dataset's name: the stem of its file."""
        return PurePosixPath(self._filepath).name.split(".", 1)[0]

    @property
    def _fs(self) -> Any:
        return fsspec.filesystem(self._protocol, **self._credentials)

    def encode(self, data: _T) -> bytes:
        """Turn the content into bytes; equal content gives equal bytes."""
        raise NotImplementedError

    def decode(self, content: bytes) -> _T:
        """Turn bytes into the content."""
        raise NotImplementedError

    def facts(self, data: _T) -> dict[str, Any]:  # noqa: ARG002  # for subclasses
        """Return what the sidecar should say of the content beside its hash."""
        return {}

    def sidecar(self) -> dict[str, Any] | None:
        """Return the sidecar, or None when there is none."""
        path = self._filepath + SIDECAR_SUFFIX
        if not self._fs.exists(path):
            return None
        loaded: dict[str, Any] = json.loads(self._fs.cat_file(path))
        return loaded

    def content(self) -> bytes:
        """Return the verified bytes of the snapshot.

        Raises
        ------
        SnapshotError
            If the file or its sidecar is missing, or if the content is not what the sidecar vouches for.
        """
        sidecar = self.sidecar()
        if sidecar is None or not self._fs.exists(self._filepath):
            raise SnapshotError(
                what=f"the snapshot {self.name!r} does not exist or was never finished",
                got=self._filepath,
                allowed="a file with its sidecar",
                fix="run the pipeline that makes it first; `kedro run` runs all of them",
            )
        content: bytes = self._fs.cat_file(self._filepath)
        found = hashlib.sha256(content).hexdigest()
        if found not in {sidecar["content_sha"], sidecar.get("next_content_sha")}:
            raise SnapshotError(
                what=f"the snapshot {self.name!r} is half written or was changed by hand",
                got=f"content {found[:12]}",
                allowed=f"content {sidecar['content_sha'][:12]}, as its sidecar says",
                fix="run the pipeline that makes it again",
            )
        return content

    def load(self) -> _T:
        """Return the verified content."""
        return self.decode(self.content())

    def save(self, data: _T) -> None:
        """Write the content aside, replace the old file, then write the sidecar."""
        content = self.encode(data)
        run = runtime.current()
        sidecar = {
            "content_sha": hashlib.sha256(content).hexdigest(),
            "key": run.keys.get(self.name),
            "run_id": run.run_id,
            "kind": self.kind,
            "platform": f"{platform.system()}-{platform.machine()}-py{platform.python_version()}",
            **self.facts(data),
        }
        if self.append_only:
            # Nothing makes a record again: the sidecar vouches for the old and the new content until the new one is there.
            old = self.sidecar() or {"content_sha": None, "key": None, "run_id": None}
            self._put_sidecar({**old, "next_content_sha": sidecar["content_sha"]})
        self._put(self._filepath, content)
        self._put_sidecar(sidecar)
        self._saved = content if (self.metadata or {}).get("mlflow") else None

    def saved_content(self) -> bytes:
        """Return the bytes that were just saved, once, without reading them back; later those of the file."""
        content, self._saved = self._saved, None
        return self.content() if content is None else content

    def _put_sidecar(self, sidecar: dict[str, Any]) -> None:
        self._put(self._filepath + SIDECAR_SUFFIX, json.dumps(sidecar, indent=1, sort_keys=True).encode())

    def _put(self, path: str, content: bytes) -> None:
        if self._protocol != "file":
            self._fs.pipe_file(path, content)
            return
        target = Path(path)
        target.parent.mkdir(parents=True, exist_ok=True)
        aside = target.with_name(f".{target.name}.{os.getpid()}.aside")
        try:
            with aside.open("wb") as handle:
                handle.write(content)
                handle.flush()
                os.fsync(handle.fileno())
            aside.replace(target)
        finally:
            aside.unlink(missing_ok=True)

    def _exists(self) -> bool:
        return self.sidecar() is not None and bool(self._fs.exists(self._filepath))

    def _describe(self) -> dict[str, Any]:
        return {"filepath": self._filepath, "kind": self.kind}


def relocated(filepath: str, root: str) -> str:
    """Return the path of a snapshot below another root.

    Examples
    --------
    >>> relocated("s3://team/conviction/02_intermediate/bars.parquet", "data/replays/ab12")
    'data/replays/ab12/02_intermediate/bars.parquet'
    """
    return str(PurePosixPath(root, *PurePosixPath(filepath).parts[-2:]))
