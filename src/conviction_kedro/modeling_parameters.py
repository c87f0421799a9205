"""Typed parameters of `modeling`: which models, how they are fitted, how they are tuned, what is tracked of it."""

from __future__ import annotations

from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from conviction.errors import ConvictionError
from conviction.models import model_spec
from conviction.oof import FittingParameters, Variant
from conviction.tuning import TuningParameters, search_space

_LISTS = ("targets", "models", "baselines", "untuned")


class StudyParameters(TuningParameters):
    """The search of `conviction.tuning`, and where its trials are kept.

    Attributes
    ----------
    storage : str or None
        Address of a database, such as ``postgresql+psycopg://host/studies`` or ``sqlite:///studies.db``. Without it a run has a
        SQLite file of its own below ``data/06_models``, which is gone once the run has saved what it found. User and password
        never stand here: they come from the credentials entry ``tuning_storage`` or from the server's own environment
        variables (``PGUSER``, ``PGPASSWORD``). Changes no result.
    """

    storage: str | None = None

    @field_validator("storage")
    @classmethod
    def _without_password(cls, value: str | None) -> str | None:
        if value is None:
            return None
        from sqlalchemy.engine import make_url
        from sqlalchemy.exc import ArgumentError

        try:
            address = make_url(value)
        except ArgumentError:
            message = "not the address of a database; allowed: sqlite:///file.db or postgresql+psycopg://host/database"
            raise ValueError(message) from None
        if address.password is not None:
            # The value itself must not be shown again, in a message or in a log.
            raise ConvictionError(
                what="modeling.tuning.storage holds a password",
                got=address.render_as_string(hide_password=True),
                allowed="an address without one",
                fix="put username and password into conf/local/credentials.yml under tuning_storage, or set PGPASSWORD",
            )
        return value


class ModelFitting(FittingParameters):
    """How every model is fitted, unless its name says otherwise.

    Attributes
    ----------
    scope : {"pooled", "per_symbol"}
        One model for all symbols, or one for each: `lightgbm` becomes `lightgbm@symbol`.
    min_train_rows : int
        Fewest training rows of a symbol that has a model of its own; one with fewer is left out of the fold, with the reason.
    class_balance : bool
        Weight the two classes equally, in every model that can.
    """

    scope: Literal["pooled", "per_symbol"] = "pooled"
    min_train_rows: int = Field(default=100, ge=2)
    class_balance: bool = False


class ModelingParameters(BaseModel):
    """Which targets and models are fitted, how, and how they are tuned.

    Attributes
    ----------
    targets : tuple of {"direction", "relative"}
    models : tuple of str
        Names of the model registry. `lightgbm+isotonic` and `lightgbm+sigmoid` are calibrated, `lightgbm@symbol` is a model
        for each symbol, `lightgbm+isotonic@symbol` both; several of them may stand side by side. A bare name takes calibration
        and scope from `fitting`. These are the names under which predictions are filed.
    baselines : tuple of str
        Yardsticks that are scored and never combined: base_rate, reversal_1d, momentum.
    tuning : StudyParameters
    fitting : ModelFitting
    parameters : dict
        Name of the registry -> parameters of that model; the first trial of its search, and what is not searched.
    untuned : tuple of str
        Names of the registry that are fitted as configured, without a search.
    on_missing_extra : {"error", "skip"}
        A model whose optional packages are not installed stops the run, or is left out and recorded.
    tracked_trials : int or "all"
        Trials of each study that become child runs, the best of each fold first; the ledger holds all of them.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    targets: tuple[Literal["direction", "relative"], ...] = Field(min_length=1)
    models: tuple[str, ...] = Field(min_length=1)
    baselines: tuple[str, ...] = ()
    tuning: StudyParameters
    fitting: ModelFitting = ModelFitting()
    parameters: dict[str, dict[str, Any]] = Field(default_factory=dict)
    untuned: tuple[str, ...] = ()
    on_missing_extra: Literal["error", "skip"] = "error"
    tracked_trials: int | Literal["all"] = 10

    @model_validator(mode="before")
    @classmethod
    def _name_variants(cls, data: Any) -> Any:
        """Write scope and calibration into the names of the models that do not say them themselves."""
        if not isinstance(data, dict):
            return data
        # On the command line a comma ends a parameter, so a list of names is written with spaces.
        data = {
            name: value.split() if name in _LISTS and isinstance(value, str) else value for name, value in data.items()
        }
        if not isinstance(data.get("models"), list | tuple):
            return data
        given = data.get("fitting") or {}
        try:
            how = given if isinstance(given, ModelFitting) else ModelFitting.model_validate(given)
            named = [_variant(str(label), how).label for label in data["models"]]
        except (ValidationError, ConvictionError):
            return data
        return {**data, "models": named}

    @model_validator(mode="after")
    def _check_names(self) -> Self:
        try:
            for label in self.models:
                variant = Variant.parse(label)
                if variant.calibration is not None and self.fitting.refit:
                    message = f"{label}: fitting.refit uses up the inner block that its calibration needs"
                    raise ValueError(message)
                search_space(variant.model, self.tuning) if variant.spec.capabilities.tunable else None
            for name in (*self.baselines, *self.untuned, *self.parameters):
                model_spec(name)
            for name, values in self.parameters.items():
                model_spec(name).parse(values)
        except ConvictionError as error:
            raise ValueError(str(error)) from None
        strangers = [name for name in self.baselines if not model_spec(name).capabilities.baseline]
        if strangers:
            message = f"baselines {strangers} are models: list them under modeling.models"
            raise ValueError(message)
        twice = sorted({name for name in self.models if (*self.models, *self.baselines).count(name) > 1})
        if twice:
            message = f"{twice} would be fitted twice"
            raise ValueError(message)
        return self

    @property
    def configured(self) -> dict[str, dict[str, Any]]:
        """Return the parameters of every model of the registry that differ from its defaults."""
        found = {name: dict(values) for name, values in self.parameters.items()}
        if self.fitting.class_balance:
            for name in {Variant.parse(label).model for label in self.models}:
                if "class_balance" in model_spec(name).parameters.model_fields:
                    found[name] = {"class_balance": True} | found.get(name, {})
        return found


def _variant(label: str, how: ModelFitting) -> Variant:
    said = Variant.parse(label)
    if said.spec.capabilities.baseline:
        return said
    return Variant(
        said.model,
        calibration=said.calibration or how.calibration,
        per_symbol=said.per_symbol or how.scope == "per_symbol",
    )
