"""The run store on a real MLflow SQLite store: nesting, upserts, failures, no number without a name."""

from __future__ import annotations

import json

import pytest

from conviction_kedro.presenting import dataset_input
from conviction_kedro.tracking import PARENT_TAG, open_client, open_store

CONFIG = {
    "uri": "sqlite:///mlflow.db",
    "artifacts": "mlartifacts",
    "default_experiment": "research",
    "experiments": {"holdout": "holdout"},
}


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return tmp_path_factory.mktemp("store")


@pytest.fixture
def client(root):
    return open_client(CONFIG, root)


@pytest.fixture
def store(root):
    store = open_store(CONFIG, root, pipeline="modeling")
    store.start(
        name="modeling | embedded all | quick", tags={"commit": "abc"}, params={f"p.{i}": str(i) for i in range(130)}
    )
    return store


def record(key, **metrics):
    tags = {"target": key.split("/")[0], "model": key.split("/")[1], "split": "oof"}
    return {
        "record_key": key,
        "parent_key": None,
        "name": key,
        "params": json.dumps({"depth": 3}),
        "metrics": json.dumps(metrics),
        "tags": json.dumps(tags),
    }


def test_every_parameter_is_logged_however_many(store, client):
    assert len(client.get_run(store.run_id).data.params) == 130


def test_children_are_nested_and_completed_by_a_second_record(store, client):
    store.upsert_children([record("relative/lightgbm", fit_seconds=1.5)])
    store.upsert_children([record("relative/lightgbm", auc_pooled=0.51, auc_pooled_lo=0.5, auc_pooled_hi=0.52)])
    experiment = client.get_run(store.run_id).info.experiment_id
    children = client.search_runs([experiment], filter_string=f"tags.`{PARENT_TAG}` = '{store.run_id}'")
    assert len(children) == 1
    data = children[0].data
    assert data.metrics == {"fit_seconds": 1.5, "auc_pooled": 0.51, "auc_pooled_lo": 0.5, "auc_pooled_hi": 0.52}
    assert (data.tags["target"], data.tags["model"], data.params["depth"]) == ("relative", "lightgbm", "3")


def test_a_failed_run_says_why(store, client):
    store.fail(reason="AuditFailedError: target_1d", trace="Traceback ...")
    run = client.get_run(store.run_id)
    assert run.info.status == "FAILED"
    assert "target_1d" in run.data.tags["error"]
    assert [item.path for item in client.list_artifacts(store.run_id)] == ["error.txt"]


def test_the_parent_has_the_scores_it_is_compared_by(store, client):
    store.headline({"auc_daily": 0.51, "auc_daily_lo": 0.5}, verdict="skill", of="relative | ensemble")
    data = client.get_run(store.run_id).data
    assert data.metrics == {"auc_daily": 0.51, "auc_daily_lo": 0.5}
    assert (data.tags["verdict"], data.tags["headline"]) == ("skill", "relative | ensemble")


def test_the_dataset_is_an_input_of_the_parent(store, client):
    fields = dataset_input({"rows": 5, "symbols": ["A", "B"]}, name="embedded six", fingerprint="ab" * 32)
    store.log_dataset(fields)
    (seen,) = client.get_run(store.run_id).inputs.dataset_inputs
    assert (seen.dataset.name, seen.dataset.digest) == ("embedded six", "ab" * 18)
    assert json.loads(seen.dataset.profile) == {"rows": 5, "symbols": 2}
    assert json.loads(seen.dataset.source)["fingerprint"] == "ab" * 32


def test_target_and_model_are_axes_of_the_parallel_coordinates(store, client):
    tags = json.dumps({"target": "relative", "model": "lightgbm"})
    record = {
        "record_key": "relative/lightgbm",
        "name": "relative | lightgbm",
        "params": "{}",
        "metrics": "{}",
        "tags": tags,
    }
    store.upsert_children([record])
    (child,) = client.search_runs([store._experiment], f"tags.`{PARENT_TAG}` = '{store.run_id}'")
    assert child.data.params == {"target": "relative", "model": "lightgbm"}


def test_experiments_by_purpose(root, client):
    for pipeline in ("modeling", "holdout"):
        open_store(CONFIG, root, pipeline=pipeline)
    assert {item.name for item in client.search_experiments()} >= {"research", "holdout"}


def test_an_experiment_opens_in_the_view_for_training_runs(root, client):
    client.create_experiment("research of another day")
    open_store({**CONFIG, "default_experiment": "research of another day"}, root, pipeline="modeling")
    open_store(CONFIG, root, pipeline="holdout")
    for name in ("holdout", "research of another day"):
        assert client.get_experiment_by_name(name).tags["mlflow.experimentKind"] == "custom_model_development"


def test_a_run_that_goes_on_knows_the_trials_below_its_children(root, client):
    def attempt(reopen):
        store = open_store(CONFIG, root, pipeline="modeling")
        store.start(name="killed", tags={}, params={}, reopen=reopen)
        store.upsert_children(
            [
                {**record("relative/lightgbm", auc_pooled=0.5), "parent_key": None},
                {
                    **record("relative/lightgbm", search_value=0.5),
                    "record_key": "relative/lightgbm/trial/0",
                    "parent_key": "relative/lightgbm",
                    "tags": json.dumps({"target": "relative", "model": "lightgbm", "kind": "trial"}),
                },
            ]
        )
        return store

    first = attempt(None)
    attempt(first.run_id)
    (child,) = client.search_runs([first._experiment], f"tags.`{PARENT_TAG}` = '{first.run_id}'")
    assert len(client.search_runs([first._experiment], f"tags.`{PARENT_TAG}` = '{child.info.run_id}'")) == 1
