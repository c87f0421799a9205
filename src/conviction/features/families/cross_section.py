"""Where a stock stands among the members of its session. Rows outside the universe are neither ranked nor counted."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from conviction.features._feature import AT_CLOSE, Definition, Family, FamilyParameters, Feature, Formula
from conviction.features._rows import Floats, Rows
from conviction.features._sections import demean, deviation, mean, rank, residual, standardise
from conviction.features._windows import Lags, LongWindows, Window, Windows
from conviction.features.families.volatility import volatility

#: Window of the volatility that stands for risk in the sector-free residuals.
RISK_WINDOW = 60


class CrossSectionParameters(FamilyParameters):
    """Windows of the cross-sectional family.

    Parameters
    ----------
    rank_windows : tuple of int
        Windows of `xs_rank_ret_{w}d`.
    demeaned_windows : tuple of int
        Windows of `xs_demean_ret_{w}d`, the residual after the session's equal-weighted mean.
    scored_windows : tuple of int
        Windows of `xs_z_ret_{w}d`.
    volatility_windows : tuple of int
        Windows of `xs_rank_vol_{w}`.
    residual_windows : tuple of int
        Windows of `xs_resid_ret_{w}d`, which needs no sectors.
    volume_window : int
        Window of `xs_rank_dollar_volume_{w}`.
    lagged_mean : tuple of int
        Lags of the session's mean return: other stocks' moves lead some.
    """

    rank_windows: Windows = (1, 5, 20, 60)
    demeaned_windows: Windows = (1, 5)
    scored_windows: Windows = (5, 20)
    volatility_windows: LongWindows = (20, 60)
    residual_windows: Windows = (1, 5)
    volume_window: Window = 20
    lagged_mean: Lags = (1,)


def define(parameters: CrossSectionParameters) -> list[Definition]:
    """Define the cross-sectional features."""
    found = [
        _of_return("rank", rank, w, f"rank of ret_{w}d in the session, 0 to 1, ties averaged")
        for w in parameters.rank_windows
    ]
    found += [
        _of_return("demean", demean, w, f"ret_{w}d minus the session's mean") for w in parameters.demeaned_windows
    ]
    found += [
        _of_return("z", standardise, w, f"ret_{w}d minus the session's mean, over its standard deviation")
        for w in parameters.scored_windows
    ]
    found += [_volatility_rank(window) for window in parameters.volatility_windows]
    found += [_residual(window) for window in parameters.residual_windows]
    found.append(_turnover_rank(parameters.volume_window))
    found += [_lagged_mean(lag) for lag in parameters.lagged_mean]
    return [*found, _breadth(), _dispersion()]


def _make(name: str, lookback: int, text: str, formula: Formula, inputs: tuple[str, ...] = ("close",)) -> Definition:
    return Definition(Feature(name, "cross_section", inputs, lookback, AT_CLOSE, text), formula)


def _of_return(kind: str, statistic: Callable[[Rows, Floats], Floats], window: int, text: str) -> Definition:
    return _make(f"xs_{kind}_ret_{window}d", window, text, lambda rows: statistic(rows, rows.returns(window)))


def _volatility_rank(window: int) -> Definition:
    text = f"rank of vol_{window} in the session, 0 to 1, ties averaged"
    return _make(f"xs_rank_vol_{window}", window, text, lambda rows: rank(rows, volatility(rows, window)))


def _residual(window: int) -> Definition:
    return _make(
        f"xs_resid_ret_{window}d",
        max(window, RISK_WINDOW),
        f"ret_{window}d less the session's least-squares line on vol_{RISK_WINDOW}",
        lambda rows: residual(rows, rows.returns(window), volatility(rows, RISK_WINDOW)),
    )


def _turnover_rank(window: int) -> Definition:
    def formula(rows: Rows) -> Floats:
        return rank(rows, rows.mean(rows["close"] * rows["volume"], window))

    text = f"rank in the session of the mean of close * volume over {window} rows, 0 to 1, ties averaged"
    return _make(f"xs_rank_dollar_volume_{window}", window - 1, text, formula, ("close", "volume"))


def _lagged_mean(lag: int) -> Definition:
    return _make(
        f"xs_mean_ret_1d_lag{lag}",
        1 + lag,
        f"mean of the members' ret_1d of the row {lag} earlier",
        lambda rows: rows.lag(mean(rows, rows.returns(1)), lag),
    )


def _breadth() -> Definition:
    def formula(rows: Rows) -> Floats:
        returns = rows.returns(1)
        rising = np.where(np.isnan(returns), np.nan, (returns > 0.0).astype(float))
        return mean(rows, rising)

    return _make("xs_breadth", 1, "share of the session's members with ret_1d above zero", formula)


def _dispersion() -> Definition:
    return _make(
        "xs_dispersion",
        1,
        "standard deviation of ret_1d over the session's members",
        lambda rows: deviation(rows, rows.returns(1)),
    )


FAMILY = Family("cross_section", "session", define)
