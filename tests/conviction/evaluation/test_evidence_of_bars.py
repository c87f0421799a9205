"""What `profile=full` and the hold-out do with intraday bars: bars move with their session, and a row is never met by another bar's."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from types import SimpleNamespace

import numpy as np
import polars as pl
import pytest
from scipy.stats import spearmanr
from sklearn.metrics import roc_auc_score

from conviction.ensembling import EnsemblingParameters, ensemble_all, ensemble_holdout
from conviction.evaluation import (
    EvaluationParameters,
    best_symbol_test,
    cluster_features,
    ic_decay,
    out_of_fold_selected,
    permute_by_session,
    placebo_panel,
    select_features,
    shadow_panel,
)
from conviction.features import FeatureParameters, build_features
from conviction.folds import FoldParameters, make_fold_plan
from conviction.oof import TunablePanel, fit_for_holdout, out_of_fold

SESSIONS, SYMBOLS = 60, 5
FAST = EvaluationParameters(n_resamples=200, min_sessions=20, min_symbols=3)
KEY = ["symbol", "session", "bar_end"]


def bars_in(day):
    """Every tenth session is half a day."""
    return 2 if day % 10 == 3 else 4


@pytest.fixture(scope="module")
def market():
    """A panel of bars in which `good` says something of the next bar, with its plan."""
    rng = np.random.default_rng(8)
    rows = []
    for day in range(SESSIONS):
        session = date(2023, 1, 2) + timedelta(day)
        for bar in range(bars_in(day)):
            end = datetime(session.year, session.month, session.day, 15 + bar, tzinfo=UTC)
            for number in range(SYMBOLS):
                good, noise, other = rng.normal(size=3)
                move = 0.8 * good + other
                rows.append((f"S{number}", session, end, good, noise, 0.01 * move, int(move > 0), end))
    names = [*KEY, "good", "noise", "target_60min", "relative", "t0"]
    frame = pl.DataFrame(rows, schema=names, orient="row").with_columns(
        pl.col("good", "noise").cast(pl.Float32),
        pl.col("relative").cast(pl.Int8),
        pl.col("bar_end", "t0").cast(pl.Datetime("us", "UTC")),
    )
    frame = frame.with_columns(t1=pl.col("t0") + pl.duration(minutes=60)).sort(KEY)
    folds = FoldParameters(
        n_folds=2, min_train_sessions=25, purge=0, embargo=1, holdout_sessions=10, inner_fraction=0.2
    )
    plan = make_fold_plan(frame.select(*KEY, "target_60min", "relative", "t0", "t1"), folds=folds)
    return SimpleNamespace(frame=frame, features=("good", "noise"), targets=("relative",)), plan


def numbered(frame):
    """Return the number of each row's bar in its session, by the hour of the made-up market."""
    return frame.with_columns(bar=pl.col("bar_end").dt.hour().cast(pl.Int64) - 15)


def test_the_bars_of_a_session_take_those_of_one_other_session_one_by_one(market):
    frame = market[0].frame
    moved = permute_by_session(frame, columns=["good"], seed=3)
    assert moved.height == frame.height
    assert moved.select(KEY).equals(frame.select(KEY))
    came_from = {row[0]: row[1:] for row in numbered(frame).select("good", *KEY[:2], "bar").iter_rows()}
    sources = {}
    for symbol, session, value, bar in numbered(moved).select("symbol", "session", "good", "bar").iter_rows():
        if value is None:
            continue
        from_symbol, from_session, from_bar = came_from[value]
        assert (from_symbol, from_bar) == (symbol, bar)
        sources.setdefault(session, set()).add(from_session)
    assert all(len(each) == 1 for each in sources.values())
    assert len(set.union(*sources.values())) == SESSIONS
    # Only a whole day that drew half a day has bars without a value.
    short = {s for s in sources if bars_in((s - date(2023, 1, 2)).days) == 2}
    missing = moved.filter(pl.col("good").is_null())
    assert missing.height == 2 * SYMBOLS * sum(s not in short and sources[s] <= short for s in sources) > 0


def test_shadows_and_placebos_of_bars_keep_one_row_a_bar_and_stay_out_of_the_holdout(market):
    audited, plan = market
    held = pl.col("session").is_in(plan.holdout.implode())
    shadows = shadow_panel(audited, plan, seed=1, n_sets=2)
    assert shadows.frame.select(audited.frame.columns).equals(audited.frame)
    assert set(shadows.features) == {
        *audited.features,
        *(f"shadow__{n}__{f}" for n in (0, 1) for f in audited.features),
    }
    assert shadows.frame.filter(held)["shadow__0__good"].null_count() == shadows.frame.filter(held).height
    placebo = placebo_panel(audited, plan, seed=1)
    assert placebo.frame.select(KEY).equals(audited.frame.select(KEY))
    assert placebo.frame.filter(held)["relative"].null_count() == placebo.frame.filter(held).height
    assert cluster_features(audited.frame.select(*KEY, *audited.features)) == {"good": ("good",), "noise": ("noise",)}


def test_features_are_chosen_and_scored_bar_by_bar(market):
    audited, plan = market
    call = {"target": "relative", "model": "logistic", "seed": 0}
    # One set of two shadows cannot tell more than p = 1/3.
    chosen = select_features(audited, plan, **call, n_sets=20, n_seeds=2, rate=0.2)
    assert set(chosen.values()) == {("good",)}
    oof = out_of_fold_selected(audited, plan, **call, selection=chosen)
    scored = pl.concat([plan.sessions(fold, "test") for fold in plan.folds])
    assert oof.select(KEY).equals(audited.frame.filter(pl.col("session").is_in(scored.implode())).select(KEY))
    whole = out_of_fold_selected(audited, plan, **call, selection=dict.fromkeys(chosen, audited.features))
    assert whole["score"].equals(out_of_fold(audited, plan, **call).predictions["score"])


def test_the_best_symbol_has_the_auc_of_all_its_bars(market):
    audited, plan = market
    oof = out_of_fold(audited, plan, target="relative", model="logistic", seed=0).predictions
    table = best_symbol_test(oof, evaluation=FAST, seed=0, n_permutations=100)
    assert table.height == SYMBOLS
    for row in table.iter_rows(named=True):
        part = oof.filter(pl.col("symbol") == row["symbol"])
        assert row["auc"] == pytest.approx(roc_auc_score(part["label"], part["score"]), abs=1e-12)
        assert row["n_sessions"] == part.height
    assert table["p"].max() < 0.05


def test_decay_counts_bars(market):
    audited, plan = market
    oof = out_of_fold(audited, plan, target="relative", model="logistic", seed=0).predictions
    got = ic_decay(oof, evaluation=FAST, lags=(0, 1))
    ends = oof["bar_end"].unique().sort().to_list()
    at = {key: part.sort("symbol") for (key,), part in oof.group_by("bar_end")}
    for lag, value in got.select("lag", "rank_ic").iter_rows():
        by_session = {}
        for place, end in enumerate(ends[: len(ends) - lag]):
            rho = spearmanr(at[end]["score"], at[ends[place + lag]]["forward_return"]).statistic
            by_session.setdefault(end.date(), []).append(rho)
        assert value == pytest.approx(np.mean([np.mean(each) for each in by_session.values()]))
    assert got["rank_ic"][0] > 0.4 > abs(got["rank_ic"][1]) + 0.2


def test_the_holdout_of_bars_is_combined_by_the_bars(market):
    audited, plan = market
    call = {"targets": ["relative"], "models": ["logistic", "base_rate"], "params": {}, "seed": 0}
    folds = pl.concat(
        [out_of_fold(audited, plan, target="relative", model=m, seed=0).predictions for m in call["models"]]
    )
    single = fit_for_holdout(audited, plan, **call).predictions
    parameters = EnsemblingParameters(purge=1)
    _, choice = ensemble_all(folds, targets=["relative"], ensembling=parameters, seed=0)
    combined = ensemble_holdout(folds, single, choice=choice, targets=["relative"], ensembling=parameters, seed=0)
    wanted = audited.frame.filter(pl.col("session").is_in(plan.holdout.implode())).select(KEY)
    for _, part in pl.concat([single, combined.select(single.columns)]).group_by("model"):
        assert part.select(KEY).sort(KEY).equals(wanted)
    assert combined.select(*KEY, "target", "model").equals(
        combined.select(*KEY, "target", "model").sort(*KEY, "target", "model")
    )


def test_feature_parameters_are_searched_on_bars_session_by_session(market):
    bars = market[0].frame.select(*KEY, close=100.0 + pl.col("good").cast(pl.Float64))
    features = FeatureParameters(sets=(), names=("bb_pct",), within="symbol", oscillators={"bollinger_window": 8})
    matrix = build_features(bars, features=features).matrix
    audited = SimpleNamespace(frame=matrix, features=("bb_pct",), targets=())
    panel = TunablePanel(audited, panel=bars, configured=features)
    name = "oscillators.bollinger_window"
    panel.check_range({name: 5}, {name: 20})
    other = panel.variant({name: 20}).frame
    by_hand = build_features(
        bars, features=FeatureParameters(sets=(), names=("bb_pct",), oscillators={"bollinger_window": 20})
    )
    assert other.equals(by_hand.matrix)
    part = matrix.filter(pl.col("session") > date(2023, 1, 20))
    shorter = TunablePanel(
        SimpleNamespace(frame=part, features=("bb_pct",), targets=()), panel=bars, configured=features
    )
    assert shorter.variant({name: 20}).frame.equals(other.filter(pl.col("session") > date(2023, 1, 20)))
