"""Many trials: how many they amount to, what the best of them is worth, and how often the best one is overfitted."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations
from math import comb
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from conviction.errors import EvaluationError
from conviction.evaluation._auc import daily_auc
from conviction.evaluation._multiplicity import expected_best

if TYPE_CHECKING:
    import numpy.typing as npt

    Floats = npt.NDArray[np.float64]


def daily_series(oof: pl.DataFrame, *, min_symbols: int) -> pl.DataFrame:
    """Return the daily AUC of every model on the sessions where all of them have one.

    Parameters
    ----------
    oof : polars.DataFrame
        Out-of-fold rows of several models and one target.
    min_symbols : int
        Sessions with fewer symbols have no cross-section.

    Returns
    -------
    polars.DataFrame
        ``session`` Date ascending and one Float64 column per model, sorted by name; no nulls.
    """
    if "target" in oof.columns and oof["target"].n_unique() > 1:
        raise EvaluationError(
            what="the rows mix several targets",
            got=oof["target"].unique().sort().to_list(),
            allowed="one target",
            fix="filter the frame by 'target'",
        )
    labelled = oof.filter(pl.col("label").is_not_null())
    out: pl.DataFrame | None = None
    for model in labelled["model"].unique().sort():
        one = daily_auc(labelled.filter(pl.col("model") == model), min_symbols=min_symbols)
        series = one.select("session", pl.col("auc").alias(model))
        out = series if out is None else out.join(series, on="session")
    if out is None or out.is_empty():
        raise EvaluationError(
            what="no session has a daily AUC of every model",
            got=f"{oof.height} rows",
            allowed="at least one session with both classes that all models scored",
            fix="compare models of the same fold plan and target",
        )
    return out.sort("session")


def effective_trials(series: Floats) -> float:
    """Return how many independent trials a set of correlated trials amounts to.

    r + (1 - r) N, r the mean correlation between the trials' series of session scores, not below zero (Bailey and Lopez
    de Prado 2014, appendix A.3).

    Parameters
    ----------
    series : numpy.ndarray of float64, shape (n_sessions, n_trials)
        A score per session and trial, for example the daily AUC. Trials that do not vary count as one trial more each.

    Returns
    -------
    float
        Between 1 and n_trials.

    Examples
    --------
    >>> same = np.random.default_rng(0).normal(size=(100, 1)).repeat(5, axis=1)
    >>> round(effective_trials(same), 6)
    1.0
    """
    n = series.shape[1]
    if n == 1:
        return 1.0
    spread = series.std(axis=0)
    scaled = (series - series.mean(axis=0)) / np.where(spread > 0, spread, np.inf)
    correlation = scaled.T @ scaled / len(series)
    mean = (correlation.sum() - np.trace(correlation)) / (n * (n - 1))
    r = min(1.0, max(0.0, float(mean)))
    return float(r + (1 - r) * n)


@dataclass(frozen=True)
class DeflatedAuc:
    """The AUC of the best of several trials, against what the best of as many worthless ones shows.

    Attributes
    ----------
    auc, se : float
    n_trials : float
        Effective number of trials.
    expected_best : float
        AUC0, what the best of them shows by luck.
    probability : float
        Phi((auc - AUC0) / se): the deflated probability that the AUC is above luck; 0.95 and more is skill.
    """

    auc: float
    se: float
    n_trials: float
    expected_best: float
    probability: float


def deflated_auc(auc: float, *, se: float, n_trials: float, trial_sd: float) -> DeflatedAuc:
    """Deflate the AUC of a chosen trial by the number of trials it was chosen from.

    AUC0 = 0.5 + s [(1 - g) z(1 - 1/N) + g z(1 - 1/(N e))]; DAUC = Phi((AUC - AUC0) / se) (after Bailey and Lopez de Prado
    2014).

    Parameters
    ----------
    auc : float
        Of the chosen trial.
    se : float
        Its standard error, from blocks of sessions; positive.
    n_trials : float
        Effective number of all trials ever scored, the failed ones too (`effective_trials`).
    trial_sd : float
        Standard deviation of the trials' AUCs under the null: that of placebo trials, or of the ledger's AUCs, which
        real differences between trials only make larger.

    Raises
    ------
    EvaluationError
        When `se` is not positive, or `n_trials` or `trial_sd` is out of bounds.

    Examples
    --------
    An AUC of 0.53 with a standard error of 0.008 is nearly certain alone, and doubtful as the best of 200:

    >>> round(deflated_auc(0.53, se=0.008, n_trials=1, trial_sd=0.008).probability, 3)
    1.0
    >>> round(deflated_auc(0.53, se=0.008, n_trials=200, trial_sd=0.008).probability, 3)
    0.838
    """
    if not se > 0:
        raise EvaluationError(
            what="a deflated AUC needs a standard error",
            got=se,
            allowed="a positive number",
            fix="take auc_pooled_se of score()",
        )
    from scipy.stats import norm

    best = expected_best(n_trials, se=trial_sd)
    return DeflatedAuc(auc, se, n_trials, best, float(norm.cdf((auc - best) / se)))


@dataclass(frozen=True)
class BacktestOverfitting:
    """How often the trial that was best in one half of time is below the median in the other.

    Attributes
    ----------
    pbo : float
        Probability of backtest overfitting; about one half when nothing but luck is chosen among.
    n_splits : int
        Ways to halve the blocks.
    logits : numpy.ndarray of float64, shape (n_splits,)
        Logit of the chosen trial's relative rank in the other half.
    slope : float
        Slope of the chosen trial's score in the other half on its score in the first: near or below zero when choosing by the
        first half says nothing.
    loss : float
        Share of splits in which the chosen trial is below `null` in the other half.
    """

    pbo: float
    n_splits: int
    logits: Floats
    slope: float
    loss: float


def overfitting_probability(series: Floats, *, n_blocks: int = 16, null: float = 0.5) -> BacktestOverfitting:
    """Estimate the probability of backtest overfitting by combinatorially symmetric cross-validation.

    Bailey, Borwein, Lopez de Prado and Zhu 2017: sessions are cut into `n_blocks` blocks; for every half of the blocks the best
    trial is chosen, and its relative rank among all trials in the other half is taken; PBO is the share of splits in which
    its logit is not above zero.

    Parameters
    ----------
    series : numpy.ndarray of float64, shape (n_sessions, n_trials)
        A score per session and trial whose mean is the trial's score, for example the daily AUC (`daily_series`).
    n_blocks : int
        Even, at least 4, at most 20 and at most the number of sessions.
    null : float
        Score of a worthless trial.

    Returns
    -------
    BacktestOverfitting

    Raises
    ------
    EvaluationError
        On fewer than two trials or an impossible number of blocks.

    Examples
    --------
    >>> noise = np.random.default_rng(0).normal(0.5, 0.05, size=(400, 30))
    >>> result = overfitting_probability(noise, n_blocks=10)
    >>> result.n_splits, 0.2 < result.pbo < 0.8
    (252, True)
    """
    n_sessions, n_trials = series.shape
    if n_trials < 2 or n_blocks % 2 or not 4 <= n_blocks <= min(20, n_sessions):
        raise EvaluationError(
            what="the probability of backtest overfitting is not defined",
            got=f"{n_trials} trials, {n_sessions} sessions, {n_blocks} blocks",
            allowed="at least 2 trials and an even number of blocks from 4 to 20, at most one a session",
            fix="record the session scores of every trial, and choose 8, 10, 12 or 16 blocks",
        )
    from scipy.stats import rankdata

    blocks = np.array_split(np.arange(n_sessions), n_blocks)
    sums = np.array([series[block].sum(axis=0) for block in blocks])
    sizes = np.array([len(block) for block in blocks], dtype=np.float64)
    chosen = np.zeros((comb(n_blocks, n_blocks // 2), n_blocks))
    for row, members in enumerate(combinations(range(n_blocks), n_blocks // 2)):
        chosen[row, list(members)] = 1.0
    inside = (chosen @ sums) / (chosen @ sizes)[:, None]
    outside = ((1 - chosen) @ sums) / ((1 - chosen) @ sizes)[:, None]
    best = inside.argmax(axis=1)
    at = np.arange(len(chosen))
    rank = rankdata(outside, axis=1)[at, best] / (n_trials + 1)
    logits = np.log(rank / (1 - rank))
    first, second = inside[at, best], outside[at, best]
    spread = float(np.var(first))
    slope = float(np.mean((first - first.mean()) * (second - second.mean())) / spread) if spread > 0 else 0.0
    return BacktestOverfitting(float((logits <= 0).mean()), len(chosen), logits, slope, float((second < null).mean()))
