"""Fill the columns chunk by chunk: in threads that share them, or on workers that send their part back."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from conviction.features._feature import Definition
from conviction.features._registry import FAMILIES, definitions
from conviction.features._rows import Rows
from conviction.features.parameters import FeatureParameters
from conviction.frames import SYMBOL
from conviction.observer import Observer

#: Rows worked on at a time, so that the columns of a chunk stay in the processor's cache.
CHUNK_ROWS = 16_384

Columns = dict[str, NDArray[np.float32]]


def fill(
    panel: pl.DataFrame,
    chosen: list[Definition],
    columns: Columns,
    *,
    features: FeatureParameters,
    n_jobs: int,
    observer: Observer,
) -> None:
    """Compute the chosen features of the panel into `columns`.

    Parameters
    ----------
    panel : polars.DataFrame
        Checked panel with the key and the inputs.
    chosen : list of Definition
        Features whose inputs the panel has.
    columns : dict of str to ndarray of float32, shape (rows,)
        Written in place.
    features : FeatureParameters
        Parameters from which other processes make the definitions again.
    n_jobs : int
        Threads, or workers of the active joblib backend where that shares no memory (loky, Dask).
    observer : Observer
        Told of each finished chunk.
    """
    own = [d for d in chosen if FAMILIES[d.feature.family].scope == "symbol"]
    sections = [d for d in chosen if FAMILIES[d.feature.family].scope == "session"]
    remote = n_jobs > 1 and not _memory_is_shared()
    # Rows of a partition on workers: each of them gets about two, however many joblib's backend has.
    rows = max(1, panel.height // (2 * _workers(n_jobs))) if remote else CHUNK_ROWS
    chunks = _chunks(panel, rows) if own else []
    observer.start("features", len(chunks) + len(sections))
    whole = Rows(panel, features.within)
    if remote:
        done = _on_workers(panel, own, columns, features=features, chunks=chunks, n_jobs=n_jobs)
    else:
        done = _in_threads(panel, own, columns, whole=whole, chunks=chunks, n_jobs=n_jobs, within=features.within)
    for _ in done:
        observer.advance("features")
    for definition in sections:
        compute([definition], whole, {definition.feature.name: columns[definition.feature.name]})
        observer.advance("features")
    observer.finish("features")


def _memory_is_shared() -> bool:
    from joblib.parallel import get_active_backend

    backend, _ = get_active_backend(prefer="threads")
    return bool(getattr(backend, "supports_sharedmem", False))


def _workers(n_jobs: int) -> int:
    from joblib.parallel import get_active_backend

    backend, _ = get_active_backend(prefer="threads")
    return max(n_jobs, int(backend.effective_n_jobs(n_jobs)))


def _in_threads(
    panel: pl.DataFrame,
    own: list[Definition],
    columns: Columns,
    *,
    whole: Rows,
    chunks: list[tuple[int, int]],
    n_jobs: int,
    within: Any,
) -> Iterator[None]:
    from joblib import Parallel, delayed

    def run(begin: int, end: int) -> None:
        rows = whole if (begin, end) == (0, panel.height) else Rows(panel[begin:end], within)
        compute(own, rows, {d.feature.name: columns[d.feature.name][begin:end] for d in own})

    parallel = Parallel(n_jobs=n_jobs, require="sharedmem", return_as="generator")
    yield from parallel(delayed(run)(*chunk) for chunk in chunks)


def _on_workers(
    panel: pl.DataFrame,
    own: list[Definition],
    columns: Columns,
    *,
    features: FeatureParameters,
    chunks: list[tuple[int, int]],
    n_jobs: int,
) -> Iterator[None]:
    from joblib import Parallel, delayed

    names = [d.feature.name for d in own]
    parallel = Parallel(n_jobs=n_jobs)
    parts = parallel(delayed(_compute_part)(panel[begin:end], features, names) for begin, end in chunks)
    for (begin, end), part in zip(chunks, parts, strict=True):
        for name, values in part.items():
            columns[name][begin:end] = values
        yield


def _compute_part(part: pl.DataFrame, features: FeatureParameters, names: list[str]) -> Columns:
    """Compute features of whole symbols in another process."""
    declared = definitions(features)
    columns = {name: np.empty(part.height, dtype=np.float32) for name in names}
    compute([declared[name] for name in names], Rows(part, features.within), columns)
    return columns


def compute(chosen: list[Definition], rows: Rows, columns: Columns) -> None:
    """Write the features of these rows into `columns`."""
    with np.errstate(over="ignore"):
        for definition in chosen:
            _store(columns[definition.feature.name], definition, rows)


def _store(target: NDArray[np.float32], definition: Definition, rows: Rows) -> None:
    values: NDArray[Any] = definition.formula(rows)
    target[:] = values
    # What overflows 32 bits is no usable value.
    infinite = np.isinf(target)
    if infinite.any():
        target[infinite] = np.nan


def _chunks(panel: pl.DataFrame, rows: int) -> list[tuple[int, int]]:
    """Cut between symbols into pieces of about `rows` rows."""
    run = panel[SYMBOL].rle_id().to_numpy()
    starts = [*np.flatnonzero(np.diff(run, prepend=-1)).tolist(), panel.height]
    chunks, begin = [], 0
    for end in starts[1:]:
        if end - begin >= rows or end == panel.height:
            chunks.append((begin, end))
            begin = end
    return chunks
