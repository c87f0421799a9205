"""A team's storage: several workers, one of them killed, on a real PostgreSQL server."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import pytest

from conviction.folds import FoldParameters, make_fold_plan
from conviction.testing import planted_panel
from conviction.tuning import TuningParameters, tune

FOLDS = FoldParameters(purge=1, embargo=3, holdout_sessions=0, n_folds=2, min_train_sessions=150)
TUNING = TuningParameters(n_trials=10, n_startup_trials=3, shared=True)
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


def states(storage):
    import psycopg

    with psycopg.connect(storage.replace("+psycopg", "")) as connection:
        try:
            return [row[0] for row in connection.execute("select state::text from trials").fetchall()]
        except psycopg.errors.UndefinedTable:
            return []


def start(storage):
    command = [sys.executable, "-c", WORKER, FOLDS.model_dump_json(), TUNING.model_dump_json(), storage]
    return subprocess.Popen(command, env={**os.environ, "PYTHONWARNINGS": "ignore"})


@pytest.mark.slow
def test_workers_share_a_server_and_a_killed_one_loses_nothing(postgresql):
    victim, survivor = start(postgresql), start(postgresql)
    deadline = time.monotonic() + 180
    while states(postgresql).count("COMPLETE") < 3 and time.monotonic() < deadline:
        time.sleep(0.05)
    victim.send_signal(signal.SIGKILL)
    victim.wait()
    kept = states(postgresql).count("COMPLETE")
    assert kept >= 3
    assert survivor.wait(timeout=240) == 0
    assert states(postgresql).count("COMPLETE") >= max(kept, TUNING.n_trials)
    panel = planted_panel(n_symbols=6, n_sessions=360, n_features=6, planted_auc=0.62, seed=11)
    plan = make_fold_plan(panel.labels, folds=FOLDS)
    found = tune(panel, plan, target="relative", model="lightgbm", tuning=TUNING, seed=0, folds=[1], storage=postgresql)
    assert TUNING.n_trials <= found.trials.height <= TUNING.n_trials + 1
    assert found.trials["trial"].is_unique().all()
