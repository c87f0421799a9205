"""The metrics of one (target, model), each with its interval, and the verdict on them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from conviction.evaluation._auc import SortedRows, auc, daily_auc, daily_rank_ic, session_influence
from conviction.evaluation._probability import PROBABILITY_METRICS, probability_metrics
from conviction.evaluation._resampling import (
    BootstrapEstimate,
    block_counts,
    block_length,
    bootstrap_estimate,
    newey_west_mean,
)
from conviction.evaluation._rows import Rows, rows_of
from conviction.evaluation._verdict import Verdict, judge
from conviction.evaluation.parameters import EvaluationParameters
from conviction.frames import key_of

if TYPE_CHECKING:
    import numpy.typing as npt

    Floats = npt.NDArray[np.float64]

# The metrics that score() tries to give, in the order of tables.
METRICS: tuple[str, ...] = (
    "auc_pooled",
    "auc_pooled_lo",
    "auc_pooled_hi",
    "auc_pooled_se",
    "auc_pooled_p",
    "auc_daily",
    "auc_daily_lo",
    "auc_daily_hi",
    "auc_daily_se",
    "auc_daily_t",
    "auc_daily_p",
    "rank_ic",
    "rank_ic_lo",
    "rank_ic_hi",
    "rank_ic_t",
    *PROBABILITY_METRICS,
    "block_sessions",
    "n_sessions",
    "n_rows",
)


@dataclass(frozen=True)
class Scores:
    """What is known about one (target, model).

    Attributes
    ----------
    metrics : dict of str to float
        Names as in `METRICS`; finite. A metric that is undefined is absent.
    reasons : dict of str to str
        For each absent metric, a sentence that says why.
    verdict : Verdict
        ``skill``, ``not distinguishable from luck``, ``underpowered`` or ``implausible``.
    verdict_reason : str
        The sentence behind the verdict.
    """

    metrics: dict[str, float]
    reasons: dict[str, str]
    verdict: Verdict
    verdict_reason: str


@dataclass
class _Collected:
    metrics: dict[str, float] = field(default_factory=dict)
    reasons: dict[str, str] = field(default_factory=dict)

    def put(self, name: str, value: float, *, otherwise: str) -> None:
        if np.isfinite(value):
            self.metrics[name] = float(value)
        else:
            self.reasons[name] = otherwise


def score(
    oof_one: pl.DataFrame,
    *,
    evaluation: EvaluationParameters,
    seed: int,
    base_rate: pl.DataFrame | None = None,
) -> Scores:
    """Score the out-of-fold predictions of one (target, model).

    - ``auc_pooled``: AUC over all rows, with the standard error, interval and p-value of a circular block bootstrap of whole
      sessions (Kunsch 1989; Politis and Romano 1992), block length from the data.
    - ``auc_daily``: mean of the AUCs of single sessions, with a Newey-West standard error (Newey and West 1987).
    - ``rank_ic``: mean of the sessions' Spearman correlations of score and forward return, likewise.
    - ``log_loss``, ``brier``: of the scores as probabilities; ``brier_skill`` = 1 - brier / brier of the base rate known
      before each fold. Their intervals resample whole sessions in blocks, as that of the pooled AUC.

    Parameters
    ----------
    oof_one : polars.DataFrame
        ``symbol, session, fold, score, label, forward_return``, sorted by symbol and session, of one target and one
        model. Rows with a null label are left out; null forward returns are left out of the rank IC only.
    evaluation : EvaluationParameters
    seed : int
        Of the bootstrap.
    base_rate : polars.DataFrame, optional
        ``fold``, ``base_rate``: share of ones in each fold's training rows, the reference of ``brier_skill``. Without it
        the reference of a fold is the share of ones in the rows of all sessions before its first one, and one half in
        the first fold, where nothing is known yet.

    Returns
    -------
    Scores

    Raises
    ------
    EvaluationError
        When the frame mixes targets or models, or has unusable scores or labels, or no labelled row.
    FrameError
        When it breaks the frame contract.

    Examples
    --------
    >>> from conviction.evaluation import simulate_null_oof
    >>> scores = score(simulate_null_oof(n_symbols=10, n_sessions=100, seed=1), evaluation=EvaluationParameters(), seed=0)
    >>> scores.metrics["auc_pooled_lo"] < 0.5 < scores.metrics["auc_pooled_hi"]
    True
    >>> str(scores.verdict)
    'underpowered'
    """
    rows = rows_of(oof_one)
    out = _Collected()
    _add_pooled(out, rows, evaluation, seed)
    _add_daily(out, rows, evaluation)
    _add_rank_ic(out, rows, evaluation)
    found, reasons = probability_metrics(rows, base_rate=base_rate, evaluation=evaluation, seed=seed)
    out.metrics.update(found)
    out.reasons.update(reasons)
    out.metrics["n_sessions"] = float(rows.n_sessions)
    out.metrics["n_rows"] = float(rows.n_rows)
    judgement = judge(out.metrics, evaluation=evaluation)
    metrics = {name: out.metrics[name] for name in METRICS if name in out.metrics}
    return Scores(metrics, out.reasons, judgement.verdict, judgement.reason)


def score_table(
    oof: pl.DataFrame, *, evaluation: EvaluationParameters, seed: int, base_rate: pl.DataFrame | None = None
) -> pl.DataFrame:
    """Score every (target, model) of an out-of-fold frame.

    Parameters
    ----------
    oof : polars.DataFrame
        ``symbol, session, target, model, fold, score, label, forward_return``.
    evaluation, seed
        As in `score`; every (target, model) is resampled with the same seed.
    base_rate : polars.DataFrame, optional
        ``target``, ``fold``, ``base_rate``.

    Returns
    -------
    polars.DataFrame
        One row per (target, model), sorted: ``target``, ``model``, every name of `METRICS` (Float64, null where undefined),
        ``verdict``, ``verdict_reason`` and ``reasons`` (what is absent and why, String).

    Examples
    --------
    >>> from conviction.evaluation import simulate_null_oof
    >>> oof = simulate_null_oof(n_symbols=10, n_sessions=100, seed=1)
    >>> score_table(oof, evaluation=EvaluationParameters(), seed=0).select("target", "model", "n_rows").row(0)
    ('direction', 'null', 1000.0)
    """
    rows: list[dict[str, object]] = []
    for (target, model), part in oof.group_by(["target", "model"], maintain_order=True):
        reference = None if base_rate is None else base_rate.filter(pl.col("target") == target)
        one = score(part.sort(key_of(part)), evaluation=evaluation, seed=seed, base_rate=reference)
        rows.append(
            {
                "target": target,
                "model": model,
                **{name: one.metrics.get(name) for name in METRICS},
                "verdict": str(one.verdict),
                "verdict_reason": one.verdict_reason,
                "reasons": "; ".join(f"{name}: {why}" for name, why in one.reasons.items()),
            }
        )
    schema = {
        "target": pl.String,
        "model": pl.String,
        **dict.fromkeys(METRICS, pl.Float64),
        "verdict": pl.String,
        "verdict_reason": pl.String,
        "reasons": pl.String,
    }
    return pl.DataFrame(rows, schema=schema).sort("target", "model")


def pooled_bootstrap(rows: Rows, *, evaluation: EvaluationParameters, seed: int) -> BootstrapEstimate:
    """Bootstrap the pooled AUC of checked rows over blocks of sessions; both classes must be there."""
    value = auc(rows.score, rows.label)
    influence = session_influence(rows.score, rows.label, rows.session, rows.n_sessions)
    block = block_length(influence, minimum=evaluation.min_block)
    counts = block_counts(
        rows.n_sessions, block=block, n_resamples=evaluation.n_resamples, rng=np.random.default_rng(seed)
    )
    resampled = SortedRows.of(rows.score, rows.label, rows.session).resampled_auc(counts)
    return bootstrap_estimate(
        value, resampled, null=0.5, confidence=evaluation.confidence, block=block, n_sessions=rows.n_sessions
    )


def _add_pooled(out: _Collected, rows: Rows, evaluation: EvaluationParameters, seed: int) -> None:
    names = [name for name in METRICS if name.startswith("auc_pooled")] + ["block_sessions"]
    if rows.n_positive in (0, rows.n_rows):
        out.reasons.update(dict.fromkeys(names, "Only one class is among the labels."))
        return
    if rows.n_sessions < evaluation.min_sessions:
        out.metrics["auc_pooled"] = auc(rows.score, rows.label)
        why = f"{rows.n_sessions} sessions are too few for an interval; min_sessions is {evaluation.min_sessions}."
        out.reasons.update(dict.fromkeys(names[1:], why))
        return
    estimate = pooled_bootstrap(rows, evaluation=evaluation, seed=seed)
    out.metrics["auc_pooled"] = estimate.value
    out.metrics["auc_pooled_lo"] = max(0.0, estimate.lo)
    out.metrics["auc_pooled_hi"] = min(1.0, estimate.hi)
    out.metrics["auc_pooled_se"] = estimate.se
    out.metrics["block_sessions"] = float(estimate.block)
    out.put("auc_pooled_p", estimate.p, otherwise="The scores or the AUC of the resamples do not vary.")


def _add_daily(out: _Collected, rows: Rows, evaluation: EvaluationParameters) -> None:
    daily = daily_auc(rows.frame, min_symbols=evaluation.min_symbols)["auc"].to_numpy()
    why = (
        f"{len(daily)} sessions have both classes and at least {evaluation.min_symbols} symbols; "
        f"min_sessions is {evaluation.min_sessions}."
    )
    _add_mean(out, "auc_daily", daily, null=0.5, why=why, evaluation=evaluation, bounds=(0.0, 1.0))


def _add_rank_ic(out: _Collected, rows: Rows, evaluation: EvaluationParameters) -> None:
    daily = daily_rank_ic(rows.frame, min_symbols=evaluation.min_symbols)["rank_ic"].to_numpy()
    why = (
        f"{len(daily)} sessions have scores that vary, forward returns and at least {evaluation.min_symbols} symbols; "
        f"min_sessions is {evaluation.min_sessions}."
    )
    _add_mean(out, "rank_ic", daily, null=0.0, why=why, evaluation=evaluation, bounds=(-1.0, 1.0))


def _add_mean(
    out: _Collected,
    name: str,
    daily: Floats,
    *,
    null: float,
    why: str,
    evaluation: EvaluationParameters,
    bounds: tuple[float, float],
) -> None:
    names = [metric for metric in METRICS if metric == name or metric.startswith(f"{name}_")]
    if len(daily) < evaluation.min_sessions:
        out.reasons.update(dict.fromkeys(names, why))
        return
    estimate = newey_west_mean(daily, null=null, confidence=evaluation.confidence)
    values = {
        name: estimate.mean,
        f"{name}_lo": max(bounds[0], estimate.lo),
        f"{name}_hi": min(bounds[1], estimate.hi),
        f"{name}_se": estimate.se,
        f"{name}_t": estimate.t,
        f"{name}_p": estimate.p,
    }
    for metric in names:
        out.put(metric, values[metric], otherwise="The sessions' values do not vary, so that it has no standard error.")
