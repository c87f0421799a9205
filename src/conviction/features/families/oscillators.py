"""Oscillators of the close: RSI, MACD, Bollinger bands and their kin, scaled to be comparable across symbols."""

from __future__ import annotations

import numpy as np

from conviction.features._feature import AT_CLOSE, Definition, Family, FamilyParameters, Feature, Formula, Tunable
from conviction.features._rows import Floats, Rows, divide
from conviction.features._windows import LongWindows, Positive, Window


class OscillatorsParameters(FamilyParameters):
    """Windows of the oscillators.

    Parameters
    ----------
    rsi : tuple of int
        Windows of `rsi_{w}` (Wilder 1978).
    macd : tuple of (int, int, int)
        Fast, slow and signal spans (Appel 1979).
    bollinger_window : int
        Window of the bands (Bollinger 1992).
    bollinger_width : float
        Half-width of the bands in standard deviations.
    cmo, trix, stochastic_rsi : int
        Windows of Chande's momentum, the triple exponential mean and the stochastic RSI.
    """

    rsi: LongWindows = (6, 14, 28)
    macd: tuple[Window, Window, Window] = (12, 26, 9)
    bollinger_window: Window = 20
    bollinger_width: Positive = 2.0
    cmo: Window = 14
    trix: Window = 15
    stochastic_rsi: Window = 14


def define(parameters: OscillatorsParameters) -> list[Definition]:
    """Define the oscillators."""
    found = [_rsi(window) for window in parameters.rsi]
    found += _macd(*parameters.macd)
    found += _bollinger(parameters.bollinger_window, parameters.bollinger_width)
    return found + _others(parameters)


def _make(name: str, lookback: int | None, text: str, formula: Formula) -> Definition:
    return Definition(Feature(name, "oscillators", ("close",), lookback, AT_CLOSE, text), formula)


def _rsi(window: int) -> Definition:
    return _make(
        f"rsi_{window}",
        None,
        f"relative strength index of {window} rows, 0 to 100 (Wilder's exponential means)",
        lambda rows: rows.talib("RSI", ("close",), timeperiod=window)[0],
    )


def _macd(fast: int, slow: int, signal: int) -> list[Definition]:
    def part(index: int) -> Formula:
        def formula(rows: Rows) -> Floats:
            options = {"fastperiod": fast, "slowperiod": slow, "signalperiod": signal}
            return divide(rows.talib("MACD", ("close",), **options)[index], rows["close"])

        return formula

    return [
        _make("macd", None, f"(EMA {fast} - EMA {slow}) / close", part(0)),
        _make("macd_signal", None, f"EMA {signal} of EMA {fast} - EMA {slow}, / close", part(1)),
        _make("macd_hist", None, "macd line minus its signal, / close", part(2)),
    ]


def _bollinger(window: int, width: float) -> list[Definition]:
    def bands(rows: Rows) -> tuple[Floats, Floats]:
        # TA-Lib's BBANDS keeps a running sum of squares, whose rounding remembers every large price of the past.
        middle = rows.talib("SMA", ("close",), timeperiod=window)[0]
        return middle, width * np.sqrt((window - 1.0) / window) * rows.deviation(rows["close"], window)

    def percent(rows: Rows) -> Floats:
        middle, half = bands(rows)
        return divide(rows["close"] - middle + half, 2.0 * half)

    def spread(rows: Rows) -> Floats:
        middle, half = bands(rows)
        return divide(2.0 * half, middle)

    where = f"bands of {window} closes, {width:g} standard deviations"
    return [
        _make("bb_pct", window - 1, f"(close - lower) / (upper - lower); {where}", percent),
        _make("bb_width", window - 1, f"(upper - lower) / middle; {where}", spread),
    ]


def _others(parameters: OscillatorsParameters) -> list[Definition]:
    cmo, trix, stochastic = parameters.cmo, parameters.trix, parameters.stochastic_rsi
    return [
        _make(
            f"cmo_{cmo}",
            None,
            f"Chande momentum oscillator of {cmo} rows, -100 to 100",
            lambda rows: rows.talib("CMO", ("close",), timeperiod=cmo)[0],
        ),
        _make(
            f"trix_{trix}",
            None,
            f"one-row change in percent of the triple exponential mean of {trix} closes",
            lambda rows: rows.talib("TRIX", ("close",), timeperiod=trix)[0],
        ),
        _make(
            f"stoch_rsi_{stochastic}",
            None,
            f"place of rsi_{stochastic} within its range of {stochastic} rows, 0 to 100",
            lambda rows: rows.talib(
                "STOCHRSI", ("close",), timeperiod=stochastic, fastk_period=stochastic, fastd_period=3
            )[0],
        ),
    ]


TUNABLES = (
    Tunable(name="oscillators.bollinger_window", kind="int", low=5, high=60, log=True, features=("bb_pct", "bb_width")),
    Tunable(name="oscillators.bollinger_width", kind="float", low=1.0, high=3.0, features=("bb_pct", "bb_width")),
)
FAMILY = Family("oscillators", "symbol", define, tunables=TUNABLES)
