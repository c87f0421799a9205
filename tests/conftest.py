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


@pytest.fixture(scope="session")
def project_dir() -> Path:
    """Return the project's folder."""
    return PROJECT


@pytest.fixture(scope="session")
def _s3_server():
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def s3_bucket(_s3_server, request):
    """Return the URI of a fresh bucket on a local S3 server and the credentials that Kedro would hand to a dataset."""
    import hashlib

    import boto3

    name = "b" + hashlib.sha256(request.node.nodeid.encode()).hexdigest()[:20]
    arguments = {"endpoint_url": _s3_server, "region_name": "us-east-1"}
    boto3.client("s3", aws_access_key_id="test", aws_secret_access_key="test", **arguments).create_bucket(Bucket=name)
    return f"s3://{name}", {"key": "test", "secret": "test", "client_kwargs": arguments}
