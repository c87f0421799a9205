"""The fold plan checked against the label spans, session by session."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
import polars as pl

from conviction.audit._report import Finding
from conviction.frames import SESSION

if TYPE_CHECKING:
    from numpy.typing import NDArray

FITTED: Final = ("train", "inner")
_REMEDY: Final = (
    "make the plan with conviction.folds.make_fold_plan from these labels, with the configured purge and embargo."
)


@dataclass(frozen=True)
class _Spans:
    """Labelled sessions in order with the earliest start and the latest end of their labels (microseconds, UTC)."""

    sessions: list[str]
    t0: NDArray[np.int64]
    t1: NDArray[np.int64]


def _spans(labels: pl.DataFrame) -> pl.DataFrame:
    valued = [c for c in labels.columns if c in ("direction", "relative") or c.startswith("target_")]
    known = pl.col("t0").is_not_null() & pl.col("t1").is_not_null() & pl.any_horizontal(pl.col(valued).is_not_null())
    return (
        labels.filter(known)
        .group_by(SESSION)
        .agg(pl.col("t0").min().dt.epoch("us"), pl.col("t1").max().dt.epoch("us"))
        .sort(SESSION)
    )


def fold_findings(labels: pl.DataFrame, plan_frame: pl.DataFrame, *, purge: int, embargo: int) -> list[Finding]:
    """Return what is wrong with a fold plan.

    Checked in every fold: each labelled session has exactly one role; no label span of a fitted session (train,
    inner) overlaps the span of a scored block (test, hold-out), nor one of train the inner block; `purge` + `embargo`
    sessions lie between a test block and what is fitted; the hold-out is the same everywhere, last, and never used.
    """
    spans = _spans(labels)
    findings = _coverage(spans, plan_frame)
    table = plan_frame.join(spans, on=SESSION, how="inner").sort("fold", SESSION)
    for (fold,), rows in table.group_by("fold", maintain_order=True):
        findings += _fold(int(str(fold)), rows, purge=purge, embargo=embargo)
    return findings + _holdout(plan_frame)


def _error(check: str, fold: int | None, first: object, text: str, **evidence: float | str | None) -> Finding:
    return Finding(
        check=check,
        severity="error",
        first_session=None if first is None else str(first),
        evidence={"fold": fold, **evidence},
        explanation=text,
        remedy=_REMEDY,
    )


def _coverage(spans: pl.DataFrame, plan: pl.DataFrame) -> list[Finding]:
    findings = []
    twice = plan.filter(plan.select("fold", SESSION).is_duplicated())
    if twice.height:
        text = "Sessions have more than one role in a fold."
        findings.append(_error("fold_roles", twice["fold"][0], twice[SESSION].min(), text, rows=twice.height))
    for fold in plan["fold"].unique().sort().to_list():
        own = plan.filter(pl.col("fold") == fold).select(SESSION)
        lost = spans.join(own, on=SESSION, how="anti")
        if lost.height:
            text = f"Labelled sessions have no role in fold {fold}."
            findings.append(_error("fold_roles", fold, lost[SESSION].min(), text, sessions=lost.height))
    return findings


def _runs(mask: NDArray[np.bool_]) -> list[tuple[int, int]]:
    edges = np.flatnonzero(np.diff(np.concatenate(([False], mask, [False])).astype(np.int8)))
    return [(int(a), int(b) - 1) for a, b in zip(edges[::2], edges[1::2], strict=True)]


def _fold(fold: int, rows: pl.DataFrame, *, purge: int, embargo: int) -> list[Finding]:
    role = rows["role"].to_numpy()
    spans = _Spans([str(s) for s in rows[SESSION].to_list()], rows["t0"].to_numpy(), rows["t1"].to_numpy())
    fitted = np.isin(role, FITTED)
    findings = []
    for name, watched in (("test", fitted), ("holdout", fitted), ("inner", role == "train")):
        for first, last in _runs(role == name):
            findings += _overlaps(fold, name, spans, watched=watched, first=first, last=last)
            if name == "test":
                findings += _gaps(fold, spans, fitted, first=first, last=last, needed=purge + embargo)
    return findings


def _overlaps(
    fold: int, name: str, spans: _Spans, *, watched: NDArray[np.bool_], first: int, last: int
) -> list[Finding]:
    # (a, b] and (c, d] share a moment when a < d and c < b.
    start, end = spans.t0[first : last + 1].min(), spans.t1[first : last + 1].max()
    reaching = np.flatnonzero(watched & (spans.t0 < end) & (spans.t1 > start))
    if not reaching.size:
        return []
    text = (
        f"Labels of {reaching.size} fitted sessions of fold {fold} overlap the {name} block that begins on "
        f"{spans.sessions[first]}: the model learns from returns it is scored on."
    )
    return [_error("fold_overlap", fold, spans.sessions[int(reaching[0])], text, sessions=int(reaching.size))]


def _gaps(fold: int, spans: _Spans, fitted: NDArray[np.bool_], *, first: int, last: int, needed: int) -> list[Finding]:
    before, after = np.flatnonzero(fitted[:first]), np.flatnonzero(fitted[last + 1 :])
    gaps = [first - 1 - int(before[-1])] if before.size else []
    gaps += [int(after[0])] if after.size else []
    if not gaps or min(gaps) >= needed:
        return []
    text = (
        f"Only {min(gaps)} sessions lie between what fold {fold} fits and its test block from {spans.sessions[first]}; "
        f"purge and embargo ask for {needed}."
    )
    return [_error("fold_embargo", fold, spans.sessions[first], text, gap=min(gaps), needed=needed)]


def _holdout(plan: pl.DataFrame) -> list[Finding]:
    held = plan.filter(pl.col("role") == "holdout")
    if held.is_empty():
        return []
    findings = []
    per_fold = held.group_by("fold").agg(pl.col(SESSION).sort().implode()).sort("fold")
    kinds = {tuple(sessions) for sessions in per_fold[SESSION].to_list()}
    if len(kinds) > 1 or per_fold.height != plan["fold"].n_unique():
        findings.append(_error("holdout", None, held[SESSION].min(), "The hold-out is not the same in every fold."))
    used = plan.filter(pl.col("role").is_in([*FITTED, "test"]) & (pl.col(SESSION) >= held[SESSION].min()))
    if used.height:
        text = "Sessions at or after the beginning of the hold-out are fitted or tested."
        findings.append(_error("holdout", used["fold"][0], used[SESSION].min(), text, sessions=used.height))
    return findings
