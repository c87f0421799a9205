"""Volatility and shape of the distribution of daily returns, from closes alone."""

from __future__ import annotations

import numpy as np

from conviction.features._feature import AT_CLOSE, Definition, Family, FamilyParameters, Feature, Formula, Tunable
from conviction.features._rows import Floats, Rows, divide
from conviction.features._windows import LongWindows, Window


class VolatilityParameters(FamilyParameters):
    """Windows of the volatility family.

    Parameters
    ----------
    windows : tuple of int
        Windows of `vol_{w}`.
    ratios : tuple of (int, int)
        Short and long windows of `vol_ratio_{short}_{long}`.
    downside_windows : tuple of int
        Windows of `downside_vol_{w}`.
    shape_windows : tuple of int
        Windows of skewness, kurtosis and the largest absolute return.
    ewma_span : int
        Span of the exponential volatility, in rows.
    vol_of_vol_window : int
        Window of the deviation of the shortest volatility of `windows`.
    """

    windows: LongWindows = (5, 10, 20, 60)
    ratios: tuple[tuple[Window, Window], ...] = ((5, 20), (20, 60))
    downside_windows: LongWindows = (20,)
    shape_windows: LongWindows = (20, 60)
    ewma_span: Window = 32
    vol_of_vol_window: Window = 20


def define(parameters: VolatilityParameters) -> list[Definition]:
    """Define the volatility features."""
    found = [_volatility(window) for window in parameters.windows]
    found += [_ratio(short, long) for short, long in parameters.ratios]
    found += [_downside(window) for window in parameters.downside_windows]
    for window in parameters.shape_windows:
        found += _shape(window)
    found.append(_ewma(parameters.ewma_span))
    if parameters.windows:
        found.append(_vol_of_vol(min(parameters.windows), parameters.vol_of_vol_window))
    return found


def volatility(rows: Rows, window: int) -> Floats:
    """Return the standard deviation of `window` log returns (divisor window - 1), not annualised."""
    return rows.remember(("volatility", window), lambda: rows.deviation(rows.log_returns(), window))


def _make(name: str, lookback: int | None, text: str, formula: Formula) -> Definition:
    return Definition(Feature(name, "volatility", ("close",), lookback, AT_CLOSE, text), formula)


def _volatility(window: int) -> Definition:
    text = f"standard deviation of {window} log returns"
    return _make(f"vol_{window}", window, text, lambda rows: volatility(rows, window))


def _ratio(short: int, long: int) -> Definition:
    return _make(
        f"vol_ratio_{short}_{long}",
        max(short, long),
        f"vol_{short} / vol_{long}",
        lambda rows: divide(volatility(rows, short), volatility(rows, long)),
    )


def _downside(window: int) -> Definition:
    def formula(rows: Rows) -> Floats:
        losses = np.minimum(rows.log_returns(), 0.0)
        return np.sqrt(rows.mean(losses * losses, window))

    return _make(
        f"downside_vol_{window}", window, f"root mean square of the losses among {window} log returns", formula
    )


def _central(rows: Rows, window: int) -> tuple[Floats, Floats, Floats]:
    """Return the second, third and fourth central moments of the log returns of the window."""

    def make() -> tuple[Floats, Floats, Floats]:
        returns = rows.log_returns()
        mean = rows.mean(returns, window)
        totals = np.zeros((3, rows.height))
        for lag in range(min(window, rows.height)):
            gap = returns[: rows.height - lag] - mean[lag:]
            square = gap * gap
            totals[0, lag:] += square
            totals[1, lag:] += square * gap
            totals[2, lag:] += square * square
        second, third, fourth = (rows.warm(total / window, window) for total in totals)
        return second, third, fourth

    return rows.remember(("central_moments", window), make)


def _shape(window: int) -> list[Definition]:
    def skew(rows: Rows) -> Floats:
        second, third, _ = _central(rows, window)
        return divide(third, second * np.sqrt(second))

    def kurtosis(rows: Rows) -> Floats:
        second, _, fourth = _central(rows, window)
        return divide(fourth, second * second) - 3.0

    return [
        _make(f"skew_{window}", window, f"skewness of {window} log returns (population moments)", skew),
        _make(f"kurt_{window}", window, f"excess kurtosis of {window} log returns (population moments)", kurtosis),
        _make(
            f"max_move_{window}",
            window,
            f"largest absolute log return of {window}",
            lambda rows: rows.max(np.abs(rows.log_returns()), window),
        ),
    ]


def _ewma(span: int) -> Definition:
    def formula(rows: Rows) -> Floats:
        squares = rows.log_returns() ** 2
        return np.sqrt(np.maximum(rows.talib_of("EMA", (squares,), timeperiod=span)[0], 0.0))

    return _make("vol_ewma", None, f"root of the exponential mean (span {span}) of squared log returns", formula)


def _vol_of_vol(short: int, window: int) -> Definition:
    return _make(
        f"vol_of_vol_{window}",
        short + window - 1,
        f"standard deviation over {window} rows of vol_{short}",
        lambda rows: rows.deviation(volatility(rows, short), window),
    )


TUNABLES = (Tunable(name="volatility.ewma_span", kind="int", low=5, high=120, log=True, features=("vol_ewma",)),)
FAMILY = Family("volatility", "symbol", define, tunables=TUNABLES)
