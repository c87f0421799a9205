"""Fits in parallel threads share one limit of the linear algebra's threads: no fit's end changes another's sums."""

from __future__ import annotations

import threading

from threadpoolctl import threadpool_info, threadpool_limits

from conviction.models._threads import limited_threads


def limits():
    return {pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"}


def test_the_limit_holds_until_the_last_fit_has_ended():
    begun, ended = threading.Event(), threading.Event()

    def short_fit():
        with limited_threads(1):
            begun.set()
            ended.wait(10)

    with threadpool_limits(limits=2):
        other = threading.Thread(target=short_fit)
        other.start()
        assert begun.wait(10)
        with limited_threads(1):
            ended.set()
            other.join()
            assert limits() == {1}
        assert limits() == {2}
