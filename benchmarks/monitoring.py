"""How often monitoring rings when nothing changed, and how much must change until it rings. By simulation.

Panels are stationary and dependent: symbols share a common factor a session, sessions are autocorrelated (up to 0.95 from one to the
next; `persistent`: 0.98 and 0.99, slower than a quarter), features share a factor. The last line is one JSON object:

- `false_alarms`: share of months with any drifted column, with `false_alarms_hi`, its exact upper 95 % bound (Clopper and Pearson
  1934), and the same for `persistent`;
- `claimed`: what the parameters allow;
- `false_alarms_by_rule_of_thumb`: of "an index above 0.25 is drift", on the same months;
- `power`: share of months in which a shift of the mean of one feature of moderate persistence by so many standard deviations is named;
- `run_length`: sessions until a false alarm of the quality chart, by simulation of daily AUCs, beside what it claims;
- `seconds`: of one comparison.
"""

from __future__ import annotations

import argparse
import json
import sys
import time

import numpy as np
import polars as pl
from scipy.stats import beta

from conviction.monitoring import MonitoringParameters, drift_test, limit_for, stationary_sessions

MONTH = 21
USUAL, PERSISTENT = (0.0, 0.8, 0.95), (0.98, 0.99)


def upper_bound(hits: int, n: int) -> float:
    """Return the exact one-sided 97.5 % bound of a share."""
    return 1.0 if hits == n else float(beta.ppf(0.975, hits + 1, n - hits))


def months(n: int, *, reference: int, n_features: int, persistence: tuple[float, ...], shift: float, first: int):
    """Return for each simulated month whether anything rang, whether the rule of thumb did, and whether x0 was named."""
    monitoring = MonitoringParameters(current_sessions=MONTH, false_alarms=0.05)
    share = monitoring.false_alarms * (1 - monitoring.chart_share)
    out = []
    for seed in range(first, first + n):
        frame, columns = stationary_sessions(
            n_sessions=reference + MONTH, n_symbols=15, n_features=n_features, seed=seed, persistence=persistence
        )
        sessions = frame["session"].unique().sort()
        if shift:
            newest = pl.col("session") >= sessions[reference]
            frame = frame.with_columns(x0=pl.when(newest).then(pl.col("x0") + shift).otherwise("x0"))
        found = drift_test(
            frame,
            kinds=dict.fromkeys(columns, "feature"),
            reference=sessions[:reference],
            current=sessions[reference:],
            monitoring=monitoring,
            false_alarms=share,
        )
        out.append((bool(found.drifted), bool((found.columns["psi"] > 0.25).any()), "x0" in found.drifted))
    return np.array(out)


def simulated_run_length(run_length: float, *, allowance: float, n: int, seed: int) -> float:
    """Return the mean number of sessions until the chart rings on independent daily AUCs."""
    limit = limit_for(run_length, allowance=allowance)
    rng = np.random.default_rng(seed)
    value, running = np.zeros(n), np.ones(n, dtype=bool)
    lengths = np.zeros(n)
    while running.any():
        value = np.maximum(0.0, value - rng.standard_normal(n) - allowance)
        lengths += running
        running &= value <= limit
    return float(lengths.mean())


def main(arguments: list[str]) -> None:
    """Run the benchmark and print its JSON line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--months", type=int, default=400)
    parser.add_argument("--reference", type=int, default=1000)
    parser.add_argument("--features", type=int, default=20)
    options = parser.parse_args(arguments)
    common = {"reference": options.reference, "n_features": options.features}
    result: dict[str, object] = {"months": options.months, **common, "claimed": 0.05}
    started = time.perf_counter()
    for name, persistence in (("", USUAL), ("_persistent", PERSISTENT)):
        found = months(options.months, persistence=persistence, shift=0.0, first=0, **common)
        hits = int(found[:, 0].sum())
        result |= {
            f"false_alarms{name}": round(hits / options.months, 4),
            f"false_alarms{name}_hi": round(upper_bound(hits, options.months), 4),
            f"false_alarms{name}_by_rule_of_thumb": round(float(found[:, 1].mean()), 4),
        }
    result["seconds"] = round((time.perf_counter() - started) / (2 * options.months), 3)
    few = max(20, options.months // 8)
    result["power"] = {
        str(shift): round(float(months(few, persistence=(0.5,), shift=shift, first=10_000, **common)[:, 2].mean()), 3)
        for shift in (0.25, 0.5, 1.0)
    }
    result["run_length"] = {
        "claimed": 1050, "simulated": round(simulated_run_length(1050.0, allowance=0.25, n=2000, seed=1))
    }  # fmt: skip
    print(json.dumps(result))


if __name__ == "__main__":
    main(sys.argv[1:])
