"""Simple returns over several windows, and the same returns as they stood earlier."""

from __future__ import annotations

from conviction.features._feature import AT_CLOSE, Definition, Family, FamilyParameters, Feature
from conviction.features._windows import Lags, Windows


class ReturnsParameters(FamilyParameters):
    """Windows of returns.

    Parameters
    ----------
    windows : tuple of int
        Windows of `ret_{w}d`, in own rows.
    lagged : tuple of int
        Windows of `ret_{w}d_lag{k}`.
    lags : tuple of int
        The k of `ret_{w}d_lag{k}`, in own rows.
    single_day_lags : tuple of int
        Further lags of the one-day return alone.
    """

    windows: Windows = (1, 2, 3, 5, 10, 20, 60)
    lagged: Windows = (1, 3, 5)
    lags: Lags = (1,)
    single_day_lags: Lags = (2, 3, 4, 5)


def define(parameters: ReturnsParameters) -> list[Definition]:
    """Define the returns."""
    found = [_plain(window) for window in parameters.windows]
    pairs = [(window, lag) for window in parameters.lagged for lag in parameters.lags]
    pairs += [(1, lag) for lag in parameters.single_day_lags if (1, lag) not in pairs]
    return found + [_lagged(window, lag) for window, lag in pairs]


def _plain(window: int) -> Definition:
    text = f"close[t] / close[t-{window}] - 1"
    return Definition(
        Feature(f"ret_{window}d", "returns", ("close",), window, AT_CLOSE, text), lambda rows: rows.returns(window)
    )


def _lagged(window: int, lag: int) -> Definition:
    text = f"ret_{window}d of the symbol's row {lag} earlier"
    return Definition(
        Feature(f"ret_{window}d_lag{lag}", "returns", ("close",), window + lag, AT_CLOSE, text),
        lambda rows: rows.lag(rows.returns(window), lag),
    )


FAMILY = Family("returns", "symbol", define)
