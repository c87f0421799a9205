"""What the fitted models say of their features, over folds, seeds and shadows."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import polars as pl

from conviction.evaluation import (
    CLUSTER_SCHEMA,
    SHADOW_SCHEMA,
    cluster_table,
    importance_runs,
    shadow_table,
    stability_table,
)

if TYPE_CHECKING:
    from conviction.audit import AuditedPanel
    from conviction.evaluation import EvaluationParameters
    from conviction.folds import FoldPlan
    from conviction.observer import Observer
    from conviction_kedro.parameters import AssuranceParameters


@dataclass(frozen=True)
class Explained:
    """Tables of an explanation; without rows where the profile leaves them out."""

    stability: pl.DataFrame
    shadows: pl.DataFrame
    clusters: pl.DataFrame


def explain(
    audited: AuditedPanel,
    plan: FoldPlan,
    *,
    fit: Callable[..., Any],
    models: Mapping[str, Any],
    importances: pl.DataFrame,
    evaluation: EvaluationParameters,
    assurance: AssuranceParameters,
    thorough: bool,
    seed: int,
    observer: Observer,
) -> Explained:
    """Measure stability over folds, and when `thorough` over further seeds, against shadows and by clusters of features.

    Parameters
    ----------
    audited, plan
        What the models were fitted on.
    fit : callable
        ``fit(panel, plan, seed=)``: the fits of the run, with another seed.
    models : mapping of str to FittedModel
        ``target/model/fold_NN`` -> the run's own models.
    importances : polars.DataFrame
        The run's own importances.
    evaluation, assurance
    thorough : bool
    seed : int
        Of the run; further seeds follow it.
    observer : Observer
    """
    runs = [importance_runs(importances, seed=seed)]
    if not thorough:
        own = runs[0].join(_combined(models), on=["target", "model"], how="semi")
        return Explained(stability_table(own), pl.DataFrame(schema=SHADOW_SCHEMA), pl.DataFrame(schema=CLUSTER_SCHEMA))
    task = "importances over seeds"
    observer.start(task, assurance.n_seeds + 1)
    for number in range(1, assurance.n_seeds):
        runs.append(importance_runs(fit(audited, plan, seed=seed + number).importances, seed=seed + number))
        observer.advance(task)
    shadows = shadow_table(
        audited, plan, fit=fit, seed=seed, n_sets=assurance.n_shadow_sets, rate=assurance.false_discovery_rate
    )
    observer.advance(task, note="shadows")
    clusters = cluster_table(audited, plan, models, evaluation=evaluation, seed=seed, n_repeats=assurance.n_repeats)
    observer.finish(task)
    every = pl.concat(runs).join(runs[-1].select("target", "model").unique(), on=["target", "model"], how="semi")
    return Explained(stability_table(every), shadows, clusters)


def _combined(models: Mapping[str, Any]) -> pl.DataFrame:
    """Return the (target, model) of the run that are not baselines."""
    from conviction.models import MODELS

    pairs = {
        tuple(path.split("/")[:2]) for path, fitted in models.items() if not MODELS[fitted.name].capabilities.baseline
    }
    return pl.DataFrame(sorted(pairs), schema={"target": pl.String, "model": pl.String}, orient="row")


def importance_shares(importances: pl.DataFrame) -> pl.DataFrame:
    """Return each feature's share of its model's importance: ``mean`` over folds, with the lowest and the highest fold.

    Returns
    -------
    polars.DataFrame
        ``target``, ``model``, ``feature``, ``mean``, ``lo``, ``hi``.
    """
    runs = importance_runs(importances, seed=0)
    total = pl.col("importance").sum().over("target", "model", "fold")
    share = pl.when(total > 0).then(pl.col("importance") / total).otherwise(0.0)
    return (
        runs.with_columns(share=share)
        .group_by("target", "model", "feature")
        .agg(mean=pl.col("share").mean(), lo=pl.col("share").min(), hi=pl.col("share").max())
        .sort("target", "model", "mean", "feature", descending=[False, False, True, False])
    )


def with_selected(stability: pl.DataFrame, shadows: pl.DataFrame) -> pl.DataFrame:
    """Add how many features of each model stand above shadows; null where no shadow was fitted."""
    above = shadows.group_by("target", "model").agg(selected=pl.col("selected").sum().cast(pl.Int64))
    return stability.join(above, on=["target", "model"], how="left", maintain_order="left")
