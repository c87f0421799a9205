"""Keys of snapshots: they change with code, parameters and inputs, and with nothing else."""

from __future__ import annotations

import subprocess

import pytest
from kedro.pipeline import Node, Pipeline

from conviction_kedro import provenance
from conviction_kedro.provenance import dataset_keys, tree_state


def double(x, factor):
    return x


def triple(y):
    return y


@pytest.fixture
def pipeline():
    return Pipeline(
        [
            Node(double, ["raw", "params:factor"], "a", tags="data_engineering"),
            Node(triple, "a", "b", tags="ensembling"),
        ]
    )


def keys(pipeline, *, factor=2, raw="r"):
    return dataset_keys(pipeline, {"params:factor": factor}, {"raw": raw})


def test_equal_inputs_give_equal_keys(pipeline):
    assert keys(pipeline) == keys(pipeline)


@pytest.mark.parametrize("change", [{"factor": 3}, {"raw": "other"}])
def test_a_change_upstream_reaches_everything_below(pipeline, change):
    before, after = keys(pipeline), keys(pipeline, **change)
    assert before["a"] != after["a"]
    assert before["b"] != after["b"]


def test_changed_code_of_a_room_changes_its_data_and_what_follows(pipeline, monkeypatch):
    before = keys(pipeline)
    monkeypatch.setattr(provenance, "room_sha", lambda room: f"new {room}" if room == "ensembling" else "same")
    changed = keys(pipeline)
    monkeypatch.setattr(provenance, "room_sha", lambda room: "same")
    unchanged = keys(pipeline)
    assert before["b"] != changed["b"]
    assert changed["a"] == unchanged["a"]
    assert changed["b"] != unchanged["b"]


def test_the_number_of_jobs_is_no_part_of_a_key():
    pipeline = Pipeline([Node(double, ["raw", "params:n_jobs"], "a", tags="data_engineering")])
    one, two = (dataset_keys(pipeline, {"params:n_jobs": jobs}, {"raw": "r"}) for jobs in (1, 2))
    assert one == two


def test_without_raw_data_nothing_is_claimed(pipeline):
    assert dataset_keys(pipeline, {"params:factor": 2}, {}) == {}


def git(folder, *arguments):
    identity = ["-c", "user.name=t", "-c", "user.email=t@example.org"]
    subprocess.run(["git", "-C", str(folder), *identity, *arguments], check=True, capture_output=True)


def test_tree_state_tells_clean_changed_and_untracked(tmp_path):
    assert tree_state(tmp_path)["dirty"] == "unknown"
    git(tmp_path, "init", "-q")
    (tmp_path / "a.txt").write_text("1")
    git(tmp_path, "add", "-A")
    git(tmp_path, "commit", "-qm", "one")
    clean = tree_state(tmp_path)
    assert clean["dirty"] == "false"
    assert len(clean["commit"]) == 40
    (tmp_path / "a.txt").write_text("2")
    changed = tree_state(tmp_path)
    (tmp_path / "b.txt").write_text("new")
    untracked = tree_state(tmp_path)
    assert changed["dirty"] == untracked["dirty"] == "true"
    assert changed["diff_sha"] != untracked["diff_sha"]
