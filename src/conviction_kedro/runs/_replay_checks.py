"""Before a replay: whether everything that made the run is here as it was."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from conviction_kedro.hooks._provenance import nodes_that_matter, raw_contents
from conviction_kedro.parameters import validate_parameters
from conviction_kedro.provenance import HOW_NOT_WHAT, environment_facts, packages_sha, tree_state
from conviction_kedro.resuming import JOURNAL
from conviction_kedro.run_record import DIFF_FILE, FOLDER

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from kedro.pipeline import Pipeline

    from conviction_kedro.project import Project
    from conviction_kedro.runs._reading import TrackedRun

# Where the user's files lie and how fast things go may differ; what they hold and what comes out may not.
_FREE = ("paths", *(name.removeprefix("params:") for name in HOW_NOT_WHAT))
_PLATFORM = ("platform", "python")


@dataclass(frozen=True)
class Check:
    """One thing that made the run, as it was and as it is.

    Attributes
    ----------
    name, recorded, now : str
    holds : bool
    remedy : str
        What to do when it does not hold.
    """

    name: str
    recorded: str
    now: str
    remedy: str

    @property
    def holds(self) -> bool:
        """Whether it is the same and known."""
        return self.recorded == self.now


def leaves(value: Any, prefix: str = "") -> dict[str, Any]:
    """Return the leaves of nested mappings by dotted names; lists are leaves.

    Examples
    --------
    >>> leaves({"a": {"b": 1, "c": [2]}})
    {'a.b': 1, 'a.c': [2]}
    """
    if not isinstance(value, dict) or not value:
        return {prefix: value}
    found: dict[str, Any] = {}
    for key, item in value.items():
        found |= leaves(item, f"{prefix}.{key}" if prefix else str(key))
    return found


def overrides(recorded: Mapping[str, Any], now: Mapping[str, Any]) -> dict[str, Any]:
    """Return the recorded values that differ from those of now, as nested parameters to lay over them.

    Examples
    --------
    >>> overrides({"a": {"b": 1, "c": 2}, "seed": 3}, {"a": {"b": 1, "c": 9}, "seed": 3})
    {'a': {'c': 2}}
    """
    laid: dict[str, Any] = {}
    for key, value in recorded.items():
        other = now.get(key)
        if value == other or key in _FREE:
            continue
        laid[key] = overrides(value, other) if isinstance(value, dict) and isinstance(other, dict) else value
    return laid


def overlaid(under: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """Return nested mappings laid over others.

    Examples
    --------
    >>> overlaid({"a": {"b": 1}}, {"a": {"c": 2}})
    {'a': {'b': 1, 'c': 2}}
    """
    laid = dict(under)
    for key, value in over.items():
        old = laid.get(key)
        laid[key] = overlaid(old, value) if isinstance(old, dict) and isinstance(value, dict) else value
    return laid


def checks(run: TrackedRun, project: Project, pipeline: Pipeline) -> list[Check]:
    """Return every check of a run against the project as it stands, with the parameters that a replay would use.

    Parameters
    ----------
    run : TrackedRun
    project : Project
        Opened with the run's environment and parameters.
    pipeline : kedro.pipeline.Pipeline
        What the replay would run.

    Returns
    -------
    list of Check
    """
    record = run.record
    was = {**record["provenance"]}
    now = {**tree_state(project.root), **environment_facts(project.root), "code_sha": packages_sha()}
    same_tree = was.get("diff_sha", "clean") == now.get("diff_sha", "clean")
    found = [
        _check("commit", was, now, f"git checkout {was.get('commit')}"),
        Check(
            "difference from the commit",
            str(was.get("diff_sha", "none"))[:16],
            str(now.get("diff_sha", "none"))[:16],
            "" if same_tree else _difference_remedy(run, project.root),
        ),
        _check("code_sha", was, now, "install the code of that commit"),
        _check("lock_sha", was, now, "check out the lock file of that commit"),
    ]
    found += [
        _check(name, was, now, "make setup, from the lock file of that commit")
        for name in sorted(was)
        if name.startswith("version.")
    ]
    return found + _parameter_checks(record["parameters"], project) + _data_checks(record["keys"], project, pipeline)


def other_platform(run: TrackedRun, root: Path) -> list[str]:
    """Return what of the platform is another one than the run's: there, equal means equal within a tolerance."""
    was, now = run.record["provenance"], environment_facts(root)
    return [f"{name} {was.get(name)} then, {now[name]} now" for name in _PLATFORM if was.get(name) != now[name]]


def _check(name: str, was: Mapping[str, str], now: Mapping[str, str], remedy: str) -> Check:
    return Check(name, str(was.get(name, "none")), str(now.get(name, "none")), remedy)


def _difference_remedy(run: TrackedRun, root: Path) -> str:
    kept = run.tags.get("difference")
    if kept is None:
        return "the run's tree was clean: git stash"
    if kept != "whole":
        return f"the run's difference was {kept}; it cannot be restored from the record"
    target = root / JOURNAL.parent / "replay" / f"{run.short}.patch"
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(run.artifact(f"{FOLDER}/{DIFF_FILE}").read_bytes())
    return f"at that commit: git stash, then git apply {target.relative_to(root)}"


def _parameter_checks(recorded: Mapping[str, Any], project: Project) -> list[Check]:
    now = leaves(validate_parameters(project.context.params).model_dump(mode="json"))
    was = leaves(recorded)
    names = sorted(name for name in {*was, *now} if name.split(".")[0] not in _FREE)
    differ = [name for name in names if was.get(name) != now.get(name)]
    told = [
        Check(f"parameter {name}", str(was.get(name)), str(now.get(name)), "remove it from conf/ for the replay")
        for name in differ
    ]
    count = f"{len(names)} values"
    return [*told, Check("seed", str(was.get("seed")), str(now.get("seed")), "")] + (
        [] if differ else [Check("parameters", count, count, "")]
    )


def _data_checks(keys: Mapping[str, str], project: Project, pipeline: Pipeline) -> list[Check]:
    catalog: Any = project.context.catalog
    made = nodes_that_matter(pipeline).all_outputs()
    found = raw_contents(pipeline, catalog)
    return [
        Check(
            f"data {name}",
            keys.get(name, "none")[:16],
            content[:16],
            "point the catalog to the data of that run (paths.*, CONVICTION_BARS, the pinned version)",
        )
        for name, content in found.items()
        if name not in made and not hasattr(catalog.get(name), "sidecar")
    ]
