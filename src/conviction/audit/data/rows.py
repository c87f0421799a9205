"""Rows: keys, calendar, alignment in time, copies of rows, and an order that tells the target."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date

import numpy as np
import polars as pl

from conviction.audit._report import Finding
from conviction.audit.data._association import newey_west, pooled_ranks, standard
from conviction.audit.data._context import Context, SkipCheckError
from conviction.audit.data._panel import Array, ahead, session_mean
from conviction.audit.data._table import ROW

_NAMED = 12
_SLOW = 20


def check_keys(ctx: Context) -> Iterator[Finding]:
    """Look for missing keys, repeated keys, and rows of a symbol that are not oldest first."""
    raw = ctx.table.raw
    empty = raw.filter(pl.col("symbol").is_null() | pl.col("session").is_null())
    if empty.height:
        yield ctx.accuse(
            "rows.keys",
            evidence={"rows": empty.height, "first_row": int(empty[ROW][0])},
            explanation=f"{empty.height} rows have no symbol or no session.",
            remedy="Drop or repair them where the data is read.",
        )
    keys = raw.drop_nulls(["symbol", "session"])
    repeated = keys.filter(pl.struct("symbol", "session").is_duplicated())
    if repeated.height:
        values = [c for c in repeated.columns if c != ROW]
        exact = repeated.height - repeated.unique(values).height
        named = repeated["symbol"].unique().sort().to_list()
        yield ctx.accuse(
            "rows.duplicates",
            symbols=tuple(named[:_NAMED]),
            evidence={"rows": repeated.height, "exact_copies": exact, "symbols": len(named)},
            explanation=(
                f"{repeated.height} rows of {len(named)} symbol(s) share symbol and session"
                f"{', some with different values' if exact * 2 < repeated.height else ''}, first "
                f"{repeated['symbol'][0]} on {repeated['session'][0]}."
            ),
            remedy="Keep one row a symbol and session; find out where the second comes from.",
        )
    steps = keys.select(pl.col("symbol"), pl.col("session").diff().over("symbol").dt.total_microseconds().alias("step"))
    back = steps.filter(pl.col("step") < 0)
    if back.height:
        named = back["symbol"].unique().sort().to_list()
        yield ctx.accuse(
            "rows.sorted",
            symbols=tuple(named[:_NAMED]),
            severity="warning" if back.height < 0.2 * keys.height else "info",
            evidence={"rows": back.height, "symbols": len(named)},
            explanation=f"Rows of {len(named)} symbol(s) are not oldest first: shifts and windows would cross time.",
            remedy="Sort by symbol and session before anything is computed.",
        )


def check_calendar(ctx: Context) -> Iterator[Finding]:
    """Look for weekends, holidays, isolated and far-off dates."""
    if ctx.table.intraday:
        why = "intraday bars carry moments, not sessions"
        raise SkipCheckError(why)
    keys = ctx.table.raw.drop_nulls(["symbol", "session"]).select("symbol", "session")
    total = keys["symbol"].n_unique()
    weekend = keys.filter(pl.col("session").dt.weekday() > 5)
    if weekend.height:
        yield _dates(ctx, weekend, "rows.weekend", "on a weekend", total)
    if ctx.known_sessions:
        sessions = pl.Series(sorted(ctx.known_sessions), dtype=pl.Date)
        holiday = keys.filter(~pl.col("session").is_in(sessions.implode()) & (pl.col("session").dt.weekday() <= 5))
        if holiday.height:
            yield _dates(ctx, holiday, "rows.holiday", "on days without a session of the exchange", total)
    yield from _isolated(ctx, keys)


def _dates(ctx: Context, rows: pl.DataFrame, check: str, what: str, total: int) -> Finding:
    named = rows["symbol"].unique().sort().to_list()
    first = str(rows["session"].min())
    return ctx.accuse(
        check,
        symbols=tuple(named[:_NAMED]) if len(named) < total else (),
        evidence={"rows": rows.height, "symbols": len(named), "first": first},
        explanation=f"{rows.height} rows of {len(named)} symbol(s) are dated {what}, first {first}.",
        remedy="Check the calendar and the time zone of the source; prices cannot exist there.",
    )


def _isolated(ctx: Context, keys: pl.DataFrame) -> Iterator[Finding]:
    """Name symbols with rows after a long silence of everyone, far from the rest of the dataset."""
    days = keys["session"].unique().sort()
    gaps = days.diff().dt.total_days().fill_null(0)
    breaks = gaps.to_numpy() > 60
    if not breaks.any():
        return
    block = np.cumsum(breaks)
    sizes = np.bincount(block)
    main = int(np.argmax(sizes))
    strange = days.filter(pl.Series(block != main) & pl.Series(sizes[block] < 0.2 * sizes[main]))
    rows = keys.filter(pl.col("session").is_in(strange.implode()))
    if rows.height:
        named = rows["symbol"].unique().sort().to_list()
        first = rows["session"].min()
        assert isinstance(first, date)  # noqa: S101
        yield ctx.accuse(
            "rows.isolated_dates",
            symbols=tuple(named[:_NAMED]),
            evidence={"rows": rows.height, "first": str(first)},
            explanation=f"{rows.height} rows of {len(named)} symbol(s) stand far from all others in time, from {first}.",
            remedy="Check the dates of these rows; nobody knows prices of the future.",
        )


def check_alignment(ctx: Context) -> Iterator[Finding]:
    """Ask whether each symbol moves with the market on its own sessions, or some sessions earlier or later."""
    close = ctx.close
    n_sessions, n_symbols = close.shape
    if n_sessions < 60:
        why = "fewer than 60 sessions"
        raise SkipCheckError(why)
    moves = close / ahead(close, -1) - 1
    score = standard(pooled_ranks(moves), 0, least=60)
    total, count = score.sum(axis=1, keepdims=True), (score != 0).sum(axis=1, keepdims=True)
    given = ctx.sources.market_returns(ctx.panel.sessions)
    if n_symbols < 3 and given is None:
        why = "fewer than three symbols and no market source"
        raise SkipCheckError(why)
    if given is not None and n_symbols < 8:
        others = np.repeat(given, n_symbols, axis=1)
    else:
        others = (total - score) / np.maximum(count - (score != 0), 1)
    r = {k: _column_r(score, ahead(others, k)) for k in range(-5, 6)}
    lags = np.array(sorted(r))
    table = np.stack([r[int(k)] for k in lags])
    best = np.argmax(np.nan_to_num(table, nan=-1.0), axis=0)
    own = r[0]
    noise = 1 / np.sqrt(n_sessions)
    for s in range(n_symbols):
        k = int(lags[best[s]])
        top = table[best[s], s]
        if k != 0 and top > 0.05 + 4 * noise and top - own[s] > 0.08 + 3 * noise:
            name = ctx.panel.symbols[s]
            ctx.set_aside[name] = "shifted"
            yield ctx.accuse(
                "rows.alignment",
                symbols=(name,),
                evidence={
                    "sessions_off": k,
                    "correlation_there": float(top),
                    "correlation_on_its_own_dates": float(own[s]),
                },
                explanation=f"{name} moves with the market of {abs(k)} session(s) {'later' if k > 0 else 'earlier'}: its dates are shifted.",
                remedy="Check the time zone and the date convention of this symbol's source.",
            )
    if given is not None and n_symbols >= 3:
        yield from _against_market(ctx, moves, given)


def _column_r(a: Array, b: Array) -> Array:
    both = np.isfinite(a) & np.isfinite(b) & (a != 0)
    x, y = standard(np.where(both, a, np.nan), 0), standard(np.where(both, b, np.nan), 0)
    n = both.sum(axis=0)
    return np.where(n > 40, (x * y).sum(axis=0) / np.maximum(n, 1), np.nan)


def _against_market(ctx: Context, moves: Array, given: Array) -> Iterator[Finding]:
    own = pooled_ranks(session_mean(moves))
    market = pooled_ranks(given)
    r = {k: float(_column_r(standard(own, 0), ahead(market, k))[0]) for k in range(-3, 4)}
    k = max(r, key=lambda lag: np.nan_to_num(r[lag], nan=-1.0))
    if k != 0 and r[k] > 0.5 and r[k] - r[0] > 0.3:
        yield ctx.accuse(
            "rows.alignment",
            evidence={"sessions_off": k, "correlation_there": r[k], "correlation_on_its_own_dates": r[0]},
            explanation=f"All symbols together move with the market source of {abs(k)} session(s) {'later' if k > 0 else 'earlier'}.",
            remedy="Check whether the dataset's dates or the source's dates are shifted.",
        )


def check_clones(ctx: Context) -> Iterator[Finding]:
    """Look for symbols that are copies of another: returns that agree to the fourth decimal of their correlation.

    Share classes of one company (0.99) are no copies.
    """
    close = ctx.close
    moves = close / ahead(close, -1) - 1
    score = standard(moves, 0, least=60)
    both = (score != 0).astype(float)
    count = both.T @ both
    r = np.where(count >= 60, (score.T @ score) / np.maximum(count, 1), 0.0)
    for a, c in np.argwhere(np.triu(r, 1) > 0.9997):
        names = (ctx.panel.symbols[a], ctx.panel.symbols[c])
        ctx.set_aside[names[1]] = "clone"
        yield ctx.accuse(
            "rows.clones",
            symbols=names,
            evidence={"correlation": float(r[a, c])},
            explanation=f"{names[1]} is a copy of {names[0]} but for noise: the same rows under two names.",
            remedy="Keep one of them; a split by symbol would put the same rows on both sides.",
        )


def check_near_duplicates(ctx: Context) -> Iterator[Finding]:
    """Look for rows whose features are copies of another row's but for a little noise."""
    from scipy.spatial import cKDTree

    names = [n for n in ctx.table.features if not n.lower().startswith(("symbol", "id"))]
    # A wide panel needs fewer columns to tell two rows apart.
    names = names[:: max(1, len(names) * ctx.panel.present.size // 16_000_000)]
    scores, filler = [], []
    for name in names:
        column = ctx.panel.column(name)
        if np.isfinite(column).mean() < 0.5:
            continue
        within = column - session_mean(column)
        if np.nanstd(within) > 1e-9:
            scores.append(
                np.nan_to_num(standard(pooled_ranks(column).reshape(-1, 1), 0)[:, 0])[ctx.panel.present.ravel()]
            )
            filler.append(_is_filler(column)[ctx.panel.present])
    if len(scores) < 8:
        why = "fewer than eight columns that differ between symbols"
        raise SkipCheckError(why)
    matrix = np.stack(scores, axis=1).astype(np.float32)
    filled = ((matrix != 0) & ~np.stack(filler, axis=1)).mean(axis=1) > 0.7
    filler.clear()
    where = np.flatnonzero(ctx.panel.present.ravel())[filled]
    matrix = matrix[filled]
    if len(matrix) < 100:
        return
    directions = np.random.default_rng(7).standard_normal((matrix.shape[1], 6)).astype(np.float32)
    low = matrix @ directions / np.sqrt(matrix.shape[1])
    tree = cKDTree(low)
    near = tree.query(low, k=2, workers=1)[1][:, 1]
    rms = np.sqrt(((matrix - matrix[near]) ** 2).mean(axis=1))
    sample = matrix[:: max(1, len(matrix) // 2000)]
    typical = float(np.median(np.sqrt(((sample[1:] - sample[:-1]) ** 2).mean(axis=1))))
    # Ranks stretch small noise, and slow columns make neighbours in time alike: both bounds are needed.
    bound = min(0.08 * typical, 0.3 * float(np.median(rms)))
    width = len(ctx.panel.symbols)
    cells = _pairs(where, near, rms < bound, width)
    # Copies are a cluster apart; neighbours by chance grow many times in number when the distance doubles.
    if len(_pairs(where, near, rms < 2 * bound, width)) > 4 * len(cells):
        return
    if len(cells) < 3:
        return
    hit = np.zeros(ctx.panel.shape, dtype=bool)
    hit.ravel()[cells.ravel()] = True
    per_symbol = hit.sum(axis=0)
    order = [i for i in np.argsort(-per_symbol) if per_symbol[i] > 0]
    gap = np.abs(cells[:, 0] // width - cells[:, 1] // width)
    yield ctx.accuse(
        "rows.near_duplicates",
        symbols=tuple(ctx.panel.symbols[i] for i in order[:_NAMED]),
        first_row=ctx.first_row(hit),
        evidence={"pairs": len(cells), "median_sessions_apart": float(np.median(gap)), "typical_distance": typical},
        explanation=f"{len(cells)} pairs of rows hold the same features but for noise: a split puts copies on both sides.",
        remedy="Remove the copies, and look for the join that made them.",
    )


def _pairs(where: Array, near: Array, close: Array, width: int) -> Array:
    """Return the cells of close neighbours, each pair once, shape (n, 2).

    Slow columns make a quiet symbol's neighbouring sessions alike: only copies from elsewhere cross a split.
    """
    pairs = {tuple(sorted((int(where[i]), int(where[near[i]])))) for i in np.flatnonzero(close)}
    cells = np.array(sorted(pairs)).reshape(-1, 2)
    apart = np.abs(cells[:, 0] // width - cells[:, 1] // width)
    return np.asarray(cells[(cells[:, 0] % width != cells[:, 1] % width) | (apart > _SLOW)])


def _is_filler(column: Array) -> Array:
    """Say where a column of many values holds the one that it repeats: a filled warm-up is nobody's copy."""
    good = column[np.isfinite(column)]
    sample = good[:: max(1, len(good) // 5000)]
    values, often = np.unique(sample, return_counts=True)
    if len(values) < 0.3 * len(sample) or often.max() < max(3, 0.002 * len(sample)):
        return np.zeros(column.shape, dtype=bool)
    return np.asarray(column == values[int(np.argmax(often))])


def check_order(ctx: Context) -> Iterator[Finding]:
    """Ask whether the position of a row in the file tells what follows."""
    position = np.where(ctx.panel.present, ctx.panel.rows.astype(float), np.nan)
    moves = ctx.next_return
    if position.shape[1] > 3:
        score = standard(position, 1)
        ranked = standard(pooled_ranks(moves - session_mean(moves)), 1)
        both = (score != 0) & (ranked != 0)
        count = both.sum(axis=1)
        series = np.where(count > 2, (score * ranked).sum(axis=1) / np.maximum(count, 1), np.nan)
        mean, error, n = newey_west(series)
        if np.isfinite(mean) and abs(mean) - 5 * error > 0.1:
            yield _order(ctx, "within a session", mean, error, n)
            return
    time = np.arange(len(position), dtype=float)[:, None] + 0 * position
    disorder = standard(pooled_ranks(position), 0) - standard(pooled_ranks(time), 0)
    if np.abs(disorder).mean() < 0.05:
        return
    score, ranked = standard(position, 0), standard(pooled_ranks(moves), 0)
    series = np.where((score != 0).any(axis=1), (score * ranked).mean(axis=1), np.nan)
    mean, error, n = newey_west(series)
    if np.isfinite(mean) and abs(mean) - 5 * error > 0.15:
        yield _order(ctx, "within a symbol", mean, error, n)


def _order(ctx: Context, where: str, mean: float, error: float, n: int) -> Finding:
    return ctx.accuse(
        "rows.order",
        evidence={"association": mean, "standard_error": error, "sessions": n},
        explanation=f"The order of the rows {where} tells the next return (rank correlation {mean:+.2f}).",
        remedy="Sort rows by symbol and session, and never use a row number as a feature.",
    )
