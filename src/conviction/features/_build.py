"""Panel in, feature matrix out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from conviction.errors import FeatureError, ParameterError
from conviction.features._feature import Definition, Feature
from conviction.features._registry import FAMILIES
from conviction.features._rows import Rows
from conviction.features._sets import select
from conviction.features.parameters import FeatureParameters
from conviction.frames import KEY, SESSION, SYMBOL, check_panel
from conviction.observer import Observer, SilentObserver

#: Rows worked on at a time, so that the columns of a chunk stay in the processor's cache.
CHUNK_ROWS = 16_384

Columns = dict[str, NDArray[np.float32]]


@dataclass(frozen=True, slots=True)
class FeatureBuild:
    """A feature matrix and what is in it.

    Parameters
    ----------
    matrix : polars.DataFrame
        symbol, session and one Float32 column per feature; null where not computable. One row per panel row.
    features : tuple of Feature
        Declarations, in column order.
    omitted : dict of str to str
        Features that were asked for and could not be built, with the reason.
    """

    matrix: pl.DataFrame
    features: tuple[Feature, ...]
    omitted: dict[str, str] = field(default_factory=dict)


def build_features(
    panel: pl.DataFrame,
    *,
    features: FeatureParameters,
    only: Sequence[str] | None = None,
    n_jobs: int = 1,
    observer: Observer | None = None,
) -> FeatureBuild:
    """Compute the selected features for every row of the panel.

    A value of row t reads rows of its own symbol up to t (cross-sectional families: rows of all symbols up to the
    session of t). A window counts a symbol's own rows; a missing input inside a window makes the value null, and so does
    a window that is not full. Removing later rows, or other symbols (symbol-wise families), changes no bit of the rest.

    Parameters
    ----------
    panel : polars.DataFrame
        One row per symbol and session, sorted; `close` and what else the source has (see docs/features.md).
    features : FeatureParameters
        Which features, with which windows.
    only : sequence of str, optional
        Build just these of the selected features; the audit's recomputations need few.
    n_jobs : int
        Threads; the values do not depend on it.
    observer : Observer, optional
        Told of each finished chunk.

    Returns
    -------
    FeatureBuild
        Float32 matrix; features whose inputs the panel lacks are in `.omitted`, never filled.

    Raises
    ------
    FrameError
        If the panel breaks the frame contract.
    FeatureError
        On unknown names, or when no selected feature can be computed.
    ParameterError
        If `n_jobs` is below 1.

    Examples
    --------
    >>> from datetime import date, timedelta
    >>> days = [date(2020, 1, 1) + timedelta(n) for n in range(3)]
    >>> panel = pl.DataFrame({"symbol": ["A"] * 3, "session": days, "close": [1.0, 1.5, 3.0]})
    >>> build = build_features(panel, features=FeatureParameters(sets=(), names=("ret_1d",)))
    >>> build.matrix["ret_1d"].to_list()
    [None, 0.5, 1.0]
    """
    if n_jobs < 1:
        raise ParameterError(what="n_jobs", got=n_jobs, allowed="an integer >= 1", fix="pass the number of threads")
    check_panel(panel, name="panel", required=("close",))
    chosen, omitted = _possible(panel, features, only)
    columns: Columns = {d.feature.name: np.empty(panel.height, dtype=np.float32) for d in chosen}
    inputs = sorted({column for d in chosen for column in d.feature.inputs} - set(KEY))
    keep = [*KEY, *inputs, *(["in_universe"] if "in_universe" in panel.columns else [])]
    _fill(panel.select(keep), chosen, columns, n_jobs, observer or SilentObserver())
    names = list(columns)
    # Popped one by one: the matrix and the arrays are never both whole.
    made = [pl.Series(name, columns.pop(name), nan_to_null=True) for name in names]
    return FeatureBuild(
        matrix=panel.select(KEY).with_columns(made), features=tuple(d.feature for d in chosen), omitted=omitted
    )


def _possible(
    panel: pl.DataFrame, features: FeatureParameters, only: Sequence[str] | None
) -> tuple[list[Definition], dict[str, str]]:
    chosen, omitted = select(features)
    if only is not None:
        known = {d.feature.name for d in chosen} | set(omitted)
        for name in only:
            if name not in known:
                raise FeatureError.from_unknown_name("selected feature", name, known)  # noqa: EM101 (a kind, not a message)
        chosen = [d for d in chosen if d.feature.name in set(only)]
        omitted = {name: reason for name, reason in omitted.items() if name in set(only)}
    possible = []
    for definition in chosen:
        missing = [column for column in definition.feature.inputs if column not in panel.columns]
        if missing:
            omitted[definition.feature.name] = f"needs {', '.join(missing)}, which the panel does not have"
        else:
            possible.append(definition)
    if not possible:
        raise FeatureError(
            what="no selected feature can be computed",
            got=f"a panel with {panel.columns}; {omitted}",
            allowed="a panel with the inputs of at least one selected feature",
            fix="select features that need only what the source has, or add the source",
        )
    return possible, omitted


def _fill(panel: pl.DataFrame, chosen: list[Definition], columns: Columns, n_jobs: int, observer: Observer) -> None:
    from joblib import Parallel, delayed

    scopes: dict[str, list[Definition]] = {"symbol": [], "session": []}
    for definition in chosen:
        scopes[FAMILIES[definition.feature.family].scope].append(definition)
    tasks = [(scopes["symbol"], begin, end) for begin, end in _chunks(panel) if scopes["symbol"]]
    tasks += [([definition], 0, panel.height) for definition in scopes["session"]]
    observer.start("features", len(tasks))
    whole = Rows(panel)

    def run(definitions: list[Definition], begin: int, end: int) -> None:
        rows = whole if (begin, end) == (0, panel.height) else Rows(panel[begin:end])
        for definition in definitions:
            _store(columns[definition.feature.name][begin:end], definition, rows)

    done = Parallel(n_jobs=n_jobs, prefer="threads", return_as="generator")(delayed(run)(*task) for task in tasks)
    for _ in done:
        observer.advance("features")
    observer.finish("features")


def _store(target: NDArray[np.float32], definition: Definition, rows: Rows) -> None:
    values: NDArray[Any] = definition.formula(rows)
    with np.errstate(over="ignore"):
        target[:] = values
    # What overflows 32 bits, or divides by almost nothing, is no usable value.
    target[~np.isfinite(target)] = np.nan


def _chunks(panel: pl.DataFrame) -> list[tuple[int, int]]:
    """Cut between symbols into pieces of about CHUNK_ROWS rows."""
    starts = Rows(panel.select(SYMBOL, SESSION)).starts.tolist()
    chunks, begin = [], 0
    for end in starts[1:]:
        if end - begin >= CHUNK_ROWS or end == panel.height:
            chunks.append((begin, end))
            begin = end
    return chunks
