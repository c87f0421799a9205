"""Random forest: grown by scikit-learn, kept as arrays, asked without it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from conviction.models._block import Block, balanced
from conviction.models._fitted import ranked

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from conviction.models.parameters import RandomForestParameters

FILE = "random_forest.npz"
LEAF = -1


@dataclass(frozen=True, eq=False)
class ForestEstimator:
    """All trees in one set of arrays, children as absolute positions.

    A row goes left when its value is at most the threshold; a missing value goes where training sent it.
    """

    arrays: dict[str, NDArray[Any]]

    def predict(self, block: Block) -> NDArray[np.float64]:
        """Return the mean over trees of the leaf's share of ones."""
        left, right = self.arrays["left"], self.arrays["right"]
        feature, threshold = self.arrays["feature"], self.arrays["threshold"]
        missing_left, share = self.arrays["missing_left"], self.arrays["share"]
        total = np.zeros(len(block))
        every = np.arange(len(block))
        for root in self.arrays["roots"]:
            node = np.full(len(block), root)
            moving = every
            while moving.size:
                here = node[moving]
                inside = left[here] != LEAF
                moving, here = moving[inside], here[inside]
                values = block.matrix[moving, feature[here]]
                goes_left = np.where(np.isnan(values), missing_left[here], values <= threshold[here])
                node[moving] = np.where(goes_left, left[here], right[here])
            total += share[node]
        return np.asarray(total / len(self.arrays["roots"]))

    def importance(self, features: tuple[str, ...]) -> pl.DataFrame:
        """Return the mean decrease in impurity of each feature."""
        return ranked(features, self.arrays["importance"])

    def save(self, folder: Path) -> None:
        """Write the arrays; no object, so no pickle."""
        np.savez(folder / FILE, **self.arrays)  # type: ignore[arg-type]

    @property
    def native(self) -> dict[str, NDArray[Any]]:
        """Return the arrays."""
        return self.arrays

    @property
    def facts(self) -> dict[str, Any]:
        """Return the size."""
        return {"trees": len(self.arrays["roots"]), "nodes": len(self.arrays["left"])}


def fit_random_forest(
    train: Block, inner: Block | None, params: RandomForestParameters, *, seed: int, n_threads: int
) -> ForestEstimator:
    """Grow the trees on the training rows."""
    from sklearn.ensemble import RandomForestClassifier

    del inner
    model = RandomForestClassifier(**params.model_dump(exclude={"class_balance"}), random_state=seed, n_jobs=n_threads)
    model.fit(train.matrix, train.labels, sample_weight=balanced(train, balance=params.class_balance))
    parts: dict[str, list[NDArray[Any]]] = {
        name: [] for name in ("left", "right", "feature", "threshold", "missing_left", "share")
    }
    roots, offset = [], 0
    for grown in model.estimators_:
        tree = grown.tree_
        inside = tree.children_left != LEAF
        roots.append(offset)
        parts["left"].append(np.where(inside, tree.children_left + offset, LEAF))
        parts["right"].append(np.where(inside, tree.children_right + offset, LEAF))
        parts["feature"].append(np.where(inside, tree.feature, 0))
        parts["threshold"].append(tree.threshold)
        parts["missing_left"].append(tree.missing_go_to_left.astype(np.bool_))
        parts["share"].append(tree.value[:, 0, 1] / tree.value[:, 0, :].sum(axis=1))
        offset += tree.node_count
    arrays = {name: np.concatenate(found) for name, found in parts.items()}
    arrays["roots"] = np.asarray(roots)
    arrays["importance"] = np.asarray(model.feature_importances_)
    return ForestEstimator(arrays)


def load_random_forest(folder: Path, meta: dict[str, Any]) -> ForestEstimator:
    """Read what `ForestEstimator.save` wrote."""
    del meta
    with np.load(folder / FILE, allow_pickle=False) as stored:
        return ForestEstimator({name: stored[name] for name in stored.files})
