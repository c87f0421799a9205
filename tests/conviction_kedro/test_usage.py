"""What was typed is checked before anything is loaded."""

from __future__ import annotations

from pathlib import Path

import pytest
from kedro.framework.startup import bootstrap_project

from conviction.errors import ParameterError
from conviction_kedro.usage import check_usage, known_pipelines

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(autouse=True)
def project():
    bootstrap_project(ROOT)


def test_the_pipelines_that_can_be_asked_for_are_those_that_exist():
    from kedro.framework.project import pipelines

    assert set(known_pipelines()) == set(pipelines)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"pipelines": "modelling"}, "unknown pipeline.*'modeling'"),
        ({"pipeline": "data_engineering,nothing"}, "unknown pipeline"),
        ({"env": "synthetics"}, "unknown environment.*'synthetic'"),
        ({"node_names": ["make_label"]}, "unknown node.*did you mean 'data_engineering.make_labels'"),
        ({"from_nodes": "data_engineering.make_labels", "pipelines": "modeling"}, "unknown node"),
        ({"tags": ["zzz"], "pipelines": "modeling"}, "unknown tag"),
    ],
)
def test_an_unknown_name_is_refused_with_the_nearest(options, words):
    with pytest.raises(ParameterError, match=words):
        check_usage(options, ROOT)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"pipelines": "__default__", "env": "synthetic"},
        {"pipelines": "data_engineering,modeling", "from_nodes": "data_engineering.make_labels"},
        {"tags": ["modeling"], "node_names": ""},
        {"env": "elsewhere", "conf_source": "conf.zip"},
    ],
)
def test_what_exists_is_let_through(options):
    check_usage({**options, "node_names": options.get("node_names") or None}, ROOT)
