"""A small planted panel with its plan, out-of-fold predictions and the fits of every fold."""

from __future__ import annotations

from dataclasses import dataclass
from types import SimpleNamespace

import polars as pl
import pytest

from conviction.ensembling import EnsemblingParameters
from conviction.folds import FoldParameters, FoldPlan, make_fold_plan
from conviction.oof import fit_out_of_fold
from conviction.testing import planted_panel

MODELS = ("lightgbm", "logistic", "xgboost")
FOLDS = FoldParameters(purge=1, embargo=5, holdout_sessions=40, n_folds=3, min_train_sessions=120, inner_fraction=0.2)
ENSEMBLING = EnsemblingParameters(
    purge=1,
    n_resamples=100,
    challengers=("mean", "past_weighted", "stack_logistic", "stack_mlp", "stack_xgboost"),
)


@dataclass
class Small:
    audited: SimpleNamespace
    plan: FoldPlan
    oof: pl.DataFrame
    models: dict
    names: tuple = MODELS
    folds: FoldParameters = FOLDS
    ensembling: EnsemblingParameters = ENSEMBLING


@pytest.fixture(scope="session")
def small():
    panel = planted_panel(n_symbols=12, n_sessions=420, n_features=6, planted_auc=0.6, seed=3, missing=0.01)
    plan = make_fold_plan(panel.labels, folds=FOLDS)
    audited = SimpleNamespace(
        frame=panel.frame, features=panel.features, targets=panel.targets, certificate=SimpleNamespace(sha="c" * 64, code_sha="d" * 64, plan_sha=plan.hash)
    )  # fmt: skip
    fits = fit_out_of_fold(audited, plan, targets=("relative",), models=MODELS, params={}, seed=1)
    return Small(audited, plan, fits.predictions, fits.models)
