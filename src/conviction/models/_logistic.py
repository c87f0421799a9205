"""Logistic regression whose imputation and scaling are part of the fit."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from conviction.models._block import Block, balanced
from conviction.models._fitted import ranked
from conviction.models._scaling import Scaling
from conviction.models._threads import limited_threads

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from conviction.models.parameters import LogisticParameters

FILE = "logistic.json"


@dataclass(frozen=True, eq=False)
class LogisticEstimator:
    """Scaling and coefficients, all learnt on the training rows."""

    scaling: Scaling
    coefficient: NDArray[np.float64]
    intercept: float

    def predict(self, block: Block) -> NDArray[np.float64]:
        """Return the probability of 1 for each row."""
        # einsum sums each row by itself, so a score does not depend on which other rows are asked with it.
        margin = np.einsum("ij,j->i", self.scaling.apply(block), self.coefficient) + self.intercept
        return np.asarray(0.5 * (1.0 + np.tanh(0.5 * margin)))

    def contributions(self, block: Block) -> NDArray[np.float64]:
        """Return what each feature (its missing flag included) adds to the log-odds at the training mean, and those."""
        parts = self.scaling.apply(block) * self.coefficient
        found = np.zeros((len(block), len(block.features) + 1))
        for position, column in enumerate([*self.scaling.used, *self.scaling.flagged]):
            found[:, column] += parts[:, position]
        found[:, -1] = self.intercept
        return found

    def importance(self, features: tuple[str, ...]) -> pl.DataFrame:
        """Return the absolute standardised coefficient of each feature, its missing flag included."""
        return ranked(features, self.scaling.per_feature(np.abs(self.coefficient), len(features)))

    def save(self, folder: Path) -> None:
        """Write the numbers as JSON."""
        (folder / FILE).write_text(json.dumps(self.native, sort_keys=True) + "\n", encoding="utf-8")

    @property
    def native(self) -> dict[str, Any]:
        """Return the numbers as plain data."""
        return {**self.scaling.to_plain(), "coefficient": self.coefficient.tolist(), "intercept": self.intercept}

    @property
    def facts(self) -> dict[str, Any]:
        """Return the columns that were constant or empty in training and so have no coefficient."""
        return {"ignored_columns": list(self.scaling.ignored)}


def fit_logistic(
    train: Block, inner: Block | None, params: LogisticParameters, *, seed: int, n_threads: int
) -> LogisticEstimator:
    """Fit medians, scales and an L2-penalised logistic regression on the training rows."""
    from sklearn.linear_model import LogisticRegression

    del inner
    scaling, design = Scaling.learn(train, clip=params.clip, name="logistic")
    model = LogisticRegression(C=params.C, solver="newton-cholesky", tol=1e-8, max_iter=100, random_state=seed)
    with limited_threads(n_threads):
        model.fit(design, train.labels, sample_weight=balanced(train, balance=params.class_balance))
    return LogisticEstimator(scaling, model.coef_[0].copy(), float(model.intercept_[0]))


def load_logistic(folder: Path, meta: dict[str, Any]) -> LogisticEstimator:
    """Read what `LogisticEstimator.save` wrote."""
    del meta
    plain = json.loads((folder / FILE).read_text(encoding="utf-8"))
    coefficient = np.asarray(plain.pop("coefficient"), dtype=np.float64)
    intercept = float(plain.pop("intercept"))
    return LogisticEstimator(Scaling.from_plain(plain), coefficient, intercept)
