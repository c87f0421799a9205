"""What a feature declares about itself, and how a family puts features together."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from conviction.features._rows import Rows

#: Moment at which a value is known, in the words every feature uses.
AT_CLOSE = "close of t"
AT_DECISION = "decision of t"
IN_ADVANCE = "before t"

#: Gives one column for all rows; NaN where it cannot be computed.
Formula = Callable[[Rows], NDArray[np.floating[Any]]]


@dataclass(frozen=True, slots=True)
class Feature:
    """The declaration of one feature column.

    Parameters
    ----------
    name : str
        Column name in the feature matrix.
    family : str
        Name of the family that computes it, a key of `FAMILIES`.
    inputs : tuple of str
        Panel columns it reads beside the key; ``("session",)`` for pure calendar features.
    lookback : int or None
        Number of earlier rows of the symbol (earlier sessions, for cross-sectional features) that may change the
        value; 0 reads row t alone, None has no end (exponential means).
    availability : str
        When the value is known: "close of t", "decision of t" (joined as-of), or "before t" (the calendar).
    description : str
        One sentence with the formula.

    Examples
    --------
    >>> Feature("ret_1d", "returns", ("close",), 1, "close of t", "close[t] / close[t-1] - 1").lookback
    1
    """

    name: str
    family: str
    inputs: tuple[str, ...]
    lookback: int | None
    availability: str
    description: str


@dataclass(frozen=True, slots=True)
class Definition:
    """A declared feature and the formula that computes it."""

    feature: Feature
    formula: Formula


@dataclass(frozen=True, slots=True, kw_only=True)
class Tunable:
    """A parameter of a family that may be searched: changing it changes the values of some features, and no name.

    Parameters
    ----------
    name : str
        ``family.field``, as in `FeatureParameters` and in ``--params=features.family.field=...``.
    kind : {"int", "float"}
    low, high : float
        The range to search, both ends included; whole numbers for "int".
    log : bool
        Whether to search on a logarithmic scale.
    features : tuple of str
        The features whose values depend on it, all of them; ``*`` stands for any text (macro series have names of their own).

    Examples
    --------
    >>> Tunable(name="vix.momentum_window", kind="int", low=2, high=60, log=True, features=("vix_momentum",)).family
    'vix'
    """

    name: str
    kind: Literal["int", "float"]
    low: float
    high: float
    log: bool = False
    features: tuple[str, ...]

    @property
    def family(self) -> str:
        """Name of the family."""
        return self.name.split(".", 1)[0]

    @property
    def field(self) -> str:
        """Name of the field of the family's parameters."""
        return self.name.split(".", 2)[1]

    def changes(self, feature: str) -> bool:
        """Say whether a feature of the family depends on this parameter."""
        return any(fnmatchcase(feature, pattern) for pattern in self.features)


@dataclass(frozen=True, slots=True)
class Family:
    """One file of features with their parameters.

    Parameters
    ----------
    name : str
        Key in the registry and field name in `FeatureParameters`.
    scope : {"symbol", "session"}
        "symbol": a value reads rows of its own symbol only. "session": it also reads the other symbols of the session.
    define : callable
        From the family's parameter model to its definitions.
    compiled : bool
        Whether it runs kernels that are compiled at their first use.
    tunables : tuple of Tunable
        Parameters that may be searched, with their ranges.
    """

    name: str
    scope: Literal["symbol", "session"]
    define: Callable[[Any], list[Definition]]
    compiled: bool = False
    tunables: tuple[Tunable, ...] = ()


class FamilyParameters(BaseModel):
    """Base of the parameter models of all families."""

    model_config = ConfigDict(frozen=True, extra="forbid")
