"""Typed parameters of the tuner."""

from __future__ import annotations

from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

ObjectiveName = Literal["auc_daily", "auc_pooled"]


class TuningParameters(BaseModel):
    """How each outer fold searches for its model parameters.

    Parameters
    ----------
    n_trials : int
        Trials a fold; the first is always the model's own parameters as configured.
    objective : {"auc_daily", "auc_pooled", "auto"}
        What a trial is scored by on sessions that its model has not seen: the mean of the cross-sectional AUC of each
        session, or the AUC over all rows (the only one that is defined for a single symbol). "auto" is the first, and the
        second for a single symbol; the ledger says which it was.
    sampler : {"tpe", "random"}
    n_startup_trials : int
        Random trials before TPE begins to model.
    inner_folds : int
        Forward blocks at the end of a fold's training sessions on which a trial is scored, one after the other. With
        1 it is the plan's inner block.
    pruning : bool
        Stop a trial whose first blocks are worse than the median of earlier trials; needs `inner_folds` > 1.
    margin : float
        Standard errors of the paired difference by session by which a trial must beat the configured parameters to
        replace them. 0 takes the best score as it is; 1 or 2 guards against the luckiest of many noisy scores. Needs
        `auc_daily`.
    shared : bool
        Whether other workers add trials to the same storage at the same time. Their running trials are left alone, a
        study may end with a few trials more than `n_trials`, and the order of trials is not repeatable.
    search : dict
        Model name -> dimension -> fields (`low`, `high`, `log`, `choices`) that replace those of the model's table.
    features : dict
        Feature parameters that are searched beside those of every model: name, as `conviction.features.tunable_parameters`
        lists it -> fields that replace those of its range; an empty mapping takes the range as declared. Needs a
        `conviction.oof.TunablePanel`.

    Examples
    --------
    >>> TuningParameters(n_trials=4, search={"xgboost": {"max_depth": {"high": 6}}}).objective
    'auc_daily'
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    n_trials: int = Field(default=5, ge=1)
    objective: ObjectiveName | Literal["auto"] = "auc_daily"
    sampler: Literal["tpe", "random"] = "tpe"
    n_startup_trials: int = Field(default=5, ge=1)
    inner_folds: int = Field(default=1, ge=1)
    pruning: bool = False
    margin: float = Field(default=0.0, ge=0)
    shared: bool = False
    search: dict[str, dict[str, dict[str, Any]]] = Field(default_factory=dict)
    features: dict[str, dict[str, Any]] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _check_together(self) -> Self:
        if self.margin and self.objective == "auc_pooled":
            message = "margin compares trials session by session: it needs objective=auc_daily"
            raise ValueError(message)
        return self

    def objective_for(self, n_symbols: int) -> ObjectiveName:
        """Return the objective on a panel of so many symbols.

        Examples
        --------
        >>> TuningParameters(objective="auto").objective_for(1)
        'auc_pooled'
        """
        if self.objective != "auto":
            return self.objective
        return "auc_daily" if n_symbols > 1 else "auc_pooled"
