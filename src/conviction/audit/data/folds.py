"""Folds given with the dataset: rows split by chance, label spans that overlap, missing purge and embargo."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

import numpy as np

from conviction.audit._report import Finding
from conviction.audit.data._context import Context, SkipCheckError
from conviction.audit.data._panel import Array

_TRAIN = ("train", "training", "tr", "fit", "in_sample", "is", "dev")
_TEST = ("test", "testing", "te", "valid", "validation", "val", "oos", "out_of_sample", "holdout", "hold_out", "eval")


def check_assignment(ctx: Context) -> Iterator[Finding]:
    """Compare the sessions of the parts: shared sessions, and training labels that reach into a test span."""
    if not ctx.table.folds:
        why = "the dataset names no folds"
        raise SkipCheckError(why)
    reach = max(ctx.table.targets.values(), default=1)
    for column in ctx.table.folds:
        parts = _parts(ctx, column)
        if len(parts) < 2:
            continue
        shared = _shared(parts)
        if shared > 0.05:
            yield ctx.accuse(
                "folds.assignment",
                columns=(column,),
                evidence={"share_of_sessions_in_several_parts": shared},
                explanation=f"{column} puts rows of the same session into several parts: neighbours tell each other's labels.",
                remedy="Split by session, never by row, with a purge of the label's span and an embargo.",
            )
            continue
        yield from _overlap(ctx, column, parts, reach)


def _parts(ctx: Context, column: str) -> dict[str, Array]:
    values = ctx.panel.frame[column].to_list()
    rows = np.searchsorted(ctx.panel.sessions, ctx.panel.frame["session"].to_numpy())
    parts: dict[str, list[int]] = {}
    for value, row in zip(values, rows, strict=True):
        if value is not None and str(value).lower() not in ("", "nan", "none", "purged", "embargo"):
            parts.setdefault(str(value).lower(), []).append(int(row))
    return {k: np.unique(v) for k, v in parts.items()}


def _shared(parts: dict[str, Array]) -> float:
    everything = np.concatenate(list(parts.values()))
    _, count = np.unique(everything, return_counts=True)
    return float(np.mean(count > 1))


def _interleaved(ctx: Context, column: str, parts: dict[str, Array], reach: int) -> Iterator[Finding]:
    """Accuse folds whose sessions alternate in time: nearly every label spans sessions of another fold."""
    part = np.full(len(ctx.panel.sessions), -1)
    for number, rows in enumerate(parts.values()):
        part[rows] = number
    ordered = part[part >= 0]
    switches = int((np.diff(ordered) != 0).sum())
    if switches > max(3 * len(parts), 0.1 * len(ordered) / max(reach, 1)):
        yield ctx.accuse(
            "folds.assignment",
            columns=(column,),
            evidence={"changes_of_part": switches, "sessions": len(ordered), "horizon": reach},
            explanation=f"The parts of {column} alternate in time {switches} times: labels of one span sessions of the others.",
            remedy="Make each part a block of sessions, with a purge of the label's span and an embargo.",
        )


def _overlap(ctx: Context, column: str, parts: dict[str, Array], reach: int) -> Iterator[Finding]:
    train = [v for k, v in parts.items() if k in _TRAIN]
    test = [v for k, v in parts.items() if k in _TEST]
    if not train or not test:
        yield from _interleaved(ctx, column, parts, reach)
        if column in ctx.accused:
            return
        ordered = sorted(parts.items(), key=lambda item: float(np.median(item[1])))
        touching = any(b[1].min() - a[1].max() <= reach for a, b in pairwise(ordered))
        if touching:
            yield ctx.accuse(
                "folds.assignment",
                columns=(column,),
                severity="warning",
                evidence={"horizon": reach},
                explanation=f"The parts of {column} follow each other without a gap of {reach} sessions.",
                remedy="Purge the label's span when a part is used for training next to another.",
            )
        return
    inside = np.unique(np.concatenate(test))
    used = np.unique(np.concatenate(train))
    if used.min() > inside.max():
        yield ctx.accuse(
            "folds.assignment",
            columns=(column,),
            first_row=int(used[0]),
            evidence={"sessions_after_the_test": int(used.min() - inside.max())},
            explanation=f"Every training session of {column} lies after its test sessions: the model knows what came.",
            remedy="Train on what came before the test span.",
        )
        return
    ends = used + reach
    at = np.searchsorted(inside, used, side="right")
    before = (at < len(inside)) & (inside[np.minimum(at, len(inside) - 1)] <= ends)
    back = np.searchsorted(inside, used) - 1
    after = (back >= 0) & (inside[np.maximum(back, 0)] + reach >= used)
    overlapping = used[before | after]
    if len(overlapping):
        yield ctx.accuse(
            "folds.assignment",
            columns=(column,),
            first_row=int(overlapping[0]),
            evidence={"training_sessions_overlapping": len(overlapping), "horizon": reach},
            explanation=(
                f"The labels of {len(overlapping)} training sessions of {column} span the boundary to test sessions: "
                f"there is no purge and embargo of {reach} sessions."
            ),
            remedy=f"Leave out the {reach} sessions before (purge) and after (embargo) each test span.",
        )
