"""CatBoost, trained in a process of its own that is ended when its time is up."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from conviction.errors import MissingExtraError, ModelError
from conviction.models._block import Block, balanced
from conviction.models._boosting import native_names, need_inner
from conviction.models._fitted import ranked

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from conviction.models.parameters import CatBoostParameters

FILE = "catboost.json"


@dataclass(frozen=True, eq=False)
class CatBoostEstimator:
    """A CatBoost model, kept as the text of its JSON format."""

    text: str
    booster: Any
    best_iteration: int
    gain: tuple[float, ...]
    curve: tuple[float, ...] = ()

    def contributions(self, block: Block) -> NDArray[np.float64]:
        """Return CatBoost's own SHAP values."""
        from catboost import Pool

        pool = Pool(block.matrix, feature_names=native_names(block.features))
        return np.asarray(
            self.booster.get_feature_importance(pool, type="ShapValues", thread_count=1), dtype=np.float64
        )

    def predict(self, block: Block) -> NDArray[np.float64]:
        """Return the probability of 1 for each row."""
        scores = self.booster.predict(block.matrix, prediction_type="Probability", thread_count=1)
        return np.asarray(scores[:, 1], dtype=np.float64)

    def importance(self, features: tuple[str, ...]) -> pl.DataFrame:
        """Return CatBoost's prediction-value change of each feature."""
        return ranked(features, np.array(self.gain))

    def save(self, folder: Path) -> None:
        """Write CatBoost's JSON without the parts that change from run to run."""
        (folder / FILE).write_text(self.text, encoding="utf-8")

    @property
    def native(self) -> Any:
        """Return the `catboost.CatBoost` object."""
        return self.booster

    @property
    def facts(self) -> dict[str, Any]:
        """Return the best round and the importances."""
        return {"best_iteration": self.best_iteration, "gain": list(self.gain)}


def fit_catboost(
    train: Block, inner: Block | None, params: CatBoostParameters, *, seed: int, n_threads: int
) -> CatBoostEstimator:
    """Boost on the training rows, stop on the inner rows, end the process after `max_seconds`."""
    if find_spec("catboost") is None:
        raise MissingExtraError.for_extra(feature="the model 'catboost'", package="catboost", extra="catboost")
    need_inner(inner, params, name="catboost")
    stopping = params.early_stopping_rounds
    with tempfile.TemporaryDirectory(prefix="conviction-catboost-") as name:
        folder = Path(name)
        _write(folder, "train", train, balanced(train, balance=params.class_balance))
        if stopping and inner is not None:
            _write(folder, "inner", inner, inner.weight)
        call = {
            "features": native_names(train.features),
            "stopping": stopping,
            "arguments": {
                "iterations": params.n_estimators,
                "learning_rate": params.learning_rate,
                "depth": params.depth,
                "l2_leaf_reg": params.l2_leaf_reg,
                "rsm": params.rsm,
                "bootstrap_type": "Bernoulli",
                "subsample": params.subsample,
                "border_count": params.max_bin,
                "loss_function": "Logloss",
                "eval_metric": {"auc": "AUC", "logloss": "Logloss"}[params.early_stopping_metric],
                "random_seed": seed,
                "thread_count": n_threads,
            },
        }
        (folder / "call.json").write_text(json.dumps(call), encoding="utf-8")
        _run(folder, max_seconds=params.max_seconds)
        facts = json.loads((folder / "facts.json").read_text(encoding="utf-8"))
        text = _timeless((folder / "model.json").read_text(encoding="utf-8"))
    return CatBoostEstimator(
        text, _booster(text), int(facts["best_iteration"]), tuple(facts["importance"]), tuple(facts["curve"])
    )


def _write(folder: Path, name: str, block: Block, weight: NDArray[np.float64] | None) -> None:
    np.save(folder / f"{name}_matrix.npy", block.matrix)
    np.save(folder / f"{name}_y.npy", block.labels)
    if weight is not None:
        np.save(folder / f"{name}_weight.npy", weight)


def _run(folder: Path, *, max_seconds: float) -> None:
    command = [sys.executable, "-m", "conviction.models._catboost_worker", str(folder)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=max_seconds, check=False)
    except subprocess.TimeoutExpired as error:
        raise ModelError(
            what="catboost did not finish in its time and was ended",
            got=f"more than {max_seconds:g} s",
            allowed="max_seconds of the model's parameters",
            fix="raise max_seconds, or lower n_estimators or depth",
        ) from error
    if done.returncode != 0:
        raise ModelError(
            what="catboost failed in its process",
            got=f"exit code {done.returncode}: {done.stderr.strip().splitlines()[-1:] or ['no message']}",
            allowed="exit code 0",
            fix="look at the message; the process was given only this fold's rows",
        )


def _timeless(text: str) -> str:
    plain = json.loads(text)
    for changing in ("train_finish_time", "model_guid"):
        plain["model_info"].pop(changing, None)
    return json.dumps(plain, sort_keys=True) + "\n"


def _booster(text: str) -> Any:
    from catboost import CatBoost

    booster = CatBoost()
    # CatBoost reads JSON from a path only.
    with tempfile.TemporaryDirectory(prefix="conviction-catboost-") as name:
        path = Path(name) / FILE
        path.write_text(text, encoding="utf-8")
        booster.load_model(str(path), format="json")
    return booster


def load_catboost(folder: Path, meta: dict[str, Any]) -> CatBoostEstimator:
    """Read what `CatBoostEstimator.save` wrote."""
    if find_spec("catboost") is None:
        raise MissingExtraError.for_extra(feature="the model 'catboost'", package="catboost", extra="catboost")
    text = (folder / FILE).read_text(encoding="utf-8")
    facts = meta["facts"]
    return CatBoostEstimator(text, _booster(text), int(facts["best_iteration"]), tuple(facts["gain"]))
