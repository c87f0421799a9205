"""The SageMaker client of the stand-in: the methods of boto3's that delegation uses, over processes on this machine."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from conviction_kedro.sagemaker._request import definitions_of, model_of, ranges_of
from conviction_kedro.sagemaker._stand_in_faults import DEFAULT_QUOTA, Faults, refusal, validated
from conviction_kedro.sagemaker._stand_in_search import Draw, Ending
from conviction_kedro.sagemaker._stand_in_trial import Trial, TrialResult

_STATES = {"Completed": "Completed", "Failed": "NonRetryableError", "Stopped": "Stopped", "InProgress": "InProgress"}


@dataclass
class TuningJob:
    """State of one tuning job."""

    request: dict[str, Any]
    status: str = "InProgress"
    reason: str = ""
    trials: dict[str, dict[str, Any]] = field(default_factory=dict)
    running: dict[str, Trial] = field(default_factory=dict)
    stopping: bool = False


class SageMakerStandIn:
    """Runs tuning jobs of the real entry point on this machine.

    Parameters
    ----------
    home : pathlib.Path
        Folder for the layouts of its containers.
    fetch, put : callable
        How S3 is read and written; see `Trial`.
    exists : callable
        Whether a bucket is there.
    faults : Faults
    """

    def __init__(
        self, home: Path, *, fetch: Callable[[str, Path], None], put: Callable[[str, bytes], None], faults: Faults
    ) -> None:
        self.faults = faults
        self.calls: list[str] = []
        self._home, self._fetch, self._put = home, fetch, put
        self._jobs: dict[str, TuningJob] = {}
        self._lock = threading.RLock()
        self._threads: list[threading.Thread] = []

    def _enter(self, operation: str, arguments: Mapping[str, Any]) -> None:
        self.calls.append(operation)
        if self.faults.expired:
            raise refusal("ExpiredTokenException", "The security token included in the request is expired", operation)
        if self.faults.throttled > 0:
            self.faults.throttled -= 1
            raise refusal("ThrottlingException", "Rate exceeded", operation)
        validated(operation, arguments)

    # tuning jobs ------------------------------------------------------------------------------------------------

    def create_hyper_parameter_tuning_job(self, **request: Any) -> dict[str, Any]:
        """Start a tuning job."""
        operation = "CreateHyperParameterTuningJob"
        self._enter(operation, request)
        name = request["HyperParameterTuningJobName"]
        with self._lock:
            if name in self._jobs:
                raise refusal("ResourceInUse", f"Hyperparameter tuning job {name} already exists", operation)
            self._check_quota(request, operation)
            for parent in request.get("WarmStartConfig", {}).get("ParentHyperParameterTuningJobs", []):
                if parent["HyperParameterTuningJobName"] not in self._jobs:
                    message = f"Could not find parent tuning job {parent['HyperParameterTuningJobName']}"
                    raise refusal("ValidationException", message, operation)
            job = self._jobs[name] = TuningJob(request)
        thread = threading.Thread(target=self._run, args=(name, job), daemon=True, name=f"tuning-{name}")
        self._threads.append(thread)
        thread.start()
        return {"HyperParameterTuningJobArn": _arn(f"hyper-parameter-tuning-job/{name}")}

    def _check_quota(self, request: Mapping[str, Any], operation: str) -> None:
        parallel = request["HyperParameterTuningJobConfig"]["ResourceLimits"]["MaxParallelTrainingJobs"]
        for definition in definitions_of(request):
            kind = definition["ResourceConfig"]["InstanceType"]
            quota = self.faults.quotas.get(kind, DEFAULT_QUOTA)
            if parallel > quota:
                message = (
                    f"The account-level service limit '{kind} for training job usage' is {quota} Instances, with current "
                    f"utilization of 0 Instances and a request delta of {parallel} Instances."
                )
                raise refusal("ResourceLimitExceeded", message, operation)

    def describe_hyper_parameter_tuning_job(self, **request: Any) -> dict[str, Any]:
        """Return status, counters and the best trial of a tuning job."""
        operation = "DescribeHyperParameterTuningJob"
        self._enter(operation, request)
        name, job = self._known(request["HyperParameterTuningJobName"], operation)
        with self._lock:
            counts = dict.fromkeys(("Completed", "InProgress", "RetryableError", "NonRetryableError", "Stopped"), 0)
            for trial in job.trials.values():
                counts[_STATES[trial["TrainingJobStatus"]]] += 1
            answer: dict[str, Any] = {
                "HyperParameterTuningJobName": name,
                "HyperParameterTuningJobArn": _arn(f"hyper-parameter-tuning-job/{name}"),
                "HyperParameterTuningJobConfig": job.request["HyperParameterTuningJobConfig"],
                "HyperParameterTuningJobStatus": "Stopping"
                if job.stopping and job.status == "InProgress"
                else job.status,
                "TrainingJobStatusCounters": counts,
            }
            if job.reason:
                answer["FailureReason"] = job.reason
            scored = [one for one in job.trials.values() if "FinalHyperParameterTuningJobObjectiveMetric" in one]
            completed = [one for one in scored if one["TrainingJobStatus"] == "Completed"]
            if completed:
                best = max(completed, key=lambda one: one["FinalHyperParameterTuningJobObjectiveMetric"]["Value"])
                answer["BestTrainingJob"] = dict(best)
            return answer

    def list_hyper_parameter_tuning_jobs(self, **request: Any) -> dict[str, Any]:
        """Return the tuning jobs whose name contains a text."""
        self._enter("ListHyperParameterTuningJobs", request)
        wanted = request.get("NameContains", "")
        found = [
            {"HyperParameterTuningJobName": name, "HyperParameterTuningJobStatus": job.status}
            for name, job in self._jobs.items()
            if wanted in name
        ]
        return {"HyperParameterTuningJobSummaries": found}

    def list_training_jobs_for_hyper_parameter_tuning_job(self, **request: Any) -> dict[str, Any]:
        """Return the training jobs of a tuning job, a page at a time."""
        operation = "ListTrainingJobsForHyperParameterTuningJob"
        self._enter(operation, request)
        _, job = self._known(request["HyperParameterTuningJobName"], operation)
        with self._lock:
            every = [dict(trial) for trial in job.trials.values()]
        first, size = int(request.get("NextToken", 0)), min(int(request.get("MaxResults", 10)), 3)
        page: dict[str, Any] = {"TrainingJobSummaries": every[first : first + size]}
        if first + size < len(every):
            page["NextToken"] = str(first + size)
        return page

    def stop_hyper_parameter_tuning_job(self, **request: Any) -> dict[str, Any]:
        """End the running trials of a job and begin no more."""
        operation = "StopHyperParameterTuningJob"
        self._enter(operation, request)
        _, job = self._known(request["HyperParameterTuningJobName"], operation)
        with self._lock:
            job.stopping = True
            running = list(job.running.values())
        for trial in running:
            trial.stop("the user")
        return {}

    def describe_training_job(self, **request: Any) -> dict[str, Any]:
        """Return status and failure reason of one training job."""
        operation = "DescribeTrainingJob"
        self._enter(operation, request)
        for job in self._jobs.values():
            if request["TrainingJobName"] in job.trials:
                return dict(job.trials[request["TrainingJobName"]])
        raise refusal("ValidationException", "Requested resource not found: Could not find the job", operation)

    def _known(self, name: str, operation: str) -> tuple[str, TuningJob]:
        if name not in self._jobs:
            raise refusal("ResourceNotFound", f"Could not find hyperparameter tuning job {name}", operation)
        return name, self._jobs[name]

    # running ----------------------------------------------------------------------------------------------------

    def _run(self, name: str, job: TuningJob) -> None:
        config, definitions = job.request["HyperParameterTuningJobConfig"], definitions_of(job.request)
        kind = definitions[0]["ResourceConfig"]["InstanceType"]
        if kind in self.faults.no_capacity:
            job.status, job.reason = (
                "Failed",
                f"CapacityError: Unable to provision requested ML compute capacity of {kind}",
            )
            return
        draws = [
            Draw(config["Strategy"], ranges_of(job.request, one), seed=config.get("RandomSeed", 0))
            for one in definitions
        ]
        ending = Ending(config)
        limits = config["ResourceLimits"]
        ends = datetime.now(tz=UTC).timestamp() + limits.get("MaxRuntimeInSeconds", 2_592_000)
        with ThreadPoolExecutor(limits["MaxParallelTrainingJobs"]) as pool:
            waiting = threading.Semaphore(limits["MaxParallelTrainingJobs"])
            futures = []
            for number in range(limits["MaxNumberOfTrainingJobs"]):
                waiting.acquire()
                if job.stopping or datetime.now(tz=UTC).timestamp() > ends or self._not_improving(job, config):
                    waiting.release()
                    break
                which = number % len(definitions)
                futures.append(
                    pool.submit(self._one, name, job, definitions[which], draws[which], ending, number, waiting)
                )
            for future in futures:
                future.result()
        with self._lock:
            states = [trial["TrainingJobStatus"] for trial in job.trials.values()]
            scored = [one for one in job.trials.values() if "FinalHyperParameterTuningJobObjectiveMetric" in one]
            if job.stopping:
                job.status = "Stopped"
            elif not scored:
                job.status = "Failed"
                job.reason = (
                    "All training jobs failed. Please take a look at the training jobs failures to get more details."
                    if set(states) == {"Failed"}
                    else "No objective metrics found after running 5 training jobs. Please ensure that the custom algorithm "
                    "is emitting the objective metric as defined by the regular expression provided."
                )
            else:
                job.status = "Completed"

    def _not_improving(self, job: TuningJob, config: Mapping[str, Any]) -> bool:
        criteria = config.get("TuningJobCompletionCriteria", {}).get("BestObjectiveNotImproving", {})
        patience = criteria.get("MaxNumberOfTrainingJobsNotImproving")
        if patience is None:
            return False
        with self._lock:
            values = [
                one["FinalHyperParameterTuningJobObjectiveMetric"]["Value"]
                for one in job.trials.values()
                if "FinalHyperParameterTuningJobObjectiveMetric" in one
            ]
        return bool(values) and len(values) - 1 - values.index(max(values)) >= patience

    def _one(
        self,
        name: str,
        job: TuningJob,
        definition: Mapping[str, Any],
        draw: Draw,
        ending: Ending,
        number: int,
        waiting: threading.Semaphore,
    ) -> None:
        identifier = f"{name}-{number:03d}-{uuid.uuid4().hex[:8]}"
        with self._lock:
            tuned, handle = draw.next()
            config = job.request["HyperParameterTuningJobConfig"]
            objective = definition.get("TuningObjective") or config["HyperParameterTuningJobObjective"]
            metrics = {one["Name"]: one["Regex"] for one in definition["AlgorithmSpecification"]["MetricDefinitions"]}
            metric = objective["MetricName"]
            summary: dict[str, Any] = {
                "TrainingJobName": identifier,
                "TrainingJobArn": _arn(f"training-job/{identifier}"),
                "CreationTime": datetime.now(tz=UTC),
                "TrainingStartTime": datetime.now(tz=UTC),
                "TrainingJobStatus": "InProgress",
                "TunedHyperParameters": tuned,
            }
            if "DefinitionName" in definition:
                summary["TrainingJobDefinitionName"] = definition["DefinitionName"]
            job.trials[identifier] = summary
            trial = job.running[identifier] = Trial(
                name=identifier,
                definition=definition,
                # The service adds the name of the objective to what the script is given.
                hyper_parameters={**definition["StaticHyperParameters"], **tuned, "_tuning_objective_metric": metric},
                metric=(metric, metrics[metric]),
                home=self._home / identifier,
                fetch=self._fetch,
                put=self._put,
                silent=number in self.faults.silent,
                crash=number in self.faults.crashing,
                interrupt=number in self.faults.interrupted,
                should_end=lambda curve: self._should_end(ending, curve),
            )
        try:
            result = trial.run()
            self._ended(summary, trial, result, draw, handle, ending)
        except Exception as error:  # noqa: BLE001  # whatever happens to a trial is that trial's end, not the job's
            with self._lock:
                summary |= {"TrainingJobStatus": "Failed", "FailureReason": f"InternalServerError: {error}"}
                draw.tell(handle, None)
        finally:
            trial.clean()
            with self._lock:
                job.running.pop(identifier, None)
            waiting.release()

    def _should_end(self, ending: Ending, curve: list[float]) -> bool:
        with self._lock:
            return ending.should_end(curve)

    def _ended(
        self,
        summary: dict[str, Any],
        trial: Trial,
        result: TrialResult,
        draw: Draw,
        handle: Any,
        ending: Ending,
    ) -> None:
        with self._lock:
            summary["TrainingJobStatus"] = result.status
            summary["TrainingEndTime"] = datetime.now(tz=UTC)
            if result.reason:
                summary["FailureReason"] = result.reason
            if result.curve and result.status != "Failed":
                final = {"MetricName": trial.metric[0], "Value": result.curve[-1]}
                summary["FinalHyperParameterTuningJobObjectiveMetric"] = final
            if result.status == "Completed":
                ending.finished(result.curve)
            draw.tell(handle, result.curve[-1] if result.curve and result.status != "Failed" else None)

    def close(self) -> None:
        """End everything that runs."""
        for job in self._jobs.values():
            job.stopping = True
            for trial in list(job.running.values()):
                trial.stop("the end of the stand-in")
        for thread in self._threads:
            thread.join(timeout=20)

    def logs(self, model: str) -> list[str]:
        """Return the models' names that were trained, for tests."""
        return [
            name for name, job in self._jobs.items() if model in {model_of(one) for one in definitions_of(job.request)}
        ]


def _arn(what: str) -> str:
    return f"arn:aws:sagemaker:us-east-1:000000000000:{what}"
