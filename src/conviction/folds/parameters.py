"""Typed parameters of the fold plan."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

SplitterName = Literal["walk_forward", "purged_kfold", "combinatorial_purged"]
WindowMode = Literal["expanding", "rolling"]


class FoldParameters(BaseModel):
    """How the sessions are divided into folds and a final hold-out.

    Every length is counted in sessions, never in rows. `purge`, `embargo` and the hold-out have no default: their
    honest value depends on the label's horizon and on how long a feature remembers.

    Parameters
    ----------
    purge : int
        Sessions next to a test block that are never trained on. The label's own span is always purged as well, so a
        purge shorter than the span changes nothing.
    embargo : int
        Further sessions left out between the purged ones and training, for what features and volatility carry over.
    holdout_sessions : int, optional
        Length of the final hold-out. Give this or `holdout_fraction`, not both.
    holdout_fraction : float, optional
        Length of the final hold-out as a share of the labelled sessions, rounded up.
    splitter : {"walk_forward", "purged_kfold", "combinatorial_purged"}
        How the test blocks are laid out; see `SPLITTERS`.
    mode : {"expanding", "rolling"}
        Walk-forward only: train on everything before the test block, or on the last `train_sessions`.
    n_folds : int
        Number of test blocks (walk-forward and k-fold), or of groups (combinatorial).
    n_test_folds : int
        Combinatorial only: groups in each test set.
    test_sessions : int, optional
        Walk-forward only: length of a test block. Without it the sessions after the first training window are divided
        equally.
    min_train_sessions : int
        Fewest sessions (train and inner together) that a fold may be trained on.
    train_sessions : int, optional
        Rolling walk-forward only: length of the training window, inner block included.
    inner_fraction : float
        Share of the training sessions, the last of them, kept aside for early stopping and tuning.

    Examples
    --------
    >>> FoldParameters(purge=1, embargo=5, holdout_sessions=252).n_folds
    5
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    purge: int = Field(ge=0)
    embargo: int = Field(ge=0)
    holdout_sessions: int | None = Field(default=None, ge=0)
    holdout_fraction: float | None = Field(default=None, ge=0.0, lt=1.0)
    splitter: SplitterName = "walk_forward"
    mode: WindowMode = "expanding"
    n_folds: int = Field(default=5, ge=1)
    n_test_folds: int = Field(default=2, ge=1)
    test_sessions: int | None = Field(default=None, ge=1)
    min_train_sessions: int = Field(default=252, ge=2)
    train_sessions: int | None = Field(default=None, ge=2)
    inner_fraction: float = Field(default=0.2, gt=0.0, lt=1.0)

    @model_validator(mode="after")
    def _check_together(self) -> Self:
        if (self.holdout_sessions is None) == (self.holdout_fraction is None):
            message = "give exactly one of holdout_sessions and holdout_fraction: the hold-out has no default length"
            raise ValueError(message)
        rolling = self.splitter == "walk_forward" and self.mode == "rolling"
        if rolling != (self.train_sessions is not None):
            message = "train_sessions belongs to splitter=walk_forward with mode=rolling, and is required there"
            raise ValueError(message)
        if self.splitter != "walk_forward" and self.test_sessions is not None:
            message = "test_sessions belongs to splitter=walk_forward; the other splitters divide all sessions equally"
            raise ValueError(message)
        if self.splitter == "combinatorial_purged" and self.n_test_folds >= self.n_folds:
            message = (
                f"n_test_folds={self.n_test_folds} leaves no group to train on; keep it below n_folds={self.n_folds}"
            )
            raise ValueError(message)
        if self.splitter == "purged_kfold" and self.n_folds < 2:
            message = "purged_kfold needs n_folds >= 2: one fold leaves nothing to train on"
            raise ValueError(message)
        return self
