"""The gate: only a passing audit of exactly these frames makes an audited panel, and only its certificate opens it again."""

from __future__ import annotations

import json
from dataclasses import replace

import polars as pl
import pytest

from conviction.audit import AuditedPanel, AuditReport, Certificate, Finding, certify
from conviction.errors import AuditError, AuditFailedError, CertificateError

from .conftest import Workspace


@pytest.fixture(scope="module")
def report(workspace: Workspace) -> AuditReport:
    return workspace.audit()


@pytest.fixture
def audited(workspace: Workspace, report: AuditReport) -> AuditedPanel:
    return certify(report, **workspace.frames, code_sha="abc")


def test_the_audited_panel_has_features_labels_and_moments(workspace: Workspace, audited: AuditedPanel):
    frame = audited.frame
    assert frame.columns[:2] == ["symbol", "session"]
    assert audited.features == ("ret_1d", "mean_20", "ewm", "rank")
    assert audited.targets == ("direction", "relative")
    assert audited.return_columns == ("target_1d",)
    assert set(frame.columns) == {
        "symbol",
        "session",
        *audited.features,
        *audited.targets,
        "target_1d",
        "t0",
        "t1",
        "decision_at",
    }
    assert frame.select("symbol", "session", *audited.features).equals(workspace.matrix)
    assert frame["direction"].equals(workspace.labels["direction"])
    assert frame["decision_at"].equals(workspace.panel["decision_at"])
    held = workspace.plan_frame.filter(pl.col("role") == "holdout")["session"]
    assert held.is_in(frame["session"].implode()).all()


def test_a_stored_panel_opens_with_its_certificate(workspace: Workspace, audited: AuditedPanel):
    plain = json.loads(json.dumps(audited.certificate.to_dict()))
    again = AuditedPanel.load(audited.frame, plain, plan_frame=workspace.plan_frame, code_sha="abc")
    assert again.certificate == audited.certificate
    assert again.frame.equals(audited.frame)


def test_nobody_makes_an_audited_panel_by_hand(audited: AuditedPanel):
    with pytest.raises(CertificateError, match="made by hand"):
        AuditedPanel(audited.frame, audited.certificate)


def test_one_changed_cell_closes_the_panel(workspace: Workspace, audited: AuditedPanel):
    changed = audited.frame.with_columns(
        pl.when(pl.int_range(pl.len()) == 9).then(0.5).otherwise(pl.col("ewm")).cast(pl.Float32).alias("ewm")
    )
    for frame in (changed, audited.frame.head(100), audited.frame.reverse(), audited.frame.rename({"ewm": "e"})):
        with pytest.raises(CertificateError, match="frame_sha"):
            AuditedPanel.load(frame, audited.certificate, plan_frame=workspace.plan_frame)


def test_another_plan_or_other_code_closes_the_panel(workspace: Workspace, audited: AuditedPanel):
    other = workspace.plan_frame.with_columns(role=pl.lit("train"))
    with pytest.raises(CertificateError, match="plan_sha"):
        AuditedPanel.load(audited.frame, audited.certificate, plan_frame=other)
    with pytest.raises(CertificateError, match="code_sha"):
        AuditedPanel.load(audited.frame, audited.certificate, plan_frame=workspace.plan_frame, code_sha="other")


@pytest.mark.parametrize("field", [name for name in Certificate.__dataclass_fields__ if name != "sha"])
def test_an_edited_certificate_is_void(audited: AuditedPanel, field: str):
    plain = audited.certificate.to_dict()
    plain[field] = ["x"] if isinstance(plain[field], list) else "pass " + plain[field]
    with pytest.raises(CertificateError, match="sha disagrees"):
        Certificate.from_dict(plain)


def test_a_signed_certificate_of_a_failed_or_older_audit_is_void(audited: AuditedPanel):
    for change in ({"verdict": "fail"}, {"audit_version": "0"}):
        forged = replace(audited.certificate, **change)
        forged = replace(forged, sha=forged.own_sha())
        with pytest.raises(CertificateError, match=next(iter(change))):
            forged.check()


def test_missing_and_unknown_keys_are_named(audited: AuditedPanel):
    plain = audited.certificate.to_dict()
    plain["extra"] = plain.pop("panel_sha")
    with pytest.raises(CertificateError, match=r"missing \['panel_sha'\], unknown \['extra'\]"):
        Certificate.from_dict(plain)


def test_a_failed_audit_raises_with_the_table_of_the_guilty(workspace: Workspace):
    leaky = workspace.with_planted(tomorrow=pl.col("close").shift(-1).over("symbol"))
    with pytest.raises(AuditFailedError, match="tomorrow") as caught:
        certify(leaky.audit(), **leaky.frames, code_sha="abc")
    assert "no negative shift" in str(caught.value)
    assert "truncation" in str(caught.value)


def test_a_report_of_other_data_certifies_nothing(workspace: Workspace, report: AuditReport):
    frames = workspace.frames | {"labels": workspace.labels.with_columns(target_1d=pl.col("target_1d") * 1.01)}
    with pytest.raises(CertificateError, match="report fingerprint"):
        certify(report, **frames, code_sha="abc")


def test_warnings_are_recorded_and_accepted_by_name(workspace: Workspace, report: AuditReport):
    warning = Finding(check="lead_lag", severity="warning", columns=("ewm",), explanation="odd.", remedy="prove it.")
    warned = replace(report, findings=(warning,))
    audited = certify(warned, **workspace.frames, code_sha="abc", accepted_warnings=["lead_lag:ewm"])
    assert audited.certificate.warnings == ("lead_lag:ewm",)
    assert audited.certificate.accepted_warnings == ("lead_lag:ewm",)
    with pytest.raises(AuditError, match="never raised"):
        certify(warned, **workspace.frames, code_sha="abc", accepted_warnings=["lead_lag:rank"])
