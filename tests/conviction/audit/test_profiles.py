"""Lead-lag profiles against an obvious loop, and on planted associations."""

from __future__ import annotations

from datetime import date

import numpy as np
import polars as pl
import pytest
from scipy.stats import spearmanr

from conviction.audit._code_values import Grid, differs
from conviction.audit._profiles import lead_lag_profiles, newey_west_error

S, T = 12, 300


@pytest.fixture(scope="module")
def grid() -> Grid:
    days = pl.date_range(date(2020, 1, 1), date(2022, 1, 1), eager=True).head(T)
    return Grid.from_keys(pl.concat([pl.DataFrame({"symbol": [f"S{i:02d}"] * T, "session": days}) for i in range(S)]))


@pytest.fixture(scope="module")
def close() -> np.ndarray:
    moves = 0.02 * np.random.default_rng(0).standard_normal((S, T))
    return np.exp(moves.cumsum(axis=1)).ravel()


def test_values_are_the_mean_of_the_sessions_rank_correlations(grid, close):
    column = np.random.default_rng(1).standard_normal(S * T)
    (profile,) = lead_lag_profiles({"x": column}, close, grid, lags=(-3, 0, 2))
    table, price = column.reshape(S, T), close.reshape(S, T)
    moves = np.full((S, T), np.nan)
    moves[:, 1:] = price[:, 1:] / price[:, :-1] - 1
    for lag, value in zip(profile.lags, profile.values, strict=True):
        daily = [
            spearmanr(table[:, t], moves[:, t + lag]).statistic
            for t in range(max(1 - lag, 0), min(T, T - lag))
            if t + lag >= 1
        ]
        assert value == pytest.approx(np.mean(daily), abs=1e-12)


def test_a_known_lead_stands_out_at_its_lag_alone(grid, close):
    price = close.reshape(S, T)
    ahead = np.full((S, T), np.nan)
    ahead[:, :-2] = price[:, 2:] / price[:, 1:-1]
    (profile,) = lead_lag_profiles({"x": ahead.ravel()}, close, grid)
    by_lag = dict(zip(profile.lags, zip(profile.values, profile.band, strict=True), strict=True))
    assert by_lag[2][0] == pytest.approx(1.0)
    assert all(abs(v) <= b for lag, (v, b) in by_lag.items() if lag != 2)


def test_the_band_holds_for_noise_in_the_promised_share_of_panels(grid, close):
    rng = np.random.default_rng(3)
    out = 0
    for _ in range(60):
        (profile,) = lead_lag_profiles({"x": rng.standard_normal(S * T)}, close, grid, lags=range(-5, 6), level=0.1)
        out += any(abs(v) > b for v, b in zip(profile.values, profile.band, strict=True))
    assert 0 <= out <= 14  # 6 expected


def test_a_market_column_is_correlated_over_sessions(grid, close):
    price = close.reshape(S, T)
    market = np.full(T, np.nan)
    market[:-1] = (price[:, 1:] / price[:, :-1] - 1).mean(axis=0)
    (profile,) = lead_lag_profiles({"x": np.tile(market, S)}, close, grid, lags=(0, 1))
    assert "sessions" in profile.measure
    assert profile.values[1] == pytest.approx(1.0, abs=0.01)
    assert abs(profile.values[0]) < 0.3


def test_newey_west_error_matches_the_double_sum():
    series = np.random.default_rng(5).standard_normal(150).cumsum() * 0.1
    n, lags = len(series), int(4 * 1.5 ** (2 / 9))
    centred = series - series.mean()
    total = sum(
        (1 - abs(i - j) / (lags + 1)) * centred[i] * centred[j]
        for i in range(n)
        for j in range(n)
        if abs(i - j) <= lags
    )
    assert newey_west_error(series) == pytest.approx(np.sqrt(total) / n)


def test_a_missing_value_against_a_number_is_a_difference():
    a = np.array([1.0, np.nan, np.nan, 2.0, np.inf, 3.0])
    b = np.array([1.0, np.nan, 1.0, 2.0 + 1e-9, 5.0, np.nan])
    assert differs(a, b, tolerance=1e-7).tolist() == [False, False, True, False, True, True]
    assert differs(a, b, tolerance=0.0).tolist() == [False, False, True, True, True, True]
