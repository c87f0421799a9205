"""The typed report on what was found in raw data: named problems with a severity, never a bare boolean."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import date
from typing import Any, Literal

Severity = Literal["error", "warning", "info"]
_ORDER: dict[str, int] = {"error": 0, "warning": 1, "info": 2}


@dataclass(frozen=True, kw_only=True)
class QualityProblem:
    """One kind of problem of one symbol (or file).

    Parameters
    ----------
    name : str
        Name of the rule, from the closed list of the function that made the report.
    severity : {"error", "warning", "info"}
        ``error``: the data cannot be used as they are. ``warning``: usable, but look. ``info``: a fact to know.
    symbol : str or None
        Whose rows; None for a problem of the whole source.
    session : datetime.date or None
        First session concerned.
    rows : int
        Number of rows (or sessions) concerned.
    value : str
        What was found in the first of them.
    explanation : str
        One sentence on why it matters.
    quarantined : bool
        Whether the rows were taken out because the caller allowed it.
    """

    name: str
    severity: Severity
    symbol: str | None
    session: date | None
    rows: int
    value: str
    explanation: str
    quarantined: bool = False

    def to_dict(self) -> dict[str, Any]:
        """Return plain data; dates as ISO text."""
        plain = asdict(self)
        plain["session"] = None if self.session is None else self.session.isoformat()
        return plain


@dataclass(frozen=True, kw_only=True)
class QualityReport:
    """What was found in a source, worst first.

    Parameters
    ----------
    source : str
        What was looked at.
    rows, kept : int
        Rows that came in and rows that went on.
    symbols : int
        Distinct symbols that came in.
    first_session, last_session : datetime.date or None
        Span of what came in.
    problems : tuple of QualityProblem
        Sorted by severity, name, symbol.

    Examples
    --------
    >>> QualityReport(source="bars", rows=2, kept=2, symbols=1, first_session=None, last_session=None, problems=()).passed
    True
    """

    source: str
    rows: int
    kept: int
    symbols: int
    first_session: date | None
    last_session: date | None
    problems: tuple[QualityProblem, ...]

    def __post_init__(self) -> None:
        ordered = sorted(
            self.problems, key=lambda p: (_ORDER[p.severity], p.name, p.symbol or "", p.session or date.min)
        )
        object.__setattr__(self, "problems", tuple(ordered))

    @property
    def errors(self) -> tuple[QualityProblem, ...]:
        """Return the errors that were not quarantined."""
        return tuple(p for p in self.problems if p.severity == "error" and not p.quarantined)

    @property
    def passed(self) -> bool:
        """Return whether no error is left."""
        return not self.errors

    def names(self) -> tuple[str, ...]:
        """Return the names of the problems found, sorted."""
        return tuple(sorted({p.name for p in self.problems}))

    def counts(self) -> dict[str, int]:
        """Return the number of rows concerned by each kind of problem."""
        total: dict[str, int] = {}
        for problem in self.problems:
            total[problem.name] = total.get(problem.name, 0) + problem.rows
        return total

    def summary(self, *, only_errors: bool = False) -> str:
        """Return one line for each kind of problem, with the first place it was seen.

        Parameters
        ----------
        only_errors : bool
            Leave warnings and facts out.

        Returns
        -------
        str
            Empty when there is nothing to say.
        """
        lines = []
        shown = self.errors if only_errors else self.problems
        for name in dict.fromkeys(p.name for p in shown):
            same = [p for p in shown if p.name == name]
            first = same[0]
            where = " ".join(str(x) for x in (first.symbol, first.session) if x is not None)
            rows = sum(p.rows for p in same)
            state = ", quarantined" if first.quarantined else ""
            lines.append(
                f"{first.severity} {name}{state}: {rows} rows, first {where} ({first.value}); {first.explanation}"
            )
        return "\n".join(lines)

    def to_dict(self) -> dict[str, Any]:
        """Return plain data, ready for JSON."""
        return {
            "source": self.source,
            "passed": self.passed,
            "rows": self.rows,
            "kept": self.kept,
            "symbols": self.symbols,
            "first_session": None if self.first_session is None else self.first_session.isoformat(),
            "last_session": None if self.last_session is None else self.last_session.isoformat(),
            "counts": self.counts(),
            "problems": [problem.to_dict() for problem in self.problems],
        }
