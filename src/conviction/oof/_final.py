"""The fit that is served: the recipe of every fold, on all sessions whose labels are known."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import polars as pl

from conviction.errors import FoldError, ModelError
from conviction.folds import FoldParameters, FoldPlan, contaminated_by
from conviction.frames import fingerprint
from conviction.observer import Observer, SilentObserver
from conviction.oof._all import ParametersByFold, fitting_of, newest
from conviction.oof._rows import Audited, LabelledRows
from conviction.oof._task import Task, _fit
from conviction.oof._tunable import split_parameters
from conviction.oof._variants import Variant
from conviction.oof.parameters import FittingParameters

if TYPE_CHECKING:
    from conviction.models import FittedModel

_FOLD = 0


def final_plan(rows: LabelledRows, *, folds: FoldParameters) -> FoldPlan:
    """Return the plan of the fit that is served: the fold after the last, with everything before it.

    Parameters
    ----------
    rows : LabelledRows
    folds : FoldParameters
        `inner_fraction`, `purge` and, for a rolling window, `train_sessions`, as in every other fold.

    Returns
    -------
    FoldPlan
        One fold of `train`, `purged`, `inner` and `past`; nothing is scored.
    """
    sessions = rows.keys["session"].unique().sort()
    window = sessions if folds.train_sessions is None else sessions.tail(folds.train_sessions)
    inner = window.tail(max(1, math.floor(len(window) * folds.inner_fraction)))
    reaching = contaminated_by(rows.spans, inner, purge=folds.purge)
    role = (
        pl.when(pl.col("session").is_in(inner.implode()))
        .then(pl.lit("inner"))
        .when(pl.col("session") < window[0])
        .then(pl.lit("past"))
        .when(pl.col("session").is_in(reaching.implode()))
        .then(pl.lit("purged"))
        .otherwise(pl.lit("train"))
    )
    table = pl.DataFrame({"session": sessions}).select(
        pl.lit(_FOLD, pl.Int32).alias("fold"), "session", role.alias("role")
    )
    if not (table["role"] == "train").any():
        raise FoldError(
            what="the fit that is served has nothing to train on beside its inner block",
            got=f"{len(sessions)} labelled sessions",
            allowed="at least one training session",
            fix="lower folds.inner_fraction or folds.purge, or use a longer history",
        )
    # Nothing is scored, which no plan that is saved may say.
    return FoldPlan(frame=table, hash=fingerprint(table))


def fit_on_everything(
    audited: Audited,
    *,
    targets: Sequence[str],
    models: Sequence[str],
    params: ParametersByFold,
    folds: FoldParameters,
    configured: Mapping[str, Mapping[str, Any]] | None = None,
    fitting: FittingParameters | None = None,
    seed: int,
    n_threads: int = 1,
    observer: Observer | None = None,
) -> dict[str, FittedModel]:
    """Fit every target and model on all sessions whose labels are known, for sessions that come after.

    The same recipe as in every fold: the parameters chosen for the newest fold, an inner block at the end, the same purge.
    Nothing is scored here; what the recipe is worth, the out-of-fold predictions say. The hold-out's sessions are among
    those that are fitted: whoever calls it puts that on record.

    Parameters
    ----------
    audited : AuditedPanel
    targets, models : sequence of str
    params : mapping
        `target/model` -> fold -> parameters; a model that is not in it takes its defaults.
    folds : FoldParameters
    configured, fitting
        As for `fit_out_of_fold`.
    seed, n_threads, observer
        As for `out_of_fold`.

    Returns
    -------
    dict of str to FittedModel
        `target/model` -> the fitted model; it refuses the sessions that it has seen.

    Raises
    ------
    ModelError
        If a model's feature parameters were tuned: the rows of a request are made with the configured ones.
    """
    watcher = observer or SilentObserver()
    task = "fits that are served"
    watcher.start(task, len(targets) * len(models))
    fitted: dict[str, FittedModel] = {}
    for target in targets:
        rows = LabelledRows(audited, target=target)
        plan = final_plan(rows, folds=folds)
        for model in models:
            variant = Variant.parse(model)
            if variant.per_symbol:
                raise ModelError(
                    what=f"{model} is a model for each symbol and cannot be served as one",
                    got=model,
                    allowed="models of all symbols",
                    fix="leave it out of the ensemble that is promoted",
                )
            chosen, tuned_features = split_parameters(newest(params.get(f"{target}/{model}"), configured, variant))
            if tuned_features:
                raise ModelError(
                    what=f"{model} on {target} has feature parameters of its own and cannot be served",
                    got=f"{dict(tuned_features)}",
                    allowed="models that share the rows of one request",
                    fix="write the chosen values into features: and run again without tuning them",
                )
            one = Task(
                rows=rows, plan=plan, fold=_FOLD, role="test", model=variant.model, label=model,
                params=chosen, fitting=fitting_of(variant, fitting), seed=seed,
                n_threads=n_threads,
            )  # fmt: skip
            fitted[f"{target}/{model}"], _ = _fit(rows, one)
            watcher.advance(task, note=f"{model} on {target}")
    watcher.finish(task)
    return fitted
