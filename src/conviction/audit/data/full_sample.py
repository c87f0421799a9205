"""Statistics of the whole history inside a column: scaling, ranks, encodings, imputation, interpolation, projection.

What was computed over all sessions leaves fingerprints that a statistic of the past cannot leave: a mean of exactly 0
in every symbol, an extreme of exactly 1 attained once, a repeated value that is the mean of the others.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from conviction.audit._report import Finding
from conviction.audit.data._association import is_shared
from conviction.audit.data._context import Context, decimals
from conviction.audit.data._fingerprints import SCALING_TESTS, clipped, scale_by_whole_history
from conviction.audit.data._panel import Array, ahead

_CHANCE = 1e4  # one audit in so many may see such an order of symbols by chance
_REMEDY = (
    "Fit scaling, ranks, encodings and imputation on the training sessions of each fold, or on a window that ends at t."
)


def _plain(ctx: Context, name: str) -> Array:
    """Return the packed column; one symbol is enough where a session has one value for all."""
    column = ctx.panel.column(name)
    if is_shared(column):
        with np.errstate(all="ignore"):
            return np.nanmax(column, axis=1, keepdims=True) if np.isfinite(column).any() else column[:, :1]
    return ctx.panel.pack(column)


def check_scaling(ctx: Context) -> Iterator[Finding]:
    """Look for means, spreads, extremes, ranks and clips that only the whole history can give."""
    for name in ctx.table.features:
        if name in ctx.accused:
            continue
        packed = _plain(ctx, name)
        count = np.isfinite(packed).sum(axis=0)
        if (count >= 30).sum() < 1 or not _continuous_enough(packed):
            continue
        found = None
        match = ctx.matches.get(name)
        natural = (
            match is not None
            and match.causal
            and match.pooled
            and abs(float(np.nanmedian(match.level))) < 1e-9
            and match.share > 0.4
        )
        # What is its definition as it stands was not scaled, but may have been clipped.
        for test in (clipped,) if natural else SCALING_TESTS:
            found = test(packed, ctx, name)
            if found is not None:
                break
        if found is None and match is not None and match.causal and match.share > 0.9 and not match.pooled:
            found = scale_by_whole_history(ctx, match)
        if found is not None:
            what, evidence, symbols = found
            yield ctx.accuse(
                "full_sample.scaling",
                columns=(name,),
                symbols=symbols,
                evidence=evidence,
                explanation=f"{name} was computed with statistics of the whole history: {what}.",
                remedy=_REMEDY,
            )


def _continuous_enough(packed: Array) -> bool:
    good = packed[np.isfinite(packed)]
    return len(np.unique(good[:: max(1, len(good) // 3000)])) >= 2


def check_encoding(ctx: Context) -> Iterator[Finding]:
    """Look for columns whose few values are means of the target over the rows that bear them."""
    outcomes = _outcomes(ctx)
    for name in ctx.table.features:
        if name in ctx.accused or ctx.proved_causal(name):
            continue
        column = ctx.panel.column(name)
        found = _symbol_statistic(ctx, column) or _group_means(column, outcomes) or _left_one_out(ctx, column, outcomes)
        if found is not None:
            what, evidence = found
            yield ctx.accuse(
                "full_sample.encoding",
                columns=(name,),
                evidence=evidence,
                explanation=f"{name} encodes the future of the whole history: {what}.",
                remedy=_REMEDY,
            )


def _outcomes(ctx: Context) -> dict[str, Array]:
    # A broken label proves nothing about what is beside it: the same-day move's mean is only today's breadth.
    out = {n: ctx.panel.column(n) for n in ctx.table.targets if n not in ctx.accused}
    close = ctx.panel.price("close")
    if close is not None:
        out["next return"] = ctx.next_return
        out["next direction"] = np.where(np.isfinite(ctx.next_return), (ctx.next_return > 0) * 1.0, np.nan)
    return out


def _symbol_statistic(ctx: Context, column: Array) -> tuple[str, dict[str, float | int | str | None]] | None:
    with np.errstate(all="ignore"):
        low, high = np.nanmin(column, axis=0), np.nanmax(column, axis=0)
    usable = np.isfinite(low) & (np.isfinite(column).sum(axis=0) > 30)
    if usable.sum() < 5 or not np.all(high[usable] - low[usable] <= 1e-9 * (1 + np.abs(high[usable]))):
        return None
    value = high[usable]
    if len(np.unique(np.round(value, 12))) < 4:
        return None
    for label, statistic in _whole_statistics(ctx).items():
        other = statistic[usable]
        if np.isfinite(other).all() and other.std() > 0 and value.std() > 0:
            r = abs(float(np.corrcoef(value, other)[0, 1]))
            if r > (0.9999 if usable.sum() < 10 else 0.998):
                return f"one number a symbol, its {label}", {"statistic": label, "correlation": r}
            if _orders_as(value, other):
                return f"one rank or class a symbol, in the order of its {label}", {"statistic": label}
    return None


def _orders_as(value: Array, statistic: Array) -> bool:
    """Say whether few or many classes of symbols divide a statistic without one exception, beyond chance.

    ``S! / (n_1! n_2! ...)`` orders of S symbols over classes of n_i are equally likely, and two of them agree.
    """
    from math import lgamma

    classes, count = np.unique(value, return_counts=True)
    orders = lgamma(len(value) + 1) - sum(lgamma(n + 1) for n in count)
    if len(classes) < 4 or orders < np.log(2 * _CHANCE * 30):
        return False
    ordered = value[np.argsort(statistic, kind="stable")]
    steps = np.diff(ordered)
    return bool((steps >= 0).all() or (steps <= 0).all())


def _whole_statistics(ctx: Context) -> dict[str, Array]:
    out: dict[str, Array] = {}
    with np.errstate(all="ignore"):
        for name, values in _outcomes(ctx).items():
            out[f"mean {name}"] = np.nanmean(values, axis=0)
        close = ctx.panel.price("close")
        if close is not None:
            moves = close / ahead(close, -1) - 1
            out["mean return"] = np.nanmean(moves, axis=0)
            out["share of days up"] = np.nanmean(np.where(np.isfinite(moves), moves > 0, np.nan), axis=0)
            out["volatility"] = np.nanstd(moves, axis=0)
            out["mean absolute return"] = np.nanmean(np.abs(moves), axis=0)
            out["Sharpe ratio"] = out["mean return"] / out["volatility"]
            market = np.nanmean(moves, axis=1, keepdims=True)
            centred = market - np.nanmean(market)
            out["beta"] = np.nansum(moves * centred, axis=0) / np.nansum(centred**2)
            out["mean close"] = np.nanmean(close, axis=0)
            out["highest close"], out["lowest close"] = np.nanmax(close, axis=0), np.nanmin(close, axis=0)
            packed = ctx.panel.pack(close)
            last = np.isfinite(packed).sum(axis=0) - 1
            out["last close"] = np.take_along_axis(packed, np.maximum(last, 0)[None, :], axis=0)[0]
            out["total return"] = out["last close"] / packed[0] - 1
            out["total log return"] = np.log(out["last close"] / packed[0])
        volume = ctx.panel.price("volume")
        if volume is not None:
            out["mean volume"] = np.nanmean(volume, axis=0)
            out["log mean volume"] = np.log(out["mean volume"])
    return out


def _group_means(column: Array, outcomes: dict[str, Array]) -> tuple[str, dict[str, float | int | str | None]] | None:
    good = np.isfinite(column)
    values, group = np.unique(column[good], return_inverse=True)
    if not 2 <= len(values) <= good.sum() / 12:
        return None
    for label, outcome in outcomes.items():
        y = outcome[good]
        known = np.isfinite(y)
        count = np.bincount(group[known], minlength=len(values))
        total = np.bincount(group[known], weights=y[known], minlength=len(values))
        big = count >= 5
        if big.sum() < 2:
            continue
        mean = total[big] / count[big]
        off = np.abs(values[big] - mean)
        spread = mean.std()
        if spread > 0 and np.mean(off <= 1e-3 * spread + 1e-7) > 0.9:
            return f"each value is the mean {label} of its own rows", {"outcome": label, "groups": int(big.sum())}
        if spread > 0 and mean.min() > 0 and mean.max() < 1 and "direction" in label:
            odds = np.log(mean / (1 - mean))
            follows = (
                abs(float(np.corrcoef(values[big], odds)[0, 1])) if big.sum() >= 4 and values[big].std() > 0 else 0.0
            )
            # Rows without a known outcome may have been counted as down: many groups need not agree to the last digit.
            if follows > (0.99999 if big.sum() < 8 else 0.998):
                return f"each value is the log odds of the {label} of its own rows", {"outcome": label}
        if big.sum() >= 12 and values[big].std() > 0 and spread > 0:
            r = float(np.corrcoef(values[big], mean)[0, 1])
            if abs(r) > 0.985:
                return f"its values follow the mean {label} of their own rows", {"outcome": label, "correlation": r}
    return None


def _left_one_out(
    ctx: Context, column: Array, outcomes: dict[str, Array]
) -> tuple[str, dict[str, float | int | str | None]] | None:
    weekday = (ctx.panel.sessions.astype("datetime64[D]").astype(np.int64) + 3) % 7
    month = ctx.panel.sessions.astype("datetime64[M]").astype(np.int64) % 12
    for label, outcome in outcomes.items():
        for by, key in (
            ("symbol", np.zeros_like(weekday)),
            ("symbol and weekday", weekday),
            ("symbol and month", month),
        ):
            r = _within_groups(column, outcome, key)
            if r < -0.95:
                return (
                    f"within each {by} it falls exactly as the row's own {label} rises: a mean that leaves the row out",
                    {"outcome": label, "correlation": r},
                )
    return None


def _within_groups(column: Array, outcome: Array, key: Array) -> float:
    both = np.isfinite(column) & np.isfinite(outcome)
    x, y = np.where(both, column, 0.0), np.where(both, outcome, 0.0)
    sxy = sxx = syy = 0.0
    for value in np.unique(key):
        rows = key == value
        n = np.maximum(both[rows].sum(axis=0), 1)
        a = np.where(both[rows], x[rows] - x[rows].sum(axis=0) / n, 0.0)
        b = np.where(both[rows], y[rows] - y[rows].sum(axis=0) / n, 0.0)
        sxy, sxx, syy = sxy + float((a * b).sum()), sxx + float((a * a).sum()), syy + float((b * b).sum())
    return sxy / np.sqrt(sxx * syy) if sxx > 1e-20 and syy > 0 else 0.0


def check_imputation(ctx: Context) -> Iterator[Finding]:
    """Look for filled values that are the mean or median of later ones, and for straight lines between known values."""
    for name in ctx.table.features:
        if name in ctx.accused:
            continue
        packed = _plain(ctx, name)
        good = np.isfinite(packed)
        if good.sum() < 60 or (ctx.proved_causal(name) and ctx.matches[name].share > 0.9999):
            continue
        found = _imputed(packed) or _interpolated(packed)
        if found is not None:
            what, evidence = found
            yield ctx.accuse(
                "full_sample.imputation",
                columns=(name,),
                evidence=evidence,
                explanation=f"Gaps of {name} were filled with what came later: {what}.",
                remedy="Carry the last known value forward, or leave the gap; fit any fill value on training sessions only.",
            )


def _repeated(values: Array) -> tuple[float, int]:
    ordered = np.sort(values)
    edges = np.flatnonzero(np.append(True, ordered[1:] != ordered[:-1]))
    length = np.diff(np.append(edges, len(ordered)))
    best = int(np.argmax(length))
    return float(ordered[edges[best]]), int(length[best])


def _is_fill(values: Array) -> str | None:
    """Say whether the most repeated value is the mean or median of the others, exactly."""
    if len(values) < 30:
        return None
    value, count = _repeated(values)
    rest = values[values != value]
    if count < 3 or len(rest) < 20 or len(np.unique(rest[:2000])) < 0.5 * min(len(rest), 2000):
        return None
    slack = 2e-6 * rest.std() + 1e-12 * abs(value)
    places = decimals(rest)
    slack += 0.51 * 10.0**-places if places is not None and places >= 3 else 0.0
    if abs(rest.mean() - value) <= slack:
        return "mean"
    # Half above and half below by chance happens to zero, the natural middle of many columns.
    # The median of an odd number of values is one of them, so that the fill equals a value that was there.
    middle = abs(np.median(rest) - value) <= slack or int((rest < value).sum()) == int((rest > value).sum())
    return "median" if value != 0 and middle else None


def _imputed(packed: Array) -> tuple[str, dict[str, float | int | str | None]] | None:
    flat = packed[np.isfinite(packed)]
    how = _is_fill(flat)
    if how is not None:
        return f"the value it repeats most is the {how} of the others", {"value": _repeated(flat)[0], "statistic": how}
    hits, repeated = 0, 0
    for column in packed.T:
        values = column[np.isfinite(column)]
        if len(values) >= 30 and _repeated(values)[1] >= 3:
            repeated += 1
            how = _is_fill(values) or how
            hits += _is_fill(values) is not None
    if hits >= max(1, 0.5 * repeated):
        return (
            f"in {hits} symbol(s) the value it repeats most is the {how} of the others",
            {"symbols": hits, "statistic": how},
        )
    return None


def _interpolated(packed: Array) -> tuple[str, dict[str, float | int | str | None]] | None:
    good = np.isfinite(packed)
    distinct = len(np.unique(packed[good]))
    if distinct < 0.2 * good.sum():
        return None
    step = np.diff(packed, axis=0)
    scale = np.nanmedian(np.abs(step))
    if not np.isfinite(scale) or scale == 0:
        return None
    bend = np.diff(step, axis=0)
    size = np.nanmax(np.abs(packed), axis=0) if good.any() else 1.0
    straight = (np.abs(bend) <= 1e-9 * scale + 8e-16 * size) & (np.abs(step[1:]) > 1e-6 * scale)
    places = decimals(packed[good])
    n = int(np.isfinite(bend).sum())
    by_chance = 0.0 if places is None else min(1.0, 10.0**-places / (2.0 * scale)) * n
    # Ranks and counts move by few steps, two of which are often the same: as often as in any other order.
    mixed = np.diff(np.random.default_rng(3).permutation(step, axis=0), axis=0)
    by_chance = max(by_chance, float((np.abs(mixed) <= 1e-9 * scale + 8e-16 * size).sum()))
    hits = int(straight.sum())

    def curved(second: Array) -> int:
        fourth = np.diff(np.diff(second, axis=0), axis=0)
        return int(((np.abs(fourth) <= 1e-8 * scale + 64e-16 * size) & (np.abs(second[2:]) > 1e-5 * scale)).sum())

    # Ranks within a window move by a few steps again and again; a curve through known values does not.
    steps = step[np.isfinite(step)]
    own = len(np.unique(np.round(steps / (1e-9 * scale)))) > 0.9 * len(steps)
    if own and places is None and curved(bend) >= max(5, 0.002 * n) and curved(bend) > 4 * curved(mixed) + 4:
        return "values lie on cubic curves between known ones", {"rows_on_a_curve": curved(bend), "rows": n}
    runs = int((np.diff(straight.astype(int), axis=0, prepend=0) == 1).sum())
    # Prices of one symbol that stood still twice draw a straight mean once.
    several = packed.shape[1] < 4 or hits > 0.01 * n or int(straight.any(axis=0).sum()) > 1
    if several and runs >= 3 and hits >= max(5, 0.002 * n) and hits > 4 * by_chance + 10 * np.sqrt(by_chance):
        return "values lie on straight lines between known ones", {"rows_on_a_line": hits, "rows": n}
    return None


def _moves(column: Array) -> bool:
    """Whether a column differs both between symbols and in time: constants are uncorrelated with whatever is centred."""
    with np.errstate(all="ignore"):
        span = np.nanmax(column, axis=0) - np.nanmin(column, axis=0)
    return not is_shared(column) and bool(np.mean(span > 0) > 0.5)


def check_projection(ctx: Context) -> Iterator[Finding]:
    """Look for columns that are exactly uncorrelated with each other over the whole history, as components are."""
    names = [n for n in ctx.table.features if not ctx.proved_causal(n) and _moves(ctx.panel.column(n))]
    if len(names) < 2:
        return
    guilty: set[str] = set()
    keep, x, m = [], [], []
    for i, name in enumerate(names):
        values = ctx.panel.column(name)[ctx.panel.present]
        good = np.isfinite(values)
        if good.mean() > 0.3:
            y = np.where(good, values - values[good].mean(), 0.0)
            x.append(y / max(float(np.sqrt((y * y).sum())), 1e-300))
            m.append(good)
            keep.append(i)
    if len(x) < 2:
        return
    matrix = np.stack(x)
    x.clear()
    r = matrix @ matrix.T
    for a in range(len(keep)):
        for b in range(a):
            # Components are fitted on common rows; elsewhere the product of centred columns is not exactly zero.
            if abs(r[a, b]) < 1e-8 and np.array_equal(m[a], m[b]) and m[a].sum() > 100:
                guilty |= {names[keep[a]], names[keep[b]]}
    if guilty - ctx.accused:
        columns = tuple(n for n in names if n in guilty)
        yield ctx.accuse(
            "full_sample.projection",
            columns=columns,
            evidence={"columns": len(columns)},
            explanation=f"{', '.join(columns)} are uncorrelated to the last digit over the whole history: a projection fitted on it.",
            remedy="Fit the projection on the training sessions of each fold.",
        )
