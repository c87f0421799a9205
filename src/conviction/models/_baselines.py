"""Baselines that every claim must beat: the base rate, one-day reversal, momentum."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from conviction.errors import ModelError
from conviction.models._block import Block

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from conviction.models.parameters import BaseRateParameters, OneColumnParameters

FILE = "baseline.json"


@dataclass(frozen=True, eq=False)
class BaselineEstimator:
    """Score = base rate, moved by the sign and size of one column.

    ``score = logistic(logit(rate) + direction * tanh((value - centre) / (3 scale)))``; a missing value scores
    the base rate. `column` None is the base rate alone.
    """

    rate: float
    column: str | None = None
    direction: float = 0.0
    centre: float = 0.0
    scale: float = 1.0

    def predict(self, block: Block) -> NDArray[np.float64]:
        """Return the probability of 1 for each row."""
        margin = np.full(len(block), np.log(self.rate / (1 - self.rate)))
        if self.column is not None:
            values = block.matrix[:, block.features.index(self.column)].astype(np.float64)
            # tanh keeps the order of extreme returns, which a cut would tie.
            margin += self.direction * np.nan_to_num(np.tanh((values - self.centre) / (3 * self.scale)))
        return np.asarray(1.0 / (1.0 + np.exp(-margin)))

    def importance(self, features: tuple[str, ...]) -> None:
        """Return None: a baseline has nothing to rank."""
        del features

    def save(self, folder: Path) -> None:
        """Write the numbers as JSON."""
        (folder / FILE).write_text(json.dumps(self.native, sort_keys=True) + "\n", encoding="utf-8")

    @property
    def native(self) -> dict[str, Any]:
        """Return the numbers as plain data."""
        return {
            "rate": self.rate,
            "column": self.column,
            "direction": self.direction,
            "centre": self.centre,
            "scale": self.scale,
        }

    @property
    def facts(self) -> dict[str, Any]:
        """Return nothing: a baseline finds nothing out."""
        return {}


def _rate(train: Block) -> float:
    weight = np.ones(len(train)) if train.weight is None else train.weight
    return float(np.average(train.labels, weights=weight))


def fit_base_rate(
    train: Block, inner: Block | None, params: BaseRateParameters, *, seed: int, n_threads: int
) -> BaselineEstimator:
    """Predict the share of ones in training, everywhere."""
    del inner, params, seed, n_threads
    return BaselineEstimator(_rate(train))


def _fit_one_column(train: Block, params: OneColumnParameters, *, name: str, direction: float) -> BaselineEstimator:
    if params.column not in train.features:
        raise ModelError(
            what=f"the baseline {name!r} needs the feature {params.column!r}",
            got=f"{len(train.features)} features without it",
            allowed=f"one of {', '.join(train.features[:10])}, ...",
            fix="add the feature to the feature set, or name another one in the model's parameter `column`",
        )
    values = train.matrix[:, train.features.index(params.column)].astype(np.float64)
    values = values[~np.isnan(values)]
    scale = float(np.std(values)) if values.size else 0.0
    if scale == 0.0:
        raise ModelError(
            what=f"the baseline {name!r} has a constant column {params.column!r}",
            got="no spread in training",
            allowed="a feature that varies",
            fix="name another feature in the model's parameter `column`",
        )
    return BaselineEstimator(_rate(train), params.column, direction, float(np.mean(values)), scale)


def fit_reversal(
    train: Block, inner: Block | None, params: OneColumnParameters, *, seed: int, n_threads: int
) -> BaselineEstimator:
    """Score the fallen above the risen (Jegadeesh 1990)."""
    del inner, seed, n_threads
    return _fit_one_column(train, params, name="reversal_1d", direction=-1.0)


def fit_momentum(
    train: Block, inner: Block | None, params: OneColumnParameters, *, seed: int, n_threads: int
) -> BaselineEstimator:
    """Score the risen above the fallen (Jegadeesh and Titman 1993)."""
    del inner, seed, n_threads
    return _fit_one_column(train, params, name="momentum", direction=1.0)


def load_baseline(folder: Path, meta: dict[str, Any]) -> BaselineEstimator:
    """Read what `BaselineEstimator.save` wrote."""
    del meta
    return BaselineEstimator(**json.loads((folder / FILE).read_text(encoding="utf-8")))
