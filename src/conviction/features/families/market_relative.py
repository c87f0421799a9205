"""A stock against the market index, and the index's own recent moves (one value for all symbols of a session)."""

from __future__ import annotations

import numpy as np

from conviction.features._feature import AT_DECISION, Definition, Family, FamilyParameters, Feature, Formula, Tunable
from conviction.features._rows import Floats, Rows, divide
from conviction.features._windows import Lags, LongWindows, Window, Windows


class MarketRelativeParameters(FamilyParameters):
    """Windows of the market-relative family.

    Parameters
    ----------
    windows : tuple of int
        Windows of the stock's return minus the market's.
    market_windows : tuple of int
        Windows of the market's own return.
    market_lags : tuple of int
        Lags of the market's one-day return.
    beta_window : int
        Window of the beta of `resid_market_1d` and `resid_market_{w}d`.
    beta_windows : tuple of int
        Windows of `beta_{w}`, `corr_market_{w}` and `idio_vol_{w}`.
    volatility_windows : tuple of int
        Windows of the market's volatility.
    """

    windows: Windows = (1, 5, 20)
    market_windows: Windows = (1, 5, 20)
    market_lags: Lags = (1, 2)
    beta_window: Window = 60
    beta_windows: LongWindows = (20, 60, 120)
    volatility_windows: LongWindows = (20,)


def define(parameters: MarketRelativeParameters) -> list[Definition]:
    """Define the market-relative features."""
    found = [_relative(window) for window in parameters.windows]
    found += [_market(window) for window in parameters.market_windows]
    found += [_market_lag(lag) for lag in parameters.market_lags]
    for window in parameters.beta_windows:
        found += _betas(window)
    found.append(_residual(parameters.beta_window))
    found.append(_alpha(parameters.beta_window))
    return found + [_market_volatility(window) for window in parameters.volatility_windows]


def _make(name: str, inputs: tuple[str, ...], lookback: int, text: str, formula: Formula) -> Definition:
    return Definition(Feature(name, "market_relative", inputs, lookback, AT_DECISION, text), formula)


BOTH = ("close", "market_close")
MARKET = ("market_close",)


def market_returns(rows: Rows, window: int = 1) -> Floats:
    """Return the market's simple return over the symbol's own last `window` rows."""
    return rows.remember(("market_returns", window), lambda: rows.change(rows["market_close"], window))


def _moments(rows: Rows, window: int) -> tuple[Floats, Floats, Floats]:
    return rows.remember(
        ("market_moments", window), lambda: rows.comoments(rows.returns(1), market_returns(rows), window)
    )


def beta(rows: Rows, window: int) -> Floats:
    """Return the least-squares slope of the stock's one-day returns on the market's over the window."""
    _, variance, covariance = _moments(rows, window)
    return rows.warm(divide(covariance, variance), window)


def _relative(window: int) -> Definition:
    return _make(
        f"rel_market_{window}d",
        BOTH,
        window,
        f"ret_{window}d minus the market's return over the same rows",
        lambda rows: rows.returns(window) - market_returns(rows, window),
    )


def _market(window: int) -> Definition:
    return _make(
        f"market_ret_{window}d",
        MARKET,
        window,
        f"market_close[t] / market_close[t-{window}] - 1",
        lambda rows: market_returns(rows, window),
    )


def _market_lag(lag: int) -> Definition:
    return _make(
        f"market_ret_1d_lag{lag}",
        MARKET,
        1 + lag,
        f"market_ret_1d of the row {lag} earlier",
        lambda rows: rows.lag(market_returns(rows), lag),
    )


def _betas(window: int) -> list[Definition]:
    def correlation(rows: Rows) -> Floats:
        own, market, covariance = _moments(rows, window)
        return rows.warm(divide(covariance, np.sqrt(own * market)), window)

    def idiosyncratic(rows: Rows) -> Floats:
        own, market, covariance = _moments(rows, window)
        return rows.warm(np.sqrt(np.maximum(own - divide(covariance * covariance, market), 0.0)), window)

    return [
        _make(
            f"beta_{window}",
            BOTH,
            window,
            f"slope of {window} one-day returns on the market's",
            lambda rows: beta(rows, window),
        ),
        _make(
            f"corr_market_{window}",
            BOTH,
            window,
            f"correlation of {window} one-day returns with the market's",
            correlation,
        ),
        _make(
            f"idio_vol_{window}",
            BOTH,
            window,
            f"deviation of {window} one-day returns around their market regression",
            idiosyncratic,
        ),
    ]


def _residual(window: int) -> Definition:
    return _make(
        "resid_market_1d",
        BOTH,
        window,
        f"ret_1d - beta * market_ret_1d, beta of {window} rows",
        lambda rows: rows.returns(1) - beta(rows, window) * market_returns(rows),
    )


def _alpha(window: int) -> Definition:
    def formula(rows: Rows) -> Floats:
        own, market = rows.mean(rows.returns(1), window), rows.mean(market_returns(rows), window)
        return rows.warm(own - beta(rows, window) * market, window)

    return _make("alpha_market", BOTH, window, f"intercept of {window} one-day returns on the market's", formula)


def _market_volatility(window: int) -> Definition:
    return _make(
        f"market_vol_{window}",
        MARKET,
        window,
        f"standard deviation of {window} one-day market returns",
        lambda rows: rows.warm(rows.deviation(market_returns(rows), window), window),
    )


TUNABLES = (
    Tunable(
        name="market_relative.beta_window",
        kind="int",
        low=10,
        high=252,
        log=True,
        features=("resid_market_1d", "alpha_market"),
    ),
)
FAMILY = Family("market_relative", "symbol", define, tunables=TUNABLES)
