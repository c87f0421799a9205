"""One entry of the registry: what a model is called, what it takes, what it can do."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from conviction.errors import MissingExtraError, ParameterError
from conviction.models import parameters as p
from conviction.models._fitted import Estimator
from conviction.models._space import SearchSpace


@dataclass(frozen=True, kw_only=True)
class Capabilities:
    """What a model can do, so that callers ask the table and not the name.

    Attributes
    ----------
    uses_inner : bool
        Whether the fit looks at the inner block (early stopping). A model that does not is fitted on train and inner
        together.
    importance : bool
        Whether `FittedModel.importance` returns a table.
    tunable : bool
        Whether there is a search space.
    needs_keys : bool
        Whether rows must carry `symbol` and `session` (sequence models).
    baseline : bool
        Whether it is a yardstick and not a candidate.
    missing : str
        What happens to missing values: "native" or "imputed".
    extra : str or None
        Optional extra of the distribution that must be installed.
    packages : tuple of str
        What that extra brings and the model imports.
    """

    uses_inner: bool = False
    importance: bool = False
    tunable: bool = False
    needs_keys: bool = False
    baseline: bool = False
    missing: str = "native"
    extra: str | None = None
    packages: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class ModelSpec:
    """One registered model.

    Attributes
    ----------
    name : str
    parameters : type of ModelParameters
        Typed parameters with defaults.
    search_space : SearchSpace
    capabilities : Capabilities
    fit : callable
        ``fit(train, inner, params, *, seed, n_threads) -> Estimator``.
    load : callable
        ``load(folder, meta) -> Estimator``.
    """

    name: str
    parameters: type[p.ModelParameters]
    search_space: SearchSpace
    capabilities: Capabilities
    fit: Callable[..., Estimator]
    load: Callable[[Path, dict[str, Any]], Estimator]

    def missing_extra(self) -> MissingExtraError | None:
        """Return the error for the optional extra that this model needs and the environment lacks, or None."""
        for package in self.capabilities.packages:
            if find_spec(package) is None:
                return MissingExtraError.for_extra(
                    feature=f"the model {self.name!r}", package=package, extra=str(self.capabilities.extra)
                )
        return None

    def parse(self, params: Mapping[str, Any] | p.ModelParameters | None) -> p.ModelParameters:
        """Return typed parameters from plain ones.

        Raises
        ------
        ParameterError
            For an unknown name or a value outside its bounds.
        """
        if isinstance(params, self.parameters):
            return params
        plain = params.model_dump(by_alias=True) if isinstance(params, p.ModelParameters) else dict(params or {})
        try:
            return self.parameters.model_validate(plain)
        except ValidationError as error:
            first = error.errors()[0]
            raise ParameterError(
                what=f"parameter {'.'.join(str(part) for part in first['loc'])!r} of model {self.name!r}: {first['msg']}",
                got=repr(first.get("input")),
                allowed=", ".join(self.parameters.model_fields),
                fix="correct the parameters of this model",
            ) from error
