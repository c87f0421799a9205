"""Notebooks are committed without outputs and run from top to bottom."""

from __future__ import annotations

import ast
import contextlib
import io
import json
import warnings
from pathlib import Path

import pytest

# Runs in a workspace with runs on record: tests/end_to_end/test_compare_notebook.py.
ELSEWHERE = {"04_compare_runs"}
NOTEBOOKS = sorted((Path(__file__).resolve().parents[1] / "notebooks").glob("*.ipynb"))


def cells(path):
    return json.loads(path.read_text(encoding="utf-8"))["cells"]


def stripped(notebook_cells):
    return all(not cell.get("outputs") and cell.get("execution_count") is None for cell in notebook_cells)


def test_there_are_notebooks():
    assert len(NOTEBOOKS) >= 3


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_outputs_are_stripped(path):
    assert stripped(cells(path))


def test_an_output_would_be_noticed():
    assert not stripped([{"cell_type": "code", "outputs": [{"text": "1"}], "execution_count": None}])
    assert not stripped([{"cell_type": "code", "outputs": [], "execution_count": 3}])


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_every_notebook_starts_with_a_title_and_parses(path):
    found = cells(path)
    assert found[0]["cell_type"] == "markdown"
    assert found[0]["source"][0].startswith("# ")
    for cell in found:
        if cell["cell_type"] == "code":
            ast.parse("".join(cell["source"]))


@pytest.mark.slow
@pytest.mark.parametrize("path", [path for path in NOTEBOOKS if path.stem not in ELSEWHERE], ids=lambda path: path.stem)
def test_every_notebook_runs_from_top_to_bottom(path, tmp_path):
    namespace = {"__name__": "__notebook__"}
    with contextlib.chdir(tmp_path), contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
        warnings.simplefilter("error")
        for number, cell in enumerate(cells(path)):
            if cell["cell_type"] == "code":
                code = compile("".join(cell["source"]), f"{path.name}[{number}]", "exec")
                exec(code, namespace)  # noqa: S102 (running the notebook is the point)
