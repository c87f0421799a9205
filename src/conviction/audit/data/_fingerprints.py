"""Fingerprints of scaling over the whole history, each a test of one packed column (rows by symbols)."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from conviction.audit.data._association import standard
from conviction.audit.data._context import Context
from conviction.audit.data._match import Match
from conviction.audit.data._panel import Array, session_mean

Found = tuple[str, dict[str, float | int | str | None], tuple[str, ...]] | None
Test = Callable[[Array, Context, str], Found]
_START_UP = 8  # the first values of an exponential mean stand at the bounds of what it can be
_SHARES = (0.005, 0.01, 0.02, 0.025, 0.03, 0.05, 0.1)


def _usable(packed: Array) -> Array:
    return np.asarray(np.isfinite(packed).sum(axis=0) >= 30)


def _verdict(
    hit: Array, strict: Array, ctx: Context, what: str, evidence: dict[str, float | int | str | None]
) -> Found:
    """Accept a fingerprint that most symbols show, or that single symbols show to the last digit."""
    if hit.sum() >= max(2, 0.75 * len(hit)):
        return f"{what} in {int(hit.sum())} of {len(hit)} symbols", evidence, ()
    if len(hit) == 1 and strict.any():
        return what, evidence, ()
    if strict.any() and len(strict) == len(ctx.panel.symbols):
        names = tuple(ctx.panel.symbols[i] for i in np.flatnonzero(strict))
        return f"{what} in {', '.join(names[:5])}", evidence, names if len(names) <= 3 else ()
    return None


def per_session(ctx: Context, name: str) -> bool:
    """Whether the column is centred within each session: then its mean over the history says nothing."""
    column = ctx.panel.column(name)
    mean = np.abs(session_mean(column))
    spread = np.nanstd(column)
    return bool(np.nanmean(mean <= 1e-5 * max(float(spread), 1e-300)) > 0.8)


def centred_and_scaled(packed: Array, ctx: Context, name: str) -> Found:
    """Mean 0 (and standard deviation 1) to the last digits, a symbol or pooled."""
    if per_session(ctx, name):
        return None
    use = np.flatnonzero(_usable(packed))
    values = packed[:, use]
    n = np.isfinite(values).sum(axis=0)
    mean, spread = np.nanmean(values, axis=0), np.nanstd(values, axis=0)
    other = spread * np.sqrt(n / (n - 1))
    unit = np.minimum(np.abs(spread - 1), np.abs(other - 1))
    zero = np.abs(mean) / np.where(spread > 0, spread, np.inf)
    zero = np.where(spread > 0, zero, np.inf)
    evidence: dict[str, float | int | str | None] = {
        "largest_mean": float(np.max(np.abs(mean))),
        "median_spread": float(np.median(spread)),
    }
    found = _verdict(
        (zero < 2e-3) & (unit < 2e-3), (zero < 1e-6) & (unit < 1e-6), ctx, "mean 0 and standard deviation 1", evidence
    ) or _verdict(zero < 1e-6, zero < 1e-10, ctx, "a mean of exactly 0", evidence)
    if found is not None:
        return found
    flat = packed[np.isfinite(packed)]
    mean, spread = flat.mean(), flat.std()
    if spread > 0 and abs(mean) < 1e-4 * spread and abs(spread * np.sqrt(len(flat) / (len(flat) - 1)) - 1) < 2e-4:
        return "mean 0 and standard deviation 1 over all rows", {"mean": float(mean), "spread": float(spread)}, ()
    if spread > 0 and abs(mean) < 2e-8 * spread and len(np.unique(flat[:5000])) > 50:
        return "a mean of exactly 0 over all rows", {"mean": float(mean), "spread": float(spread)}, ()
    return None


def between_extremes(packed: Array, ctx: Context, name: str) -> Found:
    """Smallest and largest value exactly 0 and 1 (or -1 and 1, 0 and 100), each attained once."""
    use = np.flatnonzero(_usable(packed))
    values = packed[:, use]
    low, high = np.nanmin(values, axis=0), np.nanmax(values, axis=0)
    once = ((values == low).sum(axis=0) == 1) & ((values == high).sum(axis=0) == 1)
    for bottom, top in ((0.0, 1.0), (-1.0, 1.0), (0.0, 100.0)):
        hit = (np.abs(low - bottom) < 1e-9) & (np.abs(high - top) < 1e-9 * max(top, 1)) & once
        text = f"its range is exactly {bottom:g} to {top:g}, each end attained once,"
        found = _verdict(hit, hit & (len(hit) <= 2), ctx, text, {"symbols": int(hit.sum())})
        if found is not None:
            return found
        flat = values[np.isfinite(values)]
        ends = abs(flat.min() - bottom) < 1e-9 and abs(flat.max() - top) < 1e-9 * max(top, 1)
        ordered = np.sort(flat)
        # A bounded indicator crowds at its bounds; a scaled column ends with a gap before its one extreme.
        match = ctx.matches.get(name)
        moved = (
            match is not None and match.share > 0.9 and abs(float(np.nanmedian(match.level))) > 1e-3 * (top - bottom)
        )
        gap = moved or max(ordered[-1] - ordered[-2], ordered[1] - ordered[0]) > 60 * (top - bottom) / len(flat)
        settled = values[_START_UP:]
        late = np.nanmax(settled) == flat.max() and np.nanmin(settled) == flat.min()
        if ends and gap and late and (flat == flat.min()).sum() == 1 and (flat == flat.max()).sum() == 1:
            return f"its range over all rows is exactly {bottom:g} to {top:g}, each end attained once", {}, ()
    return None


def middle_and_quartiles(packed: Array, ctx: Context, name: str) -> Found:
    """Median 0 and interquartile range 1, a symbol or pooled."""
    use = np.flatnonzero(_usable(packed))
    if len(np.unique(packed[np.isfinite(packed)][:3000])) < 50:
        return None
    q = np.nanquantile(packed[:, use], (0.25, 0.5, 0.75), axis=0)
    hit = (np.abs(q[1]) < 1e-5) & (np.abs(q[2] - q[0] - 1) < 1e-4)
    found = _verdict(
        hit, hit & (np.abs(q[1]) < 1e-9), ctx, "median 0 and interquartile range 1", {"symbols": int(hit.sum())}
    )
    if found is not None or per_session(ctx, name):
        return found
    a, b, c = np.quantile(packed[np.isfinite(packed)], (0.25, 0.5, 0.75))
    if abs(b) < 1e-6 and abs(c - a - 1) < 1e-5:
        return "median 0 and interquartile range 1 over all rows", {"median": float(b)}, ()
    return None


def ranks(packed: Array, ctx: Context, name: str) -> Found:
    """Recognise ranks over the history: the same set of values in every symbol, or evenly spaced values."""
    n = np.isfinite(packed).sum(axis=0)
    full = np.flatnonzero(n == np.median(n[n >= 30])) if (n >= 30).any() else np.array([], dtype=int)
    if not len(full):
        return None
    ordered = np.sort(packed[:, full], axis=0)[: int(n[full[0]])]
    span = float(ordered[-1].max() - ordered[0].min())
    distinct = len(np.unique(ordered[:, 0]))
    if span <= 0 or distinct < 20:
        return None
    if _counts_time(packed):
        return None
    if len(full) >= 3:
        # A tie shares its rank with its neighbour: nearly all places have to agree, not every one.
        agree = np.abs(ordered - np.median(ordered, axis=1, keepdims=True)) < 1e-7 * span
        same = agree.mean(axis=0) > 0.95
        if same.mean() > 0.75 and distinct > 0.5 * len(ordered):
            return "every symbol holds the same set of values: ranks over its history", {"symbols": int(same.sum())}, ()
    for values in (ordered[:, 0], np.sort(packed[np.isfinite(packed)])):
        gaps = np.diff(values)
        even = np.mean(np.abs(gaps - np.median(gaps)) < 1e-4 * np.median(gaps))
        if len(np.unique(values)) > 0.95 * len(values) and len(values) > 50 and even > 0.95:
            return "its values are evenly spaced: ranks over the history", {"values": len(values)}, ()
    return _rank_of_itself(packed) or (None if per_session(ctx, name) else _exact_distribution(packed))


def _rank_of_itself(packed: Array) -> Found:
    """Say whether a column is an affine function of its own ranks over the history, ties and all.

    A rank within a window, or within the rows so far, is no function of the rank over everything.
    """
    from scipy.stats import rankdata

    columns = [c[np.isfinite(c)] for c in packed.T]
    columns = [c for c in columns if len(c) >= 60]
    pooled = [packed[np.isfinite(packed)]] if len(columns) > 1 else []
    for group, where in ((columns, "in each symbol"), (pooled, "over all rows")):
        hits = 0
        for values in group:
            n = len(np.unique(values))
            if not 0.3 * len(values) < n < len(values) + 1 or n < 40:
                continue
            own = (rankdata(values, method=m) for m in ("average", "max", "min"))
            hits += any(abs(np.corrcoef(values, r)[0, 1]) > 1 - 1e-9 for r in own)
        if group and hits >= max(1, 0.75 * len(group)):
            return f"its values are their own ranks over the history, {where}", {"groups": hits}, ()
    return None


def _exact_distribution(packed: Array) -> Found:
    """Say whether a column is distributed more exactly like a normal or uniform variable than any sample could be.

    Kolmogorov's distance times the root of n falls below 0.2 in one sample of 10^12 (Kolmogorov 1933).
    """
    from scipy.stats import norm

    flat = packed[np.isfinite(packed)]
    groups = [(flat, "over all rows")]
    groups += [(c[np.isfinite(c)], "in each symbol") for c in packed.T[:1] if packed.shape[1] > 1]
    for values, where in groups:
        n = len(values)
        if n < 150 or len(np.unique(values)) < 0.9 * n:
            continue
        ordered = np.sort(values)
        steps = (np.arange(n) + 0.5) / n
        inner = slice(int(0.005 * n) + 1, n - int(0.005 * n) - 1)
        for law, chance in (("normal", norm.cdf(ordered)), ("uniform", np.clip(ordered, 0, 1))):
            if np.abs(chance - steps)[inner].max() * np.sqrt(n) < 0.2:
                return f"it is exactly {law}, as only a quantile transform over the history makes it, {where}", {}, ()
    return None


def _counts_time(packed: Array) -> bool:
    """Whether the column only rises or falls, or counts by one step and starts again."""
    steps = np.diff(packed, axis=0)
    steps = steps[np.isfinite(steps)]
    if len(steps) and np.mean(steps == np.median(steps)) > 0.8 and np.median(steps) != 0:
        return True
    return bool(len(steps) and (np.mean(steps >= 0) > 0.99 or np.mean(steps <= 0) > 0.99))


def equal_bins(packed: Array, ctx: Context, name: str) -> Found:
    """Few values, each held by the same number of rows: quantile bins over the history."""
    flat = packed[np.isfinite(packed)]
    values = np.unique(flat[:4000])
    if not 2 <= len(values) <= 100 or len(np.unique(flat)) != len(values):
        return None
    if ctx.proved_causal(name) or _counts_time(packed):
        return None
    use = np.flatnonzero(_usable(packed))
    counts = np.stack([(packed[:, use] == v).sum(axis=0) for v in values])
    even = (counts.max(axis=0) - counts.min(axis=0) <= 2) & (counts.min(axis=0) >= 8)
    what = f"its {len(values)} values are equally frequent"
    if even.sum() >= max(2, 0.75 * len(even)) or (len(even) == 1 and even.all() and len(values) > 2):
        return f"{what} in {int(even.sum())} of {len(even)} symbols", {"values": len(values)}, ()
    whole = np.array([(flat == v).sum() for v in values])
    column = ctx.panel.column(name)
    each = np.stack([(column == v).sum(axis=1) for v in values])
    by_session = np.mean(each.max(axis=0) - each.min(axis=0) <= 1) > 0.5
    if whole.max() - whole.min() <= 2 and whole.min() >= 30 and not by_session:
        return f"{what} over all rows", {"values": len(values)}, ()
    return None


def equal_widths(packed: Array, ctx: Context, name: str) -> Found:
    """Classes that cut the close, or its logarithm, between its lowest and highest of the history in equal widths."""
    close = ctx.panel.price("close")
    flat = packed[np.isfinite(packed)]
    values = np.unique(flat[:4000])
    if close is None or not 3 <= len(values) <= 50 or len(np.unique(flat)) > 50 or packed.shape != close.shape:
        return None
    base = ctx.panel.pack(close)
    for label, x in (("close", base), ("logarithm of the close", np.log(np.where(base > 0, base, np.nan)))):
        known = np.isfinite(packed) & np.isfinite(x)
        if known.sum() < 0.9 * len(flat):
            continue
        low, high = np.nanmin(x, axis=0), np.nanmax(x, axis=0)
        place = (x - low) / np.where(high > low, high - low, np.nan)
        steps = round(float(values[-1] - values[0]) / float(np.min(np.diff(values)))) + 1
        if not 4 <= steps <= 50:
            continue
        wanted = np.clip(np.ceil(place * steps - 1e-9) - 1, 0, steps - 1)
        own = (packed - values[0]) / (values[-1] - values[0]) * (steps - 1)
        share = np.where(known, np.abs(own - wanted) < 0.01, False).sum(axis=0) / np.maximum(known.sum(axis=0), 1)
        hit = share[_usable(packed)] > 0.995
        if len(hit) and hit.mean() > 0.75:
            what = f"its {steps} classes cut the {label} in equal widths between its lowest and highest of all rows"
            return what, {"classes": steps, "share_equal": float(np.median(share))}, ()
    del name
    return None


def clipped(packed: Array, ctx: Context, name: str) -> Found:
    """Both extremes repeated in exactly the same round share of rows: clipped at quantiles of the history."""
    if ctx.proved_causal(name) and ctx.matches[name].share > 0.9999:
        return None
    flat = packed[np.isfinite(packed)]
    if len(np.unique(flat[:5000])) < 100:
        return None
    share = _clipped_share(flat)
    if share:
        return (
            f"its ends are repeated in exactly {100 * share:g} % of the rows each, over all rows",
            {"share": share},
            (),
        )
    each = [_clipped_share(c[np.isfinite(c)]) for c in packed.T[:6]] if packed.shape[1] > 1 else [0.0]
    share = max(each)
    if share and sum(s == share for s in each) >= max(2, 0.75 * len(each)):
        return (
            f"its ends are repeated in exactly {100 * share:g} % of the rows each, in each symbol",
            {"share": share},
            (),
        )
    return None


def _clipped_share(values: Array) -> float:
    """Return the share of rows at each end where that is one of the usual quantiles to the row, else 0."""
    if len(values) < 150:
        return 0.0
    low, high = values.min(), values.max()
    inner = values[(values > low) & (values < high)]
    if len(np.unique(inner)) < 0.9 * len(inner) or (low, high) in (
        (0.0, 1.0),
        (-1.0, 1.0),
        (0.0, 100.0),
        (-100.0, 0.0),
    ):
        return 0.0
    bottom, top = int((values == low).sum()), int((values == high).sum())
    for share in _SHARES:
        wanted = share * len(values)
        if wanted >= 4 and abs(bottom - wanted) <= 1.51 and abs(top - wanted) <= 1.51:
            return share
    return 0.0


def residual_of_regression(packed: Array, ctx: Context, name: str) -> Found:
    """Exactly uncorrelated with the session's market or with time in every symbol: a regression over the history."""
    use = np.flatnonzero(_usable(packed))
    if len(use) < 3 or packed.shape != ctx.panel.shape or ctx.library is None:
        return None
    market = ctx.panel.pack(np.where(ctx.panel.present, ctx.library.market, np.nan))
    time = np.repeat(np.arange(float(len(packed)))[:, None], packed.shape[1], axis=1)
    for label, other in (("the market's return", market), ("time", time)):
        both = np.isfinite(packed) & np.isfinite(other)
        a = standard(np.where(both, packed, np.nan), 0)
        b = standard(np.where(both, other, np.nan), 0)
        r = np.abs((a * b).sum(axis=0) / np.maximum(both.sum(axis=0), 1))[use]
        active = (np.abs(a).sum(axis=0) > 0)[use]
        if active.sum() >= 3 and np.mean(r[active] < 1e-8) > 0.75:
            return f"it is uncorrelated with {label} to the last digit in every symbol", {"with": label}, ()
    del name
    return None


SCALING_TESTS: tuple[Test, ...] = (
    centred_and_scaled,
    between_extremes,
    middle_and_quartiles,
    ranks,
    equal_bins,
    equal_widths,
    clipped,
    residual_of_regression,
)


def _constant(product: Array, scale: Array, label: str) -> bool:
    """Whether scale times statistic is one number, where the scales differ far more.

    A row or two may be missing from the file that the statistic was computed on: sums over the history move by
    a part in their number, while a statistic of earlier rows is another by several percent.
    """
    spread = np.std(scale) / np.abs(np.mean(scale))
    off = np.std(product) / np.abs(np.mean(product))
    if off < 1e-4 and spread > 1e-3:
        return True
    sums = label in ("mean", "standard deviation", "median", "interquartile range", "norm")
    return bool(sums and len(scale) >= 5 and off < 4e-3 and off < spread / 25)


def scale_by_whole_history(ctx: Context, match: Match) -> Found:
    """Recognise a symbol's scale as one over a statistic of its whole history: last, highest, mean, spread, sum."""
    assert ctx.library is not None  # noqa: S101 (there is a match)
    values = ctx.library.values(match.entry)
    use = np.isfinite(match.scale) & (match.scale != 0)
    if use.sum() < 3:
        return None
    x = np.where(match.compared, values, np.nan)[:, use]
    scale = match.scale[use]
    shifted = np.std(scale) < 1e-6 * np.abs(np.mean(scale))
    rows = np.arange(len(x))[:, None]
    good = np.isfinite(x)
    last = np.where(good, rows, -1).max(axis=0)
    first = np.where(good, rows, len(x)).min(axis=0)
    statistics = {
        "first value": np.take_along_axis(x, first[None, :], axis=0)[0],
        "last value": np.take_along_axis(x, last[None, :], axis=0)[0],
        "highest value": np.nanmax(x, axis=0),
        "lowest value": np.nanmin(x, axis=0),
        "largest size": np.nanmax(np.abs(x), axis=0),
        "mean": np.nanmean(x, axis=0),
        "median": np.nanmedian(x, axis=0),
        "standard deviation": np.nanstd(x, axis=0),
        "sum": np.nansum(x, axis=0),
        "range": np.nanmax(x, axis=0) - np.nanmin(x, axis=0),
        "norm": np.sqrt(np.nansum(x**2, axis=0)),
        "interquartile range": np.nanquantile(x, 0.75, axis=0) - np.nanquantile(x, 0.25, axis=0),
    }
    for label, statistic in statistics.items():
        product = scale * statistic
        if shifted:
            # One scale for all, a level for each symbol: minus a statistic of its history, or of its first row.
            off = match.level[use] + product
            spread = np.std(match.level[use])
            if spread > 1e-9 * (1 + np.abs(np.mean(product))) and np.std(off) < 1e-4 * spread:
                return (
                    None if label == "first value" else (f"{match.entry.name} minus its {label} of the history", {}, ())
                )
        elif _constant(product, scale, label):
            if label == "first value":
                return None
            return f"{match.entry.name} divided by its {label} of the history", {"statistic": label}, ()
    return None
