"""Threads of the linear algebra library, limited for as long as anybody needs it."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

_LOCK = threading.Lock()
_STATE: dict[str, Any] = {"users": 0, "limits": None}


@contextmanager
def limited_threads(n_threads: int) -> Iterator[None]:
    """Limit the process's linear algebra to `n_threads` until the last fit that runs at the same time has ended.

    Some libraries know one limit for the whole process, others one for each thread. If each fit took its own back, the first
    to end would give threads to those that still run, and sums in another order change the last digit. So each sets the limit
    and only the last takes it back; a worker thread that ends earlier keeps it.

    Parameters
    ----------
    n_threads : int
        Threads; fits that overlap should ask for the same number.

    Examples
    --------
    >>> with limited_threads(1):
    ...     pass
    """
    from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

    with _LOCK:
        limits = threadpool_limits(limits=n_threads)
        if _STATE["users"] == 0:
            _STATE["limits"] = limits
        _STATE["users"] += 1
    try:
        yield
    finally:
        with _LOCK:
            _STATE["users"] -= 1
            if _STATE["users"] == 0:
                _STATE["limits"].restore_original_limits()
                _STATE["limits"] = None
