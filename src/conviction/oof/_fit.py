"""Fit each fold on its own sessions and predict only what the fold has not seen."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import polars as pl

from conviction.errors import FoldError, ModelError, ParameterError
from conviction.folds import HOLDOUT_FOLD, FoldPlan, Role
from conviction.frames import fingerprint
from conviction.models import FittedModel, ModelParameters, fit_blocks, model_spec
from conviction.observer import Observer, SilentObserver
from conviction.oof._rows import Audited, LabelledRows, check_plan_is_audited

if TYPE_CHECKING:
    from conviction.models import Block

OOF_KEY = ("symbol", "session", "target", "model")
OOF_SCHEMA = {
    "symbol": pl.String,
    "session": pl.Date,
    "target": pl.String,
    "model": pl.String,
    "fold": pl.Int32,
    "score": pl.Float64,
    "label": pl.Int8,
    "forward_return": pl.Float64,
}
Params = Mapping[str, Any] | ModelParameters | Mapping[int, Mapping[str, Any] | ModelParameters] | None


@dataclass(frozen=True, eq=False)
class OofResult:
    """Out-of-fold predictions of one model for one target, and how they came about.

    Attributes
    ----------
    predictions : polars.DataFrame
        `symbol`, `session`, `target`, `model`, `fold` Int32, `score` Float64 (probability of 1), `label` Int8,
        `forward_return` Float64; sorted and unique by (symbol, session, target, model). Where a combinatorial plan
        tests a session in several folds, `score` is the mean over them and `fold` the first of them.
    by_fold : polars.DataFrame
        The same before that mean: one row for each fold that tests the row.
    models : dict of int to FittedModel
        The fitted model of each fold.
    timings : polars.DataFrame
        One row a fold: rows fitted, watched and scored, wall seconds of fit and prediction, the fingerprint of the
        fitted rows' keys.
    """

    predictions: pl.DataFrame
    by_fold: pl.DataFrame
    models: dict[int, FittedModel]
    timings: pl.DataFrame


def out_of_fold(
    audited: Audited,
    plan: FoldPlan,
    *,
    target: str,
    model: str,
    params: Params = None,
    seed: int,
    n_jobs: int = 1,
    n_threads: int = 1,
    observer: Observer | None = None,
) -> OofResult:
    """Fit a model in every fold on its training sessions and predict its test sessions.

    A model that stops early watches the fold's inner block; any other is fitted on train and inner together. Rows
    without a label for the target are neither fitted nor scored. The hold-out is never touched.

    Parameters
    ----------
    audited : AuditedPanel
        What passed the leakage audit.
    plan : FoldPlan
        The plan that was audited with it.
    target : str
        Label column, `direction` or `relative`.
    model : str
        Name in `MODELS`.
    params : mapping, ModelParameters or mapping of fold to either, optional
        Model parameters, the same for all folds or, keyed by fold (int), those that nested tuning chose.
    seed : int
        Same inputs and seed: the same predictions, byte for byte, whatever `n_jobs`.
    n_jobs : int
        Folds fitted at the same time, in threads.
    n_threads : int
        Threads inside each fit.
    observer : Observer, optional
        Told of every finished fold.

    Returns
    -------
    OofResult

    Raises
    ------
    CertificateError
        If the plan is not the audited one.
    FoldError
        If a fitted label reaches into a scored block.
    SeenRowError
        If a model is asked for a row that it was fitted on.
    ModelError
        If a fold cannot be fitted (one class, no rows).
    ParameterError
        If `params` is keyed by fold and lacks one, or holds what the model does not know.
    """
    return _fit_folds(
        audited, plan, plan.folds, "test", target=target, model=model, params=params, seed=seed,
        n_jobs=n_jobs, n_threads=n_threads, observer=observer,
    )  # fmt: skip


def holdout_predictions(
    audited: Audited,
    plan: FoldPlan,
    *,
    target: str,
    model: str,
    params: Params = None,
    seed: int,
    n_threads: int = 1,
    observer: Observer | None = None,
) -> OofResult:
    """Fit once on all sessions before the hold-out (purged, embargoed) and predict the hold-out.

    The only function that reads the hold-out's labels; whoever calls it puts the opening on record.

    Parameters
    ----------
    audited, plan, target, model, seed, n_threads, observer
        As for `out_of_fold`.
    params : mapping, ModelParameters or mapping of fold to either, optional
        Model parameters; keyed by fold they must hold `HOLDOUT_FOLD` (-1).

    Returns
    -------
    OofResult
        Predictions carry fold -1.

    Raises
    ------
    FoldError
        If the plan keeps no hold-out.
    CertificateError, SeenRowError, ModelError, ParameterError
        As for `out_of_fold`.
    """
    if not plan.has_holdout:
        raise FoldError(
            what="the fold plan keeps no hold-out",
            got="no session with the role holdout",
            allowed="a plan made with holdout_sessions > 0",
            fix="set folds.holdout_sessions and run data_engineering and the audit again",
        )
    return _fit_folds(
        audited, plan, (HOLDOUT_FOLD,), "holdout", target=target, model=model, params=params, seed=seed,
        n_jobs=1, n_threads=n_threads, observer=observer,
    )  # fmt: skip


def params_of_fold(params: Params, fold: int) -> Mapping[str, Any] | ModelParameters | None:
    """Return the parameters of one fold from parameters that may be keyed by fold."""
    if params is None or isinstance(params, ModelParameters):
        return params
    if not any(isinstance(key, int) for key in params):
        return params  # type: ignore[return-value]
    keyed: Mapping[Any, Any] = params
    if fold not in keyed:
        raise ParameterError(
            what="the parameters keyed by fold lack a fold",
            got=f"folds {sorted(keyed)}",
            allowed=f"fold {fold} among them",
            fix="tune this fold too, or give one set of parameters for all",
        )
    return keyed[fold]  # type: ignore[no-any-return]


def fold_blocks(rows: LabelledRows, plan: FoldPlan, fold: int, *, uses_inner: bool) -> tuple[Block, Block | None]:
    """Return the rows to fit on and to watch: train and inner apart, or together when the model has no use for inner."""
    train, inner = plan.sessions(fold, "train"), plan.sessions(fold, "inner")
    if uses_inner:
        return rows.block(train), rows.block(inner) if len(inner) else None
    return rows.block(pl.concat([train, inner])), None


def _fit_folds(
    audited: Audited,
    plan: FoldPlan,
    folds: Iterable[int],
    role: Role,
    *,
    target: str,
    model: str,
    params: Params,
    seed: int,
    n_jobs: int,
    n_threads: int,
    observer: Observer | None,
) -> OofResult:
    from joblib import Parallel, delayed

    check_plan_is_audited(audited, plan)
    model_spec(model)
    rows = LabelledRows(audited, target=target)
    watcher = observer or SilentObserver()
    task = f"{model} on {target}"
    chosen = [(fold, params_of_fold(params, fold)) for fold in folds]
    watcher.start(task, len(chosen))
    parts: list[tuple[int, FittedModel, pl.DataFrame, dict[str, Any]]] = []
    done = Parallel(n_jobs=n_jobs, prefer="threads", return_as="generator")(
        delayed(_fit_fold)(rows, plan, fold, role, model=model, params=own, seed=seed, n_threads=n_threads)
        for fold, own in chosen
    )
    for part in done:
        parts.append(part)
        watcher.advance(task, note=f"fold {part[0]}")
        watcher.record({"kind": "fold", "target": target, "model": model, **part[3]})
    watcher.finish(task)
    by_fold = pl.concat([part[2] for part in parts]).sort(*OOF_KEY, "fold")
    return OofResult(
        predictions=_one_per_row(by_fold),
        by_fold=by_fold,
        models={part[0]: part[1] for part in parts},
        timings=pl.DataFrame([part[3] for part in parts]),
    )


def _fit_fold(
    rows: LabelledRows,
    plan: FoldPlan,
    fold: int,
    role: Role,
    *,
    model: str,
    params: Mapping[str, Any] | ModelParameters | None,
    seed: int,
    n_threads: int,
) -> tuple[int, FittedModel, pl.DataFrame, dict[str, Any]]:
    scored = plan.sessions(fold, role)
    fitted_on = pl.concat([plan.sessions(fold, "train"), plan.sessions(fold, "inner")])
    rows.check_apart(fitted_on, scored, fold=fold)
    train, inner = fold_blocks(rows, plan, fold, uses_inner=model_spec(model).capabilities.uses_inner)
    started = time.perf_counter()
    try:
        fitted = fit_blocks(model, train, inner, params=params, seed=seed, n_threads=n_threads)
    except ModelError as error:
        error.add_note(f"while fitting fold {fold} of {model} on {rows.target}")
        raise
    between = time.perf_counter()
    where = rows.place(scored)
    scores = fitted.predict_block(rows.block(scored, labels=False))
    seconds = time.perf_counter() - between
    table = (
        rows.keys[where]
        .with_columns(
            pl.lit(rows.target).alias("target"),
            pl.lit(model).alias("model"),
            pl.lit(fold, pl.Int32).alias("fold"),
            pl.Series("score", scores),
            pl.Series("label", rows.y[where]).cast(pl.Int8),
            rows.forward_return[where],
        )
        .cast(OOF_SCHEMA)  # type: ignore[arg-type]
    )
    facts = {
        "fold": fold,
        "rows_fitted": len(train),
        "rows_watched": 0 if inner is None else len(inner),
        "rows_scored": table.height,
        "seconds_fit": between - started,
        "seconds_predict": seconds,
        "seen": fingerprint(pl.concat([b.keys for b in (train, inner) if b is not None and b.keys is not None])),
    }
    return fold, fitted, table, facts


def _one_per_row(by_fold: pl.DataFrame) -> pl.DataFrame:
    if not by_fold.select(OOF_KEY).is_duplicated().any():
        return by_fold
    return (
        by_fold.group_by(OOF_KEY, maintain_order=True)
        .agg(
            pl.col("fold").first(),
            pl.col("score").mean(),
            pl.col("label").first(),
            pl.col("forward_return").first(),
        )
        .sort(OOF_KEY)
    )
