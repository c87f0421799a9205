"""A workspace that can only say no is no use: a planted AUC is found again by the whole pipeline."""

from __future__ import annotations

import polars as pl
import pytest
import yaml

from conviction.testing import synthetic_market

PLANTED = {"n_symbols": 40, "n_sessions": 1500, "seed": 7, "planted_auc": 0.53}


@pytest.mark.slow
def test_a_planted_auc_is_recovered_within_its_interval(fresh_workspace):
    (fresh_workspace.root / "conf/local/parameters_test.yml").unlink()
    done = fresh_workspace.kedro("run", "--env=synthetic")
    assert done.returncode == 0, done.stdout + done.stderr

    market = synthetic_market(**PLANTED)
    scores = pl.read_parquet(fresh_workspace.root / "data/synthetic/08_reporting/scores.parquet")
    ensemble = scores.filter((pl.col("target") == "relative") & (pl.col("model") == "ensemble")).row(0, named=True)
    assert market.oracle_auc == pytest.approx(0.53, abs=0.001)
    assert ensemble["auc_pooled_lo"] < market.oracle_auc < ensemble["auc_pooled_hi"]
    assert ensemble["auc_pooled_lo"] > 0.51
    assert ensemble["verdict"] == "skill"

    assert not (fresh_workspace.root / "data/08_reporting").exists(), "synthetic results lie beside real ones"
    runs = fresh_workspace.runs("synthetic")
    assert {run.data.tags["source"] for run in runs if "mlflow.parentRunId" not in run.data.tags} == {"synthetic"}


@pytest.mark.slow
def test_without_a_signal_nothing_is_claimed(fresh_workspace):
    (fresh_workspace.root / "conf/local/parameters_test.yml").unlink()
    done = fresh_workspace.kedro("run", "--env=synthetic", "--params=synthetic.planted_auc=0.5")
    assert done.returncode == 0, done.stdout + done.stderr
    scores = pl.read_parquet(fresh_workspace.root / "data/synthetic/08_reporting/scores.parquet")
    ensemble = scores.filter(pl.col("model") == "ensemble")
    assert ensemble.height == 2
    assert set(ensemble["verdict"]) <= {"not distinguishable from luck", "underpowered"}


@pytest.mark.market
@pytest.mark.slow
def test_real_prices_of_a_users_table(fresh_workspace, market_dir):
    symbols = ["AAPL", "JPM", "KO", "MSFT", "PG", "XOM"]
    # Kedro refuses a key that stands in two files of one environment.
    shipped = fresh_workspace.root / "conf/sp500/parameters.yml"
    given = yaml.safe_load(shipped.read_text())
    shipped.unlink()
    fresh_workspace.configure(
        {
            **given,
            "universe": "six",
            "universes": {"six": symbols},
            "folds": {"n_folds": 2, "min_train_sessions": 300, "holdout_sessions": 100},
            "modeling": {"targets": ["relative"], "models": ["logistic"], "tuning": {"n_trials": 2}},
        },
        env="sp500",
    )
    done = fresh_workspace.kedro(
        "run",
        "--env=sp500",
        CONVICTION_BARS=str(market_dir / "sp500_daily_2020_2024.parquet"),
        CONVICTION_INDEX=str(market_dir / "sp500_index_daily.csv"),
        CONVICTION_VIX=str(market_dir / "vix_daily.csv"),
    )
    assert done.returncode == 0, done.stdout + done.stderr
    matrix = pl.read_parquet(fresh_workspace.root / "data/04_feature/feature_matrix.parquet")
    assert sorted(matrix["symbol"].unique()) == symbols
    catalog = pl.read_parquet(fresh_workspace.root / "data/04_feature/feature_catalog.parquet")
    made = set(catalog.filter(pl.col("omitted").is_null())["feature"])
    assert "natr_14" in made, "features of high and low are built where the source has them"
