"""Several targets and models at once: the same fold plan, one table of predictions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import polars as pl

from conviction.oof._fit import OofResult, holdout_predictions, out_of_fold
from conviction.oof._task import OOF_KEY

if TYPE_CHECKING:
    from conviction.folds import FoldPlan
    from conviction.models import FittedModel
    from conviction.observer import Observer
    from conviction.oof._rows import Audited

#: `target/model` -> fold as text -> parameters, as JSON keeps them.
ParametersByFold = Mapping[str, Mapping[str, Mapping[str, Any]]]


@dataclass(frozen=True)
class Fits:
    """Predictions, models and timings of several (target, model).

    Attributes
    ----------
    predictions : polars.DataFrame
        The out-of-fold frame of all of them, sorted and unique by (symbol, session, target, model).
    models : dict of str to FittedModel
        `target/model/fold_NN` -> the fitted model.
    timings : polars.DataFrame
        `target`, `model` and the columns of `OofResult.timings`.
    """

    predictions: pl.DataFrame
    models: dict[str, FittedModel]
    timings: pl.DataFrame


def fit_out_of_fold(
    audited: Audited,
    plan: FoldPlan,
    *,
    targets: Sequence[str],
    models: Sequence[str],
    params: ParametersByFold,
    seed: int,
    n_jobs: int = 1,
    observer: Observer | None = None,
) -> Fits:
    """Call `out_of_fold` for every target and model.

    Parameters
    ----------
    audited, plan, seed, n_jobs, observer
        As for `out_of_fold`.
    targets, models : sequence of str
        Label columns and names of the registry.
    params : mapping
        `target/model` -> fold -> parameters; a model that is not in it takes its defaults.

    Returns
    -------
    Fits
    """
    results = {
        (target, model): out_of_fold(
            audited,
            plan,
            target=target,
            model=model,
            params=_of_folds(params.get(f"{target}/{model}")),
            seed=seed,
            n_jobs=n_jobs,
            observer=observer,
        )
        for target in targets
        for model in models
    }
    return _together(results)


def fit_for_holdout(
    audited: Audited,
    plan: FoldPlan,
    *,
    targets: Sequence[str],
    models: Sequence[str],
    params: ParametersByFold,
    seed: int,
    observer: Observer | None = None,
) -> Fits:
    """Call `holdout_predictions` for every target and model, with the parameters chosen for the newest fold.

    Parameters
    ----------
    audited, plan, targets, models, params, seed, observer
        As for `fit_out_of_fold`. The newest fold's choice was made on the sessions closest before the hold-out.

    Returns
    -------
    Fits
    """
    results = {
        (target, model): holdout_predictions(
            audited,
            plan,
            target=target,
            model=model,
            params=_newest(params.get(f"{target}/{model}")),
            seed=seed,
            observer=observer,
        )
        for target in targets
        for model in models
    }
    return _together(results)


def _of_folds(params: Mapping[str, Mapping[str, Any]] | None) -> dict[int, Mapping[str, Any]] | None:
    return None if params is None else {int(fold): values for fold, values in params.items()}


def _newest(params: Mapping[str, Mapping[str, Any]] | None) -> Mapping[str, Any] | None:
    return None if params is None else params[max(params, key=int)]


def _together(results: Mapping[tuple[str, str], OofResult]) -> Fits:
    return Fits(
        predictions=pl.concat([result.predictions for result in results.values()]).sort(OOF_KEY),
        models={
            f"{target}/{model}/fold_{fold:02d}" if fold >= 0 else f"{target}/{model}/holdout": fitted
            for (target, model), result in results.items()
            for fold, fitted in result.models.items()
        },
        timings=pl.concat(
            [
                result.timings.with_columns(target=pl.lit(target), model=pl.lit(model))
                for (target, model), result in results.items()
            ]
        ),
    )
