"""`kedro runs`: what was run, when, on what, and what came of it."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from conviction_kedro.console import readable_errors

if TYPE_CHECKING:
    from conviction_kedro.runs import TrackedRun

METRICS = ("auc_daily", "auc_pooled")


def describe(run: TrackedRun, *, killed: bool) -> dict[str, Any]:
    """Return one run as plain data: identity, state, dataset, and for each target the score that stands for it.

    Parameters
    ----------
    run : TrackedRun
    killed : bool
        Whether its process is known to be gone though the store says RUNNING.

    Returns
    -------
    dict
        `scores` has, for each target and split, the ensemble (or, without one, each model) with verdict and intervals.
    """
    tags = run.tags
    state = "killed, unfinished" if killed else str(run.run.info.status).lower()
    children = [child for child in run.children.values() if "verdict" in child.data.tags]
    judged = [child for child in children if child.data.tags.get("model") == "ensemble"] or children
    return {
        "run": run.run_id,
        "name": run.run.info.run_name,
        "when": run.begun.isoformat(timespec="seconds"),
        "state": state,
        "pipeline": tags.get("pipeline"),
        "dataset": f"{tags.get('source')} {tags.get('universe')}",
        "data_fingerprint": tags.get("data_fingerprint"),
        "commit": tags.get("commit"),
        "dirty": tags.get("dirty"),
        "audit": tags.get("audit_verdict"),
        "replay_of": tags.get("replay_of"),
        "error": tags.get("error"),
        "scores": sorted((_score(child.data) for child in judged), key=lambda row: (row["target"], row["model"])),
    }


def _score(data: Any) -> dict[str, Any]:
    row: dict[str, Any] = {name: data.tags.get(name) for name in ("target", "model", "split", "verdict")}
    for metric in METRICS:
        names = (metric, f"{metric}_lo", f"{metric}_hi")
        if all(name in data.metrics for name in names):
            row[metric] = [data.metrics[name] for name in names]
    return row


def _lines(row: dict[str, Any]) -> list[str]:
    data = (row["data_fingerprint"] or "")[:8]
    notes = [row["state"], f"audit {row['audit']}" if row["audit"] else "", f"data {data}" if data else ""]
    if row["replay_of"]:
        notes.append(f"replay of {row['replay_of'][:8]}")
    head = f"{row['run'][:8]}  {row['when'][:16].replace('T', ' ')}  {row['name']}  ({', '.join(filter(None, notes))})"
    lines = [head]
    for score in row["scores"]:
        metric = next((name for name in METRICS if name in score), None)
        shown = "undefined"
        if metric is not None:
            value, low, high = score[metric]
            shown = f"{metric} {value:.4f} [{low:.4f}, {high:.4f}]"
        split = "" if score["split"] in {None, "oof"} else f" {score['split']}"
        lines.append(f"          {score['target']:10s} {score['model']}{split}: {shown}  {score['verdict']}")
    if row["error"]:
        lines.append(f"          {row['error'].splitlines()[0][:160]}")
    return lines


@click.command(name="runs")
@click.option("--env", "-e", default=None, help="Environment whose run store is read.")
@click.option("--limit", default=20, show_default=True, type=click.IntRange(1), help="How many, newest first.")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON list instead of lines.")
def runs(env: str | None, *, limit: int, as_json: bool) -> None:
    """List the runs on record: when, on which data, their state, verdicts with intervals."""
    from conviction_kedro.project import open_project
    from conviction_kedro.resuming import Journal
    from conviction_kedro.runs import open_reader

    with readable_errors(), open_project(env) as project, tempfile.TemporaryDirectory() as home:
        gone = Journal(project.root).unfinished()
        rows = [
            describe(run, killed=run.run.info.status == "RUNNING" and run.tags.get("session_id") in gone)
            for run in open_reader(project, Path(home)).runs(limit=limit)
        ]
    if as_json:
        click.echo(json.dumps(rows, indent=1))
    elif not rows:
        click.echo("No run is on record yet; `kedro run` makes the first.")
    else:
        click.echo("\n".join(line for row in rows for line in _lines(row)))
