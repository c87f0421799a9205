"""Rows of the newest session, and the table of feature groups."""

from __future__ import annotations

import json
import re

import polars as pl
import yaml
from polars.testing import assert_frame_equal

KEY = ["symbol", "session"]


def test_inference_rows_equal_those_that_training_made(workspace):
    before = workspace.bytes_of("05_model_input/*", "04_feature/*")
    done = workspace.kedro("run", "--pipeline=inference")
    assert done.returncode == 0, done.stdout + done.stderr
    matrix = pl.read_parquet(workspace.root / "data/04_feature/feature_matrix.parquet")
    newest = matrix.filter(pl.col("session") == pl.col("session").max()).sort(KEY)
    rows = pl.read_parquet(workspace.root / "data/07_model_output/inference_rows.parquet")
    assert rows.height == 6
    assert_frame_equal(rows, newest, check_exact=True)
    request = json.loads((workspace.root / "data/07_model_output/inference_request.json").read_text())
    assert request["session"] == "2022-12-28"
    assert request["symbols"] == rows["symbol"].to_list()
    assert len(request["certificate_sha"]) == 64
    assert "REQUEST  session 2022-12-28, 6 symbols" in done.stdout
    assert workspace.bytes_of("05_model_input/*", "04_feature/*") == before, "inference touched what training saved"


def test_inference_at_an_earlier_close_sees_what_was_known_then(workspace):
    """The same session asked before and after its future arrived."""
    done = workspace.kedro("run", "--pipeline=inference", "--params=data.last_session=2021-06-15")
    assert done.returncode == 0, done.stdout + done.stderr
    rows = pl.read_parquet(workspace.root / "data/07_model_output/inference_rows.parquet")
    matrix = pl.read_parquet(workspace.root / "data/04_feature/feature_matrix.parquet")
    assert str(rows["session"][0]) == "2021-06-15"
    assert_frame_equal(rows, matrix.filter(pl.col("session") == rows["session"][0]).sort(KEY), check_exact=True)


def test_inference_refuses_features_that_were_not_audited(workspace):
    small = yaml.safe_load((workspace.root / "conf/local/parameters_test.yml").read_text())
    workspace.configure({**small, "features": {"exclude": ["ret_1d"]}})
    done = workspace.kedro("run", "--pipeline=inference")
    assert done.returncode == 1
    assert "CertificateError: the rows of the newest session are not made as the audited ones were" in done.stderr


def test_feature_groups_by_symbol_with_intervals_and_luck(workspace):
    done = workspace.kedro("run", "--pipeline=feature_groups")
    assert done.returncode == 0, done.stdout + done.stderr
    table = pl.read_parquet(workspace.root / "data/08_reporting/group_scores.parquet")
    assert table.height == 3 * 6
    assert set(table["group"]) == {"lagged", "cross_asset", "combined"}
    assert table.select((pl.col("lo") <= pl.col("auc")) & (pl.col("auc") <= pl.col("hi"))).to_series().all()
    assert (table["q_value"] >= table["p_value"]).all()
    assert re.search(
        r"lagged +median 0\.\d{3}; best \w+ 0\.\d{3} \[0\.\d{3}, 0\.\d{3}\] \(luck alone: 0\.\d{3}\)", done.stdout
    )
