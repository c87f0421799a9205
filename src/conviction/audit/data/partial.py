"""Partial leaks: a column that knows the future in one symbol or one period only, which averages hide."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from conviction.audit._report import Finding
from conviction.audit.data._association import is_shared, pooled_ranks, standard, thinned
from conviction.audit.data._context import Context
from conviction.audit.data._panel import Array, session_mean
from conviction.audit.data.copies import MOST_CELLS, column_views, drivers_of

_REMEDY = "Rebuild these rows with the code that made the others, and audit again."
_WINDOWS = (20, 40, 80)


def check_symbols(ctx: Context) -> Iterator[Finding]:
    """Ask each column in each symbol alone, with a bound that the number of questions raises."""
    drivers = [d for d in drivers_of(ctx) if d.name in ("next return", "return of the session after next", "next gap")]
    tests = max(1, len(ctx.table.features) * len(ctx.panel.symbols) * len(drivers))
    z = np.sqrt(2 * np.log(tests)) + 2.0
    for name in ctx.table.features:
        column = ctx.panel.column(name)
        if name in ctx.accused or is_shared(column):
            continue
        best: tuple[float, int, str] | None = None
        for _, values in column_views(ctx, name):
            score = standard(pooled_ranks(values), 0, least=30)
            for driver in drivers:
                both = (score != 0) & (driver.within != 0)
                n = both.sum(axis=0)
                r = (score * driver.within).sum(axis=0) / np.maximum(n, 1)
                bound = np.maximum(0.3, 0.1 + z / np.sqrt(np.maximum(n, 1)))
                beyond = np.where(n >= 60, np.abs(r) - bound, -1.0)
                where = int(np.argmax(beyond))
                if beyond[where] > 0 and (best is None or abs(r[where]) > abs(best[0])):
                    best = (float(r[where]), where, driver.name)
        if best is not None:
            symbol = ctx.panel.symbols[best[1]]
            yield ctx.accuse(
                "partial.symbols",
                columns=(name,),
                symbols=(symbol,),
                evidence={"correlation": best[0], "with": best[2], "bound_z": z},
                explanation=f"In {symbol} alone {name} goes with the {best[2]} (rank correlation {best[0]:+.2f}).",
                remedy=_REMEDY,
            )


def check_periods(ctx: Context) -> Iterator[Finding]:
    """Scan each column's daily association for spans in which it is far beyond what the rest of its history shows."""
    step = max(1, ctx.panel.present.size // MOST_CELLS)
    drivers = thinned([d for d in drivers_of(ctx) if d.name == "next return"], step)
    for name in ctx.table.features:
        if name in ctx.accused:
            continue
        column = ctx.panel.column(name)
        shared = is_shared(column)
        best: tuple[float, int, int, float] | None = None
        for _, values in column_views(ctx, name):
            if shared:
                found = _scan_market(session_mean(values)[:, 0], drivers[0].market)
            else:
                found = _scan(_daily(values[:, ::step], drivers[0].across, drivers[0].within), width=values.shape[1])
            if found is not None and (best is None or found[3] > best[3]):
                best = found
        if best is not None:
            mean, start, width, _ = best
            span = f"{ctx.panel.session_text(start)} to {ctx.panel.session_text(start + width - 1)}"
            yield ctx.accuse(
                "partial.periods",
                columns=(name,),
                first_row=start,
                evidence={"association": mean, "sessions": width},
                explanation=f"From {span} {name} goes with the next return (mean association {mean:+.2f} a session).",
                remedy=_REMEDY,
            )


def _scan_market(level: Array, market: Array) -> tuple[float, int, int, float] | None:
    """Scan for spans in which one value a session and the market's next return correlate nearly perfectly.

    A session gives one observation only, so that nothing short of a copy can be told from an honest timing signal.
    """
    best: tuple[float, int, int, float] | None = None
    for span in (40, 80):
        for start in range(0, len(level) - span + 1, 5):
            a, b = level[start : start + span], market[start : start + span]
            both = np.isfinite(a) & np.isfinite(b)
            if both.sum() < 0.8 * span or np.ptp(a[both]) == 0 or np.ptp(b[both]) == 0:
                continue
            r = float(np.corrcoef(np.argsort(np.argsort(a[both])), np.argsort(np.argsort(b[both])))[0, 1])
            excess = abs(r) - (0.1 + 5.0 / np.sqrt(span - 1)) if span > 40 else abs(r) - 0.85
            if excess > 0 and (best is None or excess > best[3]):
                best = (r, start, span, excess)
    return best


def _daily(values: Array, across: Array, within: Array) -> Array:
    ranks = pooled_ranks(values)
    if values.shape[1] > 3:
        score, other = standard(ranks, 1), across
    else:
        score, other = standard(ranks, 0), within
    both = (score != 0) & (other != 0)
    count = both.sum(axis=1)
    return np.where(count >= min(4, values.shape[1]), (score * other).sum(axis=1) / np.maximum(count, 1), np.nan)


def _scan(series: Array, *, width: int) -> tuple[float, int, int, float] | None:
    good = np.isfinite(series)
    if good.sum() < 60:
        return None
    x = np.where(good, series, 0.0)
    spread = float(np.median(np.abs(series[good] - np.median(series[good]))) * 1.4826)
    spread = max(spread, 0.7 / np.sqrt(width))
    best: tuple[float, int, int, float] | None = None
    for span in _WINDOWS:
        if span > len(x) // 2:
            continue
        total, count = np.cumsum(np.append(0.0, x)), np.cumsum(np.append(0, good))
        n = count[span:] - count[:-span]
        mean = (total[span:] - total[:-span]) / np.maximum(n, 1)
        # A scan over T/span separate windows: the bound grows with their number.
        z = np.sqrt(2 * np.log(max(len(x) * 20 / span, 2))) + 2.0
        bound = 0.1 + z * spread / np.sqrt(np.maximum(n, 1))
        excess = np.where(n >= 0.7 * span, np.abs(mean) - bound, -1.0)
        where = int(np.argmax(excess))
        if excess[where] > 0 and (best is None or excess[where] > best[3]):
            best = (float(mean[where]), where, span, float(excess[where]))
    return best
