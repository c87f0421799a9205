"""Shadow features: what importance luck alone gives, and which features stand above it."""

from __future__ import annotations

import numpy as np
import polars as pl

from conviction.errors import EvaluationError
from conviction.evaluation._multiplicity import benjamini_hochberg
from conviction.evaluation._permutation import permute_by_session
from conviction.frames import check_columns, key_of

SHADOW = "shadow__"


def shadow_features(matrix: pl.DataFrame, *, seed: int, n_sets: int = 1, block: int = 5) -> pl.DataFrame:
    """Return the matrix with shadows: copies of every feature whose sessions are exchanged, so that they know nothing.

    All shadows of a set are permuted together, by blocks of whole sessions, so that they have the dependence between features,
    symbols and neighbouring days of the real ones (after Kursa and Rudnicki 2010).

    Parameters
    ----------
    matrix : polars.DataFrame
        ``symbol``, ``session`` and features.
    seed : int
    n_sets : int
        Shadows of each feature; the smallest possible p-value of `shadow_selection` is 1 / (1 + n_sets x n_features).
    block : int
        Sessions that stay together.

    Returns
    -------
    polars.DataFrame
        The matrix with columns ``shadow__{set}__{feature}`` behind its own.

    Examples
    --------
    >>> from conviction.evaluation import simulate_null_oof
    >>> matrix = simulate_null_oof(n_symbols=2, n_sessions=40, seed=0).select("symbol", "session", "score")
    >>> shadow_features(matrix, seed=1, n_sets=2).columns
    ['symbol', 'session', 'score', 'shadow__0__score', 'shadow__1__score']
    """
    names = [name for name in matrix.columns if name not in key_of(matrix)]
    out = [matrix]
    for number in range(n_sets):
        moved = permute_by_session(matrix, columns=names, seed=seed + number, block=block)
        out.append(moved.select(pl.col(name).alias(f"{SHADOW}{number}__{name}") for name in names))
    return pl.concat(out, how="horizontal")


def shadow_selection(importances: pl.DataFrame, *, rate: float = 0.1) -> pl.DataFrame:
    """Select the features that are more important than shadows, at a false-discovery rate.

    The importance of a column is its mean rank among all columns of a run, over runs (folds and seeds); the p-value of a
    feature is the share of shadows at least as important, (1 + n) / (1 + shadows), and q is Benjamini and Hochberg's.

    Parameters
    ----------
    importances : polars.DataFrame
        ``run``, ``feature``, ``importance`` of models fitted on `shadow_features`, inside training folds only.
    rate : float
        Accepted share of false discoveries among the selected.

    Returns
    -------
    polars.DataFrame
        Most important first: ``feature``, ``importance`` (mean rank in (0, 1], 1 = highest), ``p``, ``q``, ``selected``.

    Raises
    ------
    EvaluationError
        When there is no feature or no shadow.
    FrameError
        On missing columns.

    Examples
    --------
    >>> names = ["good", "poor"] + [f"shadow__{i}__x" for i in range(40)]
    >>> runs = pl.DataFrame({"run": 0, "feature": names, "importance": [50.0, 7.5] + [float(i) for i in range(40)]})
    >>> shadow_selection(runs).select("feature", "selected").rows()
    [('good', True), ('poor', False)]
    """
    check_columns(importances, ["run", "feature", "importance"], name="importances")
    ranked = (
        importances.with_columns(rank=pl.col("importance").rank("average").over("run") / pl.len().over("run"))
        .group_by("feature")
        .agg(importance=pl.col("rank").mean())
    )
    is_shadow = pl.col("feature").str.starts_with(SHADOW)
    real = ranked.filter(~is_shadow).sort("importance", "feature", descending=[True, False])
    shadows = np.sort(ranked.filter(is_shadow)["importance"].to_numpy())
    if real.is_empty() or not len(shadows):
        raise EvaluationError(
            what="features cannot be selected against shadows",
            got=f"{real.height} features, {len(shadows)} shadows",
            allowed="at least one of each",
            fix="fit the models on shadow_features(matrix, ...) and pass the importances of all columns",
        )
    as_high = len(shadows) - np.searchsorted(shadows, real["importance"].to_numpy(), side="left")
    p = (1 + as_high) / (1 + len(shadows))
    q = benjamini_hochberg(p)
    return real.with_columns(p=pl.Series(p), q=pl.Series(q), selected=pl.Series(q <= rate))
