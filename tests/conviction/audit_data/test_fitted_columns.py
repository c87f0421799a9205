"""Columns fitted on the whole history are named; their twins fitted on earlier rows, or on nothing, are not."""

from __future__ import annotations

import datetime as dt

import numpy as np
import polars as pl
import pytest

from conviction.audit import audit_dataset
from conviction.market import calendar_frame

N, T = 12, 260


def frame(kind: str) -> pl.DataFrame:
    rng = np.random.default_rng(8)
    calendar = calendar_frame("XNYS")["session"]
    days = calendar.filter(calendar >= dt.date(2021, 1, 4))[:T]
    stress = np.repeat(rng.random(T // 10) < 0.3, 10)[:, None]
    size = (0.01 + 0.02 * stress) * np.linspace(0.6, 1.6, N)[rng.permutation(N)] * np.linspace(1.4, 0.7, T)[:, None]
    moves = size * (0.6 * rng.normal(size=(T, 1)) + 0.8 * rng.standard_t(5, size=(T, N)))
    close = 100 * np.exp(np.cumsum(moves, axis=0))
    rows = slice(None) if kind.endswith("whole") else slice(0, T // 2)
    if kind.startswith("mixture"):
        from sklearn.mixture import GaussianMixture

        vendor = rng.normal(size=(T, N)) * (1 + 2 * (rng.random((T, N)) < 0.2)) * np.linspace(1.5, 0.8, T)[:, None]
        fit = GaussianMixture(2, random_state=0, tol=1e-9, max_iter=2000).fit(vendor[rows].reshape(-1, 1))
        column = fit.predict_proba(vendor.reshape(-1, 1))[:, 0].reshape(T, N)
    else:
        vendor = rng.normal(size=(T, N))
        if kind.startswith("widths"):
            low, high = close[rows].min(axis=0), close[rows].max(axis=0)
            column = np.clip(np.ceil((close - low) / (high - low) * 10) - 1, 0, 9)
        else:
            moved = close[1:] / close[:-1] - 1
            column = np.broadcast_to(moved[rows].std(axis=0).argsort().argsort() * 1.0, (T, N))
    return pl.DataFrame(
        {
            "symbol": np.repeat([f"S{i:02d}" for i in range(N)], T),
            "date": pl.concat([days] * N),
            "close": close.T.ravel(),
            "vendor": vendor.T.ravel(),
            "fitted": column.T.ravel(),
        }
    )


CHECKS = {"mixture": "full_sample.mixtures", "widths": "full_sample.scaling", "order": "full_sample.encoding"}


@pytest.mark.parametrize("kind", CHECKS)
def test_fitted_on_the_whole_history_is_named(kind):
    assert [f.check for f in audit_dataset(frame(f"{kind}_whole")).errors if "fitted" in f.columns] == [CHECKS[kind]]


@pytest.mark.parametrize("kind", CHECKS)
def test_fitted_on_earlier_rows_is_not(kind):
    assert not [f.check for f in audit_dataset(frame(f"{kind}_early")).errors if "fitted" in f.columns]
