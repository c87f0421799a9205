"""The shape of the workspace: every dataset declared and used, thin typed nodes, one type for each parameter."""

from __future__ import annotations

import ast
import inspect
from pathlib import Path

import pytest
import yaml
from kedro.framework.project import configure_project, find_pipelines
from pydantic import BaseModel

import conviction_kedro

PACKAGE = Path(conviction_kedro.__file__).parent
NODE_FILES = sorted((PACKAGE / "pipelines").glob("*/*nodes.py"))
LONGEST_NODE = 12
LONGEST_FILE = 150


@pytest.fixture(scope="module")
def pipelines():
    configure_project("conviction_kedro")
    return find_pipelines(raise_errors=True)


@pytest.fixture(scope="module")
def nodes(pipelines):
    return [node for name, pipeline in pipelines.items() if name != "__default__" for node in pipeline.nodes]


@pytest.fixture(scope="module")
def catalog(project_dir):
    entries = {}
    for file in sorted((project_dir / "conf" / "base").glob("catalog*.yml")):
        entries |= {name: entry for name, entry in yaml.safe_load(file.read_text()).items() if not name.startswith("_")}
    return entries


def used(nodes):
    names = {name for node in nodes for name in [*node.inputs, *node.outputs]}
    return {name for name in names if not name.startswith(("params:", "parameters"))}


def test_every_dataset_of_a_node_is_declared_so_that_none_stays_in_memory(nodes, catalog):
    assert used(nodes) - set(catalog) == set()


def test_every_declared_dataset_is_used(nodes, catalog):
    assert set(catalog) - used(nodes) == set()


def test_a_snapshot_is_named_after_its_file_and_has_a_layer(catalog):
    for name, entry in catalog.items():
        # Where raw data lie is the user's to say.
        if "filepath" in entry and entry["metadata"]["kedro-viz"]["layer"] != "raw":
            assert Path(entry["filepath"]).name.split(".")[0] == name
        assert entry["metadata"]["kedro-viz"]["layer"], name


def test_layers_and_folders_agree(catalog):
    folders = {
        "intermediate": "02_intermediate",
        "primary": "03_primary",
        "feature": "04_feature",
        "model_input": "05_model_input",
        "models": "06_models",
        "model_output": "07_model_output",
        "reporting": "08_reporting",
    }
    shown_earlier = {"audit_report", "holdout_openings"}  # see the catalog for why
    for name, entry in catalog.items():
        layer = entry["metadata"]["kedro-viz"]["layer"]
        if layer != "raw" and name not in shown_earlier:
            assert f"/{folders[layer]}/" in entry["filepath"], name


def test_layers_never_run_backwards_or_kedro_viz_hides_them(nodes, catalog):
    order = ["raw", "intermediate", "primary", "feature", "model_input", "models", "model_output", "reporting"]
    rank = {name: order.index(entry["metadata"]["kedro-viz"]["layer"]) for name, entry in catalog.items()}
    backwards = [
        (one, other)
        for node in nodes
        for one in node.inputs
        for other in node.outputs
        if one in rank and rank[one] > rank[other]
    ]
    assert backwards == []


def test_a_parameter_is_typed_and_has_one_type_everywhere(nodes):
    types: dict[str, set[object]] = {}
    for node in nodes:
        hints = inspect.get_annotations(node.func, eval_str=True)
        arguments = list(inspect.signature(node.func).parameters)
        for argument, name in zip(arguments, node.inputs, strict=True):
            assert name != "parameters", f"{node.name} takes all parameters"
            if name.startswith("params:"):
                types.setdefault(name, set()).add(hints[argument])
    assert types
    for name, kinds in types.items():
        (kind,) = kinds
        assert kind in (str, int) or issubclass(kind, BaseModel), f"{name} is {kind}"
        if issubclass(kind, BaseModel):
            assert kind.model_config["frozen"], name


def test_every_pipeline_tags_its_nodes_so_that_keys_know_their_code(pipelines):
    from conviction_kedro.provenance import ROOMS

    for name, pipeline in pipelines.items():
        if name != "__default__":
            assert name in ROOMS, f"say in conviction_kedro.provenance.ROOMS which rooms {name} uses"
            assert all(name in node.tags for node in pipeline.nodes), name


def functions(path: Path) -> list[ast.FunctionDef]:
    return [item for item in ast.parse(path.read_text()).body if isinstance(item, ast.FunctionDef)]


def statements(function: ast.FunctionDef) -> int:
    return sum(isinstance(item, ast.stmt) for item in ast.walk(function)) - 1


@pytest.mark.parametrize("path", NODE_FILES, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_nodes_are_thin(path):
    assert len(path.read_text().splitlines()) <= LONGEST_FILE
    assert functions(path)
    for function in functions(path):
        assert statements(function) <= LONGEST_NODE, f"{function.name} does too much: move it into the library"


def test_the_thin_node_rule_sees_a_fat_one():
    fat = ast.parse("def node(x):\n" + "    x += 1\n" * (LONGEST_NODE + 1)).body[0]
    assert statements(fat) > LONGEST_NODE


@pytest.mark.parametrize("path", NODE_FILES, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_nodes_open_no_file_and_know_no_clock_or_tracking(path):
    tree = ast.parse(path.read_text())
    imported = {
        alias.name for item in ast.walk(tree) if isinstance(item, (ast.Import, ast.ImportFrom)) for alias in item.names
    }
    modules = {item.module for item in ast.walk(tree) if isinstance(item, ast.ImportFrom)}
    assert not {"mlflow", "os", "time", "datetime", "pathlib", "open", "requests", "boto3"} & (imported | modules)


def test_no_negative_shift_outside_labels():
    library = PACKAGE.parent / "conviction"
    allowed = {"labels", "audit", "testing"}  # audit and testing look for, and plant, leaks
    found = [
        str(path.relative_to(library))
        for path in library.rglob("*.py")
        if path.relative_to(library).parts[0] not in allowed and ".shift(-" in path.read_text()
    ]
    assert found == []
