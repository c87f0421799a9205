"""TabNet (Arik and Pfister 2021) through pytorch-tabnet."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from conviction.models._block import Block
from conviction.models._deep import (
    load_network,
    need_extra,
    need_watched,
    put_weights,
    save_network,
    torch_turn,
    weights_of,
)
from conviction.models._fitted import ranked
from conviction.models._scaling import Scaling

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from conviction.models.parameters import TabNetParameters

FILE = "tabnet"


@dataclass(frozen=True, eq=False)
class TabNetEstimator:
    """Scaling, network and the importances that its masks gave on the training rows."""

    scaling: Scaling
    model: Any
    shape: dict[str, Any]
    curve: tuple[float, ...] = ()

    def predict(self, block: Block) -> NDArray[np.float64]:
        """Return the probability of 1 for each row."""
        with torch_turn(seed=0, n_threads=1):
            scores = self.model.predict_proba(self.scaling.apply(block).astype(np.float32))
        return np.asarray(scores[:, 1], dtype=np.float64)

    def importance(self, features: tuple[str, ...]) -> pl.DataFrame:
        """Return TabNet's own feature importance: its masks, summed over the training rows."""
        values = np.asarray(self.shape["importance"], dtype=np.float64)
        return ranked(features, self.scaling.per_feature(values, len(features)))

    def save(self, folder: Path) -> None:
        """Write weights as arrays and the rest as JSON."""
        save_network(folder, file=FILE, scaling=self.scaling, shape=self.shape, weights=weights_of(self.model.network))

    @property
    def native(self) -> Any:
        """Return the `TabNetClassifier`."""
        return self.model

    @property
    def facts(self) -> dict[str, Any]:
        """Return the best epoch and the columns that were constant in training."""
        return {"best_iteration": self.shape["best_epoch"], "ignored_columns": list(self.scaling.ignored)}


def _classifier(arguments: dict[str, Any]) -> Any:
    from pytorch_tabnet.tab_model import TabNetClassifier

    return TabNetClassifier(**arguments, verbose=0, device_name="cpu")


def fit_tabnet(
    train: Block, inner: Block | None, params: TabNetParameters, *, seed: int, n_threads: int
) -> TabNetEstimator:
    """Train on the training rows, stop on the inner rows."""
    need_extra("tabnet", "torch", "pytorch_tabnet")
    need_watched(inner, name="tabnet")
    scaling, design = Scaling.learn(train, clip=params.clip, name="tabnet")
    watched = scaling.apply(inner).astype(np.float32)  # type: ignore[arg-type]
    arguments = {
        "n_d": params.width, "n_a": params.width, "n_steps": params.n_steps, "gamma": params.gamma,
        "lambda_sparse": params.lambda_sparse, "n_independent": 1, "n_shared": 1, "seed": seed,
    }  # fmt: skip
    batch = min(params.batch_size, len(train))
    with torch_turn(seed=seed, n_threads=n_threads):
        model = _classifier({**arguments, "optimizer_params": {"lr": params.learning_rate}})
        model.fit(
            design.astype(np.float32), train.labels.astype(np.int64),
            eval_set=[(watched, inner.labels.astype(np.int64))],  # type: ignore[union-attr]
            eval_metric=["logloss"], callbacks=[_silent_stopping(params.patience)], max_epochs=params.max_epochs, patience=0,
            batch_size=batch,
            virtual_batch_size=min(params.virtual_batch_size, batch),
            weights=_weights(train, balance=params.class_balance), drop_last=len(train) > batch,
        )  # fmt: skip
    shape = {
        "arguments": arguments,
        "input_dim": scaling.width,
        "best_epoch": int(model.best_epoch) + 1,
        "importance": np.asarray(model.feature_importances_).tolist(),
    }
    return TabNetEstimator(scaling, model, shape, tuple(float(value) for value in model.history["val_0_logloss"]))


def _silent_stopping(patience: int) -> Any:
    """Return pytorch-tabnet's early stopping without the line that it prints at the end."""
    from pytorch_tabnet.callbacks import EarlyStopping

    class SilentStopping(EarlyStopping):  # type: ignore[misc]
        def on_train_end(self, logs: Any = None) -> None:
            del logs
            self.trainer.best_epoch, self.trainer.best_cost = self.best_epoch, self.best_loss
            if self.best_weights is not None:
                self.trainer.network.load_state_dict(self.best_weights)

    return SilentStopping(early_stopping_metric="val_0_logloss", is_maximize=False, tol=0.0, patience=patience)


def _weights(train: Block, *, balance: bool) -> Any:
    """Return what pytorch-tabnet takes: rows are drawn with these weights; 0 draws each row once."""
    from conviction.models._block import balanced

    weight = balanced(train, balance=balance)
    return 0 if weight is None else weight / weight.sum()


def load_tabnet(folder: Path, meta: dict[str, Any]) -> TabNetEstimator:
    """Read what `TabNetEstimator.save` wrote."""
    del meta
    need_extra("tabnet", "torch", "pytorch_tabnet")
    scaling, shape, weights = load_network(folder, file=FILE)
    with torch_turn(seed=0, n_threads=1):
        model = _classifier(shape["arguments"])
        model.input_dim, model.output_dim, model.batch_size = shape["input_dim"], 2, 1024
        model.virtual_batch_size = 128
        model._set_network()
        put_weights(model.network, weights)
    return TabNetEstimator(scaling, model, shape)
