"""Close against its moving averages, and averages against each other (TA-Lib)."""

from __future__ import annotations

from conviction.features._feature import AT_CLOSE, Definition, Family, FamilyParameters, Feature, Formula
from conviction.features._rows import divide
from conviction.features._windows import LongWindows, Window


class AveragesParameters(FamilyParameters):
    """Windows of the moving averages.

    Parameters
    ----------
    simple : tuple of int
        Windows of `sma_ratio_{w}`.
    exponential : tuple of int
        Windows of `ema_ratio_{w}`.
    crosses : tuple of (int, int)
        Short and long windows of `sma_cross_{short}_{long}`.
    adaptive : tuple of int
        Windows of `kama_ratio_{w}` (Kaufman's adaptive average).
    """

    simple: LongWindows = (5, 10, 20, 60, 200)
    exponential: LongWindows = (12, 26, 50)
    crosses: tuple[tuple[Window, Window], ...] = ((5, 20), (20, 60), (50, 200))
    adaptive: LongWindows = (30,)


def define(parameters: AveragesParameters) -> list[Definition]:
    """Define the moving-average features."""
    found = [_ratio("sma", "SMA", w, w - 1, "simple") for w in parameters.simple]
    found += [_ratio("ema", "EMA", w, None, "exponential") for w in parameters.exponential]
    found += [_cross(short, long) for short, long in parameters.crosses]
    return found + [_ratio("kama", "KAMA", w, None, "Kaufman's adaptive") for w in parameters.adaptive]


def _make(name: str, lookback: int | None, text: str, formula: Formula) -> Definition:
    return Definition(Feature(name, "averages", ("close",), lookback, AT_CLOSE, text), formula)


def _ratio(stem: str, function: str, window: int, lookback: int | None, kind: str) -> Definition:
    return _make(
        f"{stem}_ratio_{window}",
        lookback,
        f"close / {kind} mean of {window} closes - 1",
        lambda rows: divide(rows["close"], rows.talib(function, ("close",), timeperiod=window)[0]) - 1.0,
    )


def _cross(short: int, long: int) -> Definition:
    return _make(
        f"sma_cross_{short}_{long}",
        max(short, long) - 1,
        f"mean of {short} closes / mean of {long} closes - 1",
        lambda rows: (
            divide(
                rows.talib("SMA", ("close",), timeperiod=short)[0], rows.talib("SMA", ("close",), timeperiod=long)[0]
            )
            - 1.0
        ),
    )


FAMILY = Family("averages", "symbol", define)
