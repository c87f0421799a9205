"""The champion behind an endpoint: deployed, healthy, asked and torn down, or the reason why not."""

from __future__ import annotations

import json
from types import SimpleNamespace

import polars as pl
import pytest

from conviction.ensembling import EnsemblingParameters
from conviction.folds import FoldParameters, make_fold_plan
from conviction.oof import fit_out_of_fold
from conviction.serving import assemble_served
from conviction.testing import planted_panel
from conviction_kedro.sagemaker import (
    EndpointError,
    PreflightError,
    SageMakerParameters,
    deploy,
    invoke,
    model_archive,
    teardown,
)
from conviction_kedro.sagemaker._stand_in_trial import tar_members

MODELS = ("lightgbm", "xgboost")
SHA = "c" * 64


@pytest.fixture(scope="module")
def champion():
    """A served model, the rows of one later session, and what the model itself says of them."""
    panel = planted_panel(n_symbols=8, n_sessions=330, n_features=6, planted_auc=0.6, seed=3)
    folds = FoldParameters(
        purge=1, embargo=5, holdout_sessions=30, n_folds=2, min_train_sessions=120, inner_fraction=0.2
    )
    plan = make_fold_plan(panel.labels, folds=folds)
    certificate = SimpleNamespace(sha=SHA, plan_sha=plan.hash, code_sha="d" * 64)
    audited = SimpleNamespace(
        frame=panel.frame, features=panel.features, targets=panel.targets, certificate=certificate
    )
    fits = fit_out_of_fold(audited, plan, targets=("relative",), models=MODELS, params={}, seed=1)
    served = assemble_served(
        audited,
        fits.predictions.filter(pl.col("fold") == 0),
        {f"relative/{name}": fits.models[f"relative/{name}/fold_01"] for name in MODELS},
        choices={"relative": "mean"},
        symbols=panel.frame["symbol"].unique().to_list(),
        ensembling=EnsemblingParameters(purge=1, n_resamples=100, challengers=("mean",)),
        seed=1,
        calendar="XNYS",
        decision="close",
        max_age_sessions=None,
    )
    session = plan.sessions(1, "test")[3]
    rows = panel.frame.filter(pl.col("session") == session).select("symbol", "session", *panel.features)
    return served, rows, served.score(rows)


def body_of(rows, sha=SHA):
    plain = rows.with_columns(pl.col("session").cast(pl.String))
    table = {"columns": plain.columns, "data": [list(row) for row in plain.rows()]}
    return json.dumps({"dataframe_split": table, "params": {"certificate_sha": sha}}).encode()


def settings_for(cloud, **more):
    own = {"bucket": cloud.bucket, "role_arn": "arn:aws:iam::123456789012:role/serving", "poll_seconds": 0.3}
    return SageMakerParameters(**{**own, **more})


@pytest.mark.slow
def test_an_endpoint_answers_what_the_model_answers_and_goes_away(cloud, champion):
    served, rows, wanted = champion
    here = cloud()
    settings = settings_for(here)
    made = deploy(served, body_of(rows), settings=settings, clients=here.clients)
    assert made["rows"] == rows.height
    answer = pl.DataFrame(invoke(made["endpoint"], body_of(rows), clients=here.clients)["predictions"])
    joined = answer.join(wanted, on="symbol", suffix="_wanted")
    assert joined["relative_score"].to_list() == joined["relative_score_wanted"].to_list()
    with pytest.raises(EndpointError, match=r"partial session.*Endpoints/conviction-champion"):
        invoke(made["endpoint"], body_of(rows.head(3)), clients=here.clients)
    with pytest.raises(EndpointError, match="certificate"):
        invoke(made["endpoint"], body_of(rows, sha="d" * 64), clients=here.clients)
    assert teardown(made["endpoint"], None, clients=here.clients) == ["endpoint", "endpoint_config", "model"]
    assert teardown(made["endpoint"], made["model"], clients=here.clients) == []


def test_an_endpoint_that_never_answers_its_ping_is_told_and_torn_down(cloud, champion):
    served, rows, _ = champion
    here = cloud(unhealthy=True)
    with pytest.raises(EndpointError, match=r"did not pass the ping health check.*/aws/sagemaker/Endpoints/"):
        deploy(served, body_of(rows), settings=settings_for(here), clients=here.clients)
    assert {"DeleteEndpoint", "DeleteEndpointConfig", "DeleteModel"} <= set(here.sagemaker.calls)


def test_an_endpoint_that_takes_too_long_is_told_and_torn_down(cloud, champion):
    served, rows, _ = champion
    here = cloud(unhealthy=True)
    settings = settings_for(here, endpoint={"wait_seconds": 5})
    now = iter([0.0, 3.0, 9.0, 9.0])
    with pytest.raises(EndpointError, match=r"not healthy after 5 s.*Creating"):
        deploy(
            served,
            body_of(rows),
            settings=settings,
            clients=here.clients,
            clock=lambda: next(now),
            sleep=lambda _: None,
        )
    assert "DeleteEndpoint" in here.sagemaker.calls


def test_what_would_be_refused_is_found_before_anything_is_created(cloud, champion):
    served, rows, _ = champion
    here = cloud()
    settings = settings_for(here, role_arn="nobody", endpoint={"name": "under_score", "instance": "ml.m5.huge"})
    with pytest.raises(PreflightError) as told:
        deploy(served, body_of(rows), settings=settings, clients=here.clients)
    for words in ("ExecutionRoleArn", "under_score", "ml.m5.huge"):
        assert words in str(told.value)
    assert here.sagemaker.calls == []


def test_the_archive_has_a_model_fn_and_the_same_bytes_each_time(champion):
    served = champion[0]
    first, again = model_archive(served), model_archive(served)
    assert first.sha == again.sha
    files = tar_members(first.content)
    assert b"def model_fn(" in files["code/inference.py"]
    assert {"code/requirements.txt", "code/conviction/serving/__init__.py", "served/contract.json"} <= set(files)
    assert not [name for name in files if name.endswith((".pkl", ".pickle", ".joblib"))]
