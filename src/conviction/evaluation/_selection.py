"""Choosing features by their importance, inside each fold's training sessions alone."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from conviction.evaluation._importances import ShadowPanel
from conviction.evaluation._shadow import SHADOW, shadow_features, shadow_selection
from conviction.frames import key_of
from conviction.models import Block, fit_blocks, model_spec
from conviction.oof import OOF_SCHEMA, FeatureSubset, LabelledRows, check_plan_is_audited, fold_blocks, oof_key

if TYPE_CHECKING:
    from conviction.folds import FoldPlan

_MOST_ROWS = 2000


def select_features(
    audited: Any,
    plan: FoldPlan,
    *,
    target: str,
    model: str,
    params: Mapping[str, Any] | None = None,
    seed: int,
    n_sets: int = 3,
    n_seeds: int = 3,
    rate: float = 0.1,
    block: int = 5,
) -> dict[int, tuple[str, ...]]:
    """Choose, for each fold, the features that stand above shadows in models fitted on that fold's training sessions.

    Features, labels and shadows of a fold come from its `train` and `inner` sessions; the sessions that the fold scores, and all
    later ones, are not looked at, so that the score of what is chosen stays honest.

    Parameters
    ----------
    audited : AuditedPanel
    plan : FoldPlan
    target, model : str
        A model of the registry that says something of its features.
    params : mapping, optional
    seed : int
    n_sets : int
        Shadows of each feature.
    n_seeds : int
        Fits of each fold, each with its own shadows.
    rate : float
        Accepted share of false discoveries.
    block : int
        Sessions that stay together in a shadow.

    Returns
    -------
    dict of int to tuple of str
        Fold to the features chosen, in the panel's order. A fold in which none stands out keeps all of them: nothing was
        learnt about them.
    """
    check_plan_is_audited(audited, plan)
    uses_inner = model_spec(model).capabilities.uses_inner
    chosen = {}
    for fold in plan.folds:
        known = pl.concat([plan.sessions(fold, "train"), plan.sessions(fold, "inner")])
        part = audited.frame.filter(pl.col("session").is_in(known.implode()))
        runs = []
        for number in range(n_seeds):
            shadows = shadow_features(
                part.select(*key_of(part), *audited.features), seed=seed + number * n_sets, n_sets=n_sets, block=block
            )
            names = tuple(name for name in shadows.columns if name.startswith(SHADOW))
            panel = ShadowPanel(part.hstack(shadows.select(names)), (*audited.features, *names), audited.targets)
            train, inner = fold_blocks(LabelledRows(panel, target=target), plan, fold, uses_inner=uses_inner)
            fitted = fit_blocks(model, train, inner, params=params, seed=seed + number, n_threads=1)
            values = fitted.contributions_of_block(_thinned(train))
            if values is not None:
                table = values.drop("bias").select(pl.all().abs().mean()).unpivot()
                runs.append(table.rename({"variable": "feature", "value": "importance"}).with_columns(run=number))
                continue
            own = fitted.importance()
            if own is not None:
                runs.append(own.with_columns(run=number))
        selected = shadow_selection(pl.concat(runs, how="diagonal"), rate=rate).filter("selected")["feature"].to_list()
        kept = tuple(name for name in audited.features if name in set(selected))
        chosen[fold] = kept or tuple(audited.features)
    return chosen


def _thinned(block: Block) -> Block:
    """Return at most 2,000 rows of a block, evenly spaced: enough for a mean."""
    step = max(1, -(-len(block) // _MOST_ROWS))
    return Block(features=block.features, matrix=np.ascontiguousarray(block.matrix[::step]))


def out_of_fold_selected(
    audited: Any,
    plan: FoldPlan,
    *,
    target: str,
    model: str,
    selection: Mapping[int, tuple[str, ...]],
    params: Mapping[str, Any] | None = None,
    seed: int,
) -> pl.DataFrame:
    """Predict every fold from the features that were chosen for it.

    Parameters
    ----------
    audited : AuditedPanel
    plan : FoldPlan
    target, model : str
    selection : mapping of int to tuple of str
        As `select_features` gives it.
    params : mapping, optional
    seed : int

    Returns
    -------
    polars.DataFrame
        Out-of-fold frame whose model is ``{model}+selected``.
    """
    check_plan_is_audited(audited, plan)
    uses_inner = model_spec(model).capabilities.uses_inner
    parts = []
    for fold in plan.folds:
        rows = LabelledRows(FeatureSubset(audited, selection[fold]), target=target)
        train, inner = fold_blocks(rows, plan, fold, uses_inner=uses_inner)
        fitted = fit_blocks(model, train, inner, params=params, seed=seed, n_threads=1)
        scored = plan.sessions(fold, "test")
        where = rows.place(scored)
        parts.append(
            rows.keys[where].with_columns(
                target=pl.lit(target),
                model=pl.lit(f"{model}+selected"),
                fold=pl.lit(fold, pl.Int32),
                score=pl.Series(np.asarray(fitted.predict_block(rows.block(scored, labels=False)))),
                label=pl.Series(rows.y[where]).cast(pl.Int8),
                forward_return=rows.forward_return[where],
            )
        )
    made = pl.concat(parts).cast(OOF_SCHEMA)  # type: ignore[arg-type]  # the end of a bar, where there is one, stays as it is
    return made.sort(oof_key(made))
