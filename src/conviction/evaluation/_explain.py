"""What a model leans on, and whether that holds: stability over runs, clustered permutation importance."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from conviction.errors import EvaluationError
from conviction.evaluation._auc import SortedRows, auc, session_influence
from conviction.evaluation._multiplicity import benjamini_hochberg
from conviction.evaluation._resampling import block_counts, block_length, bootstrap_estimate
from conviction.evaluation.parameters import EvaluationParameters
from conviction.frames import check_columns, check_panel, key_of

if TYPE_CHECKING:
    import numpy.typing as npt

    Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Stability:
    """How alike a model's importances are from run to run.

    Attributes
    ----------
    mean : float
        Mean rank correlation over all pairs of runs: 1 when every run orders the features alike, near 0 when order is luck.
    lowest : float
        Of the least alike pair.
    pairs : polars.DataFrame
        ``run_a``, ``run_b``, ``rank_correlation``.
    ranks : polars.DataFrame
        ``feature``, ``rank_mean`` (1 = most important), ``rank_lowest``, ``rank_highest``, most important first.
    """

    mean: float
    lowest: float
    pairs: pl.DataFrame
    ranks: pl.DataFrame


def importance_stability(importances: pl.DataFrame) -> Stability:
    """Measure how stable importances are over folds and seeds.

    Parameters
    ----------
    importances : polars.DataFrame
        ``run`` (a fold, or a fold and seed), ``feature``, ``importance`` (for example mean absolute SHAP values, not negative); every
        run has every feature once. Ties share their mean rank.

    Returns
    -------
    Stability

    Raises
    ------
    EvaluationError
        On fewer than two runs or three features, or when a run lacks a feature.
    FrameError
        On missing columns.

    Examples
    --------
    >>> runs = pl.DataFrame({"run": [0] * 3 + [1] * 3, "feature": ["a", "b", "c"] * 2, "importance": [3.0, 2.0, 1.0, 9.0, 1.0, 0.5]})
    >>> importance_stability(runs).mean
    1.0
    """
    check_columns(importances, ["run", "feature", "importance"], name="importances")
    wide = importances.pivot("run", index="feature", values="importance", aggregate_function="len").sort("feature")
    runs = [name for name in wide.columns if name != "feature"]
    counts = wide.select(runs).fill_null(0).to_numpy()
    complete = bool((counts == 1).all())
    if len(runs) < 2 or wide.height < 3 or not complete:
        raise EvaluationError(
            what="the stability of importances is not defined",
            got=f"{len(runs)} runs, {wide.height} features, every run complete: {complete}",
            allowed="at least two runs and three features, each feature once in each run",
            fix="give importance 0 to features that a run did not use",
        )
    matrix = importances.pivot("run", index="feature", values="importance").sort("feature").select(runs).to_numpy()
    from scipy.stats import rankdata

    ranks = rankdata(-matrix, axis=0)
    varying = ranks.std(axis=0) > 0
    records = []
    for a, b in combinations(range(len(runs)), 2):
        # A run that finds every feature equally important agrees with no order.
        rho = float(np.corrcoef(ranks[:, a], ranks[:, b])[0, 1]) if varying[a] and varying[b] else 0.0
        records.append((runs[a], runs[b], rho))
    pairs = pl.DataFrame(
        records, schema={"run_a": pl.String, "run_b": pl.String, "rank_correlation": pl.Float64}, orient="row"
    )
    table = pl.DataFrame(
        {
            "feature": wide["feature"],
            "rank_mean": ranks.mean(axis=1),
            "rank_lowest": ranks.max(axis=1),
            "rank_highest": ranks.min(axis=1),
        }
    ).sort("rank_mean", "feature")
    values = pairs["rank_correlation"].to_numpy()
    return Stability(float(values.mean()), float(values.min()), pairs, table)


def cluster_features(matrix: pl.DataFrame, *, threshold: float = 0.7) -> dict[str, tuple[str, ...]]:
    """Group features that say the same, so that permuting one does not leave its twin to speak for it.

    Average linkage on 1 - |Spearman's rho|; a cluster joins features whose mean correlation is at least `threshold` (Lopez
    de Prado 2020, ch. 6).

    Parameters
    ----------
    matrix : polars.DataFrame
        ``symbol``, ``session`` and feature columns of training rows; nulls take the middle rank.
    threshold : float
        In (0, 1).

    Returns
    -------
    dict of str to tuple of str
        Name of the cluster (its first feature) to its features, sorted.

    Examples
    --------
    >>> from datetime import date
    >>> days = [date(2020, 1, day) for day in range(1, 9)]
    >>> frame = pl.DataFrame({"symbol": "A", "session": days, "x": range(8), "minus_x": range(8, 0, -1), "z": [1, 5, 2, 8, 3, 7, 0, 4]})
    >>> cluster_features(frame)
    {'minus_x': ('minus_x', 'x'), 'z': ('z',)}
    """
    names = sorted(name for name in matrix.columns if name not in key_of(matrix))
    if not names or not 0 < threshold < 1:
        raise EvaluationError(
            what="features cannot be clustered",
            got=f"{len(names)} features, threshold {threshold}",
            allowed="at least one feature and a threshold inside (0, 1)",
            fix="pass a feature matrix with its key columns",
        )
    if len(names) == 1:
        return {names[0]: (names[0],)}
    from scipy.cluster.hierarchy import fcluster, linkage
    from scipy.spatial.distance import squareform

    ranks = matrix.select(pl.col(name).rank("average").fill_null((pl.col(name).count() + 1) / 2) for name in names)
    values = ranks.to_numpy().astype(np.float64)
    spread = values.std(axis=0)
    scaled = (values - values.mean(axis=0)) / np.where(spread > 0, spread, np.inf)
    rho = scaled.T @ scaled / len(scaled)
    distance = np.clip(1 - np.abs((rho + rho.T) / 2), 0.0, 1.0)
    np.fill_diagonal(distance, 0.0)
    found = fcluster(linkage(squareform(distance, checks=False), "average"), 1 - threshold, "distance")
    groups: dict[int, list[str]] = {}
    for name, group in zip(names, found, strict=True):
        groups.setdefault(int(group), []).append(name)
    return {members[0]: tuple(members) for members in sorted(groups.values())}


def permutation_importance(
    predict: Callable[[pl.DataFrame], Floats],
    matrix: pl.DataFrame,
    label: pl.Series,
    *,
    clusters: Mapping[str, Sequence[str]],
    evaluation: EvaluationParameters,
    seed: int,
    n_repeats: int = 5,
) -> pl.DataFrame:
    """Return how much AUC is lost when a cluster of features is shuffled, with intervals over sessions.

    The columns of a cluster are shuffled over rows together. The loss is the pooled AUC less the mean AUC of the shuffled
    repeats; its interval resamples the same blocks of sessions for all (a paired bootstrap).

    Parameters
    ----------
    predict : callable
        From a frame with the columns of `matrix` to scores.
    matrix : polars.DataFrame
        ``symbol``, ``session`` and features, of rows the model has not seen, for example the inner part of a training
        fold; selecting features by test sessions would spoil them.
    label : polars.Series
        0 or 1, no nulls, one a row.
    clusters : mapping of str to sequence of str
        From `cluster_features`.
    evaluation : EvaluationParameters
    seed : int
    n_repeats : int

    Returns
    -------
    polars.DataFrame
        Sorted by loss descending: ``cluster``, ``features`` (List), ``loss``, ``lo``, ``hi``, ``p`` (two-sided), ``q`` (Benjamini-Hochberg).

    Raises
    ------
    EvaluationError
        On unknown features, a label that is not binary, one class, or too few sessions.
    FrameError
        When the matrix breaks the frame contract.
    """
    check_panel(matrix, name="matrix")
    check_columns(matrix, [name for members in clusters.values() for name in members], name="matrix")
    session = matrix["session"].rank("dense").to_numpy().astype(np.int64) - 1
    n_sessions = int(session.max()) + 1
    binary = label.null_count() == 0 and len(label) == matrix.height and set(label.unique().to_list()) == {0, 1}
    if not binary or n_sessions < evaluation.min_sessions:
        raise EvaluationError(
            what="permutation importance is not defined",
            got=f"{len(label)} labels {label.unique().sort().to_list()[:4]} for {matrix.height} rows in {n_sessions} sessions",
            allowed=f"one label, 0 or 1, for each row, both present, and at least {evaluation.min_sessions} sessions",
            fix="leave rows without a label out of both, and take a longer span",
        )
    truth = label.to_numpy().astype(bool)
    score = np.asarray(predict(matrix), dtype=np.float64)
    block = block_length(session_influence(score, truth, session, n_sessions), minimum=evaluation.min_block)
    rng = np.random.default_rng(seed)
    counts = block_counts(n_sessions, block=block, n_resamples=evaluation.n_resamples, rng=rng)
    base, base_resampled = auc(score, truth), SortedRows.of(score, truth, session).resampled_auc(counts)
    records = []
    for name, members in clusters.items():
        values, resampled = [], np.zeros(len(counts))
        for _ in range(n_repeats):
            order = rng.permutation(matrix.height)
            shuffled = np.asarray(
                predict(matrix.with_columns(matrix[member].gather(order) for member in members)), dtype=np.float64
            )
            values.append(auc(shuffled, truth))
            resampled += SortedRows.of(shuffled, truth, session).resampled_auc(counts) / n_repeats
        estimate = bootstrap_estimate(
            base - float(np.mean(values)),
            base_resampled - resampled,
            null=0.0,
            confidence=evaluation.confidence,
            block=block,
            n_sessions=n_sessions,
        )
        # A cluster the model does not use changes no score: no loss, and nothing to doubt about it.
        p = estimate.p if np.isfinite(estimate.p) else 1.0
        records.append((name, list(members), estimate.value, estimate.lo, estimate.hi, p))
    schema: dict[str, pl.DataType | type[pl.DataType]] = {
        "cluster": pl.String,
        "features": pl.List(pl.String),
        "loss": pl.Float64,
        "lo": pl.Float64,
        "hi": pl.Float64,
        "p": pl.Float64,
    }
    table = pl.DataFrame(records, schema=schema, orient="row")
    return table.with_columns(q=pl.Series(benjamini_hochberg(table["p"].to_numpy()))).sort(
        "loss", "cluster", descending=[True, False]
    )
