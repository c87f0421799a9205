"""How many fits run at once: never more threads than cores."""

from __future__ import annotations


def jobs_within_cores(n_jobs: int, n_threads: int) -> int:
    """Return the number of jobs, lowered until jobs times threads fits the cores of this machine.

    The number changes no result, only the time: LightGBM and XGBoost spin while they wait, so a machine with more
    threads than cores spends most of its time on nothing. Engines other than threads (processes, Dask) know their
    own cores and are left alone.

    Parameters
    ----------
    n_jobs : int
        As joblib takes it; -1 is all cores.
    n_threads : int
        Threads inside each fit.

    Returns
    -------
    int

    Examples
    --------
    >>> jobs_within_cores(1, 1)
    1
    """
    import joblib
    from joblib.parallel import ThreadingBackend, get_active_backend

    backend, _ = get_active_backend(prefer="threads")
    if not isinstance(backend, ThreadingBackend):
        return n_jobs
    cores = int(joblib.cpu_count())
    wanted = cores if n_jobs < 0 else n_jobs
    return max(1, min(wanted, cores // max(1, n_threads)))
