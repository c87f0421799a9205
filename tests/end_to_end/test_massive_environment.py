"""From the vendor's bucket and pages to bars, panel and fold plan: fetched once, then run without network."""

from __future__ import annotations

import gzip
import importlib.util
import json
from datetime import datetime, time
from pathlib import Path
from zoneinfo import ZoneInfo

import boto3
import polars as pl
import pytest
import yaml
from moto.server import ThreadedMotoServer

from conviction_kedro.sources import FlatFileKey, make_pin, read_pin_file

pytestmark = pytest.mark.slow

SIX = ["AAPL", "JPM", "KO", "MSFT", "PG", "XOM"]
PARAMETERS = {
    "source": "long_table",
    "universe": "six",
    "universes": {"six": SIX},
    "data": {"first_session": None},
    "features": {"sets": ["quick"], "names": ["news_sentiment", "news_sentiment_weighted", "news_volume"]},
    "folds": {"n_folds": 2, "min_train_sessions": 150, "holdout_sessions": 40},
}
# The embedded prices are adjusted: before this day KO is sold at twice its price, and the list of splits says so.
SPLIT_DAY = "2022-06-01"
SPLIT = {"id": "s", "ticker": "KO", "execution_date": SPLIT_DAY, "split_from": 1, "split_to": 2}

# The session of 1 March closes at 21:00 UTC: the second article belongs to the next row, the third to nobody we follow.
NEWS = [
    {
        "id": identity,
        "published_utc": f"2022-03-01T{clock}:00Z",
        "publisher": {"name": "Wire"},
        "tickers": [ticker],
        "insights": [{"ticker": ticker, "sentiment": sentiment}],
    }
    for identity, clock, ticker, sentiment in (
        ("a", "20:59", "AAPL", "positive"),
        ("b", "21:01", "AAPL", "negative"),
        ("c", "20:00", "ZZZ", "positive"),
    )
]
FIRST_NEWS = {**NEWS[0], "id": "0", "published_utc": "2022-01-04T10:00:00Z", "tickers": ["KO"], "insights": []}


def stand_ins():
    """Return the module with the local stand-ins of the vendor."""
    path = Path(__file__).resolve().parents[1] / "conviction_kedro" / "sources" / "conftest.py"
    spec = importlib.util.spec_from_file_location("vendor_stand_ins", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def prices(embedded_bars):
    wanted = pl.col("session").is_between(datetime(2022, 1, 3).date(), datetime(2022, 12, 28).date())  # noqa: DTZ001
    return embedded_bars.filter(wanted & pl.col("symbol").is_in(SIX))


@pytest.fixture
def vendor(prices):
    """Return the addresses of a bucket with one file a session, and of a REST service with one split."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    endpoint = f"http://{host}:{port}"
    client = boto3.Session("x", "y").client("s3", endpoint_url=endpoint, region_name="us-east-1")
    client.create_bucket(Bucket="flatfiles")
    client.create_bucket(Bucket="ours")
    split_day = datetime.fromisoformat(SPLIT_DAY).date()
    for (session,), rows in prices.group_by("session"):
        start = int(datetime.combine(session, time(), tzinfo=ZoneInfo("America/New_York")).timestamp()) * 10**9
        lines = ["ticker,volume,open,close,high,low,window_start,transactions"]
        for symbol, close in rows.select("symbol", "close").rows():
            paid = close * (2.0 if symbol == "KO" and session < split_day else 1.0)
            lines.append(f"{symbol},1000000,{paid!r},{paid!r},{paid!r},{paid!r},{start},10")
        key = str(FlatFileKey(market="stocks", granularity="day", session=session))
        client.put_object(Bucket="flatfiles", Key=key, Body=gzip.compress("\n".join(lines).encode()))
    rest = stand_ins().VendorRest()
    rest.tables = {
        "/v3/reference/splits": [SPLIT],
        "/v3/reference/dividends": [],
        "/v2/reference/news": [FIRST_NEWS, *NEWS],
    }
    rest.s3 = endpoint
    yield rest
    rest.stop()
    client.close()
    server.stop()


@pytest.fixture
def environment(vendor):
    return {
        "MASSIVE_S3_ENDPOINT": vendor.s3,
        "MASSIVE_REST_ENDPOINT": vendor.address,
        "MASSIVE_S3_KEY": "VENDORKEYID",
        "MASSIVE_S3_SECRET": "VENDORHUSH",
        "MASSIVE_API_KEY": vendor.KEY,
        "MASSIVE_FIRST": "2022-01-03",
        "MASSIVE_LAST": "2022-12-28",
    }


def test_fetched_files_become_the_pinned_bars_of_a_run(fresh_workspace, vendor, environment, prices):
    workspace = fresh_workspace
    (workspace.root / "conf/massive/parameters.yml").write_text(yaml.safe_dump(PARAMETERS))
    early = workspace.kedro("run", "--env=massive", "--pipeline=data_engineering", **environment)
    assert early.returncode == 1
    assert "copy the files first" in early.stderr + early.stdout

    fetched = workspace.kedro("fetch", "--env=massive", "raw_bars", "splits", "dividends", "news", **environment)
    assert fetched.returncode == 0, fetched.stdout + fetched.stderr
    assert (
        f"raw_bars: us_stocks_sip/day_aggs_v1 2022-01-03 to 2022-12-28: {prices['session'].n_unique()} copied"
        in fetched.stdout
    )
    assert "splits: splits 2022-01-03 to 2022-12-28: 1 rows" in fetched.stdout
    said = fetched.stdout + fetched.stderr
    again = workspace.kedro("fetch", "--env=massive", "raw_bars", **environment)
    assert "0 copied (0.0 MB)" in again.stdout

    place = workspace.root / "data/01_raw/massive"
    offline = {name: environment[name] for name in ("MASSIVE_FIRST", "MASSIVE_LAST")}
    printed = workspace.kedro("pin", "--env=massive", "--write", **offline)
    assert printed.returncode == 0, printed.stderr
    relative = read_pin_file(workspace.root / "conf/massive/dataset_pin.yml")
    assert relative.sha256 == make_pin(str(place / "flat_files")).sha256
    assert (relative.uri, relative.rows) == ("data/01_raw/massive/flat_files", prices.height)
    assert str(relative) in printed.stdout
    (workspace.root / "conf/massive/dataset_pin.yml").unlink()
    ran = workspace.kedro(
        "run", "--env=massive", "--pipeline=data_engineering", f"--params=dataset_pin={relative}", **offline
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    bars = pl.read_parquet(workspace.root / "data/massive/02_intermediate/bars.parquet")
    both = bars.join(prices, on=["symbol", "session"], how="full", suffix="_true")
    assert both.height == prices.height == bars.height
    assert both.select((pl.col("close") / pl.col("close_true") - 1).abs().max()).item() < 1e-12
    panel = pl.read_parquet(workspace.root / "data/massive/03_primary/panel.parquet")
    heard = panel.filter((pl.col("symbol") == "AAPL") & pl.col("news_count").is_not_null() & (pl.col("news_count") > 0))
    assert heard.select(pl.col("session").cast(pl.String), "news_score", "news_count").rows() == [
        ("2022-03-01", 1.0, 1.0),
        ("2022-03-02", -1.0, 1.0),
    ]
    facts = json.loads((workspace.root / "data/massive/03_primary/data_facts.json").read_text())
    assert facts["sources"]["news"] == "4 rows of 2 symbols of the universe, by publication"
    assert facts["sources"]["macro"] == "none: features of macroeconomic series are missing"
    assert "no macro series were fetched" in ran.stdout + ran.stderr
    quality = json.loads((place / "quality_of_flat_files.json").read_text())
    assert quality["passed"]
    newest = workspace.runs()[0].data.tags
    assert (newest["dataset_pin"], newest["dataset_pin_origin"]) == (str(relative), "command line")
    audited = workspace.kedro("run", "--env=massive", "--pipeline=leakage_audit", **offline)
    assert audited.returncode == 0, audited.stdout + audited.stderr

    written = workspace.kedro("export", "processed", "--env=massive", **offline)
    assert written.returncode == 0, written.stderr
    assert f"6 symbols, {prices.height} rows" in written.stdout
    assert sorted(p.name for p in (workspace.root / "processed").iterdir()) == [f"{s}_features.csv" for s in SIX]

    (place / "flat_files/us_stocks_sip/day_aggs_v1/2022/03/2022-03-01.csv.gz").unlink()
    refused = workspace.kedro(
        "run", "--env=massive", "--pipeline=data_engineering", **offline, CONVICTION_DATASET_PIN=str(relative)
    )
    assert refused.returncode == 1
    assert "is not the pinned one" in refused.stderr
    missing = workspace.kedro("run", "--env=massive", "--pipeline=data_engineering", **offline)
    assert missing.returncode == 1
    assert "2022-03-01 missing_file" in missing.stderr
    said += ran.stdout + ran.stderr + again.stdout + again.stderr + refused.stderr
    stored = str(newest) + "".join(
        p.read_text() for kind in ("json", "jsonl") for p in workspace.root.rglob(f"*.{kind}")
    )
    for secret in ("VENDORHUSH", vendor.KEY):
        assert secret not in said + stored
