"""What was typed after `kedro run`, checked before anything is loaded: pipelines, environment, nodes, tags."""

from __future__ import annotations

from difflib import get_close_matches
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

from conviction.errors import ParameterError

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from kedro.pipeline import Pipeline

_NODE_OPTIONS = ("from_nodes", "to_nodes", "node_names")


def known_pipelines() -> list[str]:
    """Return the names that `--pipeline` takes, sorted.

    Examples
    --------
    >>> "modeling" in known_pipelines()
    True
    """
    folders = files("conviction_kedro.pipelines").iterdir()
    return sorted(
        ["__default__", *(folder.name for folder in folders if folder.is_dir() and folder.name[0] not in "._")]
    )


def check_usage(options: Mapping[str, Any], root: Path) -> None:
    """Refuse names that the project does not have.

    Parameters
    ----------
    options : mapping
        Options of `kedro run` by the names that Click gives them.
    root : Path
        The project's folder, which holds `conf/`.

    Raises
    ------
    ParameterError
        An unknown pipeline, environment, node or tag, with the known ones and the nearest.

    Examples
    --------
    >>> check_usage({"pipelines": "modelling"}, Path("."))
    Traceback (most recent call last):
    conviction.errors.ParameterError: unknown pipeline: got 'modelling'; ... Fix: did you mean 'modeling'?.
    """
    pipelines = _names(options.get("pipelines")) or _names(options.get("pipeline"))
    _check("pipeline", pipelines, known_pipelines())
    conf = root / "conf"
    if options.get("conf_source") is None and conf.is_dir():
        environments = [path.name for path in conf.iterdir() if path.is_dir()]
        _check("environment", _names(options.get("env")), environments)
    nodes = [name for option in _NODE_OPTIONS for name in _names(options.get(option))]
    tags = _names(options.get("tags"))
    if nodes or tags:
        chosen = _pipeline(pipelines)
        _check("node", nodes, [node.name for node in chosen.nodes])
        _check("tag", tags, {tag for node in chosen.nodes for tag in node.tags})


def _names(value: str | Collection[str] | None) -> list[str]:
    if value is None:
        return []
    return [name.strip() for name in (value.split(",") if isinstance(value, str) else value)]


def _check(kind: str, names: Collection[str], known: Collection[str]) -> None:
    for name in names:
        if name not in known:
            # Nodes carry the name of their pipeline as a namespace; people remember the last word.
            by_last_word = {entry.rsplit(".", 1)[-1]: entry for entry in known}
            near = get_close_matches(name.rsplit(".", 1)[-1], by_last_word, n=1)
            hint = f"did you mean {by_last_word[near[0]]!r}?" if near else None
            raise ParameterError.from_unknown_name(kind, name, known, fix=hint)


def _pipeline(names: Collection[str]) -> Pipeline:
    from kedro.framework.project import pipelines
    from kedro.pipeline import Pipeline

    return sum((pipelines[name] for name in names or ["__default__"]), Pipeline([]))
