"""Clusters fitted on the whole history are named; clusters of earlier rows, and thresholds, are not."""

from __future__ import annotations

import datetime as dt

import numpy as np
import polars as pl
import pytest

from conviction.audit import audit_dataset
from conviction.market import calendar_frame


def frame(kind: str) -> pl.DataFrame:
    """Return six symbols with three vendor columns and a column of states made from them."""
    from sklearn.cluster import KMeans

    rng = np.random.default_rng(4)
    days = calendar_frame("XNYS")["session"].filter(calendar_frame("XNYS")["session"] >= dt.date(2021, 1, 4))[:260]
    x = np.cumsum(rng.normal(size=(6, 260, 3)), axis=1)
    x = (x - np.minimum.accumulate(x, axis=1)) + rng.normal(size=x.shape)
    flat = x.reshape(-1, 3)
    early = np.tile(np.arange(260) < 130, 6)
    if kind == "thresholds":
        state = (flat[:, 0] > 5.0) * 2.0 + (flat[:, 1] > 5.0)
    else:
        rows = flat if kind == "whole" else flat[early]
        centre, spread = rows.mean(axis=0), rows.std(axis=0)
        model = KMeans(4, n_init=3, random_state=0, max_iter=1000, tol=0).fit((rows - centre) / spread)
        state = model.predict((flat - centre) / spread).astype(float)
    return pl.DataFrame(
        {
            "symbol": np.repeat([f"S{i}" for i in range(6)], 260),
            "date": pl.concat([days] * 6),
            "first": flat[:, 0],
            "second": flat[:, 1],
            "third": flat[:, 2],
            "state": state,
        }
    )


@pytest.mark.parametrize(("kind", "named"), [("whole", ("state",)), ("early", ()), ("thresholds", ())])
def test_clusters(kind, named):
    found = [f for f in audit_dataset(frame(kind)).errors if f.check == "full_sample.clusters"]
    assert tuple(c for f in found for c in f.columns) == named
