"""A leak planted in a feature family stops `kedro run`, names the column, and leaves no certificate to train on."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

import conviction

NEXT = "np.append(x[1:], np.nan)"
PLANTED = {
    # The label itself: the next session's return in the place of this session's.
    "ret_1d": ("returns", "lambda rows: (lambda x: {next} / x - 1)(rows['close'])"),
    # An honest feature, one session early.
    "vol_20": ("volatility", "lambda rows: (lambda x: {next})(definition.formula(rows))"),
}
PATCH = """

_honest = define


def define(parameters):
    \"\"\"Define the family with one leaking column.\"\"\"
    import numpy as np

    def leaking(definition):
        return {formula}

    return [
        Definition(definition.feature, leaking(definition)) if definition.feature.name == {column!r} else definition
        for definition in _honest(parameters)
    ]


FAMILY = Family({family!r}, "symbol", define)
"""


def plant(workspace, column: str) -> None:
    """Give the workspace its own copy of the library, with a leak in one family."""
    family, formula = PLANTED[column]
    copy = workspace.root / "src" / "conviction"
    shutil.copytree(Path(conviction.__file__).parent, copy, ignore=shutil.ignore_patterns("__pycache__"))
    file = copy / "features" / "families" / f"{family}.py"
    patch = PATCH.format(formula=formula.format(next=NEXT), column=column, family=family)
    file.write_text(file.read_text() + patch)


@pytest.mark.parametrize("column", sorted(PLANTED))
def test_a_leak_stops_the_run_and_is_named(workspace, column):
    panel = workspace.root / "data/05_model_input/audited_panel.parquet"
    predictions = workspace.bytes_of("07_model_output/*.parquet")
    certified = panel.read_bytes()
    plant(workspace, column)

    done = workspace.kedro("run", PYTHONPATH=str(workspace.root / "src"))

    assert done.returncode == 1, done.stdout + done.stderr
    assert "AuditFailedError" in done.stderr
    assert column in done.stderr
    assert "tuning" not in done.stdout, "something was trained"
    report = json.loads((workspace.root / "data/08_reporting/audit_report.json").read_text())
    guilty = {name for finding in report["findings"] if finding["severity"] == "error" for name in finding["columns"]}
    assert report["verdict"] == "fail"
    assert column in guilty
    assert panel.read_bytes() == certified
    assert workspace.bytes_of("07_model_output/*.parquet") == predictions

    failed = max(
        (run for run in workspace.runs() if "mlflow.parentRunId" not in run.data.tags),
        key=lambda run: run.info.start_time,
    )
    assert failed.info.status == "FAILED"
    assert failed.data.tags["audit_verdict"] == "fail"
    assert column in failed.data.tags["error"]

    refused = workspace.kedro("run", "--pipeline=modeling", PYTHONPATH=str(workspace.root / "src"))
    assert refused.returncode == 1, "the earlier certificate still opened the gate"


def test_the_certificate_itself_is_void_after_a_failed_audit(workspace):
    """Without the check of keys: the gate is in the data."""
    from conviction_kedro.datasets import AuditedPanelSnapshot, AuditReportSnapshot

    data = workspace.root / "data"
    paths = {
        "audit_report": f"{data}/08_reporting/audit_report.json",
        "feature_matrix": f"{data}/04_feature/feature_matrix.parquet",
        "labels": f"{data}/04_feature/labels.parquet",
        "fold_plan": f"{data}/05_model_input/fold_plan.parquet",
    }
    gate = AuditedPanelSnapshot(filepath=f"{data}/05_model_input/audited_panel.parquet", vouched=paths)
    assert gate.load().certificate.verdict == "pass"

    report = AuditReportSnapshot(filepath=paths["audit_report"])
    plain = report.load().to_dict()
    guilty = {
        "check": "truncation",
        "severity": "error",
        "columns": ["ret_1d"],
        "symbols": [],
        "first_session": None,
        "evidence": {},
        "explanation": "planted",
        "remedy": "none",
    }
    plain["findings"] = [guilty]
    plain["verdict"] = "fail"
    report.save(type(report.load()).from_dict(plain))
    with pytest.raises(Exception, match=r"certificate of the audited panel is void.*newest audit report fails"):
        gate.load()
