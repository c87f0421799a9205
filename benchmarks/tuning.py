"""CPU seconds until a study's chosen model reaches a given quality on fresh data, against two scripts that people write.

On real daily prices every tuned AUC lies within noise of 0.5, so equal quality can only be shown where the signal is known: a panel
of 46 symbols x 158 features with a planted AUC of 0.55, a third of it an interaction. For each seed and library three
contenders search on the same development sessions; whenever a contender's choice changes, its final model is fitted and scored on 400
later sessions that nobody has seen. The scoring is free, the final fit is paid.

- `by hand`: Optuna around the scikit-learn wrapper, the number of rounds in the search space, data binned in every fit;
- `competent`: the native interface, early stopping on the validation part, Optuna's median pruner, data binned in every trial;
- `ours`: `conviction.tuning.tune` (the shipped defaults and search space, `margin=1`) and `conviction.oof.out_of_fold(fitting=refit)`.

Every contender runs on one thread, so that CPU seconds are work and not waiting. The bar is an AUC of 0.525 on fresh data, half of
what was planted; since any bar favours somebody, the same ratio is also given at 0.52 and 0.53, at the quality that the other
contender's own last choice has (`at_its_end`), and for reaching the bar *and staying above it* to the last trial (`to_stay`). A peer
that never reaches it is counted with all the CPU it spent, so its ratio is a lower bound; a seed in which we never reach it
counts as ratio 0. Ranges, defaults and the bar were settled while looking at seeds 0 to 4 and 100 to 104; the seeds that are
reported start at 10.

The last line is one JSON object. `cpu_to_quality_ratio` is the smaller of LightGBM's and XGBoost's median ratio against the script by
hand, `cpu_to_quality_ratio_competent` the same against the other. `means_alone` measures each means by itself, `full_panel` one fold of
501 stocks x 158 features, `per_symbol` 46 models of one symbol (also while other processes keep the cores busy), `flaml` the general
tuner in an environment of its own, with our CPU as its budget and with four times that.
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
MEMORY_SESSIONS = 1600  # with the fresh ones eight years: what a process needs anyway is then small beside the matrix
PLANTED, BAR, MARGIN = 0.55, 0.525, 1.0
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


def make_data(seed, sessions, *, symbols=SYMBOLS, fresh=FRESH):
    """Return the panel, its plan with one fold, and plain arrays of development, validation and fresh rows."""
    from conviction.folds import FoldParameters, make_fold_plan
    from conviction.testing import planted_panel

    panel = planted_panel(
        n_symbols=symbols,
        n_sessions=sessions + fresh,
        n_features=FEATURES,
        planted_auc=PLANTED,
        seed=seed,
        missing=0.01,
    )
    folds = FoldParameters(
        purge=1, embargo=0, holdout_sessions=0, n_folds=1, test_sessions=fresh - 10, min_train_sessions=sessions // 2
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
    import optuna

    from conviction.observer import SilentObserver
    from conviction.oof import FittingParameters, out_of_fold
    from conviction.tuning import TuningParameters, tune

    ends = []

    class Watcher(SilentObserver):
        def record(self, record):  # noqa: ARG002
            ends.append(time.process_time())

    call = {"target": "relative", "model": library, "seed": seed}
    storage = optuna.storages.InMemoryStorage()
    began = time.process_time()
    tune(
        panel,
        plan,
        tuning=TuningParameters(n_trials=trials, margin=MARGIN),
        storage=storage,
        observer=Watcher(),
        **call,
    )
    studied = ends[-1] - began
    choice, timeline, total = None, [], 0.0
    for number, end in enumerate(ends, start=1):
        # The stored study says, without a fit, what it would have chosen had it ended here.
        cut = TuningParameters(n_trials=number, margin=MARGIN)
        best = tune(panel, plan, tuning=cut, storage=storage, **call).best[0]
        if best != choice:
            choice, start = best, time.process_time()
            refit = FittingParameters(refit=True)
            found = out_of_fold(panel, plan, params=best, fitting=refit, **call).predictions
            last = time.process_time() - start
            total = studied + last
            timeline.append((end - began + last, auc(found["label"], found["score"])))
    return timeline, total


def reached(timeline, bar):
    """Return the CPU seconds at which a timeline first holds a choice at least as good as the bar, or None."""
    return next((seconds for seconds, value in timeline if value >= bar), None)


def race(library, seeds, *, trials, sessions):
    """Run the three contenders on every seed; return one row a seed with everybody's timeline."""
    rows = []
    warm_up(library)
    for seed in seeds:
        panel, plan, data = make_data(seed, sessions)
        lines = {
            "hand": by_hand(library, data, trials=trials, seed=seed),
            "competent": competent(library, data, trials=trials, seed=seed),
            "ours": ours(library, panel, plan, trials=trials, seed=seed),
        }
        rows.append({"seed": seed, **lines})
        short = {
            name: f"{reached(line, BAR) or float('nan'):.1f} of {total:.1f} s, at last {line[-1][1]:.4f}"
            for name, (line, total) in lines.items()
        }
        print(library, seed, short, flush=True)
    return rows


def warm_up(library):
    """Import what everybody imports, so that nobody pays for it in the race."""
    _, _, data = make_data(99, 60)
    panel, plan, _ = make_data(99, 120)
    by_hand(library, data, trials=1, seed=0)
    competent(library, data, trials=1, seed=0)
    ours(library, panel, plan, trials=1, seed=0)


def median_ratio(rows, peer, bar, *, find=None):
    """Return the median over seeds of the peer's CPU over ours until the bar (a number, or a function of the row)."""
    find = find or reached
    ratios = []
    for row in rows:
        wanted = bar(row) if callable(bar) else bar
        mine, other = find(row["ours"][0], wanted), find(row[peer][0], wanted)
        ratios.append((other or row[peer][1]) / mine if mine else 0.0)
    return round(float(np.median(ratios)), 2)


def stays(timeline, bar):
    """Return the CPU seconds from which on every later choice is at least as good as the bar, or None."""
    since = None
    for seconds, value in timeline:
        since = None if value < bar else since or seconds
    return since


def summarise(rows):
    """Return median CPU ratios against each peer, and how good and how dear everybody was at last."""
    names = ("hand", "competent", "ours")
    peers = {
        f"ratio_to_{peer}": {
            "at_bar": median_ratio(rows, peer, BAR),
            "at_0.52": median_ratio(rows, peer, 0.52),
            "at_0.53": median_ratio(rows, peer, 0.53),
            "at_its_end": median_ratio(rows, peer, lambda row, peer=peer: row[peer][0][-1][1]),
            "to_stay": median_ratio(rows, peer, BAR, find=stays),
        }
        for peer in names[:2]
    }
    end = {name: [row[name][0][-1][1] for row in rows] for name in names}
    better = {peer: np.subtract(end["ours"], end[peer]) for peer in names[:2]}
    return peers | {
        "reached": {name: sum(reached(row[name][0], BAR) is not None for row in rows) for name in names},
        "cpu_to_bar": {
            name: [round(seconds, 1) if (seconds := reached(row[name][0], BAR)) else None for row in rows]
            for name in names
        },
        "auc_end": {name: round(float(np.median(values)), 4) for name, values in end.items()},
        "auc_end_ours_minus": {
            name: {"mean": round(float(d.mean()), 4), "se": round(float(d.std(ddof=1) / np.sqrt(len(d))), 4)}
            for name, d in better.items()
            if len(d) > 1
        },
        "cpu_total": {name: round(float(np.median([row[name][1] for row in rows])), 1) for name in names},
    }


def means_alone(sessions):
    """Measure each means by itself on one fold: bins, sharing them, early stopping."""
    from conviction.models import Block, fit_blocks

    panel, plan, data = make_data(0, sessions)
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
        pruned, whole = (study_cpu(library, panel, plan, pruning=pruning) for pruning in (True, False))
        found[library] = {
            "255_bins_over_63": round(wide / narrow, 2),
            "rebinned_over_shared": round(narrow / shared, 2),
            "1000_rounds_over_stopped": round(full / stopped, 2),
            "whole_over_pruned_after_a_bad_fold": round(whole / pruned, 2),
            "inner_threads_over_outer_wall": round(threads(library, fresh), 2),
        }
    return found


def study_cpu(library, panel, plan, *, pruning):
    """Return the CPU seconds of a study of eight trials on three inner blocks."""
    from conviction.tuning import TuningParameters, tune

    tuning = TuningParameters(n_trials=8, n_startup_trials=3, inner_folds=3, pruning=pruning)
    start = time.process_time()
    tune(panel, plan, target="relative", model=library, tuning=tuning, seed=0)
    return time.process_time() - start


def threads(library, fresh):
    """Return the wall seconds of two fits after one another with two threads each, over two at once with one thread."""
    from concurrent.futures import ThreadPoolExecutor

    from conviction.models import fit_blocks

    params = {"early_stopping_rounds": None, "n_estimators": 100}

    def one(n_threads):
        fit_blocks(library, fresh()[0], None, params=params, seed=0, n_threads=n_threads)

    start = time.perf_counter()
    one(2)
    one(2)
    inner = time.perf_counter() - start
    start = time.perf_counter()
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(one, (1, 1)))
    return inner / (time.perf_counter() - start)


def per_symbol(sessions):
    """Fit models of one symbol each, ours in two threads and the one-by-one loop with library defaults; wall seconds."""
    panel, plan, _ = make_data(0, sessions)
    few = sorted(panel.frame["symbol"].unique())[:4]
    part = SimpleNamespace(
        frame=panel.frame.filter(pl.col("symbol").is_in(few)), features=panel.features, targets=panel.targets
    )
    one_by_one(part, plan), together(part, plan)
    mine, loop = together(panel, plan), one_by_one(panel, plan)
    busy = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(2)]
    try:
        mine_busy, loop_busy = together(part, plan), one_by_one(part, plan)
    finally:
        for process in busy:
            process.kill()
            process.wait()
    return {
        "seconds_ours": round(mine, 1),
        "seconds_loop": round(loop, 1),
        "throughput_ratio": round(loop / mine, 2),
        "busy_4_symbols_seconds_ours": round(mine_busy, 1),
        "busy_4_symbols_seconds_loop": round(loop_busy, 1),
        "busy_throughput_ratio": round(loop_busy / mine_busy, 2),
    }


def together(panel, plan):
    from conviction.oof import out_of_fold_by_symbol

    params = {"n_estimators": 100, "early_stopping_rounds": None, "num_leaves": 15, "min_child_samples": 20}
    start = time.perf_counter()
    out_of_fold_by_symbol(panel, plan, target="relative", model="lightgbm", params=params, seed=0, n_jobs=2)
    return time.perf_counter() - start


def one_by_one(panel, plan):
    from lightgbm import LGBMClassifier

    roles = panel.frame.drop_nulls("relative").join(plan.frame, on="session").to_pandas()
    start = time.perf_counter()
    for _, rows in roles.groupby("symbol"):
        fitted = rows[rows["role"].isin(["train", "inner"])]
        test = rows[rows["role"] == "test"]
        model = LGBMClassifier(n_estimators=100, num_leaves=15, min_child_samples=20, learning_rate=0.03, verbosity=-1)
        model.fit(fitted[list(panel.features)], fitted["relative"])
        model.predict_proba(test[list(panel.features)])
    return time.perf_counter() - start


def full_panel(library, sessions):
    """Return the CPU seconds of one fold of 501 stocks: a fit by hand, and ours with bins to make and with bins shared."""
    from conviction.models import Block, fit_blocks

    panel, _, data = make_data(0, sessions, symbols=501, fresh=60)
    names = panel.features
    del panel
    start = time.process_time()
    wrapper(library, {"n_estimators": 200}).fit(*data.train)
    hand = time.process_time() - start
    train = Block(names, data.train[0], y=data.train[1].astype(float))
    inner = Block(names, data.inner[0], y=data.inner[1].astype(float))
    seconds = []
    for _ in range(2):
        start = time.process_time()
        fitted = fit_blocks(library, train, inner, params={}, seed=0)
        seconds.append(time.process_time() - start)
    return {
        "rows": len(train),
        "cpu_by_hand_200_rounds": round(hand, 1),
        "cpu_ours_first_trial": round(seconds[0], 1),
        "cpu_ours_later_trial": round(seconds[1], 1),
        "rounds_ours": fitted.facts["best_iteration"],
    }


FLAML = "flaml[automl]==2.7.0"
FLAML_SCRIPT = """
import json, sys, time, warnings
warnings.simplefilter("ignore")
import numpy as np
from flaml import AutoML
from sklearn.metrics import roc_auc_score
data, library, seed, budget = np.load(sys.argv[1]), sys.argv[2], int(sys.argv[3]), float(sys.argv[4])
tuner = AutoML()
start = time.process_time()
tuner.fit(
    X_train=data["train_X"], y_train=data["train_y"], X_val=data["inner_X"], y_val=data["inner_y"], task="classification",
    metric="roc_auc", estimator_list=[{"lightgbm": "lgbm", "xgboost": "xgboost"}[library]], time_budget=budget,
    eval_method="holdout", n_jobs=1, seed=seed, verbose=0, retrain_full=True,
)
spent = time.process_time() - start
auc = roc_auc_score(data["fresh_y"], tuner.predict_proba(data["fresh_X"])[:, 1])
print(json.dumps({"auc": round(float(auc), 4), "cpu": round(spent, 1)}))
"""


def flaml(library, rows, sessions):
    """Give FLAML the data of the first seeds and our CPU (and four times that) as its budget; its AUC on fresh rows."""
    folder = Path.home() / ".cache" / "conviction" / "flaml"
    python = folder / "bin" / "python"
    if not (folder / "done").exists():
        subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
        packages = [FLAML, "lightgbm", "xgboost-cpu", "scikit-learn", "numpy"]
        subprocess.run([str(python), "-m", "pip", "install", "-q", *packages], check=True)
        (folder / "done").touch()
    found = {"budget_1": [], "budget_4": [], "ours": []}
    with tempfile.TemporaryDirectory() as temporary:
        for row in rows:
            _, _, data = make_data(row["seed"], sessions)
            file = f"{temporary}/{row['seed']}.npz"
            parts = {name: getattr(data, name) for name in ("train", "inner", "fresh")}
            np.savez(file, **{f"{k}_X": v[0] for k, v in parts.items()}, **{f"{k}_y": v[1] for k, v in parts.items()})
            found["ours"].append({"auc": round(row["ours"][0][-1][1], 4), "cpu": round(row["ours"][1], 1)})
            for times in (1, 4):
                command = [
                    str(python),
                    "-c",
                    FLAML_SCRIPT,
                    file,
                    library,
                    str(row["seed"]),
                    str(times * row["ours"][1]),
                ]
                done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
                found[f"budget_{times}"].append(json.loads(done.stdout.strip().splitlines()[-1]))
    return {
        name: {key: round(float(np.median([one[key] for one in runs])), 4) for key in ("auc", "cpu")}
        for name, runs in found.items()
    }


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


def part_of(options, *arguments):
    """Run one part in a process of its own (its memory and its imports are its own) and return its JSON line."""
    command = [
        sys.executable,
        "-W",
        "ignore",
        __file__,
        "--seeds",
        str(options.seeds),
        "--first-seed",
        str(options.first_seed),
    ]
    command += ["--trials", str(options.trials), "--sessions", str(options.sessions), *arguments]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def answer(process):
    """Pass on what a part prints and return its last line."""
    last = ""
    for line in process.stdout:
        if last:
            print(last, end="", flush=True)
        last = line
    if process.wait():
        sys.exit(f"a part of the benchmark ended with {process.returncode}")
    return json.loads(last)


def one_part(options):
    """Do one part here."""
    library = options.libraries[0]
    if options.part == "race":
        rows = race(
            library, range(options.first_seed, options.first_seed + options.seeds), trials=options.trials,
            sessions=options.sessions,
        )  # fmt: skip
        return {
            "summary": summarise(rows),
            "flaml": flaml(library, rows[:3], options.sessions) if options.flaml else None,
        }
    if options.part == "full":
        return full_panel(library, options.sessions)
    return {"means": means_alone, "symbols": per_symbol}[options.part](options.sessions)


def main(arguments):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--first-seed", type=int, default=10)
    parser.add_argument("--trials", type=int, default=5)
    parser.add_argument("--sessions", type=int, default=500, help="development sessions")
    parser.add_argument("--libraries", nargs="*", default=["lightgbm", "xgboost"])
    parser.add_argument("--only", nargs="*", default=["race", "full", "means", "symbols", "memory"])
    parser.add_argument("--no-flaml", dest="flaml", action="store_false")
    parser.add_argument("--part", help="used by the benchmark itself")
    options = parser.parse_args(arguments)
    warnings.simplefilter("ignore")
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    if options.part:
        print(json.dumps(one_part(options)))
        return
    began = time.perf_counter()
    result = {
        "symbols": SYMBOLS,
        "features": FEATURES,
        "sessions": options.sessions,
        "seeds": list(range(options.first_seed, options.first_seed + options.seeds)),
        "trials": options.trials,
    }
    extra = [] if options.flaml else ["--no-flaml"]
    # The libraries race side by side, one core each: CPU seconds do not mind, and every ratio is between equals.
    for name, key in (("race", None), ("full", "full_panel")):
        if name in options.only:
            runs = {
                library: part_of(options, "--part", name, "--libraries", library, *extra)
                for library in options.libraries
            }
            found = {library: answer(run) for library, run in runs.items()}
            if name == "race":
                result |= {library: one["summary"] for library, one in found.items()}
                result["flaml"] = {library: one["flaml"] for library, one in found.items()}
                for peer, suffix in (("hand", ""), ("competent", "_competent")):
                    result[f"cpu_to_quality_ratio{suffix}"] = min(
                        one["summary"][f"ratio_to_{peer}"]["at_bar"] for one in found.values()
                    )
            else:
                result[key] = found
    for name, key in (("means", "means_alone"), ("symbols", "per_symbol")):
        if name in options.only:
            result[key] = answer(part_of(options, "--part", name))
    if "memory" in options.only:
        result["memory_in_feature_matrices"] = {
            name: memory(name, max(options.sessions, MEMORY_SESSIONS)) for name in ("lightgbm", "xgboost")
        }
    result["minutes"] = round((time.perf_counter() - began) / 60, 1)
    print(json.dumps(result))


if __name__ == "__main__":
    main(sys.argv[1:])
