"""Importances: stability, clusters, permutation with intervals over sessions, shadows."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from scipy.stats import spearmanr
from sklearn.metrics import roc_auc_score

from conviction.errors import EvaluationError, FrameError
from conviction.evaluation import (
    EvaluationParameters,
    cluster_features,
    importance_stability,
    permutation_importance,
    shadow_features,
    shadow_selection,
    simulate_null_oof,
)

FAST = EvaluationParameters(n_resamples=200)


def market(*, n_symbols=20, n_sessions=200, seed=0):
    """Three features: one that knows something, its twin, and one that knows nothing."""
    rng = np.random.default_rng(seed)
    oof = simulate_null_oof(n_symbols=n_symbols, n_sessions=n_sessions, seed=seed)
    signal = oof["forward_return"].to_numpy() * 30 + rng.normal(0, 1, oof.height)
    matrix = oof.select("symbol", "session").with_columns(
        signal=pl.Series(signal),
        twin=pl.Series(signal + rng.normal(0, 0.1, oof.height)),
        noise=pl.Series(rng.normal(size=oof.height)),
    )
    return matrix, oof["label"]


def runs_of(matrix):
    """Return the importances of runs (rows) over features (columns) as a long frame."""
    names = [f"f{i:02d}" for i in range(matrix.shape[1])]
    return pl.DataFrame(
        [(run, name, float(value)) for run, row in enumerate(matrix) for name, value in zip(names, row, strict=True)],
        schema=["run", "feature", "importance"],
        orient="row",
    )


def test_stability_is_the_mean_spearman_of_all_pairs_with_ties():
    matrix = np.random.default_rng(0).integers(0, 6, (4, 9)).astype(float)
    result = importance_stability(runs_of(matrix))
    expected = [spearmanr(matrix[a], matrix[b]).statistic for a in range(4) for b in range(a + 1, 4)]
    np.testing.assert_allclose(result.pairs["rank_correlation"], expected, atol=1e-12)
    assert result.mean == pytest.approx(np.mean(expected))
    assert result.lowest == pytest.approx(min(expected))


def test_stable_importances_differ_from_lucky_ones():
    rng = np.random.default_rng(0)
    stable = importance_stability(runs_of(np.arange(20.0) + rng.normal(0, 0.5, (5, 20))))
    lucky = importance_stability(runs_of(rng.random((5, 20))))
    assert stable.mean > 0.95
    assert abs(lucky.mean) < 0.3
    assert stable.ranks["feature"][0] == "f19"
    assert stable.ranks["rank_highest"][0] == 1.0


def test_a_run_without_any_order_agrees_with_none():
    matrix = np.vstack([np.arange(5.0), np.zeros(5)])
    assert importance_stability(runs_of(matrix)).mean == 0.0


def test_incomplete_importances_are_refused():
    frame = runs_of(np.random.default_rng(0).random((3, 5)))
    for bad in (frame.head(14), frame.filter(pl.col("run") == 0), pl.concat([frame, frame.head(1)])):
        with pytest.raises(EvaluationError, match="stability"):
            importance_stability(bad)
    with pytest.raises(FrameError, match="run"):
        importance_stability(frame.drop("run"))


def test_clusters_join_what_says_the_same_in_either_direction():
    matrix, _ = market()
    more = matrix.with_columns(
        mirror=-pl.col("signal").exp(), gaps=pl.when(pl.int_range(pl.len()) % 9 > 0).then("noise")
    )
    assert cluster_features(more) == {"gaps": ("gaps", "noise"), "mirror": ("mirror", "signal", "twin")}
    assert cluster_features(matrix.select("symbol", "session", "noise")) == {"noise": ("noise",)}
    holes = matrix.select("symbol", "session", "noise", holes=pl.when(pl.int_range(pl.len()) % 10 > 2).then("noise"))
    assert cluster_features(holes) == {"holes": ("holes", "noise")}
    strict = cluster_features(more, threshold=0.9999)
    assert strict["mirror"] == ("mirror", "signal")
    assert strict["twin"] == ("twin",)
    with pytest.raises(EvaluationError, match="clustered"):
        cluster_features(matrix, threshold=1.0)


def test_permutation_shows_a_twin_that_single_features_hide():
    matrix, label = market()
    seen = []

    def predict(frame):
        seen.append(frame)
        return (frame["signal"] + frame["twin"]).to_numpy()

    clusters = {"signal": ("signal", "twin"), "noise": ("noise",)}
    together = permutation_importance(predict, matrix, label, clusters=clusters, evaluation=FAST, seed=0)
    rows = {row["cluster"]: row for row in together.iter_rows(named=True)}
    full = roc_auc_score(label, matrix["signal"] + matrix["twin"])
    assert rows["signal"]["loss"] == pytest.approx(full - 0.5, abs=0.02)
    assert rows["signal"]["lo"] > 0
    assert rows["signal"]["q"] < 0.001
    assert (rows["noise"]["loss"], rows["noise"]["p"]) == (0.0, 1.0)
    alone = permutation_importance(predict, matrix, label, clusters={"signal": ("signal",)}, evaluation=FAST, seed=0)
    assert alone["loss"][0] < 0.8 * rows["signal"]["loss"]
    assert all(frame.columns == matrix.columns for frame in seen)
    shuffled = next(frame for frame in seen if not frame.equals(matrix))
    gap = (shuffled["twin"] - shuffled["signal"]).sort()
    np.testing.assert_allclose(
        gap, (matrix["twin"] - matrix["signal"]).sort(), atol=1e-12
    )  # the cluster moves together


def test_permutation_importance_of_a_useless_feature_holds_zero_about_as_often_as_promised():
    held = 0
    for seed in range(60):
        matrix, label = market(n_symbols=6, n_sessions=80, seed=seed)
        table = permutation_importance(
            lambda frame: frame["noise"].to_numpy(),
            matrix,
            label,
            clusters={"noise": ("noise",)},
            evaluation=FAST,
            seed=seed,
        )
        held += table["lo"][0] <= 0 <= table["hi"][0]
    assert 50 <= held <= 60


def test_impossible_permutation_importance_is_refused():
    matrix, label = market(n_sessions=60)
    shared = {"clusters": {"noise": ("noise",)}, "evaluation": FAST, "seed": 0}

    def predict(frame):
        return frame["noise"].to_numpy()

    for bad in (label.head(5), pl.Series([None] * matrix.height, dtype=pl.Int8), label * 0):
        with pytest.raises(EvaluationError, match="permutation importance"):
            permutation_importance(predict, matrix, bad, **shared)
    with pytest.raises(FrameError, match="volume"):
        permutation_importance(predict, matrix, label, clusters={"v": ("volume",)}, evaluation=FAST, seed=0)


def test_shadows_keep_the_dependence_between_features_and_lose_the_label():
    matrix, label = market()
    shadowed = shadow_features(matrix, seed=1, n_sets=2)
    assert shadowed.select(matrix.columns).equals(matrix)
    assert len(shadowed.columns) == 2 + 3 * 3
    real = np.corrcoef(matrix["signal"], matrix["twin"])[0, 1]
    copied = np.corrcoef(shadowed["shadow__0__signal"], shadowed["shadow__0__twin"])[0, 1]
    assert copied == pytest.approx(real, abs=1e-9)
    assert not shadowed["shadow__0__signal"].equals(shadowed["shadow__1__signal"].alias("shadow__0__signal"))
    assert roc_auc_score(label, matrix["signal"]) > 0.55
    assert abs(roc_auc_score(label, shadowed["shadow__0__signal"]) - 0.5) < 0.03


def test_selection_ranks_within_runs_and_counts_shadows_at_least_as_important():
    names = ["a", "b", *[f"shadow__0__{i}" for i in range(8)]]
    first = [10.0, 5.0, *range(8)]
    second = [2000.0, 300.0, *(100.0 * np.arange(8))]
    frame = pl.DataFrame({"run": [0] * 10 + [1] * 10, "feature": names * 2, "importance": [*first, *second]})
    table = shadow_selection(frame)
    rows = {row["feature"]: row for row in table.iter_rows(named=True)}
    assert rows["a"]["importance"] == pytest.approx(1.0)
    assert rows["a"]["p"] == pytest.approx(1 / 9)
    # b has rank 6.5 of 10 and 4.5 of 10; the shadows 4 to 7 have higher mean ranks.
    assert rows["b"]["importance"] == pytest.approx((6.5 + 4.5) / 20)
    assert rows["b"]["p"] == pytest.approx((1 + 4) / 9)
    assert rows["a"]["q"] == pytest.approx(2 / 9)


def test_selection_finds_true_features_and_few_false_ones():
    rng = np.random.default_rng(0)
    false = 0
    for trial in range(40):
        names = [f"f{i}" for i in range(20)] + [f"shadow__{s}__f{i}" for s in range(4) for i in range(20)]
        values = rng.exponential(size=(4, 100))
        values[:, :3] += 4
        frame = pl.DataFrame(
            [(run, name, float(v)) for run in range(4) for name, v in zip(names, values[run], strict=True)],
            schema=["run", "feature", "importance"],
            orient="row",
        )
        chosen = shadow_selection(frame).filter("selected")["feature"].to_list()
        assert {"f0", "f1", "f2"} <= set(chosen), trial
        false += len(chosen) - 3
    assert false / 40 < 0.8


def test_selection_without_shadows_is_refused():
    frame = pl.DataFrame({"run": [0], "feature": ["a"], "importance": [1.0]})
    with pytest.raises(EvaluationError, match="0 shadows"):
        shadow_selection(frame)
