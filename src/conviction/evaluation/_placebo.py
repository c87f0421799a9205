"""The same pipeline on labels that mean nothing: what it finds there, it found in itself."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import polars as pl

from conviction.errors import EvaluationError
from conviction.evaluation._permutation import permute_by_session
from conviction.evaluation._score import METRICS, score
from conviction.evaluation.parameters import EvaluationParameters
from conviction.frames import key_of
from conviction.observer import Observer, SilentObserver

if TYPE_CHECKING:
    from conviction.folds import FoldPlan


@dataclass(frozen=True)
class PlaceboPanel:
    """A panel whose labels were exchanged between sessions; it carries no certificate, since it is no data.

    Attributes
    ----------
    frame : polars.DataFrame
        As the audited panel's, with labels and forward returns of other sessions; null in the hold-out.
    features, targets : tuple of str
    """

    frame: pl.DataFrame
    features: tuple[str, ...]
    targets: tuple[str, ...]


def placebo_panel(audited: Any, plan: FoldPlan, *, seed: int, block: int = 5) -> PlaceboPanel:
    """Exchange the labels of a panel between sessions, all symbols together; the hold-out takes no part.

    Label spans stay with their sessions, so that purging does on the placebo what it does on the data.

    Parameters
    ----------
    audited : AuditedPanel
        Anything with ``frame``, ``features`` and ``targets``.
    plan : FoldPlan
        Says which sessions are the hold-out.
    seed : int
    block : int
        Neighbouring sessions that stay together.

    Returns
    -------
    PlaceboPanel
    """
    frame: pl.DataFrame = audited.frame
    key = key_of(frame)
    columns = [*audited.targets, *(name for name in frame.columns if name.startswith("target_"))]
    kept = set(plan.holdout.to_list())
    labelled = frame.filter(
        ~pl.col("session").is_in(list(kept)) & pl.any_horizontal(pl.col(columns).is_not_null()).any().over("session")
    ).select(*key, *columns)
    moved = permute_by_session(labelled, columns=columns, seed=seed, block=block)
    permuted = frame.drop(columns).join(moved, on=list(key), how="left", maintain_order="left").select(frame.columns)
    return PlaceboPanel(permuted, tuple(audited.features), tuple(audited.targets))


def placebo_runs(
    audited: Any,
    plan: FoldPlan,
    *,
    target: str,
    model: str,
    evaluation: EvaluationParameters,
    seed: int,
    n_placebos: int = 20,
    params: Mapping[Any, Any] | None = None,
    predict: Callable[..., pl.DataFrame] | None = None,
    n_jobs: int = 1,
    observer: Observer | None = None,
) -> pl.DataFrame:
    """Run a model out of fold on permuted labels, several times, and score each run.

    `placebo_band` says whether all of them hold one half. A run that does not shows that the pipeline lets a model see what
    it is scored on; a leak inside a feature is another matter, and the audit's.

    Parameters
    ----------
    audited : AuditedPanel
    plan : FoldPlan
    target, model : str
    evaluation : EvaluationParameters
    seed : int
        The i-th placebo permutes and fits with seed + i.
    n_placebos : int
        At least 20 support a statement.
    params : mapping, optional
        As for `conviction.oof.out_of_fold`: the parameters of the model that the placebo stands beside.
    predict : callable, optional
        ``predict(panel, plan, target=, model=, params=, seed=, n_jobs=)`` to an out-of-fold frame; by default the predictions of
        `conviction.oof.out_of_fold`.
    n_jobs : int
    observer : Observer, optional

    Returns
    -------
    polars.DataFrame
        One row a placebo: ``placebo``, ``target``, ``model`` and every name of `METRICS` (null where undefined).

    Raises
    ------
    EvaluationError
        On fewer than one placebo.
    """
    if n_placebos < 1:
        raise EvaluationError(
            what="there is no placebo to run",
            got=n_placebos,
            allowed="at least 1, 20 for a statement",
            fix="set n_placebos to 20",
        )
    run = predict or _out_of_fold
    observer = observer or SilentObserver()
    task = f"placebo {target}/{model}"
    observer.start(task, n_placebos)
    rows = []
    for number in range(n_placebos):
        panel = placebo_panel(audited, plan, seed=seed + number, block=evaluation.min_block)
        oof = run(panel, plan, target=target, model=model, params=params, seed=seed + number, n_jobs=n_jobs)
        metrics = score(oof, evaluation=evaluation, seed=seed + number).metrics
        rows.append(
            {"placebo": number, "target": target, "model": model, **{name: metrics.get(name) for name in METRICS}}
        )
        observer.advance(task, note=f"AUC {metrics.get('auc_pooled', float('nan')):.4f}")
    observer.finish(task)
    schema = {"placebo": pl.Int64, "target": pl.String, "model": pl.String, **dict.fromkeys(METRICS, pl.Float64)}
    return pl.DataFrame(rows, schema=schema)


def _out_of_fold(panel: Any, plan: FoldPlan, **arguments: Any) -> pl.DataFrame:
    from conviction.oof import out_of_fold

    return out_of_fold(panel, plan, **arguments).predictions
