"""Indicators of the whole bar and further averages of the close, from TA-Lib, scaled to be comparable across symbols."""

from __future__ import annotations

import numpy as np

from conviction.features._feature import AT_CLOSE, Definition, Family, FamilyParameters, Feature, Formula
from conviction.features._rows import Floats, Rows, divide
from conviction.features._windows import LongWindows, Positive, Window


class TechnicalParameters(FamilyParameters):
    """Windows of the technical family.

    Parameters
    ----------
    directional : int
        Window of ADX and the directional indicators (Wilder 1978).
    aroon, cci, williams : int
        Windows of Aroon, the commodity channel index and Williams %R.
    stochastic : (int, int, int)
        Windows of fast %K, slow %K and slow %D (Lane 1984).
    ultimate : (int, int, int)
        Windows of the ultimate oscillator (Williams 1985).
    price_oscillator : (int, int)
        Fast and slow spans of the percentage price oscillator.
    regression : tuple of int
        Windows of the linear regression of closes on time.
    averages : tuple of int
        Windows of the weighted, triangular, double and triple exponential and T3 averages.
    sar_step, sar_limit : float
        Acceleration and its limit of the parabolic stop (Wilder 1978).
    """

    directional: Window = 14
    aroon: Window = 25
    cci: Window = 20
    williams: Window = 14
    stochastic: tuple[Window, Window, Window] = (14, 3, 3)
    ultimate: tuple[Window, Window, Window] = (7, 14, 28)
    price_oscillator: tuple[Window, Window] = (12, 26)
    regression: LongWindows = (14, 50)
    averages: LongWindows = (20,)
    sar_step: Positive = 0.02
    sar_limit: Positive = 0.2


RANGE = ("high", "low", "close")
BAR = ("open", "high", "low", "close")


def define(parameters: TechnicalParameters) -> list[Definition]:
    """Define the technical features."""
    return [
        *_directional(parameters.directional),
        *_aroon(parameters.aroon),
        *_stochastic(*parameters.stochastic),
        *_oscillators(parameters),
        *(definition for window in parameters.regression for definition in _regression(window)),
        *(definition for window in parameters.averages for definition in _averages(window)),
        *_cycle(),
    ]


def _make(name: str, inputs: tuple[str, ...], lookback: int | None, text: str, formula: Formula) -> Definition:
    return Definition(Feature(name, "technical", inputs, lookback, AT_CLOSE, text), formula)


def _plain(
    name: str, function: str, inputs: tuple[str, ...], lookback: int | None, text: str, **options: float
) -> Definition:
    return _make(name, inputs, lookback, text, lambda rows: rows.talib(function, inputs, **options)[0])


def _directional(window: int) -> list[Definition]:
    w = window
    return [
        _plain(f"adx_{w}", "ADX", RANGE, None, f"average directional index of {w} rows, 0 to 100", timeperiod=w),
        _plain(f"plus_di_{w}", "PLUS_DI", RANGE, None, f"plus directional indicator of {w} rows", timeperiod=w),
        _plain(f"minus_di_{w}", "MINUS_DI", RANGE, None, f"minus directional indicator of {w} rows", timeperiod=w),
        _make(
            f"di_spread_{w}",
            RANGE,
            None,
            f"plus less minus directional indicator of {w} rows",
            lambda rows: rows.talib("PLUS_DI", RANGE, timeperiod=w)[0] - rows.talib("MINUS_DI", RANGE, timeperiod=w)[0],
        ),
    ]


def _aroon(window: int) -> list[Definition]:
    sides = ("high", "low")
    text = f"100 less the share of {window} rows since the"
    return [
        _make(
            f"aroon_up_{window}",
            sides,
            window,
            f"{text} highest high, in percent",
            lambda rows: rows.talib("AROON", sides, timeperiod=window)[1],
        ),
        _make(
            f"aroon_down_{window}",
            sides,
            window,
            f"{text} lowest low, in percent",
            lambda rows: rows.talib("AROON", sides, timeperiod=window)[0],
        ),
        _plain(f"aroon_osc_{window}", "AROONOSC", sides, window, "Aroon up less Aroon down", timeperiod=window),
    ]


def _stochastic(fast: int, slow: int, signal: int) -> list[Definition]:
    options = {"fastk_period": fast, "slowk_period": slow, "slowd_period": signal}
    unsmoothed = {"fastk_period": fast, "fastd_period": slow}
    return [
        # STOCH gives %K only where %D is there too; STOCHF smooths as often and waits no longer than it reads.
        _make(
            "stoch_k",
            RANGE,
            fast + slow - 2,
            f"slow %K: mean of {slow} places of the close in its {fast}-row range, 0 to 100",
            lambda rows: rows.talib("STOCHF", RANGE, **unsmoothed)[1],
        ),
        _make(
            "stoch_d",
            RANGE,
            fast + slow + signal - 3,
            f"mean of {signal} slow %K",
            lambda rows: rows.talib("STOCH", RANGE, **options)[1],
        ),
    ]


def _oscillators(parameters: TechnicalParameters) -> list[Definition]:
    cci, williams, (fast, slow) = parameters.cci, parameters.williams, parameters.price_oscillator
    first, second, third = parameters.ultimate
    step, limit = parameters.sar_step, parameters.sar_limit

    def sar(rows: Rows) -> Floats:
        stop = rows.talib("SAR", ("high", "low"), acceleration=step, maximum=limit)[0]
        return divide(rows["close"], stop) - 1.0

    return [
        _plain(f"cci_{cci}", "CCI", RANGE, cci - 1, f"commodity channel index of {cci} rows", timeperiod=cci),
        _plain(
            f"willr_{williams}", "WILLR", RANGE, williams - 1, f"Williams %R of {williams} rows", timeperiod=williams
        ),
        _plain(
            "ultosc",
            "ULTOSC",
            RANGE,
            third,
            f"ultimate oscillator of {first}, {second} and {third} rows",
            timeperiod1=first,
            timeperiod2=second,
            timeperiod3=third,
        ),
        _plain(
            "ppo",
            "PPO",
            ("close",),
            None,
            f"percentage gap of the exponential means of {fast} and {slow} closes",
            fastperiod=fast,
            slowperiod=slow,
            matype=1,
        ),
        _plain("bop", "BOP", BAR, 0, "balance of power: (close - open) / (high - low)"),
        _make("sar_gap", RANGE, None, f"close / parabolic stop ({step:g}, {limit:g}) - 1", sar),
    ]


def _regression(window: int) -> list[Definition]:
    w = window

    def scaled(function: str) -> Formula:
        return lambda rows: divide(rows.talib(function, ("close",), timeperiod=w)[0], rows["close"])

    def gap(rows: Rows) -> Floats:
        return divide(rows["close"], rows.talib("TSF", ("close",), timeperiod=w)[0]) - 1.0

    return [
        _make(
            f"linreg_slope_{w}", ("close",), w - 1, f"slope of {w} closes on time / close", scaled("LINEARREG_SLOPE")
        ),
        _make(f"tsf_gap_{w}", ("close",), w - 1, f"close / straight line of {w} closes one row ahead - 1", gap),
    ]


def _averages(window: int) -> list[Definition]:
    kinds = {
        "wma": ("WMA", window - 1, "linearly weighted"),
        "trima": ("TRIMA", window - 1, "triangular"),
        "dema": ("DEMA", None, "double exponential"),
        "tema": ("TEMA", None, "triple exponential"),
        "t3": ("T3", None, "Tillson's T3"),
    }

    def ratio(function: str) -> Formula:
        return lambda rows: divide(rows["close"], rows.talib(function, ("close",), timeperiod=window)[0]) - 1.0

    return [
        _make(
            f"{stem}_ratio_{window}", ("close",), reach, f"close / {kind} mean of {window} closes - 1", ratio(function)
        )
        for stem, (function, reach, kind) in kinds.items()
    ]


def _cycle() -> list[Definition]:
    def gap(rows: Rows) -> Floats:
        return divide(rows["close"], rows.talib("HT_TRENDLINE", ("close",))[0]) - 1.0

    def sine(rows: Rows) -> Floats:
        return np.sin(np.deg2rad(rows.talib("HT_DCPHASE", ("close",))[0]))

    return [
        _make("ht_trend_gap", ("close",), None, "close / Hilbert instantaneous trendline - 1 (Ehlers 2001)", gap),
        _plain("ht_period", "HT_DCPERIOD", ("close",), None, "dominant cycle in rows, Hilbert transform (Ehlers 2001)"),
        _make("ht_sine", ("close",), None, "sine of the dominant cycle's phase (Ehlers 2001)", sine),
    ]


FAMILY = Family("technical", "symbol", define)
