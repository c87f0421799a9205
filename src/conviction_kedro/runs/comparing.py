"""`kedro compare`: runs side by side, with paired intervals and all that differs."""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from conviction_kedro.console import readable_errors

if TYPE_CHECKING:
    from collections.abc import Sequence

    from conviction_kedro.runs import TrackedRun

_FOLDER = Path("data") / "08_reporting" / "comparisons"


def compare_runs(chosen: Sequence[TrackedRun], *, root: Path, models: Sequence[str] | None = None) -> dict[str, Any]:
    """Return the comparison of runs as plain data; the first is what the others are compared with.

    Parameters
    ----------
    chosen : sequence of TrackedRun
        Two or more.
    root : pathlib.Path
        The project's folder, whose git history tells what changed between two commits.
    models : sequence of str, optional
        See `paired_scores`.

    Returns
    -------
    dict
        `runs`, `pairs`, `parameters`, `data`, `code`, `differences`, `sentence`.
    """
    from conviction_kedro.runs._differences import (
        code_differences,
        data_differences,
        differences_kept,
        paired_scores,
        parameter_differences,
    )
    from conviction_kedro.runs.listing import describe

    first, others = chosen[0], chosen[1:]
    pairs = [pair.as_dict() for run in others for pair in paired_scores(run, first, models=models)]
    return {
        "runs": [describe(run, killed=False) for run in chosen],
        "pairs": pairs,
        "parameters": parameter_differences(chosen),
        "data": data_differences(chosen),
        "code": code_differences(chosen, root),
        "differences": differences_kept(chosen),
        "sentence": _sentence(pairs),
    }


def _sentence(pairs: Sequence[dict[str, Any]]) -> str:
    told = [pair for pair in pairs if pair["delta"] is not None]
    clear = [pair for pair in told if pair["lo"] > 0 or pair["hi"] < 0]
    refused = len(pairs) - len(told)
    text = f"{len(clear)} of {len(told)} paired differences are distinguishable from zero"
    if len(told) > 1:
        text += f" ({len(told)} looks: about {0.05 * len(told):.1f} would be by luck alone)"
    return f"{text}; {refused} were refused." if refused else f"{text}."


def _text(view: dict[str, Any]) -> str:
    names = [run["run"][:8] for run in view["runs"]]
    lines = [
        f"{run['run'][:8]}  {run['when'][:16].replace('T', ' ')}  {run['name']}  ({run['state']})"
        for run in view["runs"]
    ]
    lines += ["", f"PAIRED DIFFERENCES (run minus {names[0]}, common rows, 95 % from blocks of sessions)"]
    for pair in view["pairs"]:
        head = f"  {pair['run'][:8]}  {pair['target']:10s} {pair['model']:12s} {pair['metric']:10s} "
        if pair["delta"] is None:
            lines.append(f"{head} refused: {pair['refused']}")
            continue
        lines.append(
            f"{head} {pair['delta']:+.4f} [{pair['lo']:+.4f}, {pair['hi']:+.4f}]  p {pair['p']:.3f}  "
            f"({pair['value']:.4f} against {pair['other']:.4f}; {pair['n_rows']} common rows, {pair['n_sessions']} sessions, "
            f"{pair['n_unpaired']} rows in one run only)"
        )
    lines.append(f"  {view['sentence']}")
    for title in ("parameters", "data", "code"):
        lines += ["", f"{title.upper()} that differ: {len(view[title])}"]
        for name, values in view[title].items():
            cells = [value if len(value) <= 60 else f"{value[:57]}..." for value in values]
            lines.append(f"  {name}: {' | '.join(cell.splitlines()[-1] if cell else '' for cell in cells)}")
    return "\n".join(lines)


@click.command(name="compare")
@click.argument("names", nargs=-1, required=True, metavar="RUN RUN ...")
@click.option("--env", "-e", default=None, help="Environment whose run store is read.")
@click.option("--model", "models", multiple=True, help="Model to compare; may repeat. By default the ensemble.")
@click.option("--html", type=click.Path(path_type=Path), default=None, help="Where the page goes.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of text.")
def compare(
    names: tuple[str, ...], env: str | None, models: tuple[str, ...], html: Path | None, *, as_json: bool
) -> None:
    """Compare runs with the first one: paired intervals on common rows, parameters, data, code.

    Exit code 1 when no pair of scores can be compared. RUN is an identifier, its beginning, a run's name or `latest`.
    """
    from conviction_kedro.project import open_project
    from conviction_kedro.runs import RunError, open_reader
    from conviction_kedro.runs._comparison_page import render_comparison

    with readable_errors(), open_project(env) as project, tempfile.TemporaryDirectory() as home:
        reader = open_reader(project, Path(home))
        chosen = [reader.find(name) for name in names]
        if len({run.run_id for run in chosen}) < max(len(names), 2):
            raise RunError(
                what="a comparison needs different runs",
                got=", ".join(names),
                allowed="two runs or more, each named once",
                fix="choose them with `kedro runs`",
            )
        view = compare_runs(chosen, root=project.root, models=models or None)
        target = html or project.root / _FOLDER / f"{'-'.join(run.short for run in chosen)}.html"
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(render_comparison(view), encoding="utf-8")
        click.echo(
            json.dumps({**view, "page": str(target)}, indent=1) if as_json else f"{_text(view)}\n\npage: {target}"
        )
    if all(pair["delta"] is None for pair in view["pairs"]):
        sys.exit(1)
