"""Purged, embargoed folds over sessions, saved as a table of roles keyed by fold and session."""

from conviction.folds._make import make_fold_plan, purged_before
from conviction.folds._plan import HOLDOUT_FOLD, ROLES, FoldPlan, Role
from conviction.folds._splitters import SPLITTERS
from conviction.folds.parameters import FoldParameters

__all__ = [
    "HOLDOUT_FOLD",
    "ROLES",
    "SPLITTERS",
    "FoldParameters",
    "FoldPlan",
    "Role",
    "make_fold_plan",
    "purged_before",
]
