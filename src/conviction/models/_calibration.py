"""Calibration of a fitted model on rows that it has not seen."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import polars as pl

from conviction.models._block import Block, check_training
from conviction.models._fitted import Estimator, FittedModel, seen_sessions

if TYPE_CHECKING:
    from numpy.typing import NDArray

CALIBRATION_FILE = "calibration.json"
CalibrationKind = Literal["isotonic", "sigmoid"]
_EDGE = 1e-12


@dataclass(frozen=True, eq=False)
class CalibratedEstimator:
    """An estimator and the monotone map that was learnt over its scores.

    `isotonic` interpolates between the knots (`x`, `y`); `sigmoid` is ``logistic(x[0] * logit(score) + y[0])``.
    """

    estimator: Estimator
    kind: CalibrationKind
    x: tuple[float, ...]
    y: tuple[float, ...]

    def predict(self, block: Block) -> NDArray[np.float64]:
        """Return the calibrated probability of 1 for each row."""
        scores = self.estimator.predict(block)
        if self.kind == "isotonic":
            return np.asarray(np.interp(scores, self.x, self.y))
        return np.asarray(0.5 * (1.0 + np.tanh(0.5 * (self.x[0] * _logit(scores) + self.y[0]))))

    def contributions(self, block: Block) -> NDArray[np.float64] | None:
        """Return the contributions of the estimator underneath: the map is monotone and ranks nothing anew."""
        own = getattr(self.estimator, "contributions", None)
        return None if own is None else own(block)

    def importance(self, features: tuple[str, ...]) -> pl.DataFrame | None:
        """Return the importances of the estimator underneath."""
        return self.estimator.importance(features)

    def save(self, folder: Path) -> None:
        """Write the estimator's native files and the map as JSON."""
        self.estimator.save(folder)
        plain = {"kind": self.kind, "x": list(self.x), "y": list(self.y)}
        (folder / CALIBRATION_FILE).write_text(json.dumps(plain, sort_keys=True) + "\n", encoding="utf-8")

    @property
    def native(self) -> Any:
        """Return the underlying library's object."""
        return self.estimator.native

    @property
    def facts(self) -> dict[str, Any]:
        """Return what the fit found out, and the kind of calibration."""
        return {**self.estimator.facts, "calibration": self.kind}


def _logit(scores: NDArray[np.float64]) -> NDArray[np.float64]:
    inside = np.clip(scores, _EDGE, 1 - _EDGE)
    return np.asarray(np.log(inside / (1 - inside)))


def calibrate(fitted: FittedModel, block: Block, *, kind: CalibrationKind) -> FittedModel:
    """Return the model with a monotone map learnt on rows that it has not seen.

    Isotonic steps are kept inside [1 / (n + 2), 1 - 1 / (n + 2)] for n rows, so that the log-loss of a later row is
    finite.

    Parameters
    ----------
    fitted : FittedModel
    block : Block
        Labelled rows, purged from those of the fit and not those that are scored later.
    kind : {"isotonic", "sigmoid"}

    Returns
    -------
    FittedModel
        It counts the calibration rows among those it has seen.

    Raises
    ------
    SeenRowError
        If the model was fitted on one of the rows' sessions.
    ModelError
        If the rows have one class only.

    References
    ----------
    Platt 1999 (sigmoid); Zadrozny and Elkan 2002 (isotonic).
    """
    check_training(block, name=f"{fitted.name}, calibration block")
    scores = fitted.predict_block(block)
    if kind == "isotonic":
        from sklearn.isotonic import IsotonicRegression

        edge = 1 / (len(block) + 2)
        steps = IsotonicRegression(y_min=edge, y_max=1 - edge, out_of_bounds="clip")
        steps.fit(scores, block.labels, sample_weight=block.weight)
        x, y = steps.X_thresholds_.tolist(), steps.y_thresholds_.tolist()
    else:
        from sklearn.linear_model import LogisticRegression

        line = LogisticRegression(C=1e6, solver="newton-cholesky", tol=1e-8)
        line.fit(_logit(scores)[:, None], block.labels, sample_weight=block.weight)
        x, y = [float(line.coef_[0, 0])], [float(line.intercept_[0])]
    return replace(
        fitted,
        seen=fitted.seen | seen_sessions(block),
        estimator=CalibratedEstimator(fitted.estimator, kind, tuple(x), tuple(y)),
    )


def load_calibrated(folder: Path, estimator: Estimator) -> CalibratedEstimator:
    """Read the map that `CalibratedEstimator.save` wrote."""
    plain = json.loads((folder / CALIBRATION_FILE).read_text(encoding="utf-8"))
    return CalibratedEstimator(estimator, plain["kind"], tuple(plain["x"]), tuple(plain["y"]))
