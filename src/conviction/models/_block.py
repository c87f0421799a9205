"""Rows on their way into a model: a float32 matrix with names, labels, weights and keys."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from conviction.errors import ModelError
from conviction.frames import BAR_END, KEY, SESSION, key_of, moment_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray


@dataclass(frozen=True, eq=False)
class Block:
    """Rows of one role of one fold.

    Attributes
    ----------
    features : tuple of str
        Names of the columns of `matrix`.
    matrix : numpy.ndarray of float32, shape (rows, features)
        NaN where a value is missing.
    y : numpy.ndarray of float64, shape (rows,), or None
        0 or 1; None where only a prediction is asked.
    weight : numpy.ndarray of float64, shape (rows,), or None
    keys : polars.DataFrame or None
        `symbol` and `session` of the rows, where they are known.
    cache : dict
        What a library derived from exactly these rows (bin edges), shared by later fits on the same block.
    """

    features: tuple[str, ...]
    matrix: NDArray[np.float32]
    y: NDArray[np.float64] | None = None
    weight: NDArray[np.float64] | None = None
    keys: pl.DataFrame | None = None
    cache: dict[Any, Any] = field(default_factory=dict, repr=False)

    def __len__(self) -> int:
        return int(self.matrix.shape[0])

    @property
    def labels(self) -> NDArray[np.float64]:
        """Return the labels.

        Raises
        ------
        ModelError
            If the block has none.
        """
        if self.y is None:
            raise ModelError(
                what="rows without labels were given to a fit", got="y=None", allowed="0 or 1 a row", fix="pass labels"
            )
        return self.y

    @property
    def sessions(self) -> pl.Series | None:
        """Return the sessions of the rows, or None where the rows carry no key."""
        return None if self.keys is None else self.keys[SESSION]

    @property
    def moments(self) -> pl.Series | None:
        """Return what names the cross-section of each row: its session, or the end of its bar."""
        return None if self.keys is None else self.keys[moment_of(self.keys)]

    @classmethod
    def from_frame(
        cls,
        X: pl.DataFrame,
        y: NDArray[Any] | None = None,
        weight: NDArray[Any] | None = None,
        *,
        features: Sequence[str] | None = None,
    ) -> Block:
        """Take the features (and the key, where it is there) out of a frame.

        Parameters
        ----------
        X : polars.DataFrame
            Numeric feature columns and, optionally, `symbol` and `session`.
        y, weight : array-like, optional
            One value a row.
        features : sequence of str, optional
            Columns that must be there, in the order wanted; without it all but the key, as they come.

        Raises
        ------
        ModelError
            On missing, unexpected or non-numeric columns, or lengths that differ.
        """
        present = [column for column in X.columns if column not in (*KEY, BAR_END)]
        names = tuple(features) if features is not None else tuple(present)
        missing = [name for name in names if name not in present]
        extra = [name for name in present if name not in names]
        if missing or extra:
            raise ModelError(
                what="the features are not those the model was fitted on",
                got=f"missing {missing[:5]} ({len(missing)} in all), unexpected {extra[:5]} ({len(extra)} in all)",
                allowed=f"exactly the {len(names)} features of FittedModel.feature_names",
                fix="build the frame with the same feature set as the fit",
            )
        texts = [name for name in names if not X.schema[name].is_numeric() and X.schema[name] != pl.Boolean]
        if texts or not names:
            raise ModelError(
                what="a model needs numeric features",
                got=f"columns {texts}" if texts else "no feature column",
                allowed="at least one column of numbers",
                fix="encode or drop these columns",
            )
        matrix = X.select(pl.col(names).cast(pl.Float32)).to_numpy(order="c")
        keys = X.select(key_of(X)) if all(column in X.columns for column in KEY) else None
        return cls(names, matrix, _vector(y, len(X), "y"), _vector(weight, len(X), "weight"), keys)


def _vector(values: NDArray[Any] | None, rows: int, name: str) -> NDArray[np.float64] | None:
    if values is None:
        return None
    vector = np.asarray(values, dtype=np.float64)
    if vector.shape != (rows,):
        raise ModelError(
            what=f"{name} does not belong to X",
            got=f"shape {vector.shape}",
            allowed=f"({rows},)",
            fix="pass one value a row",
        )
    return vector


def balanced(block: Block, *, balance: bool) -> NDArray[np.float64] | None:
    """Return the weights of a block, with both classes made equally heavy when `balance` is set."""
    if not balance:
        return block.weight
    y = block.labels
    weight = np.ones(len(block)) if block.weight is None else block.weight
    ones, total = float(weight[y == 1].sum()), float(weight.sum())
    return np.asarray(weight * np.where(y == 1, total / (2 * ones), total / (2 * (total - ones))))


def check_training(block: Block, *, name: str) -> None:
    """Raise a ModelError when the rows cannot train a classifier.

    Raises
    ------
    ModelError
        On no rows, labels other than 0 and 1, one class only, weights that are negative or not finite, or infinite
        feature values.
    """
    y = block.labels
    counts = {float(value): int((y == value).sum()) for value in np.unique(y)}
    problem = None
    if not len(block):
        problem = ("no rows to fit on", "0 rows", "at least one row of each class")
    elif not np.isin(y, (0.0, 1.0)).all():
        problem = ("labels other than 0 and 1", f"{list(counts)[:5]}", "0 or 1 a row, no missing")
    elif len(counts) < 2:
        problem = ("only one class to fit on", f"counts {counts}", "both classes")
    elif block.weight is not None and not (np.isfinite(block.weight).all() and (block.weight >= 0).all()):
        problem = ("weights that are negative or not finite", f"min {block.weight.min()}", "finite weights >= 0")
    elif np.isinf(block.matrix).any():
        where = np.flatnonzero(np.isinf(block.matrix).any(axis=0))
        problem = ("infinite feature values", f"{[block.features[i] for i in where[:5]]}", "finite values or missing")
    if problem:
        raise ModelError(
            what=f"{name}: {problem[0]}",
            got=problem[1],
            allowed=problem[2],
            fix="look at this fold's sessions and symbols: lengthen it, or leave the target or symbol out",
        )
