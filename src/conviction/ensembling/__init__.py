"""One score of many models: averages and stacks learnt forward in time, chosen only when they are better."""

from __future__ import annotations

from conviction.ensembling._all import ensemble_all, ensemble_holdout
from conviction.ensembling._calibration import PlattMap, learn_platt
from conviction.ensembling._combiners import COMBINERS, Combined, ridge_logistic
from conviction.ensembling._ensemble import EnsembleResult, ensemble
from conviction.ensembling._inputs import Inputs, gather
from conviction.ensembling._learn import LearntEnsemble, learn_ensemble
from conviction.ensembling._learnt import LearntCombiner
from conviction.ensembling._placebo import PLACEBO_SCHEMA, placebo_table
from conviction.ensembling.parameters import EnsemblingParameters

__all__ = [
    "COMBINERS",
    "PLACEBO_SCHEMA",
    "Combined",
    "EnsembleResult",
    "EnsemblingParameters",
    "Inputs",
    "LearntCombiner",
    "LearntEnsemble",
    "PlattMap",
    "ensemble",
    "ensemble_all",
    "ensemble_holdout",
    "gather",
    "learn_ensemble",
    "learn_platt",
    "placebo_table",
    "ridge_logistic",
]
