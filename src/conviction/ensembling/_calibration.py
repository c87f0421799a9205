"""Calibration of a combined score, learnt forward in time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from conviction.ensembling._forward import forward_steps
from conviction.ensembling._inputs import Inputs
from conviction.ensembling.parameters import EnsemblingParameters

if TYPE_CHECKING:
    import numpy.typing as npt

    Floats = npt.NDArray[np.float64]

# The smallest slope in standard deviations of the score: a calibration may say "almost nothing", never turn the order round.
_SMALLEST_SLOPE = 1e-3


@dataclass(frozen=True)
class PlattMap:
    """Platt's logistic map of a score to a probability, 1 / (1 + exp(-(intercept + slope (score - centre) / spread))).

    Examples
    --------
    >>> PlattMap(intercept=0.0, slope=1.0, centre=0.5, spread=0.1).apply(np.array([0.5])).tolist()
    [0.5]
    """

    intercept: float
    slope: float
    centre: float
    spread: float

    def apply(self, score: Floats) -> Floats:
        """Return the probability of 1; a higher score never gives a lower one."""
        z = self.intercept + self.slope * (score - self.centre) / self.spread
        return np.asarray(1 / (1 + np.exp(-np.clip(z, -35, 35))), dtype=np.float64)


def learn_platt(score: Floats, label: Floats) -> PlattMap | None:
    """Learn the map from rows with their labels (Platt 1999); None where they have one class or one score.

    Parameters
    ----------
    score, label : numpy.ndarray of float64, shape (n_rows,)
        Scores of rows whose labels, 0 or 1, were known.
    """
    from conviction.ensembling._combiners import ridge_logistic

    if len(np.unique(label)) < 2 or not np.std(score) > 0:
        return None
    centre, spread = float(score.mean()), float(score.std())
    intercept, slope = ridge_logistic(((score - centre) / spread)[:, None], label, penalty=1.0)
    return PlattMap(float(intercept), max(float(slope), _SMALLEST_SLOPE), centre, spread)


def calibrate_forward(inputs: Inputs, score: Floats, *, ensembling: EnsemblingParameters) -> tuple[Floats, str]:
    """Calibrate a score by Platt's logistic map, learnt before each fold from what was known then.

    Platt 1999: P(1) = 1 / (1 + exp(-(a + b score))). The slope is kept positive, so that no AUC within a fold changes.

    Parameters
    ----------
    inputs : Inputs
        Rows with their labels and folds.
    score : numpy.ndarray of float64, shape (n_rows,)
        In the order of `inputs.rows`.
    ensembling : EnsemblingParameters

    Returns
    -------
    calibrated : numpy.ndarray of float64, shape (n_rows,)
    explanation : str
        Which folds were left as they were, for want of a past.
    """
    label = inputs.label
    out = score.copy()
    left: list[int] = []
    for step in forward_steps(inputs.rows, purge=ensembling.purge):
        learnt = learn_platt(score[step.past], label[step.past])
        if step.n_past_sessions < ensembling.min_past_sessions or learnt is None:
            left.append(step.fold)
            continue
        out[step.now] = learnt.apply(score[step.now])
    folds = ", ".join(str(fold) for fold in left)
    return out, " The ensemble is calibrated on past folds" + (f"; fold {folds} is left as it was." if left else ".")
