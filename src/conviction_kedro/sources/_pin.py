"""The dataset pin: which data a run is about, exactly, and whether they are still those data."""

from __future__ import annotations

import os
import re
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from conviction_kedro.sources._errors import PinError
from conviction_kedro.sources._measure import Measured, measure

if TYPE_CHECKING:
    from collections.abc import Mapping

PIN_VARIABLE = "CONVICTION_DATASET_PIN"
PIN_FILE = "dataset_pin.yml"
Origin = Literal["command line", "environment variable", "pin file", "default"]
_SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, kw_only=True)
class DatasetPin:
    """One dataset, exactly: where it lies, which edition, how large.

    Parameters
    ----------
    uri : str
        A file (Parquet, CSV, ``.csv.gz``) or a directory of such files, local or ``s3://``, without credentials.
    version : str, optional
        Version of the object in a versioned bucket, or of a versioned Kedro dataset (the folder below `uri`).
    sha256 : str, optional
        SHA-256 of the content, 64 hexadecimal digits; of a directory, see `measure`. A pin has a version or this, or both.
    rows, columns : int, optional
        Size of the table.

    Raises
    ------
    PinError
        If a part is not what it should be.

    Examples
    --------
    >>> pin = DatasetPin.parse("s3://bucket/bars.parquet;version=3sL4;rows=563876;columns=7")
    >>> pin.version, pin.rows
    ('3sL4', 563876)
    >>> str(pin)
    's3://bucket/bars.parquet;version=3sL4;rows=563876;columns=7'
    """

    uri: str
    version: str | None = None
    sha256: str | None = None
    rows: int | None = None
    columns: int | None = None

    def __post_init__(self) -> None:
        if not self.uri or "@" in self.uri.split("://", 1)[-1].split("/", 1)[0]:
            raise _bad(
                part="uri", got=self.uri.rsplit("@", 1)[-1], allowed="a path or s3:// address without credentials"
            )
        if self.sha256 is not None and not _SHA256.fullmatch(self.sha256):
            raise _bad(part="sha256", got=self.sha256, allowed="64 hexadecimal digits")
        if self.version is None and self.sha256 is None:
            raise _bad(part="edition", got="neither version nor sha256", allowed="a version, a sha256, or both")
        for name in ("rows", "columns"):
            number = getattr(self, name)
            if number is not None and (not isinstance(number, int) or isinstance(number, bool) or number < 0):
                raise _bad(part=name, got=number, allowed="a whole number")

    def __str__(self) -> str:
        parts = [f"{f.name}={getattr(self, f.name)}" for f in fields(self)[1:] if getattr(self, f.name) is not None]
        return ";".join([self.uri, *parts])

    @classmethod
    def parse(cls, text: str) -> DatasetPin:
        """Return the pin of a text ``URI;version=...;sha256=...;rows=...;columns=...``, as on the command line."""
        uri, *parts = text.strip().split(";")
        given: dict[str, Any] = {}
        for part in parts:
            name, separator, value = part.strip().partition("=")
            if not separator or name in given:
                raise _bad(
                    part="text", got=part, allowed="URI;version=...;sha256=...;rows=...;columns=..., each at most once"
                )
            given[name] = int(value) if name in ("rows", "columns") and value.isdigit() else value
        return cls.from_dict({"uri": uri.strip(), **given})

    @classmethod
    def from_dict(cls, given: Mapping[str, Any]) -> DatasetPin:
        """Return the pin of a mapping, refusing unknown keys."""
        known = [f.name for f in fields(cls)]
        unknown = sorted(set(given) - set(known))
        if unknown or "uri" not in given:
            raise _bad(part="keys", got=unknown or "no uri", allowed=", ".join(known))
        texts = {name: str(given[name]) for name in ("uri", "version", "sha256") if given.get(name) is not None}
        return cls(**texts, **{name: given.get(name) for name in ("rows", "columns")})  # type: ignore[arg-type]

    def to_dict(self) -> dict[str, Any]:
        """Return plain data."""
        return asdict(self)


@dataclass(frozen=True, kw_only=True)
class ResolvedPin:
    """A pin, and where it came from.

    Parameters
    ----------
    pin : DatasetPin
    origin : {"command line", "environment variable", "pin file", "default"}
    """

    pin: DatasetPin
    origin: Origin

    def to_dict(self) -> dict[str, Any]:
        """Return plain data, for the record of a run."""
        return {**self.pin.to_dict(), "origin": self.origin}


def resolve_pin(
    *,
    command_line: str | None = None,
    environ: Mapping[str, str] | None = None,
    pin_file: str | os.PathLike[str] | None = None,
    default: DatasetPin | None = None,
) -> ResolvedPin | None:
    """Return the pin that counts: command line before environment variable before pin file before default.

    The parts of two pins are never mixed: rows of one and hash of another would describe no dataset at all.

    Parameters
    ----------
    command_line : str, optional
        As `DatasetPin.parse` reads it.
    environ : mapping, optional
        Where ``CONVICTION_DATASET_PIN`` is looked up; the process's own environment by default.
    pin_file : path, optional
        ``conf/<env>/dataset_pin.yml`` with the keys ``uri, version, sha256, rows, columns``; one that is not there is passed over.
    default : DatasetPin, optional

    Returns
    -------
    ResolvedPin or None
        None where nobody pins anything.

    Raises
    ------
    PinError
        If the pin that counts cannot be read; a broken one is never passed over for the next.

    Examples
    --------
    >>> from_shell = {"CONVICTION_DATASET_PIN": "bars.parquet;version=2"}
    >>> resolve_pin(command_line="bars.parquet;version=3", environ=from_shell).origin
    'command line'
    >>> resolve_pin(environ=from_shell).pin.version
    '2'
    >>> resolve_pin(environ={}) is None
    True
    """
    variable = (os.environ if environ is None else environ).get(PIN_VARIABLE)
    if command_line:
        return ResolvedPin(pin=DatasetPin.parse(command_line), origin="command line")
    if variable:
        return ResolvedPin(pin=DatasetPin.parse(variable), origin="environment variable")
    if pin_file is not None and Path(pin_file).exists():
        return ResolvedPin(pin=read_pin_file(pin_file), origin="pin file")
    return None if default is None else ResolvedPin(pin=default, origin="default")


def pin_file_of(conf_source: str | os.PathLike[str], env: str | None) -> Path | None:
    """Return the pin file of an environment, else that of ``base``, else None."""
    for name in dict.fromkeys((env or "base", "base")):
        path = Path(conf_source) / name / PIN_FILE
        if path.exists():
            return path
    return None


def read_pin_file(path: str | os.PathLike[str]) -> DatasetPin:
    """Return the pin of a YAML file.

    Raises
    ------
    PinError
        If it is no mapping with the keys of a pin.
    """
    import yaml

    try:
        content = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    except yaml.YAMLError as error:
        raise _bad(part="file", got=f"{path}: {str(error).splitlines()[0]}", allowed="YAML") from error
    if not isinstance(content, dict):
        raise _bad(
            part="file",
            got=f"{path}: {type(content).__name__}",
            allowed="a mapping with uri, version, sha256, rows, columns",
        )
    return DatasetPin.from_dict(content)


def write_pin_file(pin: DatasetPin, path: str | os.PathLike[str]) -> None:
    """Write a pin file that `read_pin_file` reads back."""
    import yaml

    text = yaml.safe_dump({k: v for k, v in pin.to_dict().items() if v is not None}, sort_keys=False)
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    Path(path).write_text(text, encoding="utf-8")


def make_pin(uri: str, credentials: Mapping[str, Any] | None = None) -> DatasetPin:
    r"""Return the pin of the data that lie at an address now.

    Examples
    --------
    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "x.csv"
    >>> _ = path.write_text("a,b\n1,2\n3,4\n")
    >>> pin = make_pin(str(path))
    >>> pin.rows, pin.columns, pin.sha256[:8]
    (2, 2, 'b9485148')
    """
    found = measure(uri, credentials)
    return DatasetPin(uri=uri, version=found.version, sha256=found.sha256, rows=found.rows, columns=found.columns)


def check_pin(pin: DatasetPin, credentials: Mapping[str, Any] | None = None, *, superseded: bool = False) -> Measured:
    r"""Return what lies at the pinned address if it is what was pinned.

    Parameters
    ----------
    pin : DatasetPin
    credentials : mapping, optional
        Of the place, as Kedro keeps them.
    superseded : bool
        Whether the pinned version may have a successor: only for a catalog entry that reads by version. Otherwise a run would
        read the newest version while the pin vouches for another.

    Raises
    ------
    PinError
        If nothing is there, or version, hash, rows or columns differ; the message shows both sides.

    Examples
    --------
    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "x.csv"
    >>> _ = path.write_text("a,b\n1,2\n")
    >>> pin = make_pin(str(path))
    >>> check_pin(pin).rows
    1
    >>> _ = path.write_text("a,b\n1,3\n")
    >>> check_pin(pin)
    Traceback (most recent call last):
        ...
    conviction_kedro.sources._errors.PinError: the dataset ...x.csv is not the pinned one: got sha256 ...; allowed: sha256 ...
    """
    found = measure(pin.uri, credentials, version=pin.version)
    current = found.current_version
    if pin.version is not None and current != pin.version and not superseded:
        raise PinError(
            what=f"the dataset {pin.uri} has a newer version than the pinned one",
            got=f"version {current}",
            allowed=f"version {pin.version}",
            fix="pin the newer version, or read the pinned one by its version in the catalog (object_version)",
        )
    names = [name for name in ("sha256", "rows", "columns") if getattr(pin, name) is not None]
    wrong = [name for name in names if getattr(found, name) != getattr(pin, name)]
    if wrong:
        raise PinError(
            what=f"the dataset {pin.uri} is not the pinned one",
            got=", ".join(f"{name} {getattr(found, name)}" for name in wrong),
            allowed=", ".join(f"{name} {getattr(pin, name)}" for name in wrong),
            fix="restore the pinned data, or pin the new ones knowingly and give the run another name",
        )
    return found


def _bad(*, part: str, got: object, allowed: str) -> PinError:
    return PinError(
        what=f"the dataset pin has a wrong {part}",
        got=got,
        allowed=allowed,
        fix=f"correct it on the command line, in {PIN_VARIABLE} or in conf/<env>/{PIN_FILE}",
    )
