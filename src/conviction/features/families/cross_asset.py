"""Other indices beside the market: their recent and lagged moves, and the stock against them."""

from __future__ import annotations

from pydantic import field_validator

from conviction.features._feature import AT_DECISION, Definition, Family, FamilyParameters, Feature, Formula
from conviction.features._rows import Floats, Rows
from conviction.features._windows import Lags, Windows


class CrossAssetParameters(FamilyParameters):
    """Parameters of the cross-asset family.

    Parameters
    ----------
    references : tuple of str
        Panel columns `{asset}_close`, one value a session as of the decision: a second index, bonds.
    windows : tuple of int
        Windows of `{asset}_ret_{w}d` and `rel_{asset}_{w}d`.
    lags : tuple of int
        Lags of `{asset}_ret_1d_lag{k}`.
    """

    references: tuple[str, ...] = ("qqq_close", "tlt_close")
    windows: Windows = (1, 5)
    lags: Lags = (1, 2)

    @field_validator("references")
    @classmethod
    def _named(cls, references: tuple[str, ...]) -> tuple[str, ...]:
        wrong = [name for name in references if not name.endswith("_close")]
        if wrong:
            message = f"references are panel columns called ..._close, got {wrong}"
            raise ValueError(message)
        return references


def define(parameters: CrossAssetParameters) -> list[Definition]:
    """Define the cross-asset features."""
    found = []
    for column in parameters.references:
        found += [definition for window in parameters.windows for definition in _moves(column, window)]
        found += [_lagged(column, lag) for lag in parameters.lags]
    return found


def _make(name: str, inputs: tuple[str, ...], lookback: int, text: str, formula: Formula) -> Definition:
    return Definition(Feature(name, "cross_asset", inputs, lookback, AT_DECISION, text), formula)


def _returns(rows: Rows, column: str, window: int) -> Floats:
    return rows.remember(("asset_returns", column, window), lambda: rows.change(rows[column], window))


def _moves(column: str, window: int) -> list[Definition]:
    asset = column.removesuffix("_close")
    return [
        _make(
            f"{asset}_ret_{window}d",
            (column,),
            window,
            f"{column}[t] / {column}[t-{window}] - 1",
            lambda rows: _returns(rows, column, window),
        ),
        _make(
            f"rel_{asset}_{window}d",
            ("close", column),
            window,
            f"ret_{window}d minus {asset}_ret_{window}d",
            lambda rows: rows.returns(window) - _returns(rows, column, window),
        ),
    ]


def _lagged(column: str, lag: int) -> Definition:
    asset = column.removesuffix("_close")
    return _make(
        f"{asset}_ret_1d_lag{lag}",
        (column,),
        1 + lag,
        f"{asset}_ret_1d of the row {lag} earlier",
        lambda rows: rows.lag(_returns(rows, column, 1), lag),
    )


FAMILY = Family("cross_asset", "symbol", define)
