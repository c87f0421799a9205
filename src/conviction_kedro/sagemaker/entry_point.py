"""Training in a container: one trial of a search, scored exactly as the workspace scores it.

Runs under the contract of the framework containers: hyper-parameters as ``--key value``, data in ``SM_CHANNEL_TRAIN`` (or
``SM_CHANNEL_TRAINING``), the model to ``SM_MODEL_DIR``, facts to ``SM_OUTPUT_DATA_DIR``, checkpoints and the reason of a
failure below ``SAGEMAKER_BASE_DIR`` (``/opt/ml``). It needs NumPy and the model's own library and runs on Python 3.8;
only `gru` needs the copy of the library that its archive carries.

The data are arrays: a matrix of features, labels, the session of each row, and for every fold the positions of the rows
that a trial is fitted on, watches and is scored on. Purging happened where they were cut.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import sys
import time
import traceback
from pathlib import Path
from typing import Any, Callable, Iterator, NamedTuple  # Python 3.8 runs this

import numpy as np

METRIC = "validation:auc"
_BOOSTED = {
    "n_estimators": 300,
    "early_stopping_rounds": 60,
    "early_stopping_metric": "logloss",
    "max_bin": 63,
    "class_balance": False,
}
_DEEP = {
    "max_epochs": 30,
    "patience": 5,
    "batch_size": 1024,
    "learning_rate": 0.005,
    "clip": 5.0,
    "class_balance": False,
}
#: Every parameter that each model knows, with the value it has when nobody gives one.
PARAMETERS: dict[str, dict[str, Any]] = {
    "xgboost": {
        **_BOOSTED,
        "eta": 0.03,
        "max_depth": 3,
        "min_child_weight": 10.0,
        "subsample": 0.8,
        "colsample_bytree": 0.5,
        "gamma": 0.0,
        "alpha": 0.0,
        "lambda": 10.0,
    },
    "lightgbm": {
        **_BOOSTED,
        "learning_rate": 0.03,
        "num_leaves": 7,
        "max_depth": -1,
        "min_child_samples": 200,
        "subsample": 0.8,
        "colsample_bytree": 0.5,
        "reg_alpha": 0.0,
        "reg_lambda": 10.0,
        "min_split_gain": 0.0,
    },
    "catboost": {
        **_BOOSTED,
        "learning_rate": 0.05,
        "depth": 4,
        "l2_leaf_reg": 10.0,
        "rsm": 0.5,
        "subsample": 0.8,
        "max_seconds": 600.0,
    },
    "random_forest": {
        "n_estimators": 100,
        "max_depth": 6,
        "min_samples_leaf": 100,
        "max_features": 0.3,
        "max_samples": 0.3,
        "class_balance": False,
    },
    "gru": {**_DEEP, "length": 20, "hidden": 16, "dropout": 0.2, "weight_decay": 0.01},
}
_NOT_OURS = ("sagemaker_", "_tuning")


class TrainingError(Exception):
    """A trial that cannot be run; the message says why and reaches whoever launched it."""


class Rows(NamedTuple):
    """Some rows of the data."""

    matrix: Any
    y: Any
    day: Any
    symbol: Any


class Data(NamedTuple):
    """The rows of one target and where each stage of one fold finds its own."""

    features: list[str]
    rows: Rows
    stages: list[dict[str, Any]]


Log = Callable[[int, float], None]
Predict = Callable[[Any], Any]


def value_of(text: str) -> Any:
    """Return a hyper-parameter, which always arrives as text."""
    try:
        return json.loads(text)
    except ValueError:
        return {"None": None, "True": True, "False": False}.get(text, text)


def arguments(given: list[str]) -> tuple[argparse.Namespace, dict[str, Any]]:
    """Return what the trial is and its parameters; what nobody knows is named in a warning and otherwise ignored."""
    parser = argparse.ArgumentParser(allow_abbrev=False)
    parser.add_argument("--model", default="xgboost", choices=sorted(PARAMETERS))
    parser.add_argument("--target", required=True)
    parser.add_argument("--fold", type=int, required=True)
    parser.add_argument("--objective", default="auc_daily", choices=["auc_daily", "auc_pooled"])
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--n_threads", type=int, default=1)
    # Hyperband hands every trial its number of rounds under a name of its own choice; this is ours.
    parser.add_argument("--rounds", type=int, default=None)
    settings, rest = parser.parse_known_args(given)
    known = PARAMETERS[settings.model]
    own = argparse.ArgumentParser(allow_abbrev=False)
    for name in known:
        own.add_argument("--" + name, dest="p." + name, type=value_of, default=known[name])
    typed, unknown = own.parse_known_args(rest)
    names = [word[2:].split("=")[0] for word in unknown if word.startswith("--")]
    strange = [name for name in names if not name.startswith(_NOT_OURS)]
    if strange:
        print(f"WARNING: {settings.model} does not know {', '.join(strange)}; ignored", flush=True)
    params = {name[2:]: value for name, value in vars(typed).items()}
    if settings.rounds is not None:
        params["max_epochs" if settings.model == "gru" else "n_estimators"] = settings.rounds
    return settings, params


def channel() -> Path:
    """Return the folder of the training data; containers differ in what they call it."""
    for name in ("SM_CHANNEL_TRAIN", "SM_CHANNEL_TRAINING"):
        if os.environ.get(name):
            return Path(os.environ[name])
    raise TrainingError(
        "no training channel: neither SM_CHANNEL_TRAIN nor SM_CHANNEL_TRAINING is set; the request needs a channel "
        "named train or training"
    )


def base_dir() -> Path:
    """Return the root of the container's layout."""
    return Path(os.environ.get("SAGEMAKER_BASE_DIR", "/opt/ml"))


def load(folder: Path, *, target: str, fold: int, model: str) -> Data:
    """Read the rows of a target and the stages of a fold."""
    manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    if target not in manifest["targets"]:
        raise TrainingError(f"the data know no target {target!r}; they have {manifest['targets']}")

    def array(name: str) -> Any:
        return np.load(str(folder / f"{target}.{name}.npy"), allow_pickle=False)

    rows = Rows(array("matrix"), array("y"), array("day"), array("symbol"))
    kind = "fitted" if model == "random_forest" else "watched"
    stages: list[dict[str, Any]] = []
    with np.load(str(folder / f"{target}.stages.npz"), allow_pickle=False) as stored:
        while f"{kind}/{fold}/{len(stages)}/train" in stored.files:
            prefix = f"{kind}/{fold}/{len(stages)}/"
            stages.append({name[len(prefix) :]: stored[name] for name in stored.files if name.startswith(prefix)})
    if not stages:
        raise TrainingError(f"the data hold no fold {fold} of {target}; they have folds {manifest['folds']}")
    return Data(manifest["features"], rows, stages)


def taken(rows: Rows, places: Any) -> Rows:
    """Return the rows at some places."""
    return Rows(rows.matrix[places], rows.y[places], rows.day[places], rows.symbol[places])


def auc(scores: Any, labels: Any) -> float | None:
    """Return the Mann-Whitney statistic on average ranks, ties one half; None without both classes."""
    ones = float(labels.sum())
    zeros = float(len(labels)) - ones
    if not ones or not zeros:
        return None
    _, inverse, counts = np.unique(scores, return_inverse=True, return_counts=True)
    last = np.cumsum(counts).astype(np.float64)
    ranks = (last - (counts - 1) / 2.0)[inverse]
    return float(((ranks * labels).sum() - ones * (ones + 1) / 2) / (ones * zeros))


def auc_parts(scores: Any, rows: Rows, objective: str) -> list[float]:
    """Return the AUC of each session that has both classes, or of all rows as the only part."""
    if objective == "auc_pooled":
        groups = [np.arange(len(rows.y))]
    else:
        order = np.argsort(rows.day, kind="stable")
        edges = np.flatnonzero(np.diff(rows.day[order])) + 1
        groups = np.split(order, edges)
    parts = [auc(scores[group], rows.y[group]) for group in groups]
    found = [part for part in parts if part is not None]
    if not found:
        raise TrainingError(
            f"{objective} is not defined: no {'session' if objective == 'auc_daily' else 'block'} with both classes among "
            f"{len(rows.y)} rows; one symbol has no cross-section, so use modeling.tuning.objective=auc_pooled"
        )
    return found


def balance(y: Any, *, wanted: bool) -> Any:
    """Return weights that make both classes equally heavy, or None."""
    if not wanted:
        return None
    ones, total = float(y.sum()), float(len(y))
    return np.where(y == 1, total / (2 * ones), total / (2 * (total - ones)))


def fit_xgboost(train: Rows, inner: Rows, params: dict[str, Any], features: list[str], run: Run) -> Predict:
    """Boost, stop on the watched rows, keep the best round."""
    import xgboost as xgb

    own = dict(params)
    rounds, patience = own.pop("n_estimators"), own.pop("early_stopping_rounds")
    watched, balanced = own.pop("early_stopping_metric"), own.pop("class_balance")
    names = [f"f{position}" for position in range(len(features))]

    def matrix(rows: Rows, weight: Any = None, ref: Any = None) -> Any:
        return xgb.QuantileDMatrix(
            rows.matrix, rows.y, weight=weight, feature_names=names, max_bin=own["max_bin"], nthread=1, ref=ref
        )

    class Report(xgb.callback.TrainingCallback):
        def after_iteration(self, model: Any, epoch: int, evals_log: Any) -> bool:
            del model
            run.log(epoch, evals_log["inner"]["auc"][-1])
            return False

    fitted = matrix(train, balance(train.y, wanted=balanced))
    native = {
        **own,
        "objective": "binary:logistic",
        "eval_metric": list(dict.fromkeys(["auc", watched])),
        "tree_method": "hist",
        "seed": run.seed,
        "nthread": run.n_threads,
        "verbosity": 0,
    }
    stopping = [xgb.callback.EarlyStopping(patience, metric_name=watched, data_name="inner")] if patience else []
    booster = xgb.train(
        native,
        fitted,
        num_boost_round=rounds,
        evals=[(matrix(inner, ref=fitted), "inner")],
        verbose_eval=False,
        callbacks=[Report(), *stopping],
    )
    best = booster.best_iteration + 1 if patience else booster.num_boosted_rounds()
    kept = booster[:best]
    kept.save_model(str(run.model_dir / "xgboost.ubj"))
    kept.set_param({"nthread": 1})
    run.facts["best_iteration"] = int(best)
    # Without names the booster would refuse a plain matrix.
    kept.feature_names = None
    return lambda rows: np.asarray(kept.inplace_predict(rows.matrix, missing=np.nan), dtype=np.float64)


def fit_lightgbm(train: Rows, inner: Rows, params: dict[str, Any], features: list[str], run: Run) -> Predict:
    """Boost, stop on the watched rows, keep the best round."""
    import lightgbm as lgb

    own = dict(params)
    rounds, patience = own.pop("n_estimators"), own.pop("early_stopping_rounds")
    watched, balanced = own.pop("early_stopping_metric"), own.pop("class_balance")
    metric = {"auc": "auc", "logloss": "binary_logloss"}[watched]
    shared = {"max_bin": own["max_bin"], "bin_construct_sample_cnt": 20_000, "feature_pre_filter": False}
    sets = {**shared, "verbosity": -1, "num_threads": 1}
    names = [f"f{position}" for position in range(len(features))]
    fitted = lgb.Dataset(
        train.matrix, train.y, weight=balance(train.y, wanted=balanced), feature_name=names, params=sets
    ).construct()
    valid = fitted.create_valid(inner.matrix, inner.y, params=fitted.get_params()).construct()

    def report(env: Any) -> None:
        run.log(env.iteration, next(value for _, name, value, _ in env.evaluation_result_list if name == "auc"))

    # Called before early stopping, whose exception would keep it from seeing the last round.
    report.order = 25  # type: ignore[attr-defined]
    native = {
        **own,
        **shared,
        "objective": "binary",
        # The first metric is the one that stops.
        "metric": list(dict.fromkeys([metric, "auc"])),
        "subsample_freq": 1,
        "seed": run.seed,
        "num_threads": run.n_threads,
        "deterministic": True,
        "force_row_wise": True,
        "verbosity": -1,
    }
    stopping = [lgb.early_stopping(patience, first_metric_only=True, verbose=False)] if patience else []
    booster = lgb.train(
        native, fitted, num_boost_round=rounds, valid_sets=[valid], valid_names=["inner"], callbacks=[report, *stopping]
    )
    best = booster.best_iteration if patience and booster.best_iteration > 0 else booster.current_iteration()
    text = booster.model_to_string(num_iteration=best)
    (run.model_dir / "lightgbm.txt").write_text(text, encoding="utf-8")
    kept = lgb.Booster(model_str=text)
    run.facts["best_iteration"] = int(best)
    return lambda rows: np.asarray(kept.predict(rows.matrix, num_threads=1), dtype=np.float64)


def fit_catboost(train: Rows, inner: Rows, params: dict[str, Any], features: list[str], run: Run) -> Predict:
    """Boost, stop on the watched rows, keep the best round."""
    from catboost import CatBoostClassifier, Pool

    names = [f"f{position}" for position in range(len(features))]

    class Report:
        def after_iteration(self, info: Any) -> bool:
            run.log(info.iteration, info.metrics["validation"]["AUC"][-1])
            return True

    patience, watched = params["early_stopping_rounds"], params["early_stopping_metric"]
    model = CatBoostClassifier(
        iterations=params["n_estimators"],
        learning_rate=params["learning_rate"],
        depth=params["depth"],
        l2_leaf_reg=params["l2_leaf_reg"],
        rsm=params["rsm"],
        bootstrap_type="Bernoulli",
        subsample=params["subsample"],
        border_count=params["max_bin"],
        loss_function="Logloss",
        eval_metric={"auc": "AUC", "logloss": "Logloss"}[watched],
        custom_metric=["AUC:hints=skip_train~false"],
        random_seed=run.seed,
        thread_count=run.n_threads,
        allow_writing_files=False,
        verbose=False,
    )
    weight = balance(train.y, wanted=params["class_balance"])
    model.fit(
        Pool(train.matrix, train.y, weight=weight, feature_names=names),
        eval_set=Pool(inner.matrix, inner.y, feature_names=names),
        early_stopping_rounds=patience,
        use_best_model=bool(patience),
        callbacks=[Report()],
    )
    model.save_model(str(run.model_dir / "catboost.json"), format="json")
    run.facts["best_iteration"] = int(model.tree_count_)
    return lambda rows: np.asarray(model.predict_proba(rows.matrix, thread_count=1)[:, 1], dtype=np.float64)


def fit_random_forest(
    train: Rows, inner: Rows | None, params: dict[str, Any], features: list[str], run: Run
) -> Predict:
    """Grow the trees; a forest has no rounds to report."""
    from sklearn.ensemble import RandomForestClassifier

    del inner, features
    own = dict(params)
    balanced = own.pop("class_balance")
    model = RandomForestClassifier(random_state=run.seed, n_jobs=run.n_threads, **own)
    model.fit(train.matrix, train.y, sample_weight=balance(train.y, wanted=balanced))
    run.facts["trees"] = len(model.estimators_)
    arrays = {}
    for position, grown in enumerate(model.estimators_):
        tree = grown.tree_
        for name in ("children_left", "children_right", "feature", "threshold", "value"):
            arrays[f"{position}/{name}"] = getattr(tree, name)
    np.savez(str(run.model_dir / "random_forest.npz"), **arrays)

    def predict(rows: Rows) -> Any:
        # The mean of the trees' shares, each tree in turn, as the library's own arrays are asked.
        total = np.zeros(len(rows.y))
        for grown in model.estimators_:
            share = grown.tree_.value[:, 0, 1] / grown.tree_.value[:, 0, :].sum(axis=1)
            total += share[grown.apply(rows.matrix, check_input=False)]
        return total / len(model.estimators_)

    return predict


def fit_library(train: Rows, inner: Rows | None, params: dict[str, Any], features: list[str], run: Run) -> Predict:
    """Fit with the copy of the library that came with the archive."""
    if sys.version_info < (3, 11):
        raise TrainingError(
            f"{run.model} needs an image with Python 3.11 or newer; this one has {sys.version.split()[0]}"
        )
    import polars as pl

    from conviction.models import Block, fit_blocks

    epoch = np.datetime64("1970-01-01")

    def block(rows: Rows | None) -> Any:
        if rows is None:
            return None
        days = pl.Series("session", (epoch + rows.day.astype("timedelta64[D]")).astype("datetime64[D]")).cast(pl.Date)
        keys = pl.DataFrame([pl.Series("symbol", [str(code) for code in rows.symbol]), days])
        return Block(tuple(features), rows.matrix, rows.y, None, keys)

    fitted = fit_blocks(run.model, block(train), block(inner), params=params, seed=run.seed, n_threads=run.n_threads)
    fitted.save(run.model_dir)
    run.facts.update(fitted.facts)
    return lambda rows: fitted.predict_block(block(rows))


FITS: dict[str, Callable[..., Predict]] = {
    "xgboost": fit_xgboost,
    "lightgbm": fit_lightgbm,
    "catboost": fit_catboost,
    "random_forest": fit_random_forest,
    "gru": fit_library,
}


class Run:
    """What a fit may know of the trial, and where it reports."""

    def __init__(self, settings: argparse.Namespace, params: dict[str, Any]) -> None:
        self.model: str = settings.model
        self.seed: int = settings.seed
        self.n_threads: int = settings.n_threads
        self.model_dir = Path(os.environ.get("SM_MODEL_DIR", str(base_dir() / "model")))
        self.output_dir = Path(os.environ.get("SM_OUTPUT_DATA_DIR", str(base_dir() / "output" / "data")))
        identity = json.dumps([vars(settings), params], sort_keys=True, default=str)
        # Trials share the checkpoints' prefix; one that was interrupted finds its own by what it is.
        self.checkpoints = base_dir() / "checkpoints" / hashlib.sha256(identity.encode()).hexdigest()[:20]
        self.facts: dict[str, Any] = {}
        for folder in (self.model_dir, self.output_dir):
            folder.mkdir(parents=True, exist_ok=True)

    def log(self, round_: int, value: float) -> None:
        """Print the metric of a round on the watched rows; the last value printed by the trial is its score."""
        print(f"round {round_} {METRIC}={value:.6f}", flush=True)

    def finished(self, stage: int) -> dict[str, Any] | None:
        """Return the result of a stage that an interrupted run of the same trial has finished."""
        path = self.checkpoints / f"stage-{stage}.json"
        if not path.exists():
            return None
        found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        print(f"stage {stage} taken from its checkpoint", flush=True)
        return found

    def keep(self, stage: int, result: dict[str, Any]) -> None:
        """Write the result of a stage where a restarted trial finds it."""
        self.checkpoints.mkdir(parents=True, exist_ok=True)
        aside = self.checkpoints / f"stage-{stage}.part"
        aside.write_text(json.dumps(result), encoding="utf-8")
        aside.replace(self.checkpoints / f"stage-{stage}.json")


def stages_of(data: Data, settings: argparse.Namespace, params: dict[str, Any], run: Run) -> Iterator[dict[str, Any]]:
    """Fit and score stage after stage."""
    for number, places in enumerate(data.stages):
        known = run.finished(number)
        if known is not None:
            yield known
            continue
        run.facts = {}
        watched = taken(data.rows, places["watched"]) if "watched" in places else None
        scored = taken(data.rows, places["scored"])
        predict = FITS[settings.model](taken(data.rows, places["train"]), watched, params, data.features, run)
        scores = predict(scored)
        parts = auc_parts(scores, scored, settings.objective)
        result = {
            "value": sum(parts) / len(parts),
            "by_session": parts if settings.objective == "auc_daily" else [],
            "facts": run.facts,
            "predictions_sha": hashlib.sha256(np.ascontiguousarray(scores).tobytes()).hexdigest(),
        }
        run.keep(number, result)
        yield result


def train(given: list[str]) -> dict[str, Any]:
    """Run the trial and write what it found."""
    started = time.time()
    settings, params = arguments(given)
    run = Run(settings, params)
    data = load(channel(), target=settings.target, fold=settings.fold, model=settings.model)
    done: list[dict[str, Any]] = []
    for result in stages_of(data, settings, params, run):
        done.append(result)
        print(f"stage {len(done)} of {len(data.stages)} scored {result['value']:.6f}", flush=True)
    value = sum(result["value"] for result in done) / len(done)
    report = {
        "value": value,
        "scores": [result["value"] for result in done],
        "by_session": [part for result in done for part in result["by_session"]],
        "predictions_sha": done[-1]["predictions_sha"],
        "facts": done[-1]["facts"],
        "params": params,
        "model": settings.model,
        "target": settings.target,
        "fold": settings.fold,
        "objective": settings.objective,
        "seed": settings.seed,
        "seconds": time.time() - started,
    }
    for folder in (run.output_dir, run.model_dir):
        (folder / "metrics.json").write_text(json.dumps(report, sort_keys=True), encoding="utf-8")
    print(f"{METRIC}={value:.6f}", flush=True)
    return report


def main() -> int:
    """Run the trial; on any failure write the reason where the service finds it."""
    try:
        train(sys.argv[1:])
    except BaseException as error:  # noqa: BLE001  # whatever ends a trial must be told
        if isinstance(error, SystemExit) and not error.code:
            return 0
        trace = traceback.format_exc()
        reason = f"{type(error).__name__}: {error}\n\n{trace}"
        path = base_dir() / "output" / "failure"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(reason[:1024], encoding="utf-8")
        print(trace, file=sys.stderr, flush=True)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
