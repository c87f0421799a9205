"""Past-only features: each declares inputs, look-back and availability, and is computed by one family of a closed registry.

Examples
--------
>>> from conviction.features import FEATURE_SETS, FeatureParameters
>>> "rsi_14" in FEATURE_SETS["quick"]
True
"""

from __future__ import annotations

from conviction.features._build import FeatureBuild, build_features, build_in_parts
from conviction.features._describe import describe
from conviction.features._feature import Definition, Family, Feature, Tunable
from conviction.features._registry import FAMILIES, definitions
from conviction.features._sets import FEATURE_SETS
from conviction.features._tunable import affected_features, rebuild_features, tunable_parameters, with_tuned
from conviction.features.parameters import FeatureParameters

__all__ = [
    "FAMILIES",
    "FEATURE_SETS",
    "Definition",
    "Family",
    "Feature",
    "FeatureBuild",
    "FeatureParameters",
    "Tunable",
    "affected_features",
    "build_features",
    "build_in_parts",
    "definitions",
    "describe",
    "rebuild_features",
    "tunable_parameters",
    "with_tuned",
]
