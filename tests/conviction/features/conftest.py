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
    others = {
        name: 100.0 * np.exp(np.cumsum(rng.normal(0.0, 0.01, sessions)))
        for name in ("qqq_close", "tlt_close", "macro_dgs10", "macro_t10y2y", "macro_unrate", "macro_cpiaucsl")
    }
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
        frame = frame.with_columns(**{k: pl.Series(v) for k, v in others.items()}, **_company(number, days, rng))
        if gaps:
            keep = rng.random(sessions) < 0.98
            keep[: 30 * (number % 2)] = False
            frame = frame.filter(pl.Series(keep))
        frames.append(frame)
    return pl.concat(frames).sort("symbol", "session")


def _company(number: int, days: list[date], rng: np.random.Generator) -> dict[str, pl.Series]:
    """Return what only some sources give: sector, options, news, events."""
    size = len(days)
    count = rng.poisson(1.5, size).astype(float)
    events = days[number::63]
    following = [next((e for e in events if e >= day), None) for day in days]
    previous = [max((e for e in events if e <= day), default=None) for day in days]
    return {
        "sector": pl.Series([("energy", "tech")[number % 2] if number < 4 else None] * size, dtype=pl.String),
        "iv_30d": pl.Series(0.2 * np.exp(np.cumsum(rng.normal(0.0, 0.03, size)) * 0.5)),
        "iv_60d": pl.Series(0.22 * np.exp(np.cumsum(rng.normal(0.0, 0.02, size)) * 0.5)),
        "put_call_ratio": pl.Series(rng.uniform(0.5, 1.5, size)),
        "news_count": pl.Series(count),
        "news_score": pl.Series(np.where(count > 0, rng.uniform(-1.0, 1.0, size), np.nan), nan_to_null=True),
        "news_source": pl.Series([("wire", "blog")[n % 2] if c else None for n, c in enumerate(count)]),
        "event_next": pl.Series(following, dtype=pl.Date),
        "event_last": pl.Series(previous, dtype=pl.Date),
    }


@pytest.fixture(scope="session")
def full_panel() -> pl.DataFrame:
    return make_panel()


@pytest.fixture(scope="session")
def every_feature() -> FeatureParameters:
    return FeatureParameters(sets=(), names=tuple(definitions(FeatureParameters())))
