"""Totals of whole weeks, months and quarters: known at the period's end, and a careless group-by shows them before."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import polars as pl

from conviction.audit.data._panel import Array, Panel, ahead

_TEXT = "it is the {what} of the whole {period}, known only when the {period} has ended"


def period_series(panel: Panel) -> dict[str, tuple[Array, str]]:
    """Return statistics of each symbol over the whole calendar week, month and quarter of the row, shape (T, S).

    Parameters
    ----------
    panel : Panel
        Needs a close; other prices are used where they exist.

    Returns
    -------
    dict of str to (ndarray, str)
        Values, and why a column that equals them knows too much.
    """
    close = panel.price("close")
    if close is None or panel.sessions.dtype != np.dtype("datetime64[D]"):
        return {}
    dates = pl.Series(panel.sessions)
    with np.errstate(all="ignore"):
        moves = close / ahead(close, -1) - 1
    out: dict[str, tuple[Array, str]] = {}
    for period, step in (("week", "1w"), ("month", "1mo"), ("quarter", "1q")):
        group = dates.dt.truncate(step).rank("dense").to_numpy().astype(np.int64) - 1
        for what, values in _statistics(panel, close, moves, group):
            name = f"calendar:{period}_{what.replace(' ', '_')}"
            out[name] = (values[group], _TEXT.format(what=what, period=period))
            if what in ("last close", "mean close", "highest high", "lowest low"):
                text = _TEXT.format(what=f"close against the {what}", period=period)
                out[f"{name}_over_close"] = (values[group] / close, text)
                out[f"{name}_under_close"] = (close / values[group], text)
            if what == "mean volume":
                volume = panel.price("volume")
                text = _TEXT.format(what="volume against the mean volume", period=period)
                out[f"{name}_ratio"] = (np.asarray(volume) / values[group], text)
    return out


def _statistics(panel: Panel, close: Array, moves: Array, group: Array) -> Iterator[tuple[str, Array]]:
    starts = np.flatnonzero(np.append(True, group[1:] != group[:-1]))
    mean_close, _ = _moments(close, starts)
    mean_move, spread = _moments(moves, starts)
    ends = np.append(starts[1:], len(group)) - 1
    yield "last close", close[ends]
    yield "first close", close[starts]
    yield "mean close", mean_close
    yield "return", close[ends] / np.vstack([np.full((1, close.shape[1]), np.nan), close[ends[:-1]]]) - 1
    yield "mean return", mean_move
    yield "volatility", spread
    for name, what, pick in (("high", "highest high", np.fmax), ("low", "lowest low", np.fmin)):
        price = panel.price(name)
        if price is not None:
            yield what, pick.reduceat(price, starts, axis=0)
    for what, pick in (("highest close", np.fmax), ("lowest close", np.fmin)):
        yield what, pick.reduceat(close, starts, axis=0)
    volume = panel.price("volume")
    if volume is not None:
        total = np.add.reduceat(np.nan_to_num(volume), starts, axis=0)
        yield "total volume", total
        yield "mean volume", _moments(volume, starts)[0]


def _moments(values: Array, starts: Array) -> tuple[Array, Array]:
    good = np.isfinite(values)
    x = np.where(good, values, 0.0)
    count = np.add.reduceat(good, starts, axis=0)
    safe = np.maximum(count, 1)
    mean = np.add.reduceat(x, starts, axis=0) / safe
    size = np.diff(np.append(starts, len(values)))
    off = np.where(good, x - np.repeat(mean, size, axis=0), 0.0)
    with np.errstate(all="ignore"):
        spread = np.sqrt(np.add.reduceat(off * off, starts, axis=0) / np.where(count > 1, count - 1, np.nan))
    return np.where(count > 0, mean, np.nan), spread
