"""One fit at a time in the linear algebra library, with a fixed number of threads."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

_LOCK = threading.RLock()


@contextmanager
def limited_threads(n_threads: int) -> Iterator[None]:
    """Limit the linear algebra to `n_threads`, for one fit of this process at a time.

    The limit is the process's, and of threads that set it at the same time threadpoolctl hears only the first; when that one
    ends, the others get all threads back in the middle of their fits, and sums in another order change the last digit. These fits
    are short beside those of trees, so they wait for each other.

    Parameters
    ----------
    n_threads : int
        Threads of the linear algebra.

    Examples
    --------
    >>> with limited_threads(1):
    ...     pass
    """
    from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

    with _LOCK, threadpool_limits(limits=n_threads):
        yield
