"""The notebook that compares runs, in a workspace that has two."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest


@pytest.mark.slow
def test_two_runs_are_compared_in_the_notebook(workspace, project_dir):
    cells = json.loads((project_dir / "notebooks/04_compare_runs.ipynb").read_text(encoding="utf-8"))["cells"]
    code = "\n\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "code")
    script = workspace.root / "notebook.py"
    script.write_text(code.replace("pl.DataFrame(view", "frame = pl.DataFrame(view") + "\nprint(frame.rows())\n")
    refused = subprocess.run(
        [sys.executable, script.name], cwd=workspace.root, capture_output=True, text=True, check=False
    )
    assert "run `kedro run` twice first" in refused.stderr
    done = workspace.kedro("run", "--params=seed=7")
    assert done.returncode == 0, done.stderr
    seen = subprocess.run(
        [sys.executable, script.name], cwd=workspace.root, capture_output=True, text=True, check=False
    )
    assert seen.returncode == 0, seen.stderr
    assert "paired differences are distinguishable from zero" in seen.stdout
    assert "seed ['20130102', '7']" in seen.stdout
    assert "('relative', 'ensemble', 'auc_" in seen.stdout
