"""CPU seconds until a study's chosen model reaches a given quality on fresh data, against two scripts that people write.

On real daily prices every tuned AUC lies within noise of 0.5, so equal quality can only be shown where the signal is known: a panel
of 46 symbols x 158 features with a planted AUC of 0.55, a third of it an interaction. For each seed and library three
contenders search on the same development sessions; whenever a contender's choice changes, its final model is fitted and scored on 400
later sessions that nobody has seen. The scoring is free, the final fit is paid.

- `by hand`: Optuna around the scikit-learn wrapper, the number of rounds in the search space, data binned in every fit;
- `competent`: the native interface, early stopping on the validation part, Optuna's median pruner, data binned in every trial;
- `ours`: `conviction.tuning.tune` and `conviction.oof.out_of_fold(fitting=refit)` with the shipped defaults and search space.

Every contender runs on one thread, so that CPU seconds are work and not waiting. The bar is fixed beforehand: an AUC of 0.525 on
fresh data, half of what was planted. A peer that never reaches it is counted with all the CPU it spent, so its ratio is a lower
bound; a seed in which we never reach it counts as ratio 0. The last line is one JSON object; `cpu_to_quality_ratio` is the smaller of LightGBM's and
XGBoost's median ratio against the script by hand, `cpu_to_quality_ratio_competent` the same against the other.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
import warnings
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import polars as pl

SYMBOLS, FEATURES, FRESH = 46, 158, 400
PLANTED, BAR = 0.55, 0.525
SPACE = {
    "lightgbm": lambda t: {
        "n_estimators": t.suggest_int("n_estimators", 100, 1000),
        "learning_rate": t.suggest_float("learning_rate", 0.005, 0.3, log=True),
        "num_leaves": t.suggest_int("num_leaves", 8, 128),
        "min_child_samples": t.suggest_int("min_child_samples", 5, 200),
        "subsample": t.suggest_float("subsample", 0.5, 1.0),
        "colsample_bytree": t.suggest_float("colsample_bytree", 0.5, 1.0),
        "reg_lambda": t.suggest_float("reg_lambda", 1e-3, 10.0, log=True),
        "subsample_freq": 1,
    },
    "xgboost": lambda t: {
        "n_estimators": t.suggest_int("n_estimators", 100, 1000),
        "learning_rate": t.suggest_float("learning_rate", 0.01, 0.3),
        "max_depth": t.suggest_int("max_depth", 3, 10),
        "subsample": t.suggest_float("subsample", 0.5, 1.0),
        "colsample_bytree": t.suggest_float("colsample_bytree", 0.5, 1.0),
        "gamma": t.suggest_float("gamma", 0.0, 10.0),
        "reg_alpha": t.suggest_float("reg_alpha", 0.0, 10.0),
        "reg_lambda": t.suggest_float("reg_lambda", 0.0, 10.0),
        "min_child_weight": t.suggest_int("min_child_weight", 1, 10),
    },
}


class Stopwatch:
    """CPU seconds of the work between `start` and `stop`; what is free is not between them."""

    def __init__(self):
        self.seconds, self._since = 0.0, None

    def start(self):
        self._since = time.process_time()

    def stop(self):
        self.seconds += time.process_time() - self._since


def auc(y, scores):
    from sklearn.metrics import roc_auc_score

    return float(roc_auc_score(y, scores))


def make_data(seed, sessions):
    """Return the panel, its plan with one fold, and plain arrays of development, validation and fresh rows."""
    from conviction.folds import FoldParameters, make_fold_plan
    from conviction.testing import planted_panel

    panel = planted_panel(
        n_symbols=SYMBOLS,
        n_sessions=sessions + FRESH,
        n_features=FEATURES,
        planted_auc=PLANTED,
        seed=seed,
        missing=0.01,
    )
    folds = FoldParameters(
        purge=1, embargo=0, holdout_sessions=0, n_folds=1, test_sessions=FRESH - 10, min_train_sessions=sessions // 2
    )
    plan = make_fold_plan(panel.labels, folds=folds)
    roles = panel.frame.drop_nulls("relative").sort("session", "symbol").join(plan.frame, on="session")

    def part(*names):
        rows = roles.filter(pl.col("role").is_in(names))
        return rows.select(panel.features).to_numpy(), rows["relative"].to_numpy()

    return (
        panel,
        plan,
        SimpleNamespace(train=part("train"), inner=part("inner"), both=part("train", "inner"), fresh=part("test")),
    )


def wrapper(library, params):
    if library == "lightgbm":
        from lightgbm import LGBMClassifier

        return LGBMClassifier(**params, n_jobs=1, verbosity=-1, random_state=0)
    from xgboost import XGBClassifier

    return XGBClassifier(**params, n_jobs=1, random_state=0)


def study_timeline(data, *, trials, seed, pruner, objective, final):
    """Run an Optuna study; return (CPU seconds with the final fit, AUC on fresh rows) whenever the choice changes."""
    import optuna

    study = optuna.create_study(
        direction="maximize", sampler=optuna.samplers.TPESampler(seed=seed), pruner=pruner or optuna.pruners.NopPruner()
    )
    watch, best, timeline = Stopwatch(), -1.0, []
    for _ in range(trials):
        watch.start()
        trial = study.ask()
        try:
            value = objective(trial)
            study.tell(trial, value)
        except optuna.TrialPruned:
            study.tell(trial, state=optuna.trial.TrialState.PRUNED)
            value = -1.0
        watch.stop()
        if value > best:
            best = value
            last = Stopwatch()
            last.start()
            predict = final(trial)
            last.stop()
            timeline.append((watch.seconds + last.seconds, auc(data.fresh[1], predict(data.fresh[0]))))
    return timeline, watch.seconds + last.seconds


def by_hand(library, data, *, trials, seed):
    """The script that is written in an afternoon."""

    def objective(trial):
        model = wrapper(library, SPACE[library](trial)).fit(*data.train)
        return auc(data.inner[1], model.predict_proba(data.inner[0])[:, 1])

    def final(trial):
        model = wrapper(library, {**trial.params, **({"subsample_freq": 1} if library == "lightgbm" else {})})
        model.fit(*data.both)
        return lambda X: model.predict_proba(X)[:, 1]

    return study_timeline(data, trials=trials, seed=seed, pruner=None, objective=objective, final=final)


def competent(library, data, *, trials, seed):
    """The script of somebody who has read the libraries' manuals: early stopping and a pruner."""
    import optuna

    rounds = {}

    def prune(trial, iteration, value):
        if iteration % 20 == 0:
            trial.report(value, iteration)
            if trial.should_prune():
                raise optuna.TrialPruned

    def lightgbm_fit(trial):
        import lightgbm as lgb

        params = {k: v for k, v in SPACE[library](trial).items() if k != "n_estimators"}
        params |= {"objective": "binary", "metric": "auc", "verbosity": -1, "num_threads": 1, "seed": 0}
        train = lgb.Dataset(*data.train)
        booster = lgb.train(
            params, train, 1000, valid_sets=[lgb.Dataset(*data.inner, reference=train)],
            callbacks=[
                lgb.early_stopping(50, verbose=False),
                lambda env: prune(trial, env.iteration, env.evaluation_result_list[0][2]),
            ],
        )  # fmt: skip
        rounds[trial.number] = (params, booster.best_iteration)
        return booster.best_score["valid_0"]["auc"]

    def xgboost_fit(trial):
        import xgboost as xgb

        class Prune(xgb.callback.TrainingCallback):
            def after_iteration(self, model, epoch, evals_log):  # noqa: ARG002
                prune(trial, epoch, evals_log["inner"]["auc"][-1])
                return False

        params = {k: v for k, v in SPACE[library](trial).items() if k != "n_estimators"}
        params |= {"objective": "binary:logistic", "eval_metric": "auc", "nthread": 1, "seed": 0, "tree_method": "hist"}
        booster = xgb.train(
            params, xgb.DMatrix(*data.train, nthread=1), 1000, evals=[(xgb.DMatrix(*data.inner, nthread=1), "inner")],
            early_stopping_rounds=50, verbose_eval=False, callbacks=[Prune()],
        )  # fmt: skip
        rounds[trial.number] = (params, booster.best_iteration + 1)
        return booster.best_score

    def final(trial):
        params, n = rounds[trial.number]
        if library == "lightgbm":
            import lightgbm as lgb

            booster = lgb.train(params, lgb.Dataset(*data.both), n)
            return booster.predict
        import xgboost as xgb

        booster = xgb.train(params, xgb.DMatrix(*data.both, nthread=1), n)
        return lambda X: booster.predict(xgb.DMatrix(X, nthread=1))

    objective = {"lightgbm": lightgbm_fit, "xgboost": xgboost_fit}[library]
    return study_timeline(
        data, trials=trials, seed=seed, pruner=optuna.pruners.MedianPruner(n_startup_trials=3),
        objective=objective, final=final,
    )  # fmt: skip


def ours(library, panel, plan, *, trials, seed):
    """`tune` and `out_of_fold` as shipped; the choice after each trial is fitted as the real run would fit it."""
    from conviction.observer import SilentObserver
    from conviction.oof import FittingParameters, out_of_fold
    from conviction.tuning import TuningParameters, tune

    seen = []

    class Watcher(SilentObserver):
        def record(self, record):
            seen.append((time.process_time(), record["value"], record["params"]))

    began = time.process_time()
    tuning = TuningParameters(n_trials=trials)
    tune(panel, plan, target="relative", model=library, tuning=tuning, seed=seed, observer=Watcher())
    best, timeline, total = -1.0, [], 0.0
    for when, value, params in seen:
        if value > best:
            best = value
            start = time.process_time()
            found = out_of_fold(
                panel,
                plan,
                target="relative",
                model=library,
                params=params,
                seed=seed,
                fitting=FittingParameters(refit=True),
            ).predictions
            total = seen[-1][0] - began + time.process_time() - start
            timeline.append((when - began + time.process_time() - start, auc(found["label"], found["score"])))
    return timeline, total


def reached(timeline, bar):
    """Return the CPU seconds at which a timeline first holds a choice at least as good as the bar, or None."""
    return next((seconds for seconds, value in timeline if value >= bar), None)


def race(library, seeds, *, trials, sessions):
    """Run the three contenders on every seed; return one row a seed."""
    rows = []
    for seed in seeds:
        panel, plan, data = make_data(seed, sessions)
        lines = {
            "hand": by_hand(library, data, trials=trials, seed=seed),
            "competent": competent(library, data, trials=trials, seed=seed),
            "ours": ours(library, panel, plan, trials=trials, seed=seed),
        }
        row = {"seed": seed}
        for name, (line, total) in lines.items():
            row |= {name: reached(line, BAR), f"{name}_end": round(line[-1][1], 4), f"{name}_total": round(total, 1)}
        rows.append(row)
        print(library, {k: round(v, 1) if isinstance(v, float) and v > 1 else v for k, v in row.items()}, flush=True)
    return rows


def summarise(rows):
    """Return median CPU ratios; who never reaches the bar is counted with all that it spent, we with 0."""

    def ratio(name):
        return float(
            np.median([(row[name] or row[f"{name}_total"]) / row["ours"] if row["ours"] else 0.0 for row in rows])
        )

    return {
        "ratio_to_hand": round(ratio("hand"), 2),
        "ratio_to_competent": round(ratio("competent"), 2),
        "reached": {name: sum(row[name] is not None for row in rows) for name in ("hand", "competent", "ours")},
        "auc_end": {
            name: round(float(np.median([row[f"{name}_end"] for row in rows])), 4)
            for name in ("hand", "competent", "ours")
        },
        "cpu_total": {
            name: round(float(np.median([row[f"{name}_total"] for row in rows])), 1)
            for name in ("hand", "competent", "ours")
        },
    }


def means_alone(sessions):
    """Measure each means by itself on one fold: bins, sharing them, early stopping."""
    from conviction.models import Block, fit_blocks

    _, _, data = make_data(0, sessions)
    names = tuple(f"x{i:03d}" for i in range(FEATURES))

    def cpu(library, train, inner, **params):
        start = time.process_time()
        fit_blocks(library, train, inner, params=params, seed=0)
        return time.process_time() - start

    found = {}
    for library in ("lightgbm", "xgboost"):

        def fresh():
            return Block(names, data.train[0], y=data.train[1].astype(float)), Block(
                names, data.inner[0], y=data.inner[1].astype(float)
            )

        fixed = {"early_stopping_rounds": None, "n_estimators": 200}
        cpu(library, *fresh(), **fixed)
        narrow = np.median([cpu(library, *fresh(), **fixed) for _ in range(3)])
        wide = np.median([cpu(library, *fresh(), **fixed, max_bin=255) for _ in range(3)])
        train, inner = fresh()
        cpu(library, train, inner, **fixed)
        shared = np.median([cpu(library, train, inner, **fixed) for _ in range(3)])
        train, inner = fresh()
        cpu(library, train, inner, n_estimators=1000)
        stopped = np.median([cpu(library, train, inner, n_estimators=1000) for _ in range(3)])
        full = cpu(library, train, inner, n_estimators=1000, early_stopping_rounds=None)
        found[library] = {
            "255_bins_over_63": round(wide / narrow, 2),
            "rebinned_over_shared": round(narrow / shared, 2),
            "1000_rounds_over_stopped": round(full / stopped, 2),
        }
    return found


def per_symbol(sessions):
    """Fit 46 models of one symbol each, ours in two threads and the one-by-one loop with library defaults; wall seconds."""
    from lightgbm import LGBMClassifier

    from conviction.oof import out_of_fold_by_symbol

    panel, plan, _ = make_data(0, sessions)
    params = {"n_estimators": 100, "early_stopping_rounds": None, "num_leaves": 15, "min_child_samples": 20}
    start = time.perf_counter()
    out_of_fold_by_symbol(panel, plan, target="relative", model="lightgbm", params=params, seed=0, n_jobs=2)
    mine = time.perf_counter() - start
    roles = panel.frame.drop_nulls("relative").join(plan.frame, on="session").to_pandas()
    start = time.perf_counter()
    for _, rows in roles.groupby("symbol"):
        fitted = rows[rows["role"].isin(["train", "inner"])]
        test = rows[rows["role"] == "test"]
        model = LGBMClassifier(n_estimators=100, num_leaves=15, min_child_samples=20, learning_rate=0.03, verbosity=-1)
        model.fit(fitted[list(panel.features)], fitted["relative"])
        model.predict_proba(test[list(panel.features)])
    loop = time.perf_counter() - start
    return {"seconds_ours": round(mine, 1), "seconds_loop": round(loop, 1), "throughput_ratio": round(loop / mine, 2)}


def memory(library, sessions):
    """Return the peak memory of a study above that of the process with its panel read, in feature matrices."""
    panel, plan, _ = make_data(0, sessions)
    with tempfile.TemporaryDirectory() as folder:
        panel.frame.write_parquet(f"{folder}/panel.parquet")
        plan.frame.write_parquet(f"{folder}/plan.parquet")
        code = f"""
import sys
sys.path.insert(0, {str(Path(__file__).resolve().parent)!r})
import polars as pl
import tuning as bench
from types import SimpleNamespace
from conviction.folds import FoldPlan
from conviction.testing import planted_panel
from conviction.tuning import TuningParameters, tune
small = planted_panel(n_symbols=4, n_sessions=300, n_features=8, planted_auc=0.55, seed=0)
call = {{"target": "relative", "model": {library!r}, "seed": 0}}
tune(small, bench.small_plan(), tuning=TuningParameters(n_trials=1), **call)
frame = pl.read_parquet({folder!r} + "/panel.parquet")
panel = SimpleNamespace(frame=frame, features={panel.features!r}, targets=("relative",))
plan = FoldPlan.from_frame(pl.read_parquet({folder!r} + "/plan.parquet"))
before = bench.now_mb()
with bench.Peak() as peak:
    tune(panel, plan, tuning=TuningParameters(n_trials=3), **call)
print((peak.mb - before) / (frame.height * len(panel.features) * 4 / 2**20))
"""
        done = subprocess.run(
            [sys.executable, "-W", "ignore", "-c", code], stdout=subprocess.PIPE, text=True, check=True
        )
    return round(float(done.stdout.strip().splitlines()[-1]), 2)


def small_plan():
    from conviction.folds import FoldParameters, make_fold_plan
    from conviction.testing import planted_panel

    panel = planted_panel(n_symbols=4, n_sessions=300, n_features=8, planted_auc=0.55, seed=0)
    return make_fold_plan(
        panel.labels, folds=FoldParameters(purge=1, embargo=0, holdout_sessions=0, n_folds=1, min_train_sessions=200)
    )


def now_mb():
    """Return the resident memory of this process."""
    return int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1]) * resource.getpagesize() / 2**20


class Peak:
    """Sample the resident memory while something runs."""

    def __enter__(self):
        import threading

        self.mb, self._on = now_mb(), True
        self._thread = threading.Thread(target=self._sample)
        self._thread.start()
        return self

    def _sample(self):
        while self._on:
            self.mb = max(self.mb, now_mb())
            time.sleep(0.01)

    def __exit__(self, *exc):
        self._on = False
        self._thread.join()


def main(arguments):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--trials", type=int, default=5)
    parser.add_argument("--sessions", type=int, default=500, help="development sessions")
    parser.add_argument("--libraries", nargs="*", default=["lightgbm", "xgboost"])
    parser.add_argument("--only", nargs="*", default=["race", "means", "symbols", "memory"])
    options = parser.parse_args(arguments)
    warnings.simplefilter("ignore")
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    result = {
        "symbols": SYMBOLS,
        "features": FEATURES,
        "sessions": options.sessions,
        "seeds": options.seeds,
        "trials": options.trials,
    }
    if "race" in options.only:
        for library in options.libraries:
            result[library] = summarise(
                race(library, range(options.seeds), trials=options.trials, sessions=options.sessions)
            )
        result["cpu_to_quality_ratio"] = min(result[library]["ratio_to_hand"] for library in options.libraries)
        result["cpu_to_quality_ratio_competent"] = min(
            result[library]["ratio_to_competent"] for library in options.libraries
        )
    if "means" in options.only:
        result["means_alone"] = means_alone(options.sessions)
    if "symbols" in options.only:
        result["per_symbol"] = per_symbol(options.sessions)
    if "memory" in options.only:
        result["memory_in_feature_matrices"] = {
            name: memory(name, options.sessions) for name in ("lightgbm", "xgboost")
        }
    print(json.dumps(result))


if __name__ == "__main__":
    main(sys.argv[1:])
