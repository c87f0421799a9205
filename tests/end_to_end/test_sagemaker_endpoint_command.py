"""`kedro endpoint deploy` and `delete` against the stand-in, with a champion in a real registry."""

from __future__ import annotations

import json
from types import SimpleNamespace

import polars as pl
import pytest
import yaml

from conviction.ensembling import EnsemblingParameters
from conviction.folds import FoldParameters, make_fold_plan
from conviction.oof import fit_out_of_fold
from conviction.serving import assemble_served
from conviction.testing import planted_panel
from conviction_kedro.registry import Registry
from conviction_kedro.requests import body_of
from conviction_kedro.serving import write_serving_model
from conviction_kedro.tracking import open_store

pytestmark = [
    pytest.mark.slow,
    # MLflow's own comparison of column names while it writes the input example.
    pytest.mark.filterwarnings("ignore:Operation with range is deprecated"),
]
SHA = "c" * 64


@pytest.fixture
def crowned(fresh_workspace, tmp_path):
    """A workspace whose registry has a champion, and the body of a request for a session that it has not seen."""
    panel = planted_panel(n_symbols=8, n_sessions=330, n_features=6, planted_auc=0.6, seed=3)
    folds = FoldParameters(
        purge=1, embargo=5, holdout_sessions=30, n_folds=2, min_train_sessions=120, inner_fraction=0.2
    )
    plan = make_fold_plan(panel.labels, folds=folds)
    certificate = SimpleNamespace(sha=SHA, plan_sha=plan.hash, code_sha="d" * 64)
    audited = SimpleNamespace(
        frame=panel.frame, features=panel.features, targets=panel.targets, certificate=certificate
    )
    fits = fit_out_of_fold(audited, plan, targets=("relative",), models=("lightgbm", "xgboost"), params={}, seed=1)
    served = assemble_served(
        audited,
        fits.predictions.filter(pl.col("fold") == 0),
        {f"relative/{name}": fits.models[f"relative/{name}/fold_01"] for name in ("lightgbm", "xgboost")},
        choices={"relative": "mean"},
        symbols=panel.frame["symbol"].unique().to_list(),
        ensembling=EnsemblingParameters(purge=1, n_resamples=100, challengers=("mean",)),
        seed=1,
        calendar="XNYS",
        decision="close",
        max_age_sessions=None,
    )
    rows = panel.frame.filter(pl.col("session") == plan.sessions(1, "test")[3]).select(
        "symbol", "session", *panel.features
    )
    write_serving_model(served, tmp_path / "model", example=rows, metadata={})
    config = yaml.safe_load((fresh_workspace.root / "conf/base/tracking.yml").read_text())
    config["uri"] = "sqlite:///mlflow.db"
    store = open_store(config, fresh_workspace.root, pipeline="modeling")
    store.start(name="made for the test", tags={}, params={})
    registry = Registry.open(config, fresh_workspace.root)
    registry.crown(tmp_path / "model", run_id=store.run_id, tags={}, description="made for the test")
    store.finish()
    body = tmp_path / "body.json"
    body.write_text(json.dumps(body_of(rows, {"certificate_sha": SHA})))
    return fresh_workspace, body


def test_the_champion_is_deployed_asked_and_deleted_or_the_reason_is_told(crowned):
    workspace, body = crowned
    asked = ("endpoint", "deploy", "--env=sagemaker-local", f"--request={body}")
    done = workspace.kedro(*asked)
    assert done.returncode == 0, done.stderr[-3000:]
    assert "IN SERVICE  conviction-champion: version 1" in done.stdout
    assert "answered 8 rows" in done.stdout
    unhealthy = workspace.kedro(*asked, CONVICTION_STAND_IN_FAULTS='{"unhealthy": true}')
    assert unhealthy.returncode == 1
    assert "did not pass the ping health check" in unhealthy.stderr
    assert "/aws/sagemaker/Endpoints/conviction-champion" in unhealthy.stderr
    without = workspace.kedro("endpoint", "deploy", "--env=sagemaker-local")
    assert without.returncode == 1
    assert "kedro run --pipeline=inference first" in without.stderr
    deleted = workspace.kedro("endpoint", "delete", "--env=sagemaker-local")
    assert deleted.returncode == 0, deleted.stderr[-2000:]
    assert "nothing, there was no such endpoint" in deleted.stdout
