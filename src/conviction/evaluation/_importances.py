"""Importances over folds and seeds: how stable they are, and which features stand above shadows that know nothing."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import polars as pl

from conviction.evaluation._explain import cluster_features, importance_stability, permutation_importance
from conviction.evaluation._shadow import SHADOW, shadow_features, shadow_selection
from conviction.frames import key_of

if TYPE_CHECKING:
    from conviction.evaluation.parameters import EvaluationParameters
    from conviction.folds import FoldPlan
    from conviction.models import FittedModel
    from conviction.oof import Fits

RUNS_SCHEMA: dict[str, Any] = {
    "target": pl.String,
    "model": pl.String,
    "kind": pl.String,
    "fold": pl.Int64,
    "seed": pl.Int64,
    "feature": pl.String,
    "importance": pl.Float64,
}
STABILITY_SCHEMA: dict[str, Any] = {
    "target": pl.String,
    "model": pl.String,
    "kind": pl.String,
    "rank_correlation": pl.Float64,
    "lo": pl.Float64,
    "n_folds": pl.Int64,
    "n_seeds": pl.Int64,
    "features": pl.Int64,
}
SHADOW_SCHEMA: dict[str, Any] = {
    "target": pl.String,
    "model": pl.String,
    "feature": pl.String,
    **dict.fromkeys(("importance", "p", "q"), pl.Float64),
    "selected": pl.Boolean,
}

CLUSTER_SCHEMA: dict[str, Any] = {
    "target": pl.String,
    "model": pl.String,
    "fold": pl.Int64,
    "cluster": pl.String,
    "features": pl.String,
    **dict.fromkeys(("loss", "lo", "hi", "p", "q"), pl.Float64),
}


def importance_runs(importances: pl.DataFrame, *, seed: int) -> pl.DataFrame:
    """Return the importances of one run of fits in one measure a model: SHAP where the model has it in every fold, else its own.

    Parameters
    ----------
    importances : polars.DataFrame
        As `conviction.oof.Fits.importances`: ``target``, ``model``, ``fold``, ``feature``, ``importance``, ``shap_mean_abs``.
    seed : int
        Of the fits.

    Returns
    -------
    polars.DataFrame
        ``target``, ``model``, ``kind`` (`shap` or `own`), ``fold``, ``seed``, ``feature``, ``importance``; models that say nothing of their
        features, and baselines of fewer than three features, are left out.

    Examples
    --------
    >>> table = pl.DataFrame({"target": "relative", "model": ["a", "b"] * 3, "fold": 0, "feature": ["x", "x", "y", "y", "z", "z"],
    ...                       "importance": [1.0] * 6, "shap_mean_abs": [0.3, None, 0.2, None, 0.1, None]})
    >>> importance_runs(table, seed=1).select("model", "kind", "importance").rows()[::3]
    [('a', 'shap', 0.3), ('b', 'own', 1.0)]
    """
    by_model = ["target", "model"]
    explained = pl.col("shap_mean_abs").is_not_null().all().over(by_model)
    return (
        importances.with_columns(
            kind=pl.when(explained).then(pl.lit("shap")).otherwise(pl.lit("own")),
            importance=pl.when(explained).then(pl.col("shap_mean_abs")).otherwise(pl.col("importance")),
            seed=pl.lit(seed),
        )
        .filter(
            pl.col("importance").is_not_null().all().over(by_model) & (pl.col("feature").n_unique().over(by_model) > 2)
        )
        .select(list(RUNS_SCHEMA))
        .cast(pl.Schema(RUNS_SCHEMA))
        .sort("target", "model", "fold", "feature")
    )


def stability_table(runs: pl.DataFrame) -> pl.DataFrame:
    """Return how alike the importances of each model are over folds and seeds.

    Parameters
    ----------
    runs : polars.DataFrame
        As `importance_runs` gives them, of one seed or several. Folds that do not have a model's every feature count it as 0.

    Returns
    -------
    polars.DataFrame
        ``target``, ``model``, ``kind``, ``rank_correlation`` (mean over all pairs of fits), ``lo`` (of the least alike pair), ``n_folds``,
        ``n_seeds``, ``features``; models with a single fit are left out.
    """
    rows = []
    for (target, model, kind), part in runs.group_by("target", "model", "kind", maintain_order=True):
        fits = part.select(run=pl.format("{}/{}", "fold", "seed"), feature="feature", importance="importance")
        if fits["run"].n_unique() < 2:
            continue
        every = fits.select(pl.col("run").unique()).join(fits.select(pl.col("feature").unique()), how="cross")
        found = importance_stability(
            every.join(fits, on=["run", "feature"], how="left").with_columns(pl.col("importance").fill_null(0.0))
        )
        counts = (part["fold"].n_unique(), part["seed"].n_unique(), part["feature"].n_unique())
        rows.append((target, model, kind, found.mean, found.lowest, *counts))
    return pl.DataFrame(rows, schema=STABILITY_SCHEMA, orient="row")


@dataclass(frozen=True)
class ShadowPanel:
    """A panel with shadows beside its features; it carries no certificate, since it is no data.

    Attributes
    ----------
    frame : polars.DataFrame
    features, targets : tuple of str
    """

    frame: pl.DataFrame
    features: tuple[str, ...]
    targets: tuple[str, ...]


def shadow_panel(audited: Any, plan: FoldPlan, *, seed: int, n_sets: int, block: int = 5) -> ShadowPanel:
    """Put shadows beside the features of a panel; the hold-out gives them nothing and gets none.

    Parameters
    ----------
    audited : AuditedPanel
        Anything with ``frame``, ``features`` and ``targets``.
    plan : FoldPlan
        Says which sessions are the hold-out.
    seed, n_sets, block
        As for `shadow_features`.

    Returns
    -------
    ShadowPanel
        With ``shadow__{set}__{feature}`` among its features, null in the hold-out.
    """
    frame: pl.DataFrame = audited.frame
    key = key_of(frame)
    before = frame.filter(~pl.col("session").is_in(plan.holdout.implode())).select(*key, *audited.features)
    shadows = shadow_features(before, seed=seed, n_sets=n_sets, block=block)
    names = [name for name in shadows.columns if name.startswith(SHADOW)]
    wide = frame.join(shadows.select(*key, *names), on=list(key), how="left", maintain_order="left")
    return ShadowPanel(wide, (*audited.features, *names), tuple(audited.targets))


def shadow_table(
    audited: Any, plan: FoldPlan, *, fit: Callable[..., Fits], seed: int, n_sets: int, rate: float, block: int = 5
) -> pl.DataFrame:
    """Fit every model on features and shadows together, and say which features are more important than luck makes them.

    Parameters
    ----------
    audited : AuditedPanel
    plan : FoldPlan
    fit : callable
        ``fit(panel, plan, seed=)`` to `conviction.oof.Fits`.
    seed : int
    n_sets : int
        Shadows of each feature.
    rate : float
        Accepted share of false discoveries (`shadow_selection`).
    block : int
        Sessions that stay together in a shadow.

    Returns
    -------
    polars.DataFrame
        ``target``, ``model``, ``feature``, ``importance`` (mean rank among all columns), ``p``, ``q``, ``selected``. It describes the models of
        a finished run; to choose features by it, use `select_features`, which sees training sessions alone.
    """
    panel = shadow_panel(audited, plan, seed=seed, n_sets=n_sets, block=block)
    runs = importance_runs(fit(panel, plan, seed=seed).importances, seed=seed)
    known = set(panel.features)
    parts = [pl.DataFrame(schema=SHADOW_SCHEMA)]
    for (target, model), part in runs.group_by("target", "model", maintain_order=True):
        # A model that builds its own columns per fold does not see the shadows.
        if not known >= set(part["feature"]) or not part["feature"].str.starts_with(SHADOW).any():
            continue
        found = shadow_selection(part.select(pl.col("fold").alias("run"), "feature", "importance"), rate=rate)
        key = {"target": pl.lit(str(target)), "model": pl.lit(str(model))}
        parts.append(found.with_columns(**key).select(list(SHADOW_SCHEMA)))
    return pl.concat(parts)


def cluster_table(
    audited: Any,
    plan: FoldPlan,
    models: Mapping[str, FittedModel],
    *,
    evaluation: EvaluationParameters,
    seed: int,
    n_repeats: int,
) -> pl.DataFrame:
    """Return how much AUC the newest fold of each model loses when a cluster of like features is shuffled.

    Clusters are made of the fold's training rows (`cluster_features`), losses measured on its test rows (`permutation_importance`),
    with the false-discovery rate over the clusters of a model.

    Parameters
    ----------
    audited : AuditedPanel
    plan : FoldPlan
    models : mapping of str to FittedModel
        ``target/model/fold_NN`` -> fitted model; those for single symbols and for the hold-out are left out.
    evaluation : EvaluationParameters
    seed : int
    n_repeats : int

    Returns
    -------
    polars.DataFrame
        ``target``, ``model``, ``fold``, ``cluster``, ``features`` (joined by commas), ``loss``, ``lo``, ``hi``, ``p``, ``q``.
    """
    newest: dict[tuple[str, str], tuple[int, FittedModel]] = {}
    for path, fitted in sorted(models.items()):
        target, model, *place = path.split("/")
        pooled = len(place) == 1 and place[0].startswith("fold_")
        if pooled and fitted.importance() is not None and set(fitted.feature_names) <= set(audited.features):
            newest[target, model] = (int(place[0].removeprefix("fold_")), fitted)
    parts = [pl.DataFrame(schema=CLUSTER_SCHEMA)]
    for (target, model), (fold, fitted) in newest.items():
        rows = audited.frame.select(*key_of(audited.frame), *fitted.feature_names, target).filter(
            pl.col(target).is_not_null()
        )
        train = rows.filter(pl.col("session").is_in(plan.sessions(fold, "train").implode())).drop(target)
        scored = rows.filter(pl.col("session").is_in(plan.sessions(fold, "test").implode()))
        if scored["session"].n_unique() < evaluation.min_sessions or scored[target].n_unique() < 2:
            continue
        table = permutation_importance(
            fitted.predict,
            scored.drop(target),
            scored[target],
            clusters=cluster_features(train),
            evaluation=evaluation,
            seed=seed,
            n_repeats=n_repeats,
        )
        key = {"target": pl.lit(target), "model": pl.lit(model), "fold": pl.lit(fold, pl.Int64)}
        joined = table.with_columns(pl.col("features").list.join(", "), **key)
        parts.append(joined.select(list(CLUSTER_SCHEMA)))
    return pl.concat(parts)
