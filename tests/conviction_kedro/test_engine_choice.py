"""The pipelines are built for the engine of the run, before anything is loaded."""

from __future__ import annotations

import pytest
from kedro.framework.project import configure_project, pipelines

from conviction.errors import ParameterError
from conviction_kedro import engine_choice
from conviction_kedro.engine_choice import choose_engine, follow_engine, only_the_request


@pytest.fixture(autouse=True)
def as_before():
    configure_project("conviction_kedro")
    before = dict(engine_choice._CHOSEN)
    yield
    engine_choice._CHOSEN.clear()
    engine_choice._CHOSEN.update(before)
    configure_project("conviction_kedro")


def names(pipeline):
    return {node.name.removeprefix("modeling.") for node in pipelines[pipeline].nodes}


@pytest.mark.parametrize(
    ("options", "engine", "delegated"),
    [
        ({}, "local", False),
        ({"env": "sagemaker"}, "sagemaker", True),
        ({"env": "sagemaker-local"}, "sagemaker-local", True),
        ({"params": {"engine": "sagemaker-local"}}, "sagemaker-local", True),
        ({"env": "sagemaker", "params": {"engine": "local"}}, "local", False),
        ({"env": "dask"}, "dask", False),
    ],
)
def test_modeling_is_built_for_the_engine(project_dir, options, engine, delegated):
    assert choose_engine(options, project_dir) == engine
    for name in ("modeling", "__default__"):
        assert ({"request_tuning", "launch_tuning", "collect_tuning"} <= names(name)) == delegated
        assert ("tune_models" in names(name)) != delegated
        assert "predict_out_of_fold" in names(name)
    made = {output for node in pipelines["modeling"].nodes for output in node.outputs}
    assert {"best_parameters", "trials", "ledger", "oof", "models"} <= made
    assert all("modeling" in node.tags for node in pipelines["modeling"].nodes)


def test_kedro_env_decides_where_no_command_does(project_dir, monkeypatch):
    engine_choice._CHOSEN.clear()
    monkeypatch.chdir(project_dir)
    monkeypatch.setenv("KEDRO_ENV", "sagemaker")
    assert "request_tuning" in names("modeling")


def test_a_session_that_no_command_opened_gets_the_pipelines_of_its_engine(project_dir):
    choose_engine({}, project_dir)
    assert "tune_models" in names("modeling")
    follow_engine("sagemaker")
    assert "request_tuning" in names("modeling")
    follow_engine("dask")
    assert "tune_models" in names("modeling")


def test_a_dry_run_is_the_request_alone_and_only_where_something_is_delegated():
    assert only_the_request({}, engine="sagemaker") == {"node_names": ("modeling.request_tuning",)}
    with pytest.raises(ParameterError, match="delegates nothing"):
        only_the_request({}, engine="local")
    with pytest.raises(ParameterError, match="no choice of nodes"):
        only_the_request({"from_nodes": ["launch_tuning"]}, engine="sagemaker")
