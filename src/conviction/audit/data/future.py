"""Future values, proved: columns recomputed from prices and sources at their own row, later rows, centred, over borders."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import polars as pl

from conviction.audit._report import Finding
from conviction.audit.data._context import Context, SkipCheckError
from conviction.audit.data._indicators import Bars, Entry
from conviction.audit.data._library import Library
from conviction.audit.data._match import Match, Matcher, equality_tolerance, fit_affine
from conviction.audit.data._panel import Array
from conviction.audit.data._rolling import lag
from conviction.audit.data._table import ROW

Candidate = tuple[float, float, Entry, int]
_REMEDY = (
    "Compute the column from rows up to t only (shift the window back), and join what is outside by publication time."
)


def match_columns(ctx: Context) -> Iterator[Finding]:
    """Match every feature with the standard definitions; a column that equals a later row of one knows the future."""
    ctx.close  # noqa: B018 (skips the check where there is none)
    if int(ctx.panel.present.sum(axis=0).max()) < 40:
        why = "no symbol has 40 rows"
        raise SkipCheckError(why)
    ctx.library = library = Library(ctx.panel, ctx.sources)
    matcher = Matcher(library)
    names = [n for n in ctx.table.features if np.isfinite(ctx.panel.column(n)).any()]
    samples = [library.column(n) for n in names]
    for name, sample, screened in zip(names, samples, matcher.screen(samples), strict=True):
        if screened:
            ctx.similar[name] = (library.entries[screened[0][1]].name, screened[0][0])
        refined = matcher.refine(sample, matcher.candidates(sample, screened))
        match = _best(matcher, name, refined)
        if match is not None and match.share < 0.999 and match.entry.name.startswith("source:"):
            match = _best_join(matcher, name, match)
        if match is None:
            _keep_the_nearest(ctx, matcher, name, refined)
            continue
        ctx.matches[name] = match
        ctx.observer.advance("audit", note=name)
        if not match.causal:
            yield _knows_the_future(ctx, name, match)
    matcher.free()


def _keep_the_nearest(ctx: Context, matcher: Matcher, name: str, refined: list[Candidate]) -> None:
    """Keep the difference from the most similar causal definition: a leak stirred into it stands out there."""
    near = [(d, entry, k) for d, _, entry, k in refined if k >= 0 and not entry.leak and d < 0.3]
    if near:
        match = matcher.verify(name, near[0][1], near[0][2])
        if match is not None:
            ctx.nearest[name] = match


def _best(matcher: Matcher, name: str, refined: list[Candidate]) -> Match | None:
    chosen: Match | None = None
    for deviation, share, entry, k in refined[:3]:
        if not equality_tolerance(deviation, matcher.library.limit) or share < 0.5:
            continue
        match = matcher.verify(name, entry, k)
        if match is None or match.share < 0.4:
            continue
        if chosen is None or (match.share > chosen.share + 0.005 and deviation < max(3 * chosen.deviation, 1e-6)):
            chosen = match
        if chosen.share > 0.999:
            break
    if chosen is None or chosen.causal:
        return chosen
    # Innocence first: a smooth column may follow its own later rows within rounding.
    for deviation, share, entry, k in refined:
        if k >= 0 and not entry.leak and share > 0.9 and deviation < max(3 * chosen.deviation, 1e-6):
            innocent = matcher.verify(name, entry, k)
            if innocent is not None and innocent.share >= chosen.share - 0.005:
                return innocent
    return chosen


def _best_join(matcher: Matcher, name: str, chosen: Match) -> Match:
    """Return the honest join of the same source that explains the most rows: steps differ in few rows only."""
    kind = chosen.entry.name.split("_")[0]
    for entry in matcher.library.entries:
        if entry.leak or entry is chosen.entry or not entry.name.startswith(kind):
            continue
        other = matcher.verify(name, entry, 0)
        if other is not None and other.share > chosen.share + 0.002 and other.deviation < 1e-4:
            chosen = other
    return chosen


def _knows_the_future(ctx: Context, name: str, match: Match) -> Finding:
    rows = match.rows_later
    how = match.entry.leak or (
        f"it is {match.entry.name} centred: half of its window lies after its row"
        if rows > 0 and match.entry.window > 2 and rows in (match.entry.window // 2, (match.entry.window - 1) // 2)
        else f"it equals {match.entry.name} of {rows} row(s) later"
    )
    return ctx.accuse(
        "external.recomputed"
        if match.entry.name.startswith("source:") or (match.entry.leak and not match.entry.name.startswith("calendar:"))
        else "future.recomputed",
        columns=(name,),
        first_row=ctx.first_row(ctx.panel.unpack(np.where(match.compared, 1.0, 0.0)) == 1),
        evidence={
            "definition": match.entry.name,
            "rows_later": rows,
            "share_equal": match.share,
            "scale": float(np.nanmedian(match.scale)),
        },
        explanation=f"{name} knows the future: {how}.",
        remedy=_REMEDY,
    )


def unexplained(ctx: Context, match: Match) -> Array:
    """Return packed rows that differ from a proved definition though no gap or start-up of a mean explains it."""
    wrong = match.wrong.copy()
    window = match.entry.window if match.entry.lookback is None else match.entry.lookback
    reach = 6 * window if match.entry.lookback is None else window
    if ctx.panel._pack is not None:
        whole = ctx.panel.without_gap(reach + abs(min(match.rows_later, 0)) + 1)
        wrong &= ctx.panel.pack(whole.astype(float)) == 1
    return np.asarray(wrong)


def check_deviations(ctx: Context) -> Iterator[Finding]:
    """Ask of rows that differ from a proved definition whether they hold later values or another symbol's."""
    if ctx.library is None:
        why = "no column could be recomputed"
        raise SkipCheckError(why)
    for name, match in ctx.matches.items():
        if not match.causal or name in ctx.accused:
            continue
        column = ctx.panel.pack(ctx.panel.column(name))
        wrong = unexplained(ctx, match)
        warm = np.isfinite(column) & ~np.isfinite(_values(ctx, match, 0))
        if (wrong | warm).sum() >= 5:
            finding = _later_in_part(ctx, name, match, column, wrong | warm) or _as_a_careless_join(
                ctx, name, match, column, wrong
            )
            if finding is not None:
                yield finding
                continue
        if (wrong | warm).sum() >= 3:
            finding = _over_border(ctx, name, match, column, match.wrong | warm)
            if finding is not None:
                yield finding
    yield from _wholly_over_borders(ctx)


def _wholly_over_borders(ctx: Context) -> Iterator[Finding]:
    """Look for exponential means that run on from symbol to symbol: their start-up spoils too many rows to match."""
    if len(ctx.panel.symbols) < 2:
        return
    # A running total is the same from every start but for its level, which then comes from the symbol before.
    total = {n: m for n, m in ctx.matches.items() if m.causal and not m.pooled}
    for name, match in {**ctx.nearest, **total}.items():
        if name in ctx.accused or match.entry.lookback is not None:
            continue
        across = border_values(ctx, match)
        if across is None:
            continue
        column = ctx.panel.pack(ctx.panel.column(name))
        fit = fit_affine(column.reshape(-1, 1), across.reshape(-1, 1))
        if fit is not None and fit[2] < 1e-6 and fit[3] > 0.95:
            yield ctx.accuse(
                "warmup.border",
                columns=(name,),
                first_row=0,
                evidence={"definition": match.entry.name, "share_equal": fit[3]},
                explanation=f"{name} is {match.entry.name} of all rows as if they were one symbol: it runs over borders.",
                remedy="Group by symbol before every shift, window and mean.",
            )


def _values(ctx: Context, match: Match, later: int) -> Array:
    assert ctx.library is not None  # noqa: S101 (callers have one)
    values = ctx.library.values(match.entry)
    k = -match.rows_later - later
    if k >= 0:
        return lag(values, k)
    out = np.full_like(values, np.nan)
    out[:k] = values[-k:]
    return out


def _later_in_part(ctx: Context, name: str, match: Match, column: Array, wrong: Array) -> Finding | None:
    half = match.entry.window // 2
    spread = np.nanstd(np.where(match.compared, column, np.nan), axis=0)
    tolerance = max(1e-4, 20 * match.deviation) * np.where(spread > 0, spread, np.nan)
    own = np.where(match.compared, np.abs(match.residual), np.inf)
    best, hits = 0, np.zeros_like(wrong)
    for later in dict.fromkeys(
        (1, 2, 3, 4, 5, 10, max(half, 1), max((match.entry.window - 1) // 2, 1), max(match.entry.window - 1, 1))
    ):
        fitted = match.level + match.scale * _values(ctx, match, later)
        with np.errstate(all="ignore"):
            off = np.abs(column - fitted)
            equal = wrong & (off <= tolerance) & (off < 0.2 * own)
            # Ranks of few symbols repeat by chance; only what exceeds that counts.
            usual = float(((off <= tolerance) & match.compared & ~wrong).sum()) / max(
                int((match.compared & ~wrong).sum()), 1
            )
        excess = (equal.sum() / wrong.sum() - usual) / max(1 - usual, 1e-9)
        if equal.sum() > hits.sum() and excess >= 0.4:
            best, hits = later, equal
    # A value that stands still equals the one after it: only what moves can tell where it was taken from.
    if hits.sum() < 5 or hits.any(axis=1).sum() < 3 or len(np.unique(column[hits])) < 3:
        return None
    grid = ctx.panel.unpack(hits.astype(float)) == 1
    symbols = ctx.symbols_of(grid)
    few = symbols if len(symbols) <= 3 else ()
    rows = np.flatnonzero(grid.any(axis=1))
    span = f"from {ctx.panel.session_text(int(rows[0]))} to {ctx.panel.session_text(int(rows[-1]))}"
    return ctx.accuse(
        "partial.recomputed",
        columns=(name,),
        symbols=few,
        first_row=int(rows[0]),
        evidence={"definition": match.entry.name, "rows_later": best, "rows": int(hits.sum())},
        explanation=(
            f"{name} is {match.entry.name}, but {int(hits.sum())} rows"
            f"{' of ' + ', '.join(few) if few else ''} {span} hold the value of {best} row(s) later."
        ),
        remedy=_REMEDY,
    )


def _as_a_careless_join(ctx: Context, name: str, match: Match, column: Array, wrong: Array) -> Finding | None:
    """Ask whether the rows that differ from an honest join of a source equal a join that knows too much."""
    if not match.entry.name.startswith("source:") or ctx.library is None or wrong.sum() < 5:
        return None
    kind = match.entry.name.split("_")[0]
    best, why, hits = 0, "", np.zeros_like(wrong)
    spread = np.nanstd(np.where(match.compared, column, np.nan))
    for entry in ctx.library.entries:
        if not entry.leak or not entry.name.startswith(kind):
            continue
        fitted = match.level + match.scale * ctx.library.values(entry)
        with np.errstate(all="ignore"):
            equal = wrong & (np.abs(column - fitted) <= 1e-6 * spread)
        if equal.sum() > best:
            best, why, hits = int(equal.sum()), entry.leak, equal
    if best < 0.8 * wrong.sum():
        return None
    grid = ctx.panel.unpack(hits.astype(float)) == 1
    symbols = ctx.symbols_of(grid)
    few = symbols if len(symbols) <= 3 else ()
    return ctx.accuse(
        "partial.recomputed",
        columns=(name,),
        symbols=few,
        first_row=ctx.first_row(grid),
        evidence={"definition": match.entry.name, "rows": best},
        explanation=f"In {best} rows{' of ' + ', '.join(few) if few else ''} {name} knows the future: {why}.",
        remedy=_REMEDY,
    )


def border_values(ctx: Context, match: Match, *, reverse: bool = False) -> Array | None:
    """Return the definition computed as if all rows, in the order in which they came, were one symbol; packed.

    `reverse` lets every symbol follow another one: what stays the same there hangs on no border.
    """
    from conviction.audit.data._indicators_bars import bar_entries

    raw = ctx.table.raw
    if reverse:
        raw = raw.sort(pl.col("symbol").rank("dense"), pl.col(ROW), descending=[True, False])
    prices = {s: raw[own].to_numpy()[:, None].astype(float) for s, own in ctx.table.prices.items()}
    if "close" not in prices:
        return None
    opening, high, low, volume = (prices.get(n) for n in ("open", "high", "low", "volume"))
    market = np.full((raw.height, 1), np.nan)
    inside = ctx.panel.rows >= 0
    place = np.empty(raw.height, dtype=np.int64)
    place[raw[ROW].to_numpy()] = np.arange(raw.height)
    rows = place[ctx.panel.rows[inside]]
    assert ctx.library is not None  # noqa: S101
    market[rows, 0] = ctx.library.market[inside]
    bars = Bars(close=prices["close"], open=opening, high=high, low=low, volume=volume, market=market)
    known = {e.name: e for e in (*_close_entries(), *bar_entries(bars))}
    if match.entry.name not in known:
        return None
    with np.errstate(all="ignore"):
        values = known[match.entry.name].compute(bars)
    k = -match.rows_later
    moved = lag(values, k) if k >= 0 else values
    out = np.full(ctx.panel.shape, np.nan)
    out[inside] = moved[rows, 0]
    return ctx.panel.pack(out)


def _close_entries() -> tuple:  # type: ignore[type-arg]
    from conviction.audit.data._indicators import close_entries

    return close_entries()


def _over_border(ctx: Context, name: str, match: Match, column: Array, rows: Array) -> Finding | None:
    if len(ctx.panel.symbols) < 2:
        return None
    across = border_values(ctx, match)
    if across is None:
        return None
    fitted = match.level + match.scale * across
    own = match.level + match.scale * _values(ctx, match, 0)
    spread = np.nanstd(column, axis=0)
    with np.errstate(all="ignore"):
        tolerance = 1e-4 * np.where(spread > 0, spread, np.nan)
        equal = rows & (np.abs(column - fitted) <= tolerance) & ~(np.abs(column - own) <= tolerance)
    other = border_values(ctx, match, reverse=True)
    assert other is not None  # noqa: S101 (the same definition as above)
    with np.errstate(all="ignore"):
        hangs = np.isfinite(across) & ~(np.abs(across - other) * np.abs(match.scale) <= tolerance)
    equal &= hangs
    # A shorter window over own rows agrees with it by chance in a part of the rows: highs of the symbol before are lower.
    if equal.sum() < max(3, 0.5 * rows.sum(), 0.9 * (rows & hangs).sum()):
        return None
    return ctx.accuse(
        "warmup.border",
        columns=(name,),
        first_row=ctx.first_row(ctx.panel.unpack(equal.astype(float)) == 1),
        evidence={"definition": match.entry.name, "rows": int(equal.sum()), "symbols": int(equal.any(axis=0).sum())},
        explanation=(
            f"The first rows of {name} in {int(equal.any(axis=0).sum())} symbol(s) are computed from the last rows of the "
            "symbol that stands before it in the file."
        ),
        remedy="Group by symbol before every shift, window and mean.",
    )
