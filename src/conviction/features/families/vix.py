"""Implied volatility of the market: one value a session, as of the decision."""

from __future__ import annotations

import numpy as np
from pydantic import Field

from conviction.features._feature import AT_DECISION, Definition, Family, FamilyParameters, Feature, Formula, Tunable
from conviction.features._rows import Floats, Rows, divide
from conviction.features._windows import Positive, Window, Windows
from conviction.features.families.market_relative import market_returns

SESSIONS_A_YEAR = 252.0


class VixParameters(FamilyParameters):
    """Parameters of the VIX family; their names keep when they are tuned.

    Parameters
    ----------
    momentum_window : int
        Window of `vix_momentum`, in own rows.
    regime_threshold : float
        Level in VIX points above which `vix_regime` is 1.
    rank_window : int
        Window of `vix_rank` and `vix_to_mean`.
    change_windows : tuple of int
        Windows of `vix_change_{w}d`, in points.
    premium_window : int
        Window of the realised market volatility of `vix_premium`.
    """

    momentum_window: Window = 5
    regime_threshold: Positive = Field(default=20.0)
    rank_window: Window = 252
    change_windows: Windows = (1, 5)
    premium_window: Window = 20


VIX = ("vix_close",)


def define(parameters: VixParameters) -> list[Definition]:
    """Define the VIX features."""
    momentum, threshold, rank = parameters.momentum_window, parameters.regime_threshold, parameters.rank_window
    premium = parameters.premium_window

    def to_mean(rows: Rows) -> Floats:
        return divide(rows["vix_close"], rows.mean(rows["vix_close"], rank)) - 1.0

    def above_realised(rows: Rows) -> Floats:
        realised = rows.deviation(market_returns(rows), premium) * np.sqrt(SESSIONS_A_YEAR) * 100.0
        return rows.warm(rows["vix_close"] - realised, premium)

    return [
        _make("vix_level", VIX, 0, "VIX close in points", lambda rows: rows["vix_close"]),
        *(_change(window) for window in parameters.change_windows),
        _make(
            "vix_momentum",
            VIX,
            momentum,
            f"vix_close[t] / vix_close[t-{momentum}] - 1",
            lambda rows: rows.change(rows["vix_close"], momentum),
        ),
        _make(
            "vix_regime",
            VIX,
            0,
            f"1 where the VIX stands above {threshold:g} points, else 0",
            lambda rows: np.where(
                np.isnan(rows["vix_close"]), np.nan, (rows["vix_close"] > threshold).astype(np.float64)
            ),
        ),
        _make(
            "vix_rank",
            VIX,
            rank - 1,
            f"share of the {rank - 1} rows before with a lower VIX, ties half",
            lambda rows: rows.percentile(rows["vix_close"], rank),
        ),
        _make("vix_to_mean", VIX, rank - 1, f"VIX / its mean of {rank} rows - 1", to_mean),
        _make(
            "vix_premium",
            ("vix_close", "market_close"),
            premium,
            f"VIX less the annualised deviation of {premium} market returns, in points",
            above_realised,
        ),
    ]


def _make(name: str, inputs: tuple[str, ...], lookback: int, text: str, formula: Formula) -> Definition:
    return Definition(Feature(name, "vix", inputs, lookback, AT_DECISION, text), formula)


def _change(window: int) -> Definition:
    return _make(
        f"vix_change_{window}d",
        VIX,
        window,
        f"vix_close[t] - vix_close[t-{window}], in points",
        lambda rows: rows["vix_close"] - rows.lag(rows["vix_close"], window),
    )


TUNABLES = (
    Tunable(name="vix.momentum_window", kind="int", low=2, high=60, log=True, features=("vix_momentum",)),
    Tunable(name="vix.regime_threshold", kind="float", low=12.0, high=40.0, features=("vix_regime",)),
    Tunable(name="vix.rank_window", kind="int", low=20, high=504, log=True, features=("vix_rank", "vix_to_mean")),
    Tunable(name="vix.premium_window", kind="int", low=5, high=120, log=True, features=("vix_premium",)),
)
FAMILY = Family("vix", "symbol", define, tunables=TUNABLES)
