"""The training entry point, run as the container runs it, against the objective of the workspace."""

from __future__ import annotations

import ast
import re
import sys
from pathlib import Path

import numpy as np
import pytest

import conviction_kedro.sagemaker.entry_point as entry
from conviction.models import MODELS
from conviction.oof import LabelledRows
from conviction.tuning import gather_trials, stage_rows
from conviction.tuning._objective import auc_parts, make_stages, score_stages

FAST = {
    "xgboost": {"eta": 0.1, "n_estimators": 25, "max_depth": 3},
    "lightgbm": {"learning_rate": 0.1, "n_estimators": 25},
    "catboost": {"learning_rate": 0.1, "n_estimators": 25},
    "random_forest": {"n_estimators": 12, "max_depth": 4},
    "gru": {"max_epochs": 2, "length": 5, "hidden": 4},
}


def here(panel, plan, model, params, *, target="relative", fold=1, objective="auc_daily", seed=7):
    rows = LabelledRows(panel, target=target)
    stages = make_stages(rows, plan, fold, model=model, inner_folds=2)
    base = MODELS[model].parse(params).model_dump(mode="json", by_alias=True)
    return list(score_stages(stages, model=model, params=base, objective=objective, seed=seed, n_threads=1))


def words(**values):
    return [word for name, value in values.items() for word in (f"--{name}", str(value))]


SLOW = [pytest.param(name, marks=pytest.mark.slow) for name in ("catboost", "gru")]


@pytest.mark.parametrize("model", ["xgboost", "lightgbm", "random_forest", *SLOW])
def test_a_trial_scores_what_the_workspace_would_have_scored(container, panel, plan, model):
    """The oracle is the workspace's own tuner: same rows, same purge, same parameters, same seed, same AUC."""
    box = container(model)
    done = box.run(*words(model=model, target="relative", fold=1, seed=7, **FAST[model]))
    assert done.returncode == 0, done.stderr
    wanted = here(panel, plan, model, FAST[model])
    found = box.metrics()
    assert found["scores"] == pytest.approx([stage.value for stage in wanted], abs=1e-12)
    assert found["by_session"] == pytest.approx([part for stage in wanted for part in stage.by_session], abs=1e-12)
    printed = re.findall(r"validation:auc=([-+0-9.eE]+)", done.stdout)
    assert float(printed[-1]) == pytest.approx(found["value"], abs=1e-6)
    if model in ("xgboost", "lightgbm", "catboost"):
        assert len(printed) > 20, "the metric must be printed each round"
        assert found["facts"]["best_iteration"] == wanted[-1].facts["best_iteration"]
    assert list((box.root / "model").glob(f"{model}*")) or (box.root / "model/model.json").exists()


def test_the_pooled_objective_and_the_other_channel_variable(container, panel, plan):
    box = container("xgboost")
    arguments = words(model="xgboost", target="direction", fold=0, seed=2, objective="auc_pooled", n_estimators=5)
    done = box.run(*arguments, channel="SM_CHANNEL_TRAINING")
    assert done.returncode == 0, done.stderr
    wanted = here(
        panel, plan, "xgboost", {"n_estimators": 5}, target="direction", fold=0, objective="auc_pooled", seed=2
    )
    assert box.metrics()["scores"] == pytest.approx([stage.value for stage in wanted], abs=1e-12)


def test_an_unknown_parameter_is_a_warning_and_those_of_the_service_are_not(container):
    box = container("xgboost")
    done = box.run(
        *words(
            model="xgboost",
            target="relative",
            fold=0,
            n_estimators=3,
            news_threshold=0.2,
            sagemaker_program="entry_point.py",
            _tuning_objective_metric="validation:auc",
        )
    )
    assert done.returncode == 0, done.stderr
    assert "WARNING: xgboost does not know news_threshold; ignored" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "channel", "reason"),
    [
        ({"target": "relative", "fold": 0}, None, "neither SM_CHANNEL_TRAIN nor SM_CHANNEL_TRAINING"),
        ({"target": "sideways", "fold": 0}, "SM_CHANNEL_TRAIN", "the data know no target 'sideways'"),
        ({"target": "relative", "fold": 9}, "SM_CHANNEL_TRAIN", "the data hold no fold 9"),
        ({"target": "relative", "fold": 0, "subsample": 7}, "SM_CHANNEL_TRAIN", "subsample"),
    ],
)
def test_a_failure_leaves_its_reason_where_the_service_reads_it(container, arguments, channel, reason):
    box = container("xgboost")
    done = box.run(*words(model="xgboost", **arguments), channel=channel)
    assert done.returncode == 1
    assert reason in box.failure()
    assert len(box.failure()) <= 1024


def test_a_restarted_trial_does_not_repeat_finished_stages(container):
    box = container("xgboost")
    arguments = words(model="xgboost", target="relative", fold=1, n_estimators=5)
    assert box.run(*arguments).returncode == 0
    first = box.metrics()
    again = box.run(*arguments)
    assert again.stdout.count("taken from its checkpoint") == len(first["scores"]) == 2
    assert "round 0" not in again.stdout
    assert box.metrics()["scores"] == first["scores"]
    other = box.run(*words(model="xgboost", target="relative", fold=1, n_estimators=6))
    assert "checkpoint" not in other.stdout, "another trial took a foreign checkpoint"


def test_hyperband_sets_the_rounds(container):
    box = container("xgboost")
    done = box.run(*words(model="xgboost", target="relative", fold=0, n_estimators=200, rounds=4))
    assert done.returncode == 0, done.stderr
    assert box.metrics()["params"]["n_estimators"] == 4
    assert "round 4 " not in done.stdout


def test_the_parameters_are_those_of_the_registry():
    for model, known in entry.PARAMETERS.items():
        registered = MODELS[model].parse(None).model_dump(mode="json", by_alias=True)
        assert known == registered, model


def test_the_auc_agrees_with_the_one_of_the_tuner(panel, plan):
    rows = LabelledRows(panel, target="relative")
    block = rows.block(plan.sessions(1, "inner"))
    scores = np.round(np.random.default_rng(0).normal(size=len(block)), 1)  # many ties
    places = rows.place(plan.sessions(1, "inner"))
    own = entry.Rows(block.matrix, block.labels, rows.keys["session"].to_physical().to_numpy()[places], None)
    for objective in ("auc_daily", "auc_pooled"):
        assert entry.auc_parts(scores, own, objective) == pytest.approx(auc_parts(block, scores, objective=objective))


def test_the_entry_point_is_python_of_old_images_and_needs_numpy_alone():
    source = Path(entry.__file__).read_text()
    tree = ast.parse(source, feature_version=(3, 8))
    top = [item for item in tree.body if isinstance(item, (ast.Import, ast.ImportFrom))]
    names = {alias.name.split(".")[0] for item in top if isinstance(item, ast.Import) for alias in item.names}
    names |= {item.module.split(".")[0] for item in top if isinstance(item, ast.ImportFrom)}
    assert names - set(sys.stdlib_module_names) == {"numpy"}


def test_no_row_of_the_hold_out_or_of_the_test_block_leaves_the_workspace(panel, plan, bundle):
    days = np.load(__import__("io").BytesIO(bundle.files["relative.day.npy"]))
    sent = {int(day) for day in days}
    holdout = {int(day) for day in plan.holdout.to_physical()}
    last = {int(day) for day in plan.sessions(max(plan.folds), "test").to_physical()}
    assert sent
    assert not sent & holdout
    assert not sent & last


def test_stage_rows_are_the_blocks_of_the_tuner(panel, plan):
    rows = LabelledRows(panel, target="relative")
    for model in ("xgboost", "random_forest"):
        for own, stage in zip(
            stage_rows(rows, plan, 0, model=model, inner_folds=2),
            make_stages(rows, plan, 0, model=model, inner_folds=2),
            strict=True,
        ):
            assert ("watched" in own) == (stage.watched is not None)
            assert np.array_equal(rows.matrix[own["train"]], stage.train.matrix, equal_nan=True)
            assert np.array_equal(rows.y[own["scored"]], stage.scored.labels)


def test_gathered_trials_look_like_those_of_the_tuner(panel, plan):
    from conviction.tuning import TuningParameters, tune

    tuning = TuningParameters(n_trials=3, inner_folds=2)
    tuned = tune(panel, plan, target="relative", model="lightgbm", tuning=tuning, seed=7, folds=[1])
    rows = tuned.trials.filter(__import__("polars").col("trial") > 0).to_dicts()
    import json

    ledger = {row["params"]: row for row in tuned.ledger.to_dicts()}
    trials = [
        {
            "value": row["value"],
            "scores": json.loads(ledger[row["params"]]["scores"]),
            "by_session": [],
            "params": json.loads(row["params"]),
            "facts": json.loads(row["facts"]),
            "predictions_sha": ledger[row["params"]]["predictions_sha"],
            "seconds": row["seconds"],
        }
        for row in rows
    ]
    gathered = gather_trials(
        panel, plan, target="relative", model="lightgbm", tuning=tuning, seed=7, trials={1: trials}
    )
    assert gathered.best == tuned.best
    # The same trials have the same keys: looked at twice, they count once.
    assert sorted(gathered.ledger["trial_key"]) == sorted(tuned.ledger["trial_key"])
