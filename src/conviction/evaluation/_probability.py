"""Scores as probabilities: log loss and Brier skill against the base rate that was known, with intervals over sessions."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from conviction.errors import EvaluationError
from conviction.evaluation._resampling import block_counts, block_length, bootstrap_estimate

if TYPE_CHECKING:
    import numpy.typing as npt

    from conviction.evaluation._rows import Rows
    from conviction.evaluation.parameters import EvaluationParameters

    Floats = npt.NDArray[np.float64]

PROBABILITY_METRICS = (
    "log_loss",
    "log_loss_lo",
    "log_loss_hi",
    "brier",
    "brier_skill",
    "brier_skill_lo",
    "brier_skill_hi",
)
_CLIP = 1e-15


def probability_metrics(
    rows: Rows, *, base_rate: pl.DataFrame | None, evaluation: EvaluationParameters, seed: int
) -> tuple[dict[str, float], dict[str, str]]:
    """Return the metrics of scores as probabilities, and a reason for each that is undefined.

    The Brier skill is 1 - (sum of squared errors) / (sum of squared errors of the known base rate), a ratio of sums over sessions;
    it and the mean log loss take the circular block bootstrap of sessions of the pooled AUC, block length from their own
    influence.
    """
    if rows.score.min() < 0 or rows.score.max() > 1:
        why = "The scores are not probabilities: some lie outside [0, 1]."
        return {}, dict.fromkeys(PROBABILITY_METRICS, why)
    label = rows.label.astype(np.float64)
    p = np.clip(rows.score, _CLIP, 1 - _CLIP)
    loss = _by_session(-np.where(rows.label, np.log(p), np.log1p(-p)), rows)
    squared = _by_session((rows.score - label) ** 2, rows)
    known = _by_session((known_base_rate(rows.frame, base_rate=base_rate) - label) ** 2, rows)
    n = _by_session(np.ones(rows.n_rows), rows)
    metrics = {"log_loss": float(loss.sum() / n.sum()), "brier": float(squared.sum() / n.sum())}
    reasons: dict[str, str] = {}
    ratios = {"log_loss": (loss, n)}
    if known.sum() > 0:
        metrics["brier_skill"] = 1 - float(squared.sum() / known.sum())
        ratios["brier_skill"] = (known - squared, known)
    else:
        why = "The base rate predicts every label exactly."
        reasons |= dict.fromkeys(("brier_skill", "brier_skill_lo", "brier_skill_hi"), why)
    for name, (top, bottom) in ratios.items():
        bounds = (f"{name}_lo", f"{name}_hi")
        if rows.n_sessions < evaluation.min_sessions:
            why = f"{rows.n_sessions} sessions are too few for an interval; min_sessions is {evaluation.min_sessions}."
            reasons |= dict.fromkeys(bounds, why)
            continue
        interval = _interval(metrics[name], top, bottom, evaluation=evaluation, seed=seed)
        metrics |= dict(zip(bounds, interval, strict=True))
    return metrics, reasons


def _by_session(values: Floats, rows: Rows) -> Floats:
    return np.asarray(np.bincount(rows.session, weights=values, minlength=rows.n_sessions), dtype=np.float64)


def _interval(
    value: float, top: Floats, bottom: Floats, *, evaluation: EvaluationParameters, seed: int
) -> tuple[float, float]:
    """Return the interval of a ratio of sums over sessions."""
    n_sessions = len(top)
    block = block_length(top - value * bottom, minimum=evaluation.min_block)
    rng = np.random.default_rng(seed)
    counts = block_counts(n_sessions, block=block, n_resamples=evaluation.n_resamples, rng=rng)
    drawn = counts @ bottom
    resampled = np.divide(counts @ top, drawn, out=np.full(len(drawn), np.nan), where=drawn > 0)
    estimate = bootstrap_estimate(
        value, resampled, null=0.0, confidence=evaluation.confidence, block=block, n_sessions=n_sessions
    )
    return estimate.lo, estimate.hi


def known_base_rate(frame: pl.DataFrame, *, base_rate: pl.DataFrame | None = None) -> Floats:
    """Return, for each row, the share of ones that was known when its fold was predicted.

    Parameters
    ----------
    frame : polars.DataFrame
        Labelled rows with ``session``, ``fold``, ``label``.
    base_rate : polars.DataFrame, optional
        ``fold``, ``base_rate`` of the folds' training rows.

    Returns
    -------
    numpy.ndarray of float64, shape (n_rows,)
        From `base_rate`, or else the share of ones in all rows of sessions strictly before the fold's first session, and
        one half where there are none.

    Raises
    ------
    EvaluationError
        When `base_rate` lacks a fold.
    """
    if base_rate is not None:
        joined = frame.select("fold").join(
            base_rate.select(pl.col("fold").cast(frame.schema["fold"]), "base_rate"),
            on="fold",
            how="left",
            maintain_order="left",
        )["base_rate"]
        if joined.null_count() or len(joined) != frame.height:
            raise EvaluationError(
                what="the base rate does not cover every fold once",
                got=sorted(base_rate["fold"].to_list()),
                allowed=sorted(frame["fold"].unique().to_list()),
                fix="give one base rate for each fold of the out-of-fold rows",
            )
        return joined.to_numpy().astype(np.float64)
    first = frame.group_by("fold").agg(first=pl.col("session").min())
    past = (
        frame.group_by("session")
        .agg(ones=pl.col("label").cast(pl.Int64).sum(), n=pl.len().cast(pl.Int64))
        .sort("session")
        .select(
            "session",
            known=(pl.col("ones").cum_sum() - pl.col("ones")) / (pl.col("n").cum_sum() - pl.col("n")),
        )
    )
    known = first.join(past, left_on="first", right_on="session", how="left").select(
        "fold", known=pl.col("known").fill_nan(None).fill_null(0.5)
    )
    return frame.select("fold").join(known, on="fold", how="left", maintain_order="left")["known"].to_numpy()
