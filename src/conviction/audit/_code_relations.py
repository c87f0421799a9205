"""The metamorphic relations: what must not change, checked cell by cell.

The relations that cut or change everything after one session prove; those that change each symbol from its own
session nominate many more places at the same price, and a proving relation at that place confirms or drops them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from conviction.audit._code_call import Answer, Bars, call, untouched
from conviction.audit._code_futures import changed_numbers, placed_cuts
from conviction.audit._code_state import RandomGuard, StateGuard
from conviction.audit._code_values import Columns, ValueCoder, align, column_scale, differs

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Mask = NDArray[np.bool_]

#: Two values closer than this times their size (or the column's typical size) are equal: running sums over other
#: later rows leave noise of about 1e-12, and nothing smaller than a ten-millionth can be of use to a model.
TOLERANCE: Final = 1e-7
FLOAT32_TOLERANCE: Final = 2e-6
#: Differences above this share of the size are never rounding; below it they must exceed what changing the last bit
#: of every number does, by this margin (futures are changed by far more than a bit).
SURE: Final = 1e-3
NOISE_MARGIN: Final = 100.0
_GUARD_ROWS: Final = 300


class FunctionFailedError(Exception):
    """The audited function gave nothing on the whole bars."""


@dataclass
class Evidence:
    """What is known against one column."""

    symbol: str
    session: str
    session_code: int
    got: float
    recomputed: float
    reach: int = 0
    rows: int = 0
    relations: set[str] = field(default_factory=set)
    symbols: set[str] = field(default_factory=set)
    only_borders: bool = True


def _some_bit_differs(a: NDArray[np.floating[Any]], b: NDArray[np.floating[Any]], where: Mask) -> bool:
    """Return False when two columns are plainly equal on the rows `where`, which most are: one pass instead of ten."""
    if a.dtype != b.dtype or a.dtype.itemsize not in (4, 8):
        return True
    bits = np.int32 if a.dtype.itemsize == 4 else np.int64
    return bool(((a.view(bits) != b.view(bits)) & where).any())


class Relations:
    """Runs one function on variants of its bars and gathers what it must not do.

    Parameters
    ----------
    function : callable
        From bars to features.
    bars : Bars
        The caller's bars.
    seed : int
        Seed of all perturbations.
    """

    def __init__(self, function: Callable[[Any], Any], bars: Bars, *, seed: int) -> None:
        self.function = function
        self.bars = bars
        self.grid = bars.grid
        self.seed = seed
        self.coder = ValueCoder()
        self.state = StateGuard(function)
        self.random = RandomGuard()
        self.base: Columns = {}
        self.problems: dict[str, str] = {}
        self.unstable: dict[str, str] = {}
        self.guilty: dict[str, Evidence] = {}
        self.raised: dict[str, str] = {}
        self.guarded: dict[str, int] = {}
        self.calls = 0
        self.cells = 0
        self._scale: dict[str, float] = {}
        self._given: set[str] = set()
        self._floor: dict[str, NDArray[np.float64]] | None = None

    def position(self, session: str) -> int:
        """Return the position of a session by its name."""
        return [self.grid.session_name(code) for code in range(len(self.grid.sessions))].index(session)

    # -- calls

    def ask(self, frame: Any) -> Answer:
        """Call the function with a fresh memory and fresh seeds; raise what it raises."""
        reference = frame.copy(deep=True) if self.bars.pandas else frame.clone()
        self.state.reset()
        self.random.next()
        self.calls += 1
        result = call(self.function, frame)
        if not untouched(frame, reference):
            self.problems["input_changed"] = "the frame that was passed differs after the call"
        return self.bars.read(result, reference, self.coder)

    def columns(self, label: str, frame: Any, keep: Mask | None) -> Columns | None:
        """Return the function's columns on the grid, or None when it raised (which is remembered)."""
        try:
            answer = self.ask(frame)
        except Exception as error:  # noqa: BLE001 (any exception of foreign code is a result here)
            self.raised.setdefault(label, f"{type(error).__name__}: {error}"[:200])
            return None
        self._given = set(answer.features)
        return align(answer.frame, self.grid, keep, list(self.base), self.coder)

    def start(self) -> Answer:
        """Call the function on the whole bars; raise what it raises."""
        try:
            answer = self.ask(self.bars.variant())
        except Exception as error:
            raise FunctionFailedError(f"{type(error).__name__}: {error}"[:300]) from error
        if not answer.features:
            message = "it returned no feature column beside the key"
            raise FunctionFailedError(message)
        self.problems |= answer.problems
        self.base = align(answer.frame, self.grid, None, answer.features, self.coder)
        found = (
            answer.frame.select("symbol", "session").join(self.grid.keys, on=["symbol", "session"], how="semi").height
        )
        if found < self.grid.rows:
            self.problems["rows_dropped"] = f"{self.grid.rows - found} of {self.grid.rows} rows"
        if found < answer.frame.height:
            self.problems["rows_added"] = f"{answer.frame.height - found} rows that the bars do not have"
        return answer

    # -- comparisons

    def wrong(self, name: str, a: Columns, b: Columns, where: Mask) -> Mask:
        """Return the rows `where` at which a column differs beyond rounding noise."""
        wrong = np.zeros(self.grid.rows, dtype=np.bool_)
        if not _some_bit_differs(a[name], b[name], where):
            return wrong
        if name not in self._scale:
            self._scale[name] = column_scale(self.base[name])
        tolerance = FLOAT32_TOLERANCE if a[name].dtype == np.float32 else TOLERANCE
        wrong[where] = differs(a[name][where], b[name][where], tolerance=tolerance, scale=self._scale[name])
        rows = np.flatnonzero(wrong)
        apart = np.abs(a[name][rows] - b[name][rows])
        size = np.maximum(np.maximum(np.abs(a[name][rows]), np.abs(b[name][rows])), self._scale[name])
        small = apart <= SURE * size
        if small.any():
            wrong[rows[small & (apart <= NOISE_MARGIN * self._noise(name)[self.grid.symbol_code[rows]])]] = False
        return wrong

    def _noise(self, name: str) -> NDArray[np.float64]:
        """Return, for each symbol, how far a column moves when every price and volume moves by its last bit.

        A window that runs over symbol borders and is blanked there is honest, but a running variance keeps rounding
        errors of the symbol before, which grow with the square of its prices.
        """
        if self._floor is None:
            rng = np.random.default_rng([self.seed, 5])
            bits = {n: v * (1 + 2.0**-52 * rng.integers(-1, 2, self.grid.rows)) for n, v in self.bars.numbers.items()}
            moved = self.columns("last bits changed", self.bars.variant(bits), None)
            self._floor = {}
            for column, values in self.base.items():
                noise = np.zeros(len(self.grid.symbols))
                apart = np.zeros(self.grid.rows) if moved is None else np.nan_to_num(np.abs(values - moved[column]))
                for code in range(len(noise)):
                    middle, high = np.quantile(apart[self.grid.symbol_code == code], (0.5, 0.99))
                    # Where most rows keep every bit, the few that move are steps (a sign, a rank), not noise.
                    noise[code] = high if middle > 0 else 0.0
                self._floor[column] = noise
        return self._floor[name]

    def _judge(self, relation: str, other: Columns | None, cut: int, *, only: set[str] | None = None) -> set[str]:
        if other is None:
            return set()
        before = self.grid.session_code <= cut
        found = set()
        for name in self.base:
            if name in self.unstable or name not in self._given or (only is not None and name not in only):
                continue
            self.cells += int(before.sum())
            wrong = self.wrong(name, self.base, other, before)
            if relation == "truncation" and wrong.any():
                wrong &= ~self._length_guard(name, other, before, cut)
            if wrong.any():
                found.add(name)
                self._accuse(name, relation, other, wrong, cut)
        return found

    def _length_guard(self, name: str, other: Columns, before: Mask, cut: int) -> Mask:
        """Return the rows of symbols that got no value at all because too few of their rows were left.

        That alone is no proof of a leak: a function may refuse short histories. The changed futures decide.
        """
        empty = (
            np.bincount(self.grid.symbol_code[before & np.isfinite(other[name])], minlength=len(self.grid.symbols)) == 0
        )
        short = np.bincount(self.grid.symbol_code[before], minlength=len(self.grid.symbols)) < _GUARD_ROWS
        rows = np.asarray((empty & short)[self.grid.symbol_code] & before, dtype=np.bool_)
        if (rows & np.isfinite(self.base[name])).any():
            self.guarded[name] = max(self.guarded.get(name, 0), cut + 1)
        return rows

    def _accuse(self, name: str, relation: str, other: Columns, wrong: Mask, cut: int) -> None:
        rows = np.flatnonzero(wrong)
        first = rows[np.lexsort((self.grid.symbol_code[rows], self.grid.session_code[rows]))[0]]
        session = int(self.grid.session_code[first])
        known = self.guilty.get(name)
        if known is None or session < known.session_code:
            fresh = Evidence(
                symbol=self.grid.symbols[int(self.grid.symbol_code[first])],
                session=self.grid.session_name(session)[:10] if self._daily else self.grid.session_name(session),
                session_code=session,
                got=float(self.base[name][first]),
                recomputed=float(other[name][first]),
            )
            if known is not None:
                fresh.reach, fresh.rows, fresh.only_borders = known.reach, known.rows, known.only_borders
                fresh.relations, fresh.symbols = known.relations, known.symbols
            known = self.guilty[name] = fresh
        known.reach = max(known.reach, cut + 1 - session)
        known.relations.add(relation)
        known.rows = max(known.rows, int(rows.size))
        known.symbols |= {self.grid.symbols[int(code)] for code in np.unique(self.grid.symbol_code[rows])[:20]}
        early = min(260, len(self.grid.sessions) // 3)
        known.only_borders &= bool((self.grid.symbol_code[rows] > 0).all() and (self.grid.ordinal[rows] < early).all())

    @property
    def _daily(self) -> bool:
        return all(s.hour == 0 and s.minute == 0 for s in (self.grid.sessions[0], self.grid.sessions[-1]))

    # -- relations

    def repeat(self, early: Columns | None, cut: int) -> None:
        """Repeat the first cut call and the whole call: what differs is not reproducible."""
        keep = self.grid.session_code <= cut
        whole = self.columns("repeated call", self.bars.variant(), None)
        again = self.columns(f"cut at {self.grid.session_name(cut)}", self.bars.variant(keep=keep), keep)
        pairs = ((self.base, whole, np.ones(self.grid.rows, dtype=np.bool_)), (early, again, keep))
        for a, b, where in pairs:
            if a is None or b is None:
                continue
            for name in set(a) & set(b):
                if name in self.base and self.wrong(name, a, b, where).any():
                    self.unstable.setdefault(name, "two equal calls gave different values")
        self._judge("truncation", again, cut)

    def early_call(self, keep: Mask) -> Answer | None:
        """Call the function on cut bars before it has ever seen the rest."""
        try:
            return self.ask(self.bars.variant(keep=keep))
        except Exception:  # noqa: BLE001 (reported when it happens again)
            return None

    def _answers(self, keep: Mask) -> bool:
        """Call the function without a reset; return whether it gave something."""
        try:
            call(self.function, self.bars.variant(keep=keep))
        except Exception:  # noqa: BLE001 (then it needs what was taken away)
            return False
        return True

    def cut_at(self, cut: int) -> None:
        """Drop every row after a session."""
        keep = self.grid.session_code <= cut
        label = f"cut at {self.grid.session_name(cut)}"
        self._judge("truncation", self.columns(label, self.bars.variant(keep=keep), keep), cut)

    def change_after(self, cut: int, kind: str, *, only: set[str] | None = None, upto: int | None = None) -> set[str]:
        """Give every symbol another future after a session."""
        values = changed_numbers(self.bars, self.grid.session_code > cut, kind, seed=self.seed + cut)
        keep = None if upto is None else self.grid.session_code <= upto
        label = f"{kind} future after {self.grid.session_name(cut)}"
        return self._judge(
            "future_perturbation", self.columns(label, self.bars.variant(values, keep), keep), cut, only=only
        )

    def extend(self) -> None:
        """Add sessions after the end: as many again, where that is cheap."""
        sessions = len(self.grid.sessions)
        other = self.columns("longer bars", self.bars.extended(min(sessions, 250)), None)
        self._judge("calendar_extension", other, len(self.grid.sessions) - 1)

    def change_some(self) -> tuple[set[str], set[str]]:
        """Change the whole history of every second symbol.

        Returns
        -------
        set of str
            Columns of the other symbols that changed: they read across symbols.
        set of str
            Columns of the changed symbols that did not change at all: they do not read the bars' numbers.
        """
        odd = self.grid.symbol_code % 2 == 0
        values = changed_numbers(self.bars, odd, "noise", seed=self.seed)
        other = self.columns("changed symbols", self.bars.variant(values), None)
        if other is None:
            return set(self.base), set()
        stable = [name for name in self.base if name not in self.unstable]
        crossing = {name for name in stable if self.wrong(name, self.base, other, ~odd).any()}
        deaf = {name for name in stable if not self.wrong(name, self.base, other, odd).any()}
        return crossing, deaf

    def drop_some(self) -> set[str]:
        """Drop every second symbol; return the columns of the others that changed: they read across symbols."""
        if len(self.grid.symbols) < 2:
            return set()
        kept = self.grid.symbol_code % 2 == 1
        other = self.columns("dropped symbols", self.bars.variant(keep=kept), kept)
        if other is None:
            return set()
        stable = [name for name in self.base if name not in self.unstable and name in self._given]
        return {name for name in stable if self.wrong(name, self.base, other, kept).any()}

    def staggered(self, run: int, columns: set[str]) -> None:
        """Give each symbol another future from a session of its own; confirm what shows by a proving relation."""
        if not columns - set(self.guilty) - set(self.unstable):
            return
        rng = np.random.default_rng([self.seed, 77, run])
        n = len(self.grid.sessions)
        own_cut = rng.integers(max(1, n // 30), n - 1, size=len(self.grid.symbols))
        kind = ("up", "down", "noise")[run % 3]
        after = self.grid.session_code > own_cut[self.grid.symbol_code]
        values = changed_numbers(self.bars, after, kind, seed=self.seed + run)
        other = self.columns("staggered futures", self.bars.variant(values), None)
        if other is None:
            return
        suspects: dict[int, set[str]] = {}
        for name in columns - set(self.guilty) - set(self.unstable):
            wrong = np.flatnonzero(self.wrong(name, self.base, other, ~after))
            if wrong.size:
                cut = int(own_cut[self.grid.symbol_code[wrong[0]]])
                suspects.setdefault(cut, set()).add(name)
        for cut, names in sorted(suspects.items())[:6]:
            self.change_after(cut, kind, only=names)

    def reindex(self) -> dict[str, str]:
        """Shuffle the rows and sort them again; return the columns that changed."""
        other = self.columns("shuffled, then sorted rows", self.bars.reindexed(seed=self.seed), None)
        if other is None:
            return {}
        everywhere = np.ones(self.grid.rows, dtype=np.bool_)
        return {
            name: "rows shuffled and sorted again"
            for name in self.base
            if name in self._given
            and name not in self.unstable
            and self.wrong(name, self.base, other, everywhere).any()
        }

    def lookback(self) -> dict[str, int]:
        """Return how many rows after one changed session each column still changes (at least)."""
        measured = dict.fromkeys((name for name in self.base if name not in self.unstable), 0)
        for touched, kind in self._touched():
            here = self.grid.session_code == touched
            values = changed_numbers(self.bars, here, kind, seed=self.seed)
            other = self.columns("one changed session", self.bars.variant(values), None)
            if other is None:
                continue
            origin = np.full(len(self.grid.symbols), np.iinfo(np.int64).max)
            origin[self.grid.symbol_code[here]] = self.grid.ordinal[here]
            distance = self.grid.ordinal - origin[self.grid.symbol_code]
            after = self.grid.session_code > touched
            for name in measured:
                moved = self.wrong(name, self.base, other, after)
                if moved.any():
                    measured[name] = max(measured[name], int(distance[moved].max()))
        return measured

    def _touched(self) -> list[tuple[int, str]]:
        """Return the single sessions to change: the first, an early end of a month, a later end of a week."""
        n = len(self.grid.sessions)
        stamps = self.grid.sessions
        month = [i for i in range(1, n - 1) if stamps[i].month != stamps[i + 1].month]
        week = [i for i in range(1, n - 1) if stamps[i + 1].weekday() < stamps[i].weekday()]
        later = [i for i in week if i >= 0.3 * n]
        return [(0, "noise"), (month[0] if month else 1, "up"), (later[0] if later else n // 3, "down")]

    def comb(self, memories: dict[str, int]) -> None:
        """Change single sessions so far apart that the rows between must not move; confirm what moves.

        For columns of short memory a few such runs look at every boundary of every symbol, so a leak in one symbol and
        one week has nowhere to hide.
        """
        for shortest, longest, runs in ((0, 4, 6), (5, 40, 4)):
            columns = {name for name, rows in memories.items() if shortest <= rows <= longest} - set(self.guilty)
            if columns:
                spacing = longest + 2
                for run in range(runs):
                    self._comb_run(columns, memories, spacing=spacing, offset=run * spacing // runs)

    def _comb_run(self, columns: set[str], memories: dict[str, int], *, spacing: int, offset: int) -> None:
        code = self.grid.session_code
        since = (code - offset) % spacing
        here = since == 0
        kind = ("up", "down")[offset % 2]
        other = self.columns(
            "single changed sessions", self.bars.variant(changed_numbers(self.bars, here, kind, seed=self.seed)), None
        )
        if other is None:
            return
        suspects: dict[int, set[str]] = {}
        for name in columns - set(self.unstable):
            # A row may move when it is the changed one, or within the column's memory after it; two rows of margin.
            quiet = (since > memories[name] + (1 if spacing > 6 else 0)) & ~here
            rows = np.flatnonzero(self.wrong(name, self.base, other, quiet))
            for cut in dict.fromkeys(code[rows[:2000]].tolist()):
                suspects.setdefault(int(cut), set()).add(name)
                if len(suspects) >= 4:
                    break
        for cut, names in list(suspects.items())[:4]:
            self.change_after(cut, kind, only=names)

    def run(self, *, n_cuts: int, thorough: bool) -> dict[str, Any]:
        """Run all relations; return what is not evidence against a column but worth reporting."""
        cuts = placed_cuts(self.bars, n_cuts, seed=self.seed)
        middle = min(cuts, key=lambda cut: abs(cut - len(self.grid.sessions) // 2))
        keep = self.grid.session_code <= middle
        if thorough:
            self.state.forget(lambda: self._answers(keep))
        early = self.early_call(keep) if thorough else None
        self.start()
        if thorough:
            first = None if early is None else align(early.frame, self.grid, keep, early.features, self.coder)
            self.repeat(first, middle)
        else:
            self.cut_at(middle)
        for cut in cuts:
            if cut != middle:
                self.cut_at(cut)
        notes: dict[str, Any] = {"cuts": [self.grid.session_name(cut) for cut in cuts]}
        self._perturb(cuts, thorough=thorough)
        if thorough:
            self.extend()
            memories = self.lookback()
            crossing, deaf = self.change_some()
            crossing |= self.drop_some()
            self.comb(memories)
            for run in range(3):
                self.staggered(run, set(self.base) - crossing)
            notes |= {"crossing": crossing, "deaf": deaf, "reindexed": self.reindex(), "lookback": memories}
        return notes

    def _perturb(self, cuts: list[int], *, thorough: bool) -> None:
        n = len(self.grid.sessions)
        if not thorough:
            cut = n // 4
            self.change_after(cut, "noise", upto=min(n - 1, cut + 80))
            return
        warm = [cut for cut in cuts if cut < n // 8]
        for cut in warm[-1:] if not self.guarded else warm:
            self.change_after(cut, "noise")
        for share, kind in ((0.3, "reversed"), (0.45, "up"), (0.55, "down"), (0.7, "noise")):
            self.change_after(min(cuts, key=lambda cut, at=share * n: abs(cut - at)), kind)  # type: ignore[misc]
        for kind in ("up", "down"):
            self.change_after(n - 2, kind)
