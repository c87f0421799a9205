"""What one copy of flat files did, and what it found missing."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from conviction.errors import ParameterError
from conviction_kedro.sources._errors import SourceError

if TYPE_CHECKING:
    from collections.abc import Collection
    from datetime import date

_PROBLEMS = ("failed", "missing", "replaced", "unexpected", "withdrawn")


@dataclass(kw_only=True)
class SyncReport:
    """Sessions of one folder of flat files, by what happened to them.

    Attributes
    ----------
    copied : list of date
        New in our place.
    adopted : list of date
        Already in our place from an interrupted copy, verified by checksum and taken into the manifest.
    restored : list of date
        In the manifest but gone or of another size in our place; copied again, the same edition.
    versioned : list of date
        Replaced by the vendor; the new edition was copied beside the old one.
    unchanged : list of date
    replaced : list of (date, str, str)
        Replaced by the vendor: session, our ETag, the vendor's ETag.
    missing : list of date
        Sessions of the calendar that the vendor does not have.
    pending : list of date
        The same, but so recent that the file may still come.
    withdrawn : list of date
        In our place, no longer at the vendor's.
    unexpected : list of str
        Keys at the vendor's that are no session of the calendar; not copied.
    failed : dict of date to str
        Why a file could not be copied.
    bytes_copied : int
    """

    folder: str
    first: date
    last: date
    copied: list[date] = field(default_factory=list)
    adopted: list[date] = field(default_factory=list)
    restored: list[date] = field(default_factory=list)
    versioned: list[date] = field(default_factory=list)
    unchanged: list[date] = field(default_factory=list)
    replaced: list[tuple[date, str, str]] = field(default_factory=list)
    missing: list[date] = field(default_factory=list)
    pending: list[date] = field(default_factory=list)
    withdrawn: list[date] = field(default_factory=list)
    unexpected: list[str] = field(default_factory=list)
    failed: dict[date, str] = field(default_factory=dict)
    bytes_copied: int = 0

    def note_absent(self, session: date, *, copied: bool, late: bool) -> None:
        """Take in a session that the vendor does not list."""
        (self.withdrawn if copied else self.missing if late else self.pending).append(session)

    def note_copied(
        self, session: date, outcome: Literal["copied", "adopted", "restored", "versioned"], size: int
    ) -> None:
        """Take in a file that is now in our place."""
        done: list[date] = getattr(self, outcome)
        done.append(session)
        done.sort()
        if outcome != "adopted":
            self.bytes_copied += size

    def problems(self) -> dict[str, int]:
        """Return how many sessions have each kind of problem; kinds without any are left out."""
        counts = {name: len(getattr(self, name)) for name in _PROBLEMS}
        # What was taken over by the caller's own choice is news, not a problem.
        counts["replaced"] = len({session for session, _, _ in self.replaced} - set(self.versioned))
        return {name: count for name, count in counts.items() if count}

    def summary(self) -> str:
        """Return one line for people."""
        quiet = {name: len(getattr(self, name)) for name in ("adopted", "restored", "versioned", "pending")}
        parts = [f"{len(self.copied)} copied ({self.bytes_copied / 1e6:.1f} MB)", f"{len(self.unchanged)} unchanged"]
        parts += [f"{count} {name}" for name, count in {**quiet, **self.problems()}.items() if count]
        return f"{self.folder} {self.first} to {self.last}: {', '.join(parts)}"

    def to_dict(self) -> dict[str, Any]:
        """Return plain data, ready for JSON."""
        plain: dict[str, Any] = {"folder": self.folder, "first": str(self.first), "last": str(self.last)}
        for name in ("copied", "adopted", "restored", "versioned", "unchanged", "missing", "pending", "withdrawn"):
            plain[name] = [day.isoformat() for day in getattr(self, name)]
        plain["replaced"] = [{"session": str(s), "ours": old, "vendor": new} for s, old, new in self.replaced]
        plain["unexpected"] = list(self.unexpected)
        plain["failed"] = {str(day): reason for day, reason in sorted(self.failed.items())}
        plain["bytes_copied"] = self.bytes_copied
        return plain

    def check(self, *, allow: Collection[str] = ()) -> SyncReport:
        """Return the report if it has no problem beyond those allowed.

        Parameters
        ----------
        allow : collection of str
            Names among ``failed, missing, replaced, unexpected, withdrawn`` that the caller has decided to live with.

        Raises
        ------
        SourceError
            Naming each kind of problem with its first sessions.
        ParameterError
            If a name in `allow` is no kind of problem.
        """
        for name in allow:
            if name not in _PROBLEMS:
                raise ParameterError.from_unknown_name(kind="problem of a copy", name=name, known=_PROBLEMS)
        found = [name for name in self.problems() if name not in allow]
        if not found:
            return self
        lines = []
        for name in found:
            items = sorted(self.failed.items()) if name == "failed" else getattr(self, name)
            shown = ", ".join(" ".join(map(str, i)) if isinstance(i, tuple) else str(i) for i in items[:3])
            lines.append(f"{len(items)} {name} ({shown}{', ...' if len(items) > 3 else ''})")
        raise SourceError(
            what=f"the copy of {self.folder} is not whole",
            got="; ".join(lines),
            allowed=f"no problem beyond {sorted(allow)}",
            fix="run the copy again, or allow these kinds by name; the sessions stay in the report",
        )
