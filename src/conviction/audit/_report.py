"""The typed report that every audit returns."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any, Literal

Severity = Literal["error", "warning", "info"]
Verdict = Literal["pass", "fail"]
SCHEMA_VERSION = 1


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One thing that the audit found."""

    check: str
    severity: Severity
    columns: tuple[str, ...] = ()
    symbols: tuple[str, ...] = ()
    first_session: str | None = None
    evidence: dict[str, float | int | str | None] = field(default_factory=dict)
    explanation: str
    remedy: str


@dataclass(frozen=True, kw_only=True)
class CheckRun:
    """One check that was run (or could not be), with what it evaluated and how long it took."""

    name: str
    evaluated: int
    unit: str
    seconds: float
    skipped: str | None = None


@dataclass(frozen=True, kw_only=True)
class DatasetFacts:
    """What was audited."""

    fingerprint: str
    rows: int
    symbols: int
    first_session: str | None
    last_session: str | None
    columns: int
    name: str = ""


@dataclass(frozen=True, kw_only=True)
class AuditReport:
    """Verdict, dataset, checks and findings of one audit; `fail` when any finding is an error."""

    dataset: DatasetFacts
    checks: tuple[CheckRun, ...]
    findings: tuple[Finding, ...]
    quality: dict[str, Any] = field(default_factory=dict)
    schema_version: int = SCHEMA_VERSION

    @property
    def verdict(self) -> Verdict:
        """Return `fail` when any finding is an error, else `pass`."""
        return "fail" if any(finding.severity == "error" for finding in self.findings) else "pass"

    def to_dict(self) -> dict[str, Any]:
        """Return the report as plain data, the same as its JSON file."""
        plain = asdict(self)
        return {"schema_version": plain.pop("schema_version"), "verdict": self.verdict, **plain}
