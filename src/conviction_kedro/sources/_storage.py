"""One place on a disk or in a bucket: bytes in, bytes out, replaced whole and never half."""

from __future__ import annotations

import contextlib
import os
import tempfile
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import fsspec
from kedro.io.core import get_protocol_and_path

from conviction_kedro.sources._secrets import resolve_credentials

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence


class Storage:
    """A folder on a local disk or under an S3 prefix, with whole-file reads and atomic replaces.

    Parameters
    ----------
    uri : str
        ``data/01_raw/flat_files`` or ``s3://bucket/prefix``; a trailing slash changes nothing.
    credentials : mapping, optional
        What Kedro hands to a dataset, for S3 ``{key, secret, client_kwargs: {endpoint_url, region_name}}``. A value may
        be a reference to an environment variable or a secrets manager (see `resolve_secret`).

    Examples
    --------
    >>> import tempfile
    >>> place = Storage(tempfile.mkdtemp())
    >>> place.write("a/b.txt", b"1")
    >>> place.read("a/b.txt"), place.exists("a/c.txt"), place.walk("a")
    (b'1', False, ['a/b.txt'])
    """

    def __init__(self, uri: str | os.PathLike[str], credentials: Mapping[str, Any] | None = None) -> None:
        protocol, path = get_protocol_and_path(os.fspath(uri))
        self.protocol = "file" if protocol in ("file", "local") else protocol
        self._root = path.rstrip("/") or "/"
        self._credentials = dict(credentials or {})
        self._filesystem: Any = None

    def __repr__(self) -> str:
        return f"Storage({self.uri()!r})"

    @property
    def credentials(self) -> dict[str, Any]:
        """The credentials as they were given, references unresolved; never to be logged."""
        return dict(self._credentials)

    @property
    def filesystem(self) -> Any:
        """The fsspec filesystem, opened at the first use so that a catalog can be read without credentials."""
        if self._filesystem is None:
            # Listings must be fresh: another process may be copying into the same place.
            options = {"auto_mkdir": True} if self.protocol == "file" else {"use_listings_cache": False}
            self._filesystem = fsspec.filesystem(self.protocol, **options, **resolve_credentials(self._credentials))
        return self._filesystem

    def uri(self, name: str = "") -> str:
        """Return the address of a file of this place, without credentials."""
        path = self.path(name)
        return path if self.protocol == "file" else f"{self.protocol}://{path}"

    def path(self, name: str = "") -> str:
        """Return the path of a file of this place as the filesystem wants it."""
        return f"{self._root.rstrip('/')}/{name}" if name else self._root

    def exists(self, name: str = "") -> bool:
        """Return whether a file (or, without a name, the place itself) is there."""
        return bool(self.filesystem.exists(self.path(name)))

    def size(self, name: str) -> int | None:
        """Return the size of a file in bytes, or None where there is none."""
        try:
            return int(self.filesystem.info(self.path(name))["size"])
        except FileNotFoundError:
            return None

    def is_folder(self, name: str) -> bool:
        """Return whether something lies below a name."""
        return bool(self.filesystem.isdir(self.path(name)))

    def object_version(self, name: str) -> str | None:
        """Return the newest version of an object in a versioned bucket; None on a disk or without versions."""
        if self.protocol == "file" or not self.filesystem.isfile(self.path(name)):
            return None
        # A listing knows no versions; the head of the object does.
        version = self.filesystem.info(self.path(name), refresh=True, version_id=None).get("VersionId")
        return None if version in (None, "null") else str(version)

    def read(self, name: str, *, version: str | None = None) -> bytes:
        """Return a whole file, the newest version or a given one of a versioned bucket.

        Raises
        ------
        FileNotFoundError
            If it is not there.
        """
        options = {} if version is None else {"version_id": version}
        content: bytes = self.filesystem.cat_file(self.path(name), **options)
        return content

    def read_many(self, names: Sequence[str]) -> dict[str, bytes]:
        """Return several whole files by name; on S3 they are fetched side by side."""
        if not names:
            return {}
        by_path = {self.filesystem._strip_protocol(self.path(name)): name for name in names}
        # A single path would come back as bare bytes; recursive=True keeps the answer a mapping.
        found = self.filesystem.cat(list(by_path), recursive=True)
        return {by_path[path]: content for path, content in found.items()}

    def write(self, name: str, data: bytes) -> None:
        """Put a whole file in place; a reader sees the old file or the new one, never a part."""
        if self.protocol == "file":
            self.write_from(name, lambda handle: handle.write(data))
        else:
            self.filesystem.pipe_file(self.path(name), data)

    def write_from(self, name: str, fill: Callable[[BinaryIO], object]) -> None:
        """Put in place what `fill` writes into the open file it is given; nothing at all if it raises.

        On a disk the content goes aside, next to the file, and replaces it; on S3 it is uploaded once it is whole.
        """
        target = self.path(name)
        if self.protocol != "file":
            with tempfile.TemporaryDirectory() as folder:
                whole = Path(folder) / "whole"
                with whole.open("wb") as handle:
                    fill(handle)
                self.filesystem.put_file(str(whole), target)
            return
        Path(target).parent.mkdir(parents=True, exist_ok=True)
        aside = Path(f"{target}.{uuid.uuid4().hex}.part")
        try:
            with aside.open("wb") as handle:
                fill(handle)
                handle.flush()
                os.fsync(handle.fileno())
            aside.replace(target)
        finally:
            aside.unlink(missing_ok=True)

    def sizes(self, folder: str = "") -> dict[str, int]:
        """Return the size in bytes of every file under a folder, by name relative to this place, in one listing."""
        # Local paths come back absolute, whatever was asked for.
        root = self.filesystem._strip_protocol(self.path()).rstrip("/")
        found = self.filesystem.find(self.path(folder), detail=True)
        return {
            str(path)[len(root) + 1 :]: int(info["size"])
            for path, info in sorted(found.items())
            if not str(path).endswith(".part")
        }

    def walk(self, folder: str = "") -> list[str]:
        """Return the names of all files under a folder, sorted, relative to this place; those being written left out."""
        return list(self.sizes(folder))

    def delete(self, name: str) -> None:
        """Remove a file; one that is not there is no error."""
        with contextlib.suppress(FileNotFoundError):
            self.filesystem.rm_file(self.path(name))
