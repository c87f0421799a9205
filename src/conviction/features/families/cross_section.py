"""Where a stock stands among the members of its session. Rows outside the universe are neither ranked nor counted."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from conviction.features._feature import AT_CLOSE, Definition, Family, FamilyParameters, Feature, Formula
from conviction.features._rows import Floats, Rows
from conviction.features._sections import demean, deviation, mean, rank, standardise
from conviction.features._windows import LongWindows, Windows
from conviction.features.families.volatility import volatility


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
    """

    rank_windows: Windows = (1, 5, 20, 60)
    demeaned_windows: Windows = (1, 5)
    scored_windows: Windows = (5, 20)
    volatility_windows: LongWindows = (20, 60)


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
    return [*found, _breadth(), _dispersion()]


def _make(name: str, lookback: int, text: str, formula: Formula) -> Definition:
    return Definition(Feature(name, "cross_section", ("close",), lookback, AT_CLOSE, text), formula)


def _of_return(kind: str, statistic: Callable[[Rows, Floats], Floats], window: int, text: str) -> Definition:
    return _make(f"xs_{kind}_ret_{window}d", window, text, lambda rows: statistic(rows, rows.returns(window)))


def _volatility_rank(window: int) -> Definition:
    text = f"rank of vol_{window} in the session, 0 to 1, ties averaged"
    return _make(f"xs_rank_vol_{window}", window, text, lambda rows: rank(rows, volatility(rows, window)))


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
