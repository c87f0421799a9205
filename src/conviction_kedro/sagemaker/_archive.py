"""The code that trains, as an archive whose bytes depend on nothing but what is in it."""

from __future__ import annotations

import gzip
import hashlib
import io
import tarfile
from dataclasses import dataclass
from pathlib import Path

import conviction
from conviction_kedro.sagemaker._images import IMAGES

PROGRAM = "entry_point.py"
INFERENCE = "inference.py"
_HERE = Path(__file__).parent


@dataclass(frozen=True)
class Archive:
    """A code archive.

    Attributes
    ----------
    content : bytes
        `sourcedir.tar.gz`.
    sha : str
        SHA-256 of the content.
    """

    content: bytes
    sha: str

    @property
    def key(self) -> str:
        """Return where it lies below the prefix: the same code is uploaded once."""
        return f"code/{self.sha[:16]}/sourcedir.tar.gz"


def code_archive(model: str) -> Archive:
    """Return the archive that trains a model: the entry point, what to install, and the library where it is needed.

    Examples
    --------
    >>> code_archive("xgboost").sha == code_archive("xgboost").sha
    True
    """
    image = IMAGES[model]
    files = {PROGRAM: (_HERE / PROGRAM).read_bytes()}
    if image.packages:
        files["requirements.txt"] = ("\n".join(image.packages) + "\n").encode()
    if image.library:
        files |= library_files()
    return packed(files)


def library_files() -> dict[str, bytes]:
    """Return the source of the research library by its paths in an archive."""
    root = Path(conviction.__file__).parent
    return {
        f"conviction/{path.relative_to(root).as_posix()}": path.read_bytes()
        for path in sorted(root.rglob("*.py"))
        if "testing" not in path.relative_to(root).parts
    }


def packed(files: dict[str, bytes]) -> Archive:
    """Return files as a gzipped tar without clocks, owners or order of the file system.

    Examples
    --------
    >>> packed({"b": b"2", "a": b"1"}).sha == packed({"a": b"1", "b": b"2"}).sha
    True
    """
    plain = io.BytesIO()
    with tarfile.open(fileobj=plain, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for name, content in sorted(files.items()):
            member = tarfile.TarInfo(name)
            member.size = len(content)
            member.mode = 0o644
            archive.addfile(member, io.BytesIO(content))
    squeezed = io.BytesIO()
    with gzip.GzipFile(fileobj=squeezed, mode="wb", mtime=0, compresslevel=6) as stream:
        stream.write(plain.getvalue())
    content = squeezed.getvalue()
    return Archive(content, hashlib.sha256(content).hexdigest())
