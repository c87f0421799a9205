"""Launching: upload once by content, look the quota up, create each job, step down when the account has too little."""

from __future__ import annotations

import logging
import re
from typing import TYPE_CHECKING, Any

from conviction_kedro.sagemaker._errors import PreflightError, QuotaError, SageMakerError, kind_of
from conviction_kedro.sagemaker._preflight import Check, preflight, require_passed
from conviction_kedro.sagemaker._request import definitions_of, stepped

if TYPE_CHECKING:
    from collections.abc import Mapping

    from conviction_kedro.sagemaker._clients import Clients
    from conviction_kedro.sagemaker._plan import Upload
    from conviction_kedro.sagemaker._settings import SageMakerParameters

logger = logging.getLogger(__name__)


def upload(files: Upload, *, settings: SageMakerParameters, clients: Clients) -> dict[str, int]:
    """Put data and code where the requests expect them; what is there by its content hash stays as it is.

    Returns
    -------
    dict
        `sent` and `known`: number of files.
    """
    wanted = {f"{files.bundle.prefix}/{name}": content for name, content in files.bundle.files.items()}
    wanted |= {archive.key: archive.content for archive in files.code.values()}
    counts = {"sent": 0, "known": 0}
    for name, content in wanted.items():
        key = f"{settings.prefix}/{name}"
        if _size(clients, settings.bucket, key) == len(content):
            counts["known"] += 1
        else:
            clients("s3", "put_object", Bucket=settings.bucket, Key=key, Body=content)
            counts["sent"] += 1
    logger.info("data and code: %d files sent, %d already there", counts["sent"], counts["known"])
    return counts


def _size(clients: Clients, bucket: str, key: str) -> int | None:
    try:
        return int(clients("s3", "head_object", Bucket=bucket, Key=key)["ContentLength"])
    except SageMakerError as error:
        if error.__cause__ is not None and kind_of(error.__cause__) == "missing":  # type: ignore[arg-type]
            return None
        raise


def online_checks(plan: Mapping[str, Any], *, settings: SageMakerParameters, clients: Clients) -> list[Check]:
    """Ask AWS what a request cannot say: the bucket's region, the role, the alarms.

    Returns
    -------
    list of Check
        What may not be asked with these credentials is a warning, not an error.
    """
    checks = []
    region = clients("s3", "get_bucket_location", Bucket=settings.bucket).get("LocationConstraint") or "us-east-1"
    if region == settings.region:
        checks.append(Check("bucket", "ok", f"{settings.bucket} lies in {region}"))
    else:
        message = (
            f"{settings.bucket} lies in {region}, the jobs would run in {settings.region}, which SageMaker refuses"
        )
        checks.append(Check("bucket", "error", message))
    role = definitions_of(plan["jobs"][0]["request"])[0]["RoleArn"].rsplit("/", 1)[-1]
    checks.append(_asked("role", f"the role {role} exists", lambda: clients("iam", "get_role", RoleName=role)))
    if settings.alarms:
        found = clients("cloudwatch", "describe_alarms", AlarmNames=list(settings.alarms))
        names = {alarm["AlarmName"] for alarm in found.get("MetricAlarms", []) + found.get("CompositeAlarms", [])}
        missing = sorted(set(settings.alarms) - names)
        status = f"CloudWatch alarms {', '.join(settings.alarms)} are there"
        checks.append(
            Check(
                "alarms",
                "error",
                f"no CloudWatch alarm named {', '.join(missing)}; docs/how-to/sagemaker.md makes them",
            )
            if missing
            else Check("alarms", "ok", status)
        )
    return checks


def _asked(name: str, good: str, ask: Any) -> Check:
    try:
        ask()
    except SageMakerError as error:
        cause = error.__cause__
        if cause is not None and kind_of(cause) == "missing":  # type: ignore[arg-type]
            return Check(name, "error", str(error))
        if "AccessDenied" in str(error.got):
            return Check(name, "warning", f"may not be asked with these credentials: {error.got}")
        raise
    return Check(name, "ok", good)


def training_quotas(*, clients: Clients, spot: bool) -> dict[str, int]:
    """Return the account's quota of each instance type for training jobs; empty where it may not be asked."""
    ending = " for spot training job usage" if spot else " for training job usage"
    quotas: dict[str, int] = {}
    arguments: dict[str, Any] = {"ServiceCode": "sagemaker"}
    try:
        while True:
            page = clients("quotas", "list_service_quotas", **arguments)
            for quota in page["Quotas"]:
                if quota["QuotaName"].endswith(ending):
                    quotas[quota["QuotaName"].removesuffix(ending)] = int(quota["Value"])
            if not page.get("NextToken"):
                return quotas
            arguments["NextToken"] = page["NextToken"]
    except SageMakerError as error:
        if "AccessDenied" not in str(error.got):
            raise
        logger.warning("quotas may not be looked up with these credentials; a refused launch steps down all the same")
        return {}


def launch_plan(
    plan: Mapping[str, Any], files: Upload, *, settings: SageMakerParameters, clients: Clients
) -> dict[str, Any]:
    """Check everything, upload, and launch every job of a plan; jobs that are there by their name are watched again.

    Returns
    -------
    dict
        `jobs`: key -> launched job (`name`, `instance`, `parallel`, `adopted`, `attempts`); `checks`; `quotas`.

    Raises
    ------
    PreflightError
        Before anything is sent, if a check is an error.
    QuotaError
        If a job was refused with every type, or three times.
    """
    if plan["checks"]["errors"]:
        for job in plan["jobs"]:
            require_passed(preflight(job["request"]), job=job["key"])
        raise PreflightError(
            what="the plan has errors", got=plan["checks"]["errors"], allowed="0", fix="make the plan again"
        )
    checks = online_checks(plan, settings=settings, clients=clients)
    require_passed(checks, job="the launch")
    quotas = training_quotas(clients=clients, spot=settings.spot)
    counts = upload(files, settings=settings, clients=clients)
    launched: dict[str, Any] = {}
    for job in plan["jobs"]:
        launched[job["key"]] = launch_job(job, settings=settings, clients=clients, quotas=quotas, attempts=[])
        name = launched[job["key"]]["name"]
        logger.info("%s: %s %s", job["key"], "watching again" if launched[job["key"]]["adopted"] else "launched", name)
    return {
        "jobs": launched,
        "checks": [check.to_dict() for check in checks],
        "quotas": {one["type"]: quotas.get(one["type"]) for job in plan["jobs"] for one in job["instances"]},
        "uploaded": counts,
    }


def launch_job(
    job: Mapping[str, Any],
    *,
    settings: SageMakerParameters,
    clients: Clients,
    quotas: Mapping[str, int],
    attempts: list[dict[str, Any]],
    refused: str = "",
) -> dict[str, Any]:
    """Launch one job, stepping down from what was refused before.

    Parameters
    ----------
    job : mapping
        Of `plan_jobs`.
    quotas : mapping
        Instance type -> quota; one of zero is passed over without an attempt.
    attempts : list of dict
        Earlier attempts; extended in place.
    refused : str
        Why the last attempt ended, when it was accepted first and failed later.

    Returns
    -------
    dict
        `name`, `instance`, `parallel`, `adopted`, `attempts`.
    """
    kinds = [one["type"] for one in job["instances"]]
    parallel = job["request"]["HyperParameterTuningJobConfig"]["ResourceLimits"]["MaxParallelTrainingJobs"]
    real = [attempt for attempt in attempts if attempt["outcome"] != "passed over"]
    place = kinds.index(real[-1]["instance"]) if real else 0
    if real:
        place, parallel = _stepped_down(real[-1], place, refused)
    while place < len(kinds) and len(real) < settings.max_attempts:
        kind = kinds[place]
        if quotas.get(kind) == 0:
            attempts.append({"instance": kind, "outcome": "passed over", "reason": "the account's quota is 0"})
            place += 1
            continue
        parallel = max(1, min(parallel, quotas.get(kind, parallel)))
        name = job["request"]["HyperParameterTuningJobName"]
        name = name if not real else f"{name[: 32 - 2]}-{len(real) + 1}"
        request = stepped(
            job["request"], name=name, instance=kind, images=job["instances"][place]["images"], parallel=parallel
        )
        attempt = {"name": name, "instance": kind, "parallel": parallel, "outcome": "launched", "reason": ""}
        attempts.append(attempt)
        real.append(attempt)
        known = describe(name, clients=clients)
        if known is not None and not _ended_for_lack_of_instances(known):
            return {"name": name, "instance": kind, "parallel": parallel, "adopted": True, "attempts": attempts}
        reason = _refusal(known, request, clients=clients)
        if reason is None:
            return {"name": name, "instance": kind, "parallel": parallel, "adopted": False, "attempts": attempts}
        attempt |= {"outcome": "refused", "reason": reason}
        logger.warning("%s: refused on %s: %s", job["key"], kind, reason)
        place, parallel = _stepped_down(attempt, place, reason)
    raise QuotaError(
        what=f"{job['key']} could not be launched",
        got="; ".join(f"{one['instance']}: {one['outcome']} {one['reason']}" for one in attempts),
        allowed=f"one of {', '.join(kinds)}, at most {settings.max_attempts} attempts",
        fix="ask for a higher quota (Service Quotas, Amazon SageMaker, '... for training job usage') or list other types "
        "in sagemaker.instances",
    )


def _refusal(known: Mapping[str, Any] | None, request: Mapping[str, Any], *, clients: Clients) -> str | None:
    """Create a job; return why it got no instances, or None when it was accepted."""
    if known is not None:
        return str(known.get("FailureReason"))
    try:
        clients("sagemaker", "create_hyper_parameter_tuning_job", **request)
    except QuotaError as error:
        return str(error.got)
    return None


def describe(name: str, *, clients: Clients) -> dict[str, Any] | None:
    """Return what the service says of a tuning job, or None when it does not know it."""
    try:
        answer: dict[str, Any] = clients(
            "sagemaker", "describe_hyper_parameter_tuning_job", HyperParameterTuningJobName=name
        )
    except SageMakerError as error:
        if error.__cause__ is not None and kind_of(error.__cause__) == "missing":  # type: ignore[arg-type]
            return None
        raise
    return answer


def _stepped_down(attempt: Mapping[str, Any], place: int, reason: str) -> tuple[int, int]:
    """Return the next place in the list of types and jobs at a time: fewer of the same while it has some, else the next."""
    limit = re.search(r"is (\d+) Instances", reason)
    allowed = int(limit[1]) if limit else 0
    parallel = int(attempt["parallel"])
    if 0 < allowed < parallel:
        return place, allowed
    return place + 1, parallel


def _ended_for_lack_of_instances(known: Mapping[str, Any]) -> bool:
    from conviction_kedro.sagemaker._errors import kind_of_reason

    failed = known["HyperParameterTuningJobStatus"] == "Failed"
    return failed and kind_of_reason(str(known.get("FailureReason", ""))) in ("quota", "capacity")
