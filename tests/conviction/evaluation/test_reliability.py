"""The reliability curve against an obvious loop, and its bands against calibrated and miscalibrated scores."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from conviction.errors import EvaluationError
from conviction.evaluation import EvaluationParameters, reliability, simulate_null_oof

FAST = EvaluationParameters(n_resamples=300)


def calibrated_oof(seed, *, n_symbols=20, n_sessions=300, shift=0.0):
    """Labels are drawn from the scores, with a common shock of each day; `shift` makes the scores lie."""
    rng = np.random.default_rng(seed)
    oof = simulate_null_oof(n_symbols=n_symbols, n_sessions=n_sessions, seed=seed).sort("session", "symbol")
    p = rng.uniform(0.3, 0.7, oof.height)
    shock = np.repeat(rng.normal(0, 0.1, n_sessions), n_symbols)
    label = (rng.random(oof.height) < np.clip(p + shock, 0, 1)).astype(np.int8)
    return oof.with_columns(score=pl.Series(np.clip(p + shift, 0, 1)), label=pl.Series(label)).sort("symbol", "session")


def test_bins_equal_an_obvious_loop():
    oof = calibrated_oof(1)
    curve = reliability(oof, evaluation=FAST, seed=0, n_bins=5)
    ordered = oof.sort("score")
    size = oof.height // 5
    for number in range(5):
        part = ordered[number * size : (number + 1) * size]
        row = curve.row(number, named=True)
        assert row["n_rows"] == size
        assert row["score_mean"] == pytest.approx(part["score"].mean(), abs=1e-12)
        assert row["share_of_ones"] == pytest.approx(part["label"].mean(), abs=1e-12)
        assert row["lo"] < row["share_of_ones"] < row["hi"]


def test_bands_hold_calibrated_scores_about_as_often_as_promised_and_rows_would_be_too_sure():
    inside, widths, row_widths = [], [], []
    for seed in range(30):
        curve = reliability(calibrated_oof(seed, n_symbols=100, n_sessions=150), evaluation=FAST, seed=seed, n_bins=5)
        inside += curve["calibrated"].to_list()
        widths += (curve["hi"] - curve["lo"]).to_list()
        row_widths += (3.92 * (0.25 / curve["n_rows"]).sqrt()).to_list()
    assert 0.89 <= np.mean(inside) <= 0.99
    assert np.mean(widths) > 1.15 * np.mean(row_widths)


def test_scores_that_promise_too_much_are_seen():
    curve = reliability(calibrated_oof(2, shift=0.15), evaluation=FAST, seed=0, n_bins=5)
    assert not curve["calibrated"].any()


def test_ties_merge_bins_and_keep_every_row():
    oof = calibrated_oof(3).with_columns(pl.col("score").round(1))
    curve = reliability(oof, evaluation=FAST, seed=0)
    assert curve.height == 5
    assert curve["n_rows"].sum() == oof.height
    np.testing.assert_allclose(curve["score_mean"], [0.3, 0.4, 0.5, 0.6, 0.7], atol=1e-9)


def test_an_undefined_curve_is_refused():
    oof = calibrated_oof(4)
    for bad in (
        oof.with_columns(score=pl.col("score") * 3),
        oof.filter(pl.col("session") < pl.col("session").min().dt.offset_by("9d")),
    ):
        with pytest.raises(EvaluationError, match="reliability curve"):
            reliability(bad, evaluation=FAST, seed=0)
    with pytest.raises(EvaluationError, match="1 bins"):
        reliability(oof, evaluation=FAST, seed=0, n_bins=1)
