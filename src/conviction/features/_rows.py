"""Rows of a panel as flat arrays, and window statistics that read nothing outside their window.

Every window statistic adds up the lags of a window in one fixed order, for all rows at once. So a value is a function of
the rows of its window alone, to the last bit: not of the rows before it, behind it or of other symbols. Running sums
would be cheaper by a factor, but their rounding remembers the whole past of a symbol.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, TypeVar

import numpy as np
import polars as pl
from numpy.typing import NDArray

from conviction.frames import BAR_END, SESSION, SYMBOL

Floats = NDArray[np.float64]
T = TypeVar("T")
Within = Literal["symbol", "session"]


class Rows:
    """Consecutive rows of a panel, whole symbols only, as float64 arrays with NaN for what is missing.

    Parameters
    ----------
    frame : polars.DataFrame
        Panel rows sorted by their key.
    within : {"symbol", "session"}
        What a window may not reach out of: the symbol, or (intraday) the symbol's session.

    Attributes
    ----------
    height : int
        Number of rows.
    starts : ndarray of int64, shape (n_symbols + 1,)
        Row at which each symbol begins, and the height.
    position : ndarray of int64, shape (height,)
        Number of earlier rows of the same symbol (and session, where windows stay within it).

    Examples
    --------
    >>> from datetime import date
    >>> days = [date(2020, 1, 2), date(2020, 1, 3)]
    >>> rows = Rows(pl.DataFrame({"symbol": ["A", "A"], "session": days, "close": [1.0, 1.5]}))
    >>> rows.change(rows["close"], 1).tolist()
    [nan, 0.5]
    """

    def __init__(self, frame: pl.DataFrame, within: Within = "symbol") -> None:
        self._frame = frame
        self.height = frame.height
        owner = frame[SYMBOL] if within == "symbol" else frame.select(pl.struct(SYMBOL, SESSION)).to_series()
        run = owner.rle_id().to_numpy()
        self.starts = np.append(np.flatnonzero(np.diff(run, prepend=-1) != 0), self.height).astype(np.int64)
        self.position: NDArray[np.int64] = np.arange(self.height, dtype=np.int64) - self.starts[run]
        self._memory: dict[Any, Any] = {}

    def __getitem__(self, column: str) -> Floats:
        """Return a numeric column as float64, NaN for null."""
        # A copy is writable whether or not there are nulls: kernels are compiled for one kind of array.
        return self.remember(("column", column), lambda: np.array(self._frame[column].cast(pl.Float64)))

    def __contains__(self, column: str) -> bool:
        return column in self._frame.columns

    def series(self, column: str) -> pl.Series:
        """Return a column as it stands in the panel."""
        return self._frame[column]

    def sessions(self) -> NDArray[np.datetime64]:
        """Return the sessions as datetime64[D]."""
        found: NDArray[np.datetime64] = self._frame[SESSION].to_numpy().astype("datetime64[D]")
        return found

    def session_codes(self) -> NDArray[np.int64]:
        """Return for each row the index of its session (intraday: of its bar) among the sorted ones of these rows."""
        moment = BAR_END if BAR_END in self else SESSION
        return self.remember("codes", lambda: self._frame[moment].rank("dense").cast(pl.Int64).to_numpy() - 1)

    def remember(self, key: Any, make: Callable[[], T]) -> T:
        """Return what `make` gave for this key the first time: features share their parts."""
        if key not in self._memory:
            self._memory[key] = make()
        found: T = self._memory[key]
        return found

    # -- single lags -------------------------------------------------------------------------------------------------

    def warm(self, values: Floats, lookback: int) -> Floats:
        """Blank, in place, the rows that have fewer than `lookback` earlier rows of their symbol."""
        values[self.position < lookback] = np.nan
        return values

    def lag(self, values: Floats, lag: int) -> Floats:
        """Return the value `lag` own rows earlier, NaN where there is none."""
        out = np.full(self.height, np.nan)
        if lag < self.height:
            out[lag:] = values[: self.height - lag]
        return self.warm(out, lag)

    def change(self, values: Floats, lag: int) -> Floats:
        """Return values[t] / values[t - lag] - 1."""
        return divide(values, self.lag(values, lag)) - 1.0

    def returns(self, lag: int = 1) -> Floats:
        """Return the simple return of the close over `lag` own rows."""
        return self.remember(("returns", lag), lambda: self.change(self["close"], lag))

    def log_returns(self) -> Floats:
        """Return log(close[t] / close[t - 1])."""
        return self.remember("log_returns", lambda: np.log(divide(self["close"], self.lag(self["close"], 1))))

    # -- windows of w rows, row t included ---------------------------------------------------------------------------

    def _fold(self, values: Floats, window: int, step: Callable[..., Any]) -> Floats:
        out = values.copy()
        for lag in range(1, min(window, self.height)):
            tail = out[lag:]
            step(tail, values[: self.height - lag], out=tail)
        return self.warm(out, window - 1)

    def sum(self, values: Floats, window: int) -> Floats:
        """Return the sum over the window."""
        return self._fold(values, window, np.add)

    def mean(self, values: Floats, window: int) -> Floats:
        """Return the mean over the window."""
        return self.sum(values, window) / window

    def max(self, values: Floats, window: int) -> Floats:
        """Return the largest value of the window, NaN where one is missing."""
        return self._fold(values, window, np.maximum)

    def min(self, values: Floats, window: int) -> Floats:
        """Return the smallest value of the window, NaN where one is missing."""
        return self._fold(values, window, np.minimum)

    def comoments(self, x: Floats, y: Floats, window: int) -> tuple[Floats, Floats, Floats]:
        """Return the window's (variance of x, variance of y, covariance), divisor window - 1.

        Sums are taken of differences to row t, so that prices far from zero lose no digits.
        """
        # Lag 0 differs from itself by nothing, but must be there: a missing value stays missing.
        sx, sy, qx, qy = x - x, y - y, x - x, y - y
        qxy = sx + sy
        for lag in range(1, min(window, self.height)):
            dx = x[: self.height - lag] - x[lag:]
            dy = y[: self.height - lag] - y[lag:]
            sx[lag:] += dx
            sy[lag:] += dy
            qx[lag:] += dx * dx
            qy[lag:] += dy * dy
            qxy[lag:] += dx * dy
        n, m = float(window), float(window - 1)
        var_x = self.warm(np.maximum(qx - sx * sx / n, 0.0) / m, window - 1)
        var_y = self.warm(np.maximum(qy - sy * sy / n, 0.0) / m, window - 1)
        return var_x, var_y, self.warm((qxy - sx * sy / n) / m, window - 1)

    def deviation(self, values: Floats, window: int) -> Floats:
        """Return the sample standard deviation over the window (divisor window - 1)."""
        total = values - values
        square = values - values
        for lag in range(1, min(window, self.height)):
            step = values[: self.height - lag] - values[lag:]
            total[lag:] += step
            square[lag:] += step * step
        variance = np.maximum(square - total * total / window, 0.0) / (window - 1)
        return self.warm(np.sqrt(variance), window - 1)

    def percentile(self, values: Floats, window: int) -> Floats:
        """Return the share of the window's earlier rows below the newest value, ties half; in [0, 1]."""
        below = values - values
        for lag in range(1, min(window, self.height)):
            new, old = values[lag:], values[: self.height - lag]
            below[lag:] += (old < new) + 0.5 * (old == new) + (old - old)
        return self.warm(below / (window - 1), window - 1)

    # -- TA-Lib ------------------------------------------------------------------------------------------------------

    def runs(self, inputs: tuple[Floats, ...]) -> list[tuple[int, int]]:
        """Return (begin, end) of the longest stretches of rows of one symbol in which no input is missing.

        TA-Lib's running sums never recover from a NaN, and it knows no symbols: each stretch is computed by itself, so
        the warm-up starts anew after a gap.
        """
        good = np.ones(self.height, dtype=bool)
        for values in inputs:
            good &= np.isfinite(values)
        if good.all():
            return list(zip(self.starts[:-1].tolist(), self.starts[1:].tolist(), strict=True))
        begins = good & ((self.position == 0) | ~np.roll(good, 1))
        last = np.zeros(self.height, dtype=bool)
        last[self.starts[1:] - 1] = True
        ends = good & (last | ~np.roll(good, -1))
        return list(zip(np.flatnonzero(begins).tolist(), (np.flatnonzero(ends) + 1).tolist(), strict=True))

    def talib(self, name: str, inputs: tuple[str, ...], **options: float) -> tuple[Floats, ...]:
        """Return the outputs of a TA-Lib function of panel columns, computed symbol by symbol."""
        return self.remember(
            (name, inputs, tuple(sorted(options.items()))),
            lambda: self.talib_of(name, tuple(self[column] for column in inputs), **options),
        )

    def talib_of(self, name: str, inputs: tuple[Floats, ...], **options: float) -> tuple[Floats, ...]:
        """Return the outputs of a TA-Lib function of any arrays, computed symbol by symbol."""
        import talib.abstract

        function = getattr(talib, name)
        outputs: list[Floats] = [np.full(self.height, np.nan) for _ in talib.abstract.Function(name).output_names]  # type: ignore[attr-defined]
        for begin, end in self.runs(inputs):
            found = function(*(values[begin:end] for values in inputs), **options)
            parts = found if isinstance(found, tuple) else (found,)
            for output, part in zip(outputs, parts, strict=True):
                output[begin:end] = part
        return tuple(outputs)

    # -- cross-sections ----------------------------------------------------------------------------------------------

    def members(self) -> NDArray[np.bool_]:
        """Return which rows belong to the universe of their session; all where the panel does not say."""
        if "in_universe" not in self:
            return np.ones(self.height, dtype=bool)
        found: NDArray[np.bool_] = self._frame["in_universe"].fill_null(value=False).to_numpy()
        return found


def divide(numerator: Floats, denominator: Floats) -> Floats:
    """Divide; NaN, never infinity or a warning, where the denominator is zero.

    Examples
    --------
    >>> divide(np.array([1.0, 1.0]), np.array([2.0, 0.0])).tolist()
    [0.5, nan]
    """
    out = np.full(np.broadcast(numerator, denominator).shape, np.nan)
    np.divide(numerator, denominator, out=out, where=denominator != 0.0)
    return out
