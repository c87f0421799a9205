"""Tunable parameters change the columns that they declare, and no others; a rebuild is a build."""

from __future__ import annotations

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from conviction.errors import FrameError, ParameterError
from conviction.features import (
    FAMILIES,
    FeatureParameters,
    affected_features,
    build_features,
    rebuild_features,
    tunable_parameters,
    with_tuned,
)
from conviction.features import _build as build_module
from conviction.tuning import feature_search_space

SOURCES = ("wire", "blog")
WANTED = {  # what the old training scripts tuned
    "options.rank_window",
    "options.rank_weight",
    "options.term_window",
    "vix.momentum_window",
    "vix.regime_threshold",
    "events.lag",
    "events.lead",
    "news.threshold",
    "news.lookback",
    "news.source_weights.wire",
    "news.source_weights.blog",
}


@pytest.fixture(scope="module")
def panel(full_panel):
    return full_panel.filter(pl.col("symbol").is_in(["S0", "S1"]))


@pytest.fixture(scope="module")
def chosen(every_feature):
    return every_feature


@pytest.fixture(scope="module")
def families(panel, chosen):
    """The matrix of each family that declares something."""
    built = {}
    for name, family in FAMILIES.items():
        if family.tunables:
            own = FeatureParameters(sets=(), names=tuple(d.feature.name for d in family.define(getattr(chosen, name))))
            built[name] = own, build_features(panel, features=own).matrix
    return built


def names_of(chosen, panel):
    return {one.name for one in tunable_parameters(chosen, columns=panel.columns, sources=SOURCES)}


def test_all_that_the_old_scripts_tuned_is_tunable(chosen, panel):
    assert names_of(chosen, panel) >= WANTED


def bits(matrix):
    return matrix.select(pl.all().exclude(pl.Float32), pl.col(pl.Float32).reinterpret(signed=True))


def test_a_parameter_changes_the_declared_columns_and_no_other(panel, chosen, families):
    for one in tunable_parameters(chosen, columns=panel.columns, sources=SOURCES):
        own, matrix = families[one.family]
        changed = set()
        for value in (one.low, one.high):
            tuned = with_tuned(own, {one.name: value})
            whole = build_features(panel, features=tuned).matrix
            assert whole.columns == matrix.columns, f"{one.name} changes names"
            changed |= {name for name in own.names if not bits(whole)[name].equals(bits(matrix)[name])}
            again = rebuild_features(panel, matrix, before=own, after=tuned)
            assert_frame_equal(bits(again.matrix), bits(whole))
        assert changed == set(one.features), one.name


SELECTION = FeatureParameters(
    sets=(),
    names=(
        "iv_rank",
        "iv_term_slope",
        "vix_momentum",
        "vix_regime",
        "news_volume",
        "news_sentiment_weighted",
        "days_to_event",
        "ret_1d",
    ),
)


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_a_rebuild_is_the_build_whatever_is_drawn(data, panel):
    drawn = {}
    for one in tunable_parameters(SELECTION, columns=panel.columns, sources=SOURCES):
        if data.draw(st.booleans(), label=one.name):
            values = st.integers(int(one.low), int(one.high)) if one.kind == "int" else st.floats(one.low, one.high)
            drawn[one.name] = data.draw(values, label=one.name)
    after = with_tuned(SELECTION, drawn)
    before = build_features(panel, features=SELECTION).matrix
    again = rebuild_features(panel, before, before=SELECTION, after=after)
    whole = build_features(panel, features=after)
    assert_frame_equal(bits(again.matrix), bits(whole.matrix))
    assert again.features == whole.features


def test_a_rebuild_computes_only_what_differs(panel, monkeypatch):
    computed = []
    honest = build_module.fill
    monkeypatch.setattr(
        build_module,
        "fill",
        lambda panel, wanted, *rest, **named: (
            computed.extend(d.feature.name for d in wanted),
            honest(panel, wanted, *rest, **named),
        ),
    )
    before = build_features(panel, features=SELECTION).matrix
    computed.clear()
    after = with_tuned(SELECTION, {"options.rank_window": 60})
    rebuild_features(panel, before, before=SELECTION, after=after)
    assert computed == ["iv_rank"]
    computed.clear()
    more = after.model_copy(update={"names": (*SELECTION.names, "ret_5d")})
    rebuild_features(panel, before, before=SELECTION, after=more)
    assert sorted(computed) == ["iv_rank", "ret_5d"]


def test_an_undeclared_parameter_affects_its_family():
    windows = SELECTION.vix.model_copy(update={"change_windows": (1, 7)})
    after = SELECTION.model_copy(update={"vix": windows})
    assert affected_features(SELECTION, after) == ("vix_momentum", "vix_regime")
    inside = SELECTION.model_copy(update={"within": "session"})
    assert len(affected_features(SELECTION, inside)) == len(SELECTION.names)


def test_parameters_without_effect_are_not_offered(panel):
    assert names_of(SELECTION, panel.drop("iv_60d", "news_source")) == {
        "options.rank_window",
        "options.rank_weight",
        "vix.momentum_window",
        "vix.regime_threshold",
        "events.lead",
        "news.lookback",
    }


@pytest.mark.parametrize(
    ("values", "what"),
    [
        ({"vix.momentum_windw": 3}, "did you mean 'vix.momentum_window'"),
        ({"returns.windows": 3}, "unknown tunable feature parameter"),
        ({"news.source_weights": 3}, "unknown tunable feature parameter"),
        ({"news.source_weights.": 3}, "unknown tunable feature parameter"),
        ({"vix.momentum_window": 1}, "features.vix.momentum_window is out of bounds"),
        ({"news.threshold": "much"}, "features.news.threshold is out of bounds"),
    ],
)
def test_wrong_values_are_refused(values, what):
    with pytest.raises(ParameterError, match=what):
        with_tuned(SELECTION, values)


def test_a_matrix_of_another_panel_is_refused(panel):
    matrix = build_features(panel.head(-1), features=SELECTION).matrix
    with pytest.raises(FrameError, match="other rows than the panel"):
        rebuild_features(panel, matrix, before=SELECTION, after=SELECTION)


def test_the_search_space_has_the_declared_ranges(panel):
    space = feature_search_space(SELECTION, columns=panel.columns, sources=SOURCES)
    declared = tunable_parameters(SELECTION, columns=panel.columns, sources=SOURCES)
    assert [(d.name, d.kind, d.low, d.high, d.log) for d in space] == [
        (t.name, t.kind, t.low, t.high, t.log) for t in declared
    ]
