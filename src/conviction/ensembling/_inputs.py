"""The scores of all base models side by side, on the rows that all of them scored."""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from conviction.errors import EvaluationError
from conviction.frames import check_columns, key_of, moment_of

if TYPE_CHECKING:
    import numpy.typing as npt

    Floats = npt.NDArray[np.float64]

_ROW = ("fold", "label", "forward_return")


@dataclass(frozen=True)
class Inputs:
    """Base models' scores as one matrix.

    Attributes
    ----------
    rows : polars.DataFrame
        ``symbol, session, fold, label, forward_return``, sorted by session and symbol.
    models : tuple of str
        Names of the columns of `scores`, sorted.
    scores : numpy.ndarray of float64, shape (n_rows, n_models)
    ranks : numpy.ndarray of float64, shape (n_rows, n_models)
        Rank of each score within its session, as (rank - 1/2) / n in (0, 1), ties averaged; where every session has one
        symbol, the share of the model's own scores of earlier sessions below it.
    ranked_within : str
        ``session`` or ``past``.
    n_dropped : int
        Rows that not every model scored.
    """

    rows: pl.DataFrame
    models: tuple[str, ...]
    scores: Floats
    ranks: Floats
    ranked_within: str
    n_dropped: int

    @property
    def label(self) -> Floats:
        """Labels as float64, NaN where null."""
        return self.rows["label"].cast(pl.Float64).fill_null(float("nan")).to_numpy()

    @property
    def fold(self) -> npt.NDArray[np.int64]:
        """Fold of each row."""
        return self.rows["fold"].cast(pl.Int64).to_numpy()


def gather(oof: pl.DataFrame, *, target: str, excluded: Sequence[str]) -> Inputs:
    """Put the scores of all base models of a target side by side.

    Parameters
    ----------
    oof : polars.DataFrame
        ``symbol, session, target, model, fold, score, label, forward_return``.
    target : str
    excluded : sequence of str
        Models left out, such as baselines.

    Returns
    -------
    Inputs

    Raises
    ------
    FrameError
        On missing columns.
    EvaluationError
        On an unknown target, no base model, a row scored twice by a model, a score that is not finite, or no common row.
    """
    check_columns(oof, [*_ROW, "target", "model", "score"], name="oof")
    known = oof["target"].unique().to_list()
    if target not in known:
        raise EvaluationError.from_unknown_name(kind="target", name=target, known=known)
    part = oof.filter((pl.col("target") == target) & ~pl.col("model").is_in(list(excluded)))
    models = tuple(sorted(part["model"].unique().to_list()))
    if not models:
        raise EvaluationError(
            what=f"there is no base model of target {target!r} to combine",
            got=f"models {sorted(oof['model'].unique().to_list())}, all excluded",
            allowed="at least one model beside the baselines",
            fix="add a model to modeling.models, or shorten ensembling.excluded",
        )
    key = list(key_of(part))
    if part.select(*key, "model").is_duplicated().any():
        raise EvaluationError(
            what="a model scored the same row more than once",
            got=f"{part.select(*key, 'model').is_duplicated().sum()} such rows",
            allowed="one score for each symbol, session and model",
            fix="ensemble over a fold plan whose test blocks are disjoint, such as walk_forward",
        )
    if not part["score"].is_finite().all() or part["score"].null_count():
        raise EvaluationError(
            what="some base scores are missing or not finite",
            got=f"{part.height - int(part['score'].is_finite().sum() or 0)} of {part.height} rows",
            allowed="a finite score in every row",
            fix="leave rows that a model cannot score out of its predictions",
        )
    wide = part.select(*key, *_ROW).unique(key, keep="first")
    n_all = wide.height
    for position, model in enumerate(models):
        one = part.filter(pl.col("model") == model).select(*key, pl.col("score").alias(f"_{position}"))
        wide = wide.join(one, on=key)
    if wide.is_empty():
        raise EvaluationError(
            what="no row was scored by every base model",
            got=f"{n_all} rows, none common to {list(models)}",
            allowed="at least one common row",
            fix="leave the model that scores other rows out through ensembling.excluded",
        )
    wide = wide.sort(*key[1:], "symbol")
    scores = wide.select([f"_{position}" for position in range(len(models))]).to_numpy().astype(np.float64)
    rows = wide.select(*key, *_ROW)
    largest = int(rows.group_by(moment_of(rows)).len()["len"].max())  # type: ignore[arg-type]
    ranked_within = "session" if largest > 1 else "past"
    rank = within_session_ranks if largest > 1 else past_ranks
    ranks = np.column_stack([rank(rows[moment_of(rows)], scores[:, position]) for position in range(len(models))])
    return Inputs(rows, models, scores, ranks, ranked_within, n_all - wide.height)


def within_session_ranks(session: pl.Series, score: Floats) -> Floats:
    """Return the rank of each score within its session as (rank - 1/2) / n, ties averaged.

    Examples
    --------
    >>> within_session_ranks(pl.Series([1, 1, 2]), np.array([0.2, 0.9, 0.4])).tolist()
    [0.25, 0.75, 0.5]
    """
    frame = pl.DataFrame({"session": session, "score": score})
    ranked = frame.select((pl.col("score").rank("average").over("session") - 0.5) / pl.len().over("session"))
    return ranked.to_series().to_numpy()


def past_ranks(session: pl.Series, score: Floats) -> Floats:
    """Return the share of earlier sessions' scores that each score beats, ties one half; one half where there are none.

    Parameters
    ----------
    session : polars.Series
        Ascending.
    score : numpy.ndarray of float64

    Examples
    --------
    >>> past_ranks(pl.Series([1, 2, 3]), np.array([0.2, 0.9, 0.4])).tolist()
    [0.5, 1.0, 0.5]
    """
    out = np.full(len(score), 0.5)
    seen: list[float] = []
    waiting: list[float] = []
    keys = session.to_list()
    for position, value in enumerate(score.tolist()):
        if position and keys[position] != keys[position - 1]:
            for earlier in waiting:
                insort(seen, earlier)
            waiting = []
        if seen:
            out[position] = (bisect_left(seen, value) + bisect_right(seen, value)) / (2 * len(seen))
        waiting.append(value)
    return out
