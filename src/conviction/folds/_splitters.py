"""Registry of splitters: how the test blocks are laid out over the sessions."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING

import numpy as np

from conviction.errors import FoldError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from conviction.folds._spans import SessionSpans
    from conviction.folds.parameters import FoldParameters


@dataclass(frozen=True)
class Block:
    """One test set and where its training sessions may come from.

    Attributes
    ----------
    test : numpy.ndarray of intp
        Sorted positions of the test sessions.
    before_only : bool
        Whether training must come from before the first test session.
    keep_last : int or None
        Length of a rolling training window; None trains on all that is left.
    """

    test: NDArray[np.intp]
    before_only: bool
    keep_last: int | None = None


Splitter = Callable[["SessionSpans", "FoldParameters"], Iterator[Block]]


def walk_forward(spans: SessionSpans, folds: FoldParameters) -> Iterator[Block]:
    """Lay `n_folds` equal test blocks one after the other at the end; train on what comes before each."""
    first_train = folds.train_sessions or folds.min_train_sessions
    gap = max(folds.purge, spans.reach) + folds.embargo
    room = spans.n - first_train - gap - max(folds.purge, spans.reach)
    length = folds.test_sessions or room // folds.n_folds
    if length < 1 or length * folds.n_folds > room:
        raise FoldError(
            what=f"{folds.n_folds} test blocks do not fit behind the first training window",
            got=f"{spans.n} sessions before the hold-out, of which {first_train} train the first fold and "
            f"{spans.n - first_train - room} fall to purge and embargo; {max(room, 0)} remain for tests of "
            f"{folds.test_sessions or 'at least 1'} sessions each",
            allowed=f"n_folds x test_sessions <= {max(room, 0)}",
            fix="use a longer history, fewer folds, or a shorter folds.test_sessions, folds.min_train_sessions or hold-out",
        )
    start = spans.n - length * folds.n_folds
    for k in range(folds.n_folds):
        yield Block(
            test=np.arange(start + k * length, start + (k + 1) * length),
            before_only=True,
            keep_last=folds.train_sessions,
        )


def _groups(spans: SessionSpans, folds: FoldParameters) -> list[NDArray[np.intp]]:
    if folds.n_folds > spans.n:
        raise FoldError(
            what="more folds than sessions",
            got=f"n_folds={folds.n_folds} and {spans.n} sessions before the hold-out",
            allowed=f"n_folds <= {spans.n}",
            fix="use fewer folds or a longer history",
        )
    return list(np.array_split(np.arange(spans.n), folds.n_folds))


def purged_kfold(spans: SessionSpans, folds: FoldParameters) -> Iterator[Block]:
    """Divide the sessions into `n_folds` contiguous blocks; each is tested once, trained on both sides of it.

    Later sessions train a model that is scored on earlier ones: for research on stability, not for a claim about
    trading forward.

    References
    ----------
    Lopez de Prado, *Advances in Financial Machine Learning* (2018), section 7.4.
    """
    for test in _groups(spans, folds):
        yield Block(test=test, before_only=False)


def combinatorial_purged(spans: SessionSpans, folds: FoldParameters) -> Iterator[Block]:
    """Test every choice of `n_test_folds` out of `n_folds` contiguous groups.

    Each session is tested C(n_folds - 1, n_test_folds - 1) times, which is the number of backtest paths.

    References
    ----------
    Lopez de Prado, *Advances in Financial Machine Learning* (2018), section 12.4.
    """
    groups = _groups(spans, folds)
    for chosen in combinations(range(folds.n_folds), folds.n_test_folds):
        yield Block(test=np.concatenate([groups[g] for g in chosen]), before_only=False)


SPLITTERS: dict[str, Splitter] = {
    "combinatorial_purged": combinatorial_purged,
    "purged_kfold": purged_kfold,
    "walk_forward": walk_forward,
}
