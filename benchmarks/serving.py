"""Throughput and latency of the champion behind MLflow's own scoring server, on this machine's loopback.

A planted panel of 50 symbols and 50 features is fitted, packed as `kedro promote` packs it, and served by
`mlflow models serve`. Each request is one whole session as JSON; 1, 8 and 32 clients keep their connections and ask without a pause.
Every answer must be bit for bit what the same model says in this process. The last line is one JSON object:

- `requests_per_second`, `p50_ms`, `p99_ms`: by number of clients;
- `errors`: answers other than 200, which must be 0;
- `bit_exact`: whether every distinct answer equals the one in process;
- `model_ms`: the model alone, in process, for one session;
- `start_seconds`: from the command to the first healthy ping.
"""

from __future__ import annotations

import argparse
import json
import os
import socket
import subprocess
import sys
import tempfile
import threading
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import polars as pl
import urllib3

from conviction.ensembling import EnsemblingParameters
from conviction.folds import FoldParameters, make_fold_plan
from conviction.oof import fit_on_everything, fit_out_of_fold
from conviction.serving import assemble_served
from conviction.testing import planted_panel
from conviction_kedro.endpoint import wait_for
from conviction_kedro.requests import body_of
from conviction_kedro.serving import AS_OF, write_serving_model

MODELS = ("lightgbm", "logistic", "xgboost")
SHA = "b" * 64


def served_model(n_symbols: int, n_features: int):
    """Return a served model of a planted panel, and the rows of the session after its last one."""
    panel = planted_panel(n_symbols=n_symbols, n_sessions=600, n_features=n_features, planted_auc=0.53, seed=1)
    folds = FoldParameters(purge=1, embargo=5, holdout_sessions=60, n_folds=2, min_train_sessions=200)
    plan = make_fold_plan(panel.labels, folds=folds)
    audited = SimpleNamespace(
        frame=panel.frame,
        features=panel.features,
        targets=panel.targets,
        certificate=SimpleNamespace(sha=SHA, code_sha="", plan_sha=plan.hash),
    )
    arguments = {"targets": ("relative",), "models": MODELS, "params": {}, "seed": 1}
    oof = fit_out_of_fold(audited, plan, **arguments).predictions
    models = fit_on_everything(audited, folds=folds, **arguments)
    newest = panel.frame.filter(pl.col("session") == pl.col("session").max()).select(
        "symbol", "session", *panel.features
    )
    served = assemble_served(
        audited,
        oof,
        models,
        choices={"relative": "rank_mean"},
        symbols=newest["symbol"].to_list(),
        ensembling=EnsemblingParameters(purge=1),
        seed=1,
        calendar="XNYS",
        decision="close",
        max_age_sessions=None,
    )
    return served, newest


def free_port() -> int:
    """Return a port that nobody listens on now."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


def load(url: str, body: bytes, *, clients: int, seconds: float) -> tuple[list[float], int, set[bytes], float]:
    """Ask without a pause for some seconds; return latencies, errors, distinct answers and the time that it took."""
    latencies: list[list[float]] = [[] for _ in range(clients)]
    answers: set[bytes] = set()
    errors = [0] * clients
    deadline = time.perf_counter() + seconds

    def ask(place: int) -> None:
        pool = urllib3.HTTPConnectionPool("127.0.0.1", int(url.rsplit(":", 1)[1]), maxsize=1, timeout=60.0)
        while time.perf_counter() < deadline:
            started = time.perf_counter()
            answer = pool.request("POST", "/invocations", body=body, headers={"Content-Type": "application/json"})
            latencies[place].append(time.perf_counter() - started)
            if answer.status == 200:
                answers.add(answer.data)
            else:
                errors[place] += 1

    started = time.perf_counter()
    threads = [threading.Thread(target=ask, args=(place,)) for place in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return [value for one in latencies for value in one], sum(errors), answers, time.perf_counter() - started


def main(arguments: list[str]) -> None:
    """Run the benchmark and print its JSON line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=10.0, help="of each number of clients")
    parser.add_argument("--symbols", type=int, default=50)
    parser.add_argument("--features", type=int, default=50)
    parser.add_argument("--clients", type=int, nargs="+", default=[1, 8, 32])
    parser.add_argument("--workers", type=int, default=1, help="processes of the server")
    options = parser.parse_args(arguments)
    served, newest = served_model(options.symbols, options.features)
    session = newest["session"][0]
    now = datetime(session.year, session.month, session.day, 23, tzinfo=UTC) + timedelta(hours=1)
    body = json.dumps(body_of(newest, {"certificate_sha": SHA})).encode()
    started = time.perf_counter()
    for _ in range(20):
        wanted = served.answer(newest, certificate_sha=SHA, now=now)
    model_ms = (time.perf_counter() - started) / 20 * 1000
    result: dict[str, object] = {"symbols": options.symbols, "features": options.features, "workers": options.workers}
    by_clients: dict[str, dict[str, float]] = {"requests_per_second": {}, "p50_ms": {}, "p99_ms": {}}
    errors, exact = 0, True
    with tempfile.TemporaryDirectory() as home:
        write_serving_model(served, Path(home) / "model", example=newest, metadata={})
        url = f"http://127.0.0.1:{free_port()}"
        command = [sys.executable, "-m", "mlflow", "models", "serve", "-m", str(Path(home) / "model")]
        command += ["--env-manager", "local", "-h", "127.0.0.1", "-p", url.rsplit(":", 1)[1]]
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        started = time.perf_counter()
        with (Path(home) / "log").open("wb") as log:
            server = subprocess.Popen(
                [*command, "--workers", str(options.workers)],
                env=os.environ | {AS_OF: now.isoformat(), "PATH": path},
                stdout=log,
                stderr=log,
            )
            try:
                wait_for(url, timeout=180)
                start_seconds = time.perf_counter() - started
                load(url, body, clients=1, seconds=1.0)
                for clients in options.clients:
                    latencies, wrong, answers, spent = load(url, body, clients=clients, seconds=options.seconds)
                    by_clients["requests_per_second"][str(clients)] = round(len(latencies) / spent, 1)
                    by_clients["p50_ms"][str(clients)] = round(float(np.quantile(latencies, 0.5)) * 1000, 1)
                    by_clients["p99_ms"][str(clients)] = round(float(np.quantile(latencies, 0.99)) * 1000, 1)
                    errors += wrong
                    for answer in answers:
                        rows = json.loads(answer)["predictions"]
                        got = [(row["symbol"], row["relative_score"], row["relative_probability"]) for row in rows]
                        columns = ("symbol", "relative_score", "relative_probability")
                        exact &= got == list(wanted.select(columns).iter_rows())
            finally:
                server.terminate()
                server.wait(timeout=30)
    result |= by_clients | {"errors": errors, "bit_exact": exact, "model_ms": round(model_ms, 2)}
    print(json.dumps(result | {"start_seconds": round(start_seconds, 1), "load_average": os.getloadavg()[0]}))


if __name__ == "__main__":
    main(sys.argv[1:])
