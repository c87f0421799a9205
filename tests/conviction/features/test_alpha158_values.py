"""Every Alpha158 factor against the pandas expression of its definition, and the kernels' own identities."""

from __future__ import annotations

import numpy as np
import pandas as pd
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from conviction.features import FEATURE_SETS, FeatureParameters, build_features
from conviction.features._kernels import (
    KERNELS,
    compiled_before,
    fold_largest,
    fold_moments,
    fold_products,
    fold_slopes,
    ladder,
)

from .conftest import make_panel

WINDOWS = (5, 10, 20, 30, 60)


@pytest.fixture(scope="module")
def panel():
    return make_panel(symbols=3, sessions=200, seed=21)


@pytest.fixture(scope="module")
def matrix(panel):
    return build_features(panel, features=FeatureParameters(sets=("alpha158",))).matrix


def regress(values: np.ndarray, what: str) -> float:
    time = np.arange(len(values))
    slope, intercept = np.polyfit(time, values, 1)
    fitted = slope * time + intercept
    return {
        "slope": slope,
        "rest": values[-1] - fitted[-1],
        "fit": 1 - ((values - fitted) ** 2).sum() / ((values - values.mean()) ** 2).sum(),
    }[what]


def candles(f: pd.DataFrame) -> dict[str, pd.Series]:
    top, bottom, span = f[["open", "close"]].max(axis=1), f[["open", "close"]].min(axis=1), f.high - f.low + 1e-12
    return {
        "KMID": (f.close - f.open) / f.open,
        "KLEN": (f.high - f.low) / f.open,
        "KMID2": (f.close - f.open) / span,
        "KUP": (f.high - top) / f.open,
        "KUP2": (f.high - top) / span,
        "KLOW": (bottom - f.low) / f.open,
        "KLOW2": (bottom - f.low) / span,
        "KSFT": (2 * f.close - f.high - f.low) / f.open,
        "KSFT2": (2 * f.close - f.high - f.low) / span,
        **{f"{c.upper()}0": f[c] / f.close for c in ("open", "high", "low", "vwap")},
    }


def rolling(f: pd.DataFrame, d: int) -> dict[str, pd.Series]:
    c, v = f.close, f.volume
    close, high, low, volume = (x.rolling(d) for x in (c, f.high, f.low, v))
    rise, fall, move = c.diff().clip(lower=0), (-c.diff()).clip(lower=0), c.diff().abs()
    rising, falling, moving = v.diff().clip(lower=0), (-v.diff()).clip(lower=0), v.diff().abs()
    weighted = (c / c.shift(1) - 1).abs() * v
    known = c.shift(1).notna()
    imax = high.apply(lambda w: w.argmax() + 1, raw=True) / d
    imin = low.apply(lambda w: w.argmin() + 1, raw=True) / d
    up, down = (c > c.shift(1)).astype(float).where(known), (c < c.shift(1)).astype(float).where(known)
    found = {
        "ROC": c.shift(d) / c,
        "MA": close.mean() / c,
        "STD": close.std() / c,
        "BETA": close.apply(regress, raw=True, args=("slope",)) / c,
        "RSQR": close.apply(regress, raw=True, args=("fit",)),
        "RESI": close.apply(regress, raw=True, args=("rest",)) / c,
        "MAX": high.max() / c,
        "MIN": low.min() / c,
        "QTLU": close.quantile(0.8) / c,
        "QTLD": close.quantile(0.2) / c,
        "RANK": close.rank(pct=True),
        "RSV": (c - low.min()) / (high.max() - low.min() + 1e-12),
        "IMAX": imax,
        "IMIN": imin,
        "IMXD": imax - imin,
        "CORR": c.rolling(d).corr(np.log(v + 1)),
        "CORD": (c / c.shift(1)).rolling(d).corr(np.log(v / v.shift(1) + 1)),
        "CNTP": up.rolling(d).mean(),
        "CNTN": down.rolling(d).mean(),
        "CNTD": up.rolling(d).mean() - down.rolling(d).mean(),
        "SUMP": rise.rolling(d).sum() / (move.rolling(d).sum() + 1e-12),
        "SUMN": fall.rolling(d).sum() / (move.rolling(d).sum() + 1e-12),
        "SUMD": (rise.rolling(d).sum() - fall.rolling(d).sum()) / (move.rolling(d).sum() + 1e-12),
        "VMA": volume.mean() / v,
        "VSTD": volume.std() / v,
        "WVMA": weighted.rolling(d).std() / weighted.rolling(d).mean(),
        "VSUMP": rising.rolling(d).sum() / (moving.rolling(d).sum() + 1e-12),
        "VSUMN": falling.rolling(d).sum() / (moving.rolling(d).sum() + 1e-12),
        "VSUMD": (rising.rolling(d).sum() - falling.rolling(d).sum()) / (moving.rolling(d).sum() + 1e-12),
    }
    return {f"{stem}{d}": values for stem, values in found.items()}


@pytest.fixture(scope="module")
def oracle(panel):
    parts = []
    for _, part in panel.to_pandas().groupby("symbol"):
        columns = candles(part)
        for d in WINDOWS:
            columns |= rolling(part, d)
        parts.append(pd.DataFrame(columns))
    return pd.concat(parts, ignore_index=True)


def test_there_are_158(oracle):
    assert len(FEATURE_SETS["alpha158"]) == 158
    assert set(FEATURE_SETS["alpha158"]) == set(oracle.columns)


@pytest.mark.parametrize("name", FEATURE_SETS["alpha158"])
def test_factor_equals_its_definition(matrix, oracle, name):
    got, wanted = matrix[name].to_numpy().astype(np.float64), oracle[name].to_numpy(dtype=float)
    np.testing.assert_array_equal(np.isnan(got), np.isnan(wanted))
    np.testing.assert_allclose(got, wanted, rtol=3e-6, atol=1e-8)


def test_ties_count_as_in_the_definitions():
    close = [1.0, 2.0, 2.0, 1.0, 2.0, 2.0]
    panel = pl.DataFrame(
        {
            "symbol": ["A"] * 6,
            "session": pd.date_range("2020-01-01", periods=6),
            "close": close,
            "high": [c + 1.0 for c in close],
            "low": [c - 0.5 for c in close],
        }
    ).with_columns(pl.col("session").cast(pl.Date))
    parameters = FeatureParameters.model_validate(
        {"sets": [], "names": ["RANK5", "IMAX5", "IMIN5", "QTLU5"], "alpha158": {"windows": [5]}}
    )
    last = build_features(panel, features=parameters).matrix.row(5, named=True)
    # The window 2 2 1 2 2: four share the ranks 2 to 5, the first maximum stands first, the minimum third.
    assert last["RANK5"] == pytest.approx(3.5 / 5)
    assert last["IMAX5"] == pytest.approx(1 / 5)
    assert last["IMIN5"] == pytest.approx(3 / 5)
    assert last["QTLU5"] == pytest.approx(1.0)


def test_a_constant_price_has_no_regression_and_no_correlation():
    panel = make_panel(symbols=1, sessions=80, gaps=False).with_columns(pl.lit(123.456).alias("close"))
    row = build_features(panel, features=FeatureParameters(sets=("alpha158",))).matrix.row(79, named=True)
    assert row["RSQR60"] is None
    assert row["CORR20"] is None
    assert row["STD60"] == 0.0
    assert row["BETA60"] == 0.0
    assert row["RESI60"] == pytest.approx(0.0, abs=1e-15)


def test_volume_zero_and_missing_values_blank_what_holds_them():
    panel = make_panel(symbols=1, sessions=150, gaps=False)
    names = tuple(n for n in FEATURE_SETS["alpha158"] if n.endswith("10"))
    parameters = FeatureParameters(sets=(), names=names)
    row = pl.int_range(pl.len())
    base = build_features(panel, features=parameters).matrix
    for column in ("close", "high", "low", "volume"):
        holed = panel.with_columns(pl.when(row == 70).then(None).otherwise(pl.col(column)).alias(column))
        got = build_features(holed, features=parameters)
        # These read the close of the newest row alone, or of the newest and the oldest.
        few = {"MAX10", "MIN10", "RSV10", "IMAX10", "IMIN10", "IMXD10", "ROC10"} if column == "close" else set()
        for feature in got.features:
            name = feature.name
            if column in feature.inputs:
                blank = got.matrix[name][70:80].null_count()
                assert blank == 10 or (name in few and blank >= 1), (column, name)
                assert got.matrix[name][81:].equals(base[name][81:]), (column, name)
    still = panel.with_columns(pl.when(row == 70).then(0.0).otherwise(pl.col("volume")).alias("volume"))
    got = build_features(still, features=parameters).matrix
    assert got["VMA10"][70] is None
    assert got["VMA10"][71] is not None
    idle = panel.with_columns(pl.when(row.is_between(70, 85)).then(0.0).otherwise(pl.col("volume")).alias("volume"))
    weighted = build_features(idle, features=parameters).matrix["WVMA10"]
    assert weighted[79:86].null_count() == 7
    assert weighted[78] is not None
    assert weighted[86] is not None


@given(
    values=st.lists(st.floats(-1e3, 1e3, width=32), min_size=40, max_size=60),
    windows=st.lists(st.integers(2, 30), min_size=1, max_size=4, unique=True),
)
def test_merged_windows_equal_direct_ones(values, windows):
    x = np.array(values)
    y = np.roll(x, 3) ** 2 / 100.0
    steps, slots, slot_of = ladder(windows)
    states = []
    for series in (x, y):
        mean, square = np.full((slots, x.size), np.nan), np.full((slots, x.size), np.nan)
        mean[0], square[0] = series, 0.0
        fold_moments(steps, mean, square)
        states.append((mean, square))
    product, slope, largest, lag = (np.full((slots, x.size), np.nan) for _ in range(4))
    product[0] = slope[0] = lag[0] = 0.0
    largest[0] = x
    fold_products(steps, states[0][0], states[1][0], product)
    fold_slopes(steps, states[0][0], slope)
    fold_largest(steps, largest, lag)
    for window, slot in slot_of.items():
        for t in range(window - 1, x.size):
            a, b = x[t - window + 1 : t + 1], y[t - window + 1 : t + 1]
            scale = 1.0 + np.abs(a).max() + np.abs(b).max()
            time = np.arange(window)
            assert states[0][0][slot, t] == pytest.approx(a.mean(), abs=1e-9 * scale)
            assert states[0][1][slot, t] == pytest.approx(((a - a.mean()) ** 2).sum(), abs=1e-9 * scale**2)
            assert product[slot, t] == pytest.approx(((a - a.mean()) * (b - b.mean())).sum(), abs=1e-9 * scale**2)
            assert slope[slot, t] == pytest.approx((time * (a - a.mean())).sum(), abs=1e-7 * scale)
            assert largest[slot, t] == a.max()
            assert lag[slot, t] == window - 1 - a.argmax()


def test_kernels_are_cached_once_they_ran(matrix):
    assert compiled_before(fold_moments)


def test_kernels_are_compiled_for_one_kind_of_array(panel):
    holed = panel.with_columns(
        pl.when(pl.int_range(pl.len()) % 50 == 7).then(None).otherwise(pl.col(c)).cast(pl.Float32).alias(c)
        for c in ("open", "high", "low", "close", "volume", "vwap")
    )
    for frame in (panel, holed):
        build_features(frame, features=FeatureParameters(sets=("alpha158",)))
    assert {kernel.py_func.__name__: len(kernel.signatures) for kernel in KERNELS if len(kernel.signatures) != 1} == {}
