"""Every feature recomputed by its own code on less data, on changed data, and on one changed session."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final, Protocol

import numpy as np
import polars as pl

from conviction.audit._code_perturb import jump_factors, noisy_factors, scaled, spread_cuts
from conviction.audit._code_values import Columns, Grid, ValueCoder, align, column_scale, differs
from conviction.audit._report import Finding
from conviction.frames import SYMBOL, key_of, moment_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

Build = Callable[[pl.DataFrame], pl.DataFrame]
_SIDE: Final = ("market_close", "vix_close")
LOOKBACK_TOLERANCE = 1e-6  # relative; what a change must exceed to count as look-back
_LOOKBACK_SYMBOLS: Final = 5


class DeclaredFeature(Protocol):
    """What the audit reads of a feature's declaration."""

    @property
    def name(self) -> str:
        """Column name."""

    @property
    def lookback(self) -> int | None:
        """Number of earlier rows that may change the value; None has no end."""


@dataclass(frozen=True)
class Offence:
    """The first row at which one column gave another value, and how far ahead of it the data was changed."""

    column: str
    symbol: str
    session: str
    reach: int
    rows: int
    got: float
    recomputed: float


def first_offence(
    name: str,
    *,
    base: NDArray[np.floating[Any]],
    other: NDArray[np.floating[Any]],
    wrong: NDArray[np.bool_],
    grid: Grid,
    cut: int,
) -> Offence | None:
    """Return the earliest differing row (by session, then symbol), or None when there is none."""
    rows = np.flatnonzero(wrong)
    if not rows.size:
        return None
    first = rows[np.lexsort((grid.symbol_code[rows], grid.session_code[rows]))[0]]
    session = int(grid.session_code[first])
    return Offence(
        column=name,
        symbol=grid.symbols[int(grid.symbol_code[first])],
        session=grid.session_name(session),
        reach=cut + 1 - session,
        rows=int(rows.size),
        got=float(base[first]),
        recomputed=float(other[first]),
    )


class Recomputation:
    """Recomputes a feature matrix and remembers which columns could be proved free of the future.

    Parameters
    ----------
    panel, matrix : polars.DataFrame
        The audited panel and feature matrix.
    build : callable
        From a panel to its feature matrix.
    tolerance : float
        Relative difference that still counts as equal; 0 compares bit for bit.
    """

    def __init__(self, panel: pl.DataFrame, matrix: pl.DataFrame, *, build: Build, tolerance: float) -> None:
        self.panel = panel
        self.grid = Grid.from_keys(panel)
        self.names = [name for name in matrix.columns if name not in key_of(matrix)]
        self.build = build
        self.tolerance = tolerance
        self.coder = ValueCoder()
        self.matrix = matrix
        self.rebuilt: set[str] = set()
        self.missing: set[str] = set(self.names)
        self.guilty: dict[str, Offence] = {}
        self.cells = 0

    @cached_property
    def base(self) -> Columns:
        """The matrix as columns on the grid; made when a column has to be looked at cell by cell."""
        return align(self.matrix, self.grid, None, self.names, self.coder)

    @property
    def proved(self) -> set[str]:
        """Return the columns that every recomputation gave again, bit for bit."""
        return self.rebuilt - self.missing - set(self.guilty)

    def _compare(self, frame: pl.DataFrame, ran_on: NDArray[np.bool_] | None, cut: int) -> dict[str, Offence]:
        before = self.grid.session_code <= cut
        given = set(frame.columns)
        present = [name for name in self.names if name in given]
        self.missing &= set(self.names) - given
        self.rebuilt |= set(present)
        self.cells += int(before.sum()) * len(present)
        found: dict[str, Offence] = {}
        suspects = self._unequal(frame, present, before, cut)
        columns = align(frame, self.grid, ran_on, suspects, self.coder) if suspects else {}
        for name in suspects:
            wrong = differs(self.base[name], columns[name], tolerance=self.tolerance) & before
            offence = first_offence(
                name, base=self.base[name], other=columns[name], wrong=wrong, grid=self.grid, cut=cut
            )
            if offence is not None:
                found[name] = offence
        for name, offence in found.items():
            known = self.guilty.get(name)
            if known is None or offence.reach > known.reach:
                self.guilty[name] = offence
        return found

    def _unequal(self, frame: pl.DataFrame, names: list[str], before: NDArray[np.bool_], cut: int) -> list[str]:
        """Return the columns that are not plainly equal; only those are looked at cell by cell."""
        wanted = self.matrix.filter(pl.Series(before)) if self.matrix.height == self.grid.rows else self.matrix
        last = self.grid.sessions[cut]
        moment, key = moment_of(self.panel), key_of(self.panel)
        answered = frame if frame[moment].max() == last else frame.filter(pl.col(moment) <= last)
        if not wanted.select(key).equals(answered.select(key)):
            return names
        return [name for name in names if not wanted[name].equals(answered[name], check_dtypes=True, null_equal=True)]

    def cut_at(self, cut: int) -> dict[str, Offence]:
        """Recompute on the sessions up to position `cut`; return the offending columns."""
        kept = self.grid.session_code <= cut
        return self._compare(self.build(self.panel.filter(pl.Series(kept))), kept, cut)

    def change_after(self, cut: int, upto: int, *, seed: int) -> dict[str, Offence]:
        """Recompute on the sessions up to `upto` with every price and volume after `cut` replaced."""
        kept = self.grid.session_code <= upto
        part = self.panel.filter(pl.Series(kept))
        session, symbol = self.grid.session_code[kept], self.grid.symbol_code[kept]
        after = session > cut
        price, volume = noisy_factors(part.height, after, seed=seed)
        up = after & (symbol % 2 == 0)
        for where, direction in ((up, "up"), (after & ~up, "down")):
            jump = jump_factors(where, direction)
            price, volume = price * jump[0], volume * jump[1]
        later = np.arange(len(self.grid.sessions)) > cut
        by_session = noisy_factors(len(later), later, seed=seed + 1)[0]
        changed = _side_scaled(scaled(part, price, volume), by_session[session])
        return self._compare(self.build(changed), kept, cut)

    def run(self, *, n_cuts: int, seed: int) -> tuple[list[int], dict[str, Offence], dict[str, Offence]]:
        """Cut, then change the future; return the cuts and the offences of each relation."""
        cuts = spread_cuts(len(self.grid.sessions), n_cuts, seed=seed)
        by_cut: dict[str, Offence] = {}
        for cut in cuts:
            for name, offence in self.cut_at(cut).items():
                if name not in by_cut or offence.reach > by_cut[name].reach:
                    by_cut[name] = offence
        middle = len(self.grid.sessions) // 5
        by_change = self.change_after(middle, min(len(self.grid.sessions) - 1, middle + 60), seed=seed)
        return cuts, by_cut, by_change

    def few_symbols(self, features: Sequence[DeclaredFeature]) -> pl.DataFrame:
        """Return the panel of the widest symbols over the last sessions that fill every declared window."""
        longest = max((f.lookback for f in features if f.lookback is not None), default=0)
        symbols = _widest(self.panel)
        sessions = self.grid.sessions[-min(len(self.grid.sessions), longest + 160) :]
        return self.panel.filter(pl.col(SYMBOL).is_in(symbols) & pl.col(moment_of(self.panel)).is_in(sessions))

    def measure_lookback(self, features: Sequence[DeclaredFeature]) -> dict[str, int]:
        """Return how many rows after one changed session each column still changes, on a few symbols."""
        small = self.few_symbols(features)
        grid = Grid.from_keys(small)
        names = [name for name in self.names if name in self.rebuilt]
        base = align(self.build(small), grid, None, names, self.coder)
        measured = dict.fromkeys(names, 0)
        for touched in (5, 40):
            here = grid.session_code == touched
            rising = here & (grid.symbol_code % 2 == touched % 2)
            up, down = jump_factors(rising, "up"), jump_factors(here & ~rising, "down")
            changed = _side_scaled(scaled(small, up[0] * down[0], up[1] * down[1]), np.where(here, 1.2, 1.0))
            other = align(self.build(changed), grid, None, names, self.coder)
            origin = np.zeros(len(grid.symbols), dtype=np.int64)
            origin[grid.symbol_code[here]] = grid.ordinal[here]
            distance = grid.ordinal - origin[grid.symbol_code]
            for name in names:
                # Running sums keep a rounding residue of values that left their window: that is no longer look-back.
                moved = differs(
                    base[name],
                    other[name],
                    tolerance=max(self.tolerance, LOOKBACK_TOLERANCE),
                    scale=column_scale(base[name]),
                )
                if moved.any():
                    measured[name] = max(measured[name], int(distance[moved].max()))
        return measured


def _side_scaled(panel: pl.DataFrame, factor: NDArray[np.float64]) -> pl.DataFrame:
    return panel.with_columns(
        [(panel[name] * pl.Series(factor)).alias(name) for name in _SIDE if name in panel.columns]
    )


def _widest(panel: pl.DataFrame) -> list[str]:
    counts = panel.group_by(SYMBOL).len().sort(["len", SYMBOL], descending=[True, False])
    return counts[SYMBOL].head(_LOOKBACK_SYMBOLS).to_list()


def recompute_findings(check: str, offences: dict[str, Offence], *, what: str) -> list[Finding]:
    """Return one error a guilty column, the farthest reader of the future first."""
    ordered = sorted(offences.values(), key=lambda offence: (-offence.reach, offence.column))
    return [
        Finding(
            check=check,
            severity="error",
            columns=(offence.column,),
            symbols=(offence.symbol,),
            first_session=offence.session,
            evidence={
                "rows": offence.rows,
                "reads_sessions_ahead": offence.reach,
                "value": None if np.isnan(offence.got) else offence.got,
                "recomputed": None if np.isnan(offence.recomputed) else offence.recomputed,
            },
            explanation=(
                f"{offence.column} of {offence.symbol} on {offence.session} has another value {what}: it reads at least "
                f"{offence.reach} session{'s' if offence.reach != 1 else ''} ahead."
            ),
            remedy="compute it from rows up to its own session only: no negative shift, no centred window, no back-fill, "
            "no statistic of the whole sample.",
        )
        for offence in ordered
    ]
