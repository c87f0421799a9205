"""Delegated tuning through the command line, against the stand-in on this machine."""

from __future__ import annotations

import json
from pathlib import Path

import polars as pl
import pytest
import yaml

SMALL = yaml.safe_load((Path(__file__).parent / "small.yml").read_text())
pytestmark = pytest.mark.slow
LOCAL = {
    **SMALL,
    "modeling": {"targets": ["relative"], "models": ["xgboost", "lightgbm"], "tuning": {"n_trials": 2}},
}


def configure(workspace, env, sagemaker):
    """Replace the parameters of an environment by those of a run of seconds."""
    path = workspace.root / "conf" / env / "parameters.yml"
    shipped = yaml.safe_load(path.read_text())
    own = {**LOCAL, "engine": shipped["engine"], "sagemaker": {**shipped.get("sagemaker", {}), **sagemaker}}
    path.write_text(yaml.safe_dump(own))


@pytest.fixture
def delegated(fresh_workspace):
    """A workspace whose data are audited, with few trials for the stand-in."""
    configure(fresh_workspace, "sagemaker-local", {"poll_seconds": 0.2})
    role = "arn:aws:iam::123456789012:role/training"
    configure(fresh_workspace, "sagemaker", {"bucket": "team-bucket", "role_arn": role})
    done = fresh_workspace.kedro("run", "--pipelines=data_engineering,leakage_audit", "--env=sagemaker-local")
    assert done.returncode == 0, done.stderr[-3000:]
    return fresh_workspace


def load(workspace, name):
    return json.loads((workspace.root / "data" / name).read_text())


def test_a_dry_run_writes_requests_checks_and_cost_and_calls_nothing(delegated):
    # Credentials that nobody has and an endpoint where nobody answers: a call would fail.
    nobody = {"AWS_ENDPOINT_URL": "http://127.0.0.1:9", "AWS_ACCESS_KEY_ID": "x", "AWS_SECRET_ACCESS_KEY": "x"}
    done = delegated.kedro("run", "--pipeline=modeling", "--env=sagemaker", "--dry-run", **nobody)
    assert done.returncode == 0, done.stderr[-3000:]
    plan = load(delegated, "06_models/tuning_request.json")
    assert len(plan["jobs"]) == 1 * 2 * 2, "targets x models x folds"
    assert plan["checks"]["errors"] == 0
    assert plan["checks"]["instance_hours"] > 0
    assert "instance-hours" in done.stdout
    assert not (delegated.root / "data/06_models/tuning_jobs.json").exists()
    names = {run.data.tags.get("sagemaker_job") for run in delegated.runs()} - {None}
    assert names == {job["request"]["HyperParameterTuningJobName"] for job in plan["jobs"]}, "tracked before any launch"

    configure(delegated, "sagemaker", {"role_arn": ""})
    told = delegated.kedro("run", "--pipeline=modeling", "--env=sagemaker", "--dry-run", **nobody)
    assert "ERROR" in told.stdout
    assert "set sagemaker.role_arn or SAGEMAKER_ROLE_ARN" in told.stdout
    launched = delegated.kedro("run", "--pipeline=modeling", "--env=sagemaker", **nobody)
    assert launched.returncode == 1
    assert "nothing was launched" in launched.stderr
    refused = delegated.kedro("run", "--pipeline=modeling", "--dry-run")
    assert refused.returncode == 1
    assert "engine=local" in refused.stderr


def test_a_delegated_run_goes_on_as_if_it_had_searched_here(delegated):
    done = delegated.kedro("run", "--pipelines=modeling,ensembling,reporting", "--env=sagemaker-local")
    assert done.returncode == 0, (done.stdout + done.stderr)[-4000:]
    assert "ALL TRIALS OF THE DELEGATED SEARCHES" in done.stdout
    best = load(delegated, "06_models/best_parameters.json")
    assert sorted(best) == ["relative/lightgbm", "relative/xgboost"]
    assert sorted(best["relative/xgboost"]) == ["0", "1"]
    trials = pl.read_parquet(delegated.root / "data/06_models/trials.parquet")
    ledger = pl.read_parquet(delegated.root / "data/06_models/ledger.parquet")
    assert trials.height == ledger.height == 2 * 2 * 2, "configured and delegated, two folds, two models"
    oof = pl.read_parquet(delegated.root / "data/07_model_output/oof.parquet")
    assert {"xgboost", "lightgbm"} <= set(oof["model"])
    runs = delegated.runs()
    jobs = [run for run in runs if run.data.tags.get("kind") == "tuning job"]
    assert len(jobs) == 4
    assert {run.data.tags["sagemaker_status"] for run in jobs} == {"Completed"}
    by_id = {run.info.run_id for run in jobs}
    delegated_trials = [run for run in runs if "sagemaker_training_job" in run.data.tags]
    assert len(delegated_trials) == 4
    assert {run.data.tags["mlflow.parentRunId"] for run in delegated_trials} <= by_id
    assert all("trial_auc" in run.data.metrics for run in delegated_trials)


def test_the_reason_of_a_failed_trial_reaches_the_tracking_store(delegated):
    faults = json.dumps({"crashing": [0, 1, 2]})
    failed = delegated.kedro("run", "--pipeline=modeling", "--env=sagemaker-local", CONVICTION_STAND_IN_FAULTS=faults)
    assert failed.returncode == 1
    assert "the data hold no fold -99" in failed.stderr
    parent = next(run for run in delegated.runs() if run.data.tags.get("kind") == "command")
    assert parent.info.status == "FAILED"
    assert "the data hold no fold -99" in parent.data.tags["error"]


def test_the_bundle_is_written_and_a_job_that_nobody_knows_is_told(delegated):
    done = delegated.kedro(
        "sagemaker",
        "bundle",
        "--env=sagemaker-local",
        "--target=relative",
        "--fold=1",
        f"--to={delegated.root / 'out'}",
    )
    assert done.returncode == 0, done.stderr[-3000:]
    metadata = json.loads((delegated.root / "out/feature_metadata.json").read_text())
    first = (delegated.root / "out/train.csv").read_text().splitlines()[0].split(",")
    assert len(first) == len(metadata["columns"])
    assert first[0] in ("0", "1"), "the target comes first and there is no header"
    told = delegated.kedro("sagemaker", "watch", "--env=sagemaker-local", "--job=never-was")
    assert told.returncode == 1
    assert "no job named never-was" in told.stderr
    none = delegated.kedro("sagemaker", "stop", "--env=sagemaker-local")
    assert none.returncode == 1
    assert "the tracking store knows no tuning job" in none.stderr
