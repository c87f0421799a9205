"""The how-to for S3 is followed to the letter, against a local server that speaks S3."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture
def project(tmp_path):
    shutil.copytree(ROOT / "conf", tmp_path / "conf")
    shutil.copy(ROOT / "pyproject.toml", tmp_path / "pyproject.toml")
    shutil.copytree(ROOT / "src", tmp_path / "src", ignore=shutil.ignore_patterns("__pycache__"))
    page = (ROOT / "docs" / "how-to" / "s3.md").read_text(encoding="utf-8")
    environment = tmp_path / "conf" / "team"
    environment.mkdir()
    (environment / "globals.yml").write_text(re.search(r"```yaml\n(.*?)```", page, re.DOTALL)[1])
    return tmp_path


@pytest.fixture
def s3():
    import boto3
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    keys = {"AWS_ACCESS_KEY_ID": "testing", "AWS_SECRET_ACCESS_KEY": "testing", "AWS_DEFAULT_REGION": "us-east-1"}
    settings = {**keys, "AWS_ENDPOINT_URL": f"http://{host}:{port}"}
    client = boto3.client(
        "s3",
        endpoint_url=settings["AWS_ENDPOINT_URL"],
        region_name="us-east-1",
        aws_access_key_id="testing",
        aws_secret_access_key="testing",
    )
    client.create_bucket(Bucket="my-bucket")
    yield settings, client
    client.close()
    server.stop()


@pytest.mark.slow
def test_data_and_certificate_live_under_the_new_root(project, s3):
    settings, client = s3
    for pipeline in ("data_engineering", "leakage_audit"):
        command = [sys.executable, "-m", "kedro", "run", "--env=team", f"--pipeline={pipeline}"]
        done = subprocess.run(
            command,
            cwd=project,
            env={**os.environ, **settings},
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        assert done.returncode == 0, (done.stdout + done.stderr)[-3000:]
    keys = {entry["Key"] for entry in client.list_objects_v2(Bucket="my-bucket")["Contents"]}
    assert "conviction/02_intermediate/bars.parquet" in keys
    assert "conviction/05_model_input/audited_panel.parquet.meta.json" in keys
    assert not list((project / "data").rglob("*.parquet"))
