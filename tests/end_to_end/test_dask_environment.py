"""`--env=dask`: the same bytes from two workers as from this process."""

from __future__ import annotations

import re

import pytest
import yaml

FEATURES = ("04_feature/feature_matrix.parquet", "04_feature/feature_catalog.parquet")


@pytest.mark.slow
def test_two_workers_give_the_same_bytes(workspace):
    pytest.importorskip("distributed", reason="the extra `dask` is not installed")
    # The environment `local` is not laid over a named one, so its parameters go along.
    given = (workspace.root / "conf/local/parameters_test.yml").read_text()
    (workspace.root / "conf/dask/parameters_test.yml").write_text(given)
    here = workspace.bytes_of(*FEATURES)
    for name in here:
        (workspace.root / "data" / name).unlink()
    done = workspace.kedro("run", "--env=dask", "--pipeline=data_engineering")
    said = done.stdout + done.stderr
    assert done.returncode == 0, said
    assert here
    assert workspace.bytes_of(*FEATURES) == here
    (counts,) = re.findall(r"dask: tasks by worker: (.*)", said)
    workers = [int(entry.rsplit(" ", 1)[1]) for entry in counts.split(", ")]
    assert len(workers) == 2
    assert min(workers) >= 1, counts
    assert "Nanny" not in said
    parent = next(run for run in workspace.runs() if run.data.tags.get("engine") == "dask")
    assert parent.info.status == "FINISHED"


def test_a_cluster_that_cannot_help_stops_the_run_before_any_node(fresh_workspace):
    pytest.importorskip("distributed", reason="the extra `dask` is not installed")
    workspace = fresh_workspace
    alone = workspace.kedro("run", "--params=engine=dask,n_jobs=1")
    assert alone.returncode == 1
    assert "ParameterError: engine=dask with one job would use no worker" in alone.stderr + alone.stdout
    options = yaml.safe_dump({"engine": "dask", "dask": {"address": "tcp://127.0.0.1:1", "timeout_seconds": 0.5}})
    (workspace.root / "conf/local/parameters_engine.yml").write_text(options)
    nobody = workspace.kedro("run")
    assert nobody.returncode == 1
    assert "no Dask scheduler answers: got tcp://127.0.0.1:1" in nobody.stderr + nobody.stdout
    assert "Running node" not in nobody.stdout
