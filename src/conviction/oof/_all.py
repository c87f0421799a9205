"""Several targets and models at once: the same fold plan, one table of predictions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import polars as pl

from conviction.oof._explained import IMPORTANCE_SCHEMA
from conviction.oof._fit import OofResult, holdout_predictions, out_of_fold, out_of_fold_by_symbol
from conviction.oof._task import oof_key
from conviction.oof._variants import (
    LEFT_OUT_SCHEMA,
    OnMissingExtra,
    Variant,
    choose_variants,
    constant_features,
    empty_left_out,
)
from conviction.oof.parameters import FittingParameters

if TYPE_CHECKING:
    from conviction.folds import FoldPlan
    from conviction.models import FittedModel
    from conviction.observer import Observer
    from conviction.oof._rows import Audited

#: `target/model` -> fold as text -> parameters, as JSON keeps them.
ParametersByFold = Mapping[str, Mapping[str, Mapping[str, Any]]]
CURVE_SCHEMA = {
    "target": pl.String,
    "model": pl.String,
    "fold": pl.Int32,
    "symbol": pl.String,
    "iteration": pl.Int32,
    "value": pl.Float64,
}


@dataclass(frozen=True)
class Fits:
    """Predictions, models and what is known of the fits of several (target, model).

    Attributes
    ----------
    predictions : polars.DataFrame
        The out-of-fold frame of all of them, sorted and unique by (symbol, session, target, model).
    models : dict of str to FittedModel
        `target/model/fold_NN`, or `target/model/fold_NN/SYMBOL` -> the fitted model.
    timings : polars.DataFrame
        `target`, `model` and the columns of `OofResult.timings`.
    importances : polars.DataFrame
        `target`, `model`, `fold`, `feature` and what the model says of it (`OofResult.importances`), averaged over the
        symbols of a model for each symbol.
    curves : polars.DataFrame
        `target`, `model`, `fold`, `symbol` (null when pooled), `iteration` from 1, `value` watched on the inner block.
    left_out : polars.DataFrame
        `target`, `model`, `symbol`, `fold`, `feature`, `reason`: everything that was asked for and could not be fitted, and
        features that are constant in a fold's training sessions; null means all of them.
    """

    predictions: pl.DataFrame
    models: dict[str, FittedModel]
    timings: pl.DataFrame
    importances: pl.DataFrame
    curves: pl.DataFrame
    left_out: pl.DataFrame


def fit_out_of_fold(
    audited: Audited,
    plan: FoldPlan,
    *,
    targets: Sequence[str],
    models: Sequence[str],
    params: ParametersByFold,
    configured: Mapping[str, Mapping[str, Any]] | None = None,
    fitting: FittingParameters | None = None,
    min_train_rows: int = 100,
    on_missing_extra: OnMissingExtra = "error",
    seed: int,
    n_jobs: int = 1,
    observer: Observer | None = None,
) -> Fits:
    """Call `out_of_fold` or `out_of_fold_by_symbol` for every target and model.

    Parameters
    ----------
    audited, plan, seed, n_jobs, observer
        As for `out_of_fold`.
    targets : sequence of str
        Label columns; one that no row has is left out.
    models : sequence of str
        Names as `Variant.parse` takes them: `lightgbm`, `lightgbm+isotonic`, `lightgbm@symbol`.
    params : mapping
        `target/model` -> fold -> parameters chosen by tuning.
    configured : mapping, optional
        Name of the registry -> parameters of a model that is not in `params`; its defaults without it.
    fitting : FittingParameters, optional
        Weights and refit of every model that is not a baseline; the calibration stands in the model's name.
    min_train_rows : int
        Fewest training rows of a symbol that has a model of its own.
    on_missing_extra : {"error", "skip"}
        Whether a model whose optional packages are missing is an error or is left out.

    Returns
    -------
    Fits

    Raises
    ------
    MissingExtraError, ModelError
        As `choose_variants`, and as `out_of_fold`.
    """
    pairs, left_out = choose_variants(audited, targets=targets, models=models, on_missing_extra=on_missing_extra)
    results = {}
    for target, variant in pairs:
        call: dict[str, Any] = {
            "target": target,
            "model": variant.model,
            "params": _of_folds(params.get(f"{target}/{variant.label}"), configured, variant),
            "fitting": fitting_of(variant, fitting),
            "seed": seed,
            "n_jobs": n_jobs,
            "observer": observer,
        }
        if variant.per_symbol:
            results[target, variant] = out_of_fold_by_symbol(audited, plan, min_train_rows=min_train_rows, **call)
        else:
            results[target, variant] = out_of_fold(audited, plan, **call)
    return _together(results, pl.concat([left_out, constant_features(audited, plan)]))


def fit_for_holdout(
    audited: Audited,
    plan: FoldPlan,
    *,
    targets: Sequence[str],
    models: Sequence[str],
    params: ParametersByFold,
    configured: Mapping[str, Mapping[str, Any]] | None = None,
    fitting: FittingParameters | None = None,
    min_train_rows: int = 100,
    on_missing_extra: OnMissingExtra = "error",
    seed: int,
    observer: Observer | None = None,
) -> Fits:
    """Call `holdout_predictions` for every target and model, with the parameters chosen for the newest fold.

    Parameters
    ----------
    audited, plan, targets, models, params, configured, fitting, min_train_rows, on_missing_extra, seed, observer
        As for `fit_out_of_fold`. The newest fold's choice was made on the sessions closest before the hold-out.

    Returns
    -------
    Fits
    """
    pairs, left_out = choose_variants(audited, targets=targets, models=models, on_missing_extra=on_missing_extra)
    results = {
        (target, variant): holdout_predictions(
            audited,
            plan,
            target=target,
            model=variant.model,
            params=newest(params.get(f"{target}/{variant.label}"), configured, variant),
            fitting=fitting_of(variant, fitting),
            per_symbol=variant.per_symbol,
            min_train_rows=min_train_rows if variant.per_symbol else 1,
            seed=seed,
            observer=observer,
        )
        for target, variant in pairs
    }
    return _together(results, left_out)


def fitting_of(variant: Variant, fitting: FittingParameters | None) -> FittingParameters:
    """Return how a variant is fitted: a baseline without weights, any other as asked for, with the calibration it names."""
    if fitting is None or variant.spec.capabilities.baseline:
        return FittingParameters(calibration=variant.calibration)
    return FittingParameters(
        calibration=variant.calibration,
        uniqueness=fitting.uniqueness,
        half_life_sessions=fitting.half_life_sessions,
        refit=fitting.refit,
    )


def _of_folds(
    chosen: Mapping[str, Mapping[str, Any]] | None, configured: Mapping[str, Mapping[str, Any]] | None, variant: Variant
) -> Any:
    if chosen is None:
        return (configured or {}).get(variant.model)
    return {int(fold): values for fold, values in chosen.items()}


def newest(
    chosen: Mapping[str, Mapping[str, Any]] | None, configured: Mapping[str, Mapping[str, Any]] | None, variant: Variant
) -> Mapping[str, Any] | None:
    """Return the parameters chosen for the newest fold, or the configured ones of a model that was not tuned."""
    return (configured or {}).get(variant.model) if chosen is None else chosen[max(chosen, key=int)]


def _together(results: Mapping[tuple[str, Variant], OofResult], left_out: pl.DataFrame) -> Fits:
    named = {(target, variant.label): result for (target, variant), result in results.items()}
    models = {
        f"{target}/{model}/{_place(key)}": fitted
        for (target, model), result in named.items()
        for key, fitted in result.models.items()
    }
    skipped = [
        result.skipped.with_columns(target=pl.lit(target), model=pl.lit(model), feature=pl.lit(None, pl.String))
        for (target, model), result in named.items()
    ]
    together = pl.concat([result.predictions for result in named.values()])
    return Fits(
        predictions=together.sort(oof_key(together)),
        models=models,
        timings=_stacked(named, "timings"),
        importances=_mean_importances(_stacked(named, "importances")),
        curves=_curves(named),
        left_out=pl.concat([empty_left_out(), left_out, *(part.select(list(LEFT_OUT_SCHEMA)) for part in skipped)]),
    )


def _stacked(named: Mapping[tuple[str, str], OofResult], attribute: str) -> pl.DataFrame:
    parts: list[pl.DataFrame] = [
        getattr(result, attribute).with_columns(target=pl.lit(target), model=pl.lit(model))
        for (target, model), result in named.items()
    ]
    return pl.concat(parts, how="diagonal_relaxed")


def _mean_importances(table: pl.DataFrame) -> pl.DataFrame:
    """Return one row a feature of each fold; the symbols of a model for each symbol are averaged."""
    values = [name for name in IMPORTANCE_SCHEMA if name not in ("feature", "shap_rows")]
    keys = ["target", "model", "fold", "feature"]
    return table.group_by(keys, maintain_order=True).agg(pl.col(values).mean(), pl.col("shap_rows").sum())


def _curves(named: Mapping[tuple[str, str], OofResult]) -> pl.DataFrame:
    rows = [
        {
            "target": target,
            "model": model,
            "fold": key if isinstance(key, int) else key[1],
            "symbol": None if isinstance(key, int) else key[0],
            "iteration": list(range(1, len(fitted.curve) + 1)),
            "value": list(fitted.curve),
        }
        for (target, model), result in named.items()
        for key, fitted in result.models.items()
        if fitted.curve
    ]
    listed = CURVE_SCHEMA | {"iteration": pl.List(pl.Int32), "value": pl.List(pl.Float64)}
    return pl.DataFrame(rows, schema=listed).explode("iteration", "value")


def _place(key: Any) -> str:
    symbol, fold = (None, key) if isinstance(key, int) else key
    name = f"fold_{fold:02d}" if fold >= 0 else "holdout"
    return name if symbol is None else f"{name}/{symbol}"
