"""The tracking UI after two runs, in headless Chromium: the list, one run, the two side by side."""

from __future__ import annotations

import json
import sys
from urllib.parse import quote

import pytest

pytestmark = [pytest.mark.browser, pytest.mark.slow]


@pytest.fixture
def two_runs(workspace):
    done = workspace.kedro("run", "--params=seed=7")
    assert done.returncode == 0, done.stderr
    return workspace


@pytest.fixture
def ui(two_runs, serve):
    store = f"sqlite:///{two_runs.root / 'mlflow.db'}"
    command = [sys.executable, "-m", "mlflow", "server", "--backend-store-uri", store, "--workers", "1"]
    return serve(command, health="/health", MLFLOW_DISABLE_TELEMETRY="true", DO_NOT_TRACK="true")


def test_two_runs_are_listed_described_and_compared(two_runs, ui, browser, tmp_path):
    runs = two_runs.runs()
    experiment = runs[0].info.experiment_id
    parents = [run for run in runs if "mlflow.parentRunId" not in run.data.tags]
    assert len(parents) == 2

    listed = browser(f"{ui}/#/experiments/{experiment}/runs")
    assert listed.count(parents[0].info.run_name) >= 2
    assert "embedded six" in listed, "the column Dataset is empty"

    one = browser(f"{ui}/#/experiments/{experiment}/runs/{parents[0].info.run_id}")
    assert "<strong>relative: " in one, "the description with its verdict does not show"
    assert f"{parents[0].data.metrics['auc_daily']:.4f} [" in one
    assert "relative | ensemble" in one

    chosen = quote(json.dumps([run.info.run_id for run in parents]))
    address = f"{ui}/#/compare-runs?runs={chosen}&experiments={quote(json.dumps([experiment]))}"
    compared = browser(address)
    assert "Comparing 2 Runs" in compared
    for name in ("auc_pooled", "auc_pooled_lo", "auc_daily", "auc_daily_t"):
        assert f">{name}<" in compared, f"{name} is not in the comparison"
    assert ">seed<" in compared, "the parameter that differs is not shown"

    picture = tmp_path / "compared.png"
    browser(address, picture=picture)
    assert picture.stat().st_size > 30_000, "the screenshot is blank"
