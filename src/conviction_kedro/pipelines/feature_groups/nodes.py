"""Which group of features tells anything of which symbol: a table with intervals and what luck alone shows."""

from __future__ import annotations

import polars as pl

from conviction.audit import AuditedPanel
from conviction.evaluation import EvaluationParameters
from conviction.features import FEATURE_SETS
from conviction.folds import FoldPlan
from conviction.oof import out_of_fold_by_group
from conviction_kedro import runtime
from conviction_kedro.judging import group_scores, group_text
from conviction_kedro.parameters import GroupParameters


def predict_by_group(
    audited_panel: AuditedPanel, fold_plan: FoldPlan, feature_groups: GroupParameters, seed: int, n_jobs: int
) -> pl.DataFrame:
    """Return out-of-fold predictions of every symbol from each group alone."""
    return out_of_fold_by_group(
        audited_panel,
        fold_plan,
        groups={name: FEATURE_SETS[name] for name in feature_groups.groups},
        target=feature_groups.target,
        model=feature_groups.model,
        seed=seed,
        n_jobs=n_jobs,
        observer=runtime.current().observer,
    )


def score_groups(group_oof: pl.DataFrame, evaluation: EvaluationParameters, seed: int) -> tuple[pl.DataFrame, str]:
    """Return the table of AUCs by symbol and group, and the same in words beside what luck shows."""
    table = group_scores(group_oof, evaluation=evaluation, seed=seed)
    return table, group_text(table)
