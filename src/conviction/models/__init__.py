"""One registry of models: estimators, typed parameters, search spaces; preprocessing is part of every fit."""

from conviction.models._block import Block
from conviction.models._calibration import CalibrationKind, calibrate
from conviction.models._describe import describe
from conviction.models._fitted import Estimator, FittedModel
from conviction.models._registry import MODELS, fit_blocks, fit_model, model_spec
from conviction.models._space import Dimension, SearchSpace
from conviction.models._spec import Capabilities, ModelSpec
from conviction.models.parameters import ModelParameters

__all__ = [
    "MODELS",
    "Block",
    "CalibrationKind",
    "Capabilities",
    "Dimension",
    "Estimator",
    "FittedModel",
    "ModelParameters",
    "ModelSpec",
    "SearchSpace",
    "calibrate",
    "describe",
    "fit_blocks",
    "fit_model",
    "model_spec",
]
