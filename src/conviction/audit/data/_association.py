"""Association of a column with what follows, clustered by session: the statistics behind the checks on copies.

All stocks of a day move together, so rows are no sample: every mean is a mean of session values, with a Newey-West
standard error (Newey and West 1987, lag floor(4 (T/100)^(2/9)), at least the horizon).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from conviction.audit.data._context import Context
from conviction.audit.data._panel import Array, ahead, session_mean
from conviction.audit.data._rolling import ewm, lag, rolling_mean


@dataclass(frozen=True)
class Driver:
    """Something that happens after the row: its cross-sectional and within-symbol standard scores."""

    name: str
    horizon: int
    values: Array
    across: Array
    within: Array
    market: Array


@dataclass(frozen=True)
class Strength:
    """Mean association and its standard error over sessions, by how it was measured."""

    driver: str
    kind: str
    mean: float
    error: float
    sessions: int

    def beyond(self, bound: float, z: float) -> bool:
        """Whether the association exceeds `bound` by `z` standard errors."""
        return bool(np.isfinite(self.mean) and abs(self.mean) - z * self.error > bound)


def pooled_ranks(values: Array) -> Array:
    """Return average ranks over all finite cells scaled to (0, 1); NaN stays NaN."""
    flat = values.ravel()
    good = np.isfinite(flat)
    out = np.full(flat.shape, np.nan)
    finite = flat[good]
    if len(finite):
        order = np.argsort(finite)
        ordered = finite[order]
        starts = np.flatnonzero(np.append(True, ordered[1:] != ordered[:-1]))
        length = np.diff(np.append(starts, len(ordered)))
        ranks = np.empty(len(finite))
        ranks[order] = np.repeat(starts + length / 2.0, length)
        out[good] = ranks / len(finite)
    return out.reshape(values.shape)


def standard(values: Array, axis: int, *, least: int = 3) -> Array:
    """Return centred and scaled values along an axis, 0 where missing or constant."""
    good = np.isfinite(values)
    count = good.sum(axis=axis, keepdims=True)
    safe = np.maximum(count, 1)
    mean = np.where(good, values, 0.0).sum(axis=axis, keepdims=True) / safe
    y = np.where(good, values - mean, 0.0)
    spread = np.sqrt((y * y).sum(axis=axis, keepdims=True) / safe)
    # What rounding leaves of a constant is no movement.
    usable = (spread > np.maximum(1e-9, 1e-12 * np.abs(mean))) & (count >= least)
    return np.where(usable, y / np.where(usable, spread, 1.0), 0.0)


def newey_west(series: Array, horizon: int = 1) -> tuple[float, float, int]:
    """Return mean, standard error and number of finite values of a series in time order."""
    x = series[np.isfinite(series)]
    n = len(x)
    if n < 8:
        return float("nan"), float("inf"), n
    mean = float(x.mean())
    y = x - mean
    reach = min(max(int(4 * (n / 100) ** (2 / 9)), 2 * (horizon - 1)), n // 3)
    total = float(y @ y)
    for step in range(1, reach + 1):
        total += 2 * (1 - step / (reach + 1)) * float(y[step:] @ y[:-step])
    floor = float(y @ y) * 0.3
    return mean, float(np.sqrt(max(total, floor)) / n), n


def make_drivers(ctx: Context) -> list[Driver]:
    """Return what follows each row: returns at the targets' horizons, gap, size, volume and range surprises."""
    out = []
    now = ctx.next_return
    out.append(_driver("next return", 1, now))
    horizons = sorted({h for h in ctx.table.targets.values() if 1 < h <= 30})
    close = ctx.panel.price("close")
    if close is not None:
        out += [_driver(f"return over {h} sessions", h, ahead(close, h) / close - 1) for h in horizons]
        out.append(_driver("return of the session after next", 1, ahead(now, 1)))
    out.append(_driver("size of the next move", 1, _size(ctx)))
    opening, high, low, volume = (ctx.panel.price(n) for n in ("open", "high", "low", "volume"))
    if opening is not None and close is not None:
        out.append(_driver("next gap", 1, ahead(opening, 1) / close - 1))
    if volume is not None:
        out.append(_driver("next volume", 1, _surprise(ctx, np.log1p(np.maximum(volume, 0)))))
    if high is not None and low is not None and close is not None:
        spread = np.log(np.maximum(high - low, 1e-6 * np.abs(close)) / np.abs(close))
        out.append(_driver("next range", 1, _surprise(ctx, spread)))
    vix = ctx.sources.vix(ctx.panel.sessions)
    if vix is not None:
        change = np.log(ahead(vix, 1) / vix)
        out.append(_driver("next change of the VIX", 1, np.where(ctx.panel.present, change, np.nan)))
    return out


def _driver(name: str, horizon: int, values: Array) -> Driver:
    ranks = pooled_ranks(values)
    return Driver(
        name=name,
        horizon=horizon,
        values=values,
        across=standard(pooled_ranks(values - session_mean(values)), 1),
        within=standard(ranks, 0),
        market=session_mean(values)[:, 0],
    )


def _size(ctx: Context) -> Array:
    """Return the next move's size in units of the volatility that was known: what is left is a surprise."""
    move = np.abs(ctx.next_return)
    packed = ctx.panel.pack(move)
    known = lag(ewm(packed, 2 / 21), 1)
    ratio = np.where(known > 0, packed / known, np.nan)
    ratio[:5] = np.nan
    return ctx.panel.unpack(np.minimum(ratio, 8.0))


def _surprise(ctx: Context, values: Array) -> Array:
    """Return the next value minus what a regression on the last value and the mean of ten predicts."""
    packed = ctx.panel.pack(values)
    base = rolling_mean(packed, 10)
    following = np.full_like(packed, np.nan)
    following[:-1] = packed[1:]
    x, y = packed - base, following - base
    good = np.isfinite(x) & np.isfinite(y)
    if good.sum() < 50:
        return np.full(ctx.panel.shape, np.nan)
    slope = float((x[good] @ y[good]) / max(float(x[good] @ x[good]), 1e-12))
    return ctx.panel.unpack(y - slope * x)


def thinned(drivers: list[Driver], step: int) -> list[Driver]:
    """Return the drivers of every `step`-th symbol: a wide panel tells the same with a part of its symbols."""
    if step <= 1:
        return drivers
    return [
        replace(d, values=d.values[:, ::step], across=d.across[:, ::step], within=d.within[:, ::step]) for d in drivers
    ]


def persistence(view: Array) -> float:
    """Return the mean autocorrelation of a view within symbols."""
    z = standard(view, 0, least=20)
    both = (z[1:] != 0) & (z[:-1] != 0)
    return float((z[1:] * z[:-1]).sum() / max(int(both.sum()), 1))


def strengths(view: Array, drivers: list[Driver], *, shared: bool) -> list[Strength]:
    """Return the association of one view of a column with every driver.

    Parameters
    ----------
    view : ndarray, shape (T, S)
        Pooled ranks of the column, NaN where missing.
    drivers : list of Driver
        What follows.
    shared : bool
        Whether the column is the same for all symbols of a session: only the market can then be told.
    """
    out = []
    across = standard(view, 1) if not shared and view.shape[1] > 3 else None
    within = standard(view, 0, least=20)
    seen = within != 0
    for driver in drivers:
        if across is not None:
            both = (across != 0) & (driver.across != 0)
            count = both.sum(axis=1)
            series = np.where(count >= 4, (across * driver.across).sum(axis=1) / np.maximum(count, 1), np.nan)
            out.append(_strength(driver, "across symbols", series))
        if not shared:
            both = seen & (driver.within != 0)
            count = both.sum(axis=1)
            series = (within * driver.within).sum(axis=1) / max(float(count.mean()), 1.0)
            series[count == 0] = np.nan
            out.append(_strength(driver, "within symbols", series))
    return out


def _strength(driver: Driver, kind: str, series: Array) -> Strength:
    mean, error, n = newey_west(series, driver.horizon)
    if n < max(50, 30 * driver.horizon if driver.horizon > 1 else 0):
        error = float("inf")  # too few separate spans for the error to mean anything
    error *= float(np.sqrt(1 + 6 * driver.horizon / max(n, 1)))
    return Strength(driver.name, kind, mean, error, n)


def market_strengths(column: Array, drivers: list[Driver]) -> list[Strength]:
    """Return the rank correlation of a column's session mean (level and change) with what the market does next."""
    from scipy.stats import rankdata

    level = session_mean(column)[:, 0]
    out = []
    for kind, series in (("market", level), ("market, change", level - np.append(np.nan, level[:-1]))):
        for driver in drivers:
            both = np.isfinite(series) & np.isfinite(driver.market)
            n = int(both.sum())
            if n < 30 * driver.horizon or np.ptp(series[both]) == 0 or np.ptp(driver.market[both]) == 0:
                continue
            r = float(np.corrcoef(rankdata(series[both]), rankdata(driver.market[both]))[0, 1])
            # Overlapping sums of h returns have the autocorrelation 1 - k/h, a slow column nearly 1 (Bartlett 1946).
            overlap = 1.0 if driver.horizon == 1 else 0.85 * driver.horizon
            out.append(Strength(driver.name, kind, r, float(np.sqrt(overlap / n)), n))
    return out


def xi(order: Array, column: Array) -> float:
    """Return Chatterjee's coefficient of the column given what `order` sorts by: 1 for any noiseless function of it.

    Parameters
    ----------
    order : ndarray of int
        Flat positions sorted by the driver.
    column : ndarray
        Flat column; missing rows are left out.

    References
    ----------
    Chatterjee, S. (2021). A new coefficient of correlation. JASA 116(536).
    """
    values = column[order]
    values = values[np.isfinite(values)]
    n = len(values)
    if n < 200:
        return 0.0
    ordered = np.sort(values)
    up_to = np.searchsorted(ordered, values, side="right")
    at_least = n - np.searchsorted(ordered, values, side="left")
    spread = 2.0 * float((at_least * (n - at_least)).sum())
    return 1 - n * float(np.abs(np.diff(up_to)).sum()) / spread if spread > 0 else 0.0


def is_shared(column: Array) -> bool:
    """Whether nearly every session has one value for all symbols."""
    if column.shape[1] < 2:
        return False
    good = np.isfinite(column)
    low = np.where(good, column, np.inf).min(axis=1)
    high = np.where(good, column, -np.inf).max(axis=1)
    some = good.sum(axis=1) > 1
    return bool(some.any() and np.mean((high - low)[some] <= 1e-9 * (1 + np.abs(high[some]))) > 0.9)
