"""The 158 factors of Qlib's Alpha158 handler (Yang et al. 2020), under Qlib's names, by compiled kernels.

Three departures, each towards honesty: a value is null until its window is full (Qlib starts with one row), a window counts
the symbol's own rows (Qlib inserts an empty row for a session the symbol misses), and what divides by a volume of zero, or
by a turnover-weighted move that was zero all window long, is null (Qlib divides by 1e-12, and shows rounding as millions),
as is a correlation of volume changes with a change from a volume of zero in its window (Qlib leaves that row out).
"""

from __future__ import annotations

from conviction.features._alpha158 import BAR, GROUPS, Group, Narrow, kbar, lagged_close, price_ratio
from conviction.features._feature import AT_CLOSE, Definition, Family, FamilyParameters, Feature, Formula
from conviction.features._rows import Rows
from conviction.features._windows import LongWindows


class Alpha158Parameters(FamilyParameters):
    """Windows of the Alpha158 family.

    Parameters
    ----------
    windows : tuple of int
        Rolling windows d of the factors NAMEd, each at least 2.
    """

    windows: LongWindows = (5, 10, 20, 30, 60)


KBARS = {
    "KMID": "(close - open) / open",
    "KLEN": "(high - low) / open",
    "KMID2": "(close - open) / (high - low)",
    "KUP": "(high - max(open, close)) / open",
    "KUP2": "(high - max(open, close)) / (high - low)",
    "KLOW": "(min(open, close) - low) / open",
    "KLOW2": "(min(open, close) - low) / (high - low)",
    "KSFT": "(2 close - high - low) / open",
    "KSFT2": "(2 close - high - low) / (high - low)",
}
PRICES = ("open", "high", "low", "vwap")


def define(parameters: Alpha158Parameters) -> list[Definition]:
    """Define the factors."""
    found = [_make(name, BAR, 0, text, kbar(name)) for name, text in KBARS.items()]
    found += [
        _make(f"{column.upper()}0", (column, "close"), 0, f"{column} / close", price_ratio(column)) for column in PRICES
    ]
    windows = parameters.windows
    found += [_make(f"ROC{w}", ("close",), w, f"close[t-{w}] / close[t]", lagged_close(w)) for w in windows]
    for group in GROUPS:
        for stem, text in group.factors.items():
            for window in windows:
                formula = _of_group(group, windows, stem, window)
                found.append(
                    _make(f"{stem}{window}", group.inputs, window - group.first, text.format(d=window), formula)
                )
    return found


def _make(name: str, inputs: tuple[str, ...], lookback: int, text: str, formula: Formula) -> Definition:
    return Definition(Feature(name, "alpha158", inputs, lookback, AT_CLOSE, text), formula)


def _of_group(group: Group, windows: tuple[int, ...], stem: str, window: int) -> Formula:
    def formula(rows: Rows) -> Narrow:
        columns = rows.remember(("alpha158", group.name, windows), lambda: group.compute(rows, windows))
        return columns[stem, window]

    return formula


FAMILY = Family("alpha158", "symbol", define, compiled=True)
