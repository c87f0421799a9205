"""Fit each fold on its own sessions and predict only what the fold has not seen."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import polars as pl

from conviction.errors import FoldError, ModelError, ParameterError
from conviction.folds import HOLDOUT_FOLD, FoldPlan, Role
from conviction.models import FittedModel, ModelParameters, model_spec
from conviction.observer import Observer, SilentObserver
from conviction.oof._explained import IMPORTANCE_SCHEMA
from conviction.oof._jobs import jobs_within_cores
from conviction.oof._rows import Audited, LabelledRows, check_plan_is_audited
from conviction.oof._task import Fit, Task, oof_key, oof_label, run_task
from conviction.oof._tunable import split_parameters, with_features
from conviction.oof.parameters import FittingParameters

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
    models : dict
        The fitted model of each fold; of each (symbol, fold) after `out_of_fold_by_symbol`.
    timings : polars.DataFrame
        One row a fit: rows seen and scored, wall seconds of fit and prediction, the fingerprint of the keys of the
        rows it has seen.
    skipped : polars.DataFrame
        `symbol`, `fold`, `reason` of what could not be fitted; only `out_of_fold_by_symbol` skips.
    importances : polars.DataFrame
        `fold`, `symbol` (null when pooled), `feature`, `importance` (the model's own, as a share), `shap_mean_abs`,
        `shap_mean` (log-odds, over `shap_rows` scored rows); no row for a model that says nothing of its features.
    """

    predictions: pl.DataFrame
    by_fold: pl.DataFrame
    models: dict[Any, FittedModel]
    timings: pl.DataFrame
    skipped: pl.DataFrame
    importances: pl.DataFrame


def out_of_fold(
    audited: Audited,
    plan: FoldPlan,
    *,
    target: str,
    model: str,
    params: Params = None,
    fitting: FittingParameters | None = None,
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
        Model parameters, the same for all folds or, keyed by fold (int), those that nested tuning chose. Names that
        begin with ``features.`` are feature parameters: they need a `TunablePanel` in place of `audited`, and the
        fold's columns are computed with them.
    fitting : FittingParameters, optional
        Sample weights and calibration; neither without it. Calibrated predictions are filed under
        ``model+calibration``.
    seed : int
        Same inputs and seed: the same predictions, byte for byte, whatever `n_jobs`.
    n_jobs : int
        Folds fitted at the same time, in threads; lowered to what the cores allow.
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
    return _run(
        audited, plan, plan.folds, "test", target=target, model=model, params=params, fitting=fitting, seed=seed,
        n_jobs=n_jobs, n_threads=n_threads, observer=observer,
    )  # fmt: skip


def out_of_fold_by_symbol(
    audited: Audited,
    plan: FoldPlan,
    *,
    target: str,
    model: str,
    params: Params = None,
    fitting: FittingParameters | None = None,
    seed: int,
    min_train_rows: int = 100,
    n_jobs: int = 1,
    n_threads: int = 1,
    observer: Observer | None = None,
) -> OofResult:
    """Fit a model of its own for every symbol in every fold and predict the symbol's test sessions.

    A symbol that cannot be fitted in a fold (too few rows, one class) is left out of that fold, and `skipped` says
    why. One symbol has no cross-section: `relative` compares it with its session all the same.

    Parameters
    ----------
    audited, plan, target, model, params, fitting, seed, n_threads, observer
        As for `out_of_fold`; predictions are filed under ``model@symbol``.
    min_train_rows : int
        Fewest training rows of a symbol in a fold.
    n_jobs : int
        Fits at the same time, in threads.

    Returns
    -------
    OofResult
        `models` is keyed by (symbol, fold).

    Raises
    ------
    ModelError
        If nothing at all could be fitted.
    CertificateError, FoldError, SeenRowError, ParameterError
        As for `out_of_fold`.
    """
    return _run(
        audited, plan, plan.folds, "test", target=target, model=model, params=params, fitting=fitting, seed=seed,
        n_jobs=n_jobs, n_threads=n_threads, observer=observer, per_symbol=True, min_train_rows=min_train_rows,
    )  # fmt: skip


def holdout_predictions(
    audited: Audited,
    plan: FoldPlan,
    *,
    target: str,
    model: str,
    params: Params = None,
    fitting: FittingParameters | None = None,
    seed: int,
    per_symbol: bool = False,
    min_train_rows: int = 1,
    n_threads: int = 1,
    observer: Observer | None = None,
) -> OofResult:
    """Fit once on all sessions before the hold-out (purged, embargoed) and predict the hold-out.

    The only function that reads the hold-out's labels; whoever calls it puts the opening on record.

    Parameters
    ----------
    audited, plan, target, model, fitting, seed, n_threads, observer
        As for `out_of_fold`.
    params : mapping, ModelParameters or mapping of fold to either, optional
        Model parameters; keyed by fold they must hold `HOLDOUT_FOLD` (-1).
    per_symbol, min_train_rows : bool, int
        Whether every symbol has a model of its own, and its fewest rows, as for `out_of_fold_by_symbol`.

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
    return _run(
        audited, plan, (HOLDOUT_FOLD,), "holdout", target=target, model=model, params=params, fitting=fitting, seed=seed,
        n_jobs=1, n_threads=n_threads, observer=observer, per_symbol=per_symbol, min_train_rows=min_train_rows,
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


def _run(
    audited: Audited,
    plan: FoldPlan,
    folds: Sequence[int],
    role: Role,
    *,
    target: str,
    model: str,
    params: Params,
    fitting: FittingParameters | None,
    seed: int,
    n_jobs: int,
    n_threads: int,
    observer: Observer | None,
    per_symbol: bool = False,
    min_train_rows: int = 1,
) -> OofResult:
    from joblib import Parallel, delayed

    check_plan_is_audited(audited, plan)
    model_spec(model)
    split = {fold: split_parameters(params_of_fold(params, fold)) for fold in folds}
    panels: dict[str, LabelledRows] = {}
    for _, values in split.values():
        if str(values) not in panels:
            panels[str(values)] = LabelledRows(with_features(audited, values), target=target)
    rows = next(iter(panels.values()))
    for fold in folds:
        fitted_on = pl.concat([plan.sessions(fold, "train"), plan.sessions(fold, "inner")])
        rows.check_apart(fitted_on, plan.sessions(fold, role), fold=fold)
    how = fitting or FittingParameters()
    tasks = [
        Task(
            rows=panels[str(split[fold][1])], plan=plan, fold=fold, role=role, model=model,
            label=oof_label(model, how, per_symbol=per_symbol), params=split[fold][0], fitting=how, seed=seed,
            n_threads=n_threads, symbol=symbol, min_train_rows=min_train_rows, feature_parameters=split[fold][1],
        )
        for symbol in (rows.symbols if per_symbol else [None])
        for fold in folds
    ]  # fmt: skip
    watcher = observer or SilentObserver()
    name = f"{tasks[0].label} on {target}"
    watcher.start(name, len(tasks))
    fits: list[Fit] = []
    for fit in Parallel(n_jobs=jobs_within_cores(n_jobs, n_threads), prefer="threads", return_as="generator")(
        delayed(run_task)(t) for t in tasks
    ):
        fits.append(fit)
        watcher.advance(name, note=f"fold {fit.fold}" + (f" {fit.symbol}" if fit.symbol else ""))
        watcher.record({"kind": "fold", "target": target, "model": tasks[0].label, **fit.facts})
    watcher.finish(name)
    return _gathered(fits, per_symbol=per_symbol)


def _gathered(fits: list[Fit], *, per_symbol: bool) -> OofResult:
    skipped = pl.DataFrame(
        [(fit.symbol, fit.fold, fit.skipped) for fit in fits if fit.skipped],
        schema={"symbol": pl.String, "fold": pl.Int32, "reason": pl.String},
        orient="row",
    )
    tables = [fit.table for fit in fits if fit.table is not None]
    if not tables:
        raise ModelError(
            what="no symbol could be fitted in any fold",
            got=f"{skipped.height} skipped, first {skipped.row(0)}",
            allowed="at least one symbol with enough rows of both classes",
            fix="use a longer history or a smaller min_train_rows, or pool the symbols",
        )
    by_fold = pl.concat(tables)
    by_fold = by_fold.sort(*oof_key(by_fold), "fold")
    return OofResult(
        predictions=_one_per_row(by_fold),
        by_fold=by_fold,
        models={(fit.symbol, fit.fold) if per_symbol else fit.fold: fit.model for fit in fits if fit.model is not None},
        timings=pl.DataFrame([fit.facts for fit in fits if not fit.skipped], schema_overrides={"symbol": pl.String}),
        skipped=skipped,
        importances=_importances(fits),
    )


def _importances(fits: list[Fit]) -> pl.DataFrame:
    keys = {"fold": pl.Int32, "symbol": pl.String}
    parts = [
        fit.importance.with_columns(
            fold=pl.lit(fit.fold, keys["fold"]), symbol=pl.lit(fit.symbol, keys["symbol"])
        ).select(*keys, *IMPORTANCE_SCHEMA)
        for fit in fits
        if fit.importance is not None
    ]
    return pl.concat([pl.DataFrame(schema=keys | IMPORTANCE_SCHEMA), *parts])


def _one_per_row(by_fold: pl.DataFrame) -> pl.DataFrame:
    key = oof_key(by_fold)
    if not by_fold.select(key).is_duplicated().any():
        return by_fold
    return (
        by_fold.group_by(key, maintain_order=True)
        .agg(
            pl.col("fold").first(),
            pl.col("score").mean(),
            pl.col("label").first(),
            pl.col("forward_return").first(),
        )
        .sort(key)
    )
