"""What stands behind the scores: quarantine of what is too good, records of money, placebos and overfitting, what is undefined."""

from __future__ import annotations

import json

import polars as pl
import pytest

from conviction.ensembling import PLACEBO_SCHEMA
from conviction.evaluation import EvaluationParameters, simulate_null_oof
from conviction.oof import empty_left_out
from conviction.portfolio import ECONOMICS_SCHEMA
from conviction_kedro import quarantine
from conviction_kedro.examining import LOOKED_BEHIND, examine, selection_table
from conviction_kedro.judging import symbol_table, with_deflation
from conviction_kedro.parameters import AuditParameters
from conviction_kedro.records import of_evidence
from conviction_kedro.report_contents import not_evaluated

FAST = EvaluationParameters(n_resamples=100)
LEDGER = pl.DataFrame(
    {
        "target": ["direction"] * 4,
        "state": "complete",
        "predictions_sha": list("abcd"),
        "fold": 0,
        "plan_sha": "p",
        "by_session": [[0.5 + 0.01 * ((7 * i + j * j) % 11) for j in range(48)] for i in range(4)],
    }
)


def scores(**verdicts):
    rows = [
        {"target": "relative", "model": model, "split": "oof", "verdict": verdict, "verdict_reason": "AUC 0.97."}
        for model, verdict in verdicts.items()
    ]
    return pl.DataFrame(rows)


def test_only_implausible_scores_are_quarantined_baselines_too():
    found = quarantine.too_good(scores(lightgbm="skill", logistic="implausible", reversal_1d="implausible"))
    assert [sentence.split(" (")[0] for sentence in found] == ["relative | logistic", "relative | reversal_1d"]
    assert quarantine.too_good(scores(lightgbm="skill", logistic="underpowered")) == []


def test_the_second_audit_is_stricter_and_accepts_nothing():
    again = quarantine.stricter(AuditParameters(n_cuts=4, accepted_warnings=("lead_lag:x",)))
    assert (again.n_cuts, again.accepted_warnings) == (12, ())


def test_the_tags_and_the_report_say_what_the_second_audit_found():
    assert quarantine.tags(quarantine.NOTHING) == {"quarantined": "false"}
    assert quarantine.sentences(quarantine.NOTHING) == ()
    said = {**quarantine.NOTHING, "quarantined": ["too good"], "asked": True, "verdict": "fail", "n_cuts": 12}
    assert quarantine.tags(said)["quarantined"] == "true"
    assert quarantine.tags(said)["second_audit_verdict"] == "fail"
    assert "FAILED" in quarantine.sentences(said)[-1]
    assert "passed" in quarantine.sentences({**said, "verdict": "pass"})[-1]


def test_records_add_money_of_the_labels_trade_placebos_and_overfitting_to_the_scores_run():
    row = {"target": "relative", "model": "ensemble", "book": "long_short", "execution": "close", "of_label": True,
           "cost_bps": 5.0, "turnover": 1.5, "net_bps": -2.0, "net_lo": -3.0, "net_hi": -1.0}  # fmt: skip
    late = {**row, "execution": "next_close", "of_label": False, "net_bps": 99.0}
    active = {**row, "book": "optimised_active", "net_bps": 0.5, "net_lo": -1.0, "net_hi": 2.0}
    placebos = pl.DataFrame(
        [{"target": "relative", "model": model, "auc_pooled": auc, "inside": auc < 0.52}
         for model in ("ensemble", "logistic") for auc in (0.49, 0.51 if model == "ensemble" else 0.53)],
        schema=PLACEBO_SCHEMA,
    )  # fmt: skip
    folds = pl.DataFrame({"target": ["relative"] * 2, "pbo": [0.2, 0.8], "n_sessions": [300, 100]})
    found = of_evidence(pl.DataFrame([row, late, active], schema=ECONOMICS_SCHEMA), placebos, folds)
    metrics = {key: json.loads(text) for key, text in found.select("record_key", "metrics").iter_rows()}
    assert metrics["relative/ensemble"] == {
        "turnover": 1.5, "cost_bps": 5.0, "net_bps": -2.0, "net_bps_lo": -3.0, "net_bps_hi": -1.0,
        "active_bps": 0.5, "active_bps_lo": -1.0, "active_bps_hi": 2.0,
        "placebo_lo": 0.49, "placebo_hi": 0.51, "placebo_n": 2, "placebo_inside": 1, "pbo": pytest.approx(0.35),
    }  # fmt: skip
    assert metrics["relative/logistic"]["placebo_inside"] == 0


def test_looking_behind_the_scores_gives_every_table_and_says_what_is_undefined():
    oof = simulate_null_oof(n_symbols=8, n_sessions=150, seed=1)
    chosen = oof.with_columns(model=pl.lit("ensemble"))
    every = pl.concat([chosen, simulate_null_oof(n_symbols=8, n_sessions=150, seed=2).with_columns(label=oof["label"])])
    tables = examine(every, chosen, LEDGER, evaluation=FAST, seed=0)
    assert tables["undefined"].is_empty()
    assert all(tables[name].height and tables[name].columns[0] == "target" for name in LOOKED_BEHIND[:-1])

    alone = examine(chosen, chosen, LEDGER.head(1), evaluation=FAST, seed=0)
    assert set(alone["undefined"]["what"]) == {"model_confidence", "overfitting"}
    assert alone["calibration_curve"].equals(tables["calibration_curve"])


def test_what_choosing_costs_stands_in_one_row_a_target():
    table = with_deflation(
        pl.DataFrame({"target": ["direction", "direction"], "model": ["ensemble", "base_rate"], "split": "oof",
                      "auc_daily": [0.52, 0.5], "auc_daily_se": [0.01, None], "auc_pooled": [0.52, 0.5],
                      "auc_pooled_se": [0.01, 0.0]}),
        LEDGER,
    )  # fmt: skip
    assert table["deflated_prob"].is_null().to_list() == [False, True]
    folds = pl.DataFrame({"target": ["direction"] * 2, "pbo": [0.2, 0.8], "n_sessions": [300, 100]})
    confidence = pl.DataFrame({"target": ["direction"] * 2, "model": ["a", "b"], "included": [True, False]})
    (row,) = selection_table(table, LEDGER, folds, confidence).to_dicts()
    assert (row["trials"], row["confidence_set"], row["pbo"]) == (4, "a", pytest.approx(0.35))
    assert 1 <= row["trials_effective"] <= 4


def test_the_symbol_table_has_the_chance_of_a_best_symbol_as_good():
    table = symbol_table(simulate_null_oof(n_symbols=6, n_sessions=120, seed=5), evaluation=FAST, seed=0)
    assert (table["p_best"] >= table["p_value"].min()).all()
    assert table["p_best"].min() > 0.01
    one = simulate_null_oof(n_symbols=2, n_sessions=120, seed=5).with_columns(label=pl.lit(1, pl.Int8))
    assert symbol_table(one, evaluation=FAST, seed=0)["p_best"].null_count() == 2


def test_quick_names_what_it_leaves_out_and_full_only_what_is_undefined():
    undefined = pl.DataFrame({"what": ["ic_decay"], "target": ["relative"], "reason": ["one symbol"]})
    omitted = pl.DataFrame({"book": ["long_short"] * 2, "execution": ["next_open", None], "reason": ["no open", "few"]})
    nothing = empty_left_out()
    full = not_evaluated("full", undefined, omitted, nothing)
    assert full == {"ic decay of relative": "one symbol.", "money long short at next_open": "no open.",
                    "money long short": "few."}  # fmt: skip
    quick = not_evaluated("quick", undefined, omitted, nothing)
    assert set(quick) - set(full) == {"placebo", "shadow features", "permutation importance", "stability over seeds"}
