"""Fits in parallel threads never change each other's limit of the linear algebra's threads: it changes the last digit."""

from __future__ import annotations

import threading

import numpy as np  # the library whose threads are limited must be loaded
from threadpoolctl import threadpool_info

from conviction.models._threads import limited_threads


def limits():
    return {pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"}


def test_fits_wait_for_each_other_and_each_has_its_limit_throughout():
    assert np.ones(2).sum() == 2
    inside, seen, start = [0], [], threading.Barrier(4)

    def fit():
        start.wait(10)
        for _ in range(10):
            with limited_threads(1):
                inside[0] += 1
                seen.append((inside[0], limits()))
                inside[0] -= 1

    workers = [threading.Thread(target=fit) for _ in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert seen == [(1, {1})] * 40
