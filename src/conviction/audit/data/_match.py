"""Matching of every column against the library of standard definitions, blindly, at many lags, up to scale and level."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from conviction.audit.data._indicators import Entry
from conviction.audit.data._library import Library
from conviction.audit.data._numbers import FINE
from conviction.audit.data._panel import Array
from conviction.audit.data._rolling import lag

LEADS = tuple(range(-22, 0))
LAGS = tuple(range(11))
_SCREEN_SHORT = tuple(range(-10, 11))
_KEEP = 14
_SETTLE = 60  # first rows left out of the search: wild first means, borders, filled warm-up; the fit sees them again


@dataclass(frozen=True, kw_only=True)
class Match:
    """A column as an affine function of a standard definition, symbol by symbol.

    Attributes
    ----------
    entry : Entry
        The definition.
    rows_later : int
        Rows in the future of the definition that the column equals (0 its own row, negative: a lagged column).
    level, scale : ndarray, shape (S,)
        ``column = level + scale * entry`` a symbol; NaN where it has too few rows.
    share : float
        Share of comparable rows that are equal within rounding.
    deviation : float
        Median absolute deviation from equality, in standard deviations of the column within its symbol.
    pooled : bool
        Whether one level and one scale serve every symbol.
    wrong : ndarray of bool, shape (L, S)
        Packed rows where both exist and differ.
    compared : ndarray of bool, shape (L, S)
        Packed rows where both exist.
    residual : ndarray, shape (L, S)
        Packed column minus the fit.
    """

    entry: Entry
    rows_later: int
    level: Array
    scale: Array
    share: float
    deviation: float
    pooled: bool
    wrong: Array
    compared: Array
    residual: Array

    @property
    def causal(self) -> bool:
        """Whether the definition, at this lag, uses nothing after its row."""
        return self.rows_later <= 0 and not self.entry.leak

    @property
    def proved(self) -> bool:
        """Whether the column equals the definition nearly everywhere."""
        return self.share >= 0.97

    @property
    def text(self) -> str:
        """Say what the column equals."""
        if self.rows_later == 0:
            return self.entry.name
        when = "later" if self.rows_later > 0 else "earlier"
        return f"{self.entry.name} of {abs(self.rows_later)} row(s) {when}"


def _standard(x: Array) -> tuple[Array, Array]:
    good = np.isfinite(x)
    count = np.maximum(good.sum(axis=0), 1)
    mean = np.where(good, x, 0.0).sum(axis=0) / count
    y = np.where(good, x - mean, 0.0)
    spread = np.sqrt((y * y).sum(axis=0) / count)
    return (y / np.where(spread > 1e-12 * (1 + np.abs(mean)), spread, np.inf)).astype(np.float32), good.astype(
        np.float32
    )


def settled(sample: Array) -> Array:
    """Return packed values without their first rows, which start-up, borders and fillers may have spoilt."""
    out = sample.copy()
    out[: min(_SETTLE, len(out) // 4)] = np.nan
    return out


def _tamed(sample: Array) -> Array:
    """Return settled values clipped far out, so that a few wild rows do not hide what the others are."""
    out = settled(sample)
    middle = np.nanmedian(out, axis=0)
    spread = np.nanmedian(np.abs(out - middle), axis=0)
    room = np.where(spread > 0, 12 * spread, np.inf)
    return np.clip(out, middle - room, middle + room)


def _screen_lags(entry: Entry) -> tuple[int, ...]:
    if entry.name.startswith(("calendar:", "source:")):
        return (-1, 0, 1) if entry.window <= 1 else (0,)
    if entry.window <= 2:
        return _SCREEN_SHORT
    half = entry.window // 2
    ahead = tuple(-k for k in {1, half, entry.window - 1, entry.window} if k <= 22)
    return (0, 1, *ahead)


class Matcher:
    """Search over the sampled symbols; `screen` all columns at once, then ask for each.

    Parameters
    ----------
    library : Library
        Definitions and panel.
    """

    def __init__(self, library: Library) -> None:
        self.library = library
        self._samples: dict[str, Array] = {}

    def _blocks(self) -> Iterator[tuple[list[tuple[int, int]], Array, Array]]:
        """Yield the definitions at their lags a block at a time: all of them at once would fill the memory."""
        keys: list[tuple[int, int]] = []
        values: list[Array] = []
        masks: list[Array] = []
        for number, entry in enumerate(self.library.entries):
            sample = self.library.sample(entry)
            self._samples[entry.name] = sample
            if not np.isfinite(sample[min(_SETTLE, len(sample) // 4) :]).any():
                continue
            sample = settled(sample)
            y, good = _standard(sample)
            for k in _screen_lags(entry):
                keys.append((number, k))
                values.append(_slid(y, k))
                masks.append(_slid(good, k))
            if len(keys) > 800:
                yield keys, np.stack(values, axis=2), np.stack(masks, axis=2)
                keys, values, masks = [], [], []
        if keys:
            yield keys, np.stack(values, axis=2), np.stack(masks, axis=2)

    def screen(self, columns: list[Array]) -> list[list[tuple[float, int, int]]]:
        """Return for each packed sampled column the best (|r|, entry number, lag), by the median over symbols."""
        if not columns:
            return []
        pairs = [_standard(_tamed(c)) for c in columns]
        y = np.stack([p[0] for p in pairs], axis=2)
        good = np.stack([p[1] for p in pairs], axis=2)
        found: list[list[tuple[float, int, int]]] = [[] for _ in columns]
        for keys, values, masks in self._blocks():
            per_symbol = []
            for s in range(y.shape[1]):
                total = y[:, s].T @ values[:, s]
                count = good[:, s].T @ masks[:, s]
                per_symbol.append(np.abs(np.where(count > 20, total / np.maximum(count, 1), 0.0)))
            # Different rows on both sides let the estimate exceed 1: equal is equal.
            score = np.minimum(np.median(per_symbol, axis=0).round(4), 1.0)
            top = np.argpartition(-score, min(3 * _KEEP, score.shape[1] - 1), axis=1)[:, : 3 * _KEEP]
            for column, best in enumerate(top):
                found[column] += [(float(score[column, j]), *keys[j]) for j in best]
        return [sorted(f, key=lambda item: (-item[0], item[1], abs(item[2]))) for f in found]

    def candidates(self, column: Array, screened: list[tuple[float, int, int]], *, floor: float = 0.5) -> list[Entry]:
        """Return the distinct most similar definitions by the exact correlation on common rows, simplest first."""
        chosen: dict[int, float] = {}
        column = _tamed(column)
        for score, number, k in screened[: 3 * _KEEP]:
            if score < floor:
                break
            exact = self._r(column, _moved(self._samples[self.library.entries[number].name], k))
            chosen[number] = max(chosen.get(number, 0.0), round(exact, 9))
        best = sorted(chosen, key=lambda n: (-chosen[n], n))[:_KEEP]
        return [self.library.entries[n] for n in best]

    def refine(self, column: Array, entries: list[Entry]) -> list[tuple[float, float, Entry, int]]:
        """Return (deviation, share, entry, lag) of every candidate at every lag, best first, on the sampled symbols."""
        out: list[tuple[float, float, Entry, int]] = []
        for entry in entries:
            fit = fit_affine(column, self._samples[entry.name])
            if fit is not None and not entry.leak and fit[2] < 1e-7 and fit[3] > 0.9999:
                return [(fit[2], fit[3], entry, 0)]
        tame = _tamed(column)
        for entry in entries:
            sample = self._samples[entry.name]
            lags = (0,) if entry.name.startswith("calendar:") else (*LEADS, *LAGS)
            scores = [(self._r(tame, _moved(sample, k)), k) for k in lags]
            scores.sort(key=lambda pair: (-round(pair[0], 12), abs(pair[1])))
            keep = {k for _, k in scores[:3]} | {0}
            for k in keep:
                fit = fit_affine(column, _moved(sample, k), limit=self.library.limit)
                if fit is not None:
                    out.append((fit[2], fit[3], entry, k))
        return sorted(out, key=_goodness)

    @staticmethod
    def _r(x: Array, y: Array) -> float:
        good = np.isfinite(x) & np.isfinite(y)
        n = good.sum(axis=0)
        a, b = np.where(good, x, 0.0), np.where(good, y, 0.0)
        a = np.where(good, a - a.sum(axis=0) / np.maximum(n, 1), 0.0)
        b = np.where(good, b - b.sum(axis=0) / np.maximum(n, 1), 0.0)
        spread = np.sqrt((a * a).sum(axis=0) * (b * b).sum(axis=0))
        r = np.abs(np.where(spread > 0, (a * b).sum(axis=0) / np.maximum(spread, 1e-300), 0.0))
        return float(np.median(r[n > 20])) if (n > 20).any() else 0.0

    def free(self) -> None:
        """Drop the search structure; matches stay."""
        self._samples.clear()

    def verify(self, name: str, entry: Entry, k: int) -> Match | None:
        """Compare a column with a definition, k rows lagged (negative: in the future), on every symbol."""
        panel = self.library.panel
        return verify_match(
            panel.pack(panel.column(name)), self.library.values(entry), entry, k, limit=self.library.limit
        )


def _goodness(item: tuple[float, float, Entry, int]) -> tuple[float, float, bool, int]:
    # Below 3e-6 a deviation is rounding (single precision of a level far from zero gives as much): the share of equal
    # rows decides, then innocence, then the nearest lag.
    deviation, share, entry, k = item
    if deviation < 3e-6:
        return (0.0, -round(share, 3), k < 0 or bool(entry.leak), abs(k))
    return (deviation, -share, k < 0 or bool(entry.leak), abs(k))


def _slid(x: Array, k: int) -> Array:
    """Shift by k rows, zeros for what is shifted in: enough for the search, where 0 says missing."""
    if k == 0:
        return x
    out = np.zeros_like(x)
    if abs(k) < len(x):
        if k > 0:
            out[k:] = x[:-k]
        else:
            out[:k] = x[-k:]
    return out


def _later(x: Array, k: int) -> Array:
    out = np.full_like(x, np.nan)
    if k < len(x):
        out[:-k] = x[k:]
    return out


def _moved(x: Array, k: int) -> Array:
    return lag(x, k) if k >= 0 else _later(x, -k)


def fit_affine(
    column: Array, entry: Array, *, steps: int = 5, limit: float = FINE
) -> tuple[Array, Array, float, float, Array] | None:
    """Fit ``column = level + scale * entry`` a symbol by least trimmed squares (half of the rows are kept).

    Returns
    -------
    tuple
        level (S,), scale (S,), median deviation in standard deviations, share of equal rows, residual (L, S);
        None where fewer than 20 rows can be compared.

    Notes
    -----
    Concentration steps after Rousseeuw and Van Driessen (2006): refit on the rows with the smallest residuals.
    """
    good = np.isfinite(column) & np.isfinite(entry)
    n = good.sum(axis=0)
    if not (n >= 20).any():
        return None
    weight = good.astype(float)
    x, y = np.where(good, entry, 0.0), np.where(good, column, 0.0)
    # Centre first: sums of squares of prices would lose the digits that equality is judged by.
    cx = x.sum(axis=0) / np.maximum(n, 1)
    cy = y.sum(axis=0) / np.maximum(n, 1)
    x, y = np.where(good, x - cx, 0.0), np.where(good, y - cy, 0.0)
    size = np.sqrt((y * y).sum(axis=0) / np.maximum(n, 1))
    for step in range(steps):
        level, scale = _least_squares(x, y, weight)
        residual = np.where(good, y - level - scale * x, np.nan)
        if step < steps - 1:
            edge = np.nanquantile(np.abs(residual), 0.5 if step else 0.75, axis=0)
            if (edge <= 1e-9 * np.maximum(size, 1e-300)).all():
                break
            weight = (np.abs(residual) <= edge).astype(float)
    spread = np.where(size > 1e-12 * (1 + np.abs(cy)), size, np.nan)
    # Half of the rows of a column that stands still are a flat line: that explains nothing.
    moved = np.abs(scale) * np.sqrt((x * x).sum(axis=0) / np.maximum(n, 1))
    residual = np.where(moved < 1e-3 * size, np.where(good, size, np.nan), residual)
    relative = np.abs(residual) / spread
    usable = n >= 20
    middle = np.nanmedian(relative[:, usable]) if np.isfinite(relative[:, usable]).any() else np.inf
    tolerance = equality_tolerance(float(middle), limit)
    equal = np.nansum((relative <= tolerance)[good]) / max(int(good.sum()), 1)
    level = np.where(usable, level + cy - scale * cx, np.nan)
    return level, np.where(usable, scale, np.nan), float(middle), float(equal), residual


def _least_squares(x: Array, y: Array, weight: Array) -> tuple[Array, Array]:
    total = np.maximum(weight.sum(axis=0), 1)
    mx, my = (weight * x).sum(axis=0) / total, (weight * y).sum(axis=0) / total
    dx = x - mx
    vxx = (weight * dx * dx).sum(axis=0)
    scale = (weight * dx * (y - my)).sum(axis=0) / np.where(vxx > 0, vxx, np.inf)
    return my - scale * mx, scale


def equality_tolerance(middle: float, limit: float = FINE) -> float:
    """Return how far from equality a row may be, in standard deviations: rounding of column and prices, no more.

    `limit` is the median deviation up to which a column counts as equal at all; prices with few decimals need `COARSE`.
    """
    return min(max(1e-5, 10 * middle), 0.1) if middle < limit else 0.0


def verify_match(column: Array, values: Array, entry: Entry, k: int, *, limit: float = FINE) -> Match | None:
    """Compare a packed column with a packed definition on every symbol; see `Match`."""
    moved = _moved(values, k)
    good = np.isfinite(column) & np.isfinite(moved)
    if good.sum() < 20:
        return None
    pooled = _pooled(column, moved, good)
    if pooled is not None:
        level, scale, middle, residual, spread = pooled
    else:
        fit = fit_affine(column, moved, steps=4)
        if fit is None:
            return None
        level, scale, middle, _, residual = fit
        centred = np.where(good, column, np.nan)
        with np.errstate(all="ignore"):
            spread = np.nanstd(centred, axis=0) if good.any() else np.ones(column.shape[1])
    relative = np.abs(residual) / np.where(spread > 0, spread, np.nan)
    tolerance = equality_tolerance(middle, limit)
    # Rounding weighs more on cheap shares: each symbol is judged by its own deviation, never by less than everyone's.
    with np.errstate(all="ignore"):
        own = np.nanmedian(relative, axis=0)
    own = np.clip(np.where(np.isfinite(own), 10 * own, 0.0), tolerance, max(tolerance, 0.1 if middle > 1e-7 else 0.0))
    wrong = good & ~(relative <= own) & np.isfinite(relative)
    share = 1 - wrong.sum() / max(int(good.sum()), 1) if tolerance else 0.0
    return Match(
        entry=entry,
        rows_later=-k,
        level=level,
        scale=scale,
        share=float(share),
        deviation=middle,
        pooled=pooled is not None,
        wrong=wrong,
        compared=good,
        residual=residual.astype(np.float32),
    )


def _pooled(column: Array, moved: Array, good: Array) -> tuple[Array, Array, float, Array, Array] | None:
    """Try one level and scale for all symbols: first the identity, then a robust line through a thinned sample."""
    n_symbols = column.shape[1]
    count = np.maximum(good.sum(axis=0), 1)
    y = np.where(good, column, 0.0)
    centre = y.sum(axis=0) / count
    spread = np.sqrt(np.where(good, (column - centre) ** 2, 0.0).sum(axis=0) / count)
    spread = np.where(spread > 0, spread, np.nan)
    step = max(1, int(good.sum()) // 20_000)
    one = fit_affine(column[good][::step, None], moved[good][::step, None])
    lines = [(0.0, 1.0)]
    if one is not None:
        lines.append((float(one[0][0]), float(one[1][0])))
    for level, scale in lines:
        if not np.isfinite(scale):
            continue
        residual = np.where(good, column - level - scale * moved, np.nan)
        with np.errstate(all="ignore"):
            relative = np.abs(residual) / spread
            middle = np.nanmedian(relative[:: max(1, step // 4)])
        if np.isfinite(middle) and middle < 1e-4:
            return np.full(n_symbols, level), np.full(n_symbols, scale), float(middle), residual, spread
    return None
