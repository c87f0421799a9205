"""What all checks of one audit share: the table, the panel, the sources, what is proved, and how a finding is made."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from conviction.audit._report import Finding
from conviction.audit.data._library import Library
from conviction.audit.data._match import Match
from conviction.audit.data._numbers import decimals, is_binary, tidy
from conviction.audit.data._panel import Array, Panel, ahead, session_mean
from conviction.audit.data._sources import Sources
from conviction.audit.data._table import Table
from conviction.observer import Observer

Evidence = dict[str, float | int | str | None]


class SkipCheckError(Exception):
    """Raised by a check that cannot run on this dataset; the message is the reason that the report gives."""


@dataclass(kw_only=True)
class Context:
    """State of one audit; checks read it, and the matching fills in what is proved."""

    table: Table
    panel: Panel
    sources: Sources
    known_sessions: frozenset[np.datetime64]
    reference: Panel | None
    observer: Observer
    library: Library | None = None
    matches: dict[str, Match] = field(default_factory=dict)
    nearest: dict[str, Match] = field(default_factory=dict)
    similar: dict[str, tuple[str, float]] = field(default_factory=dict)
    accused: set[str] = field(default_factory=set)
    set_aside: dict[str, str] = field(default_factory=dict)
    quality: dict[str, object] = field(default_factory=dict)
    memo: dict[str, Array] = field(default_factory=dict)

    @property
    def close(self) -> Array:
        """Close on the grid; skips the check where there is none."""
        close = self.panel.price("close")
        if close is None:
            why = "the dataset has no close, so nothing can be recomputed from prices"
            raise SkipCheckError(why)
        return close

    def once(self, key: str, make: Callable[[], Array]) -> Array:
        """Compute an array once an audit."""
        if key not in self.memo:
            with np.errstate(all="ignore"):
                self.memo[key] = make()
        return self.memo[key]

    @property
    def next_return(self) -> Array:
        """Move to the next session's close, from prices; from a one-session target where there is no price."""

        def make() -> Array:
            close = self.panel.price("close")
            if close is not None:
                return ahead(close, 1) / close - 1
            for name, horizon in self.table.targets.items():
                values = self.panel.column(name)
                if horizon == 1 and len(np.unique(values[np.isfinite(values)][:5000])) > 10:
                    return values
            why = "there is neither a close nor a one-session return target to tell the next move from"
            raise SkipCheckError(why)

        return self.once("next_return", make)

    @property
    def next_relative(self) -> Array:
        """Next return minus its mean over the session's symbols."""
        return self.once("next_relative", lambda: self.next_return - session_mean(self.next_return))

    def proved_causal(self, column: str) -> bool:
        """Whether recomputation proved that the column uses nothing after its row."""
        match = self.matches.get(column)
        return match is not None and match.causal and match.proved

    def accuse(
        self,
        check: str,
        *,
        explanation: str,
        remedy: str,
        columns: tuple[str, ...] = (),
        symbols: tuple[str, ...] = (),
        severity: str = "error",
        first_row: int | None = None,
        evidence: Evidence | None = None,
    ) -> Finding:
        """Make a finding; remembers columns at error so that weaker checks leave them alone."""
        if severity == "error":
            self.accused.update(columns)
        return Finding(
            check=check,
            severity=severity,  # type: ignore[arg-type]
            columns=columns,
            symbols=symbols,
            first_session=None if first_row is None else self.panel.session_text(first_row),
            evidence={k: tidy(v) for k, v in (evidence or {}).items()},
            explanation=explanation,
            remedy=remedy,
        )

    def first_row(self, hit: Array) -> int | None:
        """Return the first session in which any symbol is hit."""
        rows = np.flatnonzero(hit.any(axis=1))
        return int(rows[0]) if len(rows) else None

    def symbols_of(self, hit: Array) -> tuple[str, ...]:
        """Return the symbols hit in any session."""
        return tuple(self.panel.symbols[i] for i in np.flatnonzero(hit.any(axis=0)))


__all__ = ["Context", "Evidence", "SkipCheckError", "decimals", "is_binary", "tidy"]
