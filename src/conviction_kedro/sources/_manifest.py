"""The manifest of copied flat files: what was copied, when, and what it was."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from conviction_kedro.sources._errors import SourceError

if TYPE_CHECKING:
    from conviction_kedro.sources._storage import Storage


@dataclass(frozen=True, kw_only=True)
class FlatFileRecord:
    """One edition of one flat file in the workspace's own place.

    Parameters
    ----------
    key : str
        The vendor's key.
    session : str
        ISO date of the session, from the key.
    etag : str
        The vendor's entity tag at the time of the copy, without quotes.
    size : int
        Bytes.
    sha256 : str
        Of the content, 64 hexadecimal digits.
    copied_at : str
        UTC moment of the copy, ISO, to microseconds.
    vendor_modified : str
        UTC moment of the vendor's last change, ISO.
    stored : str
        Name in the workspace's own place: the key, or the key with the edition's tag.
    """

    key: str
    session: str
    etag: str
    size: int
    sha256: str
    copied_at: str
    vendor_modified: str
    stored: str


class Manifest:
    """Records of one folder of flat files, one JSON line each, replaced whole.

    Parameters
    ----------
    storage : Storage
        The workspace's own place.
    name : str
        Name of the manifest's file in it.

    Notes
    -----
    `save` joins what it knows with what lies there, so that two copies running side by side lose no record, writes
    aside and replaces; a process killed at any moment leaves the old manifest or the new one.
    """

    def __init__(self, storage: Storage, name: str) -> None:
        self._storage = storage
        self.name = name
        self._records = self._read()

    def _read(self) -> dict[tuple[str, str], FlatFileRecord]:
        try:
            text = self._storage.read(self.name).decode()
        except FileNotFoundError:
            return {}
        records = {}
        for number, line in enumerate(text.splitlines(), start=1):
            try:
                record = FlatFileRecord(**json.loads(line))
            except (json.JSONDecodeError, TypeError) as error:
                raise SourceError(
                    what=f"the manifest {self._storage.uri(self.name)} cannot be read",
                    got=f"line {number}: {line[:80]!r}",
                    allowed="one JSON record a line, as the copy writes it",
                    fix="restore the file, or delete it: the next copy takes stored files back by their checksum",
                ) from error
            records[record.key, record.etag] = record
        return records

    def __len__(self) -> int:
        return len(self._records)

    def editions(self, key: str) -> list[FlatFileRecord]:
        """Return all editions of a file, oldest first."""
        return sorted((r for r in self._records.values() if r.key == key), key=lambda r: r.copied_at)

    def current(self) -> dict[str, FlatFileRecord]:
        """Return the newest edition of each file, by key."""
        newest: dict[str, FlatFileRecord] = {}
        for record in sorted(self._records.values(), key=lambda r: r.copied_at):
            newest[record.key] = record
        return newest

    def add(self, record: FlatFileRecord) -> None:
        """Take in one record; `save` writes it."""
        self._records[record.key, record.etag] = record

    def save(self) -> None:
        """Write the manifest, joined with the records that another process has added since."""
        for identity, record in self._read().items():
            self._records.setdefault(identity, record)
        ordered = sorted(self._records.values(), key=lambda r: (r.key, r.copied_at))
        lines = [json.dumps(asdict(record), sort_keys=True) for record in ordered]
        self._storage.write(self.name, ("\n".join(lines) + "\n" if lines else "").encode())
