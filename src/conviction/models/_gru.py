"""A gated recurrent unit (Cho et al. 2014) over the last rows of a symbol."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from conviction.errors import ModelError
from conviction.frames import SESSION, SYMBOL
from conviction.models._block import Block, balanced
from conviction.models._deep import (
    load_network,
    need_extra,
    need_watched,
    put_weights,
    save_network,
    torch_turn,
    weights_of,
)
from conviction.models._scaling import Scaling

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from conviction.models.parameters import GruParameters

FILE = "gru"
CHUNK = 4096
# A symbol's rows further apart than this many calendar days do not follow each other: a purged block, a halt.
MAX_GAP_DAYS = 10


def sequences(block: Block, *, length: int) -> NDArray[np.int64]:
    """Return, for each row, the positions of the rows of its sequence, oldest first, -1 before its start.

    A sequence holds earlier rows of the same symbol inside the same block only, and ends where more than
    `MAX_GAP_DAYS` calendar days lie between two rows, so it crosses neither symbols nor folds.

    Parameters
    ----------
    block : Block
        With keys, in any order of rows.
    length : int
        Rows in a sequence, the row itself included.

    Returns
    -------
    numpy.ndarray of int64, shape (rows, length)

    Raises
    ------
    ModelError
        If the rows carry no keys.
    """
    if block.keys is None:
        raise ModelError(
            what="gru needs to know which rows follow each other",
            got="features without symbol and session",
            allowed="the key columns beside the features",
            fix="pass a frame with symbol and session",
        )
    symbols = block.keys[SYMBOL].rank("dense").to_numpy().astype(np.int64)
    days = block.keys[SESSION].to_physical().to_numpy().astype(np.int64)
    order = np.lexsort((days, symbols))
    starts = np.ones(len(block), dtype=np.bool_)
    starts[1:] = (np.diff(symbols[order]) != 0) | (np.diff(days[order]) > MAX_GAP_DAYS)
    first = np.maximum.accumulate(np.where(starts, np.arange(len(block)), 0))
    places = np.arange(len(block))[:, None] + np.arange(1 - length, 1)[None, :]
    inside = places >= first[:, None]
    found = np.full((len(block), length), -1, dtype=np.int64)
    found[order] = np.where(inside, order[np.maximum(places, 0)], -1)
    return found


@dataclass(frozen=True, eq=False)
class GruEstimator:
    """Scaling and network."""

    scaling: Scaling
    network: Any
    shape: dict[str, Any]
    curve: tuple[float, ...] = ()

    def predict(self, block: Block) -> NDArray[np.float64]:
        """Return the probability of 1 for each row; earlier rows of the block are its sequence."""
        with torch_turn(seed=0, n_threads=1):
            margin = _margins(self.network, self.scaling.apply(block), sequences(block, length=self.shape["length"]))
        return np.asarray(0.5 * (1.0 + np.tanh(0.5 * margin)))

    def importance(self, features: tuple[str, ...]) -> None:
        """Return None: the network ranks nothing by itself."""
        del features

    def save(self, folder: Path) -> None:
        """Write weights as arrays and the rest as JSON."""
        save_network(folder, file=FILE, scaling=self.scaling, shape=self.shape, weights=weights_of(self.network))

    @property
    def native(self) -> Any:
        """Return the `torch.nn.Module`."""
        return self.network

    @property
    def facts(self) -> dict[str, Any]:
        """Return the best epoch and the columns that were constant in training."""
        return {"best_iteration": self.shape["best_epoch"], "ignored_columns": list(self.scaling.ignored)}


def _network(width: int, hidden: int, dropout: float) -> Any:
    import torch

    class Gru(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.cell = torch.nn.GRU(width, hidden, batch_first=True)
            self.drop = torch.nn.Dropout(dropout)
            self.head = torch.nn.Linear(hidden, 1)

        def forward(self, steps: Any) -> Any:
            _, last = self.cell(steps)
            return self.head(self.drop(last[-1])).squeeze(-1)

    return Gru()


def _gather(design: Any, places: Any) -> Any:
    """Return the steps (rows, length, width); what lies before a sequence's start is zero, the training mean."""
    steps = design[places.clamp(min=0)]
    return steps * (places >= 0).unsqueeze(-1)


def _margins(network: Any, design: NDArray[np.float64], places: NDArray[np.int64]) -> NDArray[np.float64]:
    import torch

    rows, where = torch.from_numpy(design.astype(np.float32)), torch.from_numpy(places)
    network.eval()
    with torch.no_grad():
        parts = [network(_gather(rows, where[start : start + CHUNK])).numpy() for start in range(0, len(where), CHUNK)]
    return np.concatenate(parts).astype(np.float64)


def fit_gru(train: Block, inner: Block | None, params: GruParameters, *, seed: int, n_threads: int) -> GruEstimator:
    """Train on the training sequences, keep the epoch with the lowest log-loss on the inner block."""
    need_extra("gru", "torch")
    need_watched(inner, name="gru")
    import torch

    scaling, design = Scaling.learn(train, clip=params.clip, name="gru")
    watched = scaling.apply(inner)  # type: ignore[arg-type]
    watched_places = sequences(inner, length=params.length)  # type: ignore[arg-type]
    watched_y = inner.labels  # type: ignore[union-attr]
    weight = balanced(train, balance=params.class_balance)
    with torch_turn(seed=seed, n_threads=n_threads):
        network = _network(scaling.width, params.hidden, params.dropout)
        optimizer = torch.optim.AdamW(network.parameters(), lr=params.learning_rate, weight_decay=params.weight_decay)
        rows = torch.from_numpy(design.astype(np.float32))
        places = torch.from_numpy(sequences(train, length=params.length))
        y = torch.from_numpy(train.labels.astype(np.float32))
        heavy = torch.ones_like(y) if weight is None else torch.from_numpy(weight.astype(np.float32))
        best, best_epoch, best_weights = np.inf, 0, weights_of(network)
        curve: list[float] = []
        for epoch in range(1, params.max_epochs + 1):
            network.train()
            order = torch.randperm(len(y))
            for start in range(0, len(y), params.batch_size):
                part = order[start : start + params.batch_size]
                optimizer.zero_grad()
                margin = network(_gather(rows, places[part]))
                loss: Any = torch.nn.functional.binary_cross_entropy_with_logits(margin, y[part], weight=heavy[part])
                loss.backward()
                optimizer.step()
            found = _log_loss(_margins(network, watched, watched_places), watched_y)
            curve.append(found)
            if found < best:
                best, best_epoch, best_weights = found, epoch, weights_of(network)
            elif epoch - best_epoch >= params.patience:
                break
        put_weights(network, best_weights)
    shape = {"length": params.length, "hidden": params.hidden, "width": scaling.width, "best_epoch": best_epoch}
    return GruEstimator(scaling, network, shape, tuple(curve))


def _log_loss(margin: NDArray[np.float64], y: NDArray[np.float64]) -> float:
    return float(np.mean(np.logaddexp(0.0, margin) - y * margin))


def load_gru(folder: Path, meta: dict[str, Any]) -> GruEstimator:
    """Read what `GruEstimator.save` wrote."""
    del meta
    need_extra("gru", "torch")
    scaling, shape, weights = load_network(folder, file=FILE)
    with torch_turn(seed=0, n_threads=1):
        network = _network(shape["width"], shape["hidden"], 0.0)
        put_weights(network, weights)
    return GruEstimator(scaling, network, shape)
