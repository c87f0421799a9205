"""Volatility from the day's range, and the parts of a day's return. All need open, high, low and close."""

from __future__ import annotations

import numpy as np

from conviction.features._feature import AT_CLOSE, Definition, Family, FamilyParameters, Feature, Formula
from conviction.features._rows import Floats, Rows, divide
from conviction.features._windows import LongWindows, Window


class RangesParameters(FamilyParameters):
    """Windows of the range family.

    Parameters
    ----------
    windows : tuple of int
        Windows of the Parkinson, Garman-Klass, Rogers-Satchell and Yang-Zhang volatilities.
    atr : int
        Window of the average true range.
    overnight_windows : tuple of int
        Windows of the mean overnight and intraday returns.
    """

    windows: LongWindows = (10, 20, 60)
    atr: Window = 14
    overnight_windows: LongWindows = (5, 20)


FOUR_LN_2 = 2.772588722239781
OHLC = ("open", "high", "low", "close")


def define(parameters: RangesParameters) -> list[Definition]:
    """Define the range features."""
    found = [
        _make(
            "intraday_ret",
            ("open", "close"),
            0,
            "close / open - 1",
            lambda rows: divide(rows["close"], rows["open"]) - 1,
        ),
        _make(
            "overnight_ret", ("open", "close"), 1, "open[t] / close[t-1] - 1", lambda rows: np.expm1(_overnight(rows))
        ),
        _make("range_pct", ("high", "low", "close"), 0, "(high - low) / close", _range),
        _make("close_location", ("high", "low", "close"), 0, "(close - low) / (high - low)", _location),
        _make(
            f"natr_{parameters.atr}",
            ("high", "low", "close"),
            None,
            f"average true range of {parameters.atr} rows in percent of the close (Wilder 1978)",
            lambda rows: rows.talib("NATR", ("high", "low", "close"), timeperiod=parameters.atr)[0],
        ),
    ]
    for window in parameters.windows:
        found += _estimators(window)
    for window in parameters.overnight_windows:
        found += _parts(window)
    return found


def _make(name: str, inputs: tuple[str, ...], lookback: int | None, text: str, formula: Formula) -> Definition:
    return Definition(Feature(name, "ranges", inputs, lookback, AT_CLOSE, text), formula)


def _log_ratio(rows: Rows, numerator: str, denominator: str) -> Floats:
    return rows.remember(
        ("log_ratio", numerator, denominator), lambda: np.log(divide(rows[numerator], rows[denominator]))
    )


def _overnight(rows: Rows) -> Floats:
    return rows.remember("overnight", lambda: np.log(divide(rows["open"], rows.lag(rows["close"], 1))))


def _range(rows: Rows) -> Floats:
    return divide(rows["high"] - rows["low"], rows["close"])


def _location(rows: Rows) -> Floats:
    return divide(rows["close"] - rows["low"], rows["high"] - rows["low"])


def _parkinson(rows: Rows) -> Floats:
    spread = _log_ratio(rows, "high", "low")
    return spread * spread / FOUR_LN_2


def _garman_klass(rows: Rows) -> Floats:
    spread, move = _log_ratio(rows, "high", "low"), _log_ratio(rows, "close", "open")
    return 0.5 * spread * spread - (FOUR_LN_2 / 2.0 - 1.0) * move * move


def _rogers_satchell(rows: Rows) -> Floats:
    up = _log_ratio(rows, "high", "close") * _log_ratio(rows, "high", "open")
    return up + _log_ratio(rows, "low", "close") * _log_ratio(rows, "low", "open")


def _root(values: Floats) -> Floats:
    return np.sqrt(np.maximum(values, 0.0))


def _yang_zhang(rows: Rows, window: int) -> Floats:
    k = 0.34 / (1.34 + (window + 1.0) / (window - 1.0))
    overnight = rows.deviation(_overnight(rows), window) ** 2
    intraday = rows.deviation(_log_ratio(rows, "close", "open"), window) ** 2
    return rows.warm(_root(overnight + k * intraday + (1.0 - k) * rows.mean(_rogers_satchell(rows), window)), window)


def _estimators(window: int) -> list[Definition]:
    return [
        _make(
            f"parkinson_{window}",
            ("high", "low"),
            window - 1,
            f"root of the mean of ln(high/low)^2 / (4 ln 2) over {window} rows (Parkinson 1980)",
            lambda rows: np.sqrt(rows.mean(_parkinson(rows), window)),
        ),
        _make(
            f"garman_klass_{window}",
            OHLC,
            window - 1,
            f"root of the mean of ln(high/low)^2 / 2 - (2 ln 2 - 1) ln(close/open)^2 over {window} rows (Garman, Klass 1980)",
            lambda rows: _root(rows.mean(_garman_klass(rows), window)),
        ),
        _make(
            f"rogers_satchell_{window}",
            OHLC,
            window - 1,
            f"root of the mean of ln(h/c) ln(h/o) + ln(l/c) ln(l/o) over {window} rows (Rogers, Satchell 1991)",
            lambda rows: _root(rows.mean(_rogers_satchell(rows), window)),
        ),
        _make(
            f"yang_zhang_{window}",
            OHLC,
            window,
            f"overnight, intraday and Rogers-Satchell variances over {window} rows, root (Yang, Zhang 2000)",
            lambda rows: _yang_zhang(rows, window),
        ),
    ]


def _parts(window: int) -> list[Definition]:
    return [
        _make(
            f"overnight_mean_{window}",
            ("open", "close"),
            window,
            f"mean of ln(open[t] / close[t-1]) over {window} rows",
            lambda rows: rows.mean(_overnight(rows), window),
        ),
        _make(
            f"intraday_mean_{window}",
            ("open", "close"),
            window - 1,
            f"mean of ln(close / open) over {window} rows",
            lambda rows: rows.mean(_log_ratio(rows, "close", "open"), window),
        ),
    ]


FAMILY = Family("ranges", "symbol", define)
