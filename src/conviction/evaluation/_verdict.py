"""What a score may be called: skill, luck, too little data, or too good to be honest."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from math import ceil, isfinite

from conviction.errors import EvaluationError
from conviction.evaluation.parameters import EvaluationParameters


class Verdict(StrEnum):
    """The verdict on one score."""

    SKILL = "skill"
    LUCK = "not distinguishable from luck"
    UNDERPOWERED = "underpowered"
    IMPLAUSIBLE = "implausible"


@dataclass(frozen=True)
class Judgement:
    """A verdict and the sentence that gives its reason."""

    verdict: Verdict
    reason: str


def detectable_lift(se: float, *, confidence: float, power: float) -> float:
    """Return the smallest lift over one half that a two-sided test with this standard error sees with this power.

    (z(1 - alpha/2) + z(power)) x se, the usual normal approximation.

    Examples
    --------
    >>> round(detectable_lift(0.037, confidence=0.95, power=0.8), 3)
    0.104
    """
    from scipy.stats import norm

    return float((norm.ppf(0.5 + confidence / 2) + norm.ppf(power)) * se)


def sessions_needed(*, lift: float, se: float, n_sessions: int, confidence: float, power: float) -> int:
    """Return how many sessions a test needs to see a lift, from the standard error it has on `n_sessions`.

    The standard error of a statistic over sessions falls with the square root of their number, whatever the
    dependence inside a session, as long as dependence between sessions dies out.

    Parameters
    ----------
    lift : float
        AUC above one half, for example 0.02.
    se : float
        Standard error of the AUC measured on `n_sessions` sessions (in blocks, not per row).
    n_sessions : int
        Sessions behind `se`.
    confidence, power : float
        Of the two-sided test.

    Raises
    ------
    EvaluationError
        When `lift` or `se` is not positive.

    Examples
    --------
    One stock and 250 sessions have a standard error of 0.037; seeing an AUC of 0.55 takes more than four years:

    >>> sessions_needed(lift=0.05, se=0.037, n_sessions=250, confidence=0.95, power=0.8)
    1075
    """
    if not (lift > 0 and se > 0 and isfinite(se)):
        raise EvaluationError(
            what="the number of sessions needed is not defined",
            got=f"lift {lift}, standard error {se}",
            allowed="a positive lift and a positive finite standard error",
            fix="measure the standard error with score() on some sessions first",
        )
    return ceil(n_sessions * (detectable_lift(se, confidence=confidence, power=power) / lift) ** 2)


def judge(metrics: Mapping[str, float], *, evaluation: EvaluationParameters) -> Judgement:
    """Judge the metrics of one score.

    In this order: *implausible* when a whole interval lies above `remarkable_auc` (or below its mirror image), or a value
    above `implausible_auc` is not explained by luck; *skill* when the pooled or the daily AUC is above one half by a test
    at the level of `confidence`, Bonferroni-corrected for being two, that could have seen the lift of `remarkable_auc` (a blunter test is
    passed only by values that no honest score has, such as one stock's over a year); *underpowered* when neither could have seen a lift
    of `lift` with the wanted power; else *not distinguishable from luck*.

    Parameters
    ----------
    metrics : mapping of str to float
        As `score` makes them; each of the two AUCs may be absent.
    evaluation : EvaluationParameters

    Returns
    -------
    Judgement
    """
    names = [name for name in ("auc_pooled", "auc_daily") if f"{name}_p" in metrics]
    if not names:
        return Judgement(
            Verdict.UNDERPOWERED,
            "No AUC has an interval: too few sessions, one class only, or scores that do not vary.",
        )
    for name in names:
        sentence = _implausible(name, metrics, evaluation)
        if sentence:
            return Judgement(Verdict.IMPLAUSIBLE, sentence)
    alpha = 1 - evaluation.confidence
    seen = {name: _detectable(name, metrics, evaluation) for name in names}
    honest = evaluation.remarkable_auc - 0.5
    above = [name for name in names if metrics[name] > 0.5 and seen[name] <= honest]
    best = min(above, key=lambda name: metrics[f"{name}_p"], default=None)
    if best is not None and metrics[f"{best}_p"] * len(names) < alpha:
        corrected = metrics[f"{best}_p"] * len(names)
        return Judgement(
            Verdict.SKILL,
            f"{best} {metrics[best]:.4f} is above one half with p = {corrected:.2g}, corrected for {len(names)} tests.",
        )
    name = min(seen, key=lambda key: seen[key])
    if seen[name] > evaluation.lift:
        needed = ceil(metrics["n_sessions"] * (seen[name] / evaluation.lift) ** 2)
        return Judgement(
            Verdict.UNDERPOWERED,
            f"Even {name} could only have seen a lift of {seen[name]:.3f}; a lift of {evaluation.lift:g} needs about "
            f"{needed:,} sessions and there are {int(metrics['n_sessions']):,}."
            + (" What passes a test that blunt is luck or a leak." if seen[name] > honest else ""),
        )
    below = [name for name in names if metrics[name] < 0.5 and metrics[f"{name}_p"] * len(names) < alpha]
    tail = f" ({below[0]} is below one half, by more than luck explains.)" if below else ""
    return Judgement(
        Verdict.LUCK,
        f"No AUC is above one half by more than luck explains, though {name} would have shown a lift of {seen[name]:.3f}.{tail}",
    )


def _detectable(name: str, metrics: Mapping[str, float], evaluation: EvaluationParameters) -> float:
    return detectable_lift(metrics[f"{name}_se"], confidence=evaluation.confidence, power=evaluation.power)


def _implausible(name: str, metrics: Mapping[str, float], evaluation: EvaluationParameters) -> str | None:
    value, lo, hi = metrics[name], metrics[f"{name}_lo"], metrics[f"{name}_hi"]
    described = f"{name} {value:.4f} [{lo:.4f}, {hi:.4f}]"
    ask = "Honest daily data do not give that: suspect a leak and run the audit again."
    if lo > evaluation.remarkable_auc or hi < 1 - evaluation.remarkable_auc:
        side = "above" if lo > 0.5 else "below one minus"
        return f"{described} lies {side} {evaluation.remarkable_auc:g} as a whole. {ask}"
    if abs(value - 0.5) > evaluation.implausible_auc - 0.5 and not lo <= 0.5 <= hi:
        return f"{described} is further from one half than {evaluation.implausible_auc:g} and luck does not explain it. {ask}"
    return None
