"""Modeling on a Dask cluster and with a team's server, through the command line: the same bytes, nothing lost with a worker."""

from __future__ import annotations

import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from importlib.util import find_spec
from pathlib import Path

import pytest
import yaml

SMALL = yaml.safe_load((Path(__file__).parent / "small.yml").read_text())
SEARCH = {
    **SMALL,
    "modeling": {**SMALL["modeling"], "models": ["logistic", "lightgbm", "lightgbm@symbol"], "tuning": {"n_trials": 6}},
}
SAME = ("06_models/best_parameters.json", "06_models/models.zip", "07_model_output/oof.parquet")


def stored(root: Path) -> int:
    total = 0
    for path in (root / "data/06_models").glob("studies-*.db"):
        try:
            with sqlite3.connect(f"file:{path}?mode=ro", uri=True) as connection:
                total += connection.execute("select count(*) from trials where state = 'COMPLETE'").fetchone()[0]
        except sqlite3.OperationalError:
            continue
    return total


@pytest.mark.slow
@pytest.mark.skipif(find_spec("distributed") is None, reason="the extra dask is not installed")
def test_a_cluster_gives_the_bytes_of_this_process_and_loses_nothing_with_a_worker(workspace):
    from distributed import Client, LocalCluster

    workspace.configure(SEARCH)
    here = workspace.kedro("run", "--pipeline=modeling")
    assert here.returncode == 0, here.stdout + here.stderr
    expected = workspace.bytes_of(*SAME)
    assert set(expected) == set(SAME)
    for name in SAME:
        (workspace.root / "data" / name).unlink()
    # The environment `local` is not laid over a named one, so its parameters go along.
    shutil.copy(workspace.root / "conf/local/parameters_test.yml", workspace.root / "conf/dask/parameters_test.yml")
    with (
        LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None, host="127.0.0.1") as cluster,
        Client(cluster) as client,
    ):
        victim = min(client.run(os.getpid).values())
        environment = {k: v for k, v in os.environ.items() if not k.startswith(("MLFLOW_", "CONVICTION_"))}
        with (workspace.root / "dask.log").open("wb") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "kedro", "run", "--env=dask", "--pipeline=modeling"],
                cwd=workspace.root,
                env=environment | {"CONVICTION_DASK": cluster.scheduler_address, "DO_NOT_TRACK": "true"},
                stdout=log,
                stderr=log,
            )
            deadline = time.monotonic() + 240
            while stored(workspace.root) < 2 and process.poll() is None and time.monotonic() < deadline:
                time.sleep(0.01)
            assert process.poll() is None, (workspace.root / "dask.log").read_text()
            os.kill(victim, signal.SIGKILL)
            assert process.wait(timeout=400) == 0, (workspace.root / "dask.log").read_text()
    assert workspace.bytes_of(*SAME) == expected


@pytest.mark.slow
def test_a_team_keeps_its_trials_on_a_server_and_the_password_is_written_nowhere(workspace, guarded_postgresql):
    port, word = guarded_postgresql
    workspace.configure({**SEARCH, "modeling": {**SEARCH["modeling"], "models": ["logistic"],
                         "tuning": {"n_trials": 3, "storage": f"postgresql+psycopg://127.0.0.1:{port}/postgres"}}})  # fmt: skip
    refused = workspace.kedro("run", "--pipeline=modeling", PGUSER="team", PGPASSWORD="wrong")  # it is wrong
    assert refused.returncode == 1
    assert "TuningError: the storage of studies cannot be used" in refused.stdout + refused.stderr
    credentials = workspace.root / "conf/local/credentials.yml"
    credentials.write_text(yaml.safe_dump({"tuning_storage": {"username": "team", "password": word}}))
    done = workspace.kedro("run", "--pipeline=modeling")
    assert done.returncode == 0, done.stdout + done.stderr
    credentials.unlink()
    again = workspace.kedro("run", "--pipeline=modeling", PGUSER="team", PGPASSWORD=word)
    assert again.returncode == 0, again.stdout + again.stderr
    assert "tuning goes on with 6 finished trials" in again.stdout
    assert word not in done.stdout + done.stderr + again.stdout + again.stderr
    holding = [str(path) for path in workspace.root.rglob("*") if path.is_file() and word.encode() in path.read_bytes()]
    assert holding == []
