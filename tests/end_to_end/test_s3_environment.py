"""The whole main job with its data on S3: read by version, pinned, resumed, and nothing left on the disk."""

from __future__ import annotations

import io
import json

import boto3
import polars as pl
import pytest
import yaml
from moto.server import ThreadedMotoServer

pytestmark = pytest.mark.slow

PARAMETERS = {
    "source": "long_table",
    "universe": "six",
    "universes": {"six": ["AAPL", "JPM", "KO", "MSFT", "PG", "XOM"]},
    "data": {"first_session": None},
    "folds": {"n_folds": 2, "min_train_sessions": 400, "holdout_sessions": 120},
    "modeling": {"targets": ["relative"], "models": ["logistic", "lightgbm"], "tuning": {"n_trials": 2}},
    "evaluation": {"n_resamples": 200},
}


@pytest.fixture
def bucket():
    """Return settings of the shell and a client for a versioned bucket on this machine."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    endpoint = f"http://{host}:{port}"
    client = boto3.Session("testing", "testing").client("s3", endpoint_url=endpoint, region_name="us-east-1")
    client.create_bucket(Bucket="team")
    client.put_bucket_versioning(Bucket="team", VersioningConfiguration={"Status": "Enabled"})
    shell = {
        "AWS_ENDPOINT_URL": endpoint,
        "AWS_ACCESS_KEY_ID": "testing",
        "AWS_SECRET_ACCESS_KEY": "testing",
        "AWS_DEFAULT_REGION": "us-east-1",
        "CONVICTION_S3_BUCKET": "team",
    }
    yield shell, client
    client.close()
    server.stop()


def put(client, frame):
    buffer = io.BytesIO()
    frame.write_parquet(buffer)
    return client.put_object(Bucket="team", Key="conviction/01_raw/bars.parquet", Body=buffer.getvalue())["VersionId"]


def test_the_main_job_runs_on_s3_with_a_pinned_version(fresh_workspace, bucket, embedded_bars):
    workspace, (shell, client) = fresh_workspace, bucket
    (workspace.root / "conf/s3/parameters.yml").write_text(yaml.safe_dump(PARAMETERS))
    bars = embedded_bars.filter(
        (pl.col("session") >= pl.date(2018, 1, 2)) & pl.col("symbol").is_in(PARAMETERS["universes"]["six"])
    )
    pinned = put(client, bars.rename({"session": "date"}))
    written = workspace.kedro("pin", "--env=s3", "--write", **shell)
    assert written.returncode == 0, written.stderr
    pin = yaml.safe_load((workspace.root / "conf/s3/dataset_pin.yml").read_text())
    assert pin["uri"] == "s3://team/conviction/01_raw/bars.parquet"
    assert (pin["version"], pin["rows"], pin["columns"]) == (pinned, bars.height, 3)

    done = workspace.kedro("run", "--env=s3", **shell)
    assert done.returncode == 0, (done.stdout + done.stderr)[-4000:]
    keys = {item["Key"] for item in client.list_objects_v2(Bucket="team")["Contents"]}
    for name in ("02_intermediate/bars.parquet", "07_model_output/ensemble_oof.parquet", "08_reporting/report.html"):
        assert f"conviction/{name}" in keys
        assert f"conviction/{name}.meta.json" in keys
    assert not list((workspace.root / "data").rglob("*.parquet")), "a snapshot was written to the disk"
    tags = next(run for run in workspace.runs() if run.data.tags.get("kind") == "command").data.tags
    assert (tags["dataset_pin_origin"], pinned in tags["dataset_pin"]) == ("pin file", True)
    first = client.get_object(Bucket="team", Key="conviction/07_model_output/ensemble_oof.parquet")["Body"].read()

    newer = put(client, bars.head(bars.height - 6).rename({"session": "date"}))
    refused = workspace.kedro("run", "--env=s3", "--pipeline=data_engineering", **shell)
    assert refused.returncode == 1
    assert f"got version {newer}; allowed: version {pinned}" in refused.stderr
    by_version = workspace.kedro("run", "--env=s3", **shell, CONVICTION_BARS_VERSION=pinned)
    assert by_version.returncode == 0, by_version.stderr[-3000:]
    again = client.get_object(Bucket="team", Key="conviction/07_model_output/ensemble_oof.parquet")["Body"].read()
    assert again == first, "the same pinned data gave other bytes"
    sidecar = client.get_object(Bucket="team", Key="conviction/07_model_output/ensemble_oof.parquet.meta.json")[
        "Body"
    ].read()
    assert json.loads(sidecar)["content_sha"]


def test_a_bucket_that_nobody_named_is_told_by_its_place(fresh_workspace, bucket):
    shell = {name: value for name, value in bucket[0].items() if name != "CONVICTION_S3_BUCKET"}
    told = fresh_workspace.kedro("run", "--env=s3", "--pipeline=data_engineering", **shell)
    assert told.returncode == 1
    assert "CONVICTION_S3_BUCKET" in told.stderr
