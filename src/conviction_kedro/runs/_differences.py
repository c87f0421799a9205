"""What differs between runs: parameters, data, code; and the paired difference of their scores on the rows they share."""

from __future__ import annotations

import subprocess
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, cast, get_args

import polars as pl

from conviction.errors import EvaluationError
from conviction.frames import key_of
from conviction_kedro.run_record import DIFF_FILE, FOLDER
from conviction_kedro.runs._errors import RunError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from conviction_kedro.runs._reading import TrackedRun

PREDICTIONS = ("oof", "ensemble_oof", "holdout_oof")
_CODE = ("commit", "branch", "dirty", "diff_sha", "difference", "lock_sha", "python", "platform")
_DATA = ("data_fingerprint", "dataset_pin", "source", "universe", "environment")
_ABSENT = "-"


@dataclass(frozen=True)
class Paired:
    """One metric of one (target, model) in two runs, on the rows that both scored.

    Attributes
    ----------
    target, model, metric : str
    run, against : str
        Identifiers; `delta` is the run's value minus that of `against`.
    value, other, delta, lo, hi, p : float or None
        On the common rows; None when the two cannot be compared, and `refused` says why.
    n_rows, n_sessions, n_unpaired : int
        Common rows and sessions, and rows that only one of the two has.
    refused : str
        Empty, or why there is no number.
    """

    target: str
    model: str
    metric: str
    run: str
    against: str
    value: float | None = None
    other: float | None = None
    delta: float | None = None
    lo: float | None = None
    hi: float | None = None
    p: float | None = None
    n_rows: int = 0
    n_sessions: int = 0
    n_unpaired: int = 0
    refused: str = ""

    def as_dict(self) -> dict[str, Any]:
        """Return plain data."""
        return asdict(self)


def predictions_of(run: TrackedRun) -> pl.DataFrame:
    """Return all predictions that a run kept: symbol, session, target, model, fold, score, label, forward_return.

    Raises
    ------
    RunError
        When it kept none.
    """
    frames = [frame for name in PREDICTIONS if (frame := run.frame(name)) is not None]
    if not frames:
        raise RunError(
            what=f"run {run.short} kept no predictions",
            got=f"pipeline {run.tags.get('pipeline')}",
            allowed="a finished run of the main job, modeling, ensembling or holdout",
            fix="compare runs that predicted something (kedro runs)",
        )
    return pl.concat(frames, how="diagonal_relaxed")


def paired_scores(run: TrackedRun, against: TrackedRun, *, models: Sequence[str] | None = None) -> list[Paired]:
    """Compare two runs, target by target and model by model, by blocks of the sessions they share.

    Parameters
    ----------
    run, against : TrackedRun
    models : sequence of str, optional
        Models to compare; by default the ensemble, or every common model when one of the two has no ensemble.

    Returns
    -------
    list of Paired
        In the order of target, model, metric; one without a number where the two cannot be compared.

    Raises
    ------
    RunError
        When they share no (target, model).
    """
    from conviction.evaluation import EvaluationParameters, compare
    from conviction.evaluation._compare import ComparedMetric

    ours, theirs = predictions_of(run), predictions_of(against)
    key = ["target", "model"]
    common = ours.select(key).unique().join(theirs.select(key).unique(), on=key).sort(key)
    wanted = models or (["ensemble"] if "ensemble" in common["model"] else common["model"].unique().to_list())
    common = common.filter(pl.col("model").is_in(wanted))
    if common.is_empty():
        raise RunError(
            what=f"runs {run.short} and {against.short} scored nothing in common",
            got="; ".join(f"{one.short}: {_scored(frame)}" for one, frame in ((run, ours), (against, theirs))),
            allowed="a target and a model that both have",
            fix="compare runs of the same target, or name a model with --model",
        )
    evaluation = EvaluationParameters(**against.record["parameters"]["evaluation"])
    seed = int(against.record["parameters"]["seed"])
    rows = []
    for target, model in common.iter_rows():
        mine, other = (
            frame.filter((pl.col("target") == target) & (pl.col("model") == model)).sort(key_of(frame))
            for frame in (ours, theirs)
        )
        for metric in get_args(ComparedMetric):
            name = {"target": target, "model": model, "metric": metric, "run": run.run_id, "against": against.run_id}
            try:
                found = compare(mine, other, evaluation=evaluation, seed=seed, metric=cast("ComparedMetric", metric))
            except EvaluationError as error:
                rows.append(Paired(**name, refused=str(error)))
                continue
            rows.append(
                Paired(
                    **name,
                    value=found.a,
                    other=found.b,
                    delta=found.delta,
                    lo=found.lo,
                    hi=found.hi,
                    p=found.p,
                    n_rows=found.n_rows,
                    n_sessions=found.n_sessions,
                    n_unpaired=found.n_unpaired,
                )
            )
    return rows


def _scored(predictions: pl.DataFrame) -> str:
    pairs = predictions.select("target", "model").unique().sort("target", "model").iter_rows()
    return ", ".join("/".join(pair) for pair in pairs)


def differing(tables: Sequence[Mapping[str, Any]]) -> dict[str, list[str]]:
    """Return the entries that are not the same in all tables, each with its value in every table.

    Examples
    --------
    >>> differing([{"a": 1, "b": 2}, {"a": 1, "b": 3, "c": 4}])
    {'b': ['2', '3'], 'c': ['-', '4']}
    """
    names = sorted({name for table in tables for name in table})
    rows = {name: [str(table.get(name, _ABSENT)) for table in tables] for name in names}
    return {name: values for name, values in rows.items() if len(set(values)) > 1}


def parameter_differences(runs: Sequence[TrackedRun]) -> dict[str, list[str]]:
    """Return the parameters that differ, by dotted name."""
    return differing([dict(_leaves("", run.record["parameters"])) for run in runs])


def _leaves(prefix: str, value: Any) -> list[tuple[str, str]]:
    if isinstance(value, dict) and value:
        return [leaf for key, item in value.items() for leaf in _leaves(f"{prefix}.{key}" if prefix else key, item)]
    return [(prefix, ",".join(map(str, value)) if isinstance(value, list) else str(value))]


def data_differences(runs: Sequence[TrackedRun]) -> dict[str, list[str]]:
    """Return what differs of the data: fingerprint, pin, span, symbols, rows, features, folds, and the sessions that were scored."""
    return differing([_data_facts(run) for run in runs])


def _data_facts(run: TrackedRun) -> dict[str, str]:
    facts = {name: run.tags[name] for name in _DATA if name in run.tags}
    for name in ("panel", "feature_matrix", "labels", "fold_plan"):
        if run.outputs.get(name, {}).get("frame_sha"):
            facts[f"{name} fingerprint"] = str(run.outputs[name]["frame_sha"])[:16]
    predictions = predictions_of(run)
    symbols = predictions["symbol"].unique().sort().to_list()
    facts["sessions scored"] = str(predictions["session"].n_unique())
    facts["first session scored"] = str(predictions["session"].min())
    facts["last session scored"] = str(predictions["session"].max())
    facts["symbols"] = f"{len(symbols)}: {', '.join(symbols[:40])}{' ...' if len(symbols) > 40 else ''}"
    return facts


def code_differences(runs: Sequence[TrackedRun], root: Path) -> dict[str, list[str]]:
    """Return what differs of the code and its environment: commit, difference from the commit, lock, libraries."""
    tables = []
    for run in runs:
        tags = run.tags
        tables.append({name: tags[name] for name in tags if name in _CODE or name.startswith("version.")})
    return {**differing(tables), **_changed_files(runs, root)}


def _changed_files(runs: Sequence[TrackedRun], root: Path) -> dict[str, list[str]]:
    """Return which files of the project changed between the first run's commit and each other one's, where git knows both."""
    commits = [run.tags.get("commit", "unknown") for run in runs]
    if len(set(commits)) == 1:
        return {}
    cells = ["(first)"]
    for commit in commits[1:]:
        command = ["git", "-C", str(root), "diff", "--stat=100", commits[0], commit]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
        cells.append(done.stdout.strip() if done.returncode == 0 else "one of the commits is not in this clone")
    return {"changed files": cells}


def differences_kept(runs: Sequence[TrackedRun]) -> dict[str, str]:
    """Return the difference from its commit of each run of a dirty tree, as kept with it, by run."""
    return {
        run.run_id: run.artifact(f"{FOLDER}/{DIFF_FILE}").read_text(encoding="utf-8", errors="replace")
        for run in runs
        if "difference" in run.tags
    }
