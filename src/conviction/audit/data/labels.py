"""Labels: every target at every horizon recomputed from prices, and named by what it is where it is something else."""

from __future__ import annotations

import re
from collections.abc import Iterator

import numpy as np

from conviction.audit._report import Finding
from conviction.audit.data._context import Context, SkipCheckError, decimals, is_binary
from conviction.audit.data._panel import Array, ahead, session_mean

_REMEDY = (
    "Recompute the target as close[t+k]/close[t]-1 with rows sorted by symbol and session, missing where the future is."
)
_TOLERATED = 0.0005
_DOCUMENTED = re.compile(r"^target_\d+d$")


def price_tolerance(ctx: Context, horizon: int) -> Array:
    """Return how far a k-session return may be off because prices are rounded, on the grid."""
    close = ctx.close
    places = decimals(close)
    if places is None or places > 6:
        return np.zeros(close.shape)
    half = 0.5 * 10.0**-places
    with np.errstate(all="ignore"):
        later = ahead(close, horizon)
        off = 1.05 * half * (1 / np.abs(close) + np.abs(later) / close**2)
        return np.asarray(np.nan_to_num(off, nan=0.0, posinf=0.0))


def forward_return(ctx: Context, horizon: int, *, own_rows: bool = False) -> Array:
    """Return ``close[t+k]/close[t]-1`` over sessions, or over the symbol's own rows where some are missing."""
    if own_rows:
        packed = ctx.panel.pack(ctx.close)
        return ctx.once(f"forward_own_{horizon}", lambda: ctx.panel.unpack(ahead(packed, horizon) / packed - 1))
    return ctx.once(f"forward_{horizon}", lambda: ahead(ctx.close, horizon) / ctx.close - 1)


def _equal(values: Array, wanted: Array, slack: Array | float) -> Array:
    places = decimals(values)
    rounding = 0.51 * 10.0**-places if places is not None and places <= 7 else 0.0
    with np.errstate(all="ignore"):
        return np.asarray(np.abs(values - wanted) <= 2e-6 + 2e-5 * np.abs(wanted) + rounding + slack)


def _direction_equal(values: Array, wanted: Array, slack: Array | float) -> Array:
    high = np.nanmax(values) if np.isfinite(values).any() else 1.0
    up = values == high
    with np.errstate(all="ignore"):
        # A move smaller than the prices' rounding may honestly fall on either side of zero.
        return np.asarray((up == (wanted > 0)) | ((np.abs(wanted) <= slack) & (slack > 0)))


def check_targets(ctx: Context) -> Iterator[Finding]:
    """Recompute every target from prices; name what a wrong one is instead.

    Where every return target disagrees with the prices in the same few symbols only, the prices are as likely to be
    wrong as the targets: the symbols are accused, once, and left out of the checks that follow.
    """
    findings = list(_wrong_targets(ctx))
    errors = [f for f in findings if f.severity == "error"]
    symbols = {s for f in errors for s in f.symbols}
    returns = [n for n in ctx.table.targets if not is_binary(ctx.panel.column(n))]
    wrong = {n for f in errors for n in f.columns if n in returns}
    local = all(f.symbols for f in errors) and 0 < len(symbols) <= 3
    if len(wrong) == len(returns) >= 3 and local:
        ctx.set_aside.update(dict.fromkeys(symbols, "prices and targets disagree"))
        ctx.accused.difference_update({c for f in errors for c in f.columns})
        findings = [f for f in findings if f not in errors]
        findings.append(
            ctx.accuse(
                "labels.prices_disagree",
                symbols=tuple(sorted(symbols)),
                evidence={"targets": len(wrong)},
                explanation=f"No target of {', '.join(sorted(symbols))} follows from the prices beside it.",
                remedy="Compare prices and targets of this symbol with a trusted source: one of them is another stock's.",
            )
        )
    yield from findings


def _wrong_targets(ctx: Context) -> Iterator[Finding]:
    ctx.close  # noqa: B018 (skips the check where there is none)
    if not ctx.table.targets:
        why = "no target column was recognised; name them with targets="
        raise SkipCheckError(why)
    for name, horizon in ctx.table.targets.items():
        values = ctx.panel.column(name)
        if not np.isfinite(values).any():
            yield ctx.accuse(
                "labels.recomputed",
                columns=(name,),
                explanation=f"{name} is empty.",
                remedy=_REMEDY,
            )
            continue
        binary = is_binary(values)
        compare = _direction_equal if binary else _equal
        slack = price_tolerance(ctx, horizon)
        wanted = forward_return(ctx, horizon)
        own = forward_return(ctx, horizon, own_rows=True) if ctx.panel._pack is not None else wanted
        comparable = np.isfinite(values) & np.isfinite(wanted)
        right = compare(values, wanted, slack) | (np.isfinite(own) & compare(values, own, slack))
        wrong = comparable & ~right
        n, bad = int(comparable.sum()), int(wrong.sum())
        if n == 0:
            continue
        if bad > max(2, _TOLERATED * n):
            yield _name_the_defect(ctx, name, horizon, values=values, comparable=comparable, wrong=wrong, binary=binary)
        elif bad:
            yield ctx.accuse(
                "labels.recomputed",
                columns=(name,),
                symbols=ctx.symbols_of(wrong)[:10],
                severity="warning",
                first_row=ctx.first_row(wrong),
                evidence={"rows_wrong": bad, "rows_compared": n},
                explanation=f"{bad} of {n} values of {name} do not follow from the prices; the rest do.",
                remedy="Look at these rows: a corrected price, or an edited label.",
            )


def _candidates(ctx: Context, horizon: int) -> Iterator[tuple[str, str, Array]]:
    """Yield (name, severity, values) of what a target may be instead of what it should be."""
    close = ctx.close
    right = forward_return(ctx, horizon)
    yield "inverted", "error", -right
    for k in dict.fromkeys((horizon, 1, 2, 3, 5, 10)):
        past = close / ahead(close, -k) - 1
        yield ("same_day" if k == horizon else f"past_{k}"), "error", past
        yield f"past_{k}_inverted", "error", -past
    for shift in (1, 2, 3, 5, -1, -2, -3, -5):
        yield (f"lagged_{shift}" if shift > 0 else f"ahead_{-shift}"), "error", ahead(right, -shift)
    for k in (1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 15, 20, 21):
        if k != horizon:
            yield f"horizon_{k}", "error", forward_return(ctx, k)
    yield "log_return", "info", np.log1p(right)
    yield "percent", "info", 100 * right
    yield "basis_points", "info", 10_000 * right
    yield "log_percent", "info", 100 * np.log1p(right)
    yield "price_change", "warning", right * close
    yield "excess_over_session_mean", "warning", right - session_mean(right)
    yield "excess_over_session_median", "warning", right - np.nanmedian(right, axis=1, keepdims=True)
    market = ctx.sources.market_returns(ctx.panel.sessions)
    if market is not None:
        level = np.cumprod(1 + np.nan_to_num(market), axis=0)
        yield "excess_over_market", "warning", right - (ahead(level, horizon) / level - 1)
    opening = ctx.panel.price("open")
    if opening is not None:
        yield "from_next_open_to_close", "warning", ahead(close, horizon) / ahead(opening, 1) - 1
        yield "from_next_open_to_open", "warning", ahead(opening, horizon + 1) / ahead(opening, 1) - 1
        yield "same_session_open_to_close", "error", close / opening - 1
        yield "close_to_next_open", "warning", ahead(opening, 1) / close - 1
        yield "open_to_open", "error", ahead(opening, horizon) / opening - 1


_WORDS = {
    "inverted": "has the opposite sign of the move that followed",
    "same_day": "is the move that ends at the row's own close, already known, and not the one that follows",
    "log_return": "is the log return instead of the simple one",
    "percent": "is in percent",
    "basis_points": "is in basis points",
    "log_percent": "is the log return in percent",
    "same_session_open_to_close": "is the move of the row's own session",
    "open_to_open": "starts at the row's own open, before the decision",
}


def _say(kind: str, name: str, horizon: int) -> str:
    if kind in _WORDS:
        return f"{name} {_WORDS[kind]}."
    head, _, number = kind.partition("_")
    if head == "past":
        return f"{name} equals a past move of {number.split('_')[0]} session(s), known at the row's close."
    if head == "lagged":
        return f"{name} is its right value {number} session(s) late: rows are shifted."
    if head == "ahead":
        return f"{name} is its right value {number} session(s) early: rows are shifted."
    if head == "horizon":
        return f"{name} is the move over {number} session(s), not over {horizon}."
    return f"{name} follows another definition: {kind.replace('_', ' ')}."


def _name_the_defect(
    ctx: Context, name: str, horizon: int, *, values: Array, comparable: Array, wrong: Array, binary: bool
) -> Finding:
    compare = _direction_equal if binary else _equal
    slack = price_tolerance(ctx, horizon)
    n, bad = int(comparable.sum()), int(wrong.sum())
    evidence: dict[str, float | int | str | None] = {"rows_wrong": bad, "rows_compared": n, "horizon": horizon}
    expected = forward_return(ctx, horizon)
    both = comparable
    spread = float(np.nanstd(values[both])) * float(np.nanstd(expected[both]))
    evidence["correlation_with_the_move"] = (
        float(np.corrcoef(values[both], expected[both])[0, 1]) if spread > 0 and n > 2 else None
    )
    documented = bool(_DOCUMENTED.match(name))
    best, severity, share = "", "error", 0.0
    for kind, weight, candidate in _candidates(ctx, horizon):
        usable = wrong & np.isfinite(candidate)
        if usable.sum() < max(3, 0.5 * bad):
            continue
        hit = float(compare(values, candidate, slack * (100 if "percent" in kind else 1))[usable].mean())
        if hit > share:
            whole = comparable & np.isfinite(candidate)
            general = float(compare(values, candidate, slack * (100 if "percent" in kind else 1))[whole].mean()) > 0.98
            # A unit or another definition is one only where it holds everywhere.
            # ``target_5d`` has one meaning; a target of another name may follow another definition that looks ahead only.
            accused = not general or (weight == "warning" and documented)
            best, severity, share = kind, "error" if accused else weight, hit
    certain = 0.95 if binary else 0.7
    symbols, where = _concentration(ctx, comparable, wrong)
    if share >= certain:
        explanation = _say(best, name, horizon)
        evidence |= {"matches": best, "share_matched": share}
    else:
        severity = "error"
        shuffled = not binary and _same_multiset(values, expected, comparable)
        evidence["matches"] = "shuffled" if shuffled else "nothing"
        explanation = (
            f"{name} holds the right values in wrong rows: it is shuffled."
            if shuffled
            else f"{name} differs from the move that followed in {bad} of {n} rows."
        )
    return ctx.accuse(
        "labels.recomputed",
        columns=(name,),
        symbols=symbols,
        severity=severity,
        first_row=ctx.first_row(wrong),
        evidence=evidence,
        explanation=explanation + where,
        remedy=_REMEDY,
    )


def _concentration(ctx: Context, comparable: Array, wrong: Array) -> tuple[tuple[str, ...], str]:
    """Name the symbols, or say the span of sessions, that hold nearly all wrong rows where that is a small part."""
    per_symbol = wrong.sum(axis=0)
    order = np.argsort(-per_symbol)
    total = int(wrong.sum())
    few = order[: max(1, min(3, len(order) // 3))]
    if len(ctx.panel.symbols) > 1 and per_symbol[few].sum() >= 0.95 * total:
        named = tuple(ctx.panel.symbols[i] for i in few if per_symbol[i] > 0)
        return named, f" Only in {', '.join(named)}."
    rows = np.flatnonzero(wrong.any(axis=1))
    if len(rows) and rows[-1] - rows[0] + 1 < 0.5 * comparable.any(axis=1).sum():
        return (), f" Only from {ctx.panel.session_text(int(rows[0]))} to {ctx.panel.session_text(int(rows[-1]))}."
    return (), ""


def _same_multiset(values: Array, expected: Array, comparable: Array) -> bool:
    for columns in (slice(None), *range(0, values.shape[1], max(1, values.shape[1] // 5))):
        use = comparable[:, columns]
        a, b = np.sort(values[:, columns][use]), np.sort(expected[:, columns][use])
        if len(a) > 20 and np.mean(np.abs(a - b) <= 1e-5 + 1e-3 * np.abs(b)) < 0.98:
            return False
    return True


def check_tails(ctx: Context) -> Iterator[Finding]:
    """Look for target values where the dataset has no future to compute them from."""
    close = ctx.close
    last = np.where(ctx.panel.present.any(axis=0), len(close) - 1 - np.argmax(ctx.panel.present[::-1], axis=0), -1)
    tails: dict[str, Array] = {}
    for name, horizon in ctx.table.targets.items():
        rows = np.arange(len(close))[:, None]
        tail = (rows > last - horizon) & ctx.panel.present
        # A symbol that leaves the dataset early may have been cut: only where its history ends with everyone's.
        filled = tail & np.isfinite(ctx.panel.column(name)) & (last >= len(close) - 1)
        if filled.any():
            tails[name] = filled
    cut = _implied_futures_agree(ctx, tails)
    untold = _nothing_to_compare(ctx, tails)
    for name, filled in tails.items():
        horizon = ctx.table.targets[name]
        how = _how_filled(ctx, name, horizon, filled)
        genuine = cut and (how == "unknown values" or _sign_of_another(ctx, name, filled))
        if not genuine and untold and how == "unknown values":
            yield _cannot_tell(ctx, name, horizon, filled)
            continue
        yield ctx.accuse(
            "labels.tail",
            columns=(name,),
            symbols=ctx.symbols_of(filled) if filled.any(axis=0).sum() <= 3 else (),
            severity="info" if genuine else "error",
            first_row=ctx.first_row(filled),
            evidence={"rows_filled": int(filled.sum()), "horizon": horizon, "filled_with": how},
            explanation=(
                f"{name} has values in the last {horizon} row(s) that agree with the other targets: the dataset was cut."
                if genuine
                else f"{name} has values in the last {horizon} row(s), where no future price exists: {how}."
            ),
            remedy="Leave the target missing where the future is missing, and drop those rows from training.",
        )


def _nothing_to_compare(ctx: Context, tails: dict[str, Array]) -> bool:
    """Whether all targets are filled to the end, and no two of them tell of the same future session."""
    ends = {ctx.table.targets[n] for n in tails if not is_binary(ctx.panel.column(n))}
    whole = all(
        n in tails and (np.isfinite(ctx.panel.column(n))[-1] | ~ctx.panel.present[-1]).all() for n in ctx.table.targets
    )
    return whole and len(ends) <= 1


def _cannot_tell(ctx: Context, name: str, horizon: int, filled: Array) -> Finding:
    return ctx.accuse(
        "labels.tail",
        columns=(name,),
        severity="warning",
        first_row=ctx.first_row(filled),
        evidence={"rows_filled": int(filled.sum()), "horizon": horizon, "filled_with": "unknown values"},
        explanation=(
            f"{name} has values in the last {horizon} row(s) that no price in the file can check: "
            "the dataset was cut after the targets were made, or the end was filled."
        ),
        remedy="Keep the rows after the last target, so that it can be recomputed.",
    )


def _sign_of_another(ctx: Context, name: str, filled: Array) -> bool:
    """Whether a filled binary target is the sign of a return target of its horizon in every filled row."""
    values = ctx.panel.column(name)
    if not is_binary(values):
        return False
    moves = [
        ctx.panel.column(n)
        for n, h in ctx.table.targets.items()
        if h == ctx.table.targets[name] and not is_binary(ctx.panel.column(n))
    ]
    return any(np.isfinite(m[filled]).all() and _direction_equal(values, m, 0.0)[filled].all() for m in moves)


def _how_filled(ctx: Context, name: str, horizon: int, filled: Array) -> str:
    values = ctx.panel.column(name)
    tail = values[filled]
    if np.all(tail == 0):
        return "zero"
    before = ahead(values, -1)[filled]
    if np.mean(tail == before) > 0.8 and not is_binary(values):
        return "the last value carried forward"
    border = _over_border(ctx, horizon)
    with np.errstate(all="ignore"):
        if np.nanmean(np.abs(tail - border[filled]) < 1e-6) > 0.5:
            return "the next symbol's first prices"
    if len(np.unique(tail)) == 1 and len(tail) > 2 and not is_binary(values):
        return "one constant"
    others = np.where(filled, np.nan, values)
    with np.errstate(all="ignore"):
        for what, middle in (("mean", np.nanmean(others, axis=0)), ("median", np.nanmedian(others, axis=0))):
            level = np.broadcast_to(middle, values.shape)[filled]
            if np.mean(np.abs(tail - level) <= 1e-6 + 1e-4 * np.abs(level)) > 0.8:
                return f"the symbol's {what}"
        past = ctx.close / ahead(ctx.close, -horizon) - 1
        if np.mean(np.abs(tail - past[filled]) <= 1e-6) > 0.8:
            return "the move that ends at the row"
    return "unknown values"


def _over_border(ctx: Context, horizon: int) -> Array:
    """Return the forward return of a shift that ignores symbols, rows in the order in which they came."""
    raw = ctx.table.raw
    own = ctx.panel.prices.get("close")
    close = raw[own].to_numpy() if own else np.full(raw.height, np.nan)
    later = np.full(len(close), np.nan)
    later[:-horizon] = close[horizon:]
    with np.errstate(all="ignore"):
        moved = later / close - 1
    out = np.full(ctx.panel.shape, np.nan)
    inside = ctx.panel.rows >= 0
    out[inside] = moved[ctx.panel.rows[inside]]
    return out


def _implied_futures_agree(ctx: Context, tails: dict[str, Array]) -> bool:
    """Whether the future closes that several filled targets imply are the same ones."""
    close = ctx.close
    implied: dict[tuple[int, int], list[float]] = {}
    for name, filled in tails.items():
        horizon, values = ctx.table.targets[name], ctx.panel.column(name)
        if is_binary(values):
            continue
        for row, column in np.argwhere(filled):
            future = close[row, column] * (1 + values[row, column])
            implied.setdefault((int(row) + horizon, int(column)), []).append(float(future))
    shared = [v for v in implied.values() if len(v) > 1]
    return len(shared) >= 3 and all(max(v) <= min(v) * 1.0005 for v in shared)


def check_consistency(ctx: Context) -> Iterator[Finding]:
    """Compare targets with each other: binary ones with the return of their horizon, long with compounded short."""
    targets = ctx.table.targets
    continuous = {h: n for n, h in targets.items() if not is_binary(ctx.panel.column(n))}
    binary = {n: h for n, h in targets.items() if is_binary(ctx.panel.column(n))}
    if len(targets) < 2:
        why = "there is only one target"
        raise SkipCheckError(why)
    for name, horizon in binary.items():
        if horizon not in continuous or {name, continuous[horizon]} & ctx.accused:
            continue
        values, move = ctx.panel.column(name), ctx.panel.column(continuous[horizon])
        both = np.isfinite(values) & np.isfinite(move)
        wrong = both & ~_direction_equal(values, move, 0.0)
        if both.any() and wrong.sum() > max(2, 0.001 * both.sum()):
            yield ctx.accuse(
                "labels.consistency",
                columns=(name,),
                first_row=ctx.first_row(wrong),
                evidence={"rows_wrong": int(wrong.sum()), "rows_compared": int(both.sum())},
                explanation=f"{name} is not the sign of {continuous[horizon]} in {int(wrong.sum())} rows.",
                remedy=f"Recompute {name} as 1 where {continuous[horizon]} > 0, else 0, missing where that is missing.",
            )
    if 1 in continuous and ctx.panel.price("close") is None:
        yield from _compounded(ctx, continuous)


def _compounded(ctx: Context, continuous: dict[int, str]) -> Iterator[Finding]:
    one = ctx.panel.pack(ctx.panel.column(continuous[1]))
    for horizon, name in continuous.items():
        if horizon == 1 or horizon > 60:
            continue
        product = np.ones_like(one)
        for step in range(horizon):
            product = product * (1 + ahead(one, step))
        values = ctx.panel.pack(ctx.panel.column(name))
        both = np.isfinite(values) & np.isfinite(product)
        wrong = both & ~_equal(values, product - 1, 2e-4)
        if both.any() and wrong.sum() > max(2, 0.02 * both.sum()):
            yield ctx.accuse(
                "labels.consistency",
                columns=(name,),
                evidence={"rows_wrong": int(wrong.sum()), "rows_compared": int(both.sum())},
                explanation=f"{name} is not {continuous[1]} compounded over {horizon} sessions.",
                remedy=_REMEDY,
            )
