"""The first line of the report follows from the audit, the judgement, and a choice made before the score was seen."""

from __future__ import annotations

import polars as pl
import pytest

from conviction.evaluation import Verdict
from conviction.reporting import headline
from conviction.reporting._verdict import _LEVELS, SEVERITY, WORDS

LUCK, SKILL = "not distinguishable from luck", "skill"


def with_scores(contents, model, value, half, verdict=SKILL):
    """Return the scores with the mean daily AUC and the verdict of `model` replaced, for every target."""
    here = pl.col("model") == model
    return contents.scores.with_columns(
        pl.when(here).then(value).otherwise("auc_daily").alias("auc_daily"),
        pl.when(here).then(value - half).otherwise("auc_daily_lo").alias("auc_daily_lo"),
        pl.when(here).then(value + half).otherwise("auc_daily_hi").alias("auc_daily_hi"),
        pl.when(here).then(pl.lit(verdict)).otherwise("verdict").alias("verdict"),
    )


@pytest.mark.parametrize(
    ("score", "level", "word"),
    [
        ((0.514, 0.006, SKILL), "edge", "Above chance and above the baselines"),
        ((0.508, 0.010, LUCK), "none", "No skill shown"),
        ((0.508, 0.100, "underpowered"), "underpowered", "Too little data to tell"),
        ((0.9989, 0.0005, "implausible"), "suspicious", "Too good: look for a leak"),
        ((0.47, 0.01, LUCK), "inverted", "Below chance"),
        ((0.02, 0.01, "implausible"), "suspicious", "Too good: look for a leak"),
    ],
)
def test_the_headline_says_what_the_judgement_on_the_chosen_model_says(make, contents, score, level, word):
    seen = headline(make(scores=with_scores(contents, "rank_average", *score)))
    assert (seen.level, seen.word) == (level, word)
    assert {(v.model, v.value) for v in seen.targets} == {("rank_average", score[0])}


def test_every_verdict_of_the_evaluation_has_a_level():
    assert set(_LEVELS) == set(Verdict)
    assert set(_LEVELS.values()) | {"stop", "inverted", "baseline"} == set(WORDS) == set(SEVERITY)


def test_a_better_model_that_was_not_chosen_does_not_carry_the_headline(make, contents):
    verdict = headline(make(scores=with_scores(contents, "lightgbm", 0.54, 0.001)))
    assert {v.model for v in verdict.targets} == {"rank_average"}


def test_without_a_choice_the_best_is_called_picked_afterwards(make, contents):
    verdict = headline(make(scores=with_scores(contents, "lightgbm", 0.54, 0.001), ensemble=()))
    assert {v.model for v in verdict.targets} == {"lightgbm"}
    assert all("picked afterwards as the best of 5" in v.sentence for v in verdict.targets)


def test_a_failed_audit_overrules_every_score_and_names_the_columns(make, contents):
    verdict = headline(make(failed=True, scores=with_scores(contents, "rank_average", 0.9989, 0.0005, "implausible")))
    assert verdict.level == "stop"
    assert "sma_5_centred" in verdict.sentence
    assert "no score below may be believed" in verdict.sentence


def test_a_baseline_that_reaches_into_the_interval_is_named(make, contents):
    apart = headline(contents).targets[1]
    assert apart.level == "edge"
    assert "the best baseline (reversal_1d 0.502 [0.496, 0.508]) stays under it" in apart.sentence
    close = headline(make(scores=with_scores(contents, "reversal_1d", 0.511, 0.006))).targets[1]
    assert close.level == "baseline"
    assert "but the baseline reversal_1d 0.511 [0.505, 0.517] reaches into that interval" in close.sentence


def test_a_baseline_that_does_no_worse_is_named_even_without_skill(make, contents):
    behind = make(scores=with_scores(contents, "reversal_1d", 0.516, 0.006))
    assert [verdict.level for verdict in headline(behind).targets] == ["none", "baseline"]
    for verdict in headline(behind).targets:
        assert "; the baseline reversal_1d 0.516 [0.510, 0.522] does no worse." in verdict.sentence


def test_luck_with_an_interval_above_one_half_is_explained(make, contents):
    seen = headline(make(scores=with_scores(contents, "rank_average", 0.510, 0.009, LUCK)))
    assert seen.level == "none"
    assert all("just above 0.5, but not once the two AUCs count as two tests" in v.sentence for v in seen.targets)


def test_one_symbol_has_no_cross_section_and_is_judged_on_pooled_auc(make, contents):
    columns = [name for name in contents.scores.columns if name.startswith("auc_daily")]
    scores = contents.scores.with_columns(pl.lit(None, pl.Float64).alias(name) for name in columns)
    verdict = headline(make(scores=scores))
    assert {v.metric for v in verdict.targets} == {"auc_pooled"}


def test_the_word_names_the_targets_that_it_holds_for(contents):
    assert [v.level for v in headline(contents).targets] == ["none", "edge"]
    assert headline(contents).word == "Above chance and above the baselines (relative only)"


def test_an_opened_holdout_is_judged_first(make, contents):
    holdout = contents.scores.filter(pl.col("target") == "relative").with_columns(pl.lit("holdout").alias("split"))
    verdict = headline(make(scores=pl.concat([contents.scores, holdout]), holdout_openings=1))
    assert [(v.split, v.target) for v in verdict.targets] == [
        ("holdout", "relative"),
        ("oof", "direction"),
        ("oof", "relative"),
    ]


@pytest.mark.parametrize(
    ("one", "other", "level"),
    [
        (("implausible", 0.99), (LUCK, 0.47), "suspicious"),
        ((SKILL, 0.51), (LUCK, 0.47), "inverted"),
        ((SKILL, 0.51), (LUCK, 0.50), "edge"),
        (("underpowered", 0.51), (LUCK, 0.50), "none"),
    ],
)
def test_the_most_serious_target_sets_the_level(make, contents, one, other, level):
    scores = pl.concat(
        with_scores(contents, "rank_average", value, 0.001, verdict).filter(pl.col("target") == target)
        for target, (verdict, value) in (("direction", other), ("relative", one))
    )
    assert headline(make(scores=scores)).level == level
