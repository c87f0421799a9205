"""The rows of one (target, model) as arrays, checked once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from conviction.errors import EvaluationError
from conviction.frames import check_columns, check_panel, key_of

if TYPE_CHECKING:
    import numpy.typing as npt

OOF_COLUMNS = ("fold", "score", "label", "forward_return")


@dataclass(frozen=True)
class Rows:
    """Labelled rows of one (target, model), sorted by session and symbol.

    Attributes
    ----------
    frame : polars.DataFrame
        The rows that have a label.
    session : numpy.ndarray of int64, shape (n_rows,)
        Index of the row's session among `sessions`.
    sessions : polars.Series of Date
        The distinct sessions, ascending.
    score : numpy.ndarray of float64, shape (n_rows,)
    label : numpy.ndarray of bool, shape (n_rows,)
    """

    frame: pl.DataFrame
    session: npt.NDArray[np.int64]
    sessions: pl.Series
    score: npt.NDArray[np.float64]
    label: npt.NDArray[np.bool_]

    @property
    def n_sessions(self) -> int:
        """Number of distinct sessions."""
        return len(self.sessions)

    @property
    def n_rows(self) -> int:
        """Number of labelled rows."""
        return len(self.score)

    @property
    def n_positive(self) -> int:
        """Number of rows with label 1."""
        return int(self.label.sum())


def check_oof(oof: pl.DataFrame) -> pl.DataFrame:
    """Check what out-of-fold rows hold beside their key and return them unchanged.

    Raises
    ------
    FrameError
        On missing columns.
    EvaluationError
        On a null or non-finite score, or a label that is not 0, 1 or null.
    """
    check_columns(oof, ["symbol", "session", *OOF_COLUMNS], name="oof")
    bad_scores = oof.height - int(oof["score"].is_finite().sum() or 0)
    if bad_scores:
        raise EvaluationError(
            what="some out-of-fold scores are missing or not finite",
            got=f"{bad_scores} of {oof.height} rows",
            allowed="a finite score in every row",
            fix="leave rows that the model cannot score out of the frame, and say how many",
        )
    strange = oof["label"].drop_nulls().unique()
    strange = strange.filter(~strange.is_in([0, 1]))
    if len(strange):
        raise EvaluationError(
            what="labels are not binary",
            got=sorted(strange.to_list())[:5],
            allowed="0, 1 or null",
            fix="score against the `direction` or `relative` label, not against the return",
        )
    return oof


def rows_of(oof_one: pl.DataFrame) -> Rows:
    """Turn the out-of-fold rows of one (target, model) into arrays; rows without a label are left out.

    Raises
    ------
    EvaluationError
        When the frame mixes targets or models, has unusable scores or labels, or no labelled row.
    FrameError
        When it breaks the frame contract.
    """
    for column in ("target", "model"):
        if column in oof_one.columns and oof_one[column].n_unique() > 1:
            raise EvaluationError(
                what=f"the rows mix several values of {column!r}",
                got=oof_one[column].unique().sort().to_list(),
                allowed="one target and one model",
                fix=f"filter the frame by {column!r}, or use score_table for all of them",
            )
    check_panel(oof_one, name="oof", required=OOF_COLUMNS)
    check_oof(oof_one)
    frame = oof_one.filter(pl.col("label").is_not_null()).sort(*key_of(oof_one)[1:], "symbol")
    if frame.is_empty():
        raise EvaluationError(
            what="no row has a label",
            got=f"{oof_one.height} rows, all labels null",
            allowed="at least one labelled row",
            fix="check the label stage and the sessions of the test blocks",
        )
    sessions = frame["session"].unique().sort()
    index = frame["session"].rank("dense").to_numpy().astype(np.int64) - 1
    return Rows(
        frame=frame,
        session=index,
        sessions=sessions,
        score=frame["score"].to_numpy().astype(np.float64),
        label=frame["label"].to_numpy().astype(bool),
    )
