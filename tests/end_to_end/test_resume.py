"""A killed run is gone on with: from what is complete and valid, to the bytes of an uninterrupted one, as one tracked run."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time

import pytest

RESULTS = ("07_model_output/*.parquet", "06_models/models.zip", "06_models/best_parameters.json")


def start(workspace, *arguments):
    """Start `kedro run` in the background, as a shell would."""
    variables = {key: value for key, value in os.environ.items() if not key.startswith(("MLFLOW_", "CONVICTION_"))}
    variables.pop("PYTHONWARNINGS", None)
    command = [sys.executable, "-m", "kedro", "run", *arguments]
    return subprocess.Popen(
        command,
        cwd=workspace.root,
        env=variables | {"DO_NOT_TRACK": "true"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )


def kill(process):
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def kill_when_saved(workspace, name, *arguments):
    """Kill `kedro run` as soon as the snapshot `name` has its sidecar."""
    wanted = workspace.root / "data" / f"{name}.meta.json"
    process = start(workspace, *arguments)
    while not wanted.exists() and process.poll() is None:
        time.sleep(0.02)
    assert process.poll() is None, "the run ended before it could be killed"
    kill(process)


def parents(workspace):
    return [run for run in workspace.runs() if "mlflow.parentRunId" not in run.data.tags]


def results(metrics):
    """Return the names of metrics without what each attempt cost."""
    return {name for name in metrics if not name.startswith(("node.", "peak_memory"))}


def assert_like_uninterrupted(workspace, finished):
    assert workspace.bytes_of(*RESULTS) == finished.bytes_of(*RESULTS)
    shape = [
        {
            run.data.tags.get("record_key", "command"): (run.info.status, results(run.data.metrics), run.data.params)
            for run in one.runs()
        }
        for one in (workspace, finished)
    ]
    assert shape[0] == shape[1]
    assert len(workspace.runs()) == len(finished.runs()), "runs are doubled"
    listed = [
        {run.data.tags.get("record_key", "command"): artifacts(one.client(), run.info.run_id) for run in one.runs()}
        for one in (workspace, finished)
    ]
    assert listed[0] == listed[1]
    assert not list((workspace.root / ".conviction/runs").iterdir())
    assert not list((workspace.root / "data").rglob("*.aside"))


def artifacts(client, run_id, path=None):
    found = []
    for item in client.list_artifacts(run_id, path):
        found += artifacts(client, run_id, item.path) if item.is_dir else [item.path]
    return sorted(found)


def test_a_run_killed_twice_ends_as_one_run_with_the_same_bytes(fresh_workspace, finished):
    workspace = fresh_workspace
    kill_when_saved(workspace, "06_models/ledger.parquet")
    (killed,) = parents(workspace)
    assert killed.info.status == "RUNNING"
    # Half written: the node that made it must run again, and what follows from it need not.
    (workspace.root / "data/04_feature/labels.parquet").write_bytes(b"PAR1 half")
    kill_when_saved(workspace, "07_model_output/ensemble_oof.parquet")
    done = workspace.kedro("run")
    assert done.returncode == 0, done.stdout + done.stderr
    said = next(line for line in done.stdout.splitlines() if line.startswith("Going on with the unfinished run"))
    assert "make_labels" in said  # the second attempt made it again, whole
    assert "tune_models" in said
    assert "write_report" not in said
    assert "Running node: tune_models" not in done.stdout + done.stderr
    assert "VERDICT" in done.stdout
    (ended,) = parents(workspace)
    assert (ended.info.run_id, ended.info.status) == (killed.info.run_id, "FINISHED")
    assert_like_uninterrupted(workspace, finished)


def test_other_parameters_or_fresh_begin_anew_and_the_killed_run_says_so(fresh_workspace):
    workspace = fresh_workspace
    short = ["--pipeline=data_engineering"]
    kill_when_saved(workspace, "03_primary/panel.parquet", *short)
    changed = workspace.kedro("run", *short, "--params=folds.embargo=6")
    assert changed.returncode == 0, changed.stderr
    assert "not gone on with: its parameters, code or data have changed" in changed.stdout
    assert "skipped" not in changed.stdout
    (workspace.root / "data/03_primary/panel.parquet.meta.json").unlink()
    kill_when_saved(workspace, "03_primary/panel.parquet", *short)
    fresh = workspace.kedro("run", *short, "--fresh")
    assert fresh.returncode == 0, fresh.stderr
    assert "not gone on with: --fresh" in fresh.stdout
    again = workspace.kedro("run", *short)
    assert "Completed node: data_engineering.check_bars" in again.stdout, "a finished run asked again runs again"
    assert [run.info.status for run in reversed(parents(workspace))] == [
        "KILLED",
        "FINISHED",
        "KILLED",
        "FINISHED",
        "FINISHED",
    ]


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(4))
def test_a_run_killed_at_any_moment_gives_what_an_uninterrupted_one_gives(seed, new_workspace, finished):
    moments = random.Random(seed)
    for number in range(5):
        workspace = new_workspace(str(number))
        begun = time.monotonic()
        process = start(workspace)
        time.sleep(1.0)
        # The moment is a share of the way, not of the clock: this machine may be slow.
        nodes = moments.uniform(0, 27)
        while process.poll() is None and len(list(workspace.root.rglob("data/**/*.meta.json"))) < nodes - 1:
            time.sleep(0.01)
        time.sleep(moments.uniform(0, 1.5))
        kill(process)
        done = workspace.kedro("run")
        assert done.returncode == 0, (nodes, time.monotonic() - begun, done.stdout, done.stderr)
        if len(parents(workspace)) == 1:
            assert_like_uninterrupted(workspace, finished)
        else:  # killed after its end: the second command was a run of its own
            assert {run.info.status for run in parents(workspace)} == {"FINISHED"}
            assert workspace.bytes_of(*RESULTS) == finished.bytes_of(*RESULTS)
