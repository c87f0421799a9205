"""A team's storage: several workers, one of them killed, on a real PostgreSQL server."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from importlib.util import find_spec
from pathlib import Path

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


@pytest.fixture(scope="module")
def server():
    """Start a server of our own in a temporary folder and give its address."""
    if shutil.which("initdb") is None or find_spec("psycopg") is None:
        pytest.skip("PostgreSQL's initdb or the Python package psycopg is missing")
    root = os.geteuid() == 0
    try:
        owner = pwd.getpwnam("postgres" if root else pwd.getpwuid(os.geteuid()).pw_name)
    except KeyError:
        pytest.skip("PostgreSQL does not run as root, and there is no user postgres")
    as_owner = {"user": owner.pw_uid, "group": owner.pw_gid} if root else {}
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    folder = Path(tempfile.mkdtemp(prefix="conviction-postgresql-"))
    if root:
        os.chown(folder, owner.pw_uid, owner.pw_gid)
    quiet = {"capture_output": True, "cwd": folder, **as_owner}
    subprocess.run(["initdb", "-D", folder / "data", "-A", "trust", "-U", "postgres", "--no-sync"], check=True, **quiet)
    log = (folder / "log").open("wb")
    process = subprocess.Popen(
        ["postgres", "-D", folder / "data", "-p", str(port), "-k", folder, "-h", "127.0.0.1"],
        stdout=log, stderr=log, cwd=folder, **as_owner,
    )  # fmt: skip
    try:
        for _ in range(200):
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            time.sleep(0.1)
        yield f"postgresql+psycopg://postgres@127.0.0.1:{port}/postgres"
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(timeout=30)
        log.close()
        shutil.rmtree(folder, ignore_errors=True)


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
def test_workers_share_a_server_and_a_killed_one_loses_nothing(server):
    victim, survivor = start(server), start(server)
    deadline = time.monotonic() + 180
    while states(server).count("COMPLETE") < 3 and time.monotonic() < deadline:
        time.sleep(0.05)
    victim.send_signal(signal.SIGKILL)
    victim.wait()
    kept = states(server).count("COMPLETE")
    assert kept >= 3
    assert survivor.wait(timeout=240) == 0
    assert states(server).count("COMPLETE") >= max(kept, TUNING.n_trials)
    panel = planted_panel(n_symbols=6, n_sessions=360, n_features=6, planted_auc=0.62, seed=11)
    plan = make_fold_plan(panel.labels, folds=FOLDS)
    found = tune(panel, plan, target="relative", model="lightgbm", tuning=TUNING, seed=0, folds=[1], storage=server)
    assert TUNING.n_trials <= found.trials.height <= TUNING.n_trials + 1
    assert found.trials["trial"].is_unique().all()
