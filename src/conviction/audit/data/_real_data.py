"""Real-data confidence: named evidence, what real markets show, and what each contributes, in log-odds."""

from __future__ import annotations

import re
from typing import Any

import numpy as np

from conviction.audit.data._association import pooled_ranks, standard
from conviction.audit.data._context import Context, tidy
from conviction.audit.data._panel import Array, ahead, session_mean
from conviction.audit.data._rolling import lag

Evidence = dict[str, Any]
PRIOR = 1.0  # log-odds before any evidence: most datasets that somebody calls market data are
_KNOWN = re.compile(
    r"^(rsi|macd|sma|ema|bb|boll|atr|stoch|vol|volatility|ret|return|roc|momentum|mom|cci|williams|adx|obv)(_|\d|$)",
    re.IGNORECASE,
)


def confidence(evidence: list[Evidence]) -> float:
    """Return the logistic of the summed contributions, between 0 and 1."""
    total = PRIOR + sum(float(e["contribution"]) for e in evidence)
    return round(float(1 / (1 + np.exp(-total))), 4)


def _slope(value: float, low: float, high: float, against: float, in_favour: float) -> float:
    """Return a contribution that runs from `against` at `low` to `in_favour` at `high`."""
    if not np.isfinite(value):
        return 0.0
    share = min(max((value - low) / (high - low), 0.0), 1.0)
    return against + share * (in_favour - against)


def gather(ctx: Context) -> list[Evidence]:
    """Return all evidence that the dataset can give, each with its value, what real markets show, its contribution."""
    out: list[Evidence] = []

    def add(name: str, value: float, real: str, contribution: float) -> None:
        if np.isfinite(value):
            out.append(
                {"name": name, "value": tidy(round(value, 4)), "real": real, "contribution": round(contribution, 3)}
            )

    _calendar(ctx, add)
    close = ctx.panel.price("close")
    if close is not None and len(close) >= 60:
        moves = ctx.panel.pack(close)
        moves = moves / lag(moves, 1) - 1
        size = 1 / np.sqrt(np.isfinite(moves).sum() / 500)
        tails = excess_kurtosis(moves)
        add("excess kurtosis of daily returns", tails, "above 1, large caps near 5", _slope(tails, 0.2, 1.2, -2.0, 1.0))
        memory = clustering(moves)
        add(
            "memory of absolute returns (lags 1 to 5)", memory, "0.05 to 0.3",
            _slope(memory, 0.01 + 0.01 * size, 0.05 + 0.01 * size, -1.8, 1.0),
        )  # fmt: skip
        own = ctx.panel.unpack(moves)
        if close.shape[1] >= 3:
            together = cross_correlation(own)
            add(
                "correlation of daily returns between symbols",
                together,
                "0.2 to 0.6",
                _slope(together, 0.03, 0.15, -2.5, 1.0),
            )
        _bars(ctx, own, add)
        _against_sources(ctx, own, add)
    _indicators(ctx, add)
    _vendor_memory(ctx, add)
    return out


def _calendar(ctx: Context, add: Any) -> None:
    if not ctx.known_sessions or ctx.table.intraday:
        return
    days = ctx.table.raw["session"].drop_nulls()
    held = set(days.unique().to_list())
    expected = {d for d in ctx.known_sessions if min(held) <= d <= max(held)}
    strange = held - set(ctx.known_sessions)
    covered = len(held & expected) / max(len(expected), 1)
    add("share of exchange sessions covered", covered, "near 1", _slope(covered, 0.85, 0.99, -1.0, 0.5))
    counts = days.value_counts()
    share = float(counts.filter(counts["session"].is_in(list(strange)))["count"].sum()) / max(len(days), 1)
    off = share * 252
    add("rows a year on holidays and weekends", off, "0", 0.3 if off == 0 else _slope(-off, -6.0, -0.3, -2.5, -0.2))


def excess_kurtosis(moves: Array) -> float:
    """Return the mean over symbols of the excess kurtosis of returns winsorised at ten standard deviations."""
    z = np.clip(standard(moves, 0, least=60), -10, 10)
    n = (z != 0).sum(axis=0)
    fourth = (z**4).sum(axis=0) / np.maximum(n, 1)
    return float(np.mean(fourth[n >= 60]) - 3) if (n >= 60).any() else float("nan")


def clustering(moves: Array) -> float:
    """Return the mean autocorrelation of absolute returns over lags 1 to 5 and symbols."""
    z = standard(pooled_ranks(np.abs(moves)), 0, least=60)
    values = []
    for k in range(1, 6):
        both = (z[k:] != 0) & (z[:-k] != 0)
        n = both.sum(axis=0)
        r = (z[k:] * z[:-k]).sum(axis=0) / np.maximum(n, 1)
        values.append(np.mean(r[n >= 60]) if (n >= 60).any() else np.nan)
    return float(np.mean(values))


def cross_correlation(moves: Array) -> float:
    """Return the mean correlation of returns between symbols, from the variance of the mean of their scores."""
    z = standard(moves, 0, least=60)
    count = (z != 0).sum(axis=1)
    rows = count >= max(3, int(0.5 * z.shape[1]))
    if rows.sum() < 40:
        return float("nan")
    mean = z[rows].sum(axis=1) / count[rows]
    n = float(np.mean(count[rows]))
    variance = float(np.mean(mean**2))
    return (variance - 1 / n) / (1 - 1 / n)


def _r(a: Array, b: Array) -> float:
    """Return the mean over symbols of the rank correlation in time."""
    both = np.isfinite(a) & np.isfinite(b)
    x = standard(np.where(both, pooled_ranks(a), np.nan), 0, least=40)
    y = standard(np.where(both, pooled_ranks(b), np.nan), 0, least=40)
    n = ((x != 0) & (y != 0)).sum(axis=0)
    if not (n >= 40).any():
        return float("nan")
    return float(np.mean(((x * y).sum(axis=0) / np.maximum(n, 1))[n >= 40]))


def _bars(ctx: Context, moves: Array, add: Any) -> None:
    close, volume = ctx.close, ctx.panel.price("volume")
    high, low = ctx.panel.price("high"), ctx.panel.price("low")
    if volume is not None:
        logs = np.log1p(np.maximum(volume, 0))
        memory = _r(logs, ahead(logs, -1))
        add("memory of volume", memory, "0.4 to 0.8", _slope(memory, 0.05, 0.3, -2.0, 0.7))
        busy = _r(logs, np.abs(moves))
        add("volume goes with the size of the move", busy, "0.15 to 0.5", _slope(busy, 0.02, 0.12, -1.0, 0.7))
    if high is not None and low is not None:
        spread = (high - low) / close
        wide = _r(spread, np.abs(moves))
        add("range goes with the size of the move", wide, "0.4 to 0.7", _slope(wide, 0.05, 0.3, -1.5, 0.7))
        memory = _r(spread, ahead(spread, -1))
        add("memory of the daily range", memory, "0.3 to 0.7", _slope(memory, 0.05, 0.2, -1.5, 0.5))


def _against_sources(ctx: Context, moves: Array, add: Any) -> None:
    mean = session_mean(moves)
    market = ctx.sources.market_returns(ctx.panel.sessions)
    if market is not None:
        r = _r(mean, market)
        add("the symbols' mean return against the market source", r, "0.6 to 1", _slope(r, 0.1, 0.5, -2.5, 1.5))
    vix = ctx.sources.vix(ctx.panel.sessions)
    if vix is not None:
        r = -_r(mean, vix / ahead(vix, -1) - 1)
        add("falls of the VIX go with rises of the symbols", r, "0.4 to 0.8", _slope(r, 0.0, 0.3, -0.8, 0.5))
    if ctx.reference is not None:
        add_reference(ctx, moves, add)


def add_reference(ctx: Context, moves: Array, add: Any) -> None:
    """Compare returns with those of the reference prices, same symbols and sessions."""
    reference = ctx.reference
    trusted = None if reference is None else reference.price("close")
    if reference is None or trusted is None:
        return
    places = {s: i for i, s in enumerate(reference.symbols)}
    common = [(i, places[s]) for i, s in enumerate(ctx.panel.symbols) if s in places]
    at = np.searchsorted(reference.sessions, ctx.panel.sessions)
    inside = (at < len(reference.sessions)) & (
        reference.sessions[np.minimum(at, len(reference.sessions) - 1)] == ctx.panel.sessions
    )
    if not common or inside.sum() < 40:
        return
    own = moves[np.ix_(np.flatnonzero(inside), np.array([i for i, _ in common]))]
    theirs = (trusted / ahead(trusted, -1) - 1)[np.ix_(at[inside], np.array([j for _, j in common]))]
    r = _r(own, theirs)
    add("returns against the reference prices", r, "above 0.95", _slope(r, 0.3, 0.9, -4.0, 3.0))


def _indicators(ctx: Context, add: Any) -> None:
    """Ask whether columns that carry an indicator's name follow from the prices beside them."""
    named = [n for n in ctx.table.features if _KNOWN.match(n) and n in ctx.similar]
    if len(named) < 1 or ctx.library is None:
        return
    follow = [ctx.similar[n][1] > 0.8 or n in ctx.matches for n in named]
    share = float(np.mean(follow))
    weight = min(len(named), 6) / 6
    add(
        "share of named indicators that follow from the prices",
        share,
        "near 1",
        weight * _slope(share, 0.2, 0.8, -2.5, 1.0),
    )


def _vendor_memory(ctx: Context, add: Any) -> None:
    """Ask whether levels that have memory in real markets (sentiment, implied volatility, ratios) have any here."""
    pattern = re.compile(r"(sentiment|put_?call|implied|iv_|iv$|vix|pmi|macro|open_interest|short)", re.IGNORECASE)
    values = []
    for name in ctx.table.features:
        if pattern.search(name):
            column = ctx.panel.column(name)
            values.append(_r(column, ahead(column, -1)) if np.nanstd(column) > 0 else np.nan)
    known = [v for v in values if np.isfinite(v)]
    if known:
        mean = float(np.mean(known))
        add("memory of vendor columns", mean, "above 0.2", _slope(mean, 0.0, 0.15, -0.8, 0.3))


def suspicious_symbols(ctx: Context) -> list[tuple[str, dict[str, float | int | str | None]]]:
    """Return symbols that move with nobody, without fat tails or clustering, beside others that do."""
    close = ctx.panel.price("close")
    if close is None or close.shape[1] < 5 or len(close) < 200:
        return []
    moves = close / ahead(close, -1) - 1
    z = standard(pooled_ranks(moves), 0, least=120)
    others = (z.sum(axis=1, keepdims=True) - z) / max(z.shape[1] - 1, 1)
    n = (z != 0).sum(axis=0)
    theirs = standard(np.where(z != 0, others, np.nan), 0)
    r = (z * theirs).sum(axis=0) / np.maximum(n, 1)
    if np.median(r[n >= 200]) < 0.3:
        return []
    noise = 1 / np.sqrt(np.maximum(n, 1))
    out: list[tuple[str, dict[str, float | int | str | None]]] = []
    for s in np.flatnonzero((r < 0.02 + 1.5 * noise) & (n >= 200)):
        own = moves[:, [s]]
        memory = clustering(own)
        if np.isfinite(memory) and memory < 0.02 + 0.3 * noise[s]:
            # A defensive share in a calm year looks like this too: two years are asked for before it is an accusation.
            certain = n[s] >= 450 and r[s] < noise[s] and memory < 0.02
            facts = {"correlation_with_the_others": float(r[s]), "memory_of_size": memory, "certain": int(certain)}
            out.append((ctx.panel.symbols[s], dict(facts)))
    return out[:3]
