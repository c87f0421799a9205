"""Context that a stack may see beside the base scores, each value known when the row's decision is made."""

from __future__ import annotations

import polars as pl

from conviction.ensembling._inputs import Inputs


def context_columns(inputs: Inputs, *, purge: int) -> pl.DataFrame:
    """Return per-session and per-symbol context of every row.

    Of the session, from its own scores: ``session_mean`` (mean of the models' average score), ``session_spread`` (its
    standard deviation over symbols), ``session_disagreement`` (mean spread between the models' ranks). Of the symbol, from labels
    of sessions at least `purge` + 1 sessions earlier: ``symbol_hit_rate``, how often its rank average and its label
    agreed, shrunk towards one half as if 50 sessions of luck had come before; ``session_hit_rate``, the same over all
    symbols of the last 20 such sessions.

    Parameters
    ----------
    inputs : Inputs
    purge : int
        Sessions whose labels are not all known yet.

    Returns
    -------
    polars.DataFrame
        Five Float64 columns without nulls, in the order of `inputs.rows`.
    """
    rank = inputs.ranks.mean(axis=1)
    rows = inputs.rows.select("symbol", "session", label=pl.col("label").cast(pl.Float64)).with_columns(
        mean_score=pl.Series(inputs.scores.mean(axis=1)),
        disagreement=pl.Series(inputs.ranks.std(axis=1)),
        hit=pl.when(pl.col("label").is_not_null()).then(
            ((pl.Series(rank) > 0.5) == (pl.col("label") == 1)).cast(pl.Float64)
        ),
    )
    calendar = rows.select("session").unique().sort("session").with_row_index("position")
    hits = (
        rows.join(calendar, on="session")
        .group_by("position")
        .agg(hit=pl.col("hit").mean())
        .sort("position")
        .select(
            (pl.col("position") + purge + 1).alias("position"),
            session_hit_rate=pl.col("hit").fill_null(0.5).rolling_mean(20, min_samples=1),
        )
    )
    symbols = (
        rows.join(calendar, on="session")
        .sort("symbol", "position")
        .select(
            "symbol",
            known_from=pl.col("position").cast(pl.Int64) + purge + 1,
            symbol_hit_rate=(pl.col("hit").fill_null(0.5).cum_sum().over("symbol") + 25.0)
            / (pl.int_range(1, pl.len() + 1).over("symbol") + 50.0),
        )
    )
    placed = rows.with_row_index("row").join(calendar, on="session").with_columns(pl.col("position").cast(pl.Int64))
    with_symbol = placed.sort("position").join_asof(
        symbols.sort("known_from"), left_on="position", right_on="known_from", by="symbol", check_sortedness=False
    )
    return (
        with_symbol.join(hits.with_columns(pl.col("position").cast(pl.Int64)), on="position", how="left")
        .sort("row")
        .select(
            session_mean=pl.col("mean_score").mean().over("session"),
            session_spread=pl.col("mean_score").std().over("session").fill_null(0.0),
            session_disagreement=pl.col("disagreement").mean().over("session"),
            symbol_hit_rate=pl.col("symbol_hit_rate").fill_null(0.5),
            session_hit_rate=pl.col("session_hit_rate").fill_null(0.5),
        )
    )
