"""Which engine the pipelines are built for: known before they are built, from the environment and the parameters of a run."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from conviction.errors import ParameterError

if TYPE_CHECKING:
    from collections.abc import Mapping

DELEGATED = ("sagemaker", "sagemaker-local")
_CHOSEN: dict[str, str] = {}


def choose_engine(options: Mapping[str, Any], root: Path) -> str:
    """Read the engine of a run from its options and configuration, and build the pipelines for it from now on.

    Parameters
    ----------
    options : mapping
        Options of `kedro run`: `env`, `params`, `conf_source`.
    root : pathlib.Path
        The project.

    Returns
    -------
    str
    """
    given = dict(options.get("params") or {})
    engine = given.get("engine")
    if engine is None:
        conf = Path(options.get("conf_source") or root / "conf")
        engine = _configured(conf, options.get("env") or os.environ.get("KEDRO_ENV"))
    _set(str(engine))
    return str(engine)


def engine_of_pipelines() -> str:
    """Return the engine that the pipelines are built for; of the environment `KEDRO_ENV` when no run has chosen one."""
    if "engine" not in _CHOSEN:
        _CHOSEN["engine"] = _configured(Path.cwd() / "conf", os.environ.get("KEDRO_ENV"))
    return _CHOSEN["engine"]


def follow_engine(engine: str) -> None:
    """Have the pipelines built for the engine that a session's parameters name, however the session was opened."""
    engine_of_pipelines()
    _set(engine)


def only_the_request(options: Mapping[str, Any], *, engine: str) -> dict[str, Any]:
    """Return the options of a dry run: the one node that makes the requests and checks them.

    Raises
    ------
    ParameterError
        For an engine that delegates nothing, or a choice of nodes of its own.
    """
    if engine not in DELEGATED:
        raise ParameterError(
            what="--dry-run writes the requests of delegated tuning, and this run delegates nothing",
            got=f"engine={engine}",
            allowed=", ".join(DELEGATED),
            fix="kedro run --pipeline=modeling --env=sagemaker --dry-run",
        )
    chosen = [name for name in ("from_nodes", "to_nodes", "node_names", "tags") if options.get(name)]
    if chosen:
        raise ParameterError(
            what="--dry-run runs one node and takes no choice of nodes", got=chosen, allowed="none", fix="leave it out"
        )
    return {"node_names": ("modeling.request_tuning",)}


def _set(engine: str) -> None:
    from kedro.framework.project import pipelines

    if (_CHOSEN.get("engine", engine) in DELEGATED) != (engine in DELEGATED):
        # Built for another engine earlier in this process; a changed request makes Kedro build them anew.
        pipelines.set_requested(["__default__"])
        pipelines.set_requested(None)
    _CHOSEN["engine"] = engine


def _configured(conf: Path, env: str | None) -> str:
    import yaml

    engine = "local"
    for name in dict.fromkeys(("base", env or "local")):
        # Read as plain text: the configuration loader would resolve everything else too, and this runs before it exists.
        for file in sorted((conf / name).glob("parameters*.yml")):
            content = yaml.safe_load(file.read_text(encoding="utf-8")) or {}
            engine = content.get("engine", engine)
    return str(engine)
