"""What lies at an address: hash, rows, columns and version of a file or of a directory of files."""

from __future__ import annotations

import hashlib
import io
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import polars as pl

from conviction_kedro.sources._errors import PinError
from conviction_kedro.sources._storage import Storage

if TYPE_CHECKING:
    from collections.abc import Mapping

_TABLES = (".parquet", ".csv", ".csv.gz")


@dataclass(frozen=True, kw_only=True)
class Measured:
    """What was found at an address.

    Parameters
    ----------
    uri : str
    sha256 : str
    rows, columns : int or None
        None where nothing at the address is a table.
    version : str or None
        The version that was read: the object's or the Kedro folder's; None where there are no versions.
    current_version : str or None
        The newest version there is.
    files : int
    """

    uri: str
    sha256: str
    rows: int | None
    columns: int | None
    version: str | None
    current_version: str | None
    files: int


def measure(uri: str, credentials: Mapping[str, Any] | None = None, *, version: str | None = None) -> Measured:
    """Return hash and size of a file, or of all files below a directory.

    Parameters
    ----------
    uri : str
        Local or ``s3://``.
    credentials : mapping, optional
    version : str, optional
        Read this version: of the object in a versioned bucket, or of a versioned Kedro dataset. By default the newest.

    Returns
    -------
    Measured
        ``sha256`` of a file is that of its bytes; of a directory that of the lines ``<sha256>  <name>`` of its files in order of
        their names, which ``find . -type f | sort | xargs sha256sum | sha256sum`` gives as well (names without the ``./``). ``rows``
        is the sum over its tables, ``columns`` the number of different column names.

    Raises
    ------
    PinError
        If there is nothing, no such version, or a table that cannot be read.
    """
    folder, _, name = uri.rstrip("/").rpartition("/")
    place = Storage(folder or ("/" if uri.startswith("/") else "."), credentials)
    kedro_versions = _kedro_versions(place, name)
    if kedro_versions:
        chosen = version or kedro_versions[-1]
        if chosen not in kedro_versions:
            raise _absent(uri, got=f"versions {kedro_versions[-3:]}", allowed=f"version {chosen}")
        return _of_file(place, f"{name}/{chosen}/{name}", uri=uri, version=chosen, current=kedro_versions[-1])
    if place.size(name) is not None and not place.is_folder(name):
        current = place.object_version(name)
        if version is not None and current is None:
            raise _absent(uri, got="a place without versions", allowed=f"version {version}")
        return _of_file(place, name, uri=uri, version=version or current, current=current)
    return _of_directory(Storage(uri, credentials), uri=uri, version=version)


def _of_file(place: Storage, name: str, *, uri: str, version: str | None, current: str | None) -> Measured:
    by_version = None if place.object_version(name) is None else version
    try:
        content = place.read(name, version=by_version)
    except FileNotFoundError:
        raise _absent(uri, got="no such version", allowed=f"version {version}") from None
    rows, columns = _size(name, content)
    return Measured(
        uri=uri,
        sha256=hashlib.sha256(content).hexdigest(),
        rows=rows,
        columns=None if columns is None else len(columns),
        version=version,
        current_version=current,
        files=1,
    )


def _of_directory(place: Storage, *, uri: str, version: str | None) -> Measured:
    names = place.walk() if place.exists() else []
    if not names:
        raise _absent(uri, got="nothing", allowed="a file or a directory with files")
    if version is not None:
        raise _absent(uri, got="a directory, which has no version", allowed=f"version {version}")
    lines: list[str] = []
    columns: set[str] = set()
    rows = tables = 0
    for name in names:
        content = place.read(name)
        lines.append(f"{hashlib.sha256(content).hexdigest()}  {name}\n")
        count, header = _size(name, content)
        if count is not None and header is not None:
            rows, columns, tables = rows + count, columns | set(header), tables + 1
    return Measured(
        uri=uri,
        sha256=hashlib.sha256("".join(lines).encode()).hexdigest(),
        rows=rows if tables else None,
        columns=len(columns) if tables else None,
        version=None,
        current_version=None,
        files=len(names),
    )


def _size(name: str, content: bytes) -> tuple[int | None, list[str] | None]:
    if not name.endswith(_TABLES):
        return None, None
    try:
        if name.endswith(".parquet"):
            lazy = pl.scan_parquet(io.BytesIO(content))
            return int(lazy.select(pl.len()).collect().item()), list(lazy.collect_schema())
        frame = pl.read_csv(io.BytesIO(content), infer_schema=False)
    except pl.exceptions.PolarsError as error:
        raise PinError(
            what=f"the table {name} cannot be read",
            got=str(error).splitlines()[0],
            allowed="Parquet, CSV or gzipped CSV",
            fix="restore the file",
        ) from error
    return frame.height, frame.columns


def _kedro_versions(place: Storage, name: str) -> list[str]:
    """Return the versions of a versioned Kedro dataset, oldest first: ``name/<version>/name``."""
    if not place.is_folder(name):
        return []
    parts = [path.split("/") for path in place.walk(name)]
    return sorted({p[1] for p in parts if len(p) == 3 and p[2] == name})


def _absent(uri: str, *, got: str, allowed: str) -> PinError:
    return PinError(
        what=f"{uri} cannot be read", got=got, allowed=allowed, fix="check the address, the version and the credentials"
    )
