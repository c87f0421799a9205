"""Paired comparison of two scores on the same rows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import polars as pl

from conviction.errors import EvaluationError
from conviction.evaluation._auc import SortedRows, auc, daily_auc, session_influence
from conviction.evaluation._resampling import block_counts, block_length, bootstrap_estimate, newey_west_mean
from conviction.evaluation._rows import rows_of
from conviction.evaluation.parameters import EvaluationParameters
from conviction.frames import key_of

ComparedMetric = Literal["auc_pooled", "auc_daily"]


@dataclass(frozen=True)
class Comparison:
    """Difference of a metric between two scores of the same rows, first minus second.

    Attributes
    ----------
    metric : str
        ``auc_pooled`` or ``auc_daily``.
    a, b, delta : float
        The metric of each on the common rows, and a - b.
    lo, hi : float
        Interval of `delta`.
    p : float
        Two-sided p-value of no difference; 1.0 when the two rank every resample alike.
    n_sessions, n_rows : int
        Common sessions and rows.
    n_unpaired : int
        Labelled rows that only one of the two has; they take no part.
    block : int or None
        Block length of the bootstrap in sessions; None for the daily AUC.
    """

    metric: str
    a: float
    b: float
    delta: float
    lo: float
    hi: float
    p: float
    n_sessions: int
    n_rows: int
    n_unpaired: int
    block: int | None = None

    @property
    def better(self) -> bool:
        """Whether the first is better by more than luck explains: the whole interval is above zero."""
        return self.lo > 0


def compare(
    oof_a: pl.DataFrame,
    oof_b: pl.DataFrame,
    *,
    evaluation: EvaluationParameters,
    seed: int,
    metric: ComparedMetric = "auc_pooled",
) -> Comparison:
    """Compare two scores of the same rows, resampling the same sessions for both.

    The pooled AUC is compared by a paired circular block bootstrap of sessions, whose block length is chosen from the
    difference of the two models' session influences; the daily AUC by the Newey-West interval of the mean
    difference between the sessions' AUCs. Pairing removes what moves both alike, which is most of the noise.

    Parameters
    ----------
    oof_a, oof_b : polars.DataFrame
        Out-of-fold rows, each of one target and one model, as `score` takes them.
    evaluation : EvaluationParameters
    seed : int
    metric : {"auc_pooled", "auc_daily"}

    Returns
    -------
    Comparison

    Raises
    ------
    EvaluationError
        When the two share fewer than `min_sessions` sessions, disagree about a label, or have one class only.
    FrameError
        When one breaks the frame contract.

    Examples
    --------
    >>> from conviction.evaluation import simulate_null_oof
    >>> a = simulate_null_oof(n_symbols=10, n_sessions=200, seed=1, skill=0.3)
    >>> b = simulate_null_oof(n_symbols=10, n_sessions=200, seed=1)
    >>> compare(a, b, evaluation=EvaluationParameters(), seed=0).better
    True
    """
    left, right = rows_of(oof_a), rows_of(oof_b)
    key = list(key_of(left.frame))
    joined = left.frame.select(*key, "label", "score").join(
        right.frame.select(*key, other_label="label", other="score"), on=key
    )
    _check_pairs(joined, evaluation)
    joined = joined.sort(*key[1:], "symbol")
    unpaired = left.n_rows + right.n_rows - 2 * joined.height
    session = joined["session"].rank("dense").to_numpy().astype(np.int64) - 1
    n_sessions = int(session[-1]) + 1
    label = joined["label"].to_numpy().astype(bool)
    scores = [joined[name].to_numpy().astype(np.float64) for name in ("score", "other")]
    if metric == "auc_daily":
        return _compare_daily(joined, evaluation, unpaired)
    values = [auc(one, label) for one in scores]
    influence = [session_influence(one, label, session, n_sessions) for one in scores]
    block = block_length(influence[0] - influence[1], minimum=evaluation.min_block)
    counts = block_counts(n_sessions, block=block, n_resamples=evaluation.n_resamples, rng=np.random.default_rng(seed))
    first, second = (SortedRows.of(one, label, session).resampled_auc(counts) for one in scores)
    delta = values[0] - values[1]
    estimate = bootstrap_estimate(
        delta, first - second, null=0.0, confidence=evaluation.confidence, block=block, n_sessions=n_sessions
    )
    p = estimate.p if np.isfinite(estimate.p) else 1.0
    return Comparison(
        metric, values[0], values[1], delta, estimate.lo, estimate.hi, p, n_sessions, joined.height, unpaired, block
    )


def _compare_daily(joined: pl.DataFrame, evaluation: EvaluationParameters, unpaired: int) -> Comparison:
    first = daily_auc(joined, min_symbols=evaluation.min_symbols)["auc"].to_numpy()
    second = daily_auc(joined.select(pl.exclude("score", "other"), score="other"), min_symbols=evaluation.min_symbols)[
        "auc"
    ].to_numpy()
    if len(first) < evaluation.min_sessions:
        raise EvaluationError(
            what="too few sessions have a cross-section to compare daily AUCs",
            got=f"{len(first)} sessions with both classes and {evaluation.min_symbols} symbols",
            allowed=f"at least min_sessions = {evaluation.min_sessions}",
            fix="compare the pooled AUC (metric='auc_pooled')",
        )
    estimate = newey_west_mean(first - second, null=0.0, confidence=evaluation.confidence)
    p = estimate.p if np.isfinite(estimate.p) else 1.0
    return Comparison(
        "auc_daily",
        float(first.mean()),
        float(second.mean()),
        estimate.mean,
        estimate.lo,
        estimate.hi,
        p,
        len(first),
        joined.height,
        unpaired,
    )


def _check_pairs(joined: pl.DataFrame, evaluation: EvaluationParameters) -> None:
    n_sessions = joined["session"].n_unique()
    if n_sessions < evaluation.min_sessions:
        raise EvaluationError(
            what="the two scores share too few sessions to be compared",
            got=f"{n_sessions} common sessions",
            allowed=f"at least min_sessions = {evaluation.min_sessions}",
            fix="compare scores of the same fold plan and target",
        )
    disagree = joined.filter(pl.col("label") != pl.col("other_label")).height
    if disagree:
        raise EvaluationError(
            what="the two scores do not have the same labels",
            got=f"{disagree} of {joined.height} common rows disagree",
            allowed="equal labels on common rows",
            fix="compare scores of the same target",
        )
    if joined["label"].n_unique() < 2:
        raise EvaluationError(
            what="the common rows have only one class",
            got=f"label {joined['label'][0]} in all {joined.height} rows",
            allowed="rows of both classes",
            fix="compare over a longer span",
        )
