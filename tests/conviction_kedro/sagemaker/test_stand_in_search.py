"""The stand-in draws what a request allows, all of a grid, and ends what the request wants ended."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from conviction.models import MODELS
from conviction_kedro.sagemaker import IMAGES, parameter_ranges
from conviction_kedro.sagemaker._stand_in_search import Draw, Ending


@given(
    model=st.sampled_from(sorted(IMAGES)),
    strategy=st.sampled_from(["Random", "Bayesian", "Hyperband"]),
    seed=st.integers(0, 2**31 - 1),
)
@settings(max_examples=40, deadline=None)
def test_every_draw_lies_in_the_space_of_the_registry(model, strategy, seed):
    """The oracle is the registry's own space: what went out as text comes back as a value of its dimension."""
    space = MODELS[model].search_space
    draw = Draw(strategy, parameter_ranges(space), seed=seed)
    for _ in range(3):
        drawn, handle = draw.next()
        assert set(drawn) == {dimension.name for dimension in space}
        for dimension in space:
            value = drawn[dimension.name]
            assert isinstance(value, str)
            number = int(value) if dimension.kind == "int" else float(value)
            assert dimension.low <= number <= dimension.high
        MODELS[model].parse(
            {name: float(value) if "." in value or "e" in value else int(value) for name, value in drawn.items()}
        )
        draw.tell(handle, 0.5)


def test_a_grid_has_every_combination_once():
    space = MODELS["random_forest"].search_space
    ranges = parameter_ranges(space, grid_points=2)
    draw = Draw("Grid", ranges, seed=0)
    seen = [tuple(draw.next()[0].items()) for _ in range(2**4)]
    wanted = itertools.product(*(one["Values"] for one in ranges["CategoricalParameterRanges"]))
    assert sorted(tuple(value for _, value in one) for one in seen) == sorted(wanted)
    ends = {one["Name"]: one["Values"] for one in ranges["CategoricalParameterRanges"]}
    assert ends["max_depth"] == ["2", "12"]
    assert ends["min_samples_leaf"] == ["20", "1000"]


def test_the_same_seed_draws_the_same():
    ranges = parameter_ranges(MODELS["xgboost"].search_space)
    one, other, another = (Draw("Random", ranges, seed=seed).next()[0] for seed in (1, 1, 2))
    assert one == other != another


def test_early_stopping_ends_what_is_worse_than_the_median_of_finished_trials():
    ending = Ending({"Strategy": "Bayesian", "TrainingJobEarlyStoppingType": "Auto"})
    for level in (0.50, 0.52, 0.54):
        assert not ending.should_end([0.4]), "nobody is judged before three have finished"
        ending.finished([level, level])
    assert ending.should_end([0.51])
    assert not ending.should_end([0.53])
    assert not ending.should_end([0.40, 0.41, 0.42]), "there is nothing to compare the third round with"
    off = Ending({"Strategy": "Bayesian", "TrainingJobEarlyStoppingType": "Off"})
    for _ in range(5):
        off.finished([0.9])
    assert not off.should_end([0.1])


@pytest.mark.parametrize(("value", "ended"), [(0.50, True), (0.60, False)])
def test_hyperband_keeps_the_best_third_at_a_rung(value, ended):
    config = {
        "Strategy": "Hyperband",
        "StrategyConfig": {"HyperbandStrategyConfig": {"MinResource": 2, "MaxResource": 9}},
    }
    ending = Ending(config)
    for level in (0.55, 0.54, 0.53):
        ending.should_end([level, level])
    assert not ending.should_end([value]), "round 1 is no rung"
    assert ending.should_end([value, value]) == ended
