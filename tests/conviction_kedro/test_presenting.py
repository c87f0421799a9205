"""What a person sees of a run."""

from __future__ import annotations

import math

from conviction_kedro.presenting import description, headline, headline_metrics, origin_tags

ROWS = [
    {
        "target": target,
        "model": model,
        "verdict": "underpowered",
        "auc_pooled": 0.51,
        "auc_pooled_lo": 0.5,
        "auc_pooled_hi": 0.52,
        "auc_daily": None,
        "auc_daily_lo": None,
        "auc_daily_hi": None,
    }
    for target in ("relative", "direction")
    for model in ("lightgbm", "ensemble")
]
FACTS = {"symbols": ["KO", "PG"], "rows": 4812, "first_session": "2018-01-02", "last_session": "2022-12-28"}


def test_the_headline_is_the_ensemble_of_the_first_target_however_good_the_others_are():
    rows = [*ROWS, {**ROWS[0], "model": "xgboost", "auc_pooled": 0.9}]
    first = headline(rows, ["direction", "relative"])
    assert (first["target"], first["model"]) == ("direction", "ensemble")
    assert headline(rows, ["relative"])["target"] == "relative"


def test_a_score_of_too_few_sessions_is_never_shown_without_its_interval():
    short = ROWS[3] | {"auc_pooled_lo": None, "auc_pooled_hi": None}
    text = description([short], first=short, facts=FACTS, provenance={})
    assert "pooled AUC no interval" in text
    assert "0.51" not in text


def test_without_an_ensemble_there_is_no_headline():
    assert headline([row for row in ROWS if row["model"] != "ensemble"], ["relative"]) is None


def test_metrics_are_numbers_by_name():
    metrics = headline_metrics(ROWS[1] | {"n_rows": 7, "skipped": True})
    assert metrics == {"auc_pooled": 0.51, "auc_pooled_lo": 0.5, "auc_pooled_hi": 0.52, "n_rows": 7.0}
    assert all(math.isfinite(value) for value in metrics.values())


def test_the_description_begins_with_verdict_interval_and_data():
    provenance = {"source": "embedded", "universe": "two", "commit": "abcdef0123456789"}
    text = description(ROWS, first=ROWS[3], facts=FACTS, provenance=provenance)
    first, _, data = text.splitlines()[:3]
    assert (
        first
        == "**direction: underpowered**; pooled AUC 0.5100 [0.5000, 0.5200] and mean daily AUC undefined of the ensemble."
    )
    assert data == "Data: embedded / two, 2 symbols, 2018-01-02 to 2022-12-28, 4,812 rows."
    assert text.count("0.5100 [0.5000, 0.5200]") == 1 + len(ROWS)
    assert text.endswith("Commit abcdef0123.")


def test_a_run_without_a_commit_claims_none():
    assert "mlflow.source.git.commit" not in origin_tags([], "unknown")
    assert origin_tags([], "abc")["mlflow.source.git.commit"] == "abc"
    assert origin_tags([], None)["mlflow.source.name"] == "kedro run"
