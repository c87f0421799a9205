"""How fast a score loses its worth: the information coefficient of later and later returns."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import polars as pl

from conviction.errors import EvaluationError
from conviction.evaluation._auc import daily_rank_ic
from conviction.evaluation._resampling import newey_west_mean
from conviction.evaluation._rows import rows_of
from conviction.evaluation.parameters import EvaluationParameters
from conviction.frames import moment_of


def ic_decay(
    oof_one: pl.DataFrame, *, evaluation: EvaluationParameters, lags: Sequence[int] = (0, 1, 2, 3, 5, 10, 20)
) -> pl.DataFrame:
    """Return the rank information coefficient of a score with the returns of later sessions.

    At lag k the score of a session meets the forward return of the k-th session after it (lag 0 is the plain rank IC), by
    the sessions of the frame; a symbol without a row there takes no part. Lags of intraday bars count bars.

    Parameters
    ----------
    oof_one : polars.DataFrame
        As `score` takes it.
    evaluation : EvaluationParameters
    lags : sequence of int
        Not negative.

    Returns
    -------
    polars.DataFrame
        ``lag`` Int64, ``rank_ic``, ``lo``, ``hi``, ``t`` Float64 (Newey-West; null where fewer than `min_sessions` sessions have one),
        ``n_sessions`` Int64.

    Raises
    ------
    EvaluationError
        On a negative lag.

    Examples
    --------
    >>> from conviction.evaluation import simulate_null_oof
    >>> oof = simulate_null_oof(n_symbols=30, n_sessions=200, seed=1, skill=0.2)
    >>> decay = ic_decay(oof, evaluation=EvaluationParameters(), lags=(0, 1))
    >>> decay["rank_ic"][0] > 0.1, abs(decay["rank_ic"][1]) < 0.05
    (True, True)
    """
    if any(lag < 0 for lag in lags):
        raise EvaluationError(
            what="a lag of the information coefficient is negative",
            got=list(lags),
            allowed="lags of 0 sessions and more",
            fix="a score is compared with what follows it; audit_dataset profiles the past",
        )
    rows = rows_of(oof_one)
    moment = moment_of(oof_one)
    calendar = rows.frame.select(pl.col(moment).unique().sort()).with_row_index("position").cast({"position": pl.Int64})
    placed = oof_one.join(calendar, on=moment)
    records: list[tuple[int, float | None, float | None, float | None, float | None, int]] = []
    for lag in lags:
        later = placed.select("symbol", position=pl.col("position") - lag, later_return="forward_return")
        daily = daily_rank_ic(
            placed.drop("forward_return").join(later, on=["symbol", "position"]),
            min_symbols=evaluation.min_symbols,
            value="later_return",
        )["rank_ic"].to_numpy()
        if len(daily) < evaluation.min_sessions:
            records.append((lag, None, None, None, None, len(daily)))
            continue
        estimate = newey_west_mean(daily, null=0.0, confidence=evaluation.confidence)
        t = estimate.t if np.isfinite(estimate.t) else None
        records.append((lag, estimate.mean, estimate.lo, estimate.hi, t, len(daily)))
    schema = {
        "lag": pl.Int64,
        "rank_ic": pl.Float64,
        "lo": pl.Float64,
        "hi": pl.Float64,
        "t": pl.Float64,
        "n_sessions": pl.Int64,
    }
    return pl.DataFrame(records, schema=schema, orient="row")
