"""The first line of the report follows from intervals, the audit and a choice made before the score was seen."""

from __future__ import annotations

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from conviction.reporting import headline
from conviction.reporting._verdict import judge_interval


def with_scores(contents, model, value, half):
    """Return the scores with the mean daily AUC of `model` replaced, for every target."""
    here = pl.col("model") == model
    return contents.scores.with_columns(
        pl.when(here).then(value).otherwise("auc_daily").alias("auc_daily"),
        pl.when(here).then(value - half).otherwise("auc_daily_lo").alias("auc_daily_lo"),
        pl.when(here).then(value + half).otherwise("auc_daily_hi").alias("auc_daily_hi"),
    )


@given(st.floats(0, 1), st.floats(0, 0.3), st.floats(0, 0.3))
def test_the_level_says_where_the_interval_lies(value, below, above):
    lo, hi = value - below, value + above
    level = judge_interval(value, lo, hi)
    if lo <= 0.5 <= hi:
        assert level == "none"
    elif hi < 0.5:
        assert level == "inverted"
    else:
        assert level == ("suspicious" if lo > 0.55 or value > 0.60 else "edge")


@pytest.mark.parametrize(
    ("value", "half", "level"),
    [(0.514, 0.006, "edge"), (0.508, 0.010, "none"), (0.9989, 0.0005, "suspicious"), (0.47, 0.01, "inverted")],
)
def test_the_headline_rests_on_the_chosen_model(make, contents, value, half, level):
    report = make(scores=with_scores(contents, "rank_average", value, half))
    verdict = headline(report)
    assert verdict.level == level
    assert {(v.model, v.value) for v in verdict.targets} == {("rank_average", value)}


def test_a_better_model_that_was_not_chosen_does_not_carry_the_headline(make, contents):
    verdict = headline(make(scores=with_scores(contents, "lightgbm", 0.54, 0.001)))
    assert {v.model for v in verdict.targets} == {"rank_average"}


def test_without_a_choice_the_best_is_called_picked_afterwards(make, contents):
    verdict = headline(make(scores=with_scores(contents, "lightgbm", 0.54, 0.001), ensemble=()))
    assert {v.model for v in verdict.targets} == {"lightgbm"}
    assert all("picked afterwards as the best of 5" in v.sentence for v in verdict.targets)


def test_a_failed_audit_overrules_every_score_and_names_the_columns(make, contents):
    verdict = headline(make(failed=True, scores=with_scores(contents, "rank_average", 0.9989, 0.0005)))
    assert verdict.level == "stop"
    assert "sma_5_centred" in verdict.sentence
    assert "no score below may be believed" in verdict.sentence


def test_a_baseline_that_reaches_into_the_interval_is_named(make, contents):
    apart = headline(contents).targets[1]
    assert apart.level == "edge"
    assert "the best baseline (reversal_1d 0.502 [0.496, 0.508]) stays under it" in apart.sentence
    close = headline(make(scores=with_scores(contents, "reversal_1d", 0.511, 0.006))).targets[1]
    assert "but the baseline reversal_1d 0.511 [0.505, 0.517] reaches into that interval" in close.sentence


def test_one_symbol_has_no_cross_section_and_is_judged_on_pooled_auc(make, contents):
    columns = [name for name in contents.scores.columns if name.startswith("auc_daily")]
    scores = contents.scores.with_columns(pl.lit(None, pl.Float64).alias(name) for name in columns)
    verdict = headline(make(scores=scores))
    assert {v.metric for v in verdict.targets} == {"auc_pooled"}


def test_the_word_names_the_targets_that_it_holds_for(contents):
    assert [v.level for v in headline(contents).targets] == ["none", "edge"]
    assert headline(contents).word == "Above chance for relative only"


def test_an_opened_holdout_is_judged_first(make, contents):
    holdout = contents.scores.filter(pl.col("target") == "relative").with_columns(pl.lit("holdout").alias("split"))
    verdict = headline(make(scores=pl.concat([contents.scores, holdout]), holdout_openings=1))
    assert [(v.split, v.target) for v in verdict.targets] == [
        ("holdout", "relative"),
        ("oof", "direction"),
        ("oof", "relative"),
    ]
