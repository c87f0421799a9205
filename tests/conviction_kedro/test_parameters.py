"""Typed parameters: the shipped files are valid, a wrong key anywhere is named before anything runs."""

from __future__ import annotations

import copy

import pytest
import yaml

from conviction.errors import ParameterError
from conviction_kedro.parameters import flatten, validate_parameters


@pytest.fixture
def raw(project_dir):
    merged = {}
    for file in sorted((project_dir / "conf" / "base").glob("parameters*.yml")):
        part = yaml.safe_load(file.read_text())
        assert not set(part) & set(merged), f"{file.name} repeats a key"
        merged.update(part)
    return merged


def test_the_shipped_parameters_are_valid(raw):
    parameters = validate_parameters(raw)
    assert parameters.universes.symbols(parameters.universe) is None
    assert len(parameters.universes.symbols("core46")) == 46


@pytest.mark.parametrize(
    ("path", "value", "words"),
    [
        (("surprise",), 1, "surprise: Extra inputs are not permitted"),
        (("data", "horizont"), 1, "data.horizont: Extra inputs"),
        (("data", "horizon"), 0, "data.horizon"),
        (("folds", "purge"), None, "folds.purge"),
        (("modeling", "tuning", "n_trial"), 3, "modeling.tuning.n_trial"),
        (("universe",), "core64", "did you mean 'core46'"),
    ],
)
def test_a_wrong_key_is_named(raw, path, value, words):
    wrong = copy.deepcopy(raw)
    home = wrong
    for step in path[:-1]:
        home = home[step]
    home[path[-1]] = value
    with pytest.raises(ParameterError, match=words.replace("[", r"\[")):
        validate_parameters(wrong)


@pytest.mark.parametrize("key", ["purge", "embargo"])
def test_what_honesty_depends_on_has_no_default(raw, key):
    del raw["folds"][key]
    with pytest.raises(ParameterError, match=rf"folds.{key}: Field required"):
        validate_parameters(raw)


def test_all_wrong_keys_are_named_at_once(raw):
    raw["one"], raw["two"] = 1, 2
    with pytest.raises(ParameterError, match=r"2 parameter\(s\) are wrong.*one.*two"):
        validate_parameters(raw)


def test_flatten_reaches_every_leaf(raw):
    flat = flatten(validate_parameters(raw))
    assert flat["data.horizon"] == "1"
    assert flat["modeling.models"] == "logistic,lightgbm,xgboost"
    assert not any("{" in value for value in flat.values())
