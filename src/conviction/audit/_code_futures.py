"""Other futures for the bars of an audited function, and the sessions at which the future begins."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Final

import numpy as np

from conviction.audit._code_perturb import JUMPS, PRICES, spread_cuts

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from conviction.audit._code_call import Array, Bars
    from conviction.audit._code_values import Grid

#: noise: every bar another one; up, down: a jump at the first changed bar; reversed: the later bars backwards.
KINDS: Final = ("noise", "up", "down", "reversed")


def changed_numbers(bars: Bars, where: NDArray[np.bool_], kind: str, *, seed: int) -> dict[str, Array]:
    """Return the numeric columns with the rows `where` replaced by another history.

    Open, high, low and close of a bar stay a possible bar; a column with one value a session keeps one value a
    session. Rows outside `where` keep every bit.
    """
    if kind == "reversed":
        order = _reversed_order(bars.grid, where)
        return {name: values[order] for name, values in bars.numbers.items()}
    rng = np.random.default_rng([seed, KINDS.index(kind)])
    rows, sessions = bars.grid.rows, len(bars.grid.sessions)
    wide = bars.market_wide()
    jump_price, jump_volume = JUMPS.get(kind, (1.0, 1.0))
    sigma = 0.08 if kind == "noise" else 0.01
    price = jump_price * np.exp(sigma * rng.standard_normal(rows))
    volume = jump_volume * np.exp(4 * sigma * rng.standard_normal(rows))
    by_session = (jump_price * np.exp(sigma * rng.standard_normal(sessions)))[bars.grid.session_code]
    changed = {}
    for name, values in bars.numbers.items():
        factor = by_session if name in wide else volume if name == "volume" else price
        changed[name] = np.where(where, values * factor, values)
    if kind == "noise":
        _reshape_bars(changed, where, rng)
    return changed


def _reshape_bars(changed: dict[str, Array], where: NDArray[np.bool_], rng: np.random.Generator) -> None:
    """Give the changed bars another opening gap and another range, so that leaks of those alone show."""
    rows = len(where)
    if "open" in changed:
        changed["open"] = np.where(where, changed["open"] * np.exp(0.03 * rng.standard_normal(rows)), changed["open"])
    present = [changed[name] for name in PRICES if name in changed]
    if "high" in changed:
        top = np.maximum.reduce(present) * (1 + 0.05 * rng.random(rows))
        changed["high"] = np.where(where, top, changed["high"])
    if "low" in changed:
        bottom = np.minimum.reduce(present) * (1 - 0.05 * rng.random(rows))
        changed["low"] = np.where(where, bottom, changed["low"])


def _reversed_order(grid: Grid, where: NDArray[np.bool_]) -> NDArray[np.int64]:
    order = np.arange(grid.rows)
    inside = np.flatnonzero(where)
    # Rows are sorted by symbol, then session: sorting by symbol and falling session reverses each symbol's part.
    order[inside] = inside[np.lexsort((-grid.session_code[inside], grid.symbol_code[inside]))]
    return order


def placed_cuts(bars: Bars, n_cuts: int, *, seed: int) -> list[int]:
    """Return positions of the last kept session: in the warm-up, before events, inside and at the end of periods, late, random.

    Parameters
    ----------
    bars : Bars
        The bars; their largest next moves are the events.
    n_cuts : int
        How many, at least 3.
    seed : int
        Seed of the random ones.

    Returns
    -------
    list of int
        Sorted distinct positions in ``[0, n_sessions - 2]``.
    """
    n = len(bars.grid.sessions)
    last = n - 2
    if n_cuts < 8:
        return spread_cuts(n, n_cuts, seed=seed)
    warm = [position for position in (2, 8, 19, 33, 52) if position < n // 3]
    chosen = {*warm, last, max(0, last - 3), *_events(bars), *_calendar(bars.grid)}
    rng = np.random.default_rng(seed)
    missing = max(0, n_cuts - len(chosen))
    edges = np.linspace(min(60, n // 3), last, missing + 1)
    chosen |= {int(rng.integers(int(low), max(int(low) + 1, int(high)))) for low, high in pairwise(edges)}
    return sorted(position for position in chosen if 0 <= position <= last)


def _events(bars: Bars) -> set[int]:
    """Return the sessions before the largest moves of the market and of one symbol, and before the highest volume."""
    grid = bars.grid
    close = bars.numbers.get("close")
    n = len(grid.sessions)
    if close is None:
        return set()
    with np.errstate(invalid="ignore", divide="ignore"):
        move = np.log(close[1:] / close[:-1])
    follows = (grid.symbol_code[1:] == grid.symbol_code[:-1]) & np.isfinite(move)
    session = grid.session_code[1:][follows]
    move = move[follows]
    if not move.size:
        return set()
    market = np.bincount(session, move, n) / np.maximum(np.bincount(session, minlength=n), 1)
    chosen = {int(market.argmax()), int(market.argmin()), int(session[move.argmax()]), int(session[move.argmin()])}
    if "volume" in bars.numbers:
        chosen.add(int(grid.session_code[np.nanargmax(bars.numbers["volume"])]))
    return {max(0, position - 1) for position in chosen}


def _calendar(grid: Grid) -> set[int]:
    """Return sessions in the middle and at the end of a week, a month, a quarter and a year, spread over the history."""
    n = len(grid.sessions)
    days = [session.date() if hasattr(session, "date") else session for session in grid.sessions]
    month_end = [i for i in range(n - 1) if days[i].month != days[i + 1].month]
    mid_month = [
        i for i in range(n - 1) if 13 <= days[i].day <= 17 and days[i].weekday() == 2 and days[i].month % 3 == 2
    ]
    week_end = [i for i in range(n - 1) if days[i + 1].weekday() < days[i].weekday()]
    mid_week = [i for i in range(n - 1) if days[i].weekday() == 1]
    wanted = ((month_end, 0.45), (mid_month, 0.6), (mid_month, 0.95), (week_end, 0.75), (mid_week, 0.3))
    return {
        candidates[min(len(candidates) - 1, int(share * len(candidates)))] for candidates, share in wanted if candidates
    }
