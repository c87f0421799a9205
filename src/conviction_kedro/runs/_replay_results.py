"""After a replay: whether every metric and every prediction is what it was."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import polars as pl

if TYPE_CHECKING:
    from collections.abc import Mapping

    from conviction_kedro.runs._reading import TrackedRun

_KEY = ("symbol", "session", "target", "model", "fold")
# What a run cost is no result: times and memory of each node, seconds of each fit.
_COST = ("seconds", "node.", "peak_memory")


def compare_metrics(was: TrackedRun, now: TrackedRun, *, tolerance: float) -> tuple[int, str | None]:
    """Return how many metrics were compared, and the first that differs, or None.

    What a run cost (seconds, memory) is left out; with a tolerance of zero the numbers must be the same bits.
    """
    count = 0
    runs: dict[str, tuple[Any, Any]] = {
        key: (child, now.children.get(key)) for key, child in sorted(was.children.items())
    }
    runs["the run itself"] = (was.run, now.run)
    for key, (old, new) in runs.items():
        if new is None:
            return count, f"{key} is not in the replay"
        for name, value in sorted(old.data.metrics.items()):
            if name.startswith(_COST):
                continue
            count += 1
            other = new.data.metrics.get(name)
            if other is None or not _close(value, other, tolerance):
                return count, f"metric {name} of {key}: {value!r} then, {other!r} now"
    return count, None


def _close(one: float, other: float, tolerance: float) -> bool:
    return one == other or math.isclose(one, other, rel_tol=tolerance, abs_tol=tolerance)


def first_difference(was: pl.DataFrame, now: pl.DataFrame, *, tolerance: float) -> str | None:
    """Return the first cell in which two tables differ, named by its row and column, or None.

    Parameters
    ----------
    was, now : polars.DataFrame
    tolerance : float
        Allowed absolute and relative difference of numbers; 0 asks for the same bits.

    Examples
    --------
    >>> one = pl.DataFrame({"symbol": ["A", "B"], "score": [0.5, 0.25]})
    >>> first_difference(one, one.with_columns(score=pl.Series([0.5, 0.75])), tolerance=1e-6)
    'score of symbol B: 0.25 then, 0.75 now'
    """
    if was.columns != now.columns or was.height != now.height:
        return f"{was.height} rows of {', '.join(was.columns)} then, {now.height} rows of {', '.join(now.columns)} now"
    first: tuple[int, str] | None = None
    for name in was.columns:
        one, other = was[name], now[name]
        if one.dtype.is_float() and other.dtype.is_float() and tolerance:
            bound = tolerance * (1 + one.abs())
            same = ((one - other).abs() <= bound) | (one.is_null() & other.is_null())
        else:
            same = one.eq_missing(other)
        wrong = (~same.fill_null(value=False)).arg_true()
        if wrong.len() and (first is None or wrong[0] < first[0]):
            first = (int(wrong[0]), name)
    if first is None:
        return None
    row, name = first
    where = ", ".join(f"{key} {was[key][row]}" for key in _KEY if key in was.columns and key != name) or f"row {row}"
    return f"{name} of {where}: {was[name][row]!r} then, {now[name][row]!r} now"


def compare_outputs(
    was: TrackedRun, now: Mapping[str, Mapping[str, Any]], *, folder: Any, tolerance: float
) -> tuple[list[str], list[str], str | None]:
    """Return the datasets with the same bytes, those with others, and the first difference of a prediction or model, or None.

    Parameters
    ----------
    was : TrackedRun
    now : mapping
        The replay's outputs as `outputs_record` gives them.
    folder : pathlib.Path
        Where the replay saved them.
    tolerance : float
        0: predictions and models must have the same bytes. Above: predictions may differ by as much, models are not compared.
    """
    same, other, first = [], [], None
    for name, entry in sorted(was.outputs.items()):
        mine = now.get(name, {})
        if entry["content_sha"] == mine.get("content_sha"):
            same.append(name)
            continue
        other.append(name)
        paths = list(folder.glob(f"07_model_output/{mine.get('file')}"))
        if paths and first is None and name != "inference_request":
            old = was.frame(name)
            if old is None:
                first = f"{name}: other bytes, and the run kept no copy to compare by rows"
            else:
                found = first_difference(old, pl.read_parquet(paths[0]), tolerance=tolerance)
                found = found or (None if tolerance else "the same values in other bytes")
                first = None if found is None else f"{name}: {found}"
        elif entry["kind"] == "models" and not tolerance and first is None:
            first = f"{name}: other bytes"
    return same, other, first
