"""Room `testing`: honest datasets, the zoo of planted leaks and synthetic markets, shipped for tests of one's own."""

from conviction.testing import (  # noqa: F401 (they register)
    _functions_pandas,
    _functions_polars,
    _functions_rare,
    _leak_kinds_copies,
    _leak_kinds_disguised,
    _leak_kinds_future,
    _leak_kinds_labels,
    _leak_kinds_windows,
)
from conviction.testing._clean_datasets import VARIANTS, Dataset, make_clean_dataset
from conviction.testing._feature_conformance import FEATURE_CHECKS, check_features
from conviction.testing._leaky_datasets import LEAK_KINDS, LeakKind, Patient, PlantedCase, can_plant, leak, plant_leak
from conviction.testing._leaky_functions import FUNCTION_ZOO, FunctionCase, honest_functions, leaky_functions, specimen
from conviction.testing._model_conformance import MODEL_CHECKS, check_model
from conviction.testing._planted_panel import PlantedPanel, planted_panel
from conviction.testing._splitter_conformance import SPLITTER_CHECKS, Conformance, check_splitter, splits_of_plan
from conviction.testing._synthetic_market import SyntheticMarket, is_synthetic, synthetic_market

__all__ = [
    "FEATURE_CHECKS",
    "FUNCTION_ZOO",
    "LEAK_KINDS",
    "MODEL_CHECKS",
    "SPLITTER_CHECKS",
    "VARIANTS",
    "Conformance",
    "Dataset",
    "FunctionCase",
    "LeakKind",
    "Patient",
    "PlantedCase",
    "PlantedPanel",
    "SyntheticMarket",
    "can_plant",
    "check_features",
    "check_model",
    "check_splitter",
    "honest_functions",
    "is_synthetic",
    "leak",
    "leaky_functions",
    "make_clean_dataset",
    "plant_leak",
    "planted_panel",
    "specimen",
    "splits_of_plan",
    "synthetic_market",
]
