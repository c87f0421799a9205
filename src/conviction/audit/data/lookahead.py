"""Look-ahead of unknown definition: changes that go with later events, countdowns to them, rows absent because of them."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from conviction.audit._report import Finding
from conviction.audit.data._association import Driver, is_shared, newey_west, pooled_ranks, standard
from conviction.audit.data._context import Context, SkipCheckError
from conviction.audit.data._panel import Array, ahead, session_mean
from conviction.audit.data._rolling import lag
from conviction.audit.data.copies import MIN_SESSIONS, MOST_CELLS, drivers_of

_REMEDY = "Compute the column from rows up to t only: the window must end at its row."
_FARTHEST = 25
_BOUND = 0.13
_SUM_BOUND = 0.18
_MARKET_BOUND = 0.2
_SUMS = (5, 10)
_EVENTS = ("next return", "size of the next move", "next volume", "next range")


def check_changes(ctx: Context) -> Iterator[Finding]:
    """Ask whether a column's change goes with surprises of later sessions, 2 to 25 ahead.

    A window that reaches k sessions ahead takes in one new session with every row: its change is that session's news.
    A column of the past changes with what is known, and news is what cannot be known.
    """
    if len(ctx.panel.sessions) < MIN_SESSIONS:
        why = f"fewer than {MIN_SESSIONS} sessions"
        raise SkipCheckError(why)
    step = max(1, ctx.panel.present.size // MOST_CELLS)
    events = _events(ctx, step)
    markets = _market_events(ctx)
    names = [n for n in ctx.table.features if n not in ctx.accused and not ctx.proved_causal(n)]
    tests = max(2, len(names) * _FARTHEST * len(events))
    z = float(np.sqrt(2 * np.log(tests))) + 1.0
    for name in names:
        column = ctx.panel.column(name)
        if np.isfinite(column).sum() < 200:
            continue
        packed = ctx.panel.pack(column)
        change = ctx.panel.unpack(packed - lag(packed, 1))
        if np.mean(change[np.isfinite(change)] == 0) > 0.9:
            continue
        if is_shared(column):
            best = _of_the_market(session_mean(change)[:, 0], markets, z=z)
        else:
            best = _of_the_symbols(_scores(change[:, ::step]), events, z=z)
        if best is not None:
            _, mean, k, event, error = best
            yield ctx.accuse(
                "future.changes",
                columns=(name,),
                evidence={"association": mean, "standard_error": error, "sessions_ahead": k, "with": event},
                explanation=(
                    f"The change of {name} goes with the {event} of {k} sessions later (rank correlation {mean:+.2f}): "
                    "its window reaches that far ahead."
                ),
                remedy=_REMEDY,
            )


Best = tuple[float, float, int, str, float] | None


def _of_the_symbols(score: Array, events: list[tuple[str, Array]], *, z: float) -> Best:
    best: Best = None
    for event, values in events:
        for k in range(2, _FARTHEST + 1):
            mean, error = _goes_with(score[:-k], values[k:])
            excess = abs(mean) - z * error - _BOUND
            if excess > 0 and (best is None or excess > best[0]):
                best = (excess, mean, k, event, error)
        if event.startswith(("size", "move with")):
            # A smoother takes in many later sessions, each with a little weight: only their sum stands out.
            for k in _SUMS:
                later = _later_sum(values, k)
                mean, error = _goes_with(score, standard(later, 1 if later.shape[1] > 3 else 0), horizon=k)
                excess = abs(mean) - z * error - _SUM_BOUND
                if excess > 0 and (best is None or excess > best[0]):
                    best = (excess, mean, k, event, error)
    return best


def _of_the_market(change: Array, markets: list[tuple[str, Array]], *, z: float) -> Best:
    """Ask one value a session: fewer observations, so that only half of a window's weight can be seen."""
    best: Best = None
    for event, values in markets:
        later = [(k, ahead(values[:, None], k)[:, 0]) for k in range(2, _FARTHEST + 1)]
        later += [(k, _later_sum(values[:, None], k)[:, 0]) for k in _SUMS]
        for k, series in later:
            both = np.isfinite(change) & np.isfinite(series)
            n = int(both.sum())
            if n < 100 or np.ptp(change[both]) == 0:
                continue
            a, b = (standard(pooled_ranks(x[both])[:, None], 0)[:, 0] for x in (change, series))
            mean, error = float((a * b).mean()), float(1 / np.sqrt(n))
            excess = abs(mean) - z * error - _MARKET_BOUND
            if excess > 0 and (best is None or excess > best[0]):
                best = (excess, mean, k, f"{event} of the market", error)
    return best


def _later_sum(values: Array, k: int) -> Array:
    """Return the mean of what the next k sessions bring; 0 stands for missing, as in scores."""
    out = np.zeros_like(values)
    for step in range(1, k + 1):
        out += ahead(values, step)
    return out / k


def _market_events(ctx: Context) -> list[tuple[str, Array]]:
    moves = session_mean(ahead(ctx.next_return, -1))[:, 0]
    size = np.abs(moves)
    known = np.full(len(size), np.nan)
    level = np.nanmean(size)
    for row, value in enumerate(size):
        known[row] = level
        level = level if np.isnan(value) else 0.9 * level + 0.1 * value
    return [("move", moves), ("size of the move", np.where(known > 0, size / known, np.nan))]


def _scores(values: Array) -> Array:
    return standard(pooled_ranks(values), 1 if values.shape[1] > 3 else 0)


def _events(ctx: Context, step: int) -> list[tuple[str, Array]]:
    """Return scores of what happens in the row's own session and could not be known before."""
    drivers: dict[str, Driver] = {d.name: d for d in drivers_of(ctx)}
    out = [
        (name.replace("the next", "the").replace("next ", ""), _scores(ahead(drivers[name].values, -1)))
        for name in _EVENTS
        if name in drivers
    ]
    moves = ahead(ctx.next_return, -1)
    market = ctx.sources.market_returns(ctx.panel.sessions)
    if moves.shape[1] > 3 or market is not None:
        common = session_mean(moves) if market is None else market
        out.append(("move with the market", _scores((moves - np.nanmean(moves, axis=0)) * common)))
    return [(name, values[:, ::step]) for name, values in out]


def _goes_with(score: Array, event: Array, *, horizon: int = 1) -> tuple[float, float]:
    both = (score != 0) & (event != 0)
    count = both.sum(axis=1)
    series = np.where(count >= min(4, score.shape[1]), (score * event).sum(axis=1) / np.maximum(count, 1), np.nan)
    mean, error, n = newey_west(series, horizon)
    return (mean, error) if n >= 50 else (0.0, float("inf"))


def check_countdowns(ctx: Context) -> Iterator[Finding]:
    """Look for columns that count down to sessions that only their own moves set apart.

    Dates that are announced (reports, expiries) bring large moves too, but not every large one and no small one.
    """
    drivers = {d.name: d for d in drivers_of(ctx)}
    moves = ahead(ctx.next_return, -1)
    measures = [("size of the move", np.abs(moves)), ("move", moves)]
    measures += [
        (name, ahead(drivers[key].values, -1))
        for name, key in (("surprise of the move", "size of the next move"), ("volume", "next volume"))
        if key in drivers
    ]
    for name in ctx.table.features:
        column = ctx.panel.column(name)
        if name in ctx.accused or is_shared(column) or ctx.proved_causal(name):
            continue
        packed = ctx.panel.pack(column)
        steps = packed[1:] - packed[:-1]
        known = np.isfinite(steps)
        if known.sum() < 200 or np.mean(steps[known] == -1) < 0.6:
            continue
        over = np.zeros_like(packed, dtype=bool)
        over[:-1] = known & (steps > -1)
        best = max(
            (
                (_separation(ctx.panel.pack(values), lag(over.astype(float), offset) == 1), label)
                for label, values in measures
                for offset in (0, 1)
            ),
            default=(0.0, ""),
        )
        if best[0] > 0.97:
            yield ctx.accuse(
                "future.countdown",
                columns=(name,),
                evidence={"separation": best[0], "by": best[1]},
                explanation=(
                    f"{name} counts down to sessions that the {best[1]} alone sets apart "
                    f"(area under the curve {best[0]:.3f}): nobody could announce them."
                ),
                remedy="Count from the last event, or to dates that were announced.",
            )


def _separation(values: Array, event: Array) -> float:
    """Return the area under the curve of the events by the values, either way; 0 where there are too few."""
    from scipy.stats import rankdata

    good = np.isfinite(values)
    hit = event[good]
    n, m = int(hit.sum()), int((~hit).sum())
    if n < 10 or m < 100:
        return 0.0
    ranks = rankdata(values[good])
    area = (ranks[hit].sum() - n * (n + 1) / 2) / (n * m)
    return float(max(area, 1 - area))


def check_absent(ctx: Context) -> Iterator[Finding]:
    """Ask whether rows are absent because of what followed them: the row's own move survives in the targets before it."""
    close = ctx.close
    gone = ~ctx.panel.present & ctx.panel.present.any(axis=1, keepdims=True)
    seen = np.cumsum(ctx.panel.present, axis=0) > 0
    gone &= seen & (np.cumsum(ctx.panel.present[::-1], axis=0)[::-1] > 0)
    if gone.sum() < 20:
        why = "fewer than 20 rows are absent between others"
        raise SkipCheckError(why)
    implied = np.where(ctx.panel.present, close, np.nan)
    for name, horizon in ctx.table.targets.items():
        if name in ctx.accused:
            continue
        values = ctx.panel.column(name)
        if len(np.unique(values[np.isfinite(values)][:2000])) > 10:
            told = ahead(close * (1 + values), -horizon)
            implied = np.where(np.isfinite(implied), implied, told)
    moves = ahead(implied, 1) / implied - 1
    score = standard(pooled_ranks(moves - session_mean(moves)), 1)
    hit = gone & (score != 0)
    n = int(hit.sum())
    if n < 20:
        why = "what followed the absent rows is not known"
        raise SkipCheckError(why)
    mean = float(score[hit].mean())
    error = float(max(score[hit].std(), 0.6) / np.sqrt(n))
    if abs(mean) - 5 * error > 0.15:
        symbols = ctx.symbols_of(gone)
        yield ctx.accuse(
            "rows.absent",
            symbols=symbols if len(symbols) <= 3 else (),
            first_row=ctx.first_row(gone),
            evidence={"rows_absent": int(gone.sum()), "mean_score": mean, "standard_error": error},
            explanation=(
                f"{int(gone.sum())} rows are absent, and the next move of those is {mean:+.2f} standard deviations off: "
                "rows were left out because of what followed."
            ),
            remedy="Keep every row, or leave rows out by what was known at their close.",
        )
