"""Which jobs a killed run left, read from a real tracking store."""

from __future__ import annotations

import json

import pytest
import yaml

from conviction_kedro.sagemaker import SageMakerError
from conviction_kedro.sagemaker_commands import tracked_jobs
from conviction_kedro.tracking import open_store


def record(key, name):
    tags = json.dumps({"sagemaker_job": name, "kind": "tuning job"})
    return {
        "record_key": f"sagemaker/{key}",
        "parent_key": None,
        "name": key,
        "params": "{}",
        "metrics": "{}",
        "tags": tags,
    }


@pytest.fixture
def store(tmp_path, project_dir):
    config = yaml.safe_load((project_dir / "conf/base/tracking.yml").read_text())
    config["uri"] = "sqlite:///mlflow.db"
    return lambda: open_store(config, tmp_path, pipeline="modeling")


def test_the_newest_run_s_jobs_are_found_by_what_they_search(store):
    first = store()
    first.start(name="first", tags={}, params={})
    first.upsert_children([record("relative/xgboost/0", "old-job")])
    first.finish()
    second = store()
    second.start(name="second", tags={}, params={})
    second.upsert_children([record("relative/xgboost/0", "new-job"), record("relative/xgboost/1", "other-job")])
    # What was stepped down after the request keeps its place under its new name.
    second.upsert_children([record("relative/xgboost/0", "new-job-2")])
    client, experiment = second._client, second._experiment
    newest = tracked_jobs(client, [experiment], None)
    assert newest == {"relative/xgboost/0": "new-job-2", "relative/xgboost/1": "other-job"}
    assert tracked_jobs(client, [experiment], first.run_id) == {"relative/xgboost/0": "old-job"}
    with pytest.raises(SageMakerError, match="knows no tuning job of run nobody"):
        tracked_jobs(client, [experiment], "nobody")


def test_a_tracking_server_by_arn_without_its_plug_in_is_told(tmp_path, monkeypatch):
    from conviction.errors import MissingExtraError
    from conviction_kedro import tracking

    monkeypatch.setattr(tracking, "find_spec", lambda name: None)
    uri = "arn:aws:sagemaker:eu-west-1:123456789012:mlflow-tracking-server/team"
    with pytest.raises(MissingExtraError, match="setup-sagemaker"):
        tracking.open_client({"uri": uri}, tmp_path)
