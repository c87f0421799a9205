"""What tracking a study costs: CPU seconds of 500 trials as child runs beside the CPU seconds of the study itself.

The study is real: 500 trials of XGBoost on 46 symbols x 60 features, searched through the library as `kedro run` does, its trials
turned into records and written to a new SQLite store as `tracked_trials: all` does. The last line is JSON.
"""

from __future__ import annotations

import json
import os
import resource
import sys
import tempfile
import time
from pathlib import Path

SEED = 1


def cpu() -> float:
    """Return the CPU seconds of this process and of the children that it has waited for."""
    parts = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(part.ru_utime + part.ru_stime for part in parts)


def main(n_trials: int = 500) -> dict[str, float]:
    """Run the study, then write its trials three ways; return the figures."""
    from conviction.folds import FoldParameters, make_fold_plan
    from conviction.testing import planted_panel
    from conviction.tuning import TuningParameters, tune_all
    from conviction_kedro import records
    from conviction_kedro.tracking import open_store

    panel = planted_panel(n_symbols=46, n_sessions=1200, n_features=60, planted_auc=0.53, seed=SEED)
    plan = make_fold_plan(
        panel.labels, folds=FoldParameters(purge=1, embargo=5, holdout_sessions=120, n_folds=1, min_train_sessions=750)
    )
    begun = cpu()
    found = tune_all(
        panel, plan, targets=["relative"], models=["xgboost"], tuning=TuningParameters(n_trials=n_trials), seed=SEED
    )
    figures = {"trials": float(n_trials), "study_cpu_seconds": cpu() - begun}
    with tempfile.TemporaryDirectory() as home:
        config = {"uri": "sqlite:///mlflow.db", "artifacts": "artifacts", "default_experiment": "benchmark"}
        for name, best in (("best_10", 10), ("all", "all")):
            store = open_store(config, Path(home), pipeline="modeling")
            store.start(name=f"benchmark {name}", tags={}, params={})
            begun, wall = cpu(), time.perf_counter()
            store.upsert_children(records.of_trials(found.trials, best=best).to_dicts())  # type: ignore[arg-type]
            figures[f"{name}_cpu_seconds"] = cpu() - begun
            figures[f"{name}_wall_seconds"] = time.perf_counter() - wall
        begun = cpu()
        store.log_table(found.ledger, file_name="ledger.json")
        figures["ledger_table_cpu_seconds"] = cpu() - begun
    figures["all_share_of_study"] = figures["all_cpu_seconds"] / figures["study_cpu_seconds"]
    figures["ms_a_child"] = 1000 * figures["all_cpu_seconds"] / n_trials
    return figures


if __name__ == "__main__":
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    measured = main(int(sys.argv[1]) if len(sys.argv) > 1 else 500)
    for label, value in measured.items():
        print(f"{label:28s} {value:10.3f}")
    print(json.dumps({name: round(value, 4) for name, value in measured.items()}))
