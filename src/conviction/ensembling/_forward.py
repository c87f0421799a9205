"""What may be learnt when: for each fold, the rows whose labels were known before it began."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

if TYPE_CHECKING:
    import numpy.typing as npt

    Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Step:
    """One fold, and what was known when it began.

    Attributes
    ----------
    fold : int
    now : numpy.ndarray of bool, shape (n_rows,)
        Rows of the fold.
    past : numpy.ndarray of bool, shape (n_rows,)
        Labelled rows of folds that ended before this one began, without the last `purge` sessions before it.
    n_past_sessions : int
    """

    fold: int
    now: Bools
    past: Bools
    n_past_sessions: int


def forward_steps(rows: pl.DataFrame, *, purge: int) -> Iterator[Step]:
    """Go through the folds in the order of time.

    Parameters
    ----------
    rows : polars.DataFrame
        ``session``, ``fold``, ``label``.
    purge : int
        Sessions directly before a fold from which nothing is learnt, since their labels were not all known when its first
        decision was made; the label's horizon is enough for every decision time.

    Yields
    ------
    Step
        Ascending by the folds' first sessions.
    """
    spans = rows.group_by("fold").agg(first=pl.col("session").min(), last=pl.col("session").max()).sort("first", "fold")
    sessions = rows["session"].unique().sort()
    order = rows["session"].rank("dense").to_numpy().astype(np.int64) - 1
    fold = rows["fold"].to_numpy()
    labelled = rows["label"].is_not_null().to_numpy()
    for name, first, _last in spans.iter_rows():
        begins = int(sessions.search_sorted(first))
        ended = spans.filter(pl.col("last") < first)["fold"].to_numpy()
        past = np.isin(fold, ended) & (order < begins - purge) & labelled
        yield Step(int(name), fold == name, past, len(np.unique(order[past])))
