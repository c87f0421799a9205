"""What options on the stock imply, where the source gives it."""

from __future__ import annotations

import numpy as np
from pydantic import Field

from conviction.features._feature import AT_DECISION, Definition, Family, FamilyParameters, Feature, Formula, Tunable
from conviction.features._rows import Floats, Rows, divide
from conviction.features._windows import Lag, Window
from conviction.features.families.volatility import volatility

SESSIONS_A_YEAR = 252.0


class OptionsParameters(FamilyParameters):
    """Parameters of the options family; their names keep when they are tuned.

    Parameters
    ----------
    rank_window : int
        Window of `iv_rank`, in own rows.
    rank_weight : float
        Share of the rank (place within the range of the window) in `iv_rank`; the rest is the percentile (share of the
        window's earlier rows below).
    term_window : int
        Rows over which `iv_term_slope` is averaged.
    change_window : int
        Window of `iv_change`.
    premium_window : int
        Window of the realised volatility of `iv_premium`.
    put_call_window : int
        Window of the mean that `put_call_gap` is taken from.
    """

    rank_window: Window = 252
    rank_weight: float = Field(default=0.5, ge=0.0, le=1.0)
    term_window: Lag = 5
    change_window: Lag = 5
    premium_window: Window = 20
    put_call_window: Window = 20


def define(parameters: OptionsParameters) -> list[Definition]:
    """Define the options features."""
    return [*_levels(parameters), *_gaps(parameters)]


def _make(name: str, inputs: tuple[str, ...], lookback: int, text: str, formula: Formula) -> Definition:
    return Definition(Feature(name, "options", inputs, lookback, AT_DECISION, text), formula)


def _levels(parameters: OptionsParameters) -> list[Definition]:
    window, weight, change = parameters.rank_window, parameters.rank_weight, parameters.change_window

    def rank(rows: Rows) -> Floats:
        implied = rows["iv_30d"]
        low, high = rows.min(implied, window), rows.max(implied, window)
        return weight * divide(implied - low, high - low) + (1.0 - weight) * rows.percentile(implied, window)

    return [
        _make("iv_level", ("iv_30d",), 0, "implied volatility of 30 days, annualised", lambda rows: rows["iv_30d"]),
        _make(
            "iv_rank",
            ("iv_30d",),
            window - 1,
            f"{weight:g} * place of iv_30d in its range of {window} rows + {1.0 - weight:g} * its percentile",
            rank,
        ),
        _make(
            "iv_change",
            ("iv_30d",),
            change,
            f"iv_30d[t] / iv_30d[t-{change}] - 1",
            lambda rows: rows.change(rows["iv_30d"], change),
        ),
    ]


def _gaps(parameters: OptionsParameters) -> list[Definition]:
    term, premium, window = parameters.term_window, parameters.premium_window, parameters.put_call_window

    def slope(rows: Rows) -> Floats:
        return rows.mean(divide(rows["iv_60d"], rows["iv_30d"]) - 1.0, term)

    def above_realised(rows: Rows) -> Floats:
        gap: Floats = rows["iv_30d"] - volatility(rows, premium) * np.sqrt(SESSIONS_A_YEAR)
        return gap

    def put_call(rows: Rows) -> Floats:
        ratio = rows["put_call_ratio"]
        return ratio - rows.mean(ratio, window)

    return [
        _make("iv_term_slope", ("iv_30d", "iv_60d"), term - 1, f"mean of {term} rows of iv_60d / iv_30d - 1", slope),
        _make(
            "iv_premium",
            ("iv_30d", "close"),
            premium,
            f"iv_30d less the annualised vol_{premium}",
            above_realised,
        ),
        _make(
            "put_call_gap", ("put_call_ratio",), window - 1, f"put_call_ratio less its mean of {window} rows", put_call
        ),
    ]


TUNABLES = (
    Tunable(name="options.rank_window", kind="int", low=20, high=504, log=True, features=("iv_rank",)),
    Tunable(name="options.rank_weight", kind="float", low=0.0, high=1.0, features=("iv_rank",)),
    Tunable(name="options.term_window", kind="int", low=1, high=60, log=True, features=("iv_term_slope",)),
    Tunable(name="options.change_window", kind="int", low=1, high=60, log=True, features=("iv_change",)),
    Tunable(name="options.premium_window", kind="int", low=5, high=120, log=True, features=("iv_premium",)),
    Tunable(name="options.put_call_window", kind="int", low=5, high=120, log=True, features=("put_call_gap",)),
)
FAMILY = Family("options", "symbol", define, tunables=TUNABLES)
