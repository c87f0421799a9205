"""Feature parameters are searched beside those of a model: a planted window is found, by sessions before the fold only."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import polars as pl
import pytest
from sklearn.metrics import roc_auc_score

from conviction.errors import CertificateError, ParameterError, PointInTimeError, TuningError
from conviction.features import FeatureParameters, build_features, with_tuned
from conviction.folds import FoldParameters, make_fold_plan
from conviction.frames import fingerprint
from conviction.models import FittedModel
from conviction.oof import TunablePanel, out_of_fold
from conviction.testing import planted_panel
from conviction.tuning import TuningParameters, search_space, tune

PLANTED = 8
WINDOW = "oscillators.bollinger_window"
KNOB = f"features.{WINDOW}"
CONFIGURED = FeatureParameters(
    sets=(), names=("bb_pct", "ret_1d", "vol_5"), oscillators={"bollinger_window": 40, "bollinger_width": 2.0}
)
FOLDS = FoldParameters(purge=1, embargo=3, holdout_sessions=0, n_folds=2, min_train_sessions=180)
SEARCH = TuningParameters(n_trials=10, n_startup_trials=4, features={WINDOW: {}})
CALL = {"target": "relative", "seed": 0}


def market(ruined_from=None):
    """Random walks whose next move follows the place within the band of the planted window."""
    made = planted_panel(n_symbols=12, n_sessions=380, n_features=5, planted_auc=0.5, seed=3)
    rng = np.random.default_rng(7)
    frame = made.frame.select("symbol", "session", "target_1d", "t0", "t1").with_columns(
        close=pl.Series(np.exp(rng.normal(0, 0.01, made.frame.height)))
    )
    frame = frame.with_columns(close=pl.col("close").cum_prod().over("symbol"))
    if ruined_from is not None:
        frame = frame.with_columns(close=pl.when(pl.col("session") >= ruined_from).then(7.0).otherwise("close"))
    bars = frame.select("symbol", "session", "close")
    planted = build_features(bars, features=with_tuned(CONFIGURED, {WINDOW: PLANTED}), only=["bb_pct"]).matrix
    latent = planted["bb_pct"].fill_null(0.5).to_numpy() + rng.normal(0, 0.35, bars.height)
    value = pl.Series("value", latent)
    labels = frame.with_columns(value).with_columns(
        relative=pl.when(pl.col("target_1d").is_not_null()).then(
            (pl.col("value") > pl.col("value").median().over("session")).cast(pl.Int8)
        )
    )
    if ruined_from is not None:
        labels = labels.with_columns(
            relative=pl.when(pl.col("session") >= ruined_from).then(1 - pl.col("relative")).otherwise("relative")
        )
    matrix = build_features(bars, features=CONFIGURED).matrix
    whole = matrix.with_columns(labels["target_1d"], labels["relative"].cast(pl.Int8), labels["t0"], labels["t1"])
    whole = whole.with_columns(direction=pl.col("relative"))
    features = tuple(name for name in matrix.columns if name not in ("symbol", "session"))
    audited = SimpleNamespace(frame=whole, features=features, targets=("direction", "relative"))
    return TunablePanel(audited, panel=bars, configured=CONFIGURED)


@pytest.fixture(scope="module")
def tunable():
    return market()


@pytest.fixture(scope="module")
def plan(tunable):
    return make_fold_plan(
        tunable.frame.select("symbol", "session", "target_1d", "direction", "relative", "t0", "t1"), folds=FOLDS
    )


@pytest.fixture(scope="module")
def found(tunable, plan):
    return tune(tunable, plan, model="logistic", tuning=SEARCH, **CALL)


def test_a_planted_window_is_found_and_predicts_better(tunable, plan, found):
    first = [json.loads(row) for row in found.trials.filter(pl.col("trial") == 0)["params"]]
    assert [row[KNOB] for row in first] == [40, 40]
    # Of 5 to 60 rows; neighbouring windows see nearly the same band, and fold 0 scores on few sessions.
    assert all(5 <= best[KNOB] <= 14 for best in found.best.values()), found.best
    tuned = out_of_fold(tunable, plan, model="logistic", params=found.best, **CALL)
    plain = out_of_fold(tunable, plan, model="logistic", params={"C": found.best[1]["C"]}, **CALL)
    auc = [roc_auc_score(one.predictions["label"], one.predictions["score"]) for one in (tuned, plain)]
    assert auc[0] > auc[1] + 0.05, auc
    assert all(KNOB in row for row in found.ledger["params"])


def test_the_fold_is_fitted_on_exactly_the_columns_that_were_chosen(tunable, plan, found, tmp_path):
    """Independent: build the whole matrix with the chosen window and predict with a plain panel."""
    fold = 1
    after = with_tuned(CONFIGURED, {WINDOW: found.best[fold][KNOB]})
    matrix = build_features(tunable.panel, features=after).matrix
    by_hand = SimpleNamespace(
        frame=matrix.with_columns(tunable.frame.select("target_1d", "direction", "relative", "t0", "t1")),
        features=tunable.features,
        targets=tunable.targets,
    )
    params = {"C": found.best[fold]["C"]}
    want = out_of_fold(by_hand, plan, model="logistic", params=params, **CALL).predictions
    got = out_of_fold(tunable, plan, model="logistic", params=found.best, **CALL)
    mine = got.predictions.filter(pl.col("fold") == fold)
    assert mine.equals(want.filter(pl.col("fold") == fold))
    got.models[fold].save(tmp_path)
    assert FittedModel.load(tmp_path).feature_parameters == {WINDOW: found.best[fold][KNOB]}


def test_the_choice_of_a_fold_sees_no_later_session(tunable, plan):
    """Ruin prices and labels after fold 0's own sessions: its trials, windows and all, stay the same."""
    own = pl.concat([plan.sessions(0, "train"), plan.sessions(0, "inner")])
    later = tunable.frame.filter(pl.col("session") > own.max())["session"].min()
    twin = market(ruined_from=later)
    assert not twin.frame["bb_pct"].equals(tunable.frame["bb_pct"])
    seen = []
    for one in (tunable, twin):
        # The name of a study, which seeds its draws, holds the fingerprint of the panel: the twins go by one name.
        certificate = SimpleNamespace(frame_sha="same", panel_sha=fingerprint(one.panel), plan_sha=plan.hash)
        audited = SimpleNamespace(**vars(one.audited), certificate=certificate)
        panel = TunablePanel(audited, panel=one.panel, configured=CONFIGURED)
        seen.append(tune(panel, plan, model="logistic", tuning=SEARCH, folds=[0], **CALL))
    assert seen[0].trials.drop("seconds").equals(seen[1].trials.drop("seconds"))
    assert seen[0].best == seen[1].best
    assert len({json.loads(row)[KNOB] for row in seen[0].trials["params"]}) > 4


def test_pruned_and_resumed_searches_repeat_the_uninterrupted_one(tunable, plan, tmp_path):
    tuning = SEARCH.model_copy(update={"inner_folds": 2, "pruning": True, "n_trials": 9})
    whole = tune(tunable, plan, model="logistic", tuning=tuning, **CALL)
    assert set(whole.trials["state"]) == {"complete", "pruned"}
    storage = f"sqlite:///{tmp_path}/study.db"
    tune(tunable, plan, model="logistic", tuning=tuning.model_copy(update={"n_trials": 4}), storage=storage, **CALL)
    resumed = tune(tunable, plan, model="logistic", tuning=tuning, storage=storage, **CALL)
    assert resumed.trials.drop("seconds").equals(whole.trials.drop("seconds"))
    assert resumed.ledger.equals(whole.ledger)
    assert resumed.best == whole.best


WORKER = """
import sys
sys.path.insert(0, sys.argv[1])
import test_feature_search as here
from conviction.folds import make_fold_plan
from conviction.tuning import TuningParameters, tune

tunable = here.market()
plan = make_fold_plan(tunable.frame.drop("bb_pct", "ret_1d", "vol_5"), folds=here.FOLDS)
tune(tunable, plan, model="lightgbm", tuning=TuningParameters.model_validate_json(sys.argv[2]), storage=sys.argv[3], folds=[1], **here.CALL)
"""


def ended(path):
    try:
        with sqlite3.connect(f"file:{path}?mode=ro", uri=True) as connection:
            return connection.execute("select count(*) from trials where state in ('COMPLETE', 'PRUNED')").fetchone()[0]
    except sqlite3.OperationalError:
        return 0


@pytest.mark.slow
def test_kill_9_with_pruning_and_feature_parameters(tunable, plan, tmp_path):
    tuning = SEARCH.model_copy(update={"inner_folds": 2, "pruning": True, "n_trials": 14})
    whole = tune(tunable, plan, model="lightgbm", tuning=tuning, folds=[1], **CALL)
    assert "pruned" in set(whole.trials["state"])
    path = tmp_path / "study.db"
    storage = f"sqlite:///{path}"
    for wanted in (1, 6):
        command = [sys.executable, "-c", WORKER, str(Path(__file__).parent), tuning.model_dump_json(), storage]
        worker = subprocess.Popen(command, env={**os.environ, "PYTHONWARNINGS": "ignore"})
        deadline = time.monotonic() + 120
        while ended(path) < wanted and time.monotonic() < deadline:
            time.sleep(0.005)
        worker.send_signal(signal.SIGKILL)
        worker.wait()
        assert wanted <= ended(path) < tuning.n_trials
    resumed = tune(tunable, plan, model="lightgbm", tuning=tuning, folds=[1], storage=storage, **CALL)
    assert resumed.trials.drop("seconds").equals(whole.trials.drop("seconds"))
    assert resumed.ledger.equals(whole.ledger)


def test_one_table_holds_both_kinds_of_dimensions(found):
    params = json.loads(found.trials["params"][-1])
    assert {KNOB, "C"} <= set(params)
    assert [one.name for one in search_space("logistic", SEARCH)] == ["C"]


def test_what_cannot_be_searched_is_named(tunable, plan):
    def attempt(panel=tunable, features=SEARCH.features):
        tune(panel, plan, model="logistic", tuning=SEARCH.model_copy(update={"features": features}), **CALL)

    with pytest.raises(TuningError, match="cannot be searched on a panel whose columns are finished"):
        attempt(panel=tunable.audited)
    with pytest.raises(TuningError, match="unknown search dimension"):
        attempt(features={"oscillators.bolinger_window": {}})
    with pytest.raises(TuningError, match="unknown search dimension"):
        attempt(features={"vix.momentum_window": {}})  # this panel has no VIX
    with pytest.raises(TuningError, match="impossible"):
        attempt(features={WINDOW: {"low": 50, "high": 10}})
    with pytest.raises(ParameterError, match=r"features\.oscillators\.bollinger_window is out of bounds"):
        attempt(features={WINDOW: {"low": -3, "log": False}})
    with pytest.raises(ParameterError, match="cannot compute its columns anew"):
        out_of_fold(tunable.audited, plan, model="logistic", params={KNOB: 9}, **CALL)


def test_a_panel_or_parameters_that_were_not_audited_are_refused(tunable, plan):
    certificate = SimpleNamespace(panel_sha=fingerprint(tunable.panel), plan_sha=plan.hash)
    audited = SimpleNamespace(**vars(tunable.audited), certificate=certificate)
    TunablePanel(audited, panel=tunable.panel, configured=CONFIGURED)
    changed = tunable.panel.with_columns(close=pl.col("close") * 1.01)
    with pytest.raises(CertificateError, match="not the one whose features were audited"):
        TunablePanel(audited, panel=changed, configured=CONFIGURED)
    other = with_tuned(CONFIGURED, {WINDOW: 30})
    with pytest.raises(CertificateError, match="do not give the audited columns"):
        tune(TunablePanel(tunable.audited, panel=tunable.panel, configured=other), plan, model="logistic",
             tuning=SEARCH, **CALL)  # fmt: skip


def test_a_range_that_reads_the_future_is_refused(tunable, monkeypatch):
    """Planted defect: a feature that standardises with the mean of the whole panel, as soon as it is tuned."""
    from conviction.oof import _tunable

    def leaky(panel, *, features, only):
        built = build_features(panel, features=features, only=only)
        if features.oscillators.bollinger_window != 40:
            built = SimpleNamespace(matrix=built.matrix.with_columns(pl.col("bb_pct") - pl.col("bb_pct").mean()))
        return built

    fresh = TunablePanel(tunable.audited, panel=tunable.panel, configured=CONFIGURED)
    fresh.check_range({WINDOW: 5}, {WINDOW: 60})
    monkeypatch.setattr(_tunable, "build_features", leaky)
    again = TunablePanel(tunable.audited, panel=tunable.panel, configured=CONFIGURED)
    with pytest.raises(PointInTimeError, match="reads later sessions at an end of its searched range"):
        again.check_range({WINDOW: 5}, {WINDOW: 60})
