"""Two relations that hold for every honest feature: other symbols gone, and the same rows handed over in another way."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from conviction.audit._code_values import Grid, align, column_scale, differs
from conviction.audit._report import Finding
from conviction.audit._workspace_recompute import LOOKBACK_TOLERANCE, Offence, Recomputation, first_offence
from conviction.frames import key_of

if TYPE_CHECKING:
    from numpy.typing import NDArray


class Relations:
    """Builds the features of a few symbols once, then again on variants that must not change them.

    Parameters
    ----------
    again : Recomputation
        Panel, feature code and tolerance of the audit.
    small : polars.DataFrame
        A few symbols over enough sessions for every window.
    """

    def __init__(self, again: Recomputation, small: pl.DataFrame) -> None:
        self.again = again
        self.small = small
        self.grid = Grid.from_keys(small)
        built = again.build(small)
        self.names = [name for name in again.names if name in built.columns]
        self.base = align(built, self.grid, None, self.names, again.coder)
        self.cells = 0

    def symbols_dropped(self) -> dict[str, Offence]:
        """Return the columns of the symbols that stay which change when every second symbol is gone."""
        kept = self.grid.symbol_code % 2 == 0
        if kept.all():
            return {}
        return self._compare(self.small.filter(pl.Series(kept)), kept, tolerance=LOOKBACK_TOLERANCE)

    def rows_shuffled(self, *, seed: int) -> dict[str, Offence]:
        """Return the columns that change when the rows are shuffled and sorted again: the same data, bit for bit."""
        mixed = self.small.sample(fraction=1.0, shuffle=True, seed=seed).sort(key_of(self.small))
        return self._compare(mixed, np.ones(self.grid.rows, dtype=bool), tolerance=self.again.tolerance)

    def _compare(self, panel: pl.DataFrame, kept: NDArray[np.bool_], *, tolerance: float) -> dict[str, Offence]:
        other = align(self.again.build(panel), self.grid, kept, self.names, self.again.coder)
        self.cells += int(kept.sum()) * len(self.names)
        found = {}
        for name in self.names:
            # Running sums over the symbol before leave rounding behind; the sample decides what is a number of its own.
            scale = column_scale(self.base[name])
            wrong = differs(self.base[name], other[name], tolerance=tolerance, scale=scale) & kept
            offence = first_offence(
                name,
                base=self.base[name],
                other=other[name],
                wrong=wrong,
                grid=self.grid,
                cut=len(self.grid.sessions) - 1,
            )
            if offence is not None:
                found[name] = offence
        return found


def across_findings(offences: dict[str, Offence], across: Collection[str] | None) -> list[Finding]:
    """Return an error for each column that changes with other symbols though it is not meant to read them."""
    return [
        _finding(
            "symbols_dropped",
            offence,
            what="has another value when other symbols are dropped, but is declared to read its own symbol only.",
            remedy="group by symbol before every shift, window and mean, or declare it cross-sectional.",
        )
        for offence in offences.values()
        if across is not None and offence.column not in across
    ]


def shuffled_findings(offences: dict[str, Offence]) -> list[Finding]:
    """Return an error for each column that two builds of the same rows give differently."""
    return [
        _finding(
            "rows_shuffled",
            offence,
            what="differs between two builds of the same rows, shuffled and sorted in between.",
            remedy="make the code deterministic: no random numbers, no memory between calls, no order of arrival.",
        )
        for offence in offences.values()
    ]


def _finding(check: str, offence: Offence, *, what: str, remedy: str) -> Finding:
    return Finding(
        check=check,
        severity="error",
        columns=(offence.column,),
        symbols=(offence.symbol,),
        first_session=offence.session,
        evidence={"rows": offence.rows},
        explanation=f"{offence.column} of {offence.symbol} on {offence.session} {what}",
        remedy=remedy,
    )


__all__ = ["Relations", "across_findings", "shuffled_findings"]
