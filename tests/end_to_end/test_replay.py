"""`kedro replay`: everything is checked, nothing of the user's is touched, and the first difference has a name."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import polars as pl
import pytest
import yaml


def git(folder, *arguments):
    identity = ["-c", "user.name=t", "-c", "user.email=t@example.org"]
    subprocess.run(["git", "-C", str(folder), *identity, *arguments], check=True, capture_output=True)


def commit(workspace):
    (workspace.root / ".gitignore").write_text("data/\nmlflow.db*\nmlartifacts/\n.conviction/\nconf/local/\n")
    git(workspace.root, "init", "-q")
    git(workspace.root, "add", "-A")
    git(workspace.root, "commit", "-qm", "one")


def files(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_run_comes_out_bit_for_bit_the_same_and_the_users_data_stay(workspace):
    before = files(workspace.root / "data")
    # Parameters of now that differ from the run's: a replay uses the run's.
    changed = yaml.safe_load((workspace.root / "conf/local/parameters_test.yml").read_text()) | {"seed": 1}
    workspace.configure(changed)
    done = workspace.kedro("replay", "latest")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "SAME: every metric and prediction" in done.stdout
    assert "bit for bit" in done.stdout
    assert files(workspace.root / "data") == before
    newest, oldest = (run for run in workspace.runs() if "mlflow.parentRunId" not in run.data.tags)
    assert (newest.data.tags["replay_of"], newest.data.tags["replay_result"]) == (oldest.info.run_id, "identical")


def test_what_is_not_as_it_was_is_told_with_the_way_back_before_anything_runs(fresh_workspace):
    workspace = fresh_workspace
    commit(workspace)
    (workspace.root / "new.py").write_text("x = 1\n")
    secret = "q8Zk2mN4vB7xW1pL9sT3"  # not-a-secret
    run = ["run", "--pipeline=data_engineering"]
    assert workspace.kedro(*run).returncode == 0
    (workspace.root / "new.py").unlink()
    clean = workspace.kedro("replay", "latest")
    assert clean.returncode == 2, clean.stdout + clean.stderr
    patch = workspace.root / next(word for word in clean.stderr.split() if word.endswith(".patch"))
    git(workspace.root, "apply", str(patch))
    assert (workspace.root / "new.py").read_text() == "x = 1\n"
    assert workspace.kedro("replay", "latest", "--check-only").returncode == 0
    other_data = workspace.kedro("replay", "latest", "--check-only", "--params=universes.six=['AAPL']")
    assert other_data.returncode == 2
    assert "parameter universes.six" in other_data.stderr

    (workspace.root / "new.py").write_text(f"api_key = '{secret}'\n")
    assert workspace.kedro(*run).returncode == 0
    newest = next(run for run in workspace.runs() if "mlflow.parentRunId" not in run.data.tags)
    kept = Path(workspace.client().download_artifacts(newest.info.run_id, "provenance/difference.patch")).read_text()
    assert "new.py" in kept
    assert secret not in kept
    assert newest.data.tags["difference"].startswith("redacted: 1 line")


@pytest.mark.slow
def test_the_first_difference_is_named(workspace):
    parent = next(run for run in workspace.runs() if "mlflow.parentRunId" not in run.data.tags)
    artifacts = Path(parent.info.artifact_uri.removeprefix("file://"))
    copy = workspace.root / "mlartifacts" / parent.info.run_id / "artifacts"
    shutil.copytree(artifacts, copy, dirs_exist_ok=True)
    kept = artifacts / "predictions/ensemble_oof.parquet"
    original, record = kept.read_bytes(), (artifacts / "provenance/outputs.json").read_text()
    frame = pl.read_parquet(kept)
    wrong = frame.with_columns(
        score=pl.when(pl.int_range(pl.len()) == 7).then(pl.col("score") + 1e-12).otherwise(pl.col("score"))
    )
    outputs = json.loads(record)
    outputs["ensemble_oof"]["content_sha"] = "0" * 64
    try:
        wrong.write_parquet(kept)
        (artifacts / "provenance/outputs.json").write_text(json.dumps(outputs))
        done = workspace.kedro("replay", "latest")
    finally:
        kept.write_bytes(original)
        (artifacts / "provenance/outputs.json").write_text(record)
    assert done.returncode == 1, done.stdout + done.stderr
    row = frame.row(7, named=True)
    assert f"DIFFERENT: ensemble_oof: score of symbol {row['symbol']}, session {row['session']}" in done.stdout


def free_port():
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


@pytest.fixture
def team(tmp_path):
    """A tracking server of its own whose artifacts lie in S3, and the shell settings of everyone who uses it."""
    import boto3
    import requests
    from moto.server import ThreadedMotoServer

    s3 = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    s3.start()
    host, port = s3.get_host_and_port()
    endpoint, tracking = f"http://{host}:{port}", f"http://127.0.0.1:{free_port()}"
    keys = {"AWS_ACCESS_KEY_ID": "testing", "AWS_SECRET_ACCESS_KEY": "testing", "AWS_DEFAULT_REGION": "us-east-1"}
    client = boto3.Session("testing", "testing").client("s3", endpoint_url=endpoint, region_name="us-east-1")
    client.create_bucket(Bucket="team")
    shell = {**keys, "MLFLOW_S3_ENDPOINT_URL": endpoint, "AWS_ENDPOINT_URL": endpoint}
    command = [sys.executable, "-m", "mlflow", "server", "--port", tracking.rsplit(":", 1)[1], "--workers", "1"]
    command += ["--backend-store-uri", f"sqlite:///{tmp_path / 'team.db'}", "--default-artifact-root", "s3://team/runs"]
    server = subprocess.Popen(
        [*command, "--no-serve-artifacts"],
        env={**os.environ, **shell},
        cwd=tmp_path,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    for _ in range(240):
        try:
            if requests.get(f"{tracking}/health", timeout=1).ok:
                break
        except requests.RequestException:
            time.sleep(0.5)
    yield {**shell, "MLFLOW_TRACKING_URI": tracking}, client
    os.killpg(server.pid, signal.SIGKILL)
    server.wait()
    client.close()
    s3.stop()


@pytest.mark.slow
def test_a_run_of_another_machine_is_replayed_from_the_store_and_s3(new_workspace, team):
    shell, client = team
    theirs, mine = new_workspace("theirs"), new_workspace("mine")
    (mine.root / "conf/local/parameters_test.yml").unlink()
    done = theirs.kedro("run", "--fresh", **shell)
    assert done.returncode == 0, done.stdout + done.stderr
    assert not (theirs.root / "mlflow.db").exists()
    assert any("provenance/run.json" in item["Key"] for item in client.list_objects_v2(Bucket="team")["Contents"])
    shutil.rmtree(theirs.root)
    replayed = mine.kedro("replay", "latest", **shell)
    assert replayed.returncode == 0, replayed.stdout + replayed.stderr
    assert "bit for bit" in replayed.stdout
    listed = json.loads(mine.kedro("runs", "--json", **shell).stdout)
    assert [row["replay_of"] for row in listed] == [listed[1]["run"], None]
