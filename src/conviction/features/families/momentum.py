"""Trend of the close: skipped momentum, distance to extremes, share of rising days."""

from __future__ import annotations

from typing import Self

from pydantic import Field, model_validator

from conviction.features._feature import AT_CLOSE, Definition, Family, FamilyParameters, Feature
from conviction.features._rows import Floats, Rows, divide
from conviction.features._windows import Lag, LongWindows


class MomentumParameters(FamilyParameters):
    """Windows of the momentum family.

    Parameters
    ----------
    windows : tuple of int
        Windows of `mom_{w}`, of which the newest `skip` rows are left out.
    skip : int
        Newest rows left out: the one-month reversal would hide the trend (Jegadeesh and Titman 1993).
    extreme_windows : tuple of int
        Windows of the distances to the highest and lowest close, and of the drawdown.
    up_windows : tuple of int
        Windows of the share of rising days.
    trend_windows : tuple of int
        Windows of return over volatility and of the path's efficiency.
    """

    windows: LongWindows = (60, 120, 252)
    skip: Lag = Field(default=20)
    extreme_windows: LongWindows = (20, 60, 252)
    up_windows: LongWindows = (10, 20)
    trend_windows: LongWindows = (10, 20, 60)

    @model_validator(mode="after")
    def _leaves_something(self) -> Self:
        short = [window for window in self.windows if window <= self.skip]
        if short:
            message = f"momentum windows {short} are not longer than skip={self.skip}"
            raise ValueError(message)
        return self


def define(parameters: MomentumParameters) -> list[Definition]:
    """Define the momentum features."""
    found = [_momentum(window, parameters.skip) for window in parameters.windows]
    for window in parameters.extreme_windows:
        found += _extremes(window)
    found += [_up_share(window) for window in parameters.up_windows]
    for window in parameters.trend_windows:
        found += _trend(window)
    return found


def _make(name: str, lookback: int, text: str, formula: object) -> Definition:
    return Definition(Feature(name, "momentum", ("close",), lookback, AT_CLOSE, text), formula)  # type: ignore[arg-type]


def _momentum(window: int, skip: int) -> Definition:
    def formula(rows: Rows) -> Floats:
        close = rows["close"]
        return divide(rows.lag(close, skip), rows.lag(close, window)) - 1.0

    return _make(f"mom_{window}", window, f"close[t-{skip}] / close[t-{window}] - 1", formula)


def _extremes(window: int) -> list[Definition]:
    def high(rows: Rows) -> Floats:
        return divide(rows["close"], rows.max(rows["close"], window)) - 1.0

    def low(rows: Rows) -> Floats:
        return divide(rows["close"], rows.min(rows["close"], window)) - 1.0

    reach = window - 1
    return [
        _make(f"close_to_high_{window}", reach, f"close / highest close of {window} rows - 1", high),
        _make(f"close_to_low_{window}", reach, f"close / lowest close of {window} rows - 1", low),
    ]


def _up_share(window: int) -> Definition:
    def formula(rows: Rows) -> Floats:
        change = rows.returns(1)
        rising = (change > 0.0).astype(float)
        rising[change != change] = float("nan")  # noqa: PLR0124 (NaN is the only value that differs from itself)
        return rows.mean(rising, window)

    return _make(f"up_share_{window}", window, f"share of the last {window} one-day returns above zero", formula)


def _trend(window: int) -> list[Definition]:
    def sharpe(rows: Rows) -> Floats:
        returns = rows.log_returns()
        return divide(rows.mean(returns, window), rows.deviation(returns, window))

    def efficiency(rows: Rows) -> Floats:
        returns = rows.log_returns()
        return divide(abs(rows.sum(returns, window)), rows.sum(abs(returns), window))

    return [
        _make(f"trend_{window}", window, f"mean over standard deviation of {window} log returns", sharpe),
        _make(
            f"efficiency_{window}", window, f"|sum| over sum of |.| of {window} log returns (Kaufman 1995)", efficiency
        ),
    ]


FAMILY = Family("momentum", "symbol", define)
