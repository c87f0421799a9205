"""Panels on which every registered feature can be computed."""

from __future__ import annotations

from datetime import date, timedelta

import numpy as np
import polars as pl
import pytest

from conviction.features import FeatureParameters, definitions


def make_panel(symbols: int = 5, sessions: int = 420, *, seed: int = 7, gaps: bool = True) -> pl.DataFrame:
    """Return a panel with every input any feature reads; with gaps, symbols miss sessions and one lists late."""
    rng = np.random.default_rng(seed)
    days = [day for day in (date(2019, 1, 1) + timedelta(n) for n in range(sessions * 2)) if day.weekday() < 5][
        :sessions
    ]
    market = 3000.0 * np.exp(np.cumsum(rng.normal(0.0, 0.01, sessions)))
    vix = 15.0 * np.exp(np.cumsum(rng.normal(0.0, 0.05, sessions)) * 0.2)
    frames = []
    for number in range(symbols):
        scale = np.exp(np.cumsum(rng.normal(0.0, 0.1, sessions)) * 0.3)
        close = 50.0 * (number + 1) * np.exp(np.cumsum(rng.standard_t(4, sessions) * 0.012 * scale))
        opening = close * np.exp(rng.normal(0.0, 0.006, sessions))
        frame = pl.DataFrame(
            {
                "symbol": [f"S{number}"] * sessions,
                "session": days,
                "open": opening,
                "high": np.maximum(opening, close) * np.exp(np.abs(rng.normal(0.0, 0.005, sessions))),
                "low": np.minimum(opening, close) * np.exp(-np.abs(rng.normal(0.0, 0.005, sessions))),
                "close": close,
                "vwap": close * np.exp(rng.normal(0.0, 0.002, sessions)),
                "volume": np.round(np.exp(rng.normal(13.0, 0.5, sessions))),
                "market_close": market,
                "vix_close": vix,
                "in_universe": rng.random(sessions) < 0.95 if gaps else [True] * sessions,
            }
        )
        if gaps:
            keep = rng.random(sessions) < 0.98
            keep[: 30 * (number % 2)] = False
            frame = frame.filter(pl.Series(keep))
        frames.append(frame)
    return pl.concat(frames).sort("symbol", "session")


@pytest.fixture(scope="session")
def full_panel() -> pl.DataFrame:
    return make_panel()


@pytest.fixture(scope="session")
def every_feature() -> FeatureParameters:
    return FeatureParameters(sets=(), names=tuple(definitions(FeatureParameters())))
