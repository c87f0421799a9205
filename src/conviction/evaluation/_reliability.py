"""Do probabilities mean what they say? The reliability curve, with bands from blocks of sessions."""

from __future__ import annotations

import numpy as np
import polars as pl

from conviction.errors import EvaluationError
from conviction.evaluation._resampling import block_counts, block_length, bootstrap_estimate
from conviction.evaluation._rows import rows_of
from conviction.evaluation.parameters import EvaluationParameters


def reliability(
    oof_one: pl.DataFrame, *, evaluation: EvaluationParameters, seed: int, n_bins: int = 10
) -> pl.DataFrame:
    """Return the share of ones among rows of similar score, with bands from a block bootstrap of sessions.

    Bins hold equally many rows (quantiles of the score); ties may merge bins. The gap between share and mean score is
    resampled by whole sessions, so that a day on which all stocks rise counts once.

    Parameters
    ----------
    oof_one : polars.DataFrame
        As `score` takes it; scores are probabilities.
    evaluation : EvaluationParameters
    seed : int
    n_bins : int
        At least 2.

    Returns
    -------
    polars.DataFrame
        One row a bin, ascending: ``bin`` Int64, ``n_rows`` Int64, ``score_mean``, ``share_of_ones``, ``lo``, ``hi`` (band of the
        share, pointwise) Float64, ``calibrated`` Boolean (the mean score lies in the band).

    Raises
    ------
    EvaluationError
        When a score lies outside [0, 1], `n_bins` is below 2, or there are too few sessions for a band.

    Examples
    --------
    >>> from conviction.evaluation import simulate_null_oof
    >>> curve = reliability(simulate_null_oof(n_symbols=10, n_sessions=200, seed=1), evaluation=EvaluationParameters(), seed=0)
    >>> curve.height, curve["n_rows"].sum()
    (10, 2000)
    """
    rows = rows_of(oof_one)
    if n_bins < 2 or rows.n_sessions < evaluation.min_sessions or rows.score.min() < 0 or rows.score.max() > 1:
        raise EvaluationError(
            what="a reliability curve is not defined",
            got=f"{n_bins} bins, {rows.n_sessions} sessions, scores in [{rows.score.min():.4g}, {rows.score.max():.4g}]",
            allowed=f"at least 2 bins, at least min_sessions = {evaluation.min_sessions}, scores in [0, 1]",
            fix="give probabilities over more sessions",
        )
    edges = np.unique(np.quantile(rows.score, np.linspace(0, 1, n_bins + 1)[1:-1]))
    bins = np.searchsorted(edges, rows.score, side="left")
    used = np.unique(bins)
    residual = rows.label - rows.score
    daily = np.bincount(rows.session, weights=residual, minlength=rows.n_sessions).astype(np.float64)
    block = block_length(daily, minimum=evaluation.min_block)
    counts = block_counts(
        rows.n_sessions, block=block, n_resamples=evaluation.n_resamples, rng=np.random.default_rng(seed)
    )
    records = []
    for number, position in enumerate(used):
        members = bins == position
        n = np.bincount(rows.session[members], minlength=rows.n_sessions).astype(np.float64)
        gaps = np.bincount(rows.session[members], weights=residual[members], minlength=rows.n_sessions)
        drawn = counts @ n
        gap = float(gaps.sum() / n.sum())
        resampled = np.divide(counts @ gaps, drawn, out=np.full(len(drawn), np.nan), where=drawn > 0)
        band = bootstrap_estimate(
            gap, resampled, null=0.0, confidence=evaluation.confidence, block=block, n_sessions=rows.n_sessions
        )
        mean = float(rows.score[members].mean())
        lo, hi = max(0.0, mean + band.lo), min(1.0, mean + band.hi)
        records.append((number, int(members.sum()), mean, mean + gap, lo, hi, bool(lo <= mean <= hi)))
    schema = {
        "bin": pl.Int64,
        "n_rows": pl.Int64,
        "score_mean": pl.Float64,
        "share_of_ones": pl.Float64,
        "lo": pl.Float64,
        "hi": pl.Float64,
        "calibrated": pl.Boolean,
    }
    return pl.DataFrame(records, schema=schema, orient="row")
