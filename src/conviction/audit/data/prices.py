"""Price quality: impossible bars, unadjusted splits, stale prices, and whether these are market prices at all."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from conviction.audit._report import Finding
from conviction.audit.data._context import Context, SkipCheckError
from conviction.audit.data._panel import Array, ahead
from conviction.audit.data._real_data import confidence, gather, suspicious_symbols
from conviction.audit.data._rolling import rolling_mean

_FACTORS = (2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 10.0, 12.0, 15.0, 20.0, 25.0, 30.0, 50.0, 100.0, 1.5)
_CONSOLIDATION = 4.0  # smallest factor by which a reverse split raises a price


def check_bars(ctx: Context) -> Iterator[Finding]:
    """Look for bars that cannot be: high below low, a close outside the range, prices not above 0, negative volume."""
    panel, close = ctx.panel, ctx.panel.price("close")
    rules = _bar_rules(ctx)
    if not rules:
        why = "the dataset has no prices"
        raise SkipCheckError(why)
    bad = np.zeros(panel.shape, dtype=bool)
    texts = []
    for text, rule in rules:
        if rule.any():
            texts.append(f"{text} in {int(rule.sum())}")
            bad |= rule
    if close is not None:
        spikes = _spikes(close)
        if spikes.any():
            texts.append(f"the close jumps and returns the next session in {int(spikes.sum())}")
            bad |= spikes
    if bad.any():
        symbols = ctx.symbols_of(bad)
        order = sorted(symbols, key=lambda s: -int(bad[:, panel.symbols.index(s)].sum()))
        if len(symbols) <= max(3, len(panel.symbols) // 5):
            ctx.set_aside.update(dict.fromkeys(symbols, "impossible bars"))
        yield ctx.accuse(
            "prices.bars",
            symbols=tuple(order[:12]),
            first_row=ctx.first_row(bad),
            evidence={"rows": int(bad.sum()), "symbols": len(symbols)},
            explanation=f"Bars that cannot be: {'; '.join(texts)} row(s).",
            remedy="Take these bars from another source, or leave the rows out.",
        )


def _bar_rules(ctx: Context) -> list[tuple[str, Array]]:
    """Return what must never hold, for the prices that are there."""
    opening, high, low, close, volume = (ctx.panel.price(n) for n in ("open", "high", "low", "close", "volume"))
    rules: list[tuple[str, Array]] = []
    for name, price in (("open", opening), ("high", high), ("low", low), ("close", close)):
        if price is not None:
            rules.append((f"{name} is not above 0", price <= 0))
    if volume is not None:
        rules.append(("volume is negative", volume < 0))
    if high is not None and low is not None:
        rules.append(("high is below low", high < low * (1 - 1e-3)))
    # Adjusted prices are rounded apart from each other: a tenth of a percent is no accusation.
    for name, price in (("open", opening), ("close", close)):
        if price is not None and high is not None:
            rules.append((f"{name} is above high", price > high * (1 + 2e-3)))
        if price is not None and low is not None:
            rules.append((f"{name} is below low", price < low * (1 - 2e-3)))
    return rules


def _spikes(close: Array) -> Array:
    move, back = np.log(close / ahead(close, -1)), np.log(ahead(close, 1) / close)
    return np.asarray(np.isfinite(move + back) & (np.abs(move) > 0.4) & (np.abs(move + back) < 0.1 * np.abs(move)))


def check_splits(ctx: Context) -> Iterator[Finding]:
    """Look for jumps by a split's factor on a quiet day: prices before and after are not of one share."""
    close = ctx.close
    ratio = close / ahead(close, -1)
    log = np.log(ratio)
    quiet = np.abs(log)
    calm = np.nanmedian(quiet, axis=0)
    known = np.isfinite(log).any(axis=1, keepdims=True)  # not the first row
    market = np.nanmedian(np.where(known, log, 0.0), axis=1, keepdims=True) if close.shape[1] > 2 else 0.0
    opening = ctx.panel.price("open")
    busy = _volume_ratio(ctx)
    named: dict[str, tuple[int, float]] = {}
    for factor in _FACTORS:
        for signed in (np.log(factor), -np.log(factor)):
            off = np.abs(log - market - signed)
            if opening is None:
                near = off < np.minimum(0.09, 4 * np.maximum(calm, 0.01))
            else:
                # A split is done overnight: the open is already at the new price, and the session is an ordinary one.
                near = (off < 0.12) & (np.abs(np.log(opening / ahead(close, -1)) - signed) < 0.1)
            for row, column in np.argwhere(near & (quiet > 0.35)):
                around = quiet[max(row - 6, 0) : row + 7, column]
                rest = np.delete(around, min(row, 6))
                times = busy[row, column] if busy is not None else 1.0
                # News moves a price by a third too, but on many times the usual volume.
                if np.isfinite(times) and not (
                    times < (2 if factor == 1.5 else 3) or 0.4 * factor < times < 2.5 * factor > 5
                ):
                    continue
                if np.nanmedian(rest) < max(2.5 * calm[column], 0.04) and np.nanmax(rest) < 0.3:
                    named[ctx.panel.symbols[column]] = (int(row), factor if signed > 0 else 1 / factor)
    for symbol, (row, factor) in named.items():
        # Closes alone do not tell a rise by a half from news (a chip maker once did it); only consolidations rise, by more.
        proved = opening is not None or busy is not None or factor < 1 or factor >= _CONSOLIDATION
        if proved:
            ctx.set_aside[symbol] = "split"
        yield ctx.accuse(
            "prices.splits",
            severity="error" if proved else "warning",
            symbols=(symbol,),
            first_row=row,
            evidence={"factor": factor},
            explanation=f"{symbol} jumps by a factor near {factor:.3g} between two quiet sessions: "
            + (
                "an unadjusted split." if proved else "an unadjusted split or news; neither an open nor a volume tells."
            ),
            remedy="Adjust the earlier prices by the split's factor, and recompute what depends on them.",
        )


def _volume_ratio(ctx: Context) -> Array | None:
    """Return volume over the mean of the twenty sessions before, or None without volume."""
    volume = ctx.panel.price("volume")
    return None if volume is None else volume / ahead(rolling_mean(volume, 20), -1)


def check_stale(ctx: Context) -> Iterator[Finding]:
    """Look for closes that stand still for longer than traded prices do."""
    close = ctx.panel.pack(ctx.close)
    same = close == np.vstack([np.full((1, close.shape[1]), np.nan), close[:-1]])
    run = np.zeros(close.shape, dtype=int)
    for i in range(1, len(close)):
        run[i] = np.where(same[i], run[i - 1] + 1, 0)
    longest = run.max(axis=0) + 1
    if ctx.table.intraday:
        why = "intraday prices may stand still honestly"
        raise SkipCheckError(why)
    for column in np.flatnonzero(longest >= 6):
        symbol = ctx.panel.symbols[column]
        # A thinly traded share stands still often; a stopped feed does it once.
        elsewhere = float(same[:, column].sum() - longest[column] + 1) / len(close)
        certain = longest[column] >= 20 or (longest[column] >= 8 and elsewhere < 0.03)
        if certain:
            ctx.set_aside[symbol] = "stale"
        yield ctx.accuse(
            "prices.stale",
            symbols=(symbol,),
            severity="error" if certain else "warning",
            first_row=int(np.argmax(run[:, column])) - int(longest[column]) + 1,
            evidence={"sessions": int(longest[column])},
            explanation=f"The close of {symbol} stands still for {int(longest[column])} sessions.",
            remedy="Leave the sessions out: no trade took place, or the feed had stopped.",
        )


def check_real_data(ctx: Context) -> Iterator[Finding]:
    """Sum named evidence for and against market prices; accuse the dataset, or single symbols, where it is against."""
    if ctx.table.intraday:
        why = "what real markets show is known here for daily bars only"
        raise SkipCheckError(why)
    evidence = gather(ctx)
    ctx.quality["evidence"] = evidence
    ctx.quality["confidence"] = value = confidence(evidence)
    if value < 0.5:
        against = sorted((e for e in evidence if e["contribution"] < 0), key=lambda e: e["contribution"])
        yield ctx.accuse(
            "prices.real_data",
            severity="error" if value < 0.3 else "warning",
            evidence={"confidence": value} | {str(e["name"]): e["value"] for e in against[:6]},
            explanation=(
                f"This is {'not market data' if value < 0.3 else 'hardly market data'} (confidence {value:.2f}): "
                + "; ".join(f"{e['name']} {e['value']} where real markets show {e['real']}" for e in against[:4])
                + "."
            ),
            remedy="Find out where the prices come from; compare them with a trusted source (reference=).",
        )
    if value >= 0.3:
        for symbol, facts in suspicious_symbols(ctx):
            yield ctx.accuse(
                "prices.real_symbol",
                symbols=(symbol,),
                severity="error" if facts["certain"] else "warning",
                evidence=facts,
                explanation=f"The prices of {symbol} move with nobody and without memory: they are not that stock's prices.",
                remedy="Compare this symbol with a trusted source.",
            )
