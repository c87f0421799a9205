"""Models and ensemble on labels that mean nothing: an honest pipeline holds one half, one that peeks does not."""

from __future__ import annotations

from datetime import date, timedelta
from types import SimpleNamespace

import numpy as np
import polars as pl
import pytest

from conviction.ensembling import PLACEBO_SCHEMA, EnsemblingParameters, placebo_table
from conviction.errors import EvaluationError
from conviction.evaluation import EvaluationParameters

N_SESSIONS, N_SYMBOLS = 200, 8
ENSEMBLING = EnsemblingParameters(purge=1, n_resamples=100)
FAST = EvaluationParameters(n_resamples=100)
PLAN = SimpleNamespace(holdout=pl.Series("session", [], dtype=pl.Date))


@pytest.fixture(scope="module")
def audited():
    rng = np.random.default_rng(2)
    sessions = [date(2020, 1, 1) + timedelta(days=i) for i in range(N_SESSIONS)]
    move = rng.normal(size=N_SESSIONS * N_SYMBOLS)
    frame = pl.DataFrame(
        {
            "symbol": [f"S{i}" for i in range(N_SYMBOLS)] * N_SESSIONS,
            "session": pl.Series(np.repeat(np.array(sessions, dtype="datetime64[D]"), N_SYMBOLS)).cast(pl.Date),
            "x": move,
            "target_1d": 0.01 * move,
            "relative": (move > 0).astype(np.int8),
        }
    )
    return SimpleNamespace(frame=frame.sort("symbol", "session"), features=("x",), targets=("relative",))


def fit(panel, plan, *, seed, peeks=False):
    """Two models that only look at `x`, which knows all of the real label; with `peeks` one sees the label it is scored on."""
    rng = np.random.default_rng(seed)
    frame = panel.frame
    sessions = frame["session"].rank("dense").to_numpy() - 1
    noise = 0.02 * rng.normal(size=(2, frame.height))
    label = frame["relative"].fill_null(0).to_numpy() if peeks else 0.0
    parts = [
        frame.select(
            "symbol",
            "session",
            target=pl.lit("relative"),
            model=pl.lit(name),
            fold=pl.Series((sessions * 4 // N_SESSIONS).astype(np.int32)),
            score=pl.Series(0.5 + 0.01 * np.tanh(frame["x"].to_numpy()) + noise[number] + 0.02 * label * number),
            label=pl.col("relative").cast(pl.Int8),
            forward_return="target_1d",
        )
        for number, name in enumerate(("one", "two"))
    ]
    return SimpleNamespace(predictions=pl.concat(parts).filter(pl.col("label").is_not_null()))


def table(audited, how, *, n_placebos=20):
    return placebo_table(
        audited, PLAN, fit=how, targets=["relative"], ensembling=ENSEMBLING, evaluation=FAST, n_placebos=n_placebos,
        confidence=0.99, seed=10,
    )  # fmt: skip


def test_scores_that_know_the_real_labels_know_nothing_of_permuted_ones(audited):
    found = table(audited, fit)
    assert dict(found.schema) == PLACEBO_SCHEMA
    assert found.group_by("model").len().sort("model").rows() == [("ensemble", 20), ("one", 20), ("two", 20)]
    assert found["inside"].all()
    assert found["auc_pooled"].n_unique() == 60
    # On the real labels the same scores are far from one half, so that the band could have been left.
    real = fit(audited, PLAN, seed=10).predictions.filter(pl.col("model") == "one")
    assert np.corrcoef(real["score"], real["label"])[0, 1] > 0.2


def test_a_model_that_sees_what_it_is_scored_on_leaves_the_band_and_so_does_the_ensemble(audited):
    found = table(audited, lambda panel, plan, seed: fit(panel, plan, seed=seed, peeks=True))
    outside = found.group_by("model").agg((~pl.col("inside")).sum()).sort("model").rows()
    assert outside == [("ensemble", 20), ("one", 0), ("two", 20)]


def test_fewer_than_twenty_support_no_statement(audited):
    with pytest.raises(EvaluationError, match="at least 20"):
        table(audited, fit, n_placebos=19)
