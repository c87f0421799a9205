"""Out-of-fold predictions: fit per fold, predict only sessions that the model has not seen."""

from conviction.oof._all import Fits, ParametersByFold, fit_for_holdout, fit_out_of_fold
from conviction.oof._final import final_plan, fit_on_everything
from conviction.oof._fit import OofResult, holdout_predictions, out_of_fold, out_of_fold_by_symbol
from conviction.oof._groups import FeatureSubset, out_of_fold_by_group
from conviction.oof._jobs import jobs_within_cores
from conviction.oof._partitioned import PartitionedPanel
from conviction.oof._rows import Audited, LabelledRows, check_plan_is_audited
from conviction.oof._task import OOF_KEY, OOF_SCHEMA, fold_blocks, oof_key
from conviction.oof._tunable import FEATURE_PREFIX, TunablePanel, split_parameters, with_features
from conviction.oof._variants import OnMissingExtra, Variant, choose_variants, constant_features, empty_left_out
from conviction.oof._weights import sample_weights
from conviction.oof.parameters import FittingParameters

__all__ = [
    "FEATURE_PREFIX",
    "OOF_KEY",
    "OOF_SCHEMA",
    "Audited",
    "FeatureSubset",
    "Fits",
    "FittingParameters",
    "LabelledRows",
    "OnMissingExtra",
    "OofResult",
    "ParametersByFold",
    "PartitionedPanel",
    "TunablePanel",
    "Variant",
    "check_plan_is_audited",
    "choose_variants",
    "constant_features",
    "empty_left_out",
    "final_plan",
    "fit_for_holdout",
    "fit_on_everything",
    "fit_out_of_fold",
    "fold_blocks",
    "holdout_predictions",
    "jobs_within_cores",
    "oof_key",
    "out_of_fold",
    "out_of_fold_by_group",
    "out_of_fold_by_symbol",
    "sample_weights",
    "split_parameters",
    "with_features",
]
