"""A workspace of its own in a temporary folder, run through the command line as a user would."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

SMALL = yaml.safe_load((Path(__file__).parent / "small.yml").read_text())


@dataclass
class Workspace:
    """A copy of the project's configuration with everything that runs make."""

    root: Path

    def kedro(self, *arguments: str, timeout: float = 500, **environment: str) -> subprocess.CompletedProcess[str]:
        """Run `kedro` there and return what it said."""
        variables = {
            key: value for key, value in os.environ.items() if not key.startswith(("MLFLOW_", "CONVICTION_", "KEDRO_"))
        }
        variables |= {"DO_NOT_TRACK": "true", "COLUMNS": "200", **environment}
        # The coverage and warning settings of the test process are none of the command's business.
        variables.pop("PYTHONWARNINGS", None)
        command = [sys.executable, "-m", "kedro", *arguments]
        return subprocess.run(
            command, cwd=self.root, env=variables, capture_output=True, text=True, timeout=timeout, check=False
        )

    def configure(self, changes: dict, env: str = "local") -> None:
        """Lay parameters over the base ones."""
        folder = self.root / "conf" / env
        folder.mkdir(exist_ok=True)
        (folder / "parameters_test.yml").write_text(yaml.safe_dump(changes))

    def bytes_of(self, *patterns: str) -> dict[str, bytes]:
        """Return the content of files below data/ by their relative paths."""
        data = self.root / "data"
        return {
            str(path.relative_to(data)): path.read_bytes()
            for pattern in patterns
            for path in sorted(data.glob(pattern))
        }

    def client(self):
        """Return a client of the workspace's tracking store."""
        from mlflow.tracking import MlflowClient

        return MlflowClient(f"sqlite:///{self.root / 'mlflow.db'}")

    def runs(self, experiment: str = "research") -> list:
        """Return parent and child runs, newest first."""
        client = self.client()
        return client.search_runs([client.get_experiment_by_name(experiment).experiment_id], max_results=500)


def make_workspace(root: Path, project: Path) -> Workspace:
    """Copy what a clone has, without the code: that is installed."""
    shutil.copytree(project / "conf", root / "conf", ignore=shutil.ignore_patterns("local"))
    for name in ("pyproject.toml", ".telemetry"):
        shutil.copy(project / name, root / name)
    for name in ("src", "conf/local"):
        (root / name).mkdir(parents=True)
    workspace = Workspace(root)
    workspace.configure(SMALL)
    return workspace


@pytest.fixture(scope="session")
def finished(tmp_path_factory, project_dir):
    """A workspace after one small main job; tests only read it."""
    workspace = make_workspace(tmp_path_factory.mktemp("workspace"), project_dir)
    done = workspace.kedro("run")
    assert done.returncode == 0, done.stdout + done.stderr
    workspace.output = done.stdout + done.stderr
    return workspace


@pytest.fixture
def workspace(tmp_path, finished):
    """A workspace with a finished main job, the test's own to break."""
    root = tmp_path / "workspace"
    shutil.copytree(finished.root, root)
    return Workspace(root)


@pytest.fixture
def new_workspace(tmp_path, project_dir):
    """Make workspaces in which nothing ran yet."""

    def make(name):
        root = tmp_path / name
        root.mkdir()
        return make_workspace(root, project_dir)

    return make


@pytest.fixture
def fresh_workspace(new_workspace):
    """A workspace in which nothing ran yet."""
    return new_workspace("workspace")


@pytest.fixture(scope="session")
def shared_workspace(tmp_path_factory, project_dir):
    """A function that makes a workspace in which nothing ran yet, for a module to share."""
    return lambda name: make_workspace(tmp_path_factory.mktemp(name), project_dir)


@pytest.fixture
def copy_of(tmp_path):
    """A function that copies a workspace, the test's own to break."""

    def copied(workspace):
        shutil.copytree(workspace.root, tmp_path / "workspace")
        return Workspace(tmp_path / "workspace")

    return copied
