"""The zoo of feature functions: each leak has the name of its trick and, beside it, the honest twin.

A function takes a long frame ``symbol, date, open, high, low, close, volume`` sorted by symbol and date, and returns
``symbol, date`` and one column ``x``. pandas and polars functions are kept apart by `FunctionCase.library`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

Library = Literal["pandas", "polars"]
FeatureFunction = Callable[[Any], Any]


@dataclass(frozen=True)
class FunctionCase:
    """One feature function of the zoo.

    Parameters
    ----------
    name : str
        Name of the trick; a leak and its twin share it.
    leaky : bool
        Whether the function reads the future.
    library : {"pandas", "polars"}
        What the function takes.
    function : callable
        From bars to features.
    """

    name: str
    leaky: bool
    library: Library
    function: FeatureFunction


FUNCTION_ZOO: list[FunctionCase] = []


def specimen(name: str, library: Library, *, leaky: bool) -> Callable[[FeatureFunction], FeatureFunction]:
    """Register a function in the zoo.

    Examples
    --------
    >>> from conviction.testing import FUNCTION_ZOO
    >>> len({(case.name, case.leaky, case.library) for case in FUNCTION_ZOO}) == len(FUNCTION_ZOO)
    True
    """

    def register(function: FeatureFunction) -> FeatureFunction:
        FUNCTION_ZOO.append(FunctionCase(name, leaky, library, function))
        return function

    return register


def leaky_functions() -> tuple[FunctionCase, ...]:
    """Return the functions that read the future.

    Examples
    --------
    >>> from conviction.testing import leaky_functions
    >>> len(leaky_functions()) >= 30 and all(case.leaky for case in leaky_functions())
    True
    """
    return tuple(case for case in FUNCTION_ZOO if case.leaky)


def honest_functions() -> tuple[FunctionCase, ...]:
    """Return the functions that do not.

    Examples
    --------
    >>> from conviction.testing import honest_functions
    >>> len(honest_functions()) >= 30 and not any(case.leaky for case in honest_functions())
    True
    """
    return tuple(case for case in FUNCTION_ZOO if not case.leaky)
