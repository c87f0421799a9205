"""Search spaces: one table per model, read by the local tuner and by a delegated one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal, Self

from conviction.errors import TuningError

Choice = str | int | float | bool | None


@dataclass(frozen=True, kw_only=True)
class Dimension:
    """One tunable parameter and its range.

    Attributes
    ----------
    name : str
        Name as the model's parameters (and the delegated container) know it.
    kind : {"int", "float", "categorical"}
    low, high : int or float, optional
        Bounds, both included; numeric kinds only.
    log : bool
        Whether the range is searched on a logarithmic scale.
    choices : tuple
        Values of a categorical dimension.

    Raises
    ------
    TuningError
        If nothing, or nothing sensible, can be drawn.

    Examples
    --------
    >>> Dimension(name="eta", kind="float", low=0.01, high=0.3, log=True).name
    'eta'
    """

    name: str
    kind: Literal["int", "float", "categorical"]
    low: float | None = None
    high: float | None = None
    log: bool = False
    choices: tuple[Choice, ...] = ()

    def __post_init__(self) -> None:
        if self.kind == "categorical":
            problem = None if self.choices else "no choices"
        elif self.low is None or self.high is None:
            problem = f"low={self.low}, high={self.high}"
        elif not self.low <= self.high:
            problem = f"low={self.low} above high={self.high}"
        elif self.log and self.low <= 0:
            problem = f"a logarithmic range from {self.low}"
        elif self.kind == "int" and (self.low != int(self.low) or self.high != int(self.high)):
            problem = f"integer bounds {self.low}, {self.high}"
        else:
            problem = None
        if problem:
            raise TuningError(
                what=f"search dimension {self.name!r} is impossible",
                got=problem,
                allowed="choices, or finite low <= high (low > 0 when log, whole numbers when int)",
                fix="correct the range of this parameter in the search space",
            )

    def suggest(self, trial: Any) -> Choice:
        """Ask an Optuna trial for a value."""
        if self.kind == "categorical":
            return trial.suggest_categorical(self.name, list(self.choices))  # type: ignore[no-any-return]
        if self.low is None or self.high is None:  # pragma: no cover - refused in __post_init__
            raise TuningError(what="unbounded dimension", got=self.name, allowed="bounds", fix="give low and high")
        if self.kind == "int":
            return trial.suggest_int(self.name, int(self.low), int(self.high), log=self.log)  # type: ignore[no-any-return]
        return trial.suggest_float(self.name, self.low, self.high, log=self.log)  # type: ignore[no-any-return]


@dataclass(frozen=True)
class SearchSpace:
    """The dimensions of one model, in the order in which they are drawn.

    Examples
    --------
    >>> space = SearchSpace((Dimension(name="C", kind="float", low=0.001, high=1.0, log=True),))
    >>> [dimension.name for dimension in space]
    ['C']
    >>> space.narrowed({"C": {"high": 0.1}})["C"].high
    0.1
    """

    dimensions: tuple[Dimension, ...] = ()

    def __post_init__(self) -> None:
        names = [dimension.name for dimension in self.dimensions]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise TuningError(
                what="a parameter appears twice in one search space",
                got=twice,
                allowed="each once",
                fix="remove the duplicates",
            )

    def __iter__(self) -> Iterator[Dimension]:
        return iter(self.dimensions)

    def __len__(self) -> int:
        return len(self.dimensions)

    def __getitem__(self, name: str) -> Dimension:
        for dimension in self.dimensions:
            if dimension.name == name:
                return dimension
        raise TuningError.from_unknown_name(kind="search dimension", name=name, known=[d.name for d in self.dimensions])

    def suggest(self, trial: Any) -> dict[str, Choice]:
        """Ask an Optuna trial for one value of each dimension."""
        return {dimension.name: dimension.suggest(trial) for dimension in self.dimensions}

    def narrowed(self, overrides: Mapping[str, Mapping[str, Any]]) -> Self:
        """Return the space with some bounds or choices replaced.

        Parameters
        ----------
        overrides : mapping of str to mapping
            Dimension name -> fields of `Dimension` to replace.

        Raises
        ------
        TuningError
            For an unknown dimension or field, or an impossible range.
        """
        changed: dict[str, Dimension] = {}
        for name, fields in overrides.items():
            values: dict[str, Any] = {key: tuple(value) if key == "choices" else value for key, value in fields.items()}
            unknown = sorted(set(values) - {"low", "high", "log", "choices"})
            if unknown:
                raise TuningError.from_unknown_name(
                    kind="search range field", name=unknown[0], known=("low", "high", "log", "choices")
                )
            changed[name] = replace(self[name], **values)
        return type(self)(tuple(changed.get(dimension.name, dimension) for dimension in self.dimensions))
