"""Targets that only several columns give together: fitted on some sessions, judged on the others."""

from __future__ import annotations

import numpy as np

from conviction.audit.data._context import Context
from conviction.audit.data._panel import Array, ahead

_MOST_ROWS = 20_000
_BOUND = 0.35
Found = tuple[tuple[str, ...], float, str, str]


def _rows(ctx: Context, horizon: int) -> tuple[Array, Array, Array]:
    close = ctx.panel.price("close")
    moved = ahead(close, horizon) / close - 1 if close is not None else ctx.next_return
    rows, columns = np.nonzero(np.isfinite(moved))
    step = max(1, len(rows) // _MOST_ROWS)
    return rows[::step], columns[::step], moved


def _horizons(ctx: Context) -> list[int]:
    known = sorted({h for h in ctx.table.targets.values() if h <= 30} | {1})
    return known if ctx.panel.price("close") is not None else [1]


def _design(ctx: Context, names: list[str], rows: Array, columns: Array) -> Array:
    block = np.stack([ctx.panel.column(n)[rows, columns] for n in names], axis=1)
    mean = np.nanmean(block, axis=0)
    mean = np.where(np.isfinite(mean), mean, 0.0)  # a column may have no value in these rows
    block = np.where(np.isfinite(block), block, mean) - mean
    spread = block.std(axis=0)
    return np.asarray(block / np.where(spread > 0, spread, 1.0))


def _halves(rows: Array, horizon: int) -> Array:
    # Blocks of 20 sessions in turn; long enough that labels do not overlap much between the halves.
    return np.asarray((rows // max(20, 2 * horizon)) % 2 == 0)


def find_sum(ctx: Context, names: list[str]) -> Found | None:
    """Return the columns whose weighted sum gives a forward return on sessions that it was not fitted on."""
    if len(names) < 2:
        return None
    for horizon in _horizons(ctx):
        rows, columns, moved = _rows(ctx, horizon)
        if len(rows) < 10 * len(names):
            continue
        x = _design(ctx, names, rows, columns)
        y = moved[rows, columns]
        low, high = np.quantile(y, (0.005, 0.995))
        y = np.clip(y, low, high)
        y = (y - y.mean()) / y.std()
        first = _halves(rows, horizon)
        r = _cross_fit(x, y, first)
        # Few separate spans let any sum of slow columns fit: the bound grows as they get fewer.
        if r < _BOUND + 4 / np.sqrt(len(np.unique(rows)) / horizon):
            continue
        coefficients, t = _t_values(x, y)
        guilty = np.flatnonzero(np.abs(t) > 0.15 * np.abs(t).max())
        order = guilty[np.argsort(-np.abs(t[guilty]))][:6]
        chosen = order
        for size in range(2, len(order) + 1):
            if _cross_fit(x[:, order[:size]], y, first) > 0.95 * r:
                chosen = order[:size]
                break
        del coefficients
        return tuple(names[i] for i in chosen), r, "a weighted sum", f"return over {horizon} session(s)"
    return None


def _solve(x: Array, y: Array) -> Array:
    design = np.column_stack([np.ones(len(x)), x])
    return np.asarray(np.linalg.lstsq(design, y, rcond=1e-10)[0])


def _cross_fit(x: Array, y: Array, first: Array) -> float:
    prediction = np.empty(len(y))
    for part in (first, ~first):
        if part.sum() < x.shape[1] + 10 or (~part).sum() < 10:
            return 0.0
        weights = _solve(x[part], y[part])
        prediction[~part] = weights[0] + x[~part] @ weights[1:]
    if prediction.std() == 0:
        return 0.0
    # Ranks: one wild prediction must not make or break the case.
    from scipy.stats import rankdata

    return float(np.corrcoef(rankdata(prediction), rankdata(y))[0, 1])


def _t_values(x: Array, y: Array) -> tuple[Array, Array]:
    weights = _solve(x, y)[1:]
    residual = y - y.mean() - x @ weights
    gram = np.linalg.pinv(x.T @ x + 1e-9 * len(x) * np.eye(x.shape[1]))
    return weights, weights / np.sqrt(np.maximum(np.diag(gram), 1e-300) * max(float(residual.var()), 1e-12))


def find_product(ctx: Context, names: list[str]) -> Found | None:
    """Return the pair of columns whose product or quotient gives a forward return."""
    names = names[:80]
    for horizon in _horizons(ctx):
        rows, columns, moved = _rows(ctx, horizon)
        if len(rows) < 500:
            continue
        step = max(1, len(rows) // 6000)
        rows, columns = rows[::step], columns[::step]
        y = np.argsort(np.argsort(moved[rows, columns])).astype(float)
        y = (y - y.mean()) / y.std()
        x = _design(ctx, names, rows, columns)
        raw = np.clip(x, -5, 5)
        best = (0.0, 0, 0, "")
        inverse = np.clip(1 / np.where(np.abs(x) > 0.05, x, np.inf), -20, 20)
        for how, other in (("a product", raw), ("a quotient", inverse)):
            weighted = raw * y[:, None]
            cross = weighted.T @ other / len(y)
            size = np.sqrt((raw**2).T @ (other**2) / len(y))
            r = np.abs(cross) / np.where(size > 0, size, np.inf)
            np.fill_diagonal(r, 0.0)
            i, j = np.unravel_index(int(np.argmax(r)), r.shape)
            if r[i, j] > best[0]:
                best = (float(r[i, j]), int(i), int(j), how)
        if best[0] > _BOUND + 3 / np.sqrt(len(np.unique(rows)) / horizon):
            pair = (names[best[1]], names[best[2]])
            return pair, best[0], best[3], f"return over {horizon} session(s)"
    return None
