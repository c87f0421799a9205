"""Purged, embargoed folds over sessions, saved as a table of roles keyed by fold and session."""

from conviction.folds._make import contaminated_by, make_fold_plan
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
    "contaminated_by",
    "make_fold_plan",
]
