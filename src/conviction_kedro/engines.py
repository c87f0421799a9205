"""Where the library's parallel parts run: threads of this process, or the workers of a Dask cluster."""

from __future__ import annotations

import logging
from contextlib import ExitStack
from threading import local
from typing import TYPE_CHECKING, Any

from conviction.errors import MissingExtraError, ParameterError

if TYPE_CHECKING:
    from conviction_kedro.parameters import DaskParameters

logger = logging.getLogger(__name__)


def _executed(dask_worker: Any) -> int:
    return int(dask_worker.state.executed_count)


class DaskEngine:
    """A Dask cluster for the time of one run.

    The library asks joblib for parallelism and knows no cluster: between `enter` and `leave` joblib's backend of the calling
    thread is Dask. Data go to the workers as partitions of whole symbols (features) or as folds and trials (models); what
    comes back does not depend on how many workers there are.

    Parameters
    ----------
    dask : DaskParameters
        Address of a running scheduler, or the size of a cluster on this machine.
    n_jobs : int
        The parameter `n_jobs`; below 2 the library would not cut anything into parts.

    Raises
    ------
    MissingExtraError
        If `distributed` is not installed.
    ParameterError
        If `n_jobs` is 1, or nobody answers at the address.
    """

    def __init__(self, dask: DaskParameters, *, n_jobs: int) -> None:
        if n_jobs < 2:
            raise ParameterError(
                what="engine=dask with one job would use no worker",
                got=f"n_jobs={n_jobs}",
                allowed="2 or more; the cluster's own size decides how many are busy",
                fix="--params=n_jobs=2, or engine=local",
            )
        try:
            import distributed
            from dask import config as dask_config
        except ImportError:
            raise MissingExtraError.for_extra(feature="engine=dask", package="distributed", extra="dask") from None
        # Otherwise it tells of every connection, in this process and in those that it starts.
        dask_config.set({"distributed.nanny.pre-spawn-environ.DASK_LOGGING__DISTRIBUTED": "warning"})
        logging.getLogger("distributed").setLevel(logging.WARNING)
        self._stack = ExitStack()
        self._active = local()
        # Distributed is not typed.
        cluster: Any = distributed.LocalCluster
        client: Any = distributed.Client
        address: Any = dask.address
        if address is None:
            address = self._stack.enter_context(
                cluster(
                    n_workers=dask.workers,
                    threads_per_worker=dask.threads_per_worker,
                    dashboard_address=None,
                    # The address of this machine alone, whatever the network is.
                    host="127.0.0.1",
                )
            )
        try:
            self._client: Any = self._stack.enter_context(client(address, timeout=dask.timeout_seconds))
        except OSError:
            raise ParameterError(
                what="no Dask scheduler answers",
                got=dask.address,
                allowed="the address of a running scheduler, such as tcp://127.0.0.1:8786, or null for a cluster on this machine",
                fix="start `dask scheduler` and `dask worker ADDRESS` with this environment, or correct dask.address",
            ) from None
        self._before = self._client.run(_executed)
        if not self._before:
            self.close()
            raise ParameterError(
                what="the Dask scheduler has no worker",
                got=dask.address,
                allowed="at least one",
                fix="start `dask worker ADDRESS` with this environment",
            )
        threads = sum(self._client.ncores().values())
        logger.info("dask: %d workers with %d threads in all", len(self._before), threads)

    def enter(self) -> None:
        """Make Dask the backend of joblib in this thread."""
        import joblib

        self._active.configuration = joblib.parallel_config(backend="dask")

    def leave(self) -> None:
        """Give this thread its own backend back."""
        configuration = getattr(self._active, "configuration", None)
        if configuration is not None:
            configuration.unregister()
            self._active.configuration = None

    def tasks(self) -> dict[str, int]:
        """Return how many tasks each worker has done since the engine started, by the worker's address."""
        return {
            worker: count - self._before.get(worker, 0) for worker, count in sorted(self._client.run(_executed).items())
        }

    def close(self) -> None:
        """End the connection, and the cluster if it was ours."""
        self._stack.close()
