"""The facts of the gate: what is known, and a reason for everything that is not."""

from __future__ import annotations

from types import SimpleNamespace

import polars as pl
import pytest
from pydantic import ValidationError

from conviction.ensembling import PLACEBO_SCHEMA
from conviction.evaluation import STABILITY_SCHEMA
from conviction.portfolio import ECONOMICS_SCHEMA
from conviction_kedro.gate_facts import GateFacts, gather, known_reasons

AUDITED = SimpleNamespace(certificate=SimpleNamespace(frame_sha="f" * 64, sha="c" * 64))
CHOICE = pl.DataFrame({"target": ["relative"], "choice": ["rank_mean"]})
LEDGER = pl.DataFrame(
    {"target": ["relative"] * 3, "state": "complete", "predictions_sha": ["a", "b", "c"]},
)


def scores(**changes):
    row = {
        "target": "relative",
        "model": "ensemble",
        "split": "oof",
        "verdict": "skill",
        "verdict_reason": "because",
        "n_sessions": 700.0,
        "reasons": "",
        "deflated_prob": 0.97,
        "trials_effective": 2.5,
        "expected_best": 0.51,
    }
    for name in ("auc_daily", "auc_pooled"):
        row |= {name: 0.53, f"{name}_lo": 0.51, f"{name}_hi": 0.55, f"{name}_se": 0.01}
    rows = [row | changes, row | {"model": "logistic", "verdict": "underpowered"}]
    return pl.DataFrame(rows, infer_schema_length=None)


def placebos(aucs, *, model="ensemble"):
    rows = [
        {"placebo": i, "target": "relative", "model": model, "auc_pooled": auc, "band_lo": 0.47, "band_hi": 0.53,
         "confidence": 0.99, "inside": 0.47 <= auc <= 0.53}
        for i, auc in enumerate(aucs)
    ]  # fmt: skip
    return pl.DataFrame(rows, schema=PLACEBO_SCHEMA)


def economics(net, *, of_label=True, book="long_short"):
    row = {"target": "relative", "model": "ensemble", "book": book, "execution": "close", "of_label": of_label,
           "cost_bps": 5.0, "n_sessions": 699, "net_bps": net, "net_lo": net - 1, "net_hi": net + 1}  # fmt: skip
    return pl.DataFrame([row], schema=ECONOMICS_SCHEMA)


def stability(**of_model):
    rows = [
        {"target": "relative", "model": model, "kind": "shap", "rank_correlation": value, "lo": value - 0.2,
         "n_folds": 5, "n_seeds": 3}
        for model, value in of_model.items()
    ]  # fmt: skip
    return pl.DataFrame(rows, schema=STABILITY_SCHEMA)


def facts(**changes):
    given = {
        "profile": "full",
        "scores": scores(),
        "choice": CHOICE,
        "audited_panel": AUDITED,
        "ledger": LEDGER,
        "placebos": placebos([0.5] * 19 + [0.52]),
        "stability": stability(logistic=0.9, lightgbm=0.4),
        "economics": pl.concat([economics(9.0, of_label=False), economics(2.0), economics(7.0, book="optimised")]),
        "reasons": {},
    }
    return gather(**{**given, **changes})


def test_everything_known_needs_no_reason_and_survives_json():
    found = facts()
    one = found.of("relative")
    assert (one.verdict, one.combiner, one.reasons) == ("skill", "rank_mean", {})
    assert (one.dataset_fingerprint, one.certificate_fingerprint) == ("f" * 64, "c" * 64)
    assert (one.deflated_prob.n_trials, one.deflated_prob.n_trials_effective) == (3, 2.5)
    assert GateFacts.model_validate_json(found.model_dump_json()) == found
    assert found.of("direction") is None


def test_the_return_is_of_the_trade_that_the_label_means_after_costs():
    assert facts().of("relative").net_return.mean == 2.0


def test_the_least_stable_model_speaks_for_the_candidate():
    assert facts().of("relative").shap_stability.model == "lightgbm"


def test_one_placebo_outside_is_outside_and_other_models_do_not_count():
    assert facts().of("relative").placebo.inside
    one = facts(placebos=pl.concat([placebos([0.5] * 19 + [0.56]), placebos([0.9] * 20, model="logistic")]))
    assert not one.of("relative").placebo.inside
    assert one.of("relative").placebo.hi == 0.56


def test_what_is_missing_has_a_reason():
    omitted = pl.DataFrame({"book": ["long_short"], "reason": ["six symbols"]})
    empty = {"placebos": placebos([]), "stability": stability(), "economics": economics(1.0).clear()}
    undefined = scores(auc_daily=None, reasons="auc_daily: One symbol.; rank_ic: One symbol.", deflated_prob=None)
    one = facts(profile="quick", scores=undefined, reasons=known_reasons("quick", omitted), **empty).of("relative")
    assert one.auc_daily is None
    assert one.reasons["auc_daily"] == "One symbol."
    assert one.reasons["net_return"] == "six symbols"
    assert "profile=quick" in one.reasons["placebo"]
    assert "profile=quick" in one.reasons["shap_stability"]
    assert set(one.reasons) == {"auc_daily", "deflated_prob", "placebo", "shap_stability", "net_return"}


def test_an_unknown_field_is_refused():
    with pytest.raises(ValidationError):
        GateFacts.model_validate({"version": 1, "profile": "full", "candidates": [], "more": 1})
