"""The gate: a passing audit makes a certificate, and only a certificate makes an audited panel."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from typing import Any, Final, Self

import polars as pl

from conviction.audit._render import render_findings
from conviction.audit._report import AuditReport
from conviction.errors import AuditError, AuditFailedError, CertificateError
from conviction.frames import check_columns, check_panel, fingerprint, key_of

AUDIT_VERSION: Final = "1"
SPAN_COLUMNS: Final = ("t0", "t1", "decision_at")
_RETURN = re.compile(r"^target_\d+(d|min)$")
_TOKEN: Final = object()


def workspace_fingerprint(
    *, panel: pl.DataFrame, matrix: pl.DataFrame, labels: pl.DataFrame, plan_frame: pl.DataFrame
) -> str:
    """Return the SHA-256 that binds an audit to its four frames.

    Parameters
    ----------
    panel, matrix, labels, plan_frame : polars.DataFrame
        The frames as audited; any changed value, dtype, column name or row order changes the result.

    Returns
    -------
    str
        64 hexadecimal digits.

    Examples
    --------
    >>> frame = pl.DataFrame({"a": [1]})
    >>> len(workspace_fingerprint(panel=frame, matrix=frame, labels=frame, plan_frame=frame))
    64
    """
    parts = [fingerprint(frame) for frame in (panel, matrix, labels, plan_frame)]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


@dataclass(frozen=True, kw_only=True)
class Certificate:
    """What a passing audit vouches for; bound to the data by content hashes and to itself by `sha`.

    Parameters
    ----------
    panel_sha, matrix_sha, labels_sha, plan_sha, frame_sha : str
        `conviction.frames.fingerprint` of the point-in-time panel, the feature matrix, the labels, the fold plan and
        the audited frame.
    code_sha : str
        Identity of the feature code that was audited, as the caller measures it.
    audit_version : str
        Version of the audit's rules.
    verdict : str
        Always ``"pass"`` on a certificate that loads.
    warnings, accepted_warnings : tuple of str
        All warnings of the audit as ``check:column,column``, and those that somebody accepted by name.
    features, targets : tuple of str
        Column names of the audited frame.
    sha : str
        SHA-256 over all other fields; empty only while the certificate is being made.
    """

    panel_sha: str
    matrix_sha: str
    labels_sha: str
    plan_sha: str
    frame_sha: str
    code_sha: str
    audit_version: str
    verdict: str
    warnings: tuple[str, ...]
    accepted_warnings: tuple[str, ...]
    features: tuple[str, ...]
    targets: tuple[str, ...]
    sha: str = ""

    def own_sha(self) -> str:
        """Return the SHA-256 over every field but `sha`."""
        plain = asdict(self)
        del plain["sha"]
        return hashlib.sha256(json.dumps(plain, sort_keys=True).encode()).hexdigest()

    def to_dict(self) -> dict[str, Any]:
        """Return the certificate as plain data."""
        return {key: list(value) if isinstance(value, tuple) else value for key, value in asdict(self).items()}

    @classmethod
    def from_dict(cls, plain: Mapping[str, Any]) -> Self:
        """Build the certificate from plain data and check its own hash.

        Raises
        ------
        CertificateError
            On missing or unknown keys, or when any field was changed after it was signed.
        """
        names = {item.name for item in fields(cls)}
        if set(plain) != names:
            raise CertificateError(
                what="the keys of a certificate are wrong",
                got=f"missing {sorted(names - set(plain))}, unknown {sorted(set(plain) - names)}",
                allowed=", ".join(sorted(names)),
                fix="run `kedro run --pipeline=leakage_audit` again",
            )
        arguments: dict[str, Any] = {
            key: tuple(value) if isinstance(value, list) else value for key, value in plain.items()
        }
        certificate = cls(**arguments)
        certificate.check()
        return certificate

    def check(self) -> None:
        """Raise a CertificateError unless the certificate is whole, passing and of this audit version."""
        if self.sha != self.own_sha():
            raise _disagrees(field="sha", got=self.sha, allowed=self.own_sha())
        if self.verdict != "pass":
            raise _disagrees(field="verdict", got=self.verdict, allowed="pass")
        if self.audit_version != AUDIT_VERSION:
            raise _disagrees(field="audit_version", got=self.audit_version, allowed=AUDIT_VERSION)


def _disagrees(*, field: str, got: object, allowed: object) -> CertificateError:
    return CertificateError(
        what=f"the certificate's {field} disagrees with what it should vouch for",
        got=got,
        allowed=allowed,
        fix="run the leakage audit again on the present data: `kedro run --pipeline=leakage_audit`",
    )


class AuditedPanel:
    """Key, features and labels of a panel that passed the audit, with the certificate that says so.

    Only `certify` and `AuditedPanel.load` make one. The hold-out's sessions are inside the frame; which they are, the
    fold plan says.

    Attributes
    ----------
    frame : polars.DataFrame
        ``symbol, session``, features (Float32, known at `decision_at`), ``target_{h}d`` (Float64), ``direction``,
        ``relative`` (Int8), ``t0, t1, decision_at`` (UTC moments), sorted and unique by symbol and session.
    features : tuple of str
        Feature columns.
    targets : tuple of str
        Label columns a model may be trained on (``direction``, ``relative``).
    return_columns : tuple of str
        The ``target_{h}d`` columns: forward returns behind the labels.
    certificate : Certificate
        What the audit vouches for.

    Raises
    ------
    CertificateError
        When constructed by hand.
    """

    def __init__(self, frame: pl.DataFrame, certificate: Certificate, *, token: object = None) -> None:
        if token is not _TOKEN:
            raise CertificateError(
                what="an AuditedPanel was made by hand",
                got="a call of its constructor",
                allowed="conviction.audit.certify, or AuditedPanel.load with a valid certificate",
                fix="run the audit and certify its passing report",
            )
        self._frame = frame
        self._certificate = certificate

    @property
    def frame(self) -> pl.DataFrame:
        """Return key, features and labels, sorted by symbol and session."""
        return self._frame

    @property
    def features(self) -> tuple[str, ...]:
        """Return the feature columns."""
        return self._certificate.features

    @property
    def targets(self) -> tuple[str, ...]:
        """Return the label columns that a model may learn."""
        return self._certificate.targets

    @property
    def return_columns(self) -> tuple[str, ...]:
        """Return the forward-return columns behind the labels."""
        return tuple(column for column in self._frame.columns if _RETURN.match(column))

    @property
    def certificate(self) -> Certificate:
        """Return the certificate."""
        return self._certificate

    def __repr__(self) -> str:
        rows, features = self._frame.height, len(self.features)
        return (
            f"AuditedPanel({rows} rows, {features} features, targets={self.targets}, sha={self._certificate.sha[:12]})"
        )

    @classmethod
    def load(
        cls,
        frame: pl.DataFrame,
        certificate: Certificate | Mapping[str, Any],
        *,
        plan_frame: pl.DataFrame,
        code_sha: str | None = None,
    ) -> Self:
        """Verify a stored frame against its certificate and return the audited panel.

        Parameters
        ----------
        frame : polars.DataFrame
            The stored frame of an audited panel.
        certificate : Certificate or mapping
            The stored certificate.
        plan_frame : polars.DataFrame
            The fold plan (``fold, session, role``) that is about to be used.
        code_sha : str or None
            Identity of the present feature code; None skips this comparison (the data hashes still bind).

        Returns
        -------
        AuditedPanel
            The verified panel.

        Raises
        ------
        CertificateError
            When any hash, the verdict or the audit version disagrees.
        """
        if not isinstance(certificate, Certificate):
            certificate = Certificate.from_dict(certificate)
        certificate.check()
        if fingerprint(frame) != certificate.frame_sha:
            raise _disagrees(field="frame_sha", got=fingerprint(frame), allowed=certificate.frame_sha)
        if fingerprint(plan_frame) != certificate.plan_sha:
            raise _disagrees(field="plan_sha", got=fingerprint(plan_frame), allowed=certificate.plan_sha)
        if code_sha is not None and code_sha != certificate.code_sha:
            raise _disagrees(field="code_sha", got=code_sha, allowed=certificate.code_sha)
        return cls(frame, certificate, token=_TOKEN)


def certify(
    report: AuditReport,
    *,
    panel: pl.DataFrame,
    matrix: pl.DataFrame,
    labels: pl.DataFrame,
    plan_frame: pl.DataFrame,
    code_sha: str,
    accepted_warnings: Sequence[str] = (),
) -> AuditedPanel:
    """Turn a passing audit of exactly these frames into an audited panel.

    Parameters
    ----------
    report : AuditReport
        What `audit_workspace` returned for these frames.
    panel, matrix, labels, plan_frame : polars.DataFrame
        Point-in-time panel, feature matrix, labels and fold plan, as audited.
    code_sha : str
        Identity of the feature code.
    accepted_warnings : sequence of str
        Warnings that somebody accepted, each as ``check`` or ``check:column``; recorded on the certificate.

    Returns
    -------
    AuditedPanel
        Key, features and labels with their certificate.

    Raises
    ------
    AuditFailedError
        When the report has an error; the message ends with the table of guilty columns and remedies.
    CertificateError
        When the report belongs to other data.
    AuditError
        When an accepted warning was never raised.
    """
    if report.verdict != "pass":
        guilty = report.guilty_columns
        table = "\n".join(render_findings(report.errors, width=120))
        raise AuditFailedError(
            what="the leakage audit failed",
            got=f"{len(report.errors)} errors in {len(guilty)} columns {list(guilty)}",
            allowed="a report without errors",
            fix=f"apply the remedies and run the audit again:\n{table}\n",
        )
    bound = workspace_fingerprint(panel=panel, matrix=matrix, labels=labels, plan_frame=plan_frame)
    if report.dataset.fingerprint != bound:
        raise _disagrees(field="report fingerprint", got=report.dataset.fingerprint, allowed=bound)
    warnings = tuple(f"{finding.check}:{','.join(finding.columns)}" for finding in report.warnings)
    _check_accepted(accepted_warnings, report)
    frame = _audited_frame(panel, matrix, labels)
    unsigned = Certificate(
        panel_sha=fingerprint(panel),
        matrix_sha=fingerprint(matrix),
        labels_sha=fingerprint(labels),
        plan_sha=fingerprint(plan_frame),
        frame_sha=fingerprint(frame),
        code_sha=code_sha,
        audit_version=AUDIT_VERSION,
        verdict=report.verdict,
        warnings=warnings,
        accepted_warnings=tuple(sorted(accepted_warnings)),
        features=tuple(column for column in matrix.columns if column not in key_of(matrix)),
        targets=tuple(column for column in labels.columns if labels.schema[column] == pl.Int8),
    )
    return AuditedPanel(frame, replace(unsigned, sha=unsigned.own_sha()), token=_TOKEN)


def _check_accepted(accepted: Sequence[str], report: AuditReport) -> None:
    raised = {finding.check for finding in report.warnings}
    raised |= {f"{finding.check}:{column}" for finding in report.warnings for column in finding.columns}
    never = sorted(set(accepted) - raised)
    if never:
        raise AuditError(
            what="accepted warnings that the audit never raised",
            got=never,
            allowed=", ".join(sorted(raised)) or "none: the audit raised no warning",
            fix="remove them, so that a warning raised later is not accepted unseen",
        )


def _audited_frame(panel: pl.DataFrame, matrix: pl.DataFrame, labels: pl.DataFrame) -> pl.DataFrame:
    check_panel(matrix, name="feature matrix")
    check_panel(labels, name="labels", required=("t0", "t1"))
    key = list(key_of(panel))
    check_columns(panel, [*key, "decision_at"], name="panel")
    clash = sorted(set(matrix.columns) & set(labels.columns) - set(key))
    if clash:
        raise CertificateError(
            what="feature columns have the names of label columns",
            got=clash,
            allowed="disjoint names",
            fix="rename or drop those features",
        )
    wanted = [c for c in labels.columns if _RETURN.match(c) or labels.schema[c] == pl.Int8]
    frame = matrix.join(labels.select(*key, *wanted, "t0", "t1"), on=key, how="left", maintain_order="left")
    frame = frame.join(panel.select(*key, "decision_at"), on=key, how="left", maintain_order="left")
    return frame.select(*key, pl.exclude(key)).sort(key)
