"""Which features are built, what is left out and why, and how wrong requests are refused."""

from __future__ import annotations

import pickle
from pathlib import Path

import polars as pl
import pytest
from pydantic import ValidationError

import conviction.features as room
from conviction.errors import FeatureError, FrameError, ParameterError
from conviction.features import (
    FAMILIES,
    FEATURE_SETS,
    FeatureParameters,
    _kernels,
    build_features,
    definitions,
    describe,
)
from conviction.observer import SilentObserver


def test_quick_set_on_closes_alone_says_what_it_leaves_out(embedded_bars):
    build = build_features(embedded_bars, features=FeatureParameters())
    assert build.omitted["mfi_14"] == "needs high, low, volume, which the panel does not have"
    assert build.omitted["beta_60"] == "needs market_close, which the panel does not have"
    assert set(build.matrix.columns[2:]) | set(build.omitted) == set(FEATURE_SETS["quick"])
    assert not set(build.matrix.columns) & set(build.omitted)
    assert build.matrix.select("symbol", "session").equals(embedded_bars.select("symbol", "session"))


def test_quick_set_has_about_forty_features_on_closes_and_market(full_panel):
    lean = full_panel.select("symbol", "session", "close", "market_close")
    assert 38 <= len(build_features(lean, features=FeatureParameters()).features) <= 50


def test_names_are_unique_and_declarations_complete():
    for name, definition in definitions(FeatureParameters()).items():
        feature = definition.feature
        assert feature.name == name
        assert feature.inputs
        assert feature.availability in {"close of t", "decision of t", "before t"}
        assert feature.description
        assert feature.family in FAMILIES


def test_every_set_lists_known_features_once():
    known = definitions(FeatureParameters())
    for name, members in FEATURE_SETS.items():
        assert len(set(members)) == len(members), name
        assert set(members) <= set(known), name


def test_changed_windows_change_names_and_the_set_says_so(full_panel):
    parameters = FeatureParameters.model_validate({"volatility": {"windows": [7, 20, 60]}})
    build = build_features(full_panel, features=parameters)
    assert "the set 'quick' lists it" in build.omitted["vol_5"]
    assert "vol_7" in {*definitions(parameters)}


def test_two_features_of_one_name_are_refused():
    parameters = FeatureParameters.model_validate({"returns": {"lags": [2], "lagged": [1], "single_day_lags": []}})
    assert "ret_1d_lag2" in definitions(parameters)
    clash = FeatureParameters.model_validate({"volatility": {"ratios": [[5, 20], [5, 20]]}})
    with pytest.raises(FeatureError, match="two features are called 'vol_ratio_5_20'"):
        definitions(clash)


def test_unknown_names_get_a_hint(full_panel):
    with pytest.raises(FeatureError, match="did you mean 'rsi_14'"):
        build_features(full_panel, features=FeatureParameters(names=("rsi14",)))
    with pytest.raises(FeatureError, match="unknown feature set: got 'quik'"):
        build_features(full_panel, features=FeatureParameters(sets=("quik",)))
    with pytest.raises(FeatureError, match="unknown feature: got 'ret_3d'; allowed: one of 51"):
        build_features(full_panel, features=FeatureParameters(), only=["ret_3d"])


def test_empty_selection_and_impossible_selection_are_refused(full_panel):
    with pytest.raises(FeatureError, match="no feature is selected"):
        build_features(full_panel, features=FeatureParameters(sets=()))
    with pytest.raises(FeatureError, match="no selected feature can be computed"):
        build_features(
            full_panel.select("symbol", "session", "close"), features=FeatureParameters(sets=(), names=("mfi_14",))
        )


def test_bad_frames_and_numbers_are_refused(full_panel):
    with pytest.raises(FrameError, match="not sorted"):
        build_features(full_panel.reverse(), features=FeatureParameters())
    with pytest.raises(ParameterError, match="n_jobs: got 0"):
        build_features(full_panel, features=FeatureParameters(), n_jobs=0)


@pytest.mark.parametrize(
    "bad",
    [
        {"returns": {"windows": [0]}},
        {"returns": {"windows": [5, 5]}},
        {"volatility": {"windows": [1]}},
        {"momentum": {"skip": 0}},
        {"momentum": {"windows": [60], "skip": 60}},
        {"no_such_family": {}},
        {"returns": {"window": [1]}},
    ],
)
def test_parameters_outside_their_bounds_are_refused(bad):
    with pytest.raises(ValidationError):
        FeatureParameters.model_validate(bad)


def test_exclude_takes_features_out():
    parameters = FeatureParameters(exclude=("ret_1d",))
    assert pickle.loads(pickle.dumps(parameters)) == parameters
    with pytest.raises(FeatureError, match="unknown feature"):
        build_features_of_exclude("no_such")


def build_features_of_exclude(name):
    from conviction.features._sets import select

    chosen, _ = select(FeatureParameters(exclude=(name,)))
    return chosen


def test_excluded_feature_is_neither_built_nor_omitted():
    assert "ret_1d" not in {d.feature.name for d in build_features_of_exclude("ret_1d")}


def test_public_names_are_there():
    assert len(set(room.__all__)) == len(room.__all__)
    assert all(hasattr(room, name) for name in room.__all__)


def test_the_page_of_features_is_up_to_date():
    page = Path(__file__).resolve().parents[3] / "docs" / "features.md"
    assert page.read_text(encoding="utf-8") == describe(), (
        "run: python -c \"import conviction.features as f; open('docs/features.md', 'w').write(f.describe())\""
    )


def test_sets_have_the_published_sizes():
    sizes = {name: len(members) for name, members in FEATURE_SETS.items()}
    assert sizes["combined"] == 37
    assert sizes["processed"] == 63
    assert sizes["enhanced"] == 128
    assert sizes["alpha158"] == 158
    assert set(FEATURE_SETS["processed"]) < set(FEATURE_SETS["enhanced"])
    assert {"ret_1d_lag1", "ret_3d_lag1", "ret_5d_lag1", "rel_qqq_1d"} <= set(FEATURE_SETS["combined"])


class Listener(SilentObserver):
    def __init__(self):
        self.heard = []

    def start(self, task, total):
        self.heard.append((task, total))

    def advance(self, task, steps=1, note=""):
        self.heard.append((task, "advance"))


def test_the_first_compilation_is_announced_and_later_ones_are_not(full_panel, monkeypatch):
    parameters = FeatureParameters(sets=(), names=("MA5", "ret_1d"))
    build_features(full_panel, features=parameters)
    quiet, told = Listener(), Listener()
    build_features(full_panel, features=parameters, observer=quiet)
    assert not [task for task, _ in quiet.heard if "compiling" in task]
    assert ("features", "advance") in quiet.heard
    monkeypatch.setattr(_kernels, "compiled_before", lambda kernel: False)
    build_features(full_panel, features=parameters, observer=told)
    task = next(task for task, _ in told.heard if task.startswith("compiling 13 kernels, once for this machine"))
    assert (task, "advance") in told.heard
    assert all(kernel.signatures for kernel in _kernels.KERNELS), "a kernel was left uncompiled"
    without = Listener()
    build_features(full_panel, features=FeatureParameters(sets=(), names=("ret_1d",)), observer=without)
    assert not [task for task, _ in without.heard if "compiling" in task]


def test_what_overflows_float32_is_null(full_panel):
    huge = full_panel.with_columns(pl.lit(1e300).alias("vix_close"))
    build = build_features(huge, features=FeatureParameters(sets=(), names=("vix_level",)))
    assert build.matrix["vix_level"].null_count() == huge.height
