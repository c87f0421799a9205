"""Logistic regression whose imputation and scaling are part of the fit."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from conviction.errors import ModelError
from conviction.models._block import Block, balanced
from conviction.models._fitted import ranked

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from conviction.models.parameters import LogisticParameters

FILE = "logistic.json"


@dataclass(frozen=True, eq=False)
class LogisticEstimator:
    """Medians, scales and coefficients, all learnt on the training rows.

    The design has one standardised column per usable feature, then one 0/1 column for each feature that had missing
    values in training (standardised too).
    """

    median: NDArray[np.float64]
    used: NDArray[np.intp]
    flagged: NDArray[np.intp]
    mean: NDArray[np.float64]
    scale: NDArray[np.float64]
    coefficient: NDArray[np.float64]
    intercept: float
    clip: float | None
    ignored: tuple[str, ...]

    def predict(self, block: Block) -> NDArray[np.float64]:
        """Return the probability of 1 for each row."""
        design = _design(block.matrix, self.median, self.used, self.flagged)
        _standardise(design, self.mean, self.scale, self.clip)
        # einsum sums each row by itself, so a score does not depend on which other rows are asked with it.
        margin = np.einsum("ij,j->i", design, self.coefficient) + self.intercept
        return np.asarray(0.5 * (1.0 + np.tanh(0.5 * margin)))

    def importance(self, features: tuple[str, ...]) -> pl.DataFrame:
        """Return the absolute standardised coefficient of each feature, its missing flag included."""
        values = np.zeros(len(features))
        np.add.at(values, self.used, np.abs(self.coefficient[: self.used.size]))
        np.add.at(values, self.flagged, np.abs(self.coefficient[self.used.size :]))
        return ranked(features, values)

    def save(self, folder: Path) -> None:
        """Write the numbers as JSON."""
        (folder / FILE).write_text(json.dumps(self.native, sort_keys=True) + "\n", encoding="utf-8")

    @property
    def native(self) -> dict[str, Any]:
        """Return the numbers as plain data."""
        arrays = ("median", "used", "flagged", "mean", "scale", "coefficient")
        return {
            **{name: getattr(self, name).tolist() for name in arrays},
            "intercept": self.intercept,
            "clip": self.clip,
            "ignored": list(self.ignored),
        }

    @property
    def facts(self) -> dict[str, Any]:
        """Return the columns that were constant or empty in training and so have no coefficient."""
        return {"ignored_columns": list(self.ignored)}


def _design(
    matrix: NDArray[np.float32], median: NDArray[np.float64], used: NDArray[np.intp], flagged: NDArray[np.intp]
) -> NDArray[np.float64]:
    design = np.empty((len(matrix), used.size + flagged.size))
    for position, column in enumerate(used):
        values = matrix[:, column].astype(np.float64)
        design[:, position] = np.where(np.isnan(values), median[column], values)
    for position, column in enumerate(flagged, start=used.size):
        design[:, position] = np.isnan(matrix[:, column])
    return design


def _standardise(
    design: NDArray[np.float64], mean: NDArray[np.float64], scale: NDArray[np.float64], clip: float | None
) -> None:
    design -= mean
    design /= scale
    if clip is not None:
        np.clip(design, -clip, clip, out=design)


def fit_logistic(
    train: Block, inner: Block | None, params: LogisticParameters, *, seed: int, n_threads: int
) -> LogisticEstimator:
    """Fit medians, scales and an L2-penalised logistic regression on the training rows."""
    from sklearn.linear_model import LogisticRegression
    from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

    del inner
    matrix = train.matrix
    missing = np.isnan(matrix)
    empty = missing.all(axis=0)
    median = np.zeros(matrix.shape[1])
    for column in np.flatnonzero(~empty):
        median[column] = np.median(matrix[~missing[:, column], column].astype(np.float64))
    used = np.arange(matrix.shape[1])
    flagged = np.flatnonzero(missing.any(axis=0) & ~empty)
    design = _design(matrix, median, used, flagged)
    mean, scale = design.mean(axis=0), design.std(axis=0)
    constant = scale <= 1e-9 * np.maximum(1.0, np.abs(mean))
    keep = ~constant
    if not keep.any():
        raise ModelError(
            what="logistic: every feature is constant in training",
            got=f"{matrix.shape[1]} columns without any spread",
            allowed="at least one feature that varies",
            fix="check the features of this fold",
        )
    ignored = tuple(train.features[column] for column in np.flatnonzero(constant[: used.size]))
    flagged, used = flagged[keep[used.size :]], used[keep[: used.size]]
    design, mean, scale = np.ascontiguousarray(design[:, keep]), mean[keep], scale[keep]
    _standardise(design, mean, scale, params.clip)
    model = LogisticRegression(C=params.C, solver="newton-cholesky", tol=1e-8, max_iter=100, random_state=seed)
    with threadpool_limits(limits=n_threads):
        model.fit(design, train.labels, sample_weight=balanced(train, balance=params.class_balance))
    return LogisticEstimator(
        median, used, flagged, mean, scale, model.coef_[0].copy(), float(model.intercept_[0]), params.clip, ignored
    )


def load_logistic(folder: Path, meta: dict[str, Any]) -> LogisticEstimator:
    """Read what `LogisticEstimator.save` wrote."""
    del meta
    plain = json.loads((folder / FILE).read_text(encoding="utf-8"))

    def floats(name: str) -> NDArray[np.float64]:
        return np.asarray(plain[name], dtype=np.float64)

    return LogisticEstimator(
        median=floats("median"),
        used=np.asarray(plain["used"], dtype=np.intp),
        flagged=np.asarray(plain["flagged"], dtype=np.intp),
        mean=floats("mean"),
        scale=floats("scale"),
        coefficient=floats("coefficient"),
        intercept=plain["intercept"],
        clip=plain["clip"],
        ignored=tuple(plain["ignored"]),
    )
