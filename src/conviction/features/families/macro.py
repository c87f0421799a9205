"""Macroeconomic series, each as it was known at the decision: by release, never by reference period."""

from __future__ import annotations

from pydantic import field_validator

from conviction.features._feature import AT_DECISION, Definition, Family, FamilyParameters, Feature, Tunable
from conviction.features._rows import Floats, Rows, divide
from conviction.features._windows import Lag, Window


class MacroParameters(FamilyParameters):
    """Parameters of the macro family.

    Parameters
    ----------
    series : tuple of str
        Panel columns, `macro_` and the series' identifier at its source in lower case.
    change_window : int
        Window of `{series}_change`, in own rows.
    score_window : int
        Window of `{series}_z`.
    """

    series: tuple[str, ...] = ("macro_dgs10", "macro_t10y2y", "macro_unrate", "macro_cpiaucsl")
    change_window: Lag = 20
    score_window: Window = 252

    @field_validator("series")
    @classmethod
    def _named(cls, series: tuple[str, ...]) -> tuple[str, ...]:
        wrong = [name for name in series if not name.startswith("macro_")]
        if wrong:
            message = f"macro series are panel columns called macro_..., got {wrong}"
            raise ValueError(message)
        return series


def define(parameters: MacroParameters) -> list[Definition]:
    """Define the macro features."""
    found = []
    for series in parameters.series:
        found += _of_series(series, parameters.change_window, parameters.score_window)
    return found


def _of_series(series: str, change: int, score: int) -> list[Definition]:
    def standing(rows: Rows) -> Floats:
        values = rows[series]
        return divide(values - rows.mean(values, score), rows.deviation(values, score))

    def make(suffix: str, lookback: int, text: str) -> Feature:
        return Feature(f"{series}{suffix}", "macro", (series,), lookback, AT_DECISION, text)

    return [
        Definition(make("_level", 0, f"{series} as released by the decision"), lambda rows: rows[series]),
        Definition(
            make("_change", change, f"{series}[t] - {series}[t-{change}]"),
            lambda rows: rows[series] - rows.lag(rows[series], change),
        ),
        Definition(
            make("_z", score - 1, f"z-score of {series} within {score} rows; null where it stands still"), standing
        ),
    ]


TUNABLES = (
    Tunable(name="macro.change_window", kind="int", low=1, high=252, log=True, features=("macro_*_change",)),
    Tunable(name="macro.score_window", kind="int", low=20, high=504, log=True, features=("macro_*_z",)),
)
FAMILY = Family("macro", "symbol", define, tunables=TUNABLES)
