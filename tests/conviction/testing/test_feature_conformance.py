"""The feature suite passes our whole library and names each planted fault; honest twins pass."""

from __future__ import annotations

import polars as pl
import pytest

from conviction.features import FAMILIES, Feature, FeatureBuild, FeatureParameters, build_features, definitions
from conviction.testing import FEATURE_CHECKS, check_features, synthetic_market


@pytest.fixture(scope="module")
def bars():
    market = synthetic_market(n_symbols=4, n_sessions=330, seed=3)
    index = market.market.rename({"close": "market_close"})
    vix = market.vix.rename({"close": "vix_close"})
    return (
        market.bars.join(index, on="session", how="left").join(vix, on="session", how="left").sort("symbol", "session")
    )


def test_our_library_conforms(bars):
    names = tuple(n for n, d in definitions(FeatureParameters()).items() if set(d.feature.inputs) <= {*bars.columns})
    assert len(names) > 300
    parameters = FeatureParameters(sets=(), names=names)
    assert check_features(lambda panel: build_features(panel, features=parameters), bars) == {}


def builder(expression: pl.Expr, lookback: int | None = 5):
    feature = Feature("mine", "mine", ("close",), lookback, "close of t", "a feature of one's own")

    def build(panel: pl.DataFrame) -> FeatureBuild:
        return FeatureBuild(panel.select("symbol", "session", expression.cast(pl.Float32).alias("mine")), (feature,))

    return build


CLOSE = pl.col("close")
FAULTS = {
    "next_close": ((CLOSE.shift(-1) / CLOSE).over("symbol"), "past_only"),
    "centred_mean": (CLOSE.rolling_mean(5, center=True).over("symbol"), "past_only"),
    "scaled_by_everything": (((CLOSE - CLOSE.mean()) / CLOSE.std()).over("symbol"), "past_only"),
    "filled_from_the_future": ((CLOSE / CLOSE.shift(5)).backward_fill().over("symbol"), "warm_up"),
    "over_the_border": (CLOSE / CLOSE.shift(1) - 1.0, "own_symbol"),
    "other_symbols": (CLOSE - CLOSE.mean().over("session"), "own_symbol"),
    "too_early": (CLOSE.rolling_mean(6, min_samples=1).over("symbol"), "warm_up"),
    "too_deep": ((CLOSE / CLOSE.shift(9)).over("symbol"), "lookback"),
    "nan": (pl.when(CLOSE.rank() > 3).then(CLOSE).otherwise(float("nan")), "shape"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_each_planted_fault_is_named(bars, fault):
    expression, check = FAULTS[fault]
    found = check_features(builder(expression), bars, cross_sectional=())
    assert check in found
    if check != "shape":
        assert "mine" in found[check]


TWINS = {
    "momentum": (CLOSE / CLOSE.shift(5)).over("symbol"),
    "ratio_to_mean": (CLOSE / sum(CLOSE.shift(k) for k in range(6))).over("symbol"),
}


@pytest.mark.parametrize("twin", TWINS)
def test_honest_twins_pass(bars, twin):
    assert check_features(builder(TWINS[twin]), bars, cross_sectional=()) == {}


def test_a_cross_section_passes_when_it_says_so(bars):
    build = builder((CLOSE - CLOSE.mean().over("session")), lookback=0)
    assert "own_symbol" in check_features(build, bars, cross_sectional=())
    assert "own_symbol" not in check_features(build, bars, cross_sectional=["mine"])


def test_lost_rows_and_unsteady_builds_are_named(bars):
    honest = builder(TWINS["momentum"])
    calls = []

    def unsteady(panel):
        calls.append(1)
        made = honest(panel)
        return FeatureBuild(made.matrix.with_columns(pl.col("mine") + len(calls) * 0.5), made.features)

    def lossy(panel):
        made = honest(panel)
        return FeatureBuild(made.matrix.head(-1), made.features)

    assert "same_again" in check_features(unsteady, bars, cross_sectional=(), checks=("same_again",))
    assert check_features(lossy, bars, cross_sectional=(), checks=("shape",)) == {
        "shape": "the rows are not the panel's"
    }


def test_the_suite_knows_every_check_and_family_scope():
    assert set(FEATURE_CHECKS) == {c for _, c in FAULTS.values()} | {"input_unchanged", "same_again"}
    assert {family.scope for family in FAMILIES.values()} == {"symbol", "session"}
