"""What made a number: commit, dirty tree, lock file, code of the rooms, data, parameters."""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import platform
import subprocess
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import conviction

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from kedro.pipeline import Pipeline

# The rooms whose code decides what a pipeline's nodes give; `frames` and `errors` are below all of them.
ROOMS: dict[str, tuple[str, ...]] = {
    "data_engineering": ("market", "panel", "labels", "features", "folds"),
    "leakage_audit": ("audit", "features", "labels"),
    "modeling": ("models", "tuning", "oof", "folds"),
    "ensembling": ("ensembling", "evaluation", "oof", "models"),
    "reporting": ("reporting", "evaluation", "portfolio", "oof", "models"),
    "feature_groups": ("oof", "models", "evaluation"),
    "inference": ("market", "panel", "features"),
    "holdout": ("oof", "models", "ensembling", "evaluation"),
}
# The code that decides what a feature row holds; the certificate of the audited panel names its hash.
FEATURE_ROOMS = ("market", "panel", "labels", "features")
# Parameters that change how fast something is made, never what is made.
HOW_NOT_WHAT = ("params:n_jobs",)
_LIBRARIES = (
    "kedro",
    "mlflow",
    "polars",
    "numpy",
    "scikit-learn",
    "lightgbm",
    "xgboost-cpu",
    "optuna",
    "skfolio",
    "arch",
    "ta-lib",
    "numba",
)


def sha(value: Any) -> str:
    """Return the SHA-256 of plain data, the same for equal data in any process."""
    return hashlib.sha256(json.dumps(value, sort_keys=True, default=str).encode()).hexdigest()


@cache
def room_sha(room: str) -> str:
    """Return the SHA-256 over all source files of one room of the library."""
    root = Path(conviction.__file__).parent
    files = sorted((root / room).rglob("*.py"))
    return sha([(str(file.relative_to(root)), hashlib.sha256(file.read_bytes()).hexdigest()) for file in files])


def code_sha(rooms: Iterable[str]) -> str:
    """Return the SHA-256 over the code of several rooms."""
    return sha({room: room_sha(room) for room in sorted(rooms)})


def _git(root: Path, *arguments: str) -> str | None:
    try:
        done = subprocess.run(
            ["git", "-C", str(root), *arguments], capture_output=True, text=True, timeout=20, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout if done.returncode == 0 else None


def tree_state(root: Path) -> dict[str, str]:
    """Return commit, branch, dirty flag and, for a dirty tree, the hash of its difference from the commit.

    Parameters
    ----------
    root : pathlib.Path
        The project's folder.

    Returns
    -------
    dict
        `commit`, `branch`, `dirty` ("true", "false" or "unknown") and `diff_sha` (only when dirty). Untracked files count as
        dirty unless git ignores them.
    """
    commit = _git(root, "rev-parse", "HEAD")
    if commit is None:
        return {"commit": "unknown", "branch": "unknown", "dirty": "unknown"}
    state = {"commit": commit.strip(), "branch": (_git(root, "rev-parse", "--abbrev-ref", "HEAD") or "unknown").strip()}
    status = _git(root, "status", "--porcelain") or ""
    state["dirty"] = "true" if status.strip() else "false"
    if status.strip():
        untracked = (_git(root, "ls-files", "--others", "--exclude-standard") or "").splitlines()
        contents = [
            (name, hashlib.sha256((root / name).read_bytes()).hexdigest())
            for name in untracked
            if (root / name).is_file()
        ]
        state["diff_sha"] = sha([_git(root, "diff", "HEAD"), contents])
    return state


def environment_facts(root: Path) -> dict[str, str]:
    """Return the lock file's hash, Python, platform and the versions of the libraries that decide results."""
    lock = root / "requirements" / "core.txt"
    facts = {
        "lock_sha": hashlib.sha256(lock.read_bytes()).hexdigest() if lock.exists() else "no lock file",
        "python": platform.python_version(),
        "platform": f"{platform.system()}-{platform.machine()}",
    }
    for library in _LIBRARIES:
        try:
            facts[f"version.{library}"] = importlib.metadata.version(library)
        except importlib.metadata.PackageNotFoundError:
            facts[f"version.{library}"] = "not installed"
    return facts


def dataset_keys(pipeline: Pipeline, parameters: Mapping[str, Any], raw: Mapping[str, str]) -> dict[str, str]:
    """Return the key of every dataset that a pipeline reads or writes.

    A key is the hash of the code of the rooms that a node uses, its parameters and the keys of its inputs; a raw input's key is
    its content. Equal keys mean that running again would give the same data.

    Parameters
    ----------
    pipeline : kedro.pipeline.Pipeline
        All nodes, so that the keys of data which a partial pipeline only reads come out too.
    parameters : mapping
        Values of `params:` inputs by their full names, plain data.
    raw : mapping
        Content hashes of the inputs that no node makes.

    Returns
    -------
    dict
        Dataset name -> 64 hexadecimal digits.
    """
    keys = dict(raw)
    for node in pipeline.nodes:
        rooms = {room for tag in node.tags for room in ROOMS.get(tag, ())}
        given = [name for name in node.inputs if name.startswith(("params:", "parameters"))]
        values = {name: parameters.get(name) for name in given if name not in HOW_NOT_WHAT}
        upstream = {name: keys.get(name) for name in node.inputs if name not in given}
        if None in upstream.values():
            continue
        for output in node.outputs:
            keys[output] = sha([node.func.__qualname__, code_sha(rooms), values, upstream, output])
    return keys
