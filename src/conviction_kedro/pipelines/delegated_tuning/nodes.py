"""The search of `modeling` by somebody else: request, launch, collect; what comes back is what a search here would give."""

from __future__ import annotations

from typing import Any

import polars as pl

from conviction.audit import AuditedPanel
from conviction.folds import FoldPlan
from conviction_kedro import runtime
from conviction_kedro.modeling_parameters import ModelingParameters
from conviction_kedro.sagemaker import SageMakerParameters, delegation


def request_tuning(
    audited_panel: AuditedPanel,
    fold_plan: FoldPlan,
    modeling: ModelingParameters,
    sagemaker: SageMakerParameters,
    seed: int,
) -> tuple[dict[str, Any], str, pl.DataFrame]:
    """Return every request with its checks and cost, the same in words, and the records of the jobs; nothing is called."""
    found = delegation.request(
        audited_panel, fold_plan, modeling=modeling, settings=sagemaker, seed=seed, run=runtime.current()
    )
    return found.plan, found.text, found.records


def launch_tuning(
    audited_panel: AuditedPanel,
    fold_plan: FoldPlan,
    tuning_request: dict[str, Any],
    modeling: ModelingParameters,
    sagemaker: SageMakerParameters,
    engine: str,
) -> tuple[dict[str, Any], pl.DataFrame]:
    """Upload data and code, launch the jobs or find those that run already; return their names and attempts."""
    return delegation.launch(
        audited_panel, fold_plan, tuning_request, modeling=modeling, settings=sagemaker, engine=engine
    )


def collect_tuning(
    audited_panel: AuditedPanel,
    fold_plan: FoldPlan,
    tuning_request: dict[str, Any],
    tuning_jobs: dict[str, Any],
    modeling: ModelingParameters,
    sagemaker: SageMakerParameters,
    seed: int,
    engine: str,
) -> tuple[dict[str, Any], pl.DataFrame, pl.DataFrame, pl.DataFrame, dict[str, Any], str, pl.DataFrame]:
    """Watch the jobs to their end and return best parameters, trials, ledger, every training job, and the analysis."""
    found = delegation.gather(
        audited_panel,
        fold_plan,
        tuning_request,
        tuning_jobs,
        modeling=modeling,
        settings=sagemaker,
        seed=seed,
        engine=engine,
        observer=runtime.current().observer,
    )
    tunings = found.tunings
    texts = delegation.analysis_text(found.analysis)
    return tunings.best, tunings.trials, tunings.ledger, found.trials, found.analysis, texts, found.records
