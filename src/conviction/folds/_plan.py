"""The fold plan: a table of roles keyed by fold and session, and what may be asked of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal, Self

import polars as pl

from conviction.errors import FoldError
from conviction.frames import SESSION, check_columns, fingerprint

Role = Literal["train", "inner", "purged", "embargo", "test", "holdout", "past", "future"]
ROLES: Final = ("train", "inner", "purged", "embargo", "test", "holdout", "past", "future")
HOLDOUT_FOLD: Final = -1
SCHEMA: Final = {"fold": pl.Int32, SESSION: pl.Date, "role": pl.String}


@dataclass(frozen=True)
class FoldPlan:
    """Which session plays which role in which fold.

    The plan is made by `make_fold_plan` and saved as its `frame`. Every fold names each labelled session exactly
    once. Fold -1 (`HOLDOUT_FOLD`) is not an outer fold: it says on which sessions the model that meets the hold-out
    is fitted, and it is there only when there is a hold-out.

    Attributes
    ----------
    frame : polars.DataFrame
        `fold` Int32, `session` Date, `role` String; sorted by (fold, session), unique.
    hash : str
        SHA-256 of the frame's content.

    Examples
    --------
    >>> from datetime import date
    >>> frame = pl.DataFrame(
    ...     {"fold": [0, 0, 0], "session": [date(2020, 1, d) for d in (2, 3, 6)], "role": ["train", "inner", "test"]},
    ...     schema={"fold": pl.Int32, "session": pl.Date, "role": pl.String},
    ... )
    >>> plan = FoldPlan.from_frame(frame)
    >>> plan.folds, plan.sessions(0, "test").to_list()
    ((0,), [datetime.date(2020, 1, 6)])
    """

    frame: pl.DataFrame
    hash: str

    @classmethod
    def from_frame(cls, frame: pl.DataFrame, *, expected_hash: str | None = None) -> Self:
        """Check a saved table and return the plan.

        Parameters
        ----------
        frame : polars.DataFrame
            As `FoldPlan.frame`.
        expected_hash : str, optional
            Hash that the content must have.

        Returns
        -------
        FoldPlan

        Raises
        ------
        FoldError
            If roles, order, coverage or content are not those of a plan.
        """
        _check_plan(frame)
        found = fingerprint(frame)
        if expected_hash is not None and found != expected_hash:
            raise FoldError(
                what="the fold plan is not the one that was expected",
                got=f"hash {found[:12]}",
                allowed=f"hash {expected_hash[:12]}",
                fix="run data_engineering again, or load the plan that belongs to these results",
            )
        return cls(frame=frame, hash=found)

    @property
    def folds(self) -> tuple[int, ...]:
        """Return the outer folds in order; the hold-out fold is not among them."""
        return tuple(fold for fold in self.frame["fold"].unique().sort().to_list() if fold != HOLDOUT_FOLD)

    @property
    def has_holdout(self) -> bool:
        """Return whether the plan keeps a final hold-out."""
        return bool((self.frame["fold"] == HOLDOUT_FOLD).any())

    def sessions(self, fold: int, role: Role) -> pl.Series:
        """Return the sessions that play `role` in `fold`, in order.

        Raises
        ------
        FoldError
            If the fold or the role is unknown.
        """
        known = set(self.frame["fold"].unique().to_list())
        if fold not in known:
            raise FoldError(
                what="the plan has no such fold", got=fold, allowed=sorted(known), fix="iterate over FoldPlan.folds"
            )
        if role not in ROLES:
            raise FoldError.from_unknown_name(kind="role", name=role, known=ROLES)
        return self.frame.filter((pl.col("fold") == fold) & (pl.col("role") == role))[SESSION]

    @property
    def holdout(self) -> pl.Series:
        """Return the hold-out sessions in order; empty when the plan keeps none."""
        return self.frame.filter(pl.col("role") == "holdout")[SESSION].unique().sort()

    def summary(self) -> pl.DataFrame:
        """Return one row a fold: first and last test session and the number of sessions in each role."""
        scored = pl.col("role").is_in(["test", "holdout"]) & (
            (pl.col("role") == "test") | (pl.col("fold") == HOLDOUT_FOLD)
        )
        return (
            self.frame.group_by("fold")
            .agg(
                pl.col(SESSION).filter(scored).min().alias("first_test"),
                pl.col(SESSION).filter(scored).max().alias("last_test"),
                *[(pl.col("role") == role).sum().cast(pl.Int32).alias(role) for role in ROLES],
            )
            .sort("fold")
        )


def _check_plan(frame: pl.DataFrame) -> None:
    check_columns(frame, list(SCHEMA), name="fold plan")
    if dict(frame.schema) != SCHEMA or frame.is_empty():
        raise FoldError(
            what="the fold plan has the wrong columns or no rows",
            got=f"{dict(frame.schema)} with {frame.height} rows",
            allowed=SCHEMA,
            fix="make it with make_fold_plan and save FoldPlan.frame as it is",
        )
    keys = frame.select("fold", SESSION)
    if frame.null_count().row(0) != (0, 0, 0) or keys.is_duplicated().any() or not keys.equals(keys.sort(keys.columns)):
        raise FoldError(
            what="the fold plan is not a table of one role per fold and session",
            got="null, duplicated or unsorted rows",
            allowed="rows unique and sorted by (fold, session)",
            fix="load the plan as it was saved",
        )
    unknown = sorted(set(frame["role"].unique()) - set(ROLES))
    if unknown:
        raise FoldError.from_unknown_name(kind="role", name=unknown[0], known=ROLES)
    counts = frame.group_by("fold").agg(
        pl.len().alias("sessions"),
        pl.col("role").is_in(["train", "inner"]).sum().alias("fitted"),
        pl.when(pl.col("fold") == HOLDOUT_FOLD)
        .then(pl.col("role") == "holdout")
        .otherwise(pl.col("role") == "test")
        .sum()
        .alias("scored"),
        (pl.col("role") == "holdout").sum().alias("held"),
    )
    if counts.filter((pl.col("fitted") == 0) | (pl.col("scored") == 0)).height:
        empty = counts.filter((pl.col("fitted") == 0) | (pl.col("scored") == 0)).sort("fold").row(0, named=True)
        raise FoldError(
            what=f"fold {empty['fold']} is empty",
            got=f"{empty['fitted']} sessions to fit on, {empty['scored']} to score",
            allowed="at least one of each",
            fix="use fewer folds, a shorter embargo or a longer history",
        )
    complete = frame.height == frame[SESSION].n_unique() * counts.height
    if not complete or counts["held"].n_unique() > 1:
        raise FoldError(
            what="the folds of the plan do not name the same sessions",
            got=f"{counts.sort('fold')['sessions'].to_list()} sessions",
            allowed="every labelled session in every fold, and one hold-out",
            fix="load the plan as it was saved",
        )
