"""Several targets and models at once: one table of best parameters, one table of trials, one ledger."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import polars as pl

from conviction.tuning._tune import TuningResult, empty_ledger, tune

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from conviction.folds import FoldPlan
    from conviction.observer import Observer
    from conviction.oof import Audited
    from conviction.tuning.parameters import TuningParameters


@dataclass(frozen=True)
class Tunings:
    """What the searches of several (target, model) found.

    Attributes
    ----------
    best : dict
        `target/model` -> fold as text -> parameters: plain data, as JSON keeps it.
    trials : polars.DataFrame
        `target`, `model`, `panel_sha` (of the panel they were scored on) and the columns of `TuningResult.trials`.
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
    storage: Any = None,
    observer: Observer | None = None,
    n_jobs: int = 1,
) -> Tunings:
    """Call `tune` for every target and model.

    Parameters
    ----------
    audited, plan, tuning, seed, storage, observer, n_jobs
        As for `tune`.
    targets, models : sequence of str
        Label columns and names of the registry.

    Returns
    -------
    Tunings
    """
    results: dict[tuple[str, str], TuningResult] = {}
    ledger = empty_ledger()
    for target in targets:
        for model in models:
            result = tune(
                audited,
                plan,
                target=target,
                model=model,
                tuning=tuning,
                seed=seed,
                storage=storage,
                ledger=ledger,
                observer=observer,
                n_jobs=n_jobs,
            )
            results[target, model] = result
            ledger = result.ledger
    return tunings_of(results)


def tunings_of(results: Mapping[tuple[str, str], TuningResult]) -> Tunings:
    """Return the searches of several (target, model) as one table of best parameters, of trials, and one ledger."""
    return Tunings(
        best={
            f"{target}/{model}": {str(fold): values for fold, values in result.best.items()}
            for (target, model), result in results.items()
        },
        trials=pl.concat(
            [
                result.trials.with_columns(
                    target=pl.lit(target), model=pl.lit(model), panel_sha=pl.lit(_panel_sha(result.ledger))
                )
                for (target, model), result in results.items()
            ]
        ),
        ledger=pl.concat([result.ledger for result in results.values()]).unique(
            subset="trial_key", keep="first", maintain_order=True
        ),
    )


def _panel_sha(ledger: pl.DataFrame) -> str:
    return str(ledger["panel_sha"][-1])
