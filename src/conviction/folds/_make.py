"""From labels to a fold plan."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from conviction.errors import FoldError
from conviction.folds._plan import HOLDOUT_FOLD, SCHEMA, FoldPlan
from conviction.folds._spans import SessionSpans, neighbours, spans_of
from conviction.folds._splitters import SPLITTERS, Block

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from conviction.folds.parameters import FoldParameters


def make_fold_plan(labels: pl.DataFrame, *, folds: FoldParameters) -> FoldPlan:
    """Divide the labelled sessions into folds and a final hold-out, purged by the label spans.

    The unit is the session: all symbols of a day are in the same role. The hold-out is the last part of the history;
    sessions whose label reaches into it are purged in every fold. Around a test block the label spans, `purge` and
    then `embargo` keep training away, on both sides; the last `inner_fraction` of what remains is `inner`, and
    training sessions whose label reaches into it are purged too.

    Parameters
    ----------
    labels : polars.DataFrame
        Panel keyed by (symbol, session) with `t0` and `t1`, moments in UTC of the label span (t0, t1], and target
        columns. Sessions without any label take no part.
    folds : FoldParameters
        Splitter, lengths, purge and embargo in sessions.

    Returns
    -------
    FoldPlan
        Roles: `train`, `inner`, `purged`, `embargo`, `test`, `holdout`, `past` (before a rolling window) and `future`
        (after the test block of a walk-forward fold).

    Raises
    ------
    FoldError
        For a hold-out longer than the data, blocks that do not fit, or a fold with too little to train on.
    FrameError
        If `labels` breaks the frame contract.

    References
    ----------
    Lopez de Prado, *Advances in Financial Machine Learning* (2018), chapters 7 and 12.

    Examples
    --------
    >>> from datetime import date
    >>> days = pl.date_range(date(2020, 1, 1), date(2020, 12, 31), eager=True)
    >>> close = days.cast(pl.Datetime("us", "UTC"))
    >>> labels = pl.DataFrame(
    ...     {"symbol": "A", "session": days, "direction": 1, "t0": close, "t1": close.dt.offset_by("1d")}
    ... )
    >>> from conviction.folds import FoldParameters
    >>> plan = make_fold_plan(
    ...     labels, folds=FoldParameters(purge=1, embargo=5, holdout_sessions=60, n_folds=3, min_train_sessions=100)
    ... )
    >>> plan.folds, len(plan.holdout)
    ((0, 1, 2), 60)
    >>> plan.summary().select("fold", "train", "inner", "purged", "embargo", "test").rows()[1]
    (0, 80, 20, 3, 5, 66)
    """
    spans = spans_of(labels)
    first_held = spans.n - _holdout_length(spans, folds)
    held = np.arange(first_held, spans.n)
    barrier = np.zeros(spans.n, dtype=np.bool_)
    if held.size:
        barrier, _ = neighbours(spans, held, purge=folds.purge, embargo=0)
    n_usable = int(np.argmax(barrier)) if barrier.any() else first_held
    usable = SessionSpans(spans.sessions[:n_usable], spans.t0[:n_usable], spans.t1[:n_usable])
    if usable.n == 0:
        raise FoldError(
            what="no session is left before the hold-out",
            got=f"{spans.n} labelled sessions, {held.size} held out, {int(barrier.sum())} purged before them",
            allowed="at least one",
            fix="shorten folds.holdout_sessions or use a longer history",
        )
    tail = np.full(spans.n - usable.n, "holdout", dtype="<U8")
    tail[: first_held - usable.n] = "purged"
    tables = []
    if held.size:
        tables.append(_holdout_roles(spans, held, folds))
    for fold, block in enumerate(SPLITTERS[folds.splitter](usable, folds)):
        roles = np.concatenate([_roles(usable, block, folds, fold=fold), tail])
        tables.append(_table(spans, fold, roles))
    return FoldPlan.from_frame(pl.concat(tables))


def _holdout_length(spans: SessionSpans, folds: FoldParameters) -> int:
    if folds.holdout_sessions is not None:
        length = folds.holdout_sessions
    else:
        length = math.ceil(spans.n * (folds.holdout_fraction or 0.0))
    if length >= spans.n:
        raise FoldError(
            what="the hold-out is longer than the data",
            got=f"a hold-out of {length} sessions and {spans.n} labelled sessions "
            f"({spans.name(0)} to {spans.name(-1)})",
            allowed=f"fewer than {spans.n}",
            fix="shorten folds.holdout_sessions (or holdout_fraction) or use a longer history",
        )
    return length


def _table(spans: SessionSpans, fold: int, roles: NDArray[np.str_]) -> pl.DataFrame:
    return pl.DataFrame(
        {"fold": np.full(spans.n, fold, dtype=np.int32), "session": spans.sessions, "role": roles.tolist()},
        schema=SCHEMA,
    )


def _holdout_roles(spans: SessionSpans, held: NDArray[np.intp], folds: FoldParameters) -> pl.DataFrame:
    block = Block(test=held, before_only=True, keep_last=folds.train_sessions)
    roles = _roles(spans, block, folds, fold=HOLDOUT_FOLD)
    roles[held] = "holdout"
    return _table(spans, HOLDOUT_FOLD, roles)


def _roles(spans: SessionSpans, block: Block, folds: FoldParameters, *, fold: int) -> NDArray[np.str_]:
    """Return the role of every session of `spans` in the fold that tests `block`."""
    roles = np.full(spans.n, "train", dtype="<U8")
    purged, embargoed = neighbours(spans, block.test, purge=folds.purge, embargo=folds.embargo)
    roles[embargoed] = "embargo"
    roles[purged] = "purged"
    roles[block.test] = "test"
    if block.before_only:
        roles[int(block.test[-1]) + 1 :] = "future"
    training = np.flatnonzero(roles == "train")
    if block.keep_last is not None:
        roles[training[: -block.keep_last]] = "past"
        training = training[-block.keep_last :]
    needed = min(folds.min_train_sessions, block.keep_last or folds.min_train_sessions)
    if training.size < needed:
        raise FoldError(
            what=f"fold {fold} (test {spans.name(int(block.test[0]))} to {spans.name(int(block.test[-1]))}) has too "
            "little to train on",
            got=f"{training.size} sessions after purge={folds.purge} and embargo={folds.embargo}",
            allowed=f"at least folds.min_train_sessions={needed}",
            fix="use fewer folds, a shorter embargo, a smaller min_train_sessions or a longer history",
        )
    inner = training[training.size - max(1, math.floor(training.size * folds.inner_fraction)) :]
    reaching, _ = neighbours(spans, inner, purge=folds.purge, embargo=0)
    roles[reaching & (roles == "train")] = "purged"
    roles[inner] = "inner"
    if not (roles == "train").any():
        raise FoldError(
            what=f"fold {fold} has nothing left to train on beside its inner block",
            got=f"{inner.size} inner sessions, {int(reaching.sum())} sessions purged around them",
            allowed="at least one training session",
            fix="lower folds.inner_fraction or folds.purge, or use a longer history",
        )
    return roles


def contaminated_by(labels: pl.DataFrame, block: pl.Series, *, purge: int) -> pl.Series:
    """Return the sessions outside `block` whose label span overlaps the block's (touching counts), or that are near it.

    Parameters
    ----------
    labels : polars.DataFrame
        As for `make_fold_plan`.
    block : polars.Series of Date
        Sessions; those without a label are ignored.
    purge : int
        Sessions next to each run of the block that count whatever their span.

    Returns
    -------
    polars.Series of Date
        In order. No session of it may train what the block scores.

    Examples
    --------
    >>> from datetime import date
    >>> days = pl.date_range(date(2020, 1, 1), date(2020, 1, 9), eager=True)
    >>> close = days.cast(pl.Datetime("us", "UTC"))
    >>> labels = pl.DataFrame({"symbol": "A", "session": days, "t0": close, "t1": close.dt.offset_by("1d")})
    >>> contaminated_by(labels, days[4:6], purge=0).to_list()
    [datetime.date(2020, 1, 4), datetime.date(2020, 1, 7)]
    """
    spans = spans_of(labels)
    position = np.flatnonzero(np.isin(spans.sessions, block.to_numpy().astype("datetime64[D]")))
    purged, _ = neighbours(spans, position, purge=purge, embargo=0)
    return pl.Series("session", spans.sessions[purged]).cast(pl.Date)
