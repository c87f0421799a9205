"""What a function remembers is found, reset and given back; what its caller counts with is left alone."""

from __future__ import annotations

import functools
import random

import numpy as np

from conviction.audit._code_state import RandomGuard, StateGuard

SHARED: dict[str, float] = {}
_MEAN = None


def fills_a_global(value):
    SHARED["mean"] = value
    return SHARED["mean"]


def binds_a_global(value):
    global _MEAN  # noqa: PLW0603
    if _MEAN is None:
        _MEAN = value
    return _MEAN


def test_a_global_collection_is_reset_before_each_call():
    SHARED.clear()
    guard = StateGuard(fills_a_global)
    fills_a_global(3.0)
    guard.reset()
    assert SHARED == {}
    assert guard.changed == {"SHARED"}


def test_a_bound_name_is_reset_and_given_back():
    global _MEAN  # noqa: PLW0603
    _MEAN = 5.0
    guard = StateGuard(binds_a_global)
    guard.forget(lambda: binds_a_global(1.0) is not None)
    guard.reset()
    assert binds_a_global(2.0) == 2.0
    guard.restore()
    assert _MEAN == 5.0
    _MEAN = None


def test_constants_that_the_function_needs_are_put_back():
    scale = {"by": 2.0}
    seen = {}

    def function(value):
        seen["last"] = value
        return value * scale["by"]

    def attempt():
        try:
            function(1.0)
        except KeyError:
            return False
        return True

    guard = StateGuard(function)
    guard.forget(attempt)
    guard.reset()
    assert scale == {"by": 2.0}
    assert seen == {}
    assert function(3.0) == 6.0


def test_defaults_partials_methods_and_helpers_are_reached():
    def with_default(value, memory={}):  # noqa: B006
        memory["x"] = value

    class Model:
        def __init__(self):
            self.fitted = {}

        def features(self, value):
            self.fitted["x"] = value

    def helper(value):
        return fills_a_global(value)

    model = Model()
    SHARED.clear()
    for function, memory in (
        (with_default, with_default.__defaults__[0]),
        (functools.partial(with_default, 1), with_default.__defaults__[0]),
        (model.features, model.fitted),
        (helper, SHARED),
    ):
        guard = StateGuard(function)
        memory["x"] = 1.0
        guard.reset()
        assert memory == {}


def test_caches_are_cleared():
    calls = []

    @functools.lru_cache
    def cached(value):
        calls.append(value)
        return value

    def function(value):
        return cached(value)

    guard = StateGuard(function)
    function(1)
    guard.reset()
    function(1)
    assert calls == [1, 1]


def test_large_data_of_a_function_is_named():
    table = np.zeros(500)
    small = np.zeros(5)

    def function(value):
        return value + table.sum() + small.sum()

    assert StateGuard(function).captured == ["table"]


def test_random_guard_seeds_each_call_differently_and_gives_the_state_back():
    np.random.seed(9)  # noqa: NPY002
    random.seed(9)
    expected = np.random.random(), random.random()  # noqa: NPY002
    np.random.seed(9)  # noqa: NPY002
    random.seed(9)
    draws = []
    for _ in range(2):
        guard = RandomGuard()
        guard.next()
        first = np.random.random()  # noqa: NPY002
        guard.next()
        draws.append((first, np.random.random()))  # noqa: NPY002
        guard.restore()
    assert draws[0] == draws[1]
    assert draws[0][0] != draws[0][1]
    assert (np.random.random(), random.random()) == expected  # noqa: NPY002
