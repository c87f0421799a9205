"""Scores of intraday bars: the cross-section is one bar, the unit of inference one session."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import numpy as np
import polars as pl
import pytest
from scipy.stats import spearmanr
from sklearn.metrics import roc_auc_score

from conviction.ensembling import EnsemblingParameters, ensemble
from conviction.evaluation import EvaluationParameters, daily_auc, daily_rank_ic, score


def make_oof(models=("m",), *, sessions=70, bars=4, symbols=6, seed=2):
    rng = np.random.default_rng(seed)
    rows = []
    for day in range(sessions):
        session = date(2023, 1, 2) + timedelta(day)
        for bar in range(bars):
            end = datetime(session.year, session.month, session.day, 15 + bar, tzinfo=UTC)
            # All stocks of a bar rise and fall together: pooled over a session the bars' level would decide.
            level = rng.normal(0.0, 2.0)
            for number in range(symbols):
                back = rng.normal()
                rows += [
                    (f"S{number}", session, end, m, day // 35, level + 0.3 * back + rng.normal(), int(back > 0), back)
                    for m in models
                ]
    names = ["symbol", "session", "bar_end", "model", "fold", "score", "label", "forward_return"]
    frame = pl.DataFrame(rows, schema=names, orient="row").with_columns(
        pl.col("fold").cast(pl.Int32), pl.col("label").cast(pl.Int8), pl.col("bar_end").cast(pl.Datetime("us", "UTC")),
        target=pl.lit("relative"),
    )  # fmt: skip
    return frame.sort("symbol", "session", "bar_end", "model")


def test_a_session_has_the_mean_of_its_bars():
    oof = make_oof()
    aucs, ics = {}, {}
    for (session, _), part in oof.group_by("session", "bar_end"):
        if part["label"].n_unique() == 2:
            aucs.setdefault(session, []).append(roc_auc_score(part["label"], part["score"]))
        ics.setdefault(session, []).append(spearmanr(part["score"], part["forward_return"]).statistic)
    got = daily_auc(oof, min_symbols=2)
    assert got["session"].to_list() == sorted(aucs)
    assert got["auc"].to_list() == pytest.approx([np.mean(aucs[s]) for s in sorted(aucs)])
    ranked = daily_rank_ic(oof, min_symbols=2)
    assert ranked["rank_ic"].to_list() == pytest.approx([np.mean(ics[s]) for s in sorted(ics)])


def test_a_row_of_a_bar_is_one_row_and_the_level_of_a_bar_is_no_skill():
    oof = make_oof()
    scores = score(oof, evaluation=EvaluationParameters(n_resamples=200, min_sessions=20, min_symbols=3), seed=0)
    assert scores.metrics["auc_daily"] == pytest.approx(daily_auc(oof, min_symbols=3)["auc"].mean())
    mixed = daily_auc(oof.drop("bar_end"), min_symbols=3)["auc"].mean()
    assert scores.metrics["auc_daily"] > mixed + 0.02


def test_an_ensemble_ranks_within_a_bar_and_keeps_its_rows():
    oof = make_oof(("a", "b"))
    result = ensemble(
        oof, target="relative", ensembling=EnsemblingParameters(purge=1, min_sessions=10, n_resamples=100), seed=0
    )
    chosen = result.oof.filter(pl.col("model") == "rank_mean")
    key = ["symbol", "session", "bar_end"]
    assert chosen.select(key).equals(oof.filter(pl.col("model") == "a").select(key))
    # By hand: within a bar the rank average of both models.
    ranks = oof.with_columns(
        r=(pl.col("score").rank("average").over("bar_end", "model") - 0.5) / pl.len().over("bar_end", "model")
    )
    wanted = ranks.group_by(key).agg(pl.col("r").mean()).sort(key)
    slope = EnsemblingParameters(purge=1).rank_slope
    assert chosen["score"].to_numpy() == pytest.approx(0.5 + slope * (wanted["r"].to_numpy() - 0.5))
