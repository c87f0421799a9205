"""Shared fixtures: real prices that ship inside a dependency, the optional folder of real market data."""

from __future__ import annotations

import os
from pathlib import Path

import polars as pl
import pytest

PROJECT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="session")
def market_dir() -> Path:
    """Return the optional folder of real S&P 500 prices, or skip with the reason."""
    folder = Path(os.environ.get("CONVICTION_MARKET_DATA", PROJECT.parent / "shared" / "market"))
    if not (folder / "sp500_daily_2020_2024.parquet").exists():
        pytest.skip(f"real market data not found in {folder}; set CONVICTION_MARKET_DATA to the folder that has it")
    return folder


@pytest.fixture(scope="session")
def embedded_bars() -> pl.DataFrame:
    """Return 20 real stocks, 2013 to 2022, closes only: symbol, session, close."""
    from skfolio.datasets import load_sp500_dataset

    wide = load_sp500_dataset().loc["2013":]
    long = wide.reset_index(names="session").melt(id_vars="session", var_name="symbol", value_name="close")
    return (
        pl.from_pandas(long)
        .with_columns(pl.col("session").cast(pl.Date), pl.col("symbol").cast(pl.String))
        .select("symbol", "session", "close")
        .sort("symbol", "session")
    )
