"""A score that no honest daily data give is quarantined, the run is tagged, and the audit is asked again."""

from __future__ import annotations

import json

import polars as pl
import pytest
import yaml

SMALL = {
    "folds": {"n_folds": 2, "min_train_sessions": 300, "holdout_sessions": 100},
    "modeling": {"targets": ["relative"], "models": ["logistic"], "tuning": {"n_trials": 2}},
    "evaluation": {"n_resamples": 200},
    "portfolio": {"n_quantiles": 3},
}


@pytest.mark.slow
def test_a_planted_auc_beyond_honesty_is_called_too_good_though_the_audit_passes(fresh_workspace):
    (fresh_workspace.root / "conf/local/parameters_test.yml").unlink()
    shipped = fresh_workspace.root / "conf/synthetic/parameters.yml"
    given = yaml.safe_load(shipped.read_text())
    shipped.unlink()
    fresh_workspace.configure({**given, **SMALL}, env="synthetic")
    planted = "synthetic.planted_auc=0.69,synthetic.n_sessions=800,synthetic.n_symbols=12"
    done = fresh_workspace.kedro("run", "--env=synthetic", f"--params={planted}")
    assert done.returncode == 0, done.stdout + done.stderr

    folder = fresh_workspace.root / "data/synthetic/08_reporting"
    scores = pl.read_parquet(folder / "scores.parquet")
    assert scores.filter(pl.col("model") == "ensemble")["verdict"].to_list() == ["implausible"]
    again = json.loads((folder / "second_audit.json").read_text())
    assert again["asked"]
    assert again["n_cuts"] == 12
    assert again["verdict"] == "pass"
    assert "VERDICT  Too good: look for a leak" in done.stdout
    assert "audit was asked again" in " ".join(done.stdout.split())
    assert "Too good: look for a leak" in (folder / "report.html").read_text()
    (candidate,) = json.loads((folder / "gate_facts.json").read_text())["candidates"]
    assert candidate["verdict"] == "implausible"
    (parent,) = [run for run in fresh_workspace.runs("synthetic") if "mlflow.parentRunId" not in run.data.tags]
    assert parent.data.tags["quarantined"] == "true"
    assert "relative | ensemble" in parent.data.tags["quarantine_reason"]
    assert parent.data.tags["second_audit_verdict"] == "pass"


def test_an_honest_run_is_not_quarantined_and_asks_nothing_again(finished):
    again = json.loads((finished.root / "data/08_reporting/second_audit.json").read_text())
    assert not again["asked"]
    (parent,) = [run for run in finished.runs() if "mlflow.parentRunId" not in run.data.tags]
    assert parent.data.tags["quarantined"] == "false"


def test_the_runs_of_the_scores_carry_money_overfitting_and_the_deflated_probability(finished):
    (run,) = [run for run in finished.runs() if run.data.tags.get("model") == "ensemble"]
    found = run.data.metrics
    for name in ("net_bps", "break_even_bps", "log_loss", "brier_skill", "active_bps"):
        assert found[f"{name}_lo"] <= found[name] <= found[f"{name}_hi"], name
    assert 0 <= found["deflated_prob"] <= 1
    assert 0 <= found["pbo"] <= 1
    assert found["trials_effective"] >= 1
    assert found["cost_bps"] == 5.0
