"""Threads, processes and Dask give the same trials and scores; a killed study loses and repeats nothing."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import time
from importlib.util import find_spec

import joblib
import optuna
import polars as pl
import pytest

from conviction.folds import FoldParameters, make_fold_plan
from conviction.observer import SilentObserver
from conviction.oof import out_of_fold
from conviction.testing import planted_panel
from conviction.tuning import TuningParameters, tune

FOLDS = FoldParameters(purge=1, embargo=3, holdout_sessions=0, n_folds=2, min_train_sessions=150)
TUNING = TuningParameters(n_trials=12, n_startup_trials=3)
WORKER = """
import sys
from conviction.folds import FoldParameters, make_fold_plan
from conviction.testing import planted_panel
from conviction.tuning import TuningParameters, tune

panel = planted_panel(n_symbols=6, n_sessions=360, n_features=6, planted_auc=0.62, seed=11)
plan = make_fold_plan(panel.labels, folds=FoldParameters.model_validate_json(sys.argv[1]))
tuning = TuningParameters.model_validate_json(sys.argv[2])
tune(panel, plan, target="relative", model="lightgbm", tuning=tuning, seed=0, folds=[1], storage=sys.argv[3])
"""


@pytest.fixture(scope="module")
def panel():
    return planted_panel(n_symbols=6, n_sessions=360, n_features=6, planted_auc=0.62, seed=11)


@pytest.fixture(scope="module")
def plan(panel):
    return make_fold_plan(panel.labels, folds=FOLDS)


def completed(path):
    try:
        with sqlite3.connect(f"file:{path}?mode=ro", uri=True) as connection:
            return connection.execute("select count(*) from trials where state = 'COMPLETE'").fetchone()[0]
    except sqlite3.OperationalError:
        return 0


def start(storage, tuning=TUNING):
    command = [sys.executable, "-c", WORKER, FOLDS.model_dump_json(), tuning.model_dump_json(), storage]
    return subprocess.Popen(command, env={**os.environ, "PYTHONWARNINGS": "ignore"})


@pytest.mark.slow
def test_kill_9_at_any_moment_loses_and_repeats_no_trial(panel, plan, tmp_path):
    whole = tune(panel, plan, target="relative", model="lightgbm", tuning=TUNING, seed=0, folds=[1])
    path = tmp_path / "study.db"
    storage = f"sqlite:///{path}"
    kept = []
    for wanted in (1, 4, 9):
        worker = start(storage)
        deadline = time.monotonic() + 120
        while completed(path) < wanted and time.monotonic() < deadline:
            time.sleep(0.01)
        worker.send_signal(signal.SIGKILL)
        worker.wait()
        kept.append(completed(path))
        assert kept[-1] >= wanted
    assert kept == sorted(kept)
    resumed = tune(panel, plan, target="relative", model="lightgbm", tuning=TUNING, seed=0, folds=[1], storage=storage)
    assert resumed.trials.drop("seconds").equals(whole.trials.drop("seconds"))
    assert resumed.ledger.equals(whole.ledger)
    states = [trial.state.name for study in optuna.get_all_study_summaries(storage)
              for trial in optuna.load_study(study_name=study.study_name, storage=storage).trials]  # fmt: skip
    assert states.count("COMPLETE") == TUNING.n_trials
    assert set(states) <= {"COMPLETE", "FAIL"}


@pytest.mark.slow
def test_workers_share_a_study_without_losing_a_trial(panel, plan, tmp_path):
    storage = f"sqlite:///{tmp_path / 'shared.db'}"
    tuning = TUNING.model_copy(update={"shared": True})
    workers = [start(storage, tuning) for _ in range(2)]
    assert [worker.wait(timeout=240) for worker in workers] == [0, 0]
    found = tune(panel, plan, target="relative", model="lightgbm", tuning=tuning, seed=0, folds=[1], storage=storage)
    assert TUNING.n_trials <= found.trials.height <= TUNING.n_trials + 1
    assert found.trials["trial"].is_unique().all()


class Counting(SilentObserver):
    def __init__(self):
        self.trials = []

    def record(self, record):
        self.trials.append((record["fold"], record["trial"], record["value"]))


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["loky", "dask"])
def test_other_engines_give_the_same_trials_and_scores(panel, plan, backend, tmp_path):
    short = TUNING.model_copy(update={"n_trials": 3})
    call = {"target": "relative", "model": "lightgbm", "seed": 0}
    here = tune(panel, plan, tuning=short, **call)
    scores = out_of_fold(panel, plan, params=here.best, **call)
    heard = Counting()
    if backend == "dask":
        if find_spec("distributed") is None:
            pytest.skip("the optional package distributed is missing")
        from distributed import Client, LocalCluster

        with (
            LocalCluster(
                n_workers=2, threads_per_worker=1, dashboard_address=None, local_directory=str(tmp_path)
            ) as cluster,
            Client(cluster),
            joblib.parallel_config(backend="dask"),
        ):
            there = tune(panel, plan, tuning=short, n_jobs=2, observer=heard, **call)
            far = out_of_fold(panel, plan, params=there.best, n_jobs=2, **call)
    else:
        with joblib.parallel_config(backend="loky"):
            there = tune(panel, plan, tuning=short, n_jobs=2, observer=heard, **call)
            far = out_of_fold(panel, plan, params=there.best, n_jobs=2, **call)
    assert there.trials.drop("seconds").equals(here.trials.drop("seconds"))
    assert far.predictions.equals(scores.predictions)
    assert sorted(heard.trials) == sorted(here.trials.select("fold", "trial", "value").rows())
    test = panel.frame.filter(pl.col("session").is_in(plan.sessions(1, "test").implode()))
    test = test.select("symbol", "session", *panel.features)
    assert (far.models[1].predict(test) == scores.models[1].predict(test)).all()


def test_threads_announce_every_trial_once(panel, plan):
    heard = Counting()
    found = tune(panel, plan, target="relative", model="logistic", tuning=TUNING, seed=0, n_jobs=2, observer=heard)
    assert sorted(heard.trials) == sorted(found.trials.select("fold", "trial", "value").rows())
