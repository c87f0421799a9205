"""The same study searched here and through the stand-in of SageMaker, and what delegation costs beside the training.

On a planted panel one outer fold is searched by Optuna in this process and, with the same space, folds, objective, seed and number of
trials, as a tuning job of the stand-in: a real S3 server, the real entry point in a process a trial, the real request, checks, polling and
collection. Printed for both: the best score of the search with the 95 % interval of its mean over sessions (Newey-West), and whether each
best lies within the other's interval. `overhead_seconds_a_job` is the wall time from the plan to the collected results less the time in
which a training job ran, a job; what a container's start costs inside a training job (interpreter, imports) is `start_seconds_a_trial`.
The last line is one JSON object.
"""

from __future__ import annotations

import argparse
import json
import os
import time

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import polars as pl


def interval(by_session: list[float]) -> tuple[float, float, float]:
    """Return mean, low and high of a series of daily AUCs."""
    values = np.asarray(by_session)
    centred, n = values - values.mean(), len(values)
    lags = int(4 * (n / 100) ** (2 / 9))
    variance = centred @ centred / n
    for lag in range(1, lags + 1):
        variance += 2 * (1 - lag / (lags + 1)) * (centred[lag:] @ centred[:-lag]) / n
    half = 1.96 * float(np.sqrt(max(variance, 0.0) / n))
    return float(values.mean()), float(values.mean()) - half, float(values.mean()) + half


def best_of(ledger: pl.DataFrame) -> list[float]:
    return ledger.sort("value", descending=True).row(0, named=True)["by_session"]


def main() -> None:
    from conviction.folds import FoldParameters, make_fold_plan
    from conviction.testing import planted_panel
    from conviction.tuning import TuningParameters, tune
    from conviction_kedro.sagemaker import (
        RunIdentity,
        SageMakerParameters,
        collect,
        launch_plan,
        make_upload,
        plan_jobs,
        watch_jobs,
    )
    from conviction_kedro.sagemaker._stand_in import LocalCloud

    parser = argparse.ArgumentParser()
    parser.add_argument("--trials", type=int, default=8)
    parser.add_argument("--symbols", type=int, default=20)
    parser.add_argument("--sessions", type=int, default=900)
    parser.add_argument("--model", default="xgboost")
    given = parser.parse_args()

    panel = planted_panel(n_symbols=given.symbols, n_sessions=given.sessions, n_features=30, planted_auc=0.56, seed=11)
    folds = FoldParameters(purge=1, embargo=5, holdout_sessions=100, n_folds=1, min_train_sessions=400)
    plan = make_fold_plan(panel.labels, folds=folds)
    tuning = TuningParameters(n_trials=given.trials)

    started = time.perf_counter()
    here = tune(panel, plan, target="relative", model=given.model, tuning=tuning, seed=3)
    seconds_here = time.perf_counter() - started

    cloud = LocalCloud("benchmark")
    settings = SageMakerParameters(
        bucket="benchmark", role_arn="arn:aws:iam::000000000000:role/benchmark", poll_seconds=0.5, parallel=1
    )
    searches = [("relative", given.model)]
    started = time.perf_counter()
    requests = plan_jobs(
        panel, plan, searches=searches, tuning=tuning, settings=settings, seed=3, identity=RunIdentity(universe="bench")
    )
    upload = make_upload(panel, plan, searches=searches, tuning=tuning)
    launched = launch_plan(requests, upload, settings=settings, clients=cloud.clients)
    watch = watch_jobs(launched, settings=settings, clients=cloud.clients, plan=requests)
    found = collect(watch, requests, panel, plan, tuning=tuning, seed=3, clients=cloud.clients)
    wall = time.perf_counter() - started
    cloud.close()

    configured = found.tunings.trials.filter(pl.col("trial") == 0)["seconds"].sum()
    running = found.trials["billed_seconds"].sum()
    inside = found.trials["seconds"].sum()
    ours, theirs = interval(best_of(here.ledger)), interval(best_of(found.tunings.ledger))
    result = {
        "model": given.model,
        "trials": given.trials,
        "optuna_best": ours,
        "delegated_best": theirs,
        "within_each_other": bool(ours[1] <= theirs[0] <= ours[2] and theirs[1] <= ours[0] <= theirs[2]),
        "seconds_here": round(seconds_here, 2),
        "seconds_delegated": round(wall, 2),
        "overhead_seconds_a_job": round((wall - running - configured) / len(requests["jobs"]), 2),
        "start_seconds_a_trial": round((running - inside) / found.trials.height, 2),
    }
    print(
        f"best here {ours[0]:.4f} [{ours[1]:.4f}, {ours[2]:.4f}]; delegated {theirs[0]:.4f} [{theirs[1]:.4f}, {theirs[2]:.4f}]"
    )
    print(json.dumps(result))


if __name__ == "__main__":
    main()
