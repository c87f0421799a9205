"""Random forest, CatBoost, TabNet, GRU: against their libraries, in bounded time, with clear words when missing."""

from __future__ import annotations

import time
from datetime import date, timedelta
from importlib.util import find_spec

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.ensemble import RandomForestClassifier
from sklearn.metrics import roc_auc_score

from conviction.errors import MissingExtraError, ModelError
from conviction.models import Block, fit_model
from conviction.models import _catboost as catboost_module
from conviction.models._gru import MAX_GAP_DAYS, sequences
from conviction.testing._model_conformance import make_sample

SAMPLE = make_sample(seed=3)
FEATURES = [column for column in SAMPLE.train.columns if column not in ("symbol", "session")]
needs_torch = pytest.mark.skipif(find_spec("torch") is None, reason="the optional package torch is missing")
needs_catboost = pytest.mark.skipif(find_spec("catboost") is None, reason="the optional package catboost is missing")


def test_random_forest_is_scikit_learns():
    params = {"n_estimators": 25, "min_samples_leaf": 5, "max_depth": 5, "max_features": 0.5, "max_samples": 0.7}
    ours = fit_model("random_forest", SAMPLE.train, SAMPLE.y_train, params=params, seed=4)
    peer = RandomForestClassifier(**params, random_state=4)
    peer.fit(SAMPLE.train.select(FEATURES).to_numpy(), SAMPLE.y_train)
    test = SAMPLE.test.select(FEATURES).to_numpy()
    assert np.isnan(test).any()
    np.testing.assert_allclose(ours.predict(SAMPLE.test), peer.predict_proba(test)[:, 1], rtol=1e-12)
    importance = dict(zip(FEATURES, peer.feature_importances_, strict=True))
    assert dict(ours.importance().iter_rows()) == pytest.approx(importance)


@needs_catboost
@pytest.mark.slow
def test_catboost_is_catboost_and_its_json_loses_nothing():
    from catboost import CatBoostClassifier

    params = {"n_estimators": 30, "early_stopping_rounds": None, "depth": 3}
    ours = fit_model("catboost", SAMPLE.train, SAMPLE.y_train, params=params, seed=4)
    peer = CatBoostClassifier(
        iterations=30, depth=3, learning_rate=0.05, l2_leaf_reg=10, rsm=0.5, bootstrap_type="Bernoulli", subsample=0.8,
        border_count=63, random_seed=4, thread_count=1, verbose=False, allow_writing_files=False, eval_metric="Logloss",
    )  # fmt: skip
    peer.fit(SAMPLE.train.select(FEATURES).to_numpy(), SAMPLE.y_train)
    expected = peer.predict_proba(SAMPLE.test.select(FEATURES).to_numpy())[:, 1]
    np.testing.assert_allclose(ours.predict(SAMPLE.test), expected, rtol=1e-9)


@needs_catboost
@pytest.mark.slow
def test_catboost_is_ended_when_its_time_is_up():
    started = time.monotonic()
    endless = {"n_estimators": 5_000_000, "early_stopping_rounds": None, "max_seconds": 4.0}
    with pytest.raises(ModelError, match="did not finish in its time and was ended: got more than 4 s"):
        fit_model("catboost", SAMPLE.train, SAMPLE.y_train, params=endless, seed=0)
    assert time.monotonic() - started < 20


@needs_catboost
@pytest.mark.slow
def test_a_failure_inside_catboosts_process_is_told(monkeypatch):
    monkeypatch.setattr(catboost_module, "native_names", lambda features: ["same"] * len(features))
    with pytest.raises(ModelError, match=r"catboost failed in its process: got exit code 1.*[Nn]ame"):
        fit_model("catboost", SAMPLE.train, SAMPLE.y_train, params={"early_stopping_rounds": None}, seed=0)


@pytest.mark.parametrize(
    ("name", "module", "package", "extra"),
    [
        ("catboost", "conviction.models._catboost", "catboost", "catboost"),
        ("gru", "conviction.models._deep", "torch", "deep"),
        ("tabnet", "conviction.models._deep", "torch", "deep"),
    ],
)
def test_a_missing_extra_is_named(monkeypatch, name, module, package, extra):
    import importlib

    monkeypatch.setattr(importlib.import_module(module), "find_spec", lambda _: None)
    with pytest.raises(MissingExtraError, match=f"needs the package '{package}'.*make setup-{extra}"):
        SAMPLE.fit(name, {})


def naive_sequences(symbols, days, length):
    """Walk back from each row, one row of its symbol at a time."""
    rows = sorted(range(len(symbols)), key=lambda i: (symbols[i], days[i]))
    found = []
    for i in range(len(symbols)):
        place, walk = rows.index(i), [i]
        while len(walk) < length and place > 0:
            here, before = rows[place], rows[place - 1]
            if symbols[before] != symbols[here] or (days[here] - days[before]).days > MAX_GAP_DAYS:
                break
            walk.append(before)
            place -= 1
        found.append([-1] * (length - len(walk)) + walk[::-1])
    return np.array(found)


@settings(deadline=None, max_examples=60)
@given(
    rows=st.lists(st.tuples(st.sampled_from("ABC"), st.integers(0, 60)), min_size=1, max_size=40, unique=True),
    length=st.integers(1, 8),
)
def test_sequences_cross_neither_symbols_nor_holes(rows, length):
    symbols = [symbol for symbol, _ in rows]
    days = [date(2020, 1, 1) + timedelta(days=day * 3) for _, day in rows]
    block = Block(("a",), np.zeros((len(rows), 1), np.float32), keys=pl.DataFrame({"symbol": symbols, "session": days}))
    np.testing.assert_array_equal(sequences(block, length=length), naive_sequences(symbols, days, length))


@needs_torch
@pytest.mark.slow
def test_gru_reads_the_past_of_its_symbol_and_nothing_else():
    fitted = SAMPLE.fit("gru", {"max_epochs": 2, "length": 4, "hidden": 4})
    scores = fitted.predict(SAMPLE.test)
    row = SAMPLE.test.with_row_index("row").filter(pl.col("symbol") == "SYN002")["row"][10]
    mine = SAMPLE.test.with_row_index("row").filter(pl.col("symbol") == "SYN002")["row"].to_list()

    def moved(changed):
        values = SAMPLE.test.with_row_index("row").with_columns(
            pl.when(pl.col("row").is_in(changed)).then(pl.lit(4.0, pl.Float32)).otherwise("ret_1d").alias("ret_1d")
        )
        return np.flatnonzero(fitted.predict(values.drop("row")) != scores).tolist()

    place = mine.index(row)
    # A changed row moves its own score and those of the next three rows of its symbol.
    assert moved([row]) == mine[place : place + 4]


@needs_torch
@pytest.mark.slow
@pytest.mark.parametrize("name", ["gru", "tabnet"])
def test_neural_models_learn_and_leave_pytorchs_state_alone(name):
    import torch

    torch.manual_seed(123)
    np.random.seed(7)  # noqa: NPY002
    before = torch.rand(1), np.random.rand()  # noqa: NPY002
    torch.manual_seed(123)
    np.random.seed(7)  # noqa: NPY002
    threads = torch.get_num_threads()
    params = {"max_epochs": 40, "patience": 8, "batch_size": 128, "learning_rate": 0.02}
    fitted = SAMPLE.fit(name, {**params, **({"length": 3, "hidden": 8} if name == "gru" else {})})
    fitted.predict(SAMPLE.test)
    assert (torch.rand(1), np.random.rand()) == before  # noqa: NPY002
    assert torch.get_num_threads() == threads
    watched = fitted.estimator.predict(Block.from_frame(SAMPLE.inner, features=fitted.feature_names))
    assert roc_auc_score(SAMPLE.y_inner, watched) > 0.6
    assert 1 <= fitted.facts["best_iteration"] <= 40


@needs_torch
@pytest.mark.slow
def test_tabnet_ranks_its_features_by_its_masks():
    params = {"max_epochs": 40, "patience": 10, "batch_size": 128, "learning_rate": 0.02}
    table = SAMPLE.fit("tabnet", params).importance()
    assert table["importance"].sum() == pytest.approx(1.0, abs=1e-6)
    assert sorted(table["feature"]) == sorted(FEATURES)


@needs_torch
def test_neural_models_need_something_to_watch_and_keys():
    with pytest.raises(ModelError, match="gru has no inner block"):
        fit_model("gru", SAMPLE.train, SAMPLE.y_train, seed=0)
    with pytest.raises(ModelError, match="which rows follow each other"):
        fit_model("gru", SAMPLE.train.select(FEATURES), SAMPLE.y_train, seed=0)
