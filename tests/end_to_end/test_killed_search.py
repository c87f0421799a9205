"""`kill -9` in the middle of a search, through the command line: nothing lost, nothing repeated, the same sequence and bytes."""

from __future__ import annotations

import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import polars as pl
import pytest
import yaml

SMALL = yaml.safe_load((Path(__file__).parent / "small.yml").read_text())
SEARCH = {**SMALL, "modeling": {**SMALL["modeling"], "models": ["lightgbm"], "tuning": {"n_trials": 8}}}
COMMAND = [sys.executable, "-m", "kedro", "run", "--pipeline=modeling"]


def finished_trials(workspace) -> int:
    """Count what the run's own storage holds at this moment."""
    total = 0
    for path in (workspace.root / "data/06_models").glob("studies-*.db"):
        try:
            with sqlite3.connect(f"file:{path}?mode=ro", uri=True) as connection:
                total += connection.execute("select count(*) from trials where state = 'COMPLETE'").fetchone()[0]
        except sqlite3.OperationalError:
            continue
    return total


def kill_after(workspace, wanted: int) -> int:
    """Start the command, kill it as soon as so many trials are stored, and return how many there are then."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("MLFLOW_", "CONVICTION_"))}
    with (workspace.root / "killed.log").open("wb") as log:
        process = subprocess.Popen(
            COMMAND, cwd=workspace.root, env=environment | {"DO_NOT_TRACK": "true"}, stdout=log, stderr=log
        )
        deadline = time.monotonic() + 240
        while finished_trials(workspace) < wanted and process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
        process.wait()
    return finished_trials(workspace)


@pytest.mark.slow
def test_a_killed_search_goes_on_where_it_was(workspace, tmp_path, finished):

    workspace.configure(SEARCH)
    kept = [kill_after(workspace, 2), kill_after(workspace, 7)]
    assert kept[0] >= 2
    assert 7 <= kept[1] < 16, "the search ended before it was killed"
    resumed = workspace.kedro("run", "--pipeline=modeling")
    said = resumed.stdout + resumed.stderr
    assert resumed.returncode == 0, said
    assert f"tuning goes on with {kept[1]} finished trials of an earlier run" in said
    assert not list(workspace.root.glob("data/06_models/studies-*")), "the storage is gone once everything is saved"
    shutil.copytree(finished.root, tmp_path / "whole")
    whole = type(workspace)(tmp_path / "whole")
    whole.configure(SEARCH)
    done = whole.kedro("run", "--pipeline=modeling")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "goes on with" not in done.stdout
    trials = [pl.read_parquet(one.root / "data/06_models/trials.parquet").drop("seconds") for one in (workspace, whole)]
    assert trials[0].equals(trials[1])
    assert trials[0].height == 16
    same = ("06_models/best_parameters.json", "06_models/models.zip", "07_model_output/oof.parquet")
    assert workspace.bytes_of(*same) == whole.bytes_of(*same)
