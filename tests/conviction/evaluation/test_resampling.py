"""Block resamples, Newey-West means and bootstrap estimates against arch, statsmodels and theory."""

from __future__ import annotations

import numpy as np
import pytest
import statsmodels.api as sm
from arch.bootstrap import CircularBlockBootstrap
from scipy.stats import t as student

from conviction.evaluation import newey_west_lags, newey_west_mean
from conviction.evaluation._resampling import block_counts, block_length, bootstrap_estimate


def autoregressive(n, rho, seed):
    noise = np.random.default_rng(seed).normal(size=n)
    series = np.empty(n)
    series[0] = noise[0]
    for i in range(1, n):
        series[i] = rho * series[i - 1] + noise[i]
    return series


@pytest.mark.parametrize("n", [60, 250, 1000])
def test_newey_west_equals_statsmodels(n):
    series = autoregressive(n, 0.4, seed=n)
    fit = sm.OLS(series, np.ones(n)).fit(
        cov_type="HAC", cov_kwds={"maxlags": newey_west_lags(n), "use_correction": True}, use_t=True
    )
    estimate = newey_west_mean(series, null=0.0, confidence=0.9)
    assert estimate.se == pytest.approx(fit.bse[0], rel=1e-10)
    assert estimate.t == pytest.approx(fit.tvalues[0], rel=1e-10)
    # statsmodels counts n - 1 pieces; n / (L + 1) - 1 are independent.
    freedom = n / (newey_west_lags(n) + 1) - 1
    assert estimate.p == pytest.approx(2 * student.sf(abs(fit.tvalues[0]), freedom), rel=1e-8)
    half = student.ppf(0.95, freedom) * fit.bse[0]
    assert (estimate.lo, estimate.hi) == (pytest.approx(series.mean() - half), pytest.approx(series.mean() + half))
    lo, hi = fit.conf_int(alpha=0.1)[0]
    assert estimate.lo < lo < hi < estimate.hi


@pytest.mark.parametrize(("n", "lags"), [(100, 4), (250, 4), (560, 5), (2500, 8)])
def test_newey_west_lags_follow_the_rule(n, lags):
    assert newey_west_lags(n) == lags


def test_newey_west_mean_of_a_constant_has_no_test():
    estimate = newey_west_mean(np.full(50, 0.5), null=0.5, confidence=0.95)
    assert estimate.mean == 0.5
    assert np.isnan(estimate.t)
    assert np.isnan(estimate.p)


def test_block_counts_are_circular_blocks_of_the_asked_length():
    counts = block_counts(12, block=4, n_resamples=500, rng=np.random.default_rng(0))
    assert (counts.sum(axis=1) == 12).all()
    assert counts.mean(axis=0) == pytest.approx(np.ones(12), abs=0.15)
    one_block = block_counts(12, block=12, n_resamples=20, rng=np.random.default_rng(1))
    assert (one_block == 1).all()
    # With T a multiple of b, a session that is drawn lies in a run of at least b drawn sessions, around the circle.
    for row in counts > 0:
        runs = "".join("1" if drawn else "0" for drawn in np.concatenate([row, row]))
        assert all(len(run) >= 4 for run in runs.strip("1").split("0") if run)


def test_bootstrap_of_a_mean_has_the_standard_error_that_arch_gives():
    series = autoregressive(400, 0.5, seed=3)
    counts = block_counts(400, block=10, n_resamples=4000, rng=np.random.default_rng(0))
    ours = (counts @ series / 400).std()
    theirs = CircularBlockBootstrap(10, series, seed=np.random.default_rng(1)).apply(np.mean, 4000).std()
    assert ours == pytest.approx(theirs, rel=0.05)
    assert ours > 1.3 * series.std() / np.sqrt(400)  # rows as if independent would be too sure


def test_block_length_grows_with_memory_and_respects_its_bounds():
    short = block_length(autoregressive(1000, 0.0, seed=1), minimum=1)
    long = block_length(autoregressive(1000, 0.9, seed=1), minimum=1)
    assert 1 <= short < 8 < long <= 200
    assert block_length(autoregressive(1000, 0.0, seed=1), minimum=7) == 7
    assert block_length(np.zeros(30), minimum=9) == 6
    assert block_length(np.arange(8.0), minimum=5) == 1


def test_bootstrap_estimate_agrees_with_its_own_interval():
    resampled = np.random.default_rng(0).normal(0.52, 0.01, 20_000)
    estimate = bootstrap_estimate(0.52, resampled, null=0.5, confidence=0.95, block=5, n_sessions=500)
    assert estimate.se == pytest.approx(0.01 * np.sqrt(500 / 495), rel=0.02)
    assert estimate.hi - estimate.lo == pytest.approx(2 * student.ppf(0.975, 99) * estimate.se)
    long_blocks = bootstrap_estimate(0.52, resampled, null=0.5, confidence=0.95, block=100, n_sessions=500)
    assert long_blocks.se / np.std(resampled, ddof=1) == pytest.approx(np.sqrt(500 / 400), rel=1e-12)
    at_edge = bootstrap_estimate(
        0.5 + 0.52 - estimate.lo, resampled, null=0.5, confidence=0.95, block=5, n_sessions=500
    )
    assert at_edge.p == pytest.approx(0.05, rel=1e-6)


def test_bootstrap_estimate_of_what_does_not_vary_has_no_test():
    estimate = bootstrap_estimate(0.5, np.full(100, 0.5), null=0.5, confidence=0.95, block=5, n_sessions=500)
    assert (estimate.lo, estimate.hi) == (0.5, 0.5)
    assert np.isnan(estimate.p)
