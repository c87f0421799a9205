"""`kedro inventory`: which artifacts exist where, with hashes and runs."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from conviction_kedro.console import readable_errors

if TYPE_CHECKING:
    from conviction_kedro.project import Project
    from conviction_kedro.runs import TrackedRun


def saved_datasets(project: Project) -> list[dict[str, Any]]:
    """Return every snapshot of the catalog that exists: dataset, layer, where, hash, session of the run that made it."""
    from conviction_kedro.datasets import Snapshot

    rows = []
    catalog: Any = project.context.catalog
    for name in sorted(catalog.keys()):
        dataset = catalog.get(name)
        sidecar = dataset.sidecar() if isinstance(dataset, Snapshot) else None
        if sidecar is None:
            continue
        layer = ((dataset.metadata or {}).get("kedro-viz") or {}).get("layer")
        rows.append(
            {
                "what": name,
                "kind": layer,
                "where": dataset.filepath,
                "sha": sidecar["content_sha"],
                "session": sidecar["run_id"],
            }
        )
    return rows


def tracked_artifacts(run: TrackedRun) -> list[dict[str, Any]]:
    """Return every artifact of a run and its children in the run store: path, where, size, and the hash the run noted of it."""
    from conviction_kedro.runs import RunError

    try:
        noted = {f"{entry['artifact']}/{entry['file']}": entry["content_sha"] for entry in run.outputs.values()}
    except RunError:  # a run that did not finish
        noted = {}
    rows = [
        {
            "what": path,
            "kind": path.split("/", 1)[0],
            "where": f"{run.run.info.artifact_uri}/{path}",
            "size": size,
            "sha": noted.get(path),
            "run": run.run_id,
        }
        for path, size in sorted(run.artifacts().items())
    ]
    for key, child in sorted(run.children.items()):
        rows += [
            {
                "what": f"{key}: {path}",
                "kind": "model" if path.split("/", 1)[0] in {"model", "folds"} else path.split("/", 1)[0],
                "where": f"{child.info.artifact_uri}/{path}",
                "size": size,
                "sha": None,
                "run": child.info.run_id,
            }
            for path, size in sorted(run.artifacts_of(child.info.run_id).items())
        ]
    return rows


def registered_models(client: Any) -> list[dict[str, Any]]:
    """Return every version of every registered model: name, version, aliases, where, the run it came from."""
    rows = []
    for model in client.search_registered_models():
        aliases: dict[str, list[str]] = {}
        for alias, version in model.aliases.items():
            aliases.setdefault(str(version), []).append(alias)
        versions = sorted(client.search_model_versions(f"name='{model.name}'"), key=lambda one: int(one.version))
        rows += [
            {
                "what": f"{model.name} v{version.version}",
                "kind": ", ".join(sorted(aliases.get(str(version.version), []))) or "no alias",
                "where": version.source,
                "sha": version.tags.get("content_sha"),
                "run": version.run_id,
            }
            for version in versions
        ]
    return rows


def _section(title: str, rows: list[dict[str, Any]]) -> list[str]:
    lines = [f"{title}: {len(rows)}"]
    for row in rows:
        sha = (row["sha"] or "")[:12] or "-"
        size = f"{row['size'] / 1024:.0f} kB" if row.get("size") is not None else ""
        run = row.get("session") or (row.get("run") or "")[:8]
        lines.append(f"  {row['what']:44s} {row['kind'] or '':13s} {sha:12s} {size:>8s}  {run}  {row['where']}")
    return lines


@click.command(name="inventory")
@click.argument("name", metavar="RUN", default="latest")
@click.option("--env", "-e", default=None, help="Environment, conf/<env>.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of lines.")
def inventory(name: str, env: str | None, *, as_json: bool) -> None:
    """Show which artifacts exist where: saved data, artifacts of a run (the latest), registered models; hashes and runs."""
    from conviction_kedro.project import open_project
    from conviction_kedro.runs import RunError, open_reader
    from conviction_kedro.tracking import open_client

    with readable_errors(), open_project(env) as project, tempfile.TemporaryDirectory() as home:
        found = {"saved": saved_datasets(project), "run": [], "registry": []}
        try:
            found["run"] = tracked_artifacts(open_reader(project, Path(home)).find(name))
        except RunError:
            if name != "latest":
                raise
        found["registry"] = registered_models(open_client(project.tracking, project.root))
    if as_json:
        click.echo(json.dumps(found, indent=1))
        return
    titles = {"saved": "SAVED DATA", "run": "ARTIFACTS OF THE RUN", "registry": "REGISTERED MODELS"}
    click.echo("\n".join(line for key, title in titles.items() for line in _section(title, found[key])))
