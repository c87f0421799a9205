"""Copies and transforms of the target: linear, monotone, nonlinear, hidden in digits or gaps, spread over columns."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from conviction.audit._report import Finding
from conviction.audit.data._association import (
    Driver,
    Strength,
    is_shared,
    make_drivers,
    market_strengths,
    newey_west,
    persistence,
    pooled_ranks,
    standard,
    strengths,
    thinned,
    xi,
)
from conviction.audit.data._context import Context, SkipCheckError
from conviction.audit.data._panel import Array
from conviction.audit.data._rolling import lag

_REMEDY = (
    "Find out how the column is made and from when; drop it unless every value can be shown to have been known at t."
)
_MOVES = ("next return", "return over", "return of", "next gap")
XI_BOUND = 0.2
MIN_SESSIONS = 60
MOST_CELLS = 150_000
MAX_XI_ROWS = 40_000


def _bound(strength: Strength, horizon: int) -> tuple[float, float]:
    """Return the association that an honest daily column may have, and the standard errors that it must be exceeded by.

    True alpha of AUC 0.53 has a rank IC of about 0.10 at one session and 0.20 at ten, so longer horizons get more room.
    """
    room = float(horizon) ** 0.3
    if strength.kind.startswith("market"):
        return 0.16, 4.0
    if strength.driver in ("next volume", "next range"):
        return 0.33, 4.0
    if strength.driver == "size of the next move":
        return 0.28, 4.0
    return (0.115 if strength.kind == "across symbols" else 0.14) * room, 3.5


def drivers_of(ctx: Context) -> list[Driver]:
    """Return the drivers, made once an audit."""
    if "drivers" not in ctx.quality:
        ctx.quality["drivers"] = make_drivers(ctx)
    return ctx.quality["drivers"]  # type: ignore[return-value]


def column_views(ctx: Context, name: str) -> Iterator[tuple[str, Array]]:
    """Yield the forms in which a column may show what it knows; a proved column shows only what is not proved."""
    column = ctx.panel.column(name)
    match = ctx.matches.get(name)
    if ctx.proved_causal(name) and match is not None:
        if match.wrong.sum() >= 20:
            off = np.where(match.wrong, match.residual, np.where(match.compared, 0.0, np.nan))
            yield "difference from its definition", ctx.panel.unpack(off)
        elif match.deviation > 1e-9:
            yield "difference from its definition", ctx.panel.unpack(match.residual)
        return
    yield "level", column
    packed = ctx.panel.pack(column)
    yield "change", ctx.panel.unpack(packed - lag(packed, 1))
    middle = float(np.nanmedian(column))
    if np.nanmin(column) < middle < np.nanmax(column):
        yield "distance from its middle", np.abs(column - middle)
    close = ctx.panel.price("close")
    if close is not None:
        ratio = column / close
        middle = np.nanmedian(ratio)
        if 0.5 < middle < 2 and np.nanmedian(np.abs(ratio - middle)) < 0.2:
            yield "ratio to the close", ratio
    near = match if match is not None and match.causal else ctx.nearest.get(name)
    if near is not None:
        yield f"difference from {near.entry.name}", ctx.panel.unpack(near.residual)


def check_association(ctx: Context) -> Iterator[Finding]:
    """Ask every column that is not proved causal whether it goes with what follows more than honest columns do."""
    if len(ctx.panel.sessions) < MIN_SESSIONS:
        why = f"fewer than {MIN_SESSIONS} sessions"
        raise SkipCheckError(why)
    drivers = drivers_of(ctx)
    orders = _orders(drivers)
    step = max(1, drivers[0].values.size // MOST_CELLS)
    drivers = thinned(drivers, step)
    for name in ctx.table.features:
        if name in ctx.accused:
            continue
        column = ctx.panel.column(name)
        if not np.isfinite(column).any():
            continue
        finding = _judge(ctx, name, column, drivers) or _judge_shape(ctx, name, column, orders)
        if finding is not None:
            yield finding


def _judge(ctx: Context, name: str, column: Array, drivers: list[Driver]) -> Finding | None:
    shared = is_shared(column)
    horizon = {d.name: d.horizon for d in drivers}
    worst: tuple[float, Strength, str] | None = None
    mild: tuple[float, Strength, str] | None = None
    for view, whole in column_views(ctx, name):
        values = whole[:, :: max(1, whole.size // MOST_CELLS)]
        ranks = pooled_ranks(values)
        found = strengths(ranks, drivers, shared=shared)
        slow = persistence(ranks) > 0.9
        found += market_strengths(
            values, [d for d in drivers if d.name.startswith(("next return", "return over", "next change"))]
        )
        for strength in found:
            bound, z = _bound(strength, horizon[strength.driver])
            if slow and strength.kind == "within symbols":
                # A level centred on its own history leans against what follows in it (Stambaugh 1999), for nobody's fault.
                bound += 1.2 * np.sqrt(3 * horizon[strength.driver] / max(strength.sessions, 1))
            excess = abs(strength.mean) - z * strength.error - bound
            if strength.beyond(bound, z) and (worst is None or excess > worst[0]):
                worst = (excess, strength, view)
            if (
                strength.kind != "within symbols"
                and strength.driver.startswith("next return")
                and strength.beyond(0.02, 4.0)
            ):
                mild = max(mild or (0.0, strength, view), (abs(strength.mean), strength, view), key=lambda m: m[0])
    if worst is not None:
        return _association_finding(ctx, name, worst[1], worst[2], "error")
    if mild is not None and not ctx.proved_causal(name):
        return _association_finding(ctx, name, mild[1], mild[2], "warning")
    return None


def _association_finding(ctx: Context, name: str, strength: Strength, view: str, severity: str) -> Finding:
    what = f"The {view} of {name}" if view != "level" else name
    where = {"market": "the market's", "market, change": "the market's"}.get(strength.kind, "")
    tail = (
        "no honest daily column goes with the future like this"
        if severity == "error"
        else "honest signals of this strength exist, but are rare: its provenance has to be shown"
    )
    return ctx.accuse(
        "copies.association",
        columns=(name,),
        severity=severity,
        evidence={
            "association": strength.mean,
            "standard_error": strength.error,
            "sessions": strength.sessions,
            "with": strength.driver,
            "measured": strength.kind,
            "view": view,
        },
        explanation=(
            f"{what} goes with {where or 'the'} {strength.driver} "
            f"(rank correlation {strength.mean:+.3f}, standard error {strength.error:.3f}, {strength.kind}): {tail}."
        ),
        remedy=_REMEDY,
    )


def _orders(drivers: list[Driver]) -> list[tuple[str, Array]]:
    """Return for each return driver the flat positions of a thinned sample sorted by it."""
    out = []
    for driver in drivers:
        if not driver.name.startswith(("next return", "return over")):
            continue
        flat = driver.values.ravel()
        rows = np.repeat(np.arange(driver.values.shape[0]), driver.values.shape[1])
        # Overlapping returns make neighbours in time alike; one session in `horizon` keeps them apart.
        keep = np.flatnonzero(np.isfinite(flat) & (rows % driver.horizon == 0))
        keep = keep[:: max(1, len(keep) // MAX_XI_ROWS)]
        if len(keep) >= 200:
            out.append((driver.name, keep[np.argsort(flat[keep], kind="stable")]))
    return out


def _judge_shape(ctx: Context, name: str, column: Array, orders: list[tuple[str, Array]]) -> Finding | None:
    """Look for a noiseless function of what follows, however bent: neighbours in the driver are neighbours in it."""
    if ctx.proved_causal(name):
        return None
    flat = column.ravel()
    best = max(((xi(order, flat), driver) for driver, order in orders), default=(0.0, ""))
    rows = min((len(o) for _, o in orders), default=0)
    if best[0] < XI_BOUND + 4 * 0.64 / np.sqrt(max(rows, 1)):
        return None
    return ctx.accuse(
        "copies.shape",
        columns=(name,),
        evidence={"xi": best[0], "with": best[1], "bound": XI_BOUND},
        explanation=f"{name} is nearly a function of the {best[1]} (Chatterjee's coefficient {best[0]:.2f}).",
        remedy=_REMEDY,
    )


def check_hidden(ctx: Context) -> Iterator[Finding]:
    """Look where nobody looks: in decimals, parity, rounding, missingness and rare values of every column."""
    drivers = [d for d in drivers_of(ctx) if d.name in ("next return", "size of the next move") or d.horizon > 1]
    for name in (*ctx.table.features, *(c for c in ctx.panel.prices.values() if c in ctx.table.raw.columns)):
        if name in ctx.accused:
            continue
        column = ctx.panel.column(name)
        match = ctx.matches.get(name)
        exact = ctx.proved_causal(name) and match is not None and match.deviation < 1e-9
        finding = _missing(ctx, name, column, drivers) or _rare(ctx, name, column, drivers)
        if finding is None and name in ctx.table.features and not exact:
            finding = _digits(ctx, name, column, drivers)
        if finding is not None:
            yield finding


def _effect(indicator: Array, driver: Driver) -> tuple[float, float, int]:
    """Return the mean score of the driver where the indicator is set, its standard error by sessions, and sessions."""
    scores = driver.across if driver.across.shape[1] > 3 else driver.within
    hit = indicator & (scores != 0)
    count = hit.sum(axis=1)
    total = np.where(hit, scores, 0.0).sum(axis=1)
    n = int(count.sum())
    if n < 20 or (count > 0).sum() < 12:
        return 0.0, np.inf, 0
    mean = total.sum() / n
    residual = total - mean * count
    variance = float((residual**2).sum())
    for step in range(1, 2 * (driver.horizon - 1) + 1):
        # Overlapping returns repeat themselves in sessions that follow each other, and so do values that are carried.
        variance += 2 * (1 - step / (2 * driver.horizon - 1)) * float(residual[step:] @ residual[:-step])
    error = float(np.sqrt(max(variance, float((residual**2).sum()))) / n)
    # A run of sessions in one symbol is one occurrence, however long it lasts.
    runs = int((hit[1:] & ~hit[:-1]).sum() + hit[0].sum())
    if runs < 12:
        return 0.0, np.inf, 0
    return float(mean), max(error, 0.6 / np.sqrt(n)), int((count > 0).sum())


def _missing(ctx: Context, name: str, column: Array, drivers: list[Driver]) -> Finding | None:
    gone = ctx.panel.present & ~np.isfinite(column)
    first = np.argmax(np.isfinite(column), axis=0)
    gone &= np.arange(len(column))[:, None] > first
    gone &= np.isfinite(column).any(axis=0)
    if gone.sum() < 20:
        return None
    for driver in drivers:
        mean, error, sessions = _effect(gone, driver)
        # Where nothing trades or nobody writes there is no value, and little happens: only what direction it takes is news.
        if abs(mean) - 5 * error > (0.6 if driver.name.startswith("size") else 0.15):
            return _hidden(
                ctx,
                name,
                "missingness",
                f"where {name} is missing",
                driver=driver,
                mean=mean,
                error=error,
                sessions=sessions,
            )
    return None


def _rare(ctx: Context, name: str, column: Array, drivers: list[Driver]) -> Finding | None:
    if ctx.proved_causal(name):
        return None
    good = np.isfinite(column)
    sample = column[good]
    if len(sample) < 200:
        return None
    middle = np.median(sample[:: max(1, len(sample) // 2000)])
    kept, often = np.unique(sample, return_counts=True)
    atom = float(kept[int(np.argmax(often))])
    for rare, where in ((good & (column != middle), f"not {middle:g}"), (good & (column == atom), f"{atom:g}")):
        if not 20 <= rare.sum() <= 0.12 * good.sum():
            continue
        for driver in drivers:
            mean, error, sessions = _effect(rare, driver)
            # An atom in a column of many values may be "nothing happened", after which little happens.
            if abs(mean) - 5 * error > (0.6 if driver.name.startswith("size") else 0.3):
                return _hidden(
                    ctx,
                    name,
                    "rare values",
                    f"where {name} is {where}",
                    driver=driver,
                    mean=mean,
                    error=error,
                    sessions=sessions,
                )
    return None


def _hidden(
    ctx: Context, name: str, check: str, where: str, *, driver: Driver, mean: float, error: float, sessions: int
) -> Finding:
    return ctx.accuse(
        f"copies.{check.replace(' ', '_')}",
        columns=(name,),
        evidence={"mean_score": mean, "standard_error": error, "sessions": sessions, "with": driver.name},
        explanation=f"The {driver.name} is {mean:+.2f} standard deviations off {where}: its {check} tells the future.",
        remedy=_REMEDY,
    )


def _digits(ctx: Context, name: str, column: Array, drivers: list[Driver]) -> Finding | None:
    driver = drivers[0]
    shape = column.shape
    step = max(1, shape[0] * shape[1] // 120_000)
    target = (driver.within if shape[1] <= 3 else driver.across)[::step]
    values = np.abs(column[::step])
    good = np.isfinite(values) & (target != 0)
    if good.sum() < 200 or (np.nanmax(np.where(good, values, 0)) > 1e12):
        return None
    below = bool((column[::step][good] < 0).mean() > 0.02)
    hidden: list[tuple[str, Array]] = []
    places = np.full(values.shape, 9.0)
    for j in range(8, -1, -1):
        scaled = values * 10.0**j
        whole = np.abs(scaled - np.round(scaled)) <= 1e-6 + 1e-14 * scaled
        places = np.where(whole, j, places)
    hidden.append(("number of decimals", places))
    for j in range(9):
        scaled = values * 10.0**j + 1e-7
        if j:
            hidden.append((f"decimals after place {j}", scaled - np.floor(scaled)))
        hidden.append((f"parity of decimal {j}" if j else "parity", np.mod(np.floor(scaled), 2.0)))
        hidden.append((f"digit {j}", np.mod(np.floor(scaled), 10.0)))
        if below:
            # What is added to a rounded number moves the digits of a negative one the other way.
            moved = column[::step] * 10.0**j + 1e-7
            hidden.append((f"decimals after place {j}, below zero too", moved - np.floor(moved)))
    for label, form in hidden:
        score = standard(np.where(good, form, np.nan), 1 if shape[1] > 3 else 0, least=2)
        both = (score != 0) & good
        if both.sum() < 0.3 * good.sum():
            continue  # digits beyond the column's rounding: what is left is the arithmetic's
        count = both.sum(axis=1)
        series = np.where(count > 0, (score * target).sum(axis=1) / np.maximum(count, 1), np.nan)
        mean, error, n = newey_west(series)
        if np.isfinite(mean) and abs(mean) - 5 * error > 0.1:
            return _hidden(
                ctx, name, "digits", f"with the {label} of {name}", driver=driver, mean=mean, error=error, sessions=n
            )
    return None


def check_spread(ctx: Context) -> Iterator[Finding]:
    """Ask columns together: sums, differences and products of several may give the target that none gives alone."""
    from conviction.audit.data._spread import find_product, find_sum

    if len(ctx.panel.sessions) < MIN_SESSIONS:
        why = f"fewer than {MIN_SESSIONS} sessions"
        raise SkipCheckError(why)
    names = [
        n
        for n in ctx.table.features
        if n not in ctx.accused and not ctx.proved_causal(n) and np.nanstd(ctx.panel.column(n)) > 0
    ]
    if len(names) >= 2:
        for search in (find_sum, find_product):
            found = search(ctx, [n for n in names if n not in ctx.accused])
            if found is not None:
                columns, r, how, driver = found
                yield ctx.accuse(
                    "copies.spread",
                    columns=columns,
                    evidence={"correlation": r, "with": driver, "how": how},
                    explanation=f"{', '.join(columns)} together give the {driver} ({how}; correlation {r:.2f} on other sessions).",
                    remedy=_REMEDY,
                )
