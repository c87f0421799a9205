"""The fits of a run as one function of panel, plan and seed: what placebos, further seeds and shadow features repeat."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from conviction.oof import Fits, fit_out_of_fold

if TYPE_CHECKING:
    from conviction_kedro.modeling_parameters import ModelingParameters


def fit_again(
    modeling: ModelingParameters,
    best_parameters: Mapping[str, Any],
    *,
    targets: Sequence[str],
    n_jobs: int,
) -> Callable[..., Fits]:
    """Return ``fit(panel, plan, seed=)``: every model of the run, not the baselines, with the parameters that the run chose."""
    return partial(
        fit_out_of_fold,
        targets=targets,
        models=modeling.models,
        params=best_parameters,
        configured=modeling.configured,
        fitting=modeling.fitting,
        min_train_rows=modeling.fitting.min_train_rows,
        on_missing_extra=modeling.on_missing_extra,
        n_jobs=n_jobs,
    )
