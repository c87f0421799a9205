"""From the vendor's minute files to a report on bars: fetched once, then run at three lengths."""

from __future__ import annotations

import gzip
import json
import re
from datetime import date, datetime, timedelta

import boto3
import numpy as np
import polars as pl
import pytest
import yaml
from moto.server import ThreadedMotoServer

from conviction.market import exchange_sessions, session_closes, session_opens
from conviction_kedro.sources import FlatFileKey

pytestmark = pytest.mark.slow

SYMBOLS = ["AAPL", "JPM", "KO", "XOM"]
FIRST, LAST = date(2024, 6, 3), date(2024, 7, 31)
SESSIONS = exchange_sessions("XNYS", FIRST, LAST)
HEADER = "ticker,volume,open,close,high,low,window_start,transactions"
PARAMETERS = {
    "universe": "four",
    "universes": {"four": SYMBOLS},
    "modeling": {"targets": ["relative"], "models": ["logistic", "lightgbm"], "tuning": {"n_trials": 1}},
    "evaluation": {"n_resamples": 200, "min_sessions": 10, "min_symbols": 3},
}


def minute_files() -> dict[str, bytes]:
    """Return the vendor's file of each session: a trade every fifth minute, and one before the open that no bar may hold."""
    rng = np.random.default_rng(11)
    price = dict.fromkeys(SYMBOLS, 100.0)
    files = {}
    edges = zip(SESSIONS, session_opens("XNYS", SESSIONS), session_closes("XNYS", SESSIONS), strict=True)
    for session, begins, closes in edges:
        lines = [HEADER]
        for symbol in SYMBOLS:
            lines.append(f"{symbol},10,999.0,999.0,999.0,999.0,{nanoseconds(begins - timedelta(hours=1))},1")
            for minute in range(0, int((closes - begins).total_seconds() // 60), 5):
                before, price[symbol] = price[symbol], price[symbol] * float(np.exp(rng.normal(0.0, 1e-3)))
                high, low = max(before, price[symbol]), min(before, price[symbol])
                start = nanoseconds(begins + timedelta(minutes=minute))
                lines.append(f"{symbol},{rng.integers(1, 900)},{before!r},{price[symbol]!r},{high!r},{low!r},{start},3")
        key = str(FlatFileKey(market="stocks", granularity="minute", session=session))
        files[key] = gzip.compress("\n".join(lines).encode(), mtime=0)
    return files


def nanoseconds(moment: datetime) -> int:
    return int(moment.timestamp()) * 10**9


@pytest.fixture
def endpoint():
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    client = boto3.Session("x", "y").client("s3", endpoint_url=f"http://{host}:{port}", region_name="us-east-1")
    client.create_bucket(Bucket="flatfiles")
    for key, content in minute_files().items():
        client.put_object(Bucket="flatfiles", Key=key, Body=content)
    yield f"http://{host}:{port}"
    client.close()
    server.stop()


def by_hand(panel: pl.DataFrame, minutes: int) -> pl.Series:
    """Return the label of each bar as DuckDB sees it: from the open of the session's next bar to its close."""
    import duckdb

    bars = panel.select("symbol", "session", "open", "close", at=pl.col("bar_end").dt.epoch("s") // 60)
    assert bars.height
    query = """
        select n.close / n.open - 1
        from bars b left join bars n on n.symbol = b.symbol and n.session = b.session and n.at > b.at and n.at <= b.at + $minutes
        order by b.symbol, b.at
    """
    found = duckdb.execute(query, {"minutes": minutes}).fetchall()
    return pl.Series([row[0] for row in found], dtype=pl.Float64)


def test_minute_files_become_audited_bars_and_a_report(fresh_workspace, endpoint):
    workspace = fresh_workspace
    folder = workspace.root / "conf/intraday"
    settings = (folder / "globals.yml").read_text()
    (folder / "globals.yml").write_text(re.sub(r"symbols: .*", f"symbols: {SYMBOLS}", settings))
    parameters = yaml.safe_load((folder / "parameters.yml").read_text()) | PARAMETERS
    parameters["folds"] = {"n_folds": 2, "min_train_sessions": 22, "embargo": 1, "holdout_sessions": 5}
    (folder / "parameters.yml").write_text(yaml.safe_dump(parameters))
    environment = {
        "MASSIVE_S3_ENDPOINT": endpoint, "MASSIVE_S3_KEY": "VENDORKEYID", "MASSIVE_S3_SECRET": "VENDORHUSH",
        "MASSIVE_FIRST": str(FIRST), "MASSIVE_LAST": str(LAST),
    }  # fmt: skip
    fetched = workspace.kedro("fetch", "--env=intraday", **environment)
    assert fetched.returncode == 0, fetched.stdout + fetched.stderr
    assert f"raw_bars: us_stocks_sip/minute_aggs_v1 {FIRST} to {LAST}: {len(SESSIONS)} copied" in fetched.stdout
    environment["MASSIVE_S3_ENDPOINT"] = "http://127.0.0.1:1"  # a run asks nobody

    for minutes in (5, 10):
        short = f"--params=data.bar_minutes={minutes}"
        done = workspace.kedro(
            "run", "--env=intraday", "--pipelines=data_engineering,leakage_audit", short, **environment
        )
        assert done.returncode == 0, done.stdout + done.stderr
        check_bars_and_labels(workspace, minutes)
    done = workspace.kedro("run", "--env=intraday", "--params=profile=full", **environment)
    assert done.returncode == 0, done.stdout + done.stderr
    check_bars_and_labels(workspace, 60)
    check_results(workspace, done.stdout)
    opened = workspace.kedro("run", "--env=intraday", "--pipeline=holdout", **environment)
    assert opened.returncode == 0, opened.stdout + opened.stderr
    check_holdout(workspace)
    refused = workspace.kedro("run", "--env=intraday", "--pipeline=inference", **environment)
    assert refused.returncode == 1
    assert "inference is made for daily bars" in refused.stderr
    assert "Running node" not in refused.stdout + refused.stderr


def check_bars_and_labels(workspace, minutes):
    data = workspace.root / "data/intraday"
    panel = pl.read_parquet(data / "03_primary/panel.parquet")
    # 390 minutes a session; the third of July has 210.
    whole = {s: -(-(210 if s == date(2024, 7, 3) else 390) // minutes) for s in SESSIONS}
    counted = dict(panel.filter(pl.col("symbol") == "KO").group_by("session").len().iter_rows())
    assert counted == whole
    assert panel["high"].max() < 999.0
    labels = pl.read_parquet(data / "04_feature/labels.parquet")
    wanted = by_hand(panel, minutes)
    target = labels[f"target_{minutes}min"].to_numpy()
    assert target == pytest.approx(wanted.to_numpy(), nan_ok=True, abs=1e-12)
    assert labels["direction"].null_count() == len(SYMBOLS) * len(SESSIONS)  # the last bar of each session
    matrix = pl.read_parquet(data / "04_feature/feature_matrix.parquet")
    first = matrix.filter(pl.col("bar_end") == pl.col("bar_end").min().over("symbol", "session"))
    assert first["ret_1d"].null_count() == first.height  # no window reaches over the night
    report = json.loads((data / "08_reporting/audit_report.json").read_text())
    assert report["verdict"] == "pass"


def check_results(workspace, said):
    data = workspace.root / "data/intraday"
    oof = pl.read_parquet(data / "07_model_output/oof.parquet")
    assert oof.columns[:3] == ["symbol", "session", "bar_end"]
    assert not oof.select("symbol", "bar_end", "target", "model").is_duplicated().any()
    plan = pl.read_parquet(data / "05_model_input/fold_plan.parquet")
    held = plan.filter(pl.col("role") == "holdout")["session"].unique()
    assert set(oof["session"]) & set(held) == set()
    assert oof.group_by("session", "model").agg(pl.col("fold").n_unique())["fold"].unique().to_list() == [1]
    scores = pl.read_parquet(data / "08_reporting/scores.parquet")
    ensemble = scores.filter(pl.col("model") == "ensemble").row(0, named=True)
    assert ensemble["n_sessions"] == oof["session"].n_unique()
    assert ensemble["auc_daily_lo"] < 0.5 < ensemble["auc_daily_hi"]  # the files are a random walk
    omitted = pl.read_parquet(data / "08_reporting/economics_omitted.parquet")
    assert "what intraday bars would cost" in omitted["reason"][0]
    page = (data / "08_reporting/report.html").read_text()
    assert "Direction of the next bar of 60 minutes" in page
    assert "filled at the open of the next one" in page
    assert "AUDIT    pass" in said
    placebos = pl.read_parquet(data / "08_reporting/placebo_scores.parquet")
    assert placebos.group_by("model").len()["len"].unique().to_list() == [20]
    assert placebos["inside"].all()
    shadows = pl.read_parquet(data / "08_reporting/shadow_scores.parquet")
    assert {"logistic", "lightgbm"} == set(shadows["model"])


def check_holdout(workspace):
    """Every bar of the hold-out sessions that has a label is scored once by each model, and none of any other session."""
    data = workspace.root / "data/intraday"
    scored = pl.read_parquet(data / "07_model_output/holdout_oof.parquet")
    plan = pl.read_parquet(data / "05_model_input/fold_plan.parquet")
    held = plan.filter(pl.col("role") == "holdout")["session"].unique()
    labels = pl.read_parquet(data / "04_feature/labels.parquet")
    wanted = labels.filter(pl.col("session").is_in(held.implode()) & pl.col("relative").is_not_null())
    for (model,), part in scored.group_by("model"):
        assert part.select("symbol", "bar_end").sort("symbol", "bar_end").equals(wanted.select("symbol", "bar_end")), (
            model
        )
    assert {"logistic", "lightgbm", "ensemble"} <= set(scored["model"])
