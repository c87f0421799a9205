"""Rolling and exponential operations down axis 0 of packed arrays (own rows first, NaN at the tail)."""

from __future__ import annotations

import numpy as np

from conviction.audit.data._panel import Array


def lag(x: Array, k: int) -> Array:
    """Return the value k own rows earlier."""
    out = np.full_like(x, np.nan)
    if 0 < k < len(x):
        out[k:] = x[:-k]
    elif k == 0:
        return x
    return out


def rolling_sum(x: Array, w: int) -> Array:
    """Return the sum of the last w rows, NaN unless all w are there."""
    good = np.isfinite(x)
    total = np.cumsum(np.where(good, x, 0.0), axis=0)
    count = np.cumsum(good, axis=0)
    out = total.copy()
    out[w:] = total[w:] - total[:-w]
    n = count.copy()
    n[w:] = count[w:] - count[:-w]
    out[n < w] = np.nan
    return out


def rolling_mean(x: Array, w: int) -> Array:
    """Return the mean of the last w rows."""
    return rolling_sum(x, w) / w


def rolling_std(x: Array, w: int) -> Array:
    """Return the sample standard deviation (ddof 1) of the last w rows."""
    if w < 2:
        return np.full_like(x, np.nan)
    with np.errstate(invalid="ignore"):
        centre = np.nanmedian(x, axis=0, keepdims=True) if np.isfinite(x).any() else 0.0
        y = x - np.nan_to_num(centre)
        mean = rolling_mean(y, w)
        variance = (rolling_sum(y * y, w) - w * mean * mean) / (w - 1)
    return np.asarray(np.sqrt(np.maximum(variance, 0.0)))


def rolling_cov(x: Array, y: Array, w: int) -> Array:
    """Return the sample covariance of the last w rows."""
    both = np.isfinite(x) & np.isfinite(y)
    a, b = np.where(both, x, np.nan), np.where(both, y, np.nan)
    return (rolling_sum(a * b, w) - rolling_sum(a, w) * rolling_sum(b, w) / w) / (w - 1)


def rolling_extreme(x: Array, w: int, *, highest: bool) -> Array:
    """Return the maximum or minimum of the last w rows, by doubling windows (log2 w passes)."""
    pick = np.maximum if highest else np.minimum
    out = x.copy()
    span = 1
    while span * 2 <= w:
        out = pick(out, lag(out, span))
        span *= 2
    if span < w:
        out = pick(out, lag(out, w - span))
    return out


def ewm(x: Array, alpha: float, *, adjust: bool = False, seed_mean: int = 0) -> Array:
    """Return the exponential mean from the first value on.

    `adjust` is pandas' weighting; `seed_mean` w starts from the mean of the first w values (Wilder, TA-Lib).
    Missing values inside a series carry the mean over, as pandas' ``ignore_na`` does.
    """
    out = np.full_like(x, np.nan)
    good = np.isfinite(x)
    if not good.any():
        return out
    any_good = good.any(axis=0)
    first = np.where(any_good, np.argmax(good, axis=0), -1)
    count = good.sum(axis=0)
    last = len(x) - 1 - np.argmax(good[::-1], axis=0)
    for start in np.unique(first[any_good]):
        whole = np.flatnonzero((first == start) & (last - first + 1 == count))
        if len(whole):
            out[start:, whole] = _filtered(x[start:, whole], alpha, adjust=adjust, seed=seed_mean)
    holes = np.flatnonzero(any_good & (last - first + 1 != count))
    for column in holes:
        own = good[:, column]
        out[own, column] = _filtered(x[own, column][:, None], alpha, adjust=adjust, seed=seed_mean)[:, 0]
    return out


def _filtered(x: Array, alpha: float, *, adjust: bool, seed: int) -> Array:
    from scipy.signal import lfilter

    keep = 1.0 - alpha
    tail = ~np.isfinite(x)
    y = np.where(tail, 0.0, x)
    if adjust:
        weights = np.cumsum(keep ** np.arange(len(x)))[:, None]
        out = lfilter([1.0], [1.0, -keep], y, axis=0) / weights
    elif seed:
        out = np.full_like(y, np.nan)
        if len(y) >= seed:
            begin = y[:seed].mean(axis=0)
            out[seed - 1] = begin
            if len(y) > seed:
                out[seed:] = lfilter([alpha], [1.0, -keep], y[seed:], axis=0, zi=keep * begin[None, :])[0]
    else:
        out = lfilter([alpha], [1.0, -keep], y, axis=0, zi=keep * y[:1])[0]
    return np.asarray(np.where(tail, np.nan, out))
