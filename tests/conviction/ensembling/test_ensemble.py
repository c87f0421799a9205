"""Combiners learn from the past alone, and the choice among them is honest."""

from __future__ import annotations

from datetime import timedelta

import numpy as np
import polars as pl
import pytest
from scipy.stats import rankdata
from scipy.stats import t as student
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score

from conviction.ensembling import COMBINERS, EnsemblingParameters, ensemble, gather, ridge_logistic
from conviction.ensembling._context import context_columns
from conviction.ensembling._forward import forward_steps
from conviction.ensembling._inputs import past_ranks, within_session_ranks
from conviction.errors import EvaluationError, FrameError
from conviction.evaluation import auc, simulate_null_oof

LEARNERS = ("past_weighted", "stack_logistic", "stack_mlp", "stack_xgboost")
PLAIN = EnsemblingParameters(purge=1, n_resamples=200)


def models_oof(skills=(0.0, 0.1, 0.2), *, n_symbols=12, n_sessions=320, seed=1, noise=0.02):
    rng = np.random.default_rng(seed)
    parts = []
    for position, skill in enumerate(skills):
        one = simulate_null_oof(n_symbols=n_symbols, n_sessions=n_sessions, seed=seed, skill=skill)
        jitter = pl.Series(rng.normal(0, noise, one.height))
        parts.append(one.with_columns(model=pl.lit(f"m{position}"), score=(pl.col("score") + jitter).clip(0.01, 0.99)))
    return pl.concat(parts).sort("symbol", "session", "target", "model")


def test_rank_mean_is_the_mean_of_session_ranks_by_a_slow_loop():
    oof = models_oof(n_sessions=80)
    result = ensemble(oof, target="direction", ensembling=PLAIN, seed=0)
    got = {
        (row["symbol"], row["session"]): row["score"]
        for row in result.oof.filter(pl.col("model") == "rank_mean").iter_rows(named=True)
    }
    for (session,), part in oof.group_by("session"):
        total = {}
        for model in ("m0", "m1", "m2"):
            one = part.filter(pl.col("model") == model)
            for symbol, rank in zip(one["symbol"], rankdata(one["score"]), strict=True):
                total[symbol] = total.get(symbol, 0.0) + (rank - 0.5) / one.height / 3
        for symbol, rank in total.items():
            assert got[symbol, session] == pytest.approx(0.5 + 0.06 * (rank - 0.5), abs=1e-12)


@pytest.mark.parametrize("name", LEARNERS)
def test_what_a_combiner_says_of_a_fold_does_not_depend_on_that_fold_or_later_ones(name):
    """Turning every label from a session before the last fold on leaves all scores alone; earlier labels do matter."""
    oof = models_oof()
    first = oof.filter(pl.col("fold") == 3)["session"].min()
    flipped = oof.with_columns(label=pl.when(pl.col("session") >= first).then(1 - pl.col("label")).otherwise("label"))
    scores = [
        COMBINERS[name](gather(frame, target="direction", excluded=()), ensembling=PLAIN, seed=0).score
        for frame in (oof, flipped)
    ]
    np.testing.assert_array_equal(scores[0], scores[1])
    past = oof.with_columns(label=pl.when(pl.col("session") < first).then(1 - pl.col("label")).otherwise("label"))
    changed = COMBINERS[name](gather(past, target="direction", excluded=()), ensembling=PLAIN, seed=0).score
    assert not np.array_equal(scores[0], changed)


@pytest.mark.parametrize("name", [*LEARNERS, "mean", "rank_mean"])
def test_scores_of_later_sessions_change_nothing_before_them(name):
    oof = models_oof()
    cut = oof.filter(pl.col("fold") == 2)["session"].max()
    later = oof.with_columns(
        score=pl.when(pl.col("session") > cut).then(0.98 - 0.5 * pl.col("score")).otherwise("score")
    )
    before = (gather(oof, target="direction", excluded=()).rows["session"] <= cut).to_numpy()
    parameters = EnsemblingParameters(purge=1, context=True)
    one, other = (
        COMBINERS[name](gather(frame, target="direction", excluded=()), ensembling=parameters, seed=0).score
        for frame in (oof, later)
    )
    np.testing.assert_array_equal(one[before], other[before])
    assert not np.array_equal(one[~before], other[~before])


@pytest.mark.parametrize("purge", [1, 5])
def test_labels_of_the_purged_sessions_teach_nothing(purge):
    oof = models_oof(n_sessions=320)
    sessions = oof["session"].unique().sort()
    first = oof.filter(pl.col("fold") == 3)["session"].min()
    purged = sessions.filter(sessions < first).tail(purge)
    last_used = sessions.filter(sessions < first)[-purge - 1]
    parameters = EnsemblingParameters(purge=purge)
    in_fold = gather(oof, target="direction", excluded=()).fold == 3

    def stacked(frame):
        inputs = gather(frame, target="direction", excluded=())
        return COMBINERS["stack_logistic"](inputs, ensembling=parameters, seed=0).score[in_fold]

    turned = 1 - pl.col("label")
    within = oof.with_columns(label=pl.when(pl.col("session").is_in(purged.to_list())).then(turned).otherwise("label"))
    np.testing.assert_array_equal(stacked(oof), stacked(within))
    before = oof.with_columns(label=pl.when(pl.col("session") == last_used).then(turned).otherwise("label"))
    assert not np.array_equal(stacked(oof), stacked(before))


def test_folds_are_walked_in_the_order_of_time_whatever_their_names():
    oof = models_oof().with_columns(fold=(3 - pl.col("fold")).cast(pl.Int32))
    rows = gather(oof, target="direction", excluded=()).rows
    steps = list(forward_steps(rows, purge=2))
    assert [step.fold for step in steps] == [3, 2, 1, 0]
    assert [step.n_past_sessions for step in steps] == [0, 78, 158, 238]
    for step in steps:
        if step.past.any():
            assert (
                rows.filter(pl.Series(step.past))["session"].max() < rows.filter(pl.Series(step.now))["session"].min()
            )


def test_interleaved_folds_teach_each_other_nothing():
    oof = models_oof()
    sessions = oof.select("session").unique().sort("session").with_row_index("position")
    woven = (
        oof.join(sessions, on="session")
        .with_columns(fold=(pl.col("position") // 20 % 2).cast(pl.Int32))
        .drop("position")
    )
    steps = list(forward_steps(gather(woven, target="direction", excluded=()).rows, purge=1))
    assert all(not step.past.any() for step in steps)


def test_ridge_logistic_equals_scikit_learn():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(500, 4))
    y = (rng.random(500) < 1 / (1 + np.exp(-X @ [0.5, -0.2, 0.0, 1.0] - 0.3))).astype(float)
    theirs = LogisticRegression(C=1 / 3.0, tol=1e-10, max_iter=2000).fit(X, y)
    ours = ridge_logistic(X, y, penalty=3.0)
    np.testing.assert_allclose(ours, [theirs.intercept_[0], *theirs.coef_[0]], atol=1e-5)


def test_past_weighted_leans_on_the_model_that_was_better():
    oof = models_oof()
    result = ensemble(
        oof,
        target="direction",
        ensembling=EnsemblingParameters(purge=1, challengers=("past_weighted",)),
        seed=0,
    )
    last = result.weights.filter(pl.col("fold") == 3)
    weights = dict(last.select("input", "weight").iter_rows())
    assert weights["m2"] > weights["m1"] > weights["m0"] >= 0
    past = oof.filter(pl.col("session") < oof.filter(pl.col("fold") == 3)["session"].min() - timedelta(days=1))
    lifts = {}
    for (model,), part in past.group_by("model"):
        rank = part.select(pl.col("score").rank("average").over("session")).to_series()
        lifts[model] = max(0.0, roc_auc_score(part["label"], rank) - 0.5)
    for model, lift in lifts.items():
        assert weights[model] == pytest.approx(lift / sum(lifts.values()), abs=1e-12)
    assert sum(weights.values()) == pytest.approx(1.0)


def test_a_stack_that_is_better_is_chosen_and_the_choice_is_explained():
    result = ensemble(models_oof((0.0, 0.0, 0.4), n_symbols=20), target="direction", ensembling=PLAIN, seed=0)
    assert result.choice == "stack_logistic"
    assert result.comparison is not None
    assert result.comparison.lo > 0
    assert "a selection among 2" in result.explanation
    assert "before fold 0" in result.explanation
    chosen = result.oof.filter(pl.col("model") == "ensemble")["score"]
    assert chosen.equals(result.oof.filter(pl.col("model") == "stack_logistic")["score"])


def test_without_a_better_stack_the_rank_average_stays_and_says_so():
    result = ensemble(models_oof((0.0, 0.0, 0.0)), target="direction", ensembling=PLAIN, seed=0)
    assert result.choice == "rank_mean"
    assert "the ensemble is the rank average" in result.explanation
    assert result.comparison is not None
    assert result.comparison.lo <= 0
    assert result.comparison.n_sessions == 240  # folds 1 to 3: in fold 0 both are the rank average


def test_with_too_little_past_nothing_is_compared_and_the_reason_is_given():
    result = ensemble(models_oof(n_sessions=80), target="direction", ensembling=PLAIN, seed=0)
    assert result.comparison is None
    assert result.choice == "rank_mean"
    assert "could not be compared" in result.explanation
    for model in ("stack_logistic", "ensemble"):
        assert result.oof.filter(pl.col("model") == model)["score"].equals(
            result.oof.filter(pl.col("model") == "rank_mean")["score"]
        )


def test_output_keeps_the_contract_and_the_rows():
    oof = models_oof()
    oof = oof.with_columns(
        label=pl.when(pl.col("symbol") == "S001").then(None).otherwise("label").cast(pl.Int8),
        forward_return=pl.when(pl.col("symbol") == "S002").then(None).otherwise("forward_return"),
    )
    result = ensemble(oof, target="direction", ensembling=PLAIN, seed=0)
    assert result.oof.schema == oof.schema
    base = oof.filter(pl.col("model") == "m0").drop("model", "score")
    for _, part in result.oof.group_by("model"):
        assert part.sort("symbol", "session").drop("model", "score").equals(base.sort("symbol", "session"))
        assert part["score"].is_between(0, 1).all()
    assert result.oof.equals(result.oof.sort("symbol", "session", "target", "model"))


def test_same_seed_same_bytes_and_row_order_does_not_matter():
    oof = models_oof()
    parameters = EnsemblingParameters(purge=1, challengers=LEARNERS, context=True, calibrate=True)
    first = ensemble(oof, target="direction", ensembling=parameters, seed=3)
    again = ensemble(oof.sample(fraction=1.0, shuffle=True, seed=7), target="direction", ensembling=parameters, seed=3)
    assert first.oof.equals(again.oof)
    assert first.explanation == again.explanation


def test_baselines_and_other_targets_take_no_part():
    oof = models_oof()
    baseline = oof.filter(pl.col("model") == "m0").with_columns(model=pl.lit("base_rate"), score=pl.lit(0.9))
    other = oof.with_columns(target=pl.lit("relative"), score=1 - pl.col("score"))
    mixed = pl.concat([oof, baseline, other])
    expected = ensemble(oof, target="direction", ensembling=PLAIN, seed=0)
    assert ensemble(mixed, target="direction", ensembling=PLAIN, seed=0).oof.equals(expected.oof)


def test_rows_that_one_model_lacks_are_left_out_and_counted():
    oof = models_oof().filter((pl.col("model") != "m1") | (pl.col("symbol") != "S004"))
    result = ensemble(oof, target="direction", ensembling=PLAIN, seed=0)
    assert "S004" not in result.oof["symbol"]
    assert "320 rows that not every model scored" in result.explanation


def test_one_symbol_is_ranked_among_its_own_past():
    result = ensemble(models_oof(n_symbols=1), target="direction", ensembling=PLAIN, seed=0)
    assert "own earlier scores" in result.explanation
    assert result.oof.filter(pl.col("model") == "rank_mean")["score"].n_unique() > 100


def test_past_ranks_equal_a_slow_loop():
    rng = np.random.default_rng(0)
    session = np.sort(rng.integers(0, 30, 60))
    score = rng.integers(0, 10, 60).astype(float)
    expected = []
    for now, value in zip(session, score, strict=True):
        past = score[session < now]
        expected.append(0.5 if not len(past) else ((past < value) + 0.5 * (past == value)).mean())
    np.testing.assert_allclose(past_ranks(pl.Series(session), score), expected, atol=1e-12)


def test_within_session_ranks_average_ties():
    got = within_session_ranks(pl.Series([1, 1, 1, 2]), np.array([0.3, 0.3, 0.1, 0.9]))
    np.testing.assert_allclose(got, [2 / 3, 2 / 3, 1 / 6, 0.5])


def test_calibration_keeps_the_order_within_folds_and_improves_the_log_loss_of_an_overconfident_score():
    oof = models_oof((0.15,), n_symbols=20).with_columns(score=((pl.col("score") - 0.5) * 8 + 0.5).clip(0.01, 0.99))
    shared = {"purge": 1, "challengers": ("mean",), "n_resamples": 100}
    raw = ensemble(oof, target="direction", ensembling=EnsemblingParameters(rank_slope=1.0, **shared), seed=0)
    calibrated = ensemble(
        oof, target="direction", ensembling=EnsemblingParameters(rank_slope=1.0, calibrate=True, **shared), seed=0
    )
    frames = [one.oof.filter(pl.col("model") == "ensemble") for one in (raw, calibrated)]
    assert "calibrated on past folds; fold 0" in calibrated.explanation
    losses = []
    for frame in frames:
        late = frame.filter(pl.col("fold") > 0)
        p, y = late["score"].to_numpy(), late["label"].to_numpy()
        losses.append(-np.mean(y * np.log(p) + (1 - y) * np.log(1 - p)))
    assert losses[1] < losses[0] - 0.01
    for fold in range(4):
        pair = [frame.filter(pl.col("fold") == fold) for frame in frames]
        values = [auc(one["score"].to_numpy(), one["label"].to_numpy().astype(bool)) for one in pair]
        assert values[1] == pytest.approx(values[0], abs=1e-12)


def test_calibration_never_turns_the_order_round():
    oof = models_oof((0.3,), n_symbols=20).with_columns(score=1 - pl.col("score"))
    parameters = EnsemblingParameters(purge=1, challengers=("mean",), calibrate=True, n_resamples=100)
    result = ensemble(oof, target="direction", ensembling=parameters, seed=0)
    raw = result.oof.filter(pl.col("model") == result.choice)["score"].to_numpy()
    calibrated = result.oof.filter(pl.col("model") == "ensemble")
    for fold in range(4):
        here = (calibrated["fold"] == fold).to_numpy()
        assert (rankdata(calibrated["score"].to_numpy()[here]) == rankdata(raw[here])).all()


def test_a_challenger_that_is_only_luckily_better_is_not_chosen_and_challengers_share_the_confidence():
    oof = models_oof((0.0, 0.0, 0.0), seed=3)
    gains = {}
    for challengers in (("stack_logistic",), ("stack_logistic", "past_weighted", "mean", "stack_xgboost")):
        parameters = EnsemblingParameters(purge=1, challengers=challengers, n_resamples=200)
        result = ensemble(oof, target="direction", ensembling=parameters, seed=0)
        assert result.choice == "rank_mean"
        gains[len(challengers)] = result.comparisons
    assert max(gain.delta for gain in gains[4].values()) > 0
    alone, shared = gains[1]["stack_logistic"], gains[4]["stack_logistic"]
    ratio = (shared.hi - shared.lo) / (alone.hi - alone.lo)
    freedom = alone.n_sessions // alone.block - 1
    assert ratio == pytest.approx(student.ppf(1 - 0.05 / 8, freedom) / student.ppf(0.975, freedom), rel=1e-6)


def test_context_is_known_at_the_decision():
    oof = models_oof(n_sessions=120)
    inputs = gather(oof, target="direction", excluded=())
    cut = inputs.rows["session"].unique().sort()[80]
    later = pl.col("session") >= cut
    changed = oof.with_columns(
        label=pl.when(later).then(1 - pl.col("label")).otherwise("label"),
        score=pl.when(pl.col("session") > cut).then(1 - pl.col("score")).otherwise("score"),
    )
    before = (inputs.rows["session"] <= cut).to_numpy()
    frames = [context_columns(gather(one, target="direction", excluded=()), purge=1) for one in (oof, changed)]
    assert frames[0].filter(before).equals(frames[1].filter(before))
    assert not frames[0].filter(~before).equals(frames[1].filter(~before))
    assert sum(frames[0].null_count().row(0)) == 0


def test_symbol_hit_rate_equals_a_slow_loop():
    purge = 2
    inputs = gather(models_oof(n_sessions=60, n_symbols=5), target="direction", excluded=())
    frame = context_columns(inputs, purge=purge)
    position = inputs.rows["session"].rank("dense").to_numpy().astype(int)
    hit = (inputs.ranks.mean(axis=1) > 0.5) == (inputs.label == 1)
    symbol = inputs.rows["symbol"].to_numpy()
    for row in range(0, inputs.rows.height, 7):
        known = position <= position[row] - purge - 1
        own = hit[known & (symbol == symbol[row])]
        assert frame["symbol_hit_rate"][row] == pytest.approx((own.sum() + 25) / (len(own) + 50))
        recent = known & (position > position[row] - purge - 1 - 20)
        expected = hit[recent].mean() if recent.any() else 0.5
        assert frame["session_hit_rate"][row] == pytest.approx(expected)


@pytest.mark.parametrize(
    ("change", "error", "match"),
    [
        (lambda f: f.drop("fold"), FrameError, "fold"),
        (lambda f: f.with_columns(model=pl.lit("momentum")), EvaluationError, "no base model"),
        (lambda f: pl.concat([f, f.head(3)]), EvaluationError, "more than once"),
        (lambda f: f.with_columns(score=pl.lit(float("inf"))), EvaluationError, "not finite"),
        (lambda f: f.with_columns(target=pl.lit("relative")), EvaluationError, "unknown target"),
        (
            lambda f: f.filter((pl.col("model") == "m0") == (pl.col("symbol") == "S000")),
            EvaluationError,
            "scored by every base model",
        ),
    ],
)
def test_what_cannot_be_combined_is_refused(change, error, match):
    with pytest.raises(error, match=match):
        ensemble(change(models_oof(n_sessions=60)), target="direction", ensembling=PLAIN, seed=0)


def test_parameters_have_no_default_for_the_purge_and_are_closed():
    with pytest.raises(ValueError, match="purge"):
        EnsemblingParameters()
    with pytest.raises(ValueError, match="Extra inputs"):
        EnsemblingParameters(purge=1, models=["a"])
    with pytest.raises(ValueError, match="challengers"):
        EnsemblingParameters(purge=1, challengers=("rank_mean",))
    with pytest.raises(ValueError, match="challengers"):
        EnsemblingParameters(purge=1, challengers=("mean", "mean"))


def permute_sessions(oof, seed):
    """Give every session the labels of another one, symbol by symbol: no score knows anything any more."""
    sessions = oof["session"].unique().sort()
    moved = sessions.sample(fraction=1.0, shuffle=True, seed=seed)
    exchange = pl.DataFrame({"session": sessions, "from": moved})
    labels = oof.filter(pl.col("model") == "m0").select("symbol", pl.col("session").alias("from"), "label")
    return (
        oof.drop("label")
        .join(exchange, on="session")
        .join(labels, on=["symbol", "from"])
        .drop("from")
        .select(oof.columns)
    )


@pytest.mark.slow
def test_on_permuted_labels_something_else_is_chosen_in_at_most_one_case_of_twenty():
    oof = models_oof((0.0, 0.1, 0.3), n_symbols=15, n_sessions=300)
    parameters = EnsemblingParameters(purge=1, challengers=("past_weighted", "stack_logistic"), n_resamples=300)
    assert ensemble(oof, target="direction", ensembling=parameters, seed=0).choice != "rank_mean"
    chosen = [
        ensemble(permute_sessions(oof, seed), target="direction", ensembling=parameters, seed=seed).choice
        for seed in range(200)
    ]
    assert sum(name != "rank_mean" for name in chosen) <= 10
