"""Groups of Alpha158 factors that share one pass of kernels."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from conviction.features._feature import Formula
from conviction.features._rows import Floats, Rows, divide
from conviction.frames import SYMBOL

Narrow = NDArray[np.float32]
Columns = dict[tuple[str, int], Narrow]
Moments = tuple[Floats, Floats]
Ladder = tuple[NDArray[np.int64], int, dict[int, int]]

BAR = ("open", "high", "low", "close")


@dataclass(frozen=True, slots=True)
class Group:
    """Factors computed together.

    Parameters
    ----------
    name : str
        Name of the pass.
    inputs : tuple of str
        Panel columns read.
    first : int
        1 where a window of d reads d - 1 earlier rows, 0 where it reads d (returns need one row more).
    factors : dict of str to str
        Stem of each factor and its formula; {d} is the window.
    compute : callable
        From rows and windows to Float32 columns by (stem, window).
    """

    name: str
    inputs: tuple[str, ...]
    first: int
    factors: dict[str, str]
    compute: Callable[[Rows, tuple[int, ...]], Columns]


def kbar(name: str) -> Formula:
    """Return the formula of a candle factor."""

    def formula(rows: Rows) -> Floats:
        opening, high, low, close = (rows[column] for column in BAR)
        top = {
            "KMID": lambda: close - opening,
            "KLEN": lambda: high - low,
            "KUP": lambda: high - np.maximum(opening, close),
            "KLOW": lambda: np.minimum(opening, close) - low,
            "KSFT": lambda: 2.0 * close - high - low,
        }[name.rstrip("2")]()
        return divide(top, high - low + 1e-12 if name.endswith("2") else opening)

    return formula


def price_ratio(column: str) -> Formula:
    """Return the formula column / close."""
    return lambda rows: divide(rows[column], rows["close"])


def lagged_close(window: int) -> Formula:
    """Return the formula of ROC."""
    return lambda rows: divide(rows.lag(rows["close"], window), rows["close"])


def _ladder(rows: Rows, windows: tuple[int, ...]) -> Ladder:
    from conviction.features import _kernels

    return rows.remember(("ladder", windows), lambda: _kernels.ladder(windows))


def _slots(rows: Rows, windows: tuple[int, ...], values: Floats) -> Floats:
    _, slots, _ = _ladder(rows, windows)
    found = np.empty((slots, rows.height))
    # Rows that no merge reaches are blanked when written, but must not hold what memory held.
    found[1:, : max(windows)] = np.nan
    found[0] = values
    return found


def _sums(rows: Rows, windows: tuple[int, ...], values: Floats) -> Floats:
    from conviction.features import _kernels

    total = _slots(rows, windows, values)
    _kernels.fold_sums(_ladder(rows, windows)[0], total)
    return total


def _moments(rows: Rows, windows: tuple[int, ...], values: Floats) -> tuple[Floats, Floats]:
    from conviction.features import _kernels

    mean = _slots(rows, windows, values)
    square = _slots(rows, windows, values - values)
    _kernels.fold_moments(_ladder(rows, windows)[0], mean, square)
    return mean, square


def _close_moments(rows: Rows, windows: tuple[int, ...]) -> tuple[Floats, Floats]:
    return rows.remember(("close_moments", windows), lambda: _moments(rows, windows, rows["close"]))


def _empty(rows: Rows, count: int) -> Narrow:
    return np.empty((count, rows.height), dtype=np.float32)


def _volume(rows: Rows) -> Floats:
    """Return the volume, NaN where it is zero: it stands in denominators."""
    return rows.remember("positive_volume", lambda: np.where(rows["volume"] > 0.0, rows["volume"], np.nan))


def _ratio(rows: Rows, column: str) -> Floats:
    return rows.remember(("ratio", column), lambda: divide(rows[column], rows.lag(rows[column], 1)))


def _step(rows: Rows, column: str) -> Floats:
    return rows.remember(("step", column), lambda: rows[column] - rows.lag(rows[column], 1))


def _trend(rows: Rows, windows: tuple[int, ...]) -> Columns:
    from conviction.features import _kernels

    steps, _, slot_of = _ladder(rows, windows)
    close, position = rows["close"], rows.position
    mean, square = _close_moments(rows, windows)
    product = _slots(rows, windows, close - close)
    _kernels.fold_slopes(steps, mean, product)
    found: Columns = {}
    for window, slot in slot_of.items():
        out = _empty(rows, 5)
        _kernels.write_scaled(position, window - 1, mean[slot], 1.0, close, out[0])
        _kernels.write_deviation(position, window - 1, square[slot], window - 1.0, close, out[1])
        _kernels.write_regression(position, window, close, mean[slot], square[slot], product[slot], out[2:])
        found.update(zip(((stem, window) for stem in ("MA", "STD", "BETA", "RSQR", "RESI")), out, strict=True))
    return found


def _extremes(rows: Rows, windows: tuple[int, ...]) -> Columns:
    from conviction.features import _kernels

    steps, _, slot_of = _ladder(rows, windows)
    sides = []
    for values in (rows["high"], -rows["low"]):
        largest, lag = _slots(rows, windows, values), _slots(rows, windows, np.zeros(rows.height))
        _kernels.fold_largest(steps, largest, lag)
        sides.append((largest, lag))
    (highest, lag_high), (lowest, lag_low) = sides
    found: Columns = {}
    for window, slot in slot_of.items():
        out = _empty(rows, 6)
        _kernels.write_extremes(
            rows.position, window, rows["close"], highest[slot], lag_high[slot], lowest[slot], lag_low[slot], out
        )
        stems = ("MAX", "MIN", "RSV", "IMAX", "IMIN", "IMXD")
        found.update(zip(((stem, window) for stem in stems), out, strict=True))
    return found


def _order(rows: Rows, windows: tuple[int, ...]) -> Columns:
    from conviction.features import _kernels

    found: Columns = {}
    for window in windows:
        out = _empty(rows, 3)
        _kernels.ordered_windows(rows["close"], rows.starts, window, np.array([0.2, 0.8]), out[0], out[1], out[2])
        found.update(zip(((stem, window) for stem in ("QTLD", "QTLU", "RANK")), out, strict=True))
    return found


def _correlations(rows: Rows, windows: tuple[int, ...]) -> Columns:
    logs = np.log1p(rows["volume"])
    pair = _close_moments(rows, windows), _moments(rows, windows, logs)
    return _correlate(rows, windows, pair, stem="CORR", first=1)


def _change_correlations(rows: Rows, windows: tuple[int, ...]) -> Columns:
    logs = np.log1p(_ratio(rows, "volume"))
    pair = _moments(rows, windows, _ratio(rows, "close")), _moments(rows, windows, logs)
    return _correlate(rows, windows, pair, stem="CORD", first=0)


def _correlate(
    rows: Rows, windows: tuple[int, ...], pair: tuple[Moments, Moments], *, stem: str, first: int
) -> Columns:
    from conviction.features import _kernels

    steps, _, slot_of = _ladder(rows, windows)
    x, y = pair
    product = _slots(rows, windows, x[1][0] + y[1][0])
    _kernels.fold_products(steps, x[0], y[0], product)
    found: Columns = {}
    for window, slot in slot_of.items():
        out = _empty(rows, 1)[0]
        _kernels.write_correlation(rows.position, window - first, x[1][slot], y[1][slot], product[slot], out)
        found[stem, window] = out
    return found


def _counts(rows: Rows, windows: tuple[int, ...]) -> Columns:
    from conviction.features import _kernels

    slot_of = _ladder(rows, windows)[2]
    step = _step(rows, "close")
    missing = step - step
    up = _sums(rows, windows, (step > 0.0) + missing)
    down = _sums(rows, windows, (step < 0.0) + missing)
    found: Columns = {}
    for window, slot in slot_of.items():
        out = _empty(rows, 3)
        _kernels.write_counts(rows.position, window, up[slot], down[slot], out)
        found.update(zip(((stem, window) for stem in ("CNTP", "CNTN", "CNTD")), out, strict=True))
    return found


def _shares(column: str, stems: tuple[str, str, str]) -> Callable[[Rows, tuple[int, ...]], Columns]:
    def compute(rows: Rows, windows: tuple[int, ...]) -> Columns:
        from conviction.features import _kernels

        step = _step(rows, column)
        up, total = _sums(rows, windows, np.maximum(step, 0.0)), _sums(rows, windows, np.abs(step))
        found: Columns = {}
        for window, slot in _ladder(rows, windows)[2].items():
            out = _empty(rows, 3)
            _kernels.write_share(rows.position, window, up[slot], total[slot], out)
            found.update(zip(((stem, window) for stem in stems), out, strict=True))
        return found

    return compute


def _volumes(rows: Rows, windows: tuple[int, ...]) -> Columns:
    from conviction.features import _kernels

    mean, square = _moments(rows, windows, rows["volume"])
    found: Columns = {}
    for window, slot in _ladder(rows, windows)[2].items():
        out = _empty(rows, 2)
        _kernels.write_scaled(rows.position, window - 1, mean[slot], 1.0, _volume(rows), out[0])
        _kernels.write_deviation(rows.position, window - 1, square[slot], window - 1.0, _volume(rows), out[1])
        found["VMA", window], found["VSTD", window] = out
    return found


def _weighted(rows: Rows, windows: tuple[int, ...]) -> Columns:
    from conviction.features import _kernels

    mean, square = _moments(rows, windows, np.abs(_ratio(rows, "close") - 1.0) * rows["volume"])
    found: Columns = {}
    for window, slot in _ladder(rows, windows)[2].items():
        out = _empty(rows, 1)[0]
        over = np.where(mean[slot] > 0.0, mean[slot], np.nan)
        _kernels.write_deviation(rows.position, window, square[slot], window - 1.0, over, out)
        found["WVMA", window] = out
    return found


GROUPS: tuple[Group, ...] = (
    Group(
        "trend",
        ("close",),
        1,
        {
            "MA": "mean of {d} closes / close",
            "STD": "standard deviation of {d} closes / close",
            "BETA": "slope of {d} closes on time / close",
            "RSQR": "r-square of {d} closes on time; null where they do not move",
            "RESI": "newest residual of {d} closes on time / close",
        },
        _trend,
    ),
    Group(
        "extremes",
        ("high", "low", "close"),
        1,
        {
            "MAX": "highest high of {d} rows / close",
            "MIN": "lowest low of {d} rows / close",
            "RSV": "(close - lowest low) / (highest high - lowest low) of {d} rows",
            "IMAX": "place of the highest high among {d} rows, 1 / {d} oldest to 1 newest",
            "IMIN": "place of the lowest low among {d} rows, 1 / {d} oldest to 1 newest",
            "IMXD": "IMAX{d} - IMIN{d}",
        },
        _extremes,
    ),
    Group(
        "order",
        ("close",),
        1,
        {
            "QTLU": "80 % quantile of {d} closes / close",
            "QTLD": "20 % quantile of {d} closes / close",
            "RANK": "average rank of the close among {d} closes, over {d}",
        },
        _order,
    ),
    Group(
        "correlation",
        ("close", "volume"),
        1,
        {"CORR": "correlation of close and ln(1 + volume) over {d} rows"},
        _correlations,
    ),
    Group(
        "change_correlation",
        ("close", "volume"),
        0,
        {"CORD": "correlation of close[t] / close[t-1] and ln(1 + volume[t] / volume[t-1]) over {d} rows"},
        _change_correlations,
    ),
    Group(
        "counts",
        ("close",),
        0,
        {
            "CNTP": "share of rising closes in {d} rows",
            "CNTN": "share of falling closes in {d} rows",
            "CNTD": "CNTP{d} - CNTN{d}",
        },
        _counts,
    ),
    Group(
        "sums",
        ("close",),
        0,
        {
            "SUMP": "sum of rises / sum of absolute moves of the close in {d} rows",
            "SUMN": "sum of falls / sum of absolute moves of the close in {d} rows",
            "SUMD": "SUMP{d} - SUMN{d}",
        },
        _shares("close", ("SUMP", "SUMN", "SUMD")),
    ),
    Group(
        "volumes",
        ("volume",),
        1,
        {
            "VMA": "mean of {d} volumes / volume; null at volume 0",
            "VSTD": "standard deviation of {d} volumes / volume; null at volume 0",
        },
        _volumes,
    ),
    Group(
        "weighted",
        ("close", "volume"),
        0,
        {
            "WVMA": "standard deviation over mean of |close[t] / close[t-1] - 1| * volume in {d} rows; null where all are 0"
        },
        _weighted,
    ),
    Group(
        "volume_sums",
        ("volume",),
        0,
        {
            "VSUMP": "sum of rises / sum of absolute moves of volume in {d} rows",
            "VSUMN": "sum of falls / sum of absolute moves of volume in {d} rows",
            "VSUMD": "VSUMP{d} - VSUMN{d}",
        },
        _shares("volume", ("VSUMP", "VSUMN", "VSUMD")),
    ),
)


def run_every_kernel() -> None:
    """Compute every group once on two rows, which compiles what is not compiled yet."""
    frame = pl.DataFrame({SYMBOL: ["A", "A"], **{column: [1.0, 2.0] for column in (*BAR, "volume")}})
    rows = Rows(frame)
    for group in GROUPS:
        group.compute(rows, (2,))
