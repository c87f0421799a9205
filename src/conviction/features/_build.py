"""Panel in, feature matrix out."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import polars as pl

from conviction.errors import FeatureError, FrameError, ParameterError
from conviction.features._feature import Definition, Feature
from conviction.features._fill import Columns, fill
from conviction.features._registry import FAMILIES
from conviction.features._sets import select, unknown_feature
from conviction.features.parameters import FeatureParameters
from conviction.frames import BAR_END, KEY, SYMBOL, check_panel
from conviction.observer import Observer, SilentObserver


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
        Threads, or workers of the joblib backend that is active (Dask); the values do not depend on it.
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
    key = (*KEY, BAR_END) if BAR_END in panel.columns else KEY
    check_panel(panel, name="panel", required=("close",), key=key)
    chosen, omitted = possible_features(panel, features, only)
    columns: Columns = {d.feature.name: np.empty(panel.height, dtype=np.float32) for d in chosen}
    inputs = sorted({column for d in chosen for column in d.feature.inputs} - set(key))
    keep = [*key, *inputs, *(["in_universe"] if "in_universe" in panel.columns else [])]
    observer = observer or SilentObserver()
    if any(FAMILIES[d.feature.family].compiled for d in chosen):
        _compile_kernels(observer)
    fill(panel.select(keep), chosen, columns, features=features, n_jobs=n_jobs, observer=observer)
    names = list(columns)
    # Popped one by one: the matrix and the arrays are never both whole.
    made = [pl.Series(name, columns.pop(name), nan_to_null=True) for name in names]
    return FeatureBuild(
        matrix=panel.select(key).with_columns(made), features=tuple(d.feature for d in chosen), omitted=omitted
    )


def build_in_parts(
    parts: Iterable[pl.DataFrame],
    *,
    features: FeatureParameters,
    n_jobs: int = 1,
    observer: Observer | None = None,
) -> Iterator[FeatureBuild]:
    """Build a panel that does not fit in memory, part by part; the values are those of one whole build, bit for bit.

    Parameters
    ----------
    parts : iterable of polars.DataFrame
        Panels of whole symbols, each symbol in one part only; read lazily, one at a time.
    features : FeatureParameters
        Symbol-wise features only: a cross-section needs all symbols at once.
    n_jobs : int
        Threads within a part.
    observer : Observer, optional
        Told of each finished chunk.

    Yields
    ------
    FeatureBuild
        One a part.

    Raises
    ------
    FeatureError
        If a cross-sectional feature is selected.
    FrameError
        If a symbol comes in two parts.

    Examples
    --------
    >>> from datetime import date
    >>> parts = (pl.DataFrame({"symbol": [s], "session": [date(2020, 1, 2)], "close": [1.0]}) for s in "AB")
    >>> weekday = FeatureParameters(sets=(), names=("day_of_week",))
    >>> [build.matrix["day_of_week"].item() for build in build_in_parts(parts, features=weekday)]
    [3.0, 3.0]
    """
    chosen, _ = select(features)
    sections = [d.feature.name for d in chosen if FAMILIES[d.feature.family].scope == "session"]
    if sections:
        raise FeatureError(
            what="cross-sectional features cannot be built part by part",
            got=sections,
            allowed="features of families with scope 'symbol'",
            fix="list them in features.exclude, or build the whole panel with build_features",
        )
    seen: set[str] = set()
    for part in parts:
        symbols = set(part[SYMBOL].unique().to_list())
        if symbols & seen:
            raise FrameError(
                what="a symbol comes in two parts",
                got=sorted(symbols & seen),
                allowed="all rows of a symbol in one part",
                fix="cut the panel between symbols",
            )
        seen |= symbols
        yield build_features(part, features=features, n_jobs=n_jobs, observer=observer)


def possible_features(
    panel: pl.DataFrame, features: FeatureParameters, only: Sequence[str] | None = None
) -> tuple[list[Definition], dict[str, str]]:
    """Return the selected features whose inputs the panel has, and the others with their reasons.

    Raises
    ------
    FeatureError
        On unknown names, or when none can be computed.
    """
    chosen, omitted = select(features)
    if only is not None:
        known = {d.feature.name for d in chosen} | set(omitted)
        for name in only:
            if name not in known:
                raise unknown_feature(name, known)
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


def _compile_kernels(observer: Observer) -> None:
    """Compile, and say so, where no earlier build on this machine has; later ones read the cache in milliseconds."""
    from conviction.features import _alpha158, _kernels

    missing = [kernel for kernel in _kernels.KERNELS if not _kernels.compiled_before(kernel)]
    if missing:
        task = f"compiling {len(missing)} kernels, once for this machine (about 10 s)"
        logging.getLogger(__name__).info(task)
        observer.start(task, 1)
        _alpha158.run_every_kernel()
        observer.advance(task)
        observer.finish(task)
