"""A fitted model: what every estimator looks like from outside, and its folder on disk."""

from __future__ import annotations

import json
import tempfile
from dataclasses import dataclass, field
from datetime import date
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import polars as pl

from conviction.errors import ModelError, SeenRowError
from conviction.frames import SESSION
from conviction.models._block import Block
from conviction.models._dask import is_distributed, predict_parts

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from conviction.models.parameters import ModelParameters

FORMAT = 1
META = "model.json"


class Estimator(Protocol):
    """What a model family implements; `FittedModel` adds names, checks and metadata."""

    def predict(self, block: Block) -> NDArray[np.float64]:
        """Return the probability of 1 for each row."""

    def importance(self, features: tuple[str, ...]) -> pl.DataFrame | None:
        """Return `feature`, `importance`, or None where the family has none."""

    def save(self, folder: Path) -> None:
        """Write the native files."""

    @property
    def native(self) -> Any:
        """Return the object of the underlying library."""

    @property
    def facts(self) -> dict[str, Any]:
        """Return what the fit found out (best round, ignored columns), as plain data."""


@dataclass(frozen=True, eq=False)
class FittedModel:
    """A model fitted on one block of rows.

    Attributes
    ----------
    name : str
        Name in `MODELS`.
    feature_names : tuple of str
        Columns the model was fitted on, in order.
    parameters : ModelParameters
    seed : int
    seen : frozenset of datetime.date
        Sessions whose rows the fit has seen, early stopping included; empty when the rows carried no key.
    estimator : Estimator
    feature_parameters : mapping of str to number
        Feature parameters that were chosen for this model and differ from the configured ones: its features must be
        built with `conviction.features.with_tuned(configured, feature_parameters)`. Empty where none were tuned.
    curve : tuple of float
        What the model watched on the inner block (log-loss or AUC), a value a round or epoch; empty where it watched nothing.
    """

    name: str
    feature_names: tuple[str, ...]
    parameters: ModelParameters
    seed: int
    seen: frozenset[date]
    estimator: Estimator
    feature_parameters: Mapping[str, Any] = field(default_factory=dict)
    curve: tuple[float, ...] = ()

    def predict(self, X: pl.DataFrame) -> NDArray[np.float64]:
        """Return the probability that the label is 1, one value a row of `X` in its order.

        Parameters
        ----------
        X : polars.DataFrame
            Exactly the features of the fit, in any column order, Float32, nulls where missing; with `symbol` and
            `session` the model also checks that it has not seen the rows.

        Returns
        -------
        numpy.ndarray of float64, shape (rows,)
            Between 0 and 1, never NaN.

        Raises
        ------
        ModelError
            If features are missing or unexpected, or infinite.
        SeenRowError
            If a row belongs to a session that the model was fitted on.
        """
        return self.predict_block(Block.from_frame(X, features=self.feature_names))

    def predict_block(self, block: Block) -> NDArray[np.float64]:
        """Return the scores of a block, after the same checks as `predict`."""
        sessions = block.sessions
        if sessions is not None and self.seen:
            seen = sessions.filter(sessions.is_in(list(self.seen)))
            if len(seen):
                raise SeenRowError(
                    what=f"{self.name} was asked to predict rows that it was fitted on",
                    got=f"{len(seen)} rows of {seen.n_unique()} seen sessions, first {seen.min()!s}",
                    allowed="sessions outside the training and inner blocks",
                    fix="predict with the model of the fold in which these sessions are the test block",
                )
        if np.isinf(block.matrix).any():
            raise ModelError(
                what=f"{self.name}: infinite feature values",
                got=f"{int(np.isinf(block.matrix).sum())} values",
                allowed="finite values or missing",
                fix="repair the feature that divides by zero",
            )
        if not len(block):
            return np.empty(0)
        if is_distributed(block):
            return predict_parts(partial(_predict_matrix, self), block.matrix)
        return np.asarray(self.estimator.predict(block), dtype=np.float64)

    def importance(self) -> pl.DataFrame | None:
        """Return `feature`, `importance` sorted by falling importance, or None where the model has none."""
        return self.estimator.importance(self.feature_names)

    def contributions(self, X: pl.DataFrame) -> pl.DataFrame | None:
        """Return how much each feature moved the log-odds of each row: SHAP values by the model's own library.

        Parameters
        ----------
        X : polars.DataFrame
            As for `predict`; rows that were fitted are allowed, since nothing is scored.

        Returns
        -------
        polars.DataFrame or None
            Float64, a column a feature in the order of `feature_names`, and last `bias`. A row sums to the log-odds of the
            uncalibrated score. None for a model that has none (forests, neural networks, baselines).

        References
        ----------
        Lundberg, Erion and Lee, *Consistent individualized feature attribution for tree ensembles* (2018); for the
        logistic model the contributions of a linear function around the training means.
        """
        return self.contributions_of_block(Block.from_frame(X, features=self.feature_names))

    def contributions_of_block(self, block: Block) -> pl.DataFrame | None:
        """Return `contributions` of a block."""
        own = getattr(self.estimator, "contributions", None)
        found = None if own is None or not len(block) else own(block)
        return None if found is None else pl.from_numpy(found, schema=[*self.feature_names, "bias"])

    @property
    def native(self) -> Any:
        """Return the object of the underlying library (a Booster, a dictionary of coefficients)."""
        return self.estimator.native

    @property
    def facts(self) -> dict[str, Any]:
        """Return what the fit found out, as plain data: the best round, columns it had to ignore."""
        return self.estimator.facts

    def __reduce__(self) -> tuple[Any, ...]:
        # A model goes to another process as its own native files, never as a pickle of a library's object.
        with tempfile.TemporaryDirectory(prefix="conviction-model-") as name:
            self.save(name)
            return _from_files, ({path.name: path.read_bytes() for path in sorted(Path(name).iterdir())},)

    def save(self, folder: Path | str) -> None:
        """Write the model: `model.json` and the native file of its library, never a pickle.

        Parameters
        ----------
        folder : path
            Made if it does not exist.
        """
        path = Path(folder)
        path.mkdir(parents=True, exist_ok=True)
        self.estimator.save(path)
        meta = {
            "format": FORMAT,
            "name": self.name,
            "feature_names": list(self.feature_names),
            "parameters": self.parameters.model_dump(mode="json", by_alias=True),
            "seed": self.seed,
            "seen": sorted(session.isoformat() for session in self.seen),
            "facts": self.facts,
            **({"feature_parameters": dict(self.feature_parameters)} if self.feature_parameters else {}),
            "curve": list(self.curve),
        }
        (path / META).write_text(json.dumps(meta, indent=1, sort_keys=True) + "\n", encoding="utf-8")

    @classmethod
    def load(cls, folder: Path | str) -> FittedModel:
        """Read a model that `save` wrote.

        Raises
        ------
        ModelError
            If the folder holds no model, or one of another format or of an unknown name.
        """
        from conviction.models._calibration import CALIBRATION_FILE, load_calibrated
        from conviction.models._registry import MODELS

        path = Path(folder)
        try:
            meta = json.loads((path / META).read_text(encoding="utf-8"))
        except (FileNotFoundError, json.JSONDecodeError) as error:
            raise ModelError(
                what=f"{path.name} holds no model",
                got=type(error).__name__,
                allowed=f"a folder with {META} written by FittedModel.save",
                fix="check the path, or fit the model again",
            ) from error
        if meta.get("format") != FORMAT:
            raise ModelError(
                what="the model was saved in another format",
                got=meta.get("format"),
                allowed=FORMAT,
                fix="load it with the version of the library that wrote it",
            )
        if meta["name"] not in MODELS:
            raise ModelError.from_unknown_name(kind="model", name=meta["name"], known=MODELS)
        spec = MODELS[meta["name"]]
        estimator = spec.load(path, meta)
        if (path / CALIBRATION_FILE).exists():
            estimator = load_calibrated(path, estimator)
        return cls(
            name=meta["name"],
            feature_names=tuple(meta["feature_names"]),
            parameters=spec.parameters.model_validate(meta["parameters"]),
            seed=meta["seed"],
            seen=frozenset(date.fromisoformat(text) for text in meta["seen"]),
            estimator=estimator,
            feature_parameters=meta.get("feature_parameters", {}),
            curve=tuple(meta.get("curve", ())),
        )


def _predict_matrix(fitted: FittedModel, matrix: NDArray[np.float32]) -> NDArray[np.float64]:
    return np.asarray(fitted.estimator.predict(Block(fitted.feature_names, matrix)), dtype=np.float64)


def _from_files(files: dict[str, bytes]) -> FittedModel:
    with tempfile.TemporaryDirectory(prefix="conviction-model-") as name:
        for file, content in files.items():
            (Path(name) / file).write_bytes(content)
        return FittedModel.load(name)


def seen_sessions(*blocks: Block | None) -> frozenset[date]:
    """Return the sessions of the blocks that carry keys."""
    sessions: set[date] = set()
    for block in blocks:
        if block is not None and block.keys is not None:
            sessions.update(block.keys[SESSION].unique())
    return frozenset(sessions)


def ranked(features: tuple[str, ...], values: NDArray[Any]) -> pl.DataFrame:
    """Return the importance table, largest first, ties by name."""
    table = pl.DataFrame({"feature": list(features), "importance": np.asarray(values, dtype=np.float64)})
    return table.sort(["importance", "feature"], descending=[True, False])
