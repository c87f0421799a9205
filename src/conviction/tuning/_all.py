"""Several targets and models at once: one table of best parameters, one table of trials, one ledger."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import polars as pl

from conviction.models import model_spec
from conviction.oof import Variant, choose_variants
from conviction.tuning._tune import TuningResult, empty_ledger, search_space, tune

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from conviction.folds import FoldPlan
    from conviction.observer import Observer
    from conviction.oof import Audited, FittingParameters, OnMissingExtra
    from conviction.tuning.parameters import TuningParameters

TRIALS_SCHEMA = {
    "fold": pl.Int32,
    "trial": pl.Int32,
    "state": pl.String,
    "value": pl.Float64,
    "seconds": pl.Float64,
    "params": pl.String,
    "facts": pl.String,
    "target": pl.String,
    "model": pl.String,
    "panel_sha": pl.String,
    "serves": pl.String,
}


@dataclass(frozen=True)
class Tunings:
    """What the searches of several (target, model) found.

    Attributes
    ----------
    best : dict
        `target/model` -> fold as text -> parameters: plain data, as JSON keeps it.
    trials : polars.DataFrame
        `target`, `model` (of the registry), `serves` (the first of the fitted models that take their parameters from this
        search), `panel_sha` (of the panel they were scored on) and the columns of `TuningResult.trials`.
    ledger : polars.DataFrame
        Every trial of this call, keyed by `trial_key`.
    """

    best: dict[str, dict[str, dict[str, Any]]]
    trials: pl.DataFrame
    ledger: pl.DataFrame


def tune_all(
    audited: Audited,
    plan: FoldPlan,
    *,
    targets: Sequence[str],
    models: Sequence[str],
    tuning: TuningParameters,
    seed: int,
    configured: Mapping[str, Mapping[str, Any]] | None = None,
    untuned: Sequence[str] = (),
    fitting: FittingParameters | None = None,
    on_missing_extra: OnMissingExtra = "error",
    storage: Any = None,
    namespace: str = "",
    observer: Observer | None = None,
    n_jobs: int = 1,
) -> Tunings:
    """Call `tune` for every target and model that has something to search.

    A search is made once for each model of the registry: `lightgbm` and `lightgbm+isotonic` share it, since a monotone map
    changes no rank. A model of its own for each symbol (`lightgbm@symbol`) and a model without a search space (the baselines)
    are not searched; they are fitted as configured.

    Parameters
    ----------
    audited, plan, tuning, seed, fitting, storage, namespace, observer, n_jobs
        As for `tune`.
    targets : sequence of str
        Label columns; one that no row has is left out.
    models : sequence of str
        Names as `conviction.oof.Variant.parse` takes them.
    configured : mapping, optional
        Name of the registry -> parameters: the first trial, and the value of everything that is not searched.
    untuned : sequence of str
        Names of the registry that are fitted as configured although they could be searched.
    on_missing_extra : {"error", "skip"}
        As for `conviction.oof.choose_variants`.

    Returns
    -------
    Tunings
    """
    served = searches_of(
        audited, targets=targets, models=models, tuning=tuning, untuned=untuned, on_missing_extra=on_missing_extra
    )
    results: dict[tuple[str, str], TuningResult] = {}
    ledger = empty_ledger()
    for target, model in served:
        result = tune(
            audited,
            plan,
            target=target,
            model=model,
            tuning=tuning,
            seed=seed,
            params=(configured or {}).get(model),
            storage=storage,
            ledger=ledger,
            fitting=fitting,
            namespace=namespace,
            observer=observer,
            n_jobs=n_jobs,
        )
        results[target, model] = result
        ledger = result.ledger
    return tunings_of(results, served=served)


def searches_of(
    audited: Audited,
    *,
    targets: Sequence[str],
    models: Sequence[str],
    tuning: TuningParameters,
    untuned: Sequence[str] = (),
    on_missing_extra: OnMissingExtra = "error",
) -> dict[tuple[str, str], list[str]]:
    """Return the searches that `tune_all` makes: (target, model of the registry) -> names of the models that they serve.

    Raises
    ------
    TuningError
        If a range is unknown or impossible.
    MissingExtraError, ModelError
        As for `conviction.oof.choose_variants`.
    """
    pairs, _ = choose_variants(audited, targets=targets, models=models, on_missing_extra=on_missing_extra)
    served: dict[tuple[str, str], list[str]] = {}
    for target, variant in pairs:
        if _is_searched(variant, untuned, tuning):
            served.setdefault((target, variant.model), []).append(variant.label)
    for model in dict.fromkeys(model for _, model in served):
        if model_spec(model).capabilities.tunable:
            search_space(model, tuning)
    return served


def tunings_of(
    results: Mapping[tuple[str, str], TuningResult], *, served: Mapping[tuple[str, str], Sequence[str]] | None = None
) -> Tunings:
    """Return the searches of several (target, model) as one table of best parameters, of trials, and one ledger.

    Parameters
    ----------
    results : mapping of (target, model) to TuningResult
    served : mapping of (target, model) to sequence of str, optional
        The names of the models that take their parameters from the search; the model itself without it.
    """
    names = {key: (served or {}).get(key, (key[1],)) for key in results}
    return Tunings(
        best={
            f"{target}/{name}": {str(fold): values for fold, values in result.best.items()}
            for (target, model), result in results.items()
            for name in names[target, model]
        },
        trials=_trials(results, names),
        ledger=pl.concat([empty_ledger(), *(result.ledger for result in results.values())]).unique(
            subset="trial_key", keep="first", maintain_order=True
        ),
    )


def _is_searched(variant: Variant, untuned: Sequence[str], tuning: TuningParameters) -> bool:
    searchable = variant.spec.capabilities.tunable or bool(tuning.features)
    return searchable and not variant.per_symbol and variant.model not in untuned


def _trials(
    results: Mapping[tuple[str, str], TuningResult], served: Mapping[tuple[str, str], Sequence[str]]
) -> pl.DataFrame:
    parts = [
        result.trials.with_columns(
            target=pl.lit(target),
            model=pl.lit(model),
            panel_sha=pl.lit(str(result.ledger["panel_sha"][-1])),
            serves=pl.lit(served[target, model][0]),
        )
        for (target, model), result in results.items()
    ]
    return pl.concat([pl.DataFrame(schema=TRIALS_SCHEMA), *parts], how="diagonal")
