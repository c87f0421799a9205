"""One place on a disk or in a bucket: bytes in, bytes out, replaced whole and never half."""

from __future__ import annotations

import contextlib
import os
import uuid
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

import fsspec
from kedro.io.core import get_protocol_and_path

from conviction_kedro.sources._secrets import resolve_credentials

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping


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
    >>> place.read("a/b.txt"), place.exists("a/c.txt"), list(place.walk("a"))
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

    def read(self, name: str) -> bytes:
        """Return a whole file.

        Raises
        ------
        FileNotFoundError
            If it is not there.
        """
        content: bytes = self.filesystem.cat_file(self.path(name))
        return content

    def write(self, name: str, data: bytes) -> None:
        """Put a whole file in place: written aside and renamed on a disk, one PUT on S3. Readers see the old or the new."""
        target = self.path(name)
        if self.protocol != "file":
            self.filesystem.pipe_file(target, data)
            return
        self.filesystem.makedirs(str(PurePosixPath(target).parent), exist_ok=True)
        aside = f"{target}.{uuid.uuid4().hex}.part"
        try:
            with self.filesystem.open(aside, "wb") as handle:
                handle.write(data)
                handle.flush()
                with contextlib.suppress(AttributeError, OSError):
                    os.fsync(handle.fileno())
            # os.replace and not the filesystem's move: only the first is atomic over an existing file.
            os.replace(aside, target)  # noqa: PTH105
        finally:
            with contextlib.suppress(FileNotFoundError):
                self.filesystem.rm_file(aside)

    def walk(self, folder: str = "") -> Iterator[str]:
        """Yield the names of all files under a folder, sorted, relative to this place; files being written are left out."""
        root = self.path()
        # Local paths come back absolute, whatever was asked for.
        stripped = self.filesystem._strip_protocol(root).rstrip("/")
        for path in sorted(self.filesystem.find(self.path(folder))):
            if not path.endswith(".part"):
                yield str(path)[len(stripped) + 1 :]

    def delete(self, name: str) -> None:
        """Remove a file; one that is not there is no error."""
        with contextlib.suppress(FileNotFoundError):
            self.filesystem.rm_file(self.path(name))
