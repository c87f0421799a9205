"""What a trial is scored on: sessions inside the outer fold's own training span that its model has not seen."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from conviction.errors import TuningError
from conviction.folds import FoldPlan
from conviction.models import Block, fit_blocks, model_spec

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from numpy.typing import NDArray

    from conviction.oof import FittingParameters, LabelledRows
    from conviction.tuning.parameters import ObjectiveName


@dataclass(frozen=True, eq=False)
class Stage:
    """One fit and one score of a trial: blocks that are shared, bins and all, by every trial of the fold."""

    train: Block
    watched: Block | None
    scored: Block


@dataclass(frozen=True)
class StageScore:
    """What one stage of a trial gave."""

    value: float
    by_session: list[float]
    facts: Mapping[str, Any]
    predictions_sha: str


def make_stages(
    rows: LabelledRows,
    plan: FoldPlan,
    fold: int,
    *,
    model: str,
    inner_folds: int,
    fitting: FittingParameters | None = None,
) -> list[Stage]:
    """Cut the outer fold's own training sessions into what trials are fitted and scored on.

    The scored sessions are the second half of a block as long as the plan's inner block; the first half is watched
    for early stopping (or fitted, by models that do not watch). Labels reaching from one part into a later one are
    purged. Nothing outside the fold's `train` and `inner` roles is touched.
    """
    train, inner = plan.sessions(fold, "train"), plan.sessions(fold, "inner")
    allowed = pl.concat([train, inner]).sort()
    uses_inner = model_spec(model).capabilities.uses_inner
    stages = []
    for back in range(inner_folds, 0, -1):
        end = len(allowed) - (back - 1) * len(inner)
        start = end - len(inner)
        if start < len(inner) or len(inner) < 4:
            raise TuningError(
                what=f"fold {fold} is too short to score trials on {inner_folds} inner blocks",
                got=f"{len(train)} training and {len(inner)} inner sessions",
                allowed=f"at least {inner_folds + 1} blocks of {max(4, len(inner))} sessions",
                fix="lower tuning.inner_folds or folds.inner_fraction, or use a longer history",
            )
        stages.append(Stage(*rows.cut(allowed[:start], allowed[start:end], uses_inner=uses_inner, fitting=fitting)))
    return stages


def score_stages(
    stages: list[Stage],
    *,
    model: str,
    params: Mapping[str, Any],
    objective: ObjectiveName,
    seed: int,
    n_threads: int,
) -> Iterator[StageScore]:
    """Fit and score stage after stage; the caller may stop asking (pruning)."""
    for stage in stages:
        fitted = fit_blocks(model, stage.train, stage.watched, params=params, seed=seed, n_threads=n_threads)
        scores = fitted.predict_block(stage.scored)
        parts = auc_parts(stage.scored, scores, objective=objective)
        yield StageScore(
            value=sum(parts) / len(parts),
            by_session=parts if objective == "auc_daily" else [],
            facts=fitted.facts,
            predictions_sha=hashlib.sha256(scores.tobytes()).hexdigest(),
        )


def objective_value(block: Block, scores: NDArray[np.float64], *, objective: ObjectiveName) -> float:
    """Return the AUC of the scores, pooled or as the mean over sessions.

    The AUC is the Mann-Whitney statistic on average ranks, so ties count one half.

    Parameters
    ----------
    block : Block
        Labels and keys.
    scores : numpy.ndarray of float64, shape (rows,)
    objective : {"auc_daily", "auc_pooled"}

    Returns
    -------
    float

    Raises
    ------
    TuningError
        If no session (or the whole block) has both classes.
    """
    parts = auc_parts(block, scores, objective=objective)
    return sum(parts) / len(parts)


def auc_parts(block: Block, scores: NDArray[np.float64], *, objective: ObjectiveName) -> list[float]:
    """Return the AUC of each session that has both classes, in order, or of all rows as the only part."""
    groups = pl.Series("session", np.zeros(len(block), dtype=np.int8)) if objective == "auc_pooled" else block.moments
    if groups is None:
        raise TuningError(what="auc_daily needs sessions", got="rows without keys", allowed="keys", fix="pass keys")
    by_group = (
        pl.DataFrame({"group": groups, "score": scores, "label": block.labels})
        .with_columns(rank=pl.col("score").rank("average").over("group"))
        .group_by("group")
        .agg(
            pl.col("label").sum().alias("ones"),
            pl.len().alias("rows"),
            (pl.col("rank") * pl.col("label")).sum().alias("rank_sum"),
        )
        .with_columns(zeros=pl.col("rows") - pl.col("ones"))
        .filter((pl.col("ones") > 0) & (pl.col("zeros") > 0))
        .sort("group")
    )
    if by_group.is_empty():
        raise TuningError(
            what=f"the objective {objective!r} is not defined on the inner block",
            got=f"{len(block)} rows and no {'session' if objective == 'auc_daily' else 'block'} with both classes",
            allowed="both classes among the rows that are compared",
            fix="use tuning.objective=auc_pooled (one symbol has no cross-section) or a longer inner block",
        )
    auc = (pl.col("rank_sum") - pl.col("ones") * (pl.col("ones") + 1) / 2) / (pl.col("ones") * pl.col("zeros"))
    return by_group.select(auc.alias("auc"))["auc"].to_list()
