"""Two people, one tracking server with PostgreSQL behind it and artifacts on S3: real servers on this machine."""

from __future__ import annotations

import sys

import pytest

pytestmark = pytest.mark.slow


@pytest.fixture
def server(postgresql, s3_bucket, serve):
    bucket, credentials = s3_bucket
    keys = {
        "AWS_ACCESS_KEY_ID": credentials["key"],
        "AWS_SECRET_ACCESS_KEY": credentials["secret"],
        "AWS_DEFAULT_REGION": "us-east-1",
        "MLFLOW_S3_ENDPOINT_URL": credentials["client_kwargs"]["endpoint_url"],
        "MLFLOW_DISABLE_TELEMETRY": "true",
    }
    keys |= {"MLFLOW_BACKEND_STORE_URI": postgresql, "MLFLOW_ARTIFACTS_DESTINATION": f"{bucket}/artifacts"}
    command = [sys.executable, "-m", "mlflow", "server", "--workers", "1"]
    return serve(command, health="/health", **keys), bucket, credentials


def test_runs_of_two_people_stand_side_by_side(fresh_workspace, server, tmp_path):
    import boto3
    from mlflow.tracking import MlflowClient

    address, bucket, credentials = server
    for person, seed in (("ada", 1), ("grace", 2)):
        # Neither has the keys of the bucket or of the database: the server has them.
        done = fresh_workspace.kedro(
            "run", f"--params=seed={seed}", MLFLOW_TRACKING_URI=address, LOGNAME=person, USER=person
        )
        assert done.returncode == 0, done.stdout + done.stderr
    client = MlflowClient(address)
    experiment = client.get_experiment_by_name("research")
    parents = [
        run for run in client.search_runs([experiment.experiment_id]) if "mlflow.parentRunId" not in run.data.tags
    ]
    assert {run.data.tags["mlflow.user"] for run in parents} == {"ada", "grace"}
    assert {run.data.params["seed"] for run in parents} == {"1", "2"}
    assert len({run.data.tags["data_fingerprint"] for run in parents}) == 1
    assert all(run.data.metrics["auc_daily_lo"] < run.data.metrics["auc_daily"] for run in parents)
    s3 = boto3.client(
        "s3", aws_access_key_id=credentials["key"], aws_secret_access_key=credentials["secret"],
        **credentials["client_kwargs"],
    )  # fmt: skip
    keys = {entry["Key"] for entry in s3.list_objects_v2(Bucket=bucket.removeprefix("s3://"))["Contents"]}
    for run in parents:
        assert any(run.info.run_id in key and key.endswith("report.html") for key in keys)
    page = client.download_artifacts(parents[0].info.run_id, "report/report.html", str(tmp_path))
    assert page.endswith("report.html")
    assert not (fresh_workspace.root / "mlflow.db").exists(), "a store of its own was made beside the team's"
