"""Calibration of a combined score, learnt forward in time."""

from __future__ import annotations

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
    from conviction.ensembling._combiners import ridge_logistic

    label = inputs.label
    out = score.copy()
    left: list[int] = []
    for step in forward_steps(inputs.rows, purge=ensembling.purge):
        past = score[step.past]
        if (
            step.n_past_sessions < ensembling.min_past_sessions
            or len(np.unique(label[step.past])) < 2
            or not np.std(past) > 0
        ):
            left.append(step.fold)
            continue
        centre, spread = past.mean(), past.std()
        intercept, slope = ridge_logistic(((past - centre) / spread)[:, None], label[step.past], penalty=1.0)
        z = intercept + max(slope, _SMALLEST_SLOPE) * (score[step.now] - centre) / spread
        out[step.now] = 1 / (1 + np.exp(-np.clip(z, -35, 35)))
    folds = ", ".join(str(fold) for fold in left)
    return out, " The ensemble is calibrated on past folds" + (f"; fold {folds} is left as it was." if left else ".")
