"""`kedro status`, `inventory`, `sync` and `preflight` through the command line."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest
import yaml

MAIN = ("data_engineering", "leakage_audit", "modeling", "ensembling", "reporting")
SECRET = "q8Zk2mN4vB7xW1pL9sT3"  # not-a-secret


def status(workspace):
    done = workspace.kedro("status", "--json")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def states(found):
    return {name: found["pipelines"][name]["state"] for name in MAIN}


def test_status_tells_valid_certified_stale_damaged_missing_and_what_to_run(workspace):
    found = status(workspace)
    assert states(found) == dict.fromkeys(MAIN, "valid") | {"leakage_audit": "certified"}
    assert found["next"].startswith("nothing")
    assert found["pipelines"]["holdout"]["state"] == "missing"

    kept = yaml.safe_load((workspace.root / "conf/local/parameters_test.yml").read_text())
    workspace.configure(kept | {"ensembling": {"purge": 2}})
    found = status(workspace)
    assert states(found) == {
        "data_engineering": "valid",
        "leakage_audit": "certified",
        "modeling": "valid",
        "ensembling": "stale",
        "reporting": "stale",
    }
    assert found["next"] == "kedro run"
    workspace.configure(kept)
    (workspace.root / "data/07_model_output/ensemble_oof.parquet").write_bytes(b"half")
    (workspace.root / "data/04_feature/labels.parquet.meta.json").unlink()
    found = status(workspace)
    assert found["pipelines"]["ensembling"]["datasets"]["ensemble_oof"]["state"] == "damaged"
    assert found["pipelines"]["data_engineering"]["datasets"]["labels"]["state"] == "missing"
    assert states(found)["leakage_audit"] == "void", "the certificate speaks of labels that are not there"


def test_inventory_tells_where_what_lies_with_hashes_and_runs(finished):
    done = finished.kedro("inventory", "--json")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    models = next(row for row in found["saved"] if row["what"] == "models")
    assert models["sha"] == hashlib.sha256(Path(models["where"]).read_bytes()).hexdigest()
    predictions = next(row for row in found["run"] if row["what"] == "predictions/oof.parquet")
    local = Path(predictions["where"].removeprefix("file://"))
    assert (predictions["sha"], predictions["size"]) == (
        hashlib.sha256(local.read_bytes()).hexdigest(),
        local.stat().st_size,
    )
    assert any(row["what"].startswith("relative/lightgbm: model/") for row in found["run"])
    assert found["registry"] == []


def shell_of(s3_bucket):
    uri, credentials = s3_bucket
    shell = {
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": SECRET,
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ENDPOINT_URL": credentials["client_kwargs"]["endpoint_url"],
    }
    return uri, shell


def test_a_run_goes_to_s3_and_back_each_file_verified(workspace, s3_bucket):
    import boto3

    uri, shell = shell_of(s3_bucket)
    first = workspace.kedro("sync", "latest", "--to", f"{uri}/runs", **shell)
    assert first.returncode == 0, first.stderr
    run_id = next(run.info.run_id for run in workspace.runs() if "mlflow.parentRunId" not in run.data.tags)
    client = boto3.client("s3", aws_access_key_id="test", aws_secret_access_key="test", **s3_bucket[1]["client_kwargs"])
    bucket = uri.removeprefix("s3://")
    keys = {item["Key"] for item in client.list_objects_v2(Bucket=bucket)["Contents"]}
    # A break in the middle: the list of hashes, two files gone, one cut.
    gone = sorted(key for key in keys if "/artifacts/" in key)[:2]
    for key in [*gone, f"runs/{run_id}/manifest.json"]:
        client.delete_object(Bucket=bucket, Key=key)
    cut = f"runs/{run_id}/artifacts/predictions/oof.parquet"
    client.put_object(Bucket=bucket, Key=cut, Body=b"PAR1")
    unfinished = workspace.kedro("sync", run_id, "--from", f"{uri}/runs", **shell)
    assert unfinished.returncode == 1
    assert "no complete copy" in unfinished.stderr
    again = workspace.kedro("sync", run_id[:8], "--to", f"{uri}/runs", **shell)
    assert again.returncode == 0, again.stderr
    assert "3 copied" in again.stdout
    back = workspace.kedro("sync", run_id, "--from", f"{uri}/runs", **shell)
    assert back.returncode == 0, back.stderr
    fetched = workspace.root / "data/runs" / run_id
    assert (fetched / "artifacts/predictions/oof.parquet").read_bytes() == (
        workspace.root / "data/07_model_output/oof.parquet"
    ).read_bytes()
    client.put_object(Bucket=bucket, Key=cut, Body=b"PAR1 something else")
    (fetched / "artifacts/predictions/oof.parquet").unlink()
    wrong = workspace.kedro("sync", run_id, "--from", f"{uri}/runs", **shell)
    assert wrong.returncode == 1
    assert "is not what was copied there" in wrong.stderr
    assert not (fetched / "artifacts/predictions/oof.parquet").exists()
    client.close()


def preflight(workspace, *arguments, **shell):
    done = workspace.kedro("preflight", "--json", *arguments, **shell)
    assert SECRET not in done.stdout + done.stderr
    return done.returncode, {one["name"]: one for one in json.loads(done.stdout)}


def test_preflight_passes_here_and_says_how_old_the_prices_are(finished):
    code, found = preflight(finished)
    assert code == 0, found
    assert {"python", "extras", "disk", "memory", "s3", "credentials", "tracking", "dataset pin"} <= set(found)
    assert found["calendar"]["state"] == "warning"
    assert "2022-12-28" in found["calendar"]["said"]
    assert found["calendar"]["remedy"]


def test_preflight_calls_a_missing_bucket_that_and_shows_no_credential(fresh_workspace, s3_bucket):
    _, shell = shell_of(s3_bucket)
    code, found = preflight(fresh_workspace, "--env=s3", CONVICTION_S3_BUCKET="no-such-bucket-here", **shell)
    assert code == 1
    assert found["s3 no-such-bucket-here"]["said"] == "missing bucket: it does not exist"
    assert found["s3 no-such-bucket-here"]["remedy"]
    assert "AWS_SECRET_ACCESS_KEY" in found["credentials"]["said"]
    there = s3_bucket[0].removeprefix("s3://")
    _, found = preflight(fresh_workspace, "--env=s3", CONVICTION_S3_BUCKET=there, **shell)
    assert found[f"s3 {there}"]["state"] == "ok"


def test_preflight_names_a_dead_tracking_server_and_a_wrong_pin(fresh_workspace):
    (fresh_workspace.root / "conf/base/dataset_pin.yml").write_text(
        "uri: s3://elsewhere/bars.parquet\nrows: 1\ncolumns: 1\n"
    )
    code, found = preflight(fresh_workspace, MLFLOW_TRACKING_URI="http://ann:correct-horse@127.0.0.1:9")  # not-a-secret
    assert code == 1
    assert found["tracking"]["state"] == "problem"
    assert "correct-horse" not in json.dumps(found)
    assert found["dataset pin"]["state"] == "problem"


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("polars==0.0.1 \\\n    --hash=sha256:00", "polars 0.0.1 is locked, and "),
        ("no-such-package==1.0 ; sys_platform == 'win32'", None),
        ("no-such-package==1.0", "none is installed"),
    ],
)
def test_the_lock_is_compared_with_what_is_installed(line, said):
    from conviction_kedro.preflight import lock_differences

    found = list(lock_differences(line))
    assert (said in found[0]) if said else not found
