"""The gate: each criterion holds and fails where it should, and nothing missing passes."""

from __future__ import annotations

import pytest
from scipy.stats import norm

from conviction.evaluation import Comparison
from conviction_kedro.gate import PromotionParameters, chance_of_reaching, gate_table, judge
from conviction_kedro.gate_facts import GateFacts

PARAMETERS = PromotionParameters(
    targets=("relative",),
    min_deflated_probability=0.95,
    min_stability=0.5,
    champion_metric="auc_daily",
    against_champion="better",
    margin=0.002,
)
AUC = {"value": 0.53, "lo": 0.52, "hi": 0.54, "se": 0.005}
GOOD = {
    "target": "relative",
    "model": "ensemble",
    "combiner": "rank_mean",
    "dataset_fingerprint": "d" * 64,
    "certificate_fingerprint": "c" * 64,
    "verdict": "skill",
    "verdict_reason": "Its whole interval is above 0.5.",
    "n_sessions": 500,
    "auc_daily": AUC,
    "auc_pooled": AUC,
    "deflated_prob": {
        "value": 0.99, "metric": "auc_daily", "n_trials": 48, "n_trials_effective": 9.5, "expected_best": 0.508,
    },
    "placebo": {
        "n": 20, "lo": 0.49, "hi": 0.51, "band_lo": 0.48, "band_hi": 0.52, "confidence": 0.99, "inside": True,
    },
    "shap_stability": {
        "rank_correlation": 0.8, "lo": 0.7, "n_folds": 5, "n_seeds": 3, "model": "lightgbm", "kind": "shap",
    },
    "net_return": {"mean": 4.0, "lo": 1.0, "hi": 7.0, "cost_bps": 5.0, "execution": "close", "n_sessions": 500},
    "reasons": {},
}  # fmt: skip


def gain(lo, hi):
    return Comparison("auc_daily", 0.53, 0.52, (lo + hi) / 2, lo, hi, 0.01, 400, 16_000, 0)


def gate(*, certificate=(True, "It passed."), champion=None, parameters=PARAMETERS, **changes):
    facts = GateFacts.model_validate({"profile": "full", "candidates": [GOOD | changes]})
    return judge(facts, parameters=parameters, certificate=certificate, against_champion=champion or {})


def failed(criteria):
    return [each.name for each in criteria if not each.held]


def test_a_good_candidate_holds_everything_when_nothing_is_served():
    criteria = gate()
    assert failed(criteria) == []
    assert [each.name for each in criteria] == [
        "certificate", "relative: verdict", "relative: deflated probability", "relative: placebo at 0.5",
        "relative: stability", "relative: return after costs", "relative: against the champion",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("changes", "name"),
    [
        ({"deflated_prob": GOOD["deflated_prob"] | {"value": 0.9499}}, "relative: deflated probability"),
        ({"placebo": GOOD["placebo"] | {"inside": False}}, "relative: placebo at 0.5"),
        ({"shap_stability": GOOD["shap_stability"] | {"rank_correlation": 0.49}}, "relative: stability"),
        ({"net_return": GOOD["net_return"] | {"lo": -0.1}}, "relative: return after costs"),
        ({"verdict": "implausible"}, "relative: verdict"),
        ({"verdict": "underpowered"}, "relative: verdict"),
        ({"certificate": (False, "It is void.")}, "certificate"),
        ({"champion": {"relative": gain(-0.001, 0.01)}}, "relative: against the champion"),
        ({"champion": {"relative": "They share no session."}}, "relative: against the champion"),
        ({"champion": {"direction": gain(0.1, 0.2)}}, "relative: against the champion"),
    ],
)
def test_one_thing_wrong_fails_that_criterion_alone(changes, name):
    assert failed(gate(**changes)) == [name]


@pytest.mark.parametrize("fact", ["deflated_prob", "placebo", "shap_stability", "net_return"])
def test_a_fact_that_is_missing_does_not_hold_and_says_why(fact):
    criteria = gate(**{fact: None, "reasons": {fact: f"No {fact} on this day."}})
    (each,) = [one for one in criteria if not one.held]
    assert each.found == f"No {fact} on this day."


def test_every_reason_is_listed_at_once():
    criteria = gate(placebo=None, net_return=None, verdict="implausible", certificate=(False, "Void."))
    assert len(failed(criteria)) == 4
    assert gate_table(criteria).count("FAILS") == 4


def test_a_target_that_the_run_lacks_fails():
    both = PARAMETERS.model_copy(update={"targets": ("direction", "relative")})
    assert failed(gate(parameters=both)) == ["direction: candidate"]


def test_better_than_the_champion_or_not_worse_by_a_margin():
    assert failed(gate(champion={"relative": gain(0.001, 0.01)})) == []
    loose = PARAMETERS.model_copy(update={"against_champion": "not_worse"})
    assert failed(gate(champion={"relative": gain(-0.0019, 0.01)}, parameters=loose)) == []
    assert failed(gate(champion={"relative": gain(-0.0021, 0.01)}, parameters=loose)) != []


def test_the_fixed_auc_gate_is_optional_and_shows_its_chance():
    fixed = PARAMETERS.model_copy(update={"auc_gate": 0.55})
    criteria = gate(parameters=fixed)
    assert failed(criteria) == ["relative: AUC of 0.55"]
    alone = norm.sf(0.05 / 0.005)
    assert f"reaches 0.55 with probability {alone:.2g}" in criteria[-1].found
    assert failed(gate(parameters=fixed, auc_daily=AUC | {"value": 0.551})) == []


def test_the_chance_of_a_lucky_auc_agrees_with_the_normal_distribution():
    alone, best, n = chance_of_reaching(0.55, se=0.037, n_trials=46)
    assert alone == pytest.approx(norm.sf(0.05 / 0.037))
    assert best == pytest.approx(1 - norm.cdf(0.05 / 0.037) ** 46)
    assert n == 46
