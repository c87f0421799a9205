"""Imputation and scaling that belong to a fit: medians, missing flags, means and scales of the training rows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from conviction.errors import ModelError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from conviction.models._block import Block


@dataclass(frozen=True, eq=False)
class Scaling:
    """What was learnt from the training rows.

    The design has one standardised column per usable feature, then one standardised 0/1 column for each feature that
    had missing values in training. Constant and empty features have no column.

    Attributes
    ----------
    median : numpy.ndarray of float64, shape (features,)
        Stands in for a missing value.
    used, flagged : numpy.ndarray of intp
        Features with a column, and with a missing flag.
    mean, scale : numpy.ndarray of float64, shape (columns,)
    clip : float or None
        Standardised values are cut here.
    ignored : tuple of str
        Features that were constant or empty in training.
    """

    median: NDArray[np.float64]
    used: NDArray[np.intp]
    flagged: NDArray[np.intp]
    mean: NDArray[np.float64]
    scale: NDArray[np.float64]
    clip: float | None
    ignored: tuple[str, ...]

    @property
    def width(self) -> int:
        """Return the number of columns of the design."""
        return len(self.mean)

    @classmethod
    def learn(cls, train: Block, *, clip: float | None, name: str) -> tuple[Self, NDArray[np.float64]]:
        """Learn from the training rows; return the scaling and the training design.

        Raises
        ------
        ModelError
            If no feature varies.
        """
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
        keep = scale > 1e-9 * np.maximum(1.0, np.abs(mean))
        if not keep.any():
            raise ModelError(
                what=f"{name}: every feature is constant in training",
                got=f"{matrix.shape[1]} columns without any spread",
                allowed="at least one feature that varies",
                fix="check the features of this fold",
            )
        ignored = tuple(train.features[column] for column in np.flatnonzero(~keep[: used.size]))
        flagged, used = flagged[keep[used.size :]], used[keep[: used.size]]
        design = np.ascontiguousarray(design[:, keep])
        found = cls(median, used, flagged, mean[keep], scale[keep], clip, ignored)
        return found, found._standardise(design)

    def apply(self, block: Block) -> NDArray[np.float64]:
        """Return the design of other rows."""
        return self._standardise(_design(block.matrix, self.median, self.used, self.flagged))

    def _standardise(self, design: NDArray[np.float64]) -> NDArray[np.float64]:
        design -= self.mean
        design /= self.scale
        if self.clip is not None:
            np.clip(design, -self.clip, self.clip, out=design)
        return design

    def per_feature(self, values: NDArray[np.float64], n_features: int) -> NDArray[np.float64]:
        """Sum values of the design's columns by feature, missing flags included."""
        total = np.zeros(n_features)
        np.add.at(total, self.used, values[: self.used.size])
        np.add.at(total, self.flagged, values[self.used.size :])
        return total

    def to_plain(self) -> dict[str, Any]:
        """Return the numbers as plain data."""
        arrays = ("median", "used", "flagged", "mean", "scale")
        return {
            **{name: getattr(self, name).tolist() for name in arrays},
            "clip": self.clip,
            "ignored": list(self.ignored),
        }

    @classmethod
    def from_plain(cls, plain: dict[str, Any]) -> Self:
        """Read what `to_plain` gave."""
        return cls(
            median=np.asarray(plain["median"], dtype=np.float64),
            used=np.asarray(plain["used"], dtype=np.intp),
            flagged=np.asarray(plain["flagged"], dtype=np.intp),
            mean=np.asarray(plain["mean"], dtype=np.float64),
            scale=np.asarray(plain["scale"], dtype=np.float64),
            clip=plain["clip"],
            ignored=tuple(plain["ignored"]),
        )


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
