"""Which models cannot be told from the best one."""

from __future__ import annotations

from typing import Literal

import numpy as np
import polars as pl

from conviction.errors import EvaluationError
from conviction.evaluation._resampling import block_length
from conviction.evaluation._trials import daily_series
from conviction.evaluation.parameters import EvaluationParameters


def model_confidence_set(
    oof: pl.DataFrame,
    *,
    evaluation: EvaluationParameters,
    seed: int,
    size: float = 0.1,
    loss: Literal["auc_daily", "log_loss"] = "auc_daily",
) -> pl.DataFrame:
    """Return which models cannot be told from the best one: the Model Confidence Set.

    Hansen, Lunde and Nason 2011 (``arch.bootstrap.MCS``, range statistic, circular blocks of sessions).

    Parameters
    ----------
    oof : polars.DataFrame
        Out-of-fold rows of at least two models and one target.
    evaluation : EvaluationParameters
        `n_resamples`, `min_block`, `min_symbols`.
    seed : int
    size : float
        The set holds the best model with probability 1 - size.
    loss : {"auc_daily", "log_loss"}
        Loss of a session: one minus its AUC, or its mean log loss.

    Returns
    -------
    polars.DataFrame
        Sorted by loss: ``model``, ``loss`` (mean over common sessions), ``p``, ``included``.

    Raises
    ------
    EvaluationError
        On fewer than two models, several targets, or no common session.

    Examples
    --------
    >>> from conviction.evaluation import simulate_null_oof
    >>> oof = pl.concat([
    ...     simulate_null_oof(n_symbols=10, n_sessions=100, seed=1, skill=skill).with_columns(model=pl.lit(name))
    ...     for name, skill in [("good", 0.3), ("poor", 0.0)]
    ... ])
    >>> model_confidence_set(oof, evaluation=EvaluationParameters(), seed=0).select("model", "included").rows()
    [('good', True), ('poor', False)]
    """
    losses = _session_losses(oof, loss=loss, min_symbols=evaluation.min_symbols)
    models = [name for name in losses.columns if name != "session"]
    if len(models) < 2:
        raise EvaluationError(
            what="a model confidence set needs several models",
            got=models,
            allowed="at least two models with different scores",
            fix="score more than one model of the same target",
        )
    from arch.bootstrap import MCS

    every = losses.select(models).to_numpy()
    # Models with the same losses (a combiner and the ensemble that chose it) are one model: their difference has no variance.
    matrix, group = np.unique(every, axis=1, return_inverse=True)
    group = group.ravel()
    if matrix.shape[1] == 1:
        return pl.DataFrame({"model": models, "loss": every.mean(axis=0), "p": 1.0, "included": True}).sort(
            "loss", "model"
        )
    block = max(block_length(column - matrix.mean(axis=1), minimum=evaluation.min_block) for column in matrix.T)
    confidence_set = MCS(
        matrix, size=size, reps=evaluation.n_resamples, block_size=block, method="R", bootstrap="circular", seed=seed
    )
    confidence_set.compute()
    p = confidence_set.pvalues["Pvalue"]
    included = set(confidence_set.included)
    return pl.DataFrame(
        {
            "model": models,
            "loss": every.mean(axis=0),
            "p": [float(p.loc[position]) for position in group],
            "included": [int(position) in included for position in group],
        }
    ).sort("loss", "model")


def _session_losses(oof: pl.DataFrame, *, loss: str, min_symbols: int) -> pl.DataFrame:
    if loss == "auc_daily":
        series = daily_series(oof, min_symbols=min_symbols)
        return series.with_columns((-pl.exclude("session")) + 1.0)
    p = pl.col("score").clip(1e-15, 1 - 1e-15)
    one = pl.when(pl.col("label") == 1).then(-p.log()).otherwise(-(1 - p).log())
    return (
        oof.filter(pl.col("label").is_not_null())
        .group_by("session", "model")
        .agg(loss=one.mean())
        .pivot("model", index="session", values="loss", sort_columns=True)
        .drop_nulls()
        .sort("session")
    )
