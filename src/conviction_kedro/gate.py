"""The gate of the model registry: what must hold before a run's ensemble becomes the champion."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from pydantic import BaseModel, ConfigDict, Field

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from conviction.evaluation import Comparison
    from conviction_kedro.gate_facts import GateCandidate, GateFacts

EXPECTED = (
    "On daily prices of large stocks this is the expected and right answer: public results stand near an AUC of 0.52, and a "
    "gate that let such data through would let luck through. Nothing is wrong with the run; nothing in it is worth serving."
)


class PromotionParameters(BaseModel):
    """What the gate asks for; every threshold is written in parameters_promotion.yml.

    Attributes
    ----------
    targets : tuple of str
        Each must hold every criterion; exactly these are served.
    min_deflated_probability : float
        Of the AUC being above what the best of as many worthless trials shows.
    min_stability : float
        Rank correlation of the features' importances across folds and seeds, of the least stable model.
    auc_gate : float or None
        A fixed AUC that must be reached too, with the chance of reaching it without skill; None for no such gate.
    champion_metric : {"auc_daily", "auc_pooled"}
        What is compared with today's champion, on common sessions.
    against_champion : {"better", "not_worse"}
        Whether the whole interval of the difference must be above zero, or above minus `margin`: a refit on newer data is
        seldom better on old sessions.
    margin : float
        AUC; only for "not_worse".
    max_age_sessions : int or None
        Sessions that may end after the one that a request is about before the request is stale; None for no limit.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    targets: tuple[Literal["direction", "relative"], ...] = Field(min_length=1)
    min_deflated_probability: float = Field(ge=0.5, lt=1.0)
    min_stability: float = Field(ge=-1.0, le=1.0)
    auc_gate: float | None = Field(default=None, gt=0.5, lt=1.0)
    champion_metric: Literal["auc_daily", "auc_pooled"]
    against_champion: Literal["better", "not_worse"]
    margin: float = Field(default=0.0, ge=0.0, lt=0.1)
    max_age_sessions: int | None = Field(default=None, ge=0)


@dataclass(frozen=True)
class Criterion:
    """One thing that the gate asks for, and what it found.

    Attributes
    ----------
    name : str
    held : bool
    found : str
        A sentence.
    """

    name: str
    held: bool
    found: str


def judge(
    facts: GateFacts,
    *,
    parameters: PromotionParameters,
    certificate: tuple[bool, str],
    against_champion: Mapping[str, Comparison | str],
) -> list[Criterion]:
    """Return every criterion of every target; the gate holds when all of them do.

    Parameters
    ----------
    facts : GateFacts
        What the run found out; a fact that is null does not hold, and its reason is repeated.
    parameters : PromotionParameters
    certificate : tuple of bool and str
        Whether a passing certificate of the run's own dataset is there, and the sentence about it.
    against_champion : mapping of str to Comparison or str
        Target -> paired comparison with today's champion, or why there is none; empty when nothing is served yet.

    Returns
    -------
    list of Criterion
    """
    criteria = [Criterion("certificate", *certificate)]
    for target in parameters.targets:
        one = facts.of(target)
        if one is None:
            known = ", ".join(candidate.target for candidate in facts.candidates) or "none"
            criteria.append(
                Criterion(f"{target}: candidate", False, f"The run has no ensemble of {target}; it has {known}.")
            )
            continue
        found = [
            _plausible(one),
            _deflated(one, parameters),
            _placebo(one),
            _stability(one, parameters),
            _net_return(one),
            _champion(target, parameters, against_champion),
            *([] if parameters.auc_gate is None else [_auc_gate(one, parameters.auc_gate)]),
        ]
        criteria += [Criterion(f"{target}: {each.name}", each.held, each.found) for each in found]
    return criteria


def gate_table(criteria: Sequence[Criterion]) -> str:
    """Return the criteria as lines of text, one each."""
    width = max(len(each.name) for each in criteria)
    return "\n".join(f"  {'holds' if each.held else 'FAILS'}  {each.name:{width}s}  {each.found}" for each in criteria)


def _missing(name: str, one: GateCandidate, fact: str) -> Criterion:
    return Criterion(name, held=False, found=one.reasons.get(fact, "Not evaluated in this run."))


def _plausible(one: GateCandidate) -> Criterion:
    held = one.verdict == "skill"
    return Criterion("verdict", held, f"{one.verdict}: {one.verdict_reason}")


def _deflated(one: GateCandidate, parameters: PromotionParameters) -> Criterion:
    fact, name = one.deflated_prob, "deflated probability"
    if fact is None:
        return _missing(name, one, "deflated_prob")
    sentence = (
        f"{fact.value:.4f}, at least {parameters.min_deflated_probability} is asked; {fact.n_trials} trials "
        f"({fact.n_trials_effective:.1f} effective) show {fact.metric} {fact.expected_best:.4f} by luck alone."
    )
    return Criterion(name, fact.value >= parameters.min_deflated_probability, sentence)


def _placebo(one: GateCandidate) -> Criterion:
    fact, name = one.placebo, "placebo at 0.5"
    if fact is None:
        return _missing(name, one, "placebo")
    sentence = (
        f"{fact.n} placebos with AUC {fact.lo:.4f} to {fact.hi:.4f}, {'all' if fact.inside else 'not all'} inside the simultaneous "
        f"{fact.confidence:.0%} band [{fact.band_lo:.4f}, {fact.band_hi:.4f}] around 0.5."
    )
    return Criterion(name, fact.inside, sentence)


def _stability(one: GateCandidate, parameters: PromotionParameters) -> Criterion:
    fact, name = one.shap_stability, "stability"
    if fact is None:
        return _missing(name, one, "shap_stability")
    sentence = (
        f"{fact.kind} importances of {fact.model} correlate {fact.rank_correlation:.2f} over {fact.n_folds} folds and "
        f"{fact.n_seeds} seeds (least alike pair {fact.lo:.2f}), at least {parameters.min_stability} is asked."
    )
    return Criterion(name, fact.rank_correlation >= parameters.min_stability, sentence)


def _net_return(one: GateCandidate) -> Criterion:
    fact, name = one.net_return, "return after costs"
    if fact is None:
        return _missing(name, one, "net_return")
    sentence = (
        f"{fact.mean:+.2f} [{fact.lo:+.2f}, {fact.hi:+.2f}] {fact.unit} after {fact.cost_bps:g} bps, traded at {fact.execution} "
        f"over {fact.n_sessions:,} sessions; the whole interval must be above zero."
    )
    return Criterion(name, fact.lo > 0, sentence)


def _champion(
    target: str, parameters: PromotionParameters, against_champion: Mapping[str, Comparison | str]
) -> Criterion:
    name = "against the champion"
    if not against_champion:
        return Criterion(name, held=True, found="Nothing is served yet: there is no champion to beat.")
    found = against_champion.get(target, f"The champion does not serve {target}.")
    if isinstance(found, str):
        return Criterion(name, held=False, found=found)
    floor = 0.0 if parameters.against_champion == "better" else -parameters.margin
    asked = "the whole interval must be above zero" if floor == 0 else f"nothing below {floor:+.4f} is allowed"
    sentence = (
        f"{found.metric} {found.delta:+.4f} [{found.lo:+.4f}, {found.hi:+.4f}] against today's champion, paired over "
        f"{found.n_sessions:,} common sessions; {asked}."
    )
    return Criterion(name, found.lo > floor, sentence)


def _auc_gate(one: GateCandidate, gate: float) -> Criterion:
    fact, name = one.auc_daily or one.auc_pooled, f"AUC of {gate}"
    if fact is None:
        return _missing(name, one, "auc_daily")
    alone, best, n = chance_of_reaching(gate, se=fact.se, n_trials=_trials(one))
    sentence = (
        f"{fact.value:.4f} [{fact.lo:.4f}, {fact.hi:.4f}]; without any skill a score like this reaches {gate} with probability "
        f"{alone:.2g}, the best of {n:.0f} trials with {best:.2g}."
    )
    return Criterion(name, fact.value >= gate, sentence)


def _trials(one: GateCandidate) -> float:
    return 1.0 if one.deflated_prob is None else max(1.0, one.deflated_prob.n_trials_effective)


def chance_of_reaching(gate: float, *, se: float, n_trials: float) -> tuple[float, float, float]:
    """Return the chance that a score without skill reaches a fixed AUC: alone, and the best of several.

    Parameters
    ----------
    gate : float
        AUC.
    se : float
        Standard error of the AUC, from blocks of sessions.
    n_trials : float
        Effective number of independent trials.

    Returns
    -------
    alone, best, n_trials : float

    Examples
    --------
    >>> alone, best, _ = chance_of_reaching(0.55, se=0.037, n_trials=46)
    >>> round(alone, 3), round(best, 3)
    (0.088, 0.986)
    """
    alone = 0.5 * math.erfc((gate - 0.5) / (se * math.sqrt(2)))
    return alone, -math.expm1(n_trials * math.log1p(-alone)), n_trials
