"""A combiner once it has learnt: numbers that turn base scores into one score, row by row, and their files."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from conviction.ensembling.parameters import CombinerName
from conviction.errors import EvaluationError

if TYPE_CHECKING:
    import numpy.typing as npt

    Floats = npt.NDArray[np.float64]

_CLIP = 1e-6
_FILE = "combiner.json"
_BOOSTER = "combiner.ubj"


@dataclass(frozen=True, eq=False)
class LearntCombiner:
    """What a combiner knows after it has learnt; asked for a row it answers the same whatever rows are asked with it.

    Attributes
    ----------
    name : str
        Name in `COMBINERS`.
    models : tuple of str
        Order of the columns that it takes.
    rank_slope : float
        Of `EnsemblingParameters`.
    numbers : mapping of str to numpy.ndarray of float64
        Weights, means and scales; empty for a plain average.
    booster : bytes
        The trees of a boosted stack in XGBoost's own UBJSON; empty otherwise.

    Examples
    --------
    >>> average = LearntCombiner(name="mean", models=("a", "b"), rank_slope=0.06)
    >>> average.apply(np.array([[0.4, 0.6]]), np.array([[0.5, 0.5]])).tolist()
    [0.5]
    """

    name: CombinerName
    models: tuple[str, ...]
    rank_slope: float
    numbers: Mapping[str, Floats] = field(default_factory=dict)
    booster: bytes = b""

    def apply(self, scores: Floats, ranks: Floats, context: Floats | None = None) -> Floats:
        """Return one score a row.

        Parameters
        ----------
        scores, ranks : numpy.ndarray of float64, shape (n_rows, n_models)
            As in `Inputs`, columns in the order of `models`.
        context : numpy.ndarray of float64, shape (n_rows, n_columns), optional
            Where the stack was learnt with it.

        Returns
        -------
        numpy.ndarray of float64, shape (n_rows,)
            Between 0 and 1.
        """
        if self.name == "mean":
            return np.asarray(scores.mean(axis=1))
        if self.name == "rank_mean":
            return as_probability(ranks.mean(axis=1), self.rank_slope)
        if self.name == "past_weighted":
            return as_probability(row_product(ranks, self.numbers["weight"]), self.rank_slope)
        rows = (design_of(scores, ranks, context) - self.numbers["centre"]) / self.numbers["scale"]
        if self.name == "stack_logistic":
            coefficients = self.numbers["coefficients"]
            return sigmoid(coefficients[0] + row_product(rows, coefficients[1:]))
        if self.name == "stack_mlp":
            return self._perceptron(rows)
        return self._boosted(rows)

    def _perceptron(self, rows: Floats) -> Floats:
        hidden = np.column_stack([row_product(rows, column) for column in self.numbers["hidden"].T])
        hidden = np.ascontiguousarray(np.maximum(hidden + self.numbers["hidden_bias"], 0.0))
        return sigmoid(row_product(hidden, self.numbers["out"]) + self.numbers["out_bias"][0])

    def _boosted(self, rows: Floats) -> Floats:
        import xgboost

        booster = xgboost.Booster({"nthread": 1})
        booster.load_model(bytearray(self.booster))
        return np.asarray(booster.predict(xgboost.DMatrix(rows, nthread=1)).astype(np.float64))

    def save(self, folder: Path) -> None:
        """Write the numbers as JSON and, for a boosted stack, the trees as UBJSON.

        Parameters
        ----------
        folder : pathlib.Path
            Made if it does not exist.
        """
        folder.mkdir(parents=True, exist_ok=True)
        plain = {
            "name": self.name,
            "models": list(self.models),
            "rank_slope": self.rank_slope,
            # A constant column is divided by infinity, which JSON cannot say.
            "numbers": {name: _plain(value) for name, value in self.numbers.items()},
        }
        (folder / _FILE).write_text(json.dumps(plain, indent=1, sort_keys=True) + "\n", encoding="utf-8")
        if self.booster:
            (folder / _BOOSTER).write_bytes(self.booster)

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read what `save` wrote.

        Raises
        ------
        EvaluationError
            If the folder holds no combiner.
        """
        if not (folder / _FILE).is_file():
            raise EvaluationError(
                what=f"{folder.name} holds no combiner",
                got="no combiner.json",
                allowed="a folder written by LearntCombiner.save",
                fix="check the path, or learn the combiner again",
            )
        plain: dict[str, Any] = json.loads((folder / _FILE).read_text(encoding="utf-8"))
        trees = folder / _BOOSTER
        return cls(
            name=plain["name"],
            models=tuple(plain["models"]),
            rank_slope=float(plain["rank_slope"]),
            numbers={name: _array(value) for name, value in plain["numbers"].items()},
            booster=trees.read_bytes() if trees.is_file() else b"",
        )


def _plain(value: Floats) -> Any:
    plain = value.astype(object)
    plain[np.isinf(value)] = None
    return plain.tolist()


def _array(value: Any) -> Floats:
    found = np.array(value, dtype=np.float64)
    return np.where(np.isnan(found), np.inf, found)


def row_product(rows: Floats, weight: Floats) -> Floats:
    """Return the weighted sum of each row; unlike `@` it sums each row by itself, whatever rows stand beside it."""
    return np.asarray(np.einsum("ij,j->i", np.ascontiguousarray(rows), weight), dtype=np.float64)


def as_probability(rank: Floats, slope: float) -> Floats:
    """Map ranks in (0, 1) by one line to probabilities around one half."""
    return np.asarray(0.5 + slope * (rank - 0.5))


def sigmoid(x: Floats) -> Floats:
    """Return the logistic function, clipped where its value is 0 or 1 to 15 digits."""
    return np.asarray(1 / (1 + np.exp(-np.clip(x, -35, 35))), dtype=np.float64)


def design_of(scores: Floats, ranks: Floats, context: Floats | None) -> Floats:
    """Put log-odds, ranks and (where asked for) context side by side."""
    clipped = np.clip(scores, _CLIP, 1 - _CLIP)
    parts = [np.log(clipped / (1 - clipped)), ranks, *([] if context is None else [context])]
    return np.ascontiguousarray(np.column_stack(parts))
