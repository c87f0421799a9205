"""The MLflow model and its registry, against a real store in a temporary folder."""

from __future__ import annotations

import json
from types import SimpleNamespace

import polars as pl
import pytest

from conviction.ensembling import EnsemblingParameters
from conviction.folds import FoldParameters, make_fold_plan
from conviction.oof import fit_on_everything, fit_out_of_fold
from conviction.serving import assemble_served
from conviction.testing import planted_panel
from conviction_kedro.registry import Registry, RegistryError
from conviction_kedro.requests import body_of
from conviction_kedro.serving import AS_OF, write_serving_model

SHA = "c" * 64
# MLflow 3.17 on pandas 3.1; nothing of ours.
pytestmark = pytest.mark.filterwarnings("ignore:Operation with range is deprecated")


@pytest.fixture(scope="module")
def small():
    panel = planted_panel(n_symbols=6, n_sessions=200, n_features=5, planted_auc=0.6, seed=2)
    folds = FoldParameters(purge=1, embargo=2, holdout_sessions=20, n_folds=2, min_train_sessions=60)
    plan = make_fold_plan(panel.labels, folds=folds)
    audited = SimpleNamespace(
        frame=panel.frame,
        features=panel.features,
        targets=panel.targets,
        certificate=SimpleNamespace(sha=SHA, code_sha="", plan_sha=plan.hash),
    )
    arguments = {"targets": ("relative",), "models": ("logistic",), "params": {}, "seed": 1}
    newest = panel.frame.filter(pl.col("session") == pl.col("session").max()).select(
        "symbol", "session", *panel.features
    )
    served = assemble_served(
        audited,
        fit_out_of_fold(audited, plan, **arguments).predictions,
        fit_on_everything(audited, folds=folds, **arguments),
        choices={"relative": "rank_mean"},
        symbols=newest["symbol"].to_list(),
        ensembling=EnsemblingParameters(purge=1),
        seed=1,
        calendar="XNYS",
        decision="close",
        max_age_sessions=3,
    )
    return served, newest


@pytest.fixture(scope="module")
def folder(small, tmp_path_factory):
    served, newest = small
    path = tmp_path_factory.mktemp("model") / "model"
    write_serving_model(served, path, example=newest, metadata={"run_id": "r"})
    return path


def test_mlflow_loads_it_by_its_signature_and_gets_the_bits_of_the_library(small, folder, monkeypatch):
    import mlflow.pyfunc

    served, newest = small
    monkeypatch.setenv(AS_OF, f"{newest['session'][0]}T23:00+00:00")
    model = mlflow.pyfunc.load_model(str(folder))
    assert [spec.name for spec in model.metadata.signature.inputs.inputs][:2] == ["symbol", "session"]
    rows = newest.with_columns(pl.col("session").cast(pl.String)).to_pandas()
    got = pl.from_pandas(model.predict(rows, params={"certificate_sha": SHA}))
    wanted = served.score(newest)
    assert got["relative_score"].to_list() == wanted["relative_score"].to_list()
    assert got["relative_probability"].to_list() == wanted["relative_probability"].to_list()


def test_a_refusal_is_the_kind_of_error_that_the_server_answers_with_400(small, folder, monkeypatch):
    import mlflow.pyfunc
    from mlflow.exceptions import MlflowException

    _, newest = small
    monkeypatch.setenv(AS_OF, f"{newest['session'][0]}T23:00+00:00")
    rows = newest.with_columns(pl.col("session").cast(pl.String)).to_pandas()
    model = mlflow.pyfunc.load_model(str(folder))
    with pytest.raises(MlflowException, match="a partial session: 5 of 6 symbols") as refused:
        model.predict(rows.head(5), params={"certificate_sha": SHA})
    assert refused.value.get_http_status_code() == 400
    monkeypatch.delenv(AS_OF)
    with pytest.raises(MlflowException, match="a stale session"):
        model.predict(rows, params={"certificate_sha": SHA})
    monkeypatch.setenv(AS_OF, "soon")
    with pytest.raises(MlflowException, match="holds no moment"):
        model.predict(rows, params={"certificate_sha": SHA})


def test_its_files_are_native_and_the_example_is_a_request(folder):
    suffixes = {path.suffix for path in folder.rglob("*") if path.is_file() and "data" in path.parts}
    assert suffixes == {".json"}, "a logistic regression is numbers"
    assert json.loads((folder / "serving_input_example.json").read_text())["params"] == {"certificate_sha": SHA}


def test_the_body_of_a_request_keeps_every_bit(small):
    _, newest = small
    body = json.loads(json.dumps(body_of(newest, {"certificate_sha": SHA})))
    columns = body["dataframe_split"]["columns"]
    back = pl.DataFrame(body["dataframe_split"]["data"], schema=columns, orient="row")
    for name in columns[2:]:
        assert back[name].cast(pl.Float32).to_list() == newest[name].to_list()
    assert body["params"] == {"certificate_sha": SHA}


@pytest.fixture
def registry(tmp_path):
    config = {"uri": "sqlite:///runs.db", "registry_uri": "sqlite:///models.db"}
    return Registry.open(config, tmp_path)


def run(registry, tmp_path):
    experiment = registry.client.get_experiment_by_name("e")
    identifier = (
        experiment.experiment_id if experiment else registry.client.create_experiment("e", (tmp_path / "a").as_uri())
    )
    return registry.client.create_run(identifier).info.run_id


def test_champions_follow_each_other_and_go_back(registry, folder, tmp_path):
    assert registry.champion() is None
    with pytest.raises(RegistryError, match="there is no champion to serve"):
        registry.require_champion()
    runs = [run(registry, tmp_path) for _ in range(2)]
    versions = [registry.crown(folder, run_id=one, tags={"gate": "held"}, description="d") for one in runs]
    assert versions == ["1", "2"]
    today = registry.require_champion()
    assert (today.version, today.run_id, today.tags["previous_champion"]) == ("2", runs[1], "1")
    left, back = registry.roll_back()
    assert (left.version, back.version) == ("2", "1")
    with pytest.raises(RegistryError, match="version 1 is the first champion"):
        registry.roll_back()
    assert (tmp_path / "models.db").exists()
    assert registry.address != registry.tracking


def test_the_registry_lies_beside_the_runs_unless_it_is_said_otherwise(tmp_path):
    one = Registry.open({"uri": "sqlite:///runs.db", "registry_uri": None}, tmp_path)
    assert one.address == one.tracking == f"sqlite:///{tmp_path / 'runs.db'}"
