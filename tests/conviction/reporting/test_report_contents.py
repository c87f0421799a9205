"""A report refuses a number without its interval, before anybody can read it."""

from __future__ import annotations

import dataclasses

import polars as pl
import pytest

from conviction.errors import EvaluationError, FrameError
from conviction.reporting import EnsembleChoice


@pytest.mark.parametrize("metric", ["auc_daily", "auc_pooled", "rank_ic"])
@pytest.mark.parametrize("bound", ["lo", "hi"])
@pytest.mark.parametrize("broken", [None, float("nan"), float("inf")])
def test_a_score_without_a_finite_bound_is_refused(make, contents, metric, bound, broken):
    scores = contents.scores.with_columns(
        pl.when(pl.int_range(pl.len()) == 3)
        .then(pl.lit(broken, pl.Float64))
        .otherwise(f"{metric}_{bound}")
        .alias(f"{metric}_{bound}")
    )
    with pytest.raises(EvaluationError, match=rf"scores\.{metric} has a value without its interval"):
        make(scores=scores)


def test_bounds_in_the_wrong_order_are_refused(make, contents):
    swapped = contents.scores.rename({"auc_daily_lo": "auc_daily_hi", "auc_daily_hi": "auc_daily_lo"})
    with pytest.raises(EvaluationError, match="without its interval"):
        make(scores=swapped)


def test_a_ranking_metric_without_bound_columns_is_refused(make, contents):
    with pytest.raises(FrameError, match="rank_ic_lo"):
        make(scores=contents.scores.drop("rank_ic_lo"))


def test_an_undefined_metric_is_null_with_null_bounds_and_passes(make, contents):
    columns = [name for name in contents.scores.columns if name.startswith("auc_daily")]
    scores = contents.scores.with_columns(pl.lit(None, pl.Float64).alias(name) for name in columns)
    assert "auc_daily" not in make(scores=scores).metrics
    assert "auc_daily" in contents.metrics


def test_metrics_without_bounds_are_not_shown_and_with_bounds_they_are(make, contents):
    assert "log_loss" in contents.metrics
    bare = make(scores=contents.scores.drop("log_loss_lo"))
    assert "log_loss" in bare.scores.columns
    assert "log_loss" not in bare.metrics


@pytest.mark.parametrize(
    ("column", "value", "message"),
    [
        ("kind", "oracle", "scores.kind has an unknown value"),
        ("split", "train", "scores.split has an unknown value"),
        ("verdict", "great", "scores.verdict has an unknown value"),
    ],
)
def test_unknown_kinds_and_splits_are_refused(make, contents, column, value, message):
    with pytest.raises(EvaluationError, match=message):
        make(scores=contents.scores.with_columns(pl.lit(value).alias(column)))


def test_a_score_that_stands_twice_is_refused(make, contents):
    with pytest.raises(EvaluationError, match="a score stands twice"):
        make(scores=pl.concat([contents.scores, contents.scores.head(1)]))


@pytest.mark.parametrize("count", ["trials", "holdout_openings"])
def test_negative_counts_are_refused(make, count):
    with pytest.raises(EvaluationError, match=f"{count} is negative"):
        make(**{count: -1})


@pytest.mark.parametrize(
    ("table", "value", "bound"),
    [
        ("calibration", "observed", "lo"),
        ("importance", "mean", "hi"),
        ("economics", "sharpe_net", "sharpe_net_lo"),
        ("economics", "net_bps", "net_hi"),
        ("quantiles", "excess_bps", "lo"),
        ("placebo", "auc_pooled", "band_hi"),
        ("decay", "rank_ic", "lo"),
    ],
)
def test_optional_tables_need_their_intervals_too(make, contents, table, value, bound):
    frame = getattr(contents, table)
    with pytest.raises(EvaluationError, match=rf"{table}\.{value} has a value without its interval"):
        make(**{table: frame.with_columns(pl.lit(None, pl.Float64).alias(bound))})
    with pytest.raises(FrameError, match=bound):
        make(**{table: frame.drop(bound)})


def test_a_per_symbol_score_needs_its_interval(contents):
    frame = contents.symbols[0].frame.with_columns(pl.lit(None, pl.Float64).alias("lo"))
    with pytest.raises(EvaluationError, match=r"per-symbol scores\.auc"):
        dataclasses.replace(contents.symbols[0], frame=frame)


def test_contents_are_frozen(contents):
    with pytest.raises(dataclasses.FrozenInstanceError):
        contents.trials = 0


def test_an_ensemble_choice_for_a_model_without_scores_is_refused(make):
    with pytest.raises(EvaluationError, match="chosen for direction"):
        make(ensemble=(EnsembleChoice(target="direction", model="nobody", explanation="?"),))
