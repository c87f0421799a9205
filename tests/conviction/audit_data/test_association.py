"""Statistics of the association checks against slow loops and known answers."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from conviction.audit.data._association import is_shared, newey_west, pooled_ranks, standard, xi


def slow_xi(x: np.ndarray, y: np.ndarray) -> float:
    y = y[np.argsort(x, kind="stable")]
    n = len(y)
    r = np.array([(y <= v).sum() for v in y])
    at_least = np.array([(y >= v).sum() for v in y])
    return 1 - n * np.abs(np.diff(r)).sum() / (2 * (at_least * (n - at_least)).sum())


@pytest.mark.parametrize("levels", [None, 5])
def test_xi_equals_the_slow_formula(levels):
    rng = np.random.default_rng(1)
    x = rng.standard_normal(300)
    y = np.sin(9 * x) + 0.3 * rng.standard_normal(300)
    if levels:
        y = np.round(y * levels) / levels
    assert xi(np.argsort(x, kind="stable"), y) == pytest.approx(slow_xi(x, y), abs=1e-12)


def test_xi_tells_a_bent_function_from_noise():
    rng = np.random.default_rng(2)
    x = rng.standard_normal(5000)
    order = np.argsort(x)
    assert xi(order, np.sin(20 * x)) > 0.6
    assert abs(xi(order, rng.standard_normal(5000))) < 0.05


def test_newey_west_error_grows_with_overlap():
    rng = np.random.default_rng(3)
    shocks = rng.standard_normal(2010)
    overlapping = np.convolve(shocks, np.ones(10), mode="valid")[:2000]
    naive = overlapping.std() / np.sqrt(2000)
    _, honest, n = newey_west(overlapping, 10)
    truth = np.sqrt(100 * 1.0 / 2000)  # the mean of MA(9) sums of unit shocks has standard error 10 / sqrt(T)
    assert n == 2000
    assert naive < 0.4 * truth
    assert honest == pytest.approx(truth, rel=0.35)


@given(st.lists(st.one_of(st.none(), st.integers(-50, 50)), min_size=1, max_size=60))
@settings(deadline=None)
def test_pooled_ranks_equal_scipy_and_keep_gaps(numbers):
    from scipy.stats import rankdata

    values = np.array([[np.nan if v is None else float(v)] for v in numbers])
    ranks = pooled_ranks(values)
    good = np.isfinite(values)
    assert np.array_equal(np.isfinite(ranks), good)
    if good.any():
        expected = (rankdata(values[good]) - 0.5) / good.sum()
        np.testing.assert_allclose(ranks[good], expected)


def test_standard_scores_are_zero_where_nothing_can_be_said():
    values = np.array([[1.0, 1.0, 1.0], [1.0, 2.0, np.nan], [1.0, 2.0, 3.0]])
    scores = standard(values, 1)
    assert np.all(scores[:2] == 0)
    assert scores[2].std() == pytest.approx(1.0)


def test_shared_columns_are_recognised():
    assert is_shared(np.repeat(np.arange(50.0)[:, None], 4, axis=1))
    assert not is_shared(np.random.default_rng(0).standard_normal((50, 4)))
