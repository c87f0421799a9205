"""Models, variants, splitters, universes and bad input, chosen on the command line."""

from __future__ import annotations

import os
import re
import sqlite3
from pathlib import Path

import polars as pl
import pytest
import yaml

from conviction.models import MODELS

SMALL = yaml.safe_load((Path(__file__).parent / "small.yml").read_text())
CHEAP = {
    "catboost": {"n_estimators": 20, "early_stopping_rounds": 5},
    "gru": {"max_epochs": 2, "length": 5, "hidden": 4},
    "tabnet": {"max_epochs": 2},
    "random_forest": {"n_estimators": 10},
    "xgboost": {"n_estimators": 20},
}


def frame(workspace, name: str) -> pl.DataFrame:
    return pl.read_parquet(workspace.root / "data" / f"{name}.parquet")


def modeling(workspace, params: str = "", **environment: str):
    """Run `modeling` alone on the audited panel that is there."""
    options = [f"--params={params}"] if params else []
    return workspace.kedro("run", "--pipeline=modeling", *options, **environment)


def children(workspace) -> tuple:
    """Return the newest command's run and its children by name."""
    runs = workspace.runs()
    parent = next(run for run in runs if run.data.tags.get("kind") == "command")
    mine = [run for run in runs if run.data.tags.get("mlflow.parentRunId") == parent.info.run_id]
    return parent, {run.info.run_name: run for run in mine}


def lay(workspace, **changes) -> None:
    """Change parameters of modeling for the next commands."""
    workspace.configure({**SMALL, "modeling": {**SMALL["modeling"], **changes}})


@pytest.mark.slow
def test_every_model_of_the_registry_pooled_calibrated_and_by_symbol(workspace):
    usable = [name for name, spec in MODELS.items() if spec.missing_extra() is None]
    baselines = [name for name in usable if MODELS[name].capabilities.baseline]
    models = [name for name in usable if name not in baselines]
    variants = [
        *models,
        *(f"{name}+isotonic" for name in models),
        "lightgbm+sigmoid",
        "logistic@symbol",
        "xgboost+sigmoid@symbol",
    ]
    lay(workspace, models=variants, baselines=baselines, parameters={k: v for k, v in CHEAP.items() if k in usable},
        tuning={"n_trials": 1}, tracked_trials="all")  # fmt: skip
    done = workspace.kedro("run", "--pipeline=modeling")
    assert done.returncode == 0, done.stdout + done.stderr
    oof = frame(workspace, "07_model_output/oof")
    assert set(oof["model"]) == {*variants, *baselines}
    counts = oof.group_by("model").len()
    assert counts["len"].n_unique() == 1, counts
    assert oof["score"].is_between(0, 1).all()
    explained = frame(workspace, "06_models/importances")
    assert {"tabnet", "random_forest"} & set(usable) <= set(explained["model"])
    assert explained.filter(pl.col("model") == "xgboost")["shap_mean_abs"].null_count() == 0
    parent, mine = children(workspace)
    assert mine["relative | lightgbm"].data.metrics["trials"] == 2
    history = workspace.client().get_metric_history(mine["relative | lightgbm"].info.run_id, "inner_curve_fold_00")
    steps = [point.step for point in history]
    assert len(steps) > 2
    assert (steps[0], steps) == (1, sorted(set(steps)))
    assert {"version.catboost", "version.torch"} <= set(parent.data.tags)
    ensemble = workspace.kedro("run", "--pipeline=ensembling")
    assert ensemble.returncode == 0, ensemble.stdout + ensemble.stderr


@pytest.mark.slow
def test_scope_and_calibration_for_all_models(workspace):
    lay(workspace, models=["lightgbm"], fitting={"scope": "per_symbol", "calibration": "sigmoid", "class_balance": True,
                                                 "uniqueness": True, "half_life_sessions": 250})  # fmt: skip
    done = modeling(workspace)
    assert done.returncode == 0, done.stdout + done.stderr
    label = "lightgbm+sigmoid@symbol"
    oof = frame(workspace, "07_model_output/oof").filter(pl.col("model") == label)
    assert oof["symbol"].n_unique() == 6
    assert frame(workspace, "06_models/trials").height == 0
    parent, mine = children(workspace)
    assert parent.data.params["modeling.models"] == label
    assert mine[f"relative | {label}"].data.metrics["fits"] == 12


def test_names_on_the_command_line_are_written_with_spaces(workspace):
    done = modeling(
        workspace, "modeling.models=momentum random_forest,modeling.untuned=random_forest,modeling.fitting.refit=no"
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert set(frame(workspace, "07_model_output/oof")["model"]) == {
        "momentum",
        "random_forest",
        "base_rate",
        "reversal_1d",
    }


@pytest.mark.parametrize(
    ("params", "words"),
    [
        ("modeling.tuning.search.lightgbm.num_leaves.low=99", "search dimension 'num_leaves' is impossible"),
        ("modeling.tuning.storage=postgresql+psycopg://me" + ":topsecret" + "@nowhere/db", "holds a password"),
    ],
)
def test_an_impossible_choice_is_refused_before_any_node(workspace, params, words):
    done = modeling(workspace, params)
    said = done.stdout + done.stderr
    assert done.returncode == 1, said
    assert re.search(words, said), said
    assert "Traceback" not in said
    assert "Running node" not in said
    assert "topsecret" not in said


def hide(workspace, package: str) -> dict[str, str]:
    """Return an environment in which a package is not installed."""
    folder = workspace.root / "hidden"
    folder.mkdir(exist_ok=True)
    (folder / "sitecustomize.py").write_text(f"import sys\nsys.modules[{package!r}] = None\n")
    return {"PYTHONPATH": os.pathsep.join(filter(None, [str(folder), os.environ.get("PYTHONPATH", "")]))}


@pytest.mark.slow
def test_a_missing_extra_stops_the_run_or_is_on_record(workspace):
    hidden = hide(workspace, "catboost")
    refused = modeling(workspace, "modeling.models=catboost logistic", **hidden)
    said = refused.stdout + refused.stderr
    assert refused.returncode == 1, said
    assert "MissingExtraError" in said
    assert "make setup-catboost" in said
    assert "tuning" not in refused.stdout.split("Running node: tune_models")[-1].partition("\n")[2]
    done = modeling(workspace, "modeling.models=catboost logistic,modeling.on_missing_extra=skip", **hidden)
    assert done.returncode == 0, done.stdout + done.stderr
    _, mine = children(workspace)
    assert "make setup-catboost" in mine["catboost (left out)"].data.tags["left_out"]
    (row,) = frame(workspace, "08_reporting/left_out").to_dicts()
    assert row["model"] == "catboost"


@pytest.mark.slow
def test_a_symbol_with_too_few_sessions_is_left_out_with_its_reason(workspace):
    done = modeling(workspace, "modeling.models=logistic@symbol,modeling.fitting.min_train_rows=600")
    assert done.returncode == 0, done.stdout + done.stderr
    table = frame(workspace, "08_reporting/left_out")
    assert set(table["fold"]) == {0}
    assert table["reason"].str.contains("too few sessions to train on").all()
    _, mine = children(workspace)
    tag = mine["relative | logistic@symbol"].data.tags["left_out"]
    assert tag.startswith("6 fits of AAPL, JPM")


@pytest.mark.slow
def test_the_trials_stay_in_a_storage_that_is_named(workspace):
    done = modeling(workspace, "modeling.tuning.storage=sqlite:///mine.db")
    assert done.returncode == 0, done.stdout + done.stderr
    with sqlite3.connect(workspace.root / "mine.db") as connection:
        states = [row[0] for row in connection.execute("select state from trials")]
    assert states == ["COMPLETE"] * 8
    again = modeling(workspace, "modeling.tuning.storage=sqlite:///mine.db")
    assert "tuning goes on with 8 finished trials" in again.stdout
    assert not list(workspace.root.glob("data/06_models/studies-*"))
    nobody = modeling(workspace, "modeling.tuning.storage=postgresql+psycopg://127.0.0.1:1/studies")
    assert nobody.returncode == 1
    assert "TuningError: the storage of studies cannot be used" in nobody.stdout + nobody.stderr
