"""The declared look-back of every registered feature is the measured one.

One row is moved at a time. Moving the row `lookback` rows earlier must change some value; moving the rows before it must
change none by more than 1e-6 of its size.
"""

from __future__ import annotations

from functools import cache

import numpy as np
import polars as pl
import pytest

from conviction.features import FAMILIES, FeatureParameters, build_features, definitions

from .conftest import make_panel

TOLERANCE = 1e-6
DEFINITIONS = definitions(FeatureParameters())
LOOKBACKS = sorted({d.feature.lookback for d in DEFINITIONS.values() if d.feature.lookback is not None})
SESSIONS = max(LOOKBACKS) + 60
PROBES = 20


@cache
def panel() -> pl.DataFrame:
    return make_panel(symbols=4, sessions=SESSIONS, seed=11, gaps=False)


@cache
def built(changed_from: int, changed_to: int, kind: str) -> pl.DataFrame:
    """Return the features at every row after the rows [changed_from, changed_to) of each symbol were moved."""
    frame = panel()
    number = pl.int_range(pl.len()).over("symbol")
    hit = (number >= changed_from) & (number < changed_to)
    numbers = [c for c, dtype in frame.schema.items() if dtype == pl.Float64]
    rng = np.random.default_rng(KINDS.index(kind) if kind in KINDS else 9)
    for column in numbers:
        noise = np.exp(np.abs(rng.normal(0.0, 0.2, frame.height)) + 0.05)
        wild = np.exp(rng.normal(0.0, 3.0, frame.height))
        choice = {"up": noise, "down": 1.0 / noise, "wild": wild, "wilder": wild, "same": np.ones(frame.height)}
        factor = pl.Series(choice[kind])
        frame = frame.with_columns(pl.when(hit).then(pl.col(column) * factor).otherwise(pl.col(column)).alias(column))
    # Bars stay bars.
    prices = ("open", "high", "low", "close")
    frame = frame.with_columns(pl.max_horizontal(prices).alias("high"), pl.min_horizontal(prices).alias("low"))
    return build_features(frame, features=FeatureParameters(sets=(), names=tuple(DEFINITIONS))).matrix


def differs(name: str, left: pl.DataFrame, right: pl.DataFrame, rows: np.ndarray) -> bool:
    a = left[name].to_numpy().reshape(-1, SESSIONS)[:, rows].astype(np.float64)
    b = right[name].to_numpy().reshape(-1, SESSIONS)[:, rows].astype(np.float64)
    scale = np.nanmax(np.abs(a), initial=1e-12)
    return bool(np.any(np.isnan(a) != np.isnan(b)) or np.any(np.nan_to_num(np.abs(a - b)) > TOLERANCE * scale))


PLAIN = (0, 0, "same")
KINDS = ("up", "down", "wild", "wilder")


# What reads the calendar alone has no row to move; tests/conviction/features/test_features_values.py checks its values.
DATES = {"session", "event_next", "event_last"}
BOUNDED = [n for n, d in DEFINITIONS.items() if d.feature.lookback is not None and not set(d.feature.inputs) <= DATES]


@pytest.mark.parametrize("name", BOUNDED)
def test_declared_lookback_is_the_measured_one(name):
    feature = DEFINITIONS[name].feature
    row = SESSIONS - PROBES - 1 - feature.lookback
    assert row >= 0
    base = built(*PLAIN)
    after = np.arange(row + feature.lookback + 1, SESSIONS)
    at = np.array([row + feature.lookback])
    moved = [built(row, row + 1, kind) for kind in KINDS]
    assert any(differs(name, base, m, at) for m in moved), f"{name} does not read the row {feature.lookback} earlier"
    assert not any(differs(name, base, m, after) for m in moved), f"{name} reads further back than it declares"
    assert not any(differs(name, base, built(0, row + 1, kind), after) for kind in KINDS)


@pytest.mark.parametrize("name", [n for n, d in DEFINITIONS.items() if d.feature.lookback is None])
def test_endless_features_remember_far_back(name):
    row = SESSIONS - PROBES - 1 - 40
    rows = np.arange(row + 40, SESSIONS)
    assert any(differs(name, built(*PLAIN), built(row, row + 1, kind), rows) for kind in KINDS)


@pytest.mark.parametrize("name", list(DEFINITIONS))
def test_warm_up_is_null_and_the_rest_is_there(name):
    feature = DEFINITIONS[name].feature
    values = built(*PLAIN)[name].to_numpy().reshape(-1, SESSIONS)
    if feature.lookback is not None:
        assert np.isnan(values[:, : feature.lookback]).all(), "a value before its first full window"
        assert np.isfinite(values[:, feature.lookback]).any(), "null although the window is full"


@pytest.mark.parametrize("name", list(DEFINITIONS))
def test_declared_inputs_are_the_ones_it_reads(name):
    feature = DEFINITIONS[name].feature
    assert feature.family in FAMILIES
    frame = panel()
    unread = [c for c in frame.columns if c not in (*feature.inputs, "symbol", "session", "close", "in_universe")]
    parameters = FeatureParameters(sets=(), names=(name,))
    lean = build_features(frame.drop(unread), features=parameters).matrix
    assert lean.equals(built(*PLAIN).select("symbol", "session", name))
