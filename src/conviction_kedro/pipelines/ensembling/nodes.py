"""Combine the models' out-of-fold predictions, forward in time."""

from __future__ import annotations

import polars as pl

from conviction.ensembling import EnsemblingParameters, ensemble_all
from conviction_kedro import runtime
from conviction_kedro.parameters import ModelingParameters


def combine(
    oof: pl.DataFrame, modeling: ModelingParameters, ensembling: EnsemblingParameters, seed: int
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Return the combiners' out-of-fold predictions and, for each target, which one was chosen and why."""
    return ensemble_all(
        oof.filter(pl.col("model").is_in(modeling.models)),
        targets=modeling.targets,
        ensembling=ensembling,
        seed=seed,
        observer=runtime.current().observer,
    )
