"""Every registered model passes the shipped suite; a model that misbehaves is caught by the check that is meant for it."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, replace
from importlib.util import find_spec

import numpy as np
import pytest

from conviction.models import MODELS
from conviction.testing import MODEL_CHECKS, check_model

SHORT = {
    "catboost": {"n_estimators": 20, "max_seconds": 120},
    "gru": {"max_epochs": 2, "length": 5, "hidden": 4},
    "lightgbm": {"n_estimators": 30, "min_child_samples": 20},
    "random_forest": {"n_estimators": 10, "min_samples_leaf": 10},
    "tabnet": {"max_epochs": 2, "width": 4, "batch_size": 256},
    "xgboost": {"n_estimators": 30},
    "momentum": {"column": "ret_1d"},
}
SLOW = {"catboost", "gru", "tabnet"}
NEEDS = {"catboost": "catboost", "gru": "torch", "tabnet": "pytorch_tabnet"}
IN_PROCESS = tuple(check for check in MODEL_CHECKS if check != "second_process")


def each(names):
    return [
        pytest.param(
            name,
            marks=[
                *([pytest.mark.slow] if name in SLOW else []),
                pytest.mark.skipif(
                    name in NEEDS and find_spec(NEEDS[name]) is None,
                    reason=f"the optional package of {name} is missing",
                ),
            ],
        )
        for name in sorted(names)
    ]


@pytest.mark.parametrize("name", each(MODELS))
def test_model_conforms(name):
    assert check_model(name, params=SHORT.get(name), checks=IN_PROCESS) == {}


@pytest.mark.slow
@pytest.mark.parametrize("name", each(MODELS))
def test_another_process_with_another_hash_seed_saves_the_same_bytes(name):
    assert check_model(name, params=SHORT.get(name), checks=("second_process",)) == {}


def test_lightgbm_saves_the_same_bytes_in_another_process():
    assert check_model("lightgbm", params=SHORT["lightgbm"], checks=("second_process",)) == {}


@dataclass(eq=False)
class Broken:
    """An estimator with one defect at a time."""

    estimator: object
    defect: str

    def predict(self, block):
        scores = self.estimator.predict(block)
        if self.defect == "scores":
            return scores * 3
        if self.defect == "missing_values":
            return np.where(np.isnan(block.matrix).all(axis=1), np.nan, scores)
        return scores

    def importance(self, features):
        return self.estimator.importance(features) if self.defect != "importance" else None

    def save(self, folder):
        self.estimator.save(folder)
        if self.defect == "same_seed_same_bytes":
            (folder / "clock.txt").write_text(str(next(CLOCK)))
        if self.defect == "round_trip":
            (folder / "model.pkl").write_bytes(b"")

    @property
    def native(self):
        return self.estimator.native

    @property
    def facts(self):
        return self.estimator.facts


CLOCK = itertools.count()


@pytest.mark.parametrize("defect", ["scores", "missing_values", "importance", "same_seed_same_bytes", "round_trip"])
def test_the_suite_sees_each_defect(monkeypatch, defect):
    spec = MODELS["lightgbm"]

    def fit(*args, **kwargs):
        return Broken(spec.fit(*args, **kwargs), defect)

    monkeypatch.setitem(MODELS, "lightgbm", replace(spec, fit=fit))
    assert set(check_model("lightgbm", params=SHORT["lightgbm"], checks=(defect,))) == {defect}


def test_the_suite_sees_a_model_that_writes_into_what_it_is_given():
    from conviction.testing import _model_conformance as suite

    class Vandal(suite.Sample):
        def fit(self, name, params, *, seed=1):
            self.y_train[0] = 1 - self.y_train[0]
            return super().fit(name, params, seed=seed)

    good = suite.make_sample()
    bad = Vandal(good.train, good.y_train.copy(), good.inner, good.y_inner, good.test)
    assert suite._input_unchanged("base_rate", {}, bad) == "a frame or an array was changed"
    assert suite._input_unchanged("base_rate", {}, good) is None


def test_the_suite_sees_models_that_refuse_nothing(monkeypatch):
    import conviction.models._fitted as fitted
    import conviction.models._registry as registry

    monkeypatch.setattr(registry, "seen_sessions", lambda *blocks: frozenset())
    assert set(check_model("lightgbm", params=SHORT["lightgbm"], checks=("refuses_seen_rows",))) == {
        "refuses_seen_rows"
    }
    monkeypatch.undo()
    monkeypatch.setattr(registry, "check_training", lambda *args, **kwargs: None)
    assert set(check_model("lightgbm", params=SHORT["lightgbm"], checks=("refuses_one_class",))) == {
        "refuses_one_class"
    }
    monkeypatch.undo()
    block = fitted.Block

    class Careless(block):
        @classmethod
        def from_frame(cls, X, y=None, weight=None, *, features=None):
            return block.from_frame(
                X.select([c for c in X.columns if c in {"symbol", "session", *features}]), y, weight
            )

    monkeypatch.setattr(fitted, "Block", Careless)
    assert "refuses_other_columns" in check_model("base_rate", checks=("refuses_other_columns",))
