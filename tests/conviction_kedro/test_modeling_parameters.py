"""What may be asked of `modeling`, and where its trials are kept."""

from __future__ import annotations

import polars as pl
import pytest
from pydantic import ValidationError

from conviction.errors import ConvictionError, TuningError
from conviction.oof import empty_left_out
from conviction_kedro.modeling_parameters import ModelingParameters, StudyParameters
from conviction_kedro.provenance import dataset_keys
from conviction_kedro.report_contents import not_evaluated
from conviction_kedro.studies import open_studies

SECRET = "top" + "secret"


def modeling(**changes):
    given = {"targets": ["relative"], "models": ["lightgbm"], "tuning": {"n_trials": 2}}
    return ModelingParameters.model_validate(given | changes)


def test_bare_names_take_scope_and_calibration_and_others_keep_their_own():
    asked = ["lightgbm", "xgboost+sigmoid", "logistic@symbol", "momentum"]
    found = modeling(models=asked, fitting={"scope": "per_symbol", "calibration": "isotonic"}).models
    assert found == ("lightgbm+isotonic@symbol", "xgboost+sigmoid@symbol", "logistic+isotonic@symbol", "momentum")
    assert modeling(models=asked).models == tuple(asked)
    assert modeling(models="lightgbm catboost").models == ("lightgbm", "catboost")


def test_names_do_not_change_when_they_are_read_again():
    once = modeling(fitting={"calibration": "sigmoid"})
    assert ModelingParameters.model_validate(once.model_dump(mode="json")) == once


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"models": ["lightgmb"]}, "did you mean 'lightgbm'"),
        ({"models": ["lightgbm+isotonik"]}, "unknown calibration"),
        ({"models": ["lightgbm", "lightgbm"]}, "fitted twice"),
        ({"baselines": ["logistic"]}, "are models"),
        ({"untuned": ["nothing"]}, "unknown model"),
        ({"parameters": {"lightgbm": {"num_leaves": 1}}}, "greater than or equal to 2"),
        ({"parameters": {"lightgbm": {"leaves": 3}}}, "leaves"),
        ({"tuning": {"search": {"lightgbm": {"num_leaves": {"low": 99}}}}}, "'num_leaves' is impossible"),
        ({"tuning": {"search": {"lightgbm": {"leaves": {"low": 9}}}}}, "unknown search dimension"),
        ({"fitting": {"refit": True}, "models": ["lightgbm+isotonic"]}, "refit uses up"),
        ({"fitting": {"scope": "everywhere"}}, "per_symbol"),
        ({"tuning": {"storage": "no address"}}, "not the address of a database"),
    ],
)
def test_an_impossible_choice_is_refused(changes, words):
    with pytest.raises(ValidationError, match=words):
        modeling(**changes)


def test_a_password_is_refused_and_not_repeated():
    with pytest.raises(ConvictionError, match="holds a password") as caught:
        StudyParameters(storage=f"postgresql+psycopg://me:{SECRET}@host/db")
    assert SECRET not in str(caught.value)


def test_class_balance_goes_to_every_model_that_can():
    found = modeling(
        models=["lightgbm", "logistic@symbol", "momentum"],
        fitting={"class_balance": True},
        parameters={"lightgbm": {"num_leaves": 5}, "logistic": {"class_balance": False}},
    ).configured
    assert found == {"lightgbm": {"class_balance": True, "num_leaves": 5}, "logistic": {"class_balance": False}}


def test_where_trials_are_kept_changes_no_key():
    from kedro.pipeline import Node, Pipeline

    def tune_models(modeling):
        return modeling

    pipeline = Pipeline([Node(tune_models, ["params:modeling"], "best_parameters", tags="modeling")])

    def key(**tuning):
        plain = modeling(tuning={"n_trials": 2, **tuning}).model_dump(mode="json")
        return dataset_keys(pipeline, {"params:modeling": plain}, {})["best_parameters"]

    assert key() == key(storage="sqlite:///elsewhere.db")
    assert key() != key(sampler="random")


def test_a_file_of_the_run_and_a_server_that_does_not_answer(tmp_path, caplog):
    tuning = StudyParameters(n_trials=2)
    found = open_studies(tuning, root=tmp_path, key="ab" * 32, credentials=None)
    assert found.own is not None
    assert found.own.parent == tmp_path / "data/06_models"
    found.close()
    assert list(found.own.parent.iterdir()) == []
    assert open_studies(tuning, root=tmp_path, key=None, credentials=None).storage is None
    assert "kept in memory" in caplog.text
    far = open_studies(tuning, root=tmp_path, key="ab" * 32, credentials=None, elsewhere="tcp://10.1.2.3:8786")
    assert far.storage is None
    near = open_studies(tuning, root=tmp_path, key="ab" * 32, credentials=None, elsewhere="tcp://127.0.0.1:8786")
    assert near.own is not None
    server = StudyParameters(storage="postgresql+psycopg://127.0.0.1:1/db")
    with pytest.raises(TuningError, match="cannot be used") as caught:
        open_studies(server, root=tmp_path, key="ab" * 32, credentials={"username": "me", "password": SECRET})
    assert SECRET not in str(caught.value) + caplog.text + repr(near)


def test_what_was_left_out_is_told_in_the_report():
    rows = [
        {"model": "catboost", "reason": "not installed"},
        {"target": "relative", "reason": "no row has it"},
        {"target": "direction", "model": "logistic@symbol", "symbol": "A", "fold": 0, "reason": "too few"},
        {"target": "direction", "model": "logistic@symbol", "symbol": "B", "fold": 0, "reason": "too few"},
        {"fold": 0, "feature": "gap", "reason": "constant"},
        {"fold": 1, "feature": "gap", "reason": "constant"},
    ]
    table = pl.DataFrame(rows, schema=empty_left_out().schema)
    nothing = pl.DataFrame(schema={"what": pl.String, "target": pl.String, "reason": pl.String, "book": pl.String,
                                   "execution": pl.String})  # fmt: skip
    assert not_evaluated("full", nothing, nothing, table) == {
        "catboost": "not installed.",
        "target relative": "no row has it.",
        "logistic@symbol on direction of A, B (2 fits)": "too few.",
        "feature gap in fold 0, 1": "constant.",
    }
