"""What the ledger of trials says about a score: how many trials it was chosen from, and whether choosing helped at all."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
import polars as pl

from conviction.errors import EvaluationError
from conviction.evaluation._trials import DeflatedAuc, deflated_auc, effective_trials, overfitting_probability
from conviction.frames import check_columns

if TYPE_CHECKING:
    import numpy.typing as npt

    Floats = npt.NDArray[np.float64]

_LEAST_SESSIONS = 20
_MOST_BLOCKS = 16


@dataclass(frozen=True)
class LedgerTrials:
    """How many trials of a target the ledger holds.

    Attributes
    ----------
    n : int
        Distinct finished trials; trials that gave the same predictions are one.
    effective : float
        How many independent ones they amount to; at least 1.
    n_measured : int
        Trials whose session scores were there to measure their correlation; the others count in full.
    """

    n: int
    effective: float
    n_measured: int


def ledger_trials(ledger: pl.DataFrame, *, target: str) -> LedgerTrials:
    """Count the trials that a target's scores were chosen from.

    Trials scored on the same sessions are correlated and amount to r + (1 - r) N (`effective_trials`), measured from their daily
    AUCs; groups scored on other sessions add up. A trial without session scores counts in full, which errs on the strict side.

    Parameters
    ----------
    ledger : polars.DataFrame
        ``target``, ``state``, ``predictions_sha`` and, where known, ``by_session`` (List of Float64), ``fold``, ``plan_sha``: the
        trials ever scored on this panel (`conviction.tuning`).
    target : str

    Returns
    -------
    LedgerTrials

    Raises
    ------
    FrameError
        When the ledger lacks a column.

    Examples
    --------
    >>> day = np.random.default_rng(0).normal(size=(30, 40))
    >>> rows = {"target": "relative", "state": "complete", "predictions_sha": [str(i) for i in range(30)], "fold": 0, "plan_sha": "p"}
    >>> apart = pl.DataFrame(rows | {"by_session": day.tolist()}, strict=False)
    >>> alike = pl.DataFrame(rows | {"by_session": (day + 9 * day[0]).tolist()}, strict=False)
    >>> ledger_trials(apart, target="relative").effective > 25, ledger_trials(alike, target="relative").effective < 5
    (True, True)
    """
    done = _distinct(ledger, target)
    effective, measured = 0.0, 0
    for series in _same_sessions(done):
        effective += effective_trials(series)
        measured += series.shape[1]
    return LedgerTrials(done.height, max(1.0, effective + done.height - measured), measured)


def deflate_by_ledger(
    metrics: Mapping[str, float],
    ledger: pl.DataFrame,
    *,
    target: str,
    metric: Literal["auc_daily", "auc_pooled"] = "auc_daily",
    correlation: float | None = None,
) -> DeflatedAuc:
    """Deflate a score by the effective number of trials that the ledger holds for its target.

    Trials that gave the same predictions are one trial. What one worthless trial shows by luck has the standard deviation of the
    score itself, since it is measured on the same sessions.

    Parameters
    ----------
    metrics : mapping of str to float
        Of `score`: `metric` and its ``_se``.
    ledger : polars.DataFrame
        As for `ledger_trials`.
    target : str
    metric : {"auc_daily", "auc_pooled"}
    correlation : float, optional
        Mean correlation between trials' session scores (then r + (1 - r) N trials count; 0 counts every trial in full). By
        default it is measured from the ledger's own session scores (`ledger_trials`).

    Returns
    -------
    DeflatedAuc

    Raises
    ------
    EvaluationError
        When the metric has no standard error, or `correlation` lies outside [0, 1].
    FrameError
        When the ledger lacks a column.

    Examples
    --------
    >>> ledger = pl.DataFrame({"target": ["direction"] * 40, "state": "complete", "predictions_sha": [str(i) for i in range(40)]})
    >>> deflated = deflate_by_ledger({"auc_daily": 0.52, "auc_daily_se": 0.008}, ledger, target="direction")
    >>> deflated.n_trials, round(deflated.probability, 2)
    (40.0, 0.62)
    """
    trials = ledger_trials(ledger, target=target)
    if metric not in metrics or f"{metric}_se" not in metrics or not 0 <= (correlation or 0) <= 1:
        raise EvaluationError(
            what="a score cannot be deflated by the ledger",
            got=f"metrics {sorted(metrics)}, correlation {correlation}",
            allowed=f"{metric} with its standard error, and a correlation in [0, 1]",
            fix="score more sessions, or deflate the other AUC",
        )
    n = trials.effective if correlation is None else correlation + (1 - correlation) * max(1, trials.n)
    se = metrics[f"{metric}_se"]
    return deflated_auc(metrics[metric], se=se, n_trials=n, trial_sd=se)


@dataclass(frozen=True)
class LedgerOverfitting:
    """The probability of backtest overfitting of a target's search, over the folds it was made in.

    Attributes
    ----------
    pbo : float
        Mean over folds, weighted by sessions: how often the trial that is best in one half of the sessions is not above the
        median in the other. About one half when choosing says nothing.
    by_fold : polars.DataFrame
        ``fold``, ``n_trials``, ``n_sessions``, ``n_splits``, ``pbo``, ``slope``, ``loss``.
    """

    pbo: float
    by_fold: pl.DataFrame


def ledger_overfitting(ledger: pl.DataFrame, *, target: str) -> LedgerOverfitting:
    """Estimate the probability of backtest overfitting from the trials of the ledger, fold by fold.

    Combinatorially symmetric cross-validation (Bailey, Borwein, Lopez de Prado and Zhu 2017) over the daily AUCs of the trials
    that one fold's search chose among; only trials of the same sessions can be compared.

    Parameters
    ----------
    ledger : polars.DataFrame
        As for `ledger_trials`, with ``fold`` and ``by_session``.
    target : str

    Returns
    -------
    LedgerOverfitting

    Raises
    ------
    EvaluationError
        When no fold has two different trials over the same 20 sessions or more.
    FrameError
        When the ledger lacks a column.
    """
    check_columns(ledger, ["fold", "by_session"], name="ledger")
    done = _distinct(ledger, target)
    records = []
    for fold in done["fold"].unique().sort():
        for series in _same_sessions(done.filter(pl.col("fold") == fold)):
            if series.shape[1] < 2:
                continue
            blocks = min(_MOST_BLOCKS, len(series) // 4 // 2 * 2)
            one = overfitting_probability(series, n_blocks=blocks)
            records.append((fold, series.shape[1], len(series), one.n_splits, one.pbo, one.slope, one.loss))
    if not records:
        raise EvaluationError(
            what="the ledger does not say how often the best trial is overfitted",
            got=f"{done.height} finished trials of {target}, none comparable over {_LEAST_SESSIONS} sessions",
            allowed="two different trials of one fold with the daily AUCs of the same sessions",
            fix="tune with tuning.objective=auc_daily and at least two trials",
        )
    names = ["fold", "n_trials", "n_sessions", "n_splits", "pbo", "slope", "loss"]
    table = pl.DataFrame(records, schema=names, orient="row")
    weighted = table.select((pl.col("pbo") * pl.col("n_sessions")).sum() / pl.col("n_sessions").sum()).item()
    return LedgerOverfitting(float(weighted), table)


def _distinct(ledger: pl.DataFrame, target: str) -> pl.DataFrame:
    check_columns(ledger, ["target", "state", "predictions_sha"], name="ledger")
    done = ledger.filter((pl.col("target") == target) & (pl.col("state") == "complete"))
    # The same scores are of the same sessions; a prediction's hash therefore names fold and trial at once.
    return done.unique("predictions_sha", keep="first", maintain_order=True)


def _same_sessions(done: pl.DataFrame) -> Iterator[Floats]:
    """Yield a matrix (sessions x trials) for each group of trials that were scored on the same sessions."""
    if "by_session" not in done.columns:
        return
    known = done.filter(pl.col("by_session").list.len() >= _LEAST_SESSIONS).with_columns(
        _length=pl.col("by_session").list.len()
    )
    names = [name for name in ("plan_sha", "fold") if name in known.columns]
    for _, part in known.group_by(*names, "_length", maintain_order=True):
        yield np.array(part["by_session"].to_list(), dtype=np.float64).T
