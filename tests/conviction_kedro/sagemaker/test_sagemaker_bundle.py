"""What goes to a training job: the same bytes for the same data; and the bundle as CSV, described and without a future."""

from __future__ import annotations

import io
import json
import sys
import uuid

import numpy as np
import polars as pl
import pytest

from conviction_kedro.sagemaker import code_archive, csv_bundle, training_bundle
from conviction_kedro.sagemaker._stand_in_trial import tar_members


@pytest.fixture(scope="module")
def made(panel, plan):
    return csv_bundle(panel, plan, target="relative", fold=1, pin="s3://team/bars.parquet;version=1")


def read(made, name, columns):
    return pl.read_csv(made.files[name], has_header=False, new_columns=columns)


def test_the_three_files_have_the_target_first_no_header_and_the_rows_of_their_sessions(made, panel, plan):
    columns = json.loads(made.files["feature_metadata.json"])["columns"]
    assert columns == ["relative", *panel.features]
    for name, role in (("train", "train"), ("validation", "inner"), ("test", "test")):
        table = read(made, f"{name}.csv", columns)
        sessions = plan.sessions(1, role).implode()
        # The oracle: the panel's own rows, filtered by hand.
        wanted = panel.frame.filter(pl.col("session").is_in(sessions) & pl.col("relative").is_not_null())
        wanted = wanted.sort("session", "symbol")
        assert table["relative"].to_list() == wanted["relative"].to_list()
        for feature in panel.features:
            np.testing.assert_allclose(
                table[feature].cast(pl.Float64).to_numpy(), wanted[feature].cast(pl.Float64).to_numpy(), rtol=1e-6
            )
        keys = pl.read_csv(made.files[f"{name}_keys.csv"])
        assert keys["symbol"].to_list() == wanted["symbol"].to_list()


def test_the_scaler_knows_the_training_part_alone(made, panel, plan):
    scaler = json.loads(made.files["scaler.json"])
    train = panel.frame.filter(
        pl.col("session").is_in(plan.sessions(1, "train").implode()) & pl.col("relative").is_not_null()
    )
    for position, feature in enumerate(panel.features):
        assert scaler["mean"][position] == pytest.approx(train[feature].cast(pl.Float64).mean(), rel=1e-6)
    changed = panel.frame.with_columns(
        pl.when(pl.col("session").is_in(plan.sessions(1, "train").implode()))
        .then(pl.col(panel.features[0]))
        .otherwise(pl.col(panel.features[0]) + 100)
    )
    from dataclasses import replace

    other = csv_bundle(replace(panel, frame=changed), plan, target="relative", fold=1)
    assert other.files["scaler.json"] == made.files["scaler.json"]
    assert other.files["test.csv"] != made.files["test.csv"]


def test_the_metadata_vouch_for_every_file(made):
    import hashlib

    metadata = json.loads(made.files["feature_metadata.json"])
    assert metadata["dataset_pin"] == "s3://team/bars.parquet;version=1"
    parts = metadata["parts"]
    assert parts["train"]["last"] < parts["validation"]["first"] <= parts["validation"]["last"] < parts["test"]["first"]
    for name, sha in metadata["sha256"].items():
        assert hashlib.sha256(made.files[name]).hexdigest() == sha


def test_the_same_data_give_the_same_address_and_other_data_another(panel, plan, bundle):
    arguments = {"targets": ("relative", "direction"), "folds": plan.folds, "inner_folds": 2}
    assert training_bundle(panel, plan, **arguments).sha == bundle.sha
    assert training_bundle(panel, plan, **{**arguments, "inner_folds": 1}).sha != bundle.sha
    assert all(
        np.load(io.BytesIO(content), allow_pickle=False) is not None
        for name, content in bundle.files.items()
        if "npy" in name
    )


def test_archives_are_reproducible_and_carry_what_their_image_lacks(monkeypatch):
    names = {model: set(tar_members(code_archive(model).content)) for model in ("xgboost", "lightgbm", "gru")}
    assert names["xgboost"] == {"entry_point.py"}
    assert names["lightgbm"] == {"entry_point.py", "requirements.txt"}
    assert {"entry_point.py", "requirements.txt", "conviction/models/_gru.py"} <= names["gru"]
    now = code_archive("gru").sha
    monkeypatch.setattr("time.time", lambda: 4e9)
    assert code_archive("gru").sha == now, "the clock is in the archive"


def test_launching_needs_no_sdk(panel, plan, monkeypatch):
    """A launch was once lost because the SDK was missing: requests and clients are boto3's, which the core has."""
    from conviction_kedro.sagemaker import RunIdentity, SageMakerParameters, aws_clients, plan_jobs

    monkeypatch.setitem(sys.modules, "sagemaker", None)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "nobody")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", uuid.uuid4().hex)
    from conviction.tuning import TuningParameters

    settings = SageMakerParameters(bucket="team-bucket", role_arn="arn:aws:iam::123456789012:role/training")
    made = plan_jobs(
        panel, plan, searches=[("relative", "xgboost")], tuning=TuningParameters(), settings=settings, seed=1,
        identity=RunIdentity(universe="six"),
    )  # fmt: skip
    assert made["checks"]["errors"] == 0
    clients = aws_clients("eu-west-1")
    assert clients.sagemaker.meta.service_model.service_name == "sagemaker"
    for client in (clients.sagemaker, clients.s3, clients.runtime, clients.quotas, clients.iam, clients.cloudwatch):
        client.close()
