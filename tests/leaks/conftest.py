"""Fixtures of the planted-leak tests: the honest dataset each leak is planted in."""

from __future__ import annotations

import polars as pl
import pytest

from conviction.testing import Dataset, make_clean_dataset


@pytest.fixture(scope="session")
def market_bars(market_dir) -> pl.DataFrame:
    return pl.read_parquet(market_dir / "sp500_daily_2020_2024.parquet").select(
        "symbol", pl.col("date").cast(pl.Date).alias("session"), "open", "high", "low", "close", "volume"
    )


@pytest.fixture(scope="session")
def market_vix(market_dir) -> pl.DataFrame:
    return pl.read_csv(market_dir / "vix_daily.csv", try_parse_dates=True).select(
        pl.col("date").cast(pl.Date).alias("session"), pl.col("close").alias("vix")
    )


@pytest.fixture(scope="session")
def clean_market(market_bars, market_vix) -> Dataset:
    return make_clean_dataset(market_bars, seed=11, n_symbols=12, n_sessions=320, vix=market_vix)


@pytest.fixture(scope="session")
def clean_closes(embedded_bars) -> Dataset:
    return make_clean_dataset(embedded_bars, seed=5, n_symbols=10, n_sessions=300)
