"""Volume and liquidity. All need volume, some need the range."""

from __future__ import annotations

import numpy as np

from conviction.features._feature import AT_CLOSE, Definition, Family, FamilyParameters, Feature, Formula
from conviction.features._rows import Floats, Rows, divide
from conviction.features._windows import LongWindows, Window, Windows


class VolumeParameters(FamilyParameters):
    """Windows of the volume family.

    Parameters
    ----------
    ratios : tuple of int
        Windows of `volume_ratio_{w}`.
    scores : tuple of int
        Windows of `volume_z_{w}`.
    amihud : tuple of int
        Windows of `amihud_{w}`.
    turnover : tuple of int
        Windows of `dollar_volume_{w}`.
    vwap : tuple of int
        Windows of `vwap_ratio_{w}`.
    flow : tuple of int
        Windows of the on-balance share and of the correlation of price and volume.
    changes : tuple of int
        Windows of `volume_change_{w}d`.
    spread_window : int
        Window of the Corwin-Schultz and Roll spreads.
    money_flow : int
        Window of the money flow index.
    chaikin : (int, int)
        Fast and slow spans of the Chaikin oscillator.
    """

    ratios: LongWindows = (5, 20, 60)
    scores: LongWindows = (20, 60)
    amihud: LongWindows = (5, 20, 60)
    turnover: LongWindows = (20,)
    vwap: LongWindows = (5, 20)
    flow: LongWindows = (10, 20)
    changes: Windows = (1, 5)
    spread_window: Window = 20
    money_flow: Window = 14
    chaikin: tuple[Window, Window] = (3, 10)


BOTH = ("close", "volume")
BAR = ("high", "low", "close", "volume")


def define(parameters: VolumeParameters) -> list[Definition]:
    """Define the volume features."""
    found = [_ratio(window) for window in parameters.ratios]
    found += [_score(window) for window in parameters.scores]
    found += [_amihud(window) for window in parameters.amihud]
    found += [_turnover(window) for window in parameters.turnover]
    found += [_vwap(window) for window in parameters.vwap]
    for window in parameters.flow:
        found += _flow(window)
    found += [_change(window) for window in parameters.changes]
    return found + _spreads(parameters.spread_window) + _indicators(parameters)


def _make(name: str, inputs: tuple[str, ...], lookback: int | None, text: str, formula: Formula) -> Definition:
    return Definition(Feature(name, "volume", inputs, lookback, AT_CLOSE, text), formula)


def _log_volume(rows: Rows) -> Floats:
    return rows.remember("log_volume", lambda: np.log1p(rows["volume"]))


def _dollars(rows: Rows) -> Floats:
    return rows.remember("dollars", lambda: rows["close"] * rows["volume"])


def _ratio(window: int) -> Definition:
    return _make(
        f"volume_ratio_{window}",
        ("volume",),
        window - 1,
        f"volume / mean volume of {window} rows",
        lambda rows: divide(rows["volume"], rows.mean(rows["volume"], window)),
    )


def _score(window: int) -> Definition:
    def formula(rows: Rows) -> Floats:
        values = _log_volume(rows)
        return divide(values - rows.mean(values, window), rows.deviation(values, window))

    return _make(
        f"volume_z_{window}", ("volume",), window - 1, f"z-score of ln(1 + volume) within {window} rows", formula
    )


def _amihud(window: int) -> Definition:
    def formula(rows: Rows) -> Floats:
        impact = divide(np.abs(rows.returns(1)), _dollars(rows)) * 1e6
        return np.log1p(rows.mean(impact, window))

    text = f"ln(1 + mean of |ret_1d| per million of turnover over {window} rows) (Amihud 2002)"
    return _make(f"amihud_{window}", BOTH, window, text, formula)


def _turnover(window: int) -> Definition:
    return _make(
        f"dollar_volume_{window}",
        BOTH,
        window - 1,
        f"ln(1 + mean of close * volume over {window} rows)",
        lambda rows: np.log1p(rows.mean(_dollars(rows), window)),
    )


def _vwap(window: int) -> Definition:
    def formula(rows: Rows) -> Floats:
        average = divide(rows.sum(_dollars(rows), window), rows.sum(rows["volume"], window))
        return divide(rows["close"], average) - 1.0

    return _make(
        f"vwap_ratio_{window}", BOTH, window - 1, f"close / volume-weighted mean close of {window} rows - 1", formula
    )


def _flow(window: int) -> list[Definition]:
    def balance(rows: Rows) -> Floats:
        signed = np.sign(rows.returns(1)) * rows["volume"]
        return rows.warm(divide(rows.sum(signed, window), rows.sum(rows["volume"], window)), window)

    def correlation(rows: Rows) -> Floats:
        var_x, var_y, covariance = rows.comoments(rows.log_returns(), _log_volume(rows), window)
        return rows.warm(divide(covariance, np.sqrt(var_x * var_y)), window)

    return [
        _make(
            f"obv_share_{window}",
            BOTH,
            window,
            f"volume of rising less of falling rows, over the volume of {window} rows",
            balance,
        ),
        _make(
            f"corr_ret_volume_{window}",
            BOTH,
            window,
            f"correlation of log return and ln(1 + volume) over {window} rows",
            correlation,
        ),
    ]


def _change(window: int) -> Definition:
    return _make(
        f"volume_change_{window}d",
        ("volume",),
        window,
        f"ln(1 + volume[t]) - ln(1 + volume[t-{window}])",
        lambda rows: _log_volume(rows) - rows.lag(_log_volume(rows), window),
    )


def _spreads(window: int) -> list[Definition]:
    def corwin_schultz(rows: Rows) -> Floats:
        high, low = rows["high"], rows["low"]
        single = np.log(divide(high, low)) ** 2
        beta = single + rows.lag(single, 1)
        gamma = np.log(divide(rows.max(high, 2), rows.min(low, 2))) ** 2
        root = 3.0 - 2.0 * np.sqrt(2.0)
        alpha = (np.sqrt(2.0 * beta) - np.sqrt(beta)) / root - np.sqrt(gamma / root)
        spread = 2.0 * np.expm1(alpha) / (1.0 + np.exp(alpha))
        return rows.warm(rows.mean(np.maximum(spread, 0.0), window), window)

    def roll(rows: Rows) -> Floats:
        returns = rows.log_returns()
        _, _, covariance = rows.comoments(returns, rows.lag(returns, 1), window)
        return rows.warm(2.0 * np.sqrt(np.maximum(-covariance, 0.0)), window + 1)

    return [
        _make(
            f"corwin_schultz_{window}",
            ("high", "low"),
            window,
            f"mean over {window} rows of the two-day high-low spread, negative ones as 0 (Corwin, Schultz 2012)",
            corwin_schultz,
        ),
        _make(
            f"roll_spread_{window}",
            ("close",),
            window + 1,
            f"2 sqrt(-cov) of successive log returns over {window} rows, 0 where the covariance is positive (Roll 1984)",
            roll,
        ),
    ]


def _indicators(parameters: VolumeParameters) -> list[Definition]:
    window, (fast, slow) = parameters.money_flow, parameters.chaikin

    def chaikin(rows: Rows) -> Floats:
        line = rows.talib("ADOSC", BAR, fastperiod=fast, slowperiod=slow)[0]
        return divide(line, rows.talib("SMA", ("volume",), timeperiod=20)[0])

    return [
        _make(
            f"mfi_{window}",
            BAR,
            window,
            f"money flow index of {window} rows, 0 to 100",
            lambda rows: rows.talib("MFI", BAR, timeperiod=window)[0],
        ),
        _make(
            "chaikin_osc", BAR, None, f"Chaikin oscillator ({fast}, {slow}) over the mean volume of 20 rows", chaikin
        ),
    ]


FAMILY = Family("volume", "symbol", define)
