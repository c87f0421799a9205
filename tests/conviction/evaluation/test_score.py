"""The metrics of one (target, model), their reasons and their verdict."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from sklearn.metrics import brier_score_loss, log_loss, roc_auc_score

from conviction.errors import EvaluationError, FrameError
from conviction.evaluation import (
    METRICS,
    EvaluationParameters,
    Verdict,
    daily_auc,
    known_base_rate,
    score,
    score_table,
    simulate_null_oof,
)

FAST = EvaluationParameters(n_resamples=200)


def test_metrics_equal_scikit_learn():
    oof = simulate_null_oof(n_symbols=12, n_sessions=200, seed=4, skill=0.1)
    metrics = score(oof, evaluation=FAST, seed=0).metrics
    assert metrics["auc_pooled"] == pytest.approx(roc_auc_score(oof["label"], oof["score"]), abs=1e-12)
    assert metrics["log_loss"] == pytest.approx(log_loss(oof["label"], oof["score"]), abs=1e-12)
    assert metrics["brier"] == pytest.approx(brier_score_loss(oof["label"], oof["score"]), abs=1e-12)
    assert metrics["auc_daily"] == pytest.approx(daily_auc(oof, min_symbols=5)["auc"].mean(), abs=1e-12)
    assert (metrics["n_rows"], metrics["n_sessions"]) == (2400, 200)
    assert metrics["auc_pooled_lo"] < metrics["auc_pooled"] < metrics["auc_pooled_hi"]


def test_every_metric_is_there_or_has_a_reason():
    cases = [
        simulate_null_oof(n_symbols=12, n_sessions=200, seed=4),
        simulate_null_oof(n_symbols=1, n_sessions=200, seed=4),
        simulate_null_oof(n_symbols=12, n_sessions=20, seed=4),
        simulate_null_oof(n_symbols=12, n_sessions=200, seed=4).with_columns(label=pl.lit(1, pl.Int8)),
        simulate_null_oof(n_symbols=12, n_sessions=200, seed=4).with_columns(score=pl.lit(0.5)),
        simulate_null_oof(n_symbols=12, n_sessions=200, seed=4).with_columns(score=pl.col("score") * 7 - 3),
    ]
    for oof in cases:
        scores = score(oof, evaluation=FAST, seed=0)
        assert set(scores.metrics) | set(scores.reasons) == set(METRICS)
        assert not set(scores.metrics) & set(scores.reasons)
        assert all(np.isfinite(value) for value in scores.metrics.values())
        assert all(reason.endswith(".") for reason in scores.reasons.values())


def test_one_symbol_has_no_cross_section_and_says_so():
    scores = score(simulate_null_oof(n_symbols=1, n_sessions=300, seed=4), evaluation=FAST, seed=0)
    assert "auc_pooled_lo" in scores.metrics
    assert "auc_daily" not in scores.metrics
    assert "at least 5 symbols" in scores.reasons["auc_daily"]
    assert scores.verdict is Verdict.UNDERPOWERED
    assert "sessions" in scores.verdict_reason


def test_a_constant_score_is_worth_one_half_and_has_no_test():
    oof = simulate_null_oof(n_symbols=12, n_sessions=200, seed=4).with_columns(score=pl.lit(0.5))
    scores = score(oof, evaluation=FAST, seed=0)
    assert scores.metrics["auc_pooled"] == 0.5
    assert scores.metrics["auc_daily"] == 0.5
    assert "auc_pooled_p" in scores.reasons
    assert "rank_ic" in scores.reasons
    assert scores.verdict is Verdict.UNDERPOWERED


def test_rows_without_a_label_do_not_count():
    oof = simulate_null_oof(n_symbols=6, n_sessions=100, seed=4)
    unlabelled = oof.with_columns(
        label=pl.when(pl.int_range(pl.len()) % 3 == 0).then(None).otherwise("label").cast(pl.Int8)
    )
    kept = unlabelled.filter(pl.col("label").is_not_null())
    assert score(unlabelled, evaluation=FAST, seed=0) == score(kept, evaluation=FAST, seed=0)
    assert score(unlabelled, evaluation=FAST, seed=0).metrics["n_rows"] == 400


def test_same_seed_same_scores_another_seed_another_interval():
    oof = simulate_null_oof(n_symbols=6, n_sessions=100, seed=4)
    first = score(oof, evaluation=FAST, seed=0)
    assert score(oof, evaluation=FAST, seed=0) == first
    other = score(oof, evaluation=FAST, seed=1)
    assert other.metrics["auc_pooled_se"] != first.metrics["auc_pooled_se"]
    assert other.metrics["auc_pooled_se"] == pytest.approx(first.metrics["auc_pooled_se"], rel=0.3)


def test_the_interval_moves_with_sessions_not_rows():
    """Copying every symbol ten times adds no information: the interval stays; a per-row one would shrink threefold."""
    oof = simulate_null_oof(n_symbols=6, n_sessions=200, seed=4)
    copies = pl.concat([oof.with_columns(symbol=pl.col("symbol") + f"_{copy}") for copy in range(10)]).sort(
        "symbol", "session"
    )
    once = score(oof, evaluation=FAST, seed=0).metrics
    tenfold = score(copies, evaluation=FAST, seed=0).metrics
    for name in ("auc_pooled", "auc_pooled_se", "auc_daily", "auc_daily_se"):
        assert tenfold[name] == pytest.approx(once[name], rel=1e-9)


def test_skill_is_found_and_recovered():
    scores = score(simulate_null_oof(n_symbols=100, n_sessions=500, seed=1, skill=0.05), evaluation=FAST, seed=0)
    assert scores.verdict is Verdict.SKILL
    assert scores.metrics["rank_ic_lo"] > 0.02


def test_a_leak_is_implausible_not_skill():
    scores = score(simulate_null_oof(n_symbols=30, n_sessions=250, seed=1, skill=0.8), evaluation=FAST, seed=0)
    assert scores.verdict is Verdict.IMPLAUSIBLE
    assert "audit" in scores.verdict_reason
    inverted = simulate_null_oof(n_symbols=30, n_sessions=250, seed=1, skill=0.8).with_columns(
        score=1 - pl.col("score")
    )
    assert score(inverted, evaluation=FAST, seed=0).verdict is Verdict.IMPLAUSIBLE


def test_enough_data_without_skill_is_luck():
    scores = score(simulate_null_oof(n_symbols=200, n_sessions=600, seed=8), evaluation=FAST, seed=0)
    assert scores.verdict is Verdict.LUCK


def test_base_rate_of_a_fold_is_what_was_known_before_it():
    oof = simulate_null_oof(n_symbols=3, n_sessions=40, seed=0)
    known = known_base_rate(oof)
    for fold in range(4):
        first = oof.filter(pl.col("fold") == fold)["session"].min()
        past = oof.filter(pl.col("session") < first)["label"]
        expected = past.mean() if len(past) else 0.5
        assert known[(oof["fold"] == fold).to_numpy()] == pytest.approx(expected, abs=1e-12)


def test_given_base_rates_are_the_reference_of_brier_skill():
    oof = simulate_null_oof(n_symbols=5, n_sessions=100, seed=0)
    rates = pl.DataFrame({"fold": [0, 1, 2, 3], "base_rate": [0.5, 0.52, 0.51, 0.49]})
    reference = oof.join(rates.with_columns(pl.col("fold").cast(pl.Int32)), on="fold")["base_rate"]
    label = oof["label"].cast(pl.Float64)
    expected = 1 - ((oof["score"] - label) ** 2).mean() / ((reference - label) ** 2).mean()
    assert score(oof, evaluation=FAST, seed=0, base_rate=rates).metrics["brier_skill"] == pytest.approx(
        expected, abs=1e-9
    )
    with pytest.raises(EvaluationError, match="every fold once"):
        score(oof, evaluation=FAST, seed=0, base_rate=rates.head(3))


def test_intervals_stay_inside_what_an_auc_can_be():
    oof = simulate_null_oof(n_symbols=6, n_sessions=100, seed=4)
    perfect = oof.with_columns(score=pl.col("label") * 0.3 + 0.1 + 0.6 * (pl.int_range(pl.len()) % 200 == 0))
    for one in (perfect, perfect.with_columns(score=1 - pl.col("score"))):
        metrics = score(one, evaluation=FAST, seed=0).metrics
        assert 0.0 <= metrics["auc_pooled_lo"] < metrics["auc_pooled_hi"] <= 1.0
        assert {metrics["auc_pooled_lo"], metrics["auc_pooled_hi"]} & {0.0, 1.0}


def test_score_table_uses_each_targets_own_base_rates():
    oof = simulate_null_oof(n_symbols=6, n_sessions=100, seed=4)
    both = pl.concat([oof, oof.with_columns(target=pl.lit("relative"))])
    rates = pl.DataFrame(
        {"target": ["direction"] * 4 + ["relative"] * 4, "fold": [0, 1, 2, 3] * 2, "base_rate": [0.6] * 4 + [0.4] * 4}
    )
    table = score_table(both, evaluation=FAST, seed=0, base_rate=rates)
    for target in ("direction", "relative"):
        one = both.filter(pl.col("target") == target)
        expected = score(one, evaluation=FAST, seed=0, base_rate=rates.filter(pl.col("target") == target))
        assert table.filter(pl.col("target") == target)["brier_skill"].item() == expected.metrics["brier_skill"]


def test_score_table_has_one_row_for_each_target_and_model():
    oof = simulate_null_oof(n_symbols=6, n_sessions=100, seed=4)
    other = simulate_null_oof(n_symbols=6, n_sessions=100, seed=5).with_columns(
        model=pl.lit("other"), target=pl.lit("relative")
    )
    table = score_table(pl.concat([oof, other]).sort("symbol", "session"), evaluation=FAST, seed=0)
    assert table.select("target", "model").rows() == [("direction", "null"), ("relative", "other")]
    one = score(other, evaluation=FAST, seed=0)
    row = table.filter(pl.col("model") == "other").row(0, named=True)
    assert {name: row[name] for name in one.metrics} == one.metrics
    assert row["verdict"] == "underpowered"


@pytest.mark.parametrize(
    ("change", "error", "match"),
    [
        (lambda f: f.with_columns(score=pl.lit(None, pl.Float64)), EvaluationError, "missing or not finite"),
        (lambda f: f.with_columns(score=pl.lit(float("nan"))), EvaluationError, "missing or not finite"),
        (lambda f: f.with_columns(label=pl.lit(2, pl.Int8)), EvaluationError, "not binary"),
        (lambda f: f.with_columns(label=pl.lit(None, pl.Int8)), EvaluationError, "no row has a label"),
        (lambda f: f.drop("forward_return"), FrameError, "forward_return"),
        (lambda f: f.reverse(), FrameError, "not sorted"),
        (lambda f: pl.concat([f, f]).sort("symbol", "session"), FrameError, "duplicated"),
        (
            lambda f: pl.concat([f, f.with_columns(model=pl.lit("b"))]).sort("symbol", "session"),
            EvaluationError,
            "mix several values of 'model'",
        ),
    ],
)
def test_unusable_rows_are_refused(change, error, match):
    oof = simulate_null_oof(n_symbols=3, n_sessions=50, seed=0)
    with pytest.raises(error, match=match):
        score(change(oof), evaluation=FAST, seed=0)


def test_parameters_are_closed_and_ordered():
    with pytest.raises(ValueError, match="Extra inputs"):
        EvaluationParameters(resamples=10)
    with pytest.raises(ValueError, match="remarkable_auc"):
        EvaluationParameters(remarkable_auc=0.7)


def test_the_intervals_of_log_loss_and_brier_skill_equal_a_slow_bootstrap():
    oof = simulate_null_oof(n_symbols=6, n_sessions=120, seed=4, skill=0.2).sort("session", "symbol")
    scores = score(oof.sort("symbol", "session"), evaluation=FAST, seed=3)
    days = [part for _, part in oof.group_by("session", maintain_order=True)]
    known = known_base_rate(oof).reshape(len(days), -1)
    y = oof["label"].to_numpy().reshape(len(days), -1)
    p = oof["score"].to_numpy().reshape(len(days), -1)

    def skill(rows):
        return 1 - ((p[rows] - y[rows]) ** 2).sum() / ((known[rows] - y[rows]) ** 2).sum()

    rng = np.random.default_rng(0)
    block = 5
    values = []
    for _ in range(3000):
        starts = rng.integers(0, len(days), -(-len(days) // block))
        rows = [(start + step) % len(days) for start in starts for step in range(block)][: len(days)]
        values.append((skill(rows), log_loss(y[rows].ravel(), p[rows].ravel())))
    for name, column in (("brier_skill", 0), ("log_loss", 1)):
        half = 2.07 * np.std([value[column] for value in values])  # Student's t with 120 / 5 - 1 degrees of freedom
        width = (scores.metrics[f"{name}_hi"] - scores.metrics[f"{name}_lo"]) / 2
        assert scores.metrics[f"{name}_lo"] < scores.metrics[name] < scores.metrics[f"{name}_hi"]
        assert width == pytest.approx(half, rel=0.15)
