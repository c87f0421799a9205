"""The typed report that every audit returns, and its plain-data form."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any, Literal, TypeVar, get_args

from conviction.errors import AuditError

Severity = Literal["error", "warning", "info"]
Verdict = Literal["pass", "fail"]
SCHEMA_VERSION = 1
_T = TypeVar("_T")
SEVERITIES: tuple[str, ...] = get_args(Severity)


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One thing that the audit found.

    Parameters
    ----------
    check : str
        Name of the check that found it.
    severity : {"error", "warning", "info"}
        `error`: proved by recomputation, or an association that no honest daily feature has; `warning`: prove its
        provenance; `info`: worth knowing, accuses nobody.
    columns, symbols : tuple of str
        What is guilty; empty when it concerns the dataset as a whole.
    first_session : str or None
        First offending session, ISO date.
    evidence : dict
        Numbers and short texts behind the finding.
    explanation, remedy : str
        One or two sentences each: what was seen, and what to do.

    Examples
    --------
    >>> Finding(check="truncation", severity="error", columns=("x",), explanation="x changes.", remedy="Shift it.").columns
    ('x',)
    """

    check: str
    severity: Severity
    columns: tuple[str, ...] = ()
    symbols: tuple[str, ...] = ()
    first_session: str | None = None
    evidence: dict[str, float | int | str | None] = field(default_factory=dict)
    explanation: str
    remedy: str

    def __post_init__(self) -> None:
        if self.severity not in SEVERITIES:
            raise AuditError(
                what="a finding has an unknown severity",
                got=repr(self.severity),
                allowed=", ".join(SEVERITIES),
                fix="use one of them",
            )


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
class LeadLagProfile:
    """Association of one column with the return of the session `lag` sessions away.

    Parameters
    ----------
    column : str
        The audited column.
    lags : tuple of int
        Sessions from the column's own session to the return's: 1 is the next session's return, 0 the same session's.
    values : tuple of float
        Mean over sessions of the association (a correlation); NaN where undefined.
    band : tuple of float
        Half-width around 0 inside which a value is noise, simultaneous over lags and columns, clustered by session.
    measure : str
        What the association is.
    """

    column: str
    lags: tuple[int, ...]
    values: tuple[float, ...]
    band: tuple[float, ...]
    measure: str = "mean daily rank correlation"

    def __post_init__(self) -> None:
        if not len(self.lags) == len(self.values) == len(self.band):
            raise AuditError(
                what=f"the lead-lag profile of {self.column!r} has unequal lengths",
                got=f"{len(self.lags)} lags, {len(self.values)} values, {len(self.band)} band widths",
                allowed="one value and one band width a lag",
                fix="build the three tuples from one loop over the lags",
            )


@dataclass(frozen=True, kw_only=True)
class AuditReport:
    """Verdict, dataset, checks, findings and lead-lag profiles of one audit.

    Parameters
    ----------
    dataset : DatasetFacts
        What was audited, with its fingerprint.
    checks : tuple of CheckRun
        Every check, also those that could not run, with the reason.
    findings : tuple of Finding
        Worst first by convention of the tables, in the order of the checks here.
    quality : dict
        Quality summary (plain data).
    profiles : tuple of LeadLagProfile
        Lead-lag profiles that the HTML section draws.
    schema_version : int
        Version of the JSON form.

    Examples
    --------
    >>> facts = DatasetFacts(fingerprint="ab", rows=2, symbols=1, first_session=None, last_session=None, columns=1)
    >>> report = AuditReport(dataset=facts, checks=(), findings=())
    >>> report.verdict
    'pass'
    >>> AuditReport.from_dict(report.to_dict()) == report
    True
    """

    dataset: DatasetFacts
    checks: tuple[CheckRun, ...]
    findings: tuple[Finding, ...]
    quality: dict[str, Any] = field(default_factory=dict)
    profiles: tuple[LeadLagProfile, ...] = ()
    schema_version: int = SCHEMA_VERSION

    @property
    def verdict(self) -> Verdict:
        """Return `fail` when any finding is an error, else `pass`."""
        return "fail" if self.errors else "pass"

    @property
    def errors(self) -> tuple[Finding, ...]:
        """Return the findings that fail the audit."""
        return tuple(finding for finding in self.findings if finding.severity == "error")

    @property
    def warnings(self) -> tuple[Finding, ...]:
        """Return the findings that ask for a proof of provenance."""
        return tuple(finding for finding in self.findings if finding.severity == "warning")

    @property
    def guilty_columns(self) -> tuple[str, ...]:
        """Return the columns named by any error, sorted."""
        return tuple(sorted({column for finding in self.errors for column in finding.columns}))

    def to_dict(self) -> dict[str, Any]:
        """Return the report as plain data, the same as its JSON file; NaN and infinities become None."""
        plain = asdict(self)
        return _plain({"schema_version": plain.pop("schema_version"), "verdict": self.verdict, **plain})  # type: ignore[no-any-return]

    def to_json(self, *, indent: int | None = 2) -> str:
        """Return the report as strict JSON text (no NaN)."""
        return json.dumps(self.to_dict(), indent=indent, allow_nan=False)

    @classmethod
    def from_dict(cls, plain: Mapping[str, Any]) -> AuditReport:
        """Build the report from its plain-data form and check it.

        Parameters
        ----------
        plain : mapping
            What `to_dict` gave, or the parsed JSON file.

        Returns
        -------
        AuditReport
            The report.

        Raises
        ------
        AuditError
            On another schema version, unknown or missing keys, or a verdict that the findings contradict.
        """
        given = dict(plain)
        version = given.pop("schema_version", None)
        if version != SCHEMA_VERSION:
            raise AuditError(
                what="an audit report has another schema version",
                got=version,
                allowed=SCHEMA_VERSION,
                fix="run the audit again with this version of the library",
            )
        verdict = given.pop("verdict", None)
        _check_keys("audit report", given, cls, optional={"quality", "profiles", "schema_version"})
        report = cls(
            dataset=_build(DatasetFacts, given["dataset"]),
            checks=tuple(_build(CheckRun, item) for item in given["checks"]),
            findings=tuple(_build(Finding, item) for item in given["findings"]),
            quality=dict(given.get("quality", {})),
            profiles=tuple(_build(LeadLagProfile, item) for item in given.get("profiles", ())),
        )
        if report.verdict != verdict:
            raise AuditError(
                what="the verdict of an audit report contradicts its findings",
                got=repr(verdict),
                allowed=repr(report.verdict),
                fix="do not edit reports; run the audit again",
            )
        return report

    def merge(self, *others: AuditReport) -> AuditReport:
        """Return one report of this audit and `others`.

        The dataset stays this report's; the facts of the others are kept under ``quality["merged"]``. Other quality
        keys of the later reports win.
        """
        quality = dict(self.quality)
        for other in others:
            quality.update({key: value for key, value in other.quality.items() if key != "merged"})
        merged = [*self.quality.get("merged", ())]
        for other in others:
            merged += [asdict(other.dataset), *other.quality.get("merged", ())]
        if merged:
            quality["merged"] = merged
        reports = (self, *others)
        return replace(
            self,
            checks=tuple(check for report in reports for check in report.checks),
            findings=tuple(finding for report in reports for finding in report.findings),
            profiles=tuple(profile for report in reports for profile in report.profiles),
            quality=quality,
        )

    def to_table(self, *, width: int = 120) -> str:
        """Return the readable console table: plain text, no line longer than `width` characters."""
        from conviction.audit._render import render_table

        return render_table(self, width=width)

    def to_html(self) -> str:
        """Return one self-contained HTML ``<section>``: verdict, findings, checks and lead-lag plots (inline SVG)."""
        from conviction.audit._render import render_html

        return render_html(self)


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [_plain(item) for item in value]
    if isinstance(value, (bool, str, int)) or value is None:
        return value
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else None
    if hasattr(value, "item"):  # numpy scalars are not JSON
        return _plain(value.item())
    return str(value)


def _check_keys(name: str, given: Mapping[str, Any], cls: type, *, optional: set[str] | None = None) -> None:
    names = {item.name for item in fields(cls)}
    missing = sorted(names - set(given) - (optional or set()))
    unknown = sorted(set(given) - names)
    if missing or unknown:
        raise AuditError(
            what=f"the keys of an {name} are wrong",
            got=f"missing {missing}, unknown {unknown}",
            allowed=", ".join(sorted(names)),
            fix="read what AuditReport.to_dict wrote",
        )


_OPTIONAL = {
    Finding: {"columns", "symbols", "first_session", "evidence"},
    CheckRun: {"skipped"},
    DatasetFacts: {"name"},
    LeadLagProfile: {"measure"},
}


def _build(cls: type[_T], given: Mapping[str, Any]) -> _T:
    _check_keys(cls.__name__, given, cls, optional=_OPTIONAL[cls])
    arguments: dict[str, Any] = {}
    for key, value in given.items():
        if isinstance(value, list):
            arguments[key] = tuple(math.nan if item is None else item for item in value)
        else:
            arguments[key] = value
    return cls(**arguments)
