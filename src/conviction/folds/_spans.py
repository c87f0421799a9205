"""Label spans by session, and which sessions a block of them reaches."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from conviction.errors import FoldError
from conviction.frames import SESSION, check_panel

if TYPE_CHECKING:
    from numpy.typing import NDArray

LABEL_COLUMNS = ("direction", "relative")


@dataclass(frozen=True)
class SessionSpans:
    """Labelled sessions in order, with the earliest start and the latest end of their label spans.

    Attributes
    ----------
    sessions : numpy.ndarray of datetime64[D], shape (n,)
    t0, t1 : numpy.ndarray of int64, shape (n,)
        Microseconds since 1970 in UTC; a label of the session is decided by prices in (t0, t1].
    """

    sessions: NDArray[np.datetime64]
    t0: NDArray[np.int64]
    t1: NDArray[np.int64]

    @property
    def n(self) -> int:
        """Return the number of labelled sessions."""
        return len(self.sessions)

    @property
    def reach(self) -> int:
        """Return how many later sessions the longest span touches."""
        touched = np.searchsorted(self.t0, self.t1, side="right") - 1 - np.arange(self.n)
        return int(max(touched.max(initial=0), 0))

    def name(self, index: int) -> str:
        """Return the session at `index` as an ISO date."""
        return str(self.sessions[index])


def spans_of(labels: pl.DataFrame) -> SessionSpans:
    """Read the labelled sessions and their spans from a labels frame.

    A row is labelled when its span is known and at least one of its target columns is; a session is labelled when
    one of its rows is.
    """
    check_panel(labels, name="labels", required=("t0", "t1"))
    targets = [column for column in labels.columns if column in LABEL_COLUMNS or column.startswith("target_")]
    known = pl.all_horizontal(pl.col("t0", "t1").is_not_null())
    if targets:
        known &= pl.any_horizontal(pl.col(targets).is_not_null())
    by_session = (
        labels.filter(known)
        .group_by(SESSION)
        .agg(pl.col("t0").dt.epoch("us").min(), pl.col("t1").dt.epoch("us").max())
        .sort(SESSION)
    )
    spans = SessionSpans(
        sessions=by_session[SESSION].to_numpy().astype("datetime64[D]"),
        t0=by_session["t0"].to_numpy(),
        t1=by_session["t1"].to_numpy(),
    )
    _check_spans(spans)
    return spans


def _check_spans(spans: SessionSpans) -> None:
    if spans.n == 0:
        raise FoldError(
            what="labels have no labelled session",
            got="0 sessions with a target and a span",
            allowed="at least one",
            fix="check the date span and the horizon; make_labels leaves the last sessions null",
        )
    backwards = np.flatnonzero(spans.t1 < spans.t0)
    if backwards.size:
        raise FoldError(
            what=f"the label span of session {spans.name(int(backwards[0]))} ends before it starts",
            got=f"{backwards.size} such sessions",
            allowed="t0 <= t1",
            fix="make the labels with conviction.labels.make_labels",
        )
    disordered = np.flatnonzero(np.diff(spans.t0) <= 0)
    if disordered.size:
        raise FoldError(
            what=f"t0 does not advance after session {spans.name(int(disordered[0]))}",
            got=f"{disordered.size} sessions that start no later than the one before",
            allowed="a later session starts later",
            fix="make the labels with conviction.labels.make_labels",
        )


def runs_of(indices: NDArray[np.intp]) -> list[tuple[int, int]]:
    """Return the contiguous runs of sorted `indices` as (first, last) pairs, both included."""
    if indices.size == 0:
        return []
    breaks = np.flatnonzero(np.diff(indices) > 1)
    firsts = np.concatenate(([indices[0]], indices[breaks + 1]))
    lasts = np.concatenate((indices[breaks], [indices[-1]]))
    return [(int(first), int(last)) for first, last in zip(firsts, lasts, strict=True)]


def neighbours(
    spans: SessionSpans, block: NDArray[np.intp], *, purge: int, embargo: int
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Return masks of the sessions to purge and to embargo around a block of sessions.

    A session is purged when its label span overlaps the span of a run of the block (touching counts), or when it is
    within `purge` sessions of it; it is embargoed when it is among the `embargo` sessions beyond the purged ones, on
    either side.

    References
    ----------
    Lopez de Prado, *Advances in Financial Machine Learning* (2018), section 7.4; the embargo there is after the test
    block only, here on both sides.
    """
    index = np.arange(spans.n)
    purged = np.zeros(spans.n, dtype=np.bool_)
    embargoed = np.zeros(spans.n, dtype=np.bool_)
    for first, last in runs_of(block):
        run_t0, run_t1 = spans.t0[first : last + 1].min(), spans.t1[first : last + 1].max()
        overlaps = (spans.t0 <= run_t1) & (spans.t1 >= run_t0)
        near = overlaps | ((index >= first - purge) & (index <= last + purge))
        purged |= near
        touched = np.flatnonzero(near)
        embargoed |= (index >= touched[0] - embargo) & (index <= touched[-1] + embargo)
    inside = np.isin(index, block)
    return purged & ~inside, embargoed & ~purged & ~inside
