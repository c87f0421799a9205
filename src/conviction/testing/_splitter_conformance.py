"""The conformance suite of splitters: what any split of a labelled panel must satisfy before a score of it is believed."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import polars as pl

from conviction.folds import FoldPlan
from conviction.frames import SESSION, check_columns

if TYPE_CHECKING:
    from numpy.typing import NDArray

Coverage = Literal["once", "equal", "forward"]
SPLITTER_CHECKS = ("counts", "not_empty", "disjoint", "whole_sessions", "coverage", "label_spans", "same_again")


@dataclass(frozen=True)
class Conformance:
    """What the suite found about one splitter.

    Attributes
    ----------
    failures : dict of str to str
        Check -> a sentence with the numbers; empty when the splitter conforms.
    folds : int
        Number of splits it made.
    """

    failures: dict[str, str]
    folds: int

    @property
    def passed(self) -> bool:
        """Return whether every check passed."""
        return not self.failures


def check_splitter(
    splits: Iterable[tuple[Any, Any]],
    again: Iterable[tuple[Any, Any]],
    *,
    rows: pl.DataFrame,
    n_folds: int,
    coverage: Coverage,
) -> Conformance:
    """Check the splits that a splitter makes of a labelled panel.

    - `counts`: exactly `n_folds` splits (a zip that ends early hides a missing fold);
    - `not_empty`: each has rows to train on and rows to test;
    - `disjoint`: no row is in both parts of a split, or twice in one;
    - `whole_sessions`: no session has rows in both parts, since stocks of a day move together;
    - `coverage`: each row is tested once (`once`), equally often (`equal`), or the tested rows are a whole run of
      sessions at the end, each once (`forward`);
    - `label_spans`: no training label's span (t0, t1] overlaps a test label's, touching included;
    - `same_again`: a second call gives the same splits.

    Parameters
    ----------
    splits, again : iterable of (train, test)
        Row positions of two calls of the splitter; a test part may be a list of arrays.
    rows : polars.DataFrame
        One row a sample in the order that the splitter saw: `session`, `t0`, `t1`.
    n_folds : int
        Splits that were asked for.
    coverage : {"once", "equal", "forward"}
        What the splitter promises.

    Returns
    -------
    Conformance

    References
    ----------
    Lopez de Prado, *Advances in Financial Machine Learning* (2018), chapter 7.

    Examples
    --------
    >>> from datetime import datetime, timedelta, timezone
    >>> t0 = [datetime(2020, 1, 1, 21, tzinfo=timezone.utc) + timedelta(days=d) for d in range(6)]
    >>> rows = pl.DataFrame({"t0": t0, "t1": t0[1:] + [t0[-1] + timedelta(days=1)]}).with_columns(session=pl.col("t0").dt.date())
    >>> naive, purged = [([0, 1, 2], [3, 4, 5])], [([0, 1], [3, 4, 5])]
    >>> check_splitter(naive, naive, rows=rows, n_folds=1, coverage="forward").failures
    {'label_spans': 'fold 0: 1 training rows have a label that reaches into the test rows'}
    >>> check_splitter(purged, purged, rows=rows, n_folds=1, coverage="forward").passed
    True
    """
    check_columns(rows, [SESSION, "t0", "t1"], name="rows")
    pairs, twice = [[_pair(split) for split in made] for made in (splits, again)]
    failures: dict[str, str] = {}
    if len(pairs) != n_folds:
        failures["counts"] = f"{len(pairs)} splits instead of {n_folds}"
    same = len(pairs) == len(twice) and all(
        np.array_equal(one, two) for a, b in zip(pairs, twice, strict=False) for one, two in zip(a, b, strict=True)
    )
    if not same:
        failures["same_again"] = "a second call gave other splits"
    day = rows[SESSION].to_physical().to_numpy()
    t0, t1 = (rows[name].dt.epoch("us").to_numpy() for name in ("t0", "t1"))
    for fold, (train, test) in enumerate(pairs):
        for name, sentence in _check_pair(train, test, day=day, t0=t0, t1=t1).items():
            failures.setdefault(name, f"fold {fold}: {sentence}")
    uncovered = _check_coverage([test for _, test in pairs], day=day, coverage=coverage)
    if uncovered:
        failures["coverage"] = uncovered
    return Conformance({name: failures[name] for name in SPLITTER_CHECKS if name in failures}, len(pairs))


def splits_of_plan(plan: FoldPlan, rows: pl.DataFrame) -> list[tuple[NDArray[np.intp], NDArray[np.intp]]]:
    """Return the splits of a fold plan as row positions; `inner` trains, the hold-out takes no part.

    Parameters
    ----------
    plan : FoldPlan
    rows : polars.DataFrame
        With a `session` column.

    Returns
    -------
    list of (train, test)
    """
    found = []
    for fold in plan.folds:
        roles = rows.select(SESSION).join(
            plan.frame.filter(pl.col("fold") == fold), on=SESSION, how="left", maintain_order="left"
        )["role"]
        train = roles.is_in(["train", "inner"]).fill_null(value=False)
        test = (roles == "test").fill_null(value=False)
        found.append((np.flatnonzero(train.to_numpy()), np.flatnonzero(test.to_numpy())))
    return found


def _pair(split: tuple[Any, Any]) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    train, test = split
    if isinstance(test, list) and test and isinstance(test[0], np.ndarray):
        test = np.concatenate(test)
    return np.asarray(train, dtype=np.intp), np.asarray(test, dtype=np.intp)


def _check_pair(
    train: NDArray[np.intp],
    test: NDArray[np.intp],
    *,
    day: NDArray[np.integer[Any]],
    t0: NDArray[np.int64],
    t1: NDArray[np.int64],
) -> dict[str, str]:
    if not (train.size and test.size):
        return {"not_empty": f"{train.size} training rows and {test.size} test rows"}
    failures: dict[str, str] = {}
    shared = np.intersect1d(train, test).size
    repeated = train.size - np.unique(train).size + test.size - np.unique(test).size
    if shared or repeated:
        failures["disjoint"] = f"{shared} rows in both parts, {repeated} repeated"
    both = np.intersect1d(day[train], day[test]).size
    if both:
        failures["whole_sessions"] = f"{both} sessions have rows in both parts"
    reaching = sum(
        _overlapping(t0[train], t1[train], t0[run], t1[run]) for run in _runs_in_time(test, day=day, everything=day)
    )
    if reaching:
        failures["label_spans"] = f"{reaching} training rows have a label that reaches into the test rows"
    return failures


def _overlapping(
    t0: NDArray[np.int64], t1: NDArray[np.int64], other_t0: NDArray[np.int64], other_t1: NDArray[np.int64]
) -> int:
    return int(((t0 <= other_t1.max()) & (t1 >= other_t0.min())).sum())


def _runs_in_time(
    test: NDArray[np.intp], *, day: NDArray[np.integer[Any]], everything: NDArray[np.integer[Any]]
) -> list[NDArray[np.intp]]:
    """Return the test rows as runs of sessions that follow each other in the panel."""
    place = np.searchsorted(np.unique(everything), day[test])
    order = np.argsort(place, kind="stable")
    breaks = np.flatnonzero(np.diff(place[order]) > 1) + 1
    return list(np.split(test[order], breaks))


def _check_coverage(tests: list[NDArray[np.intp]], *, day: NDArray[np.integer[Any]], coverage: Coverage) -> str | None:
    times = np.bincount(np.concatenate(tests), minlength=len(day)) if tests else np.zeros(len(day), dtype=np.intp)
    if coverage == "once" and not (times == 1).all():
        return f"rows are tested {times.min()} to {times.max()} times instead of once"
    if coverage == "equal" and times.min() != times.max():
        return f"rows are tested {times.min()} to {times.max()} times instead of equally often"
    if coverage == "forward":
        tested = times > 0
        first = day[tested].min() if tested.any() else None
        if first is None or (times[day >= first] != 1).any():
            return "the tested rows are not the last sessions, each once"
    return None
