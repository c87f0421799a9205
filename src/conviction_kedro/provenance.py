"""What made a number: commit, dirty tree, lock file, code of the rooms, data, parameters."""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import os
import platform
import subprocess
import tempfile
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
    "delegated_tuning": ("models", "tuning", "oof", "folds"),
    "ensembling": ("ensembling", "evaluation", "oof", "models"),
    "reporting": ("reporting", "evaluation", "portfolio", "oof", "models", "audit", "features", "labels"),
    "feature_groups": ("oof", "models", "evaluation"),
    "inference": ("market", "panel", "features"),
    "monitoring": ("market", "panel", "labels", "features", "serving", "monitoring", "evaluation"),
    "holdout": ("oof", "models", "ensembling", "evaluation"),
}
# The code that decides what a feature row holds; the certificate of the audited panel names its hash.
FEATURE_ROOMS = ("market", "panel", "labels", "features")
# Parameters that change how fast something is made, never what is made.
HOW_NOT_WHAT = ("params:n_jobs",)
# The same of leaves inside a parameter that a node takes whole.
HOW_WITHIN = {"params:modeling": ("tuning", "storage")}
_DIFF = (
    "diff",
    "HEAD",
    "--binary",
    "--full-index",
    "--no-color",
    "--no-ext-diff",
    "--src-prefix=a/",
    "--dst-prefix=b/",
)
_LIBRARIES = (
    "kedro",
    "mlflow",
    "polars",
    "numpy",
    "scikit-learn",
    "lightgbm",
    "xgboost-cpu",
    "catboost",
    "torch",
    "pytorch-tabnet",
    "distributed",
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


@cache
def packages_sha() -> str:
    """Return the SHA-256 over all source files of the library and of the workspace."""
    library, workspace = Path(conviction.__file__).parent, Path(__file__).parent
    # Each by its own place: the two packages need not lie in one folder.
    found = [(root, file) for root in (library, workspace) for file in sorted(root.rglob("*.py"))]
    return sha(
        [(str(file.relative_to(root.parent)), hashlib.sha256(file.read_bytes()).hexdigest()) for root, file in found]
    )


def is_parameter(name: str) -> bool:
    """Return whether a node's input is a parameter rather than a dataset.

    Examples
    --------
    >>> [is_parameter(name) for name in ("params:seed", "parameters", "bars")]
    [True, True, False]
    """
    return name.startswith("params:") or name == "parameters"


def code_sha(rooms: Iterable[str]) -> str:
    """Return the SHA-256 over the code of several rooms."""
    return sha({room: room_sha(room) for room in sorted(rooms)})


def _git(root: Path, *arguments: str, environment: Mapping[str, str] | None = None) -> str | None:
    try:
        done = subprocess.run(
            ["git", "-C", str(root), *arguments],
            capture_output=True,
            encoding="utf-8",
            errors="surrogateescape",
            timeout=60,
            check=False,
            env={**os.environ, **(environment or {})},
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
        state["diff_sha"] = sha(tree_difference(root))
    return state


def tree_difference(root: Path) -> str:
    """Return the difference of a tree from its commit as a patch, new files included, the same in any clone.

    Parameters
    ----------
    root : pathlib.Path
        The project's folder.

    Returns
    -------
    str
        Empty for a clean tree and outside git. `git apply` makes the tree from the commit. Files that git ignores have no part.
    """
    with tempfile.TemporaryDirectory() as home:
        # An index of its own: new files are named there, without their content, and the user's index stays as it is.
        index = {"GIT_INDEX_FILE": str(Path(home) / "index")}
        _git(root, "read-tree", "HEAD", environment=index)
        _git(root, "add", "--all", "--intent-to-add", ".", environment=index)
        return _git(root, *_DIFF, environment=index) or ""


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


def _what(name: str, value: Any) -> Any:
    """Return a parameter without the leaf that says where or how fast, not what."""
    if name not in HOW_WITHIN or not isinstance(value, dict):
        return value
    stage, leaf = HOW_WITHIN[name]
    return {**value, stage: {key: item for key, item in value[stage].items() if key != leaf}}


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
        given = [name for name in node.inputs if is_parameter(name)]
        values = {name: _what(name, parameters.get(name)) for name in given if name not in HOW_NOT_WHAT}
        upstream = {name: keys.get(name) for name in node.inputs if name not in given}
        if None in upstream.values():
            continue
        for output in node.outputs:
            keys[output] = sha([node.func.__qualname__, code_sha(rooms), values, upstream, output])
    return keys


def run_key(
    *, parameters: Mapping[str, Any], raw: Mapping[str, str], versions: Mapping[str, str], asked: Mapping[str, Any]
) -> str:
    """Return the hash of all that decides what a command gives: two runs with one key give the same bytes.

    Parameters
    ----------
    parameters : mapping
        All parameters, plain data; those that only say how fast (`HOW_NOT_WHAT`) play no part.
    raw : mapping
        Content hashes of the inputs that no node makes.
    versions : mapping
        `environment_facts`: Python, platform, libraries, lock.
    asked : mapping
        What the command names: pipelines, environment, filters.

    Returns
    -------
    str
        64 hexadecimal digits. The code is that of both packages as it is installed, not the commit: a commit in between
        changes nothing.
    """
    what = {
        name: _what(f"params:{name}", value)
        for name, value in parameters.items()
        if f"params:{name}" not in HOW_NOT_WHAT
    }
    return sha([what, dict(raw), dict(versions), dict(asked), packages_sha()])
