"""Watching tuning jobs: progress, a deadline, and what finished is kept."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from conviction.observer import Observer, SilentObserver
from conviction_kedro.sagemaker._errors import SageMakerError, kind_of_reason
from conviction_kedro.sagemaker._launch import describe, launch_job

if TYPE_CHECKING:
    from collections.abc import Mapping

    from conviction_kedro.sagemaker._clients import Clients
    from conviction_kedro.sagemaker._settings import SageMakerParameters

logger = logging.getLogger(__name__)
ENDED = ("Completed", "Failed", "Stopped", "Deleted")
TASK = "delegated trials"
_LONGEST_STOPPING = 300.0


@dataclass
class Watch:
    """What is known of the jobs of a launch; changed as they are watched.

    Attributes
    ----------
    jobs : dict
        Key -> launched job, as `launch_plan` returns it.
    status : dict
        Key -> last answer of the service.
    deadline_passed : bool
    """

    jobs: dict[str, Any]
    status: dict[str, dict[str, Any]] = field(default_factory=dict)
    deadline_passed: bool = False

    @property
    def running(self) -> list[str]:
        """Return the keys of jobs that have not ended."""
        return [key for key in self.jobs if self.status.get(key, {}).get("HyperParameterTuningJobStatus") not in ENDED]

    def counters(self) -> dict[str, int]:
        """Return the number of trials completed, running, failed and stopped, over all jobs."""
        total = {"completed": 0, "running": 0, "failed": 0, "stopped": 0}
        for answer in self.status.values():
            counts = answer.get("TrainingJobStatusCounters", {})
            total["completed"] += counts.get("Completed", 0)
            total["running"] += counts.get("InProgress", 0)
            total["failed"] += counts.get("RetryableError", 0) + counts.get("NonRetryableError", 0)
            total["stopped"] += counts.get("Stopped", 0)
        return total

    def best(self) -> float | None:
        """Return the best score so far, of all jobs."""
        values = [
            answer["BestTrainingJob"]["FinalHyperParameterTuningJobObjectiveMetric"]["Value"]
            for answer in self.status.values()
            if answer.get("BestTrainingJob", {}).get("FinalHyperParameterTuningJobObjectiveMetric")
        ]
        return max(values) if values else None


def watch_jobs(
    launched: Mapping[str, Any],
    *,
    settings: SageMakerParameters,
    clients: Clients,
    plan: Mapping[str, Any] | None = None,
    observer: Observer | None = None,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> Watch:
    """Poll every job until it ends or the deadline passes; then stop what still runs and keep what finished.

    Parameters
    ----------
    launched : mapping
        Of `launch_plan`; the names are all that is needed, so a job of a killed run is watched just so.
    settings : SageMakerParameters
    clients : Clients
    plan : mapping, optional
        With it a job that was accepted and then ended for lack of instances is launched again, stepped down.
    observer : Observer, optional
        Told of every finished trial, with counters and the best score so far.
    clock, sleep : callable

    Returns
    -------
    Watch
    """
    watch = Watch(jobs={key: dict(job) for key, job in launched["jobs"].items()})
    watcher = observer or SilentObserver()
    by_key = {job["key"]: job for job in (plan or {"jobs": []})["jobs"]}
    until = clock() + settings.deadline_minutes * 60
    done = 0
    total = sum(_trials(job["request"]) for job in by_key.values()) or len(watch.jobs)
    watcher.start(TASK, total)
    try:
        while True:
            for key in watch.running:
                _look(watch, key, clients=clients)
                _again_if_refused(watch, key, by_key, launched, settings=settings, clients=clients)
            counts = watch.counters()
            finished = counts["completed"] + counts["failed"] + counts["stopped"]
            best = watch.best()
            note = f"{counts['completed']} done, {counts['running']} running, {counts['failed']} failed"
            if finished > done:
                watcher.advance(TASK, finished - done, note=note + ("" if best is None else f", best {best:.4f}"))
                done = finished
            if not watch.running:
                return watch
            if clock() >= until:
                _stop_all(watch, clients=clients, sleep=sleep, clock=clock, poll=settings.poll_seconds)
                return watch
            sleep(min(settings.poll_seconds, max(0.0, until - clock())))
    except KeyboardInterrupt:
        logger.warning(
            "the jobs go on without this process; `kedro run --pipeline=modeling --env=... --from-nodes=modeling.launch_tuning` "
            "watches them again: %s",
            ", ".join(watch.jobs[key]["name"] for key in watch.running),
        )
        raise
    finally:
        watcher.finish(TASK)


def stop_job(name: str, *, clients: Clients) -> None:
    """Stop a tuning job; its finished trials stay."""
    clients("sagemaker", "stop_hyper_parameter_tuning_job", HyperParameterTuningJobName=name)


def _look(watch: Watch, key: str, *, clients: Clients) -> None:
    name = watch.jobs[key]["name"]
    answer = describe(name, clients=clients)
    if answer is None:
        raise SageMakerError(
            what=f"the tuning job of {key} is not there",
            got=f"no job named {name}",
            allowed="a job in this account and region",
            fix="check region and account, or launch again: kedro run --pipeline=modeling --env=sagemaker",
        )
    watch.status[key] = answer


def _again_if_refused(
    watch: Watch,
    key: str,
    by_key: Mapping[str, Any],
    launched: Mapping[str, Any],
    *,
    settings: SageMakerParameters,
    clients: Clients,
) -> None:
    """Launch a job again, stepped down, that was accepted and then ended for lack of instances."""
    answer, job = watch.status[key], watch.jobs[key]
    reason = str(answer.get("FailureReason", ""))
    lacking = answer["HyperParameterTuningJobStatus"] == "Failed" and kind_of_reason(reason) in ("quota", "capacity")
    if not lacking or key not in by_key:
        return
    attempts = job["attempts"]
    attempts[-1] |= {"outcome": "refused", "reason": reason}
    logger.warning("%s: %s ended: %s", key, job["name"], reason)
    watch.jobs[key] = launch_job(
        by_key[key],
        settings=settings,
        clients=clients,
        quotas={kind: count for kind, count in launched.get("quotas", {}).items() if count is not None},
        attempts=attempts,
        refused=reason,
    )
    _look(watch, key, clients=clients)


def _stop_all(
    watch: Watch, *, clients: Clients, sleep: Callable[[float], None], clock: Callable[[], float], poll: float
) -> None:
    watch.deadline_passed = True
    names = [watch.jobs[key]["name"] for key in watch.running]
    logger.warning("the deadline has passed: stopping %s; what finished is kept", ", ".join(names))
    for name in names:
        stop_job(name, clients=clients)
    until = clock() + _LONGEST_STOPPING
    while watch.running and clock() < until:
        sleep(min(poll, 5.0))
        for key in watch.running:
            _look(watch, key, clients=clients)


def _trials(request: Mapping[str, Any]) -> int:
    return int(request["HyperParameterTuningJobConfig"]["ResourceLimits"]["MaxNumberOfTrainingJobs"])
