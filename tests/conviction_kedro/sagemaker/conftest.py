"""A small panel with its plan, its bundle on a disk, and the entry point run as a container runs it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tarfile
import uuid
from io import BytesIO
from pathlib import Path

import pytest

from conviction.folds import FoldParameters, make_fold_plan
from conviction.testing import planted_panel
from conviction_kedro.sagemaker._archive import code_archive
from conviction_kedro.sagemaker._bundle import training_bundle
from conviction_kedro.sagemaker._stand_in import LocalCloud
from conviction_kedro.sagemaker._stand_in_faults import Faults

TARGETS = ("relative", "direction")


@pytest.fixture(scope="session")
def panel():
    return planted_panel(n_symbols=6, n_sessions=420, n_features=8, planted_auc=0.62, seed=3, missing=0.05)


@pytest.fixture(scope="session")
def plan(panel):
    return make_fold_plan(
        panel.labels, folds=FoldParameters(purge=1, embargo=5, holdout_sessions=60, n_folds=2, min_train_sessions=150)
    )


@pytest.fixture(scope="session")
def bundle(panel, plan):
    return training_bundle(panel, plan, targets=TARGETS, folds=plan.folds, inner_folds=2)


@pytest.fixture
def cloud():
    made = []

    def make(**faults):
        # Servers of one process share their buckets.
        made.append(LocalCloud(f"team-{uuid.uuid4().hex[:12]}", faults=Faults(**faults)))
        return made[-1]

    yield make
    for one in made:
        one.close()


class Container:
    """The layout of /opt/ml in a folder of its own, with the code unpacked from its archive."""

    def __init__(self, root: Path, bundle, model: str) -> None:
        self.root = root
        self.code = root / "code"
        self.code.mkdir(parents=True)
        with tarfile.open(fileobj=BytesIO(code_archive(model).content)) as archive:
            archive.extractall(self.code, filter="data")
        self.channel = root / "input/data/train"
        self.channel.mkdir(parents=True)
        for name, content in bundle.files.items():
            (self.channel / name).write_bytes(content)

    def run(self, *arguments: str, channel: str | None = "SM_CHANNEL_TRAIN") -> subprocess.CompletedProcess:
        environment = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
        environment |= {
            "SAGEMAKER_BASE_DIR": str(self.root),
            "SM_MODEL_DIR": str(self.root / "model"),
            "SM_OUTPUT_DATA_DIR": str(self.root / "output/data"),
            "OMP_NUM_THREADS": "1",
        }
        if channel:
            environment[channel] = str(self.channel)
        command = [sys.executable, "-W", "error::SyntaxWarning", "entry_point.py", *arguments]
        return subprocess.run(
            command, cwd=self.code, env=environment, capture_output=True, text=True, timeout=200, check=False
        )

    def metrics(self) -> dict:
        return json.loads((self.root / "output/data/metrics.json").read_text())

    def failure(self) -> str:
        return (self.root / "output/failure").read_text()


@pytest.fixture
def container(tmp_path, bundle):
    def make(model: str) -> Container:
        return Container(tmp_path / model, bundle, model)

    return make
