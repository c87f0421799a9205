"""The main job through the command line: what it saves, says and records."""

from __future__ import annotations

import json
import re

import polars as pl
import pytest

from conviction.frames import check_panel

STAGES = ["data_engineering", "leakage_audit", "modeling", "ensembling", "reporting"]
KEY = ["symbol", "session", "target", "model"]


def test_the_summary_comes_last_with_intervals_and_where_to_look_next(finished):
    tail = finished.output[finished.output.index("VERDICT") :]
    assert re.search(r"relative +ensemble +0\.\d{3} \[0\.\d{3}, 0\.\d{3}\]", tail)
    assert tail.rstrip().endswith("kedro run --pipeline=holdout")


def test_every_dataset_is_whole_and_says_which_run_made_it(finished):
    files = [
        path for path in (finished.root / "data").rglob("*") if path.is_file() and not path.name.endswith(".meta.json")
    ]
    assert len(files) >= 25
    runs = {json.loads((path.parent / f"{path.name}.meta.json").read_text())["run_id"] for path in files}
    assert len(runs) == 1
    assert "no-run" not in runs


def test_nothing_is_predicted_in_a_session_that_was_trained_on_or_held_out(finished):
    oof = check_panel(pl.read_parquet(finished.root / "data/07_model_output/oof.parquet"), name="oof", key=KEY)
    plan = pl.read_parquet(finished.root / "data/05_model_input/fold_plan.parquet")
    joined = oof.join(plan, on=["fold", "session"], how="left")
    assert set(joined["role"].unique()) == {"test"}
    holdout = plan.filter(pl.col("role") == "holdout")["session"].unique()
    assert len(holdout) == 120
    assert not set(oof["session"]) & set(holdout)


def test_the_run_is_on_record_with_children_parameters_and_intervals(finished):
    runs = finished.runs()
    parents = [run for run in runs if "mlflow.parentRunId" not in run.data.tags]
    assert len(parents) == 1
    parent = parents[0]
    assert parent.info.status == "FINISHED"
    assert parent.data.params["folds.purge"] == "1"
    assert parent.data.tags["audit_verdict"] == "pass"
    for tag in ("commit", "lock_sha", "data_fingerprint", "parameter_sha", "environment", "pipeline", "dirty"):
        assert parent.data.tags[tag]
    children = {(run.data.tags["target"], run.data.tags["model"]): run for run in runs if run is not parent}
    assert {model for _, model in children} >= {
        "logistic",
        "lightgbm",
        "rank_mean",
        "stack_logistic",
        "ensemble",
        "base_rate",
        "reversal_1d",
    }
    for (_, model), run in children.items():
        metrics = run.data.metrics
        assert metrics["auc_pooled_lo"] <= metrics["auc_pooled"] <= metrics["auc_pooled_hi"], model
        assert run.data.tags["split"] == "oof"
    assert parent.data.metrics.items() >= children["relative", "ensemble"].data.metrics.items()
    assert parent.data.tags["headline"] == "relative | ensemble"
    assert parent.data.tags["verdict"] == children["relative", "ensemble"].data.tags["verdict"]
    (seen,) = parent.inputs.dataset_inputs
    assert parent.data.tags["data_fingerprint"].startswith(seen.dataset.digest)
    assert parent.data.tags["mlflow.note.content"].startswith("**relative: ")


def test_models_are_logged_with_signature_and_load_as_pyfunc(finished, tmp_path):
    import mlflow
    import pandas as pd

    scored = [run for run in finished.runs() if run.data.tags.get("split") == "oof"]
    run = next(run for run in scored if run.data.tags["model"] == "lightgbm")
    path = finished.client().download_artifacts(run.info.run_id, "model", str(tmp_path))
    model = mlflow.pyfunc.load_model(path)
    names = model.metadata.get_input_schema().input_names()
    rows = pl.read_parquet(finished.root / "data/04_feature/feature_matrix.parquet").tail(5)
    scores = model.predict(rows.select(names).to_pandas().astype("float32"))
    assert isinstance(scores, pd.DataFrame)
    assert scores["score"].between(0, 1).all()


def test_each_pipeline_runs_alone_from_what_the_one_before_saved_and_gives_the_same_bytes(workspace):
    before = workspace.bytes_of("07_model_output/*.parquet", "06_models/models.zip")
    assert len(before) == 4
    for stage in STAGES:
        done = workspace.kedro("run", f"--pipeline={stage}")
        assert done.returncode == 0, done.stdout + done.stderr
        assert "deprecated" not in done.stdout + done.stderr
    assert workspace.bytes_of("07_model_output/*.parquet", "06_models/models.zip") == before


def test_modeling_refuses_an_audited_panel_that_other_parameters_made(workspace):
    workspace.configure(
        {**__import__("yaml").safe_load((workspace.root / "conf/local/parameters_test.yml").read_text()), "seed": 1}
    )
    done = workspace.kedro("run", "--pipeline=modeling")
    assert done.returncode == 1
    assert "SnapshotError: the saved 'audited_panel' is stale" in done.stderr


def test_a_certificate_does_not_survive_new_data(workspace):
    done = workspace.kedro("run", "--pipeline=data_engineering", "--params=universe=aapl")
    assert done.returncode == 0, done.stdout + done.stderr
    refused = workspace.kedro("run", "--pipeline=modeling", "--params=universe=aapl")
    assert refused.returncode == 1
    assert "stale" in refused.stderr


@pytest.mark.slow
def test_the_holdout_opens_on_the_record_and_every_report_says_so(workspace):
    before = (workspace.root / "data/08_reporting/summary.txt").read_text()
    assert "hold-out openings: 0" in before
    for _ in range(2):
        done = workspace.kedro("run", "--pipeline=holdout")
        assert done.returncode == 0, done.stdout + done.stderr
    openings = json.loads((workspace.root / "data/08_reporting/holdout_openings.json").read_text())
    assert len(openings) == 2
    scores = pl.read_parquet(workspace.root / "data/08_reporting/holdout_scores.parquet")
    assert set(scores["split"]) == {"holdout"}
    assert scores.filter(pl.col("model") == "ensemble").height == 1
    again = workspace.kedro("run", "--pipeline=reporting")
    assert "hold-out openings: 2" in again.stdout
    assert len([run for run in workspace.runs("holdout") if "mlflow.parentRunId" not in run.data.tags]) == 2
