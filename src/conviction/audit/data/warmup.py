"""Warm-up: values in rows before the first window is full, and where they come from."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from conviction.audit._report import Finding
from conviction.audit.data._association import is_shared
from conviction.audit.data._context import Context
from conviction.audit.data._panel import Array
from conviction.audit.data._rolling import lag

_REMEDY = "Leave the rows before the first full window missing, or compute them from earlier history."


def check_warmup(ctx: Context) -> Iterator[Finding]:
    """Look for columns whose first rows repeat the first value that could be computed: filled backwards."""
    for name in ctx.table.features:
        column = ctx.panel.column(name)
        if name in ctx.accused or is_shared(column):
            continue
        packed = ctx.panel.pack(column)
        found = _filled_backwards(ctx, name, packed)
        if found is not None:
            rows, symbols, certain = found
            yield ctx.accuse(
                "warmup.backfilled",
                columns=(name,),
                severity="error" if certain else "warning",
                first_row=0,
                evidence={"rows": rows, "symbols": symbols},
                explanation=(
                    f"The first {rows} rows of {name} repeat the value of the row after them in {symbols} symbol(s): "
                    "they were filled backwards."
                ),
                remedy=_REMEDY,
            )
            continue
        warm = _values_before_the_window(ctx, name, packed)
        if warm:
            yield ctx.accuse(
                "warmup.values",
                columns=(name,),
                severity="info",
                first_row=0,
                evidence={"rows_a_symbol": warm, "lookback": ctx.matches[name].entry.lookback},
                explanation=f"{name} has values before its first window is full: honest only if earlier history was used.",
                remedy=_REMEDY,
            )


def _filled_backwards(ctx: Context, name: str, packed: Array) -> tuple[int, int, bool] | None:
    good = np.isfinite(packed)
    some = good.sum(axis=0) > 30
    if not some.any():
        return None
    start = np.argmax(good, axis=0)
    at_start = some & (start <= 1)
    if at_start.sum() < max(1, 0.5 * some.sum()):
        return None
    same = good & (packed == lag(packed, 1))
    held = float(same[:, some].sum()) / max(int(good[:, some].sum()), 1)
    first = packed[np.minimum(start, len(packed) - 1), np.arange(packed.shape[1])]
    equal = ~good | (packed == first)
    run = np.where(equal.all(axis=0), len(packed), np.argmin(equal, axis=0)) - start
    run = run[at_start]
    values = first[at_start]
    typical = int(np.median(run))
    distinct = len(np.unique(values))
    if typical < 3 or typical > min(260, len(packed) // 2) or held > 0.25 + typical / len(packed):
        return None
    if len(values) >= 3 and distinct <= 1:
        return None  # one constant for all: a neutral filler, which tells nothing of the future
    agree = np.mean(np.abs(run - typical) <= 1)
    match = ctx.matches.get(name)
    known = match is not None and match.causal
    if agree < 0.7 and not known:
        return None
    return typical, int((run >= 3).sum()), bool(agree >= 0.7)


def _values_before_the_window(ctx: Context, name: str, packed: Array) -> int:
    match = ctx.matches.get(name)
    if match is None or not match.causal or ctx.library is None or not match.entry.lookback:
        return 0
    values = lag(ctx.library.values(match.entry), -match.rows_later)
    warm = np.isfinite(packed) & ~np.isfinite(values)
    warm &= np.arange(len(packed))[:, None] < match.entry.lookback - match.rows_later
    return int(np.median(warm.sum(axis=0)))
