"""Everything that would make a launch fail, found before it: the service's own limits and the rules between fields."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Literal

from conviction.errors import ModelError
from conviction_kedro.sagemaker._errors import PreflightError
from conviction_kedro.sagemaker._request import CHANNEL, definitions_of, instance_hours, ranges_of
from conviction_kedro.sagemaker._shapes import input_shape, walk
from conviction_kedro.sagemaker._space import grid_size

if TYPE_CHECKING:
    from collections.abc import Sequence

OPERATION = "CreateHyperParameterTuningJob"
MOST_PARAMETERS = 100
MOST_SEARCHED = 30
MOST_TRIALS = 750
MOST_PARALLEL = 100
_FAMILIES = {"IntegerParameterRanges": int, "ContinuousParameterRanges": float}
_WORDS = {"IntegerParameterRanges": "whole numbers", "ContinuousParameterRanges": "numbers"}


@dataclass(frozen=True)
class Check:
    """One thing that was looked at.

    Attributes
    ----------
    name : str
    status : {"ok", "error", "warning"}
    message : str
    where : str
        Path in the request.
    """

    name: str
    status: Literal["ok", "error", "warning"]
    message: str
    where: str = ""

    def to_dict(self) -> dict[str, str]:
        """Return it as plain data."""
        return asdict(self)


def preflight(request: Mapping[str, Any]) -> list[Check]:
    """Check a request without calling anything.

    Parameters
    ----------
    request : mapping
        Arguments of `create_hyper_parameter_tuning_job`.

    Returns
    -------
    list of Check
        Errors first. One entry "ok" for each group of rules that found nothing.

    Notes
    -----
    The first group walks the shapes of botocore's service model (required, unknown and wrongly typed fields, lengths,
    bounds, patterns, enumerations): what the service checks, and botocore does not. The others are rules between fields
    that no shape holds.
    """
    shape = input_shape(OPERATION)
    found = [Check("shape", "error", message, where) for where, message in walk(shape, request)]
    # Rules between fields read a request of the right shape.
    broken = any(check.message.startswith(("missing", "unknown field", "is a")) for check in found)
    checks = list(found) or [Check("shape", "ok", "every field is one the service takes, within its limits")]
    for name, rule in _RULES.items():
        if broken and name != "names":
            checks.append(Check(name, "warning", "not looked at: the request has not the right shape"))
            continue
        problems = [Check(name, "error", message, where) for where, message in rule(request)]
        checks += problems or [Check(name, "ok", (rule.__doc__ or name).strip().split("\n")[0].rstrip("."))]
    return sorted(checks, key=lambda check: ("error", "warning", "ok").index(check.status))


def require_passed(checks: Sequence[Check], *, job: str) -> None:
    """Raise when a check is an error, with all of them.

    Raises
    ------
    PreflightError
    """
    errors = [check for check in checks if check.status == "error"]
    if errors:
        raise PreflightError(
            what=f"{job} would fail: nothing was launched",
            got="; ".join(f"{check.where + ': ' if check.where else ''}{check.message}" for check in errors),
            allowed="a request that passes every check",
            fix="correct these settings; `kedro run --pipeline=modeling --env=sagemaker --dry-run` shows all checks",
        )


# Rules between fields. Each yields (path, problem).


def _names(request: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Give the job a name of at most 32 letters, digits and hyphens."""
    name = str(request.get("HyperParameterTuningJobName", ""))
    if len(name) > 32 or not re.fullmatch(r"[a-zA-Z0-9](-*[a-zA-Z0-9]){0,31}", name):
        yield "HyperParameterTuningJobName", f"{name!r} ({len(name)} characters) is no name of a tuning job"


def _objective(request: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Scrape the objective, with a regular expression that finds it."""
    config = request["HyperParameterTuningJobConfig"]
    for position, definition in enumerate(definitions_of(request)):
        path = f"definition {position}"
        objective = definition.get("TuningObjective") or config.get("HyperParameterTuningJobObjective")
        if objective is None:
            yield path, "no objective, so the job could not compare trials"
            continue
        metrics = {
            one["Name"]: one["Regex"] for one in definition["AlgorithmSpecification"].get("MetricDefinitions", [])
        }
        name = objective["MetricName"]
        if name not in metrics:
            yield path, f"the objective {name!r} has no metric definition (there are {sorted(metrics) or 'none'})"
            continue
        try:
            found = re.search(metrics[name], "round 3 validation:auc=6.12345e-1")
        except re.error as error:
            yield path, f"the regular expression of {name!r} is broken: {error}"
            continue
        if found is None or not found.groups() or float(found[1]) != 0.612345:
            yield path, f"the regular expression of {name!r} does not find what the entry point prints"


def _script(request: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Script mode: the entry point and the archive are named, and the image is one that runs scripts."""
    for position, definition in enumerate(definitions_of(request)):
        path, static = f"definition {position}", definition.get("StaticHyperParameters", {})
        for name in ("sagemaker_program", "sagemaker_submit_directory"):
            if not static.get(name):
                yield path, f"algorithm mode: {name} is not among the static hyper-parameters"
        if static.get("sagemaker_submit_directory", "s3://").startswith("s3://") is False:
            yield path, "sagemaker_submit_directory is no S3 address"
        image = definition["AlgorithmSpecification"].get("TrainingImage", "")
        if not image:
            yield path, "no training image"
        repository = image.rsplit("/", 1)[-1]
        if re.fullmatch(r"xgboost:\S+", repository):
            yield (
                path,
                f"{repository} is the algorithm image, which runs no script; the framework image is sagemaker-xgboost",
            )


def _ranges(request: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Ranges are those of their model, not empty, of the right family, and no parameter is static and tuned at once."""
    strategy = request["HyperParameterTuningJobConfig"]["Strategy"]
    for position, definition in enumerate(definitions_of(request)):
        path, static = f"definition {position}", definition.get("StaticHyperParameters", {})
        ranges = ranges_of(request, definition)
        listed = [(family, one) for family, ones in ranges.items() for one in ones]
        names = [one["Name"] for _, one in listed]
        for name in sorted({name for name in names if names.count(name) > 1}):
            yield path, f"{name} has two ranges"
        for name in sorted(set(names) & set(static)):
            yield path, f"{name} is static and tuned at once"
        if not names:
            yield path, "nothing is searched"
        if len(names) > MOST_SEARCHED:
            yield path, f"{len(names)} parameters are searched, at most {MOST_SEARCHED}"
        if len(names) + len(static) > MOST_PARAMETERS:
            yield path, f"{len(names) + len(static)} hyper-parameters in all, at most {MOST_PARAMETERS}"
        yield from ((path, problem) for problem in _family_problems(listed))
        yield from ((path, problem) for problem in _model_problems(listed, str(static.get("model", ""))))
        if strategy == "Grid" and [family for family, _ in listed if family != "CategoricalParameterRanges"]:
            yield path, "a grid takes categorical ranges only"


def _family_problems(listed: list[tuple[str, dict[str, Any]]]) -> Iterator[str]:
    for family, one in listed:
        if family not in _FAMILIES:
            continue
        try:
            low, high = (_FAMILIES[family](one[bound]) for bound in ("MinValue", "MaxValue"))
        except ValueError:
            yield f"{one['Name']}: {one['MinValue']!r} to {one['MaxValue']!r} is no range of {_WORDS[family]}"
            continue
        scale = one.get("ScalingType", "Auto")
        if low >= high:
            yield f"{one['Name']}: from {low} to {high} is empty"
        if scale == "Logarithmic" and low <= 0:
            yield f"{one['Name']}: a logarithmic range cannot begin at {low}"
        if scale == "ReverseLogarithmic" and not 0 <= low < high < 1:
            yield f"{one['Name']}: a reverse-logarithmic range lies within [0, 1)"


def _model_problems(listed: list[tuple[str, dict[str, Any]]], model: str) -> Iterator[str]:
    from conviction.models import model_spec

    try:
        space = {dimension.name: dimension for dimension in model_spec(model).search_space}
    except ModelError as error:
        yield str(error)
        return
    for family, one in listed:
        dimension = space.get(one["Name"])
        if dimension is None:
            yield f"{one['Name']} is no parameter that {model} is searched over ({', '.join(sorted(space))})"
        elif dimension.kind == "int" and family == "ContinuousParameterRanges":
            yield f"{one['Name']} of {model} takes whole numbers, not a continuous range"


def _channels(request: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Send the data through a channel that the entry point reads, from S3."""
    for position, definition in enumerate(definitions_of(request)):
        path = f"definition {position}"
        names = [one["ChannelName"] for one in definition.get("InputDataConfig", [])]
        if not {CHANNEL, "training"} & set(names):
            yield path, f"no channel named {CHANNEL} or training (there are {names or 'none'})"
        for name in sorted({name for name in names if names.count(name) > 1}):
            yield path, f"the channel {name!r} is there twice"
        for one in definition.get("InputDataConfig", []):
            uri = one["DataSource"].get("S3DataSource", {}).get("S3Uri", "")
            if not re.match(r"s3://[a-z0-9.-]{3,63}/.+", uri):
                yield path, f"channel {one['ChannelName']!r}: {uri!r} is no address of data; set sagemaker.bucket"
        if not re.match(r"s3://[a-z0-9.-]{3,63}/", definition["OutputDataConfig"]["S3OutputPath"]):
            yield path, "the results have no bucket to go to; set sagemaker.bucket"


def _limits(request: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Fit numbers of trials, jobs at a time and strategy together."""
    config = request["HyperParameterTuningJobConfig"]
    limits = config["ResourceLimits"]
    trials, parallel = limits.get("MaxNumberOfTrainingJobs"), limits["MaxParallelTrainingJobs"]
    where = "HyperParameterTuningJobConfig.ResourceLimits"
    if trials is None:
        yield where, "no number of trials: the job would end with its time alone"
    else:
        if parallel > trials:
            yield where, f"{parallel} jobs at a time of {trials} in all"
        if trials > MOST_TRIALS:
            yield where, f"{trials} trials, at most {MOST_TRIALS}"
    if parallel > MOST_PARALLEL:
        yield where, f"{parallel} jobs at a time, at most {MOST_PARALLEL}"
    if config["Strategy"] == "Grid" and trials is not None:
        size = sum(
            grid_size({"CategoricalParameterRanges": [], **ranges_of(request, one)}) for one in definitions_of(request)
        )
        if size != trials:
            yield where, f"a grid of {size} combinations with {trials} trials"
    if config["Strategy"] == "Hyperband":
        yield from _hyperband(config)
    elif "StrategyConfig" in config:
        yield "HyperParameterTuningJobConfig.StrategyConfig", f"belongs to Hyperband, not to {config['Strategy']}"


def _times(request: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Let the longest wait, the longest run and spot instances agree."""
    for position, definition in enumerate(definitions_of(request)):
        stop = definition["StoppingCondition"]
        if definition.get("EnableManagedSpotTraining"):
            if stop.get("MaxWaitTimeInSeconds", 0) < stop.get("MaxRuntimeInSeconds", 0):
                yield f"definition {position}", "spot: the longest wait must be at least the longest run"
            if "CheckpointConfig" not in definition:
                yield f"definition {position}", "spot without checkpoints begins anew after each interruption"
        elif "MaxWaitTimeInSeconds" in stop:
            yield f"definition {position}", "MaxWaitTimeInSeconds is for spot instances only"
        if definition.get("ResourceConfig", {}).get("InstanceCount", 1) < 1:
            yield f"definition {position}", "no instance"


def _hyperband(config: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    where = "HyperParameterTuningJobConfig"
    own = config.get("StrategyConfig", {}).get("HyperbandStrategyConfig", {})
    if config.get("TrainingJobEarlyStoppingType") == "Auto":
        yield where, "Hyperband ends trials itself: early stopping must be off"
    if own and own.get("MinResource", 1) >= own.get("MaxResource", 2):
        yield where, f"Hyperband from {own['MinResource']} to {own['MaxResource']} rounds"


def _who(request: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Name a role by its ARN."""
    for position, definition in enumerate(definitions_of(request)):
        role = definition["RoleArn"]
        if not re.fullmatch(r"arn:aws[a-z\-]*:iam::\d{12}:role/?[a-zA-Z_0-9+=,.@\-_/]+", role):
            yield (
                f"definition {position}",
                f"{role!r} is no ARN of a role; set sagemaker.role_arn or SAGEMAKER_ROLE_ARN",
            )


def _several(request: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """One definition, or several with names, objectives and ranges of their own."""
    single, several = request.get("TrainingJobDefinition"), request.get("TrainingJobDefinitions")
    if bool(single) == bool(several):
        yield "", "either TrainingJobDefinition or TrainingJobDefinitions"
    names = [one.get("DefinitionName") for one in several or []]
    if len(set(names)) != len(names) or None in names:
        yield "TrainingJobDefinitions", f"each needs a name of its own, not {names}"
    config = request["HyperParameterTuningJobConfig"]
    if several and ("ParameterRanges" in config or "HyperParameterTuningJobObjective" in config):
        yield "HyperParameterTuningJobConfig", "ranges and objective stand in the definitions when there are several"
    if several and config["Strategy"] in ("Grid", "Hyperband"):
        yield (
            "HyperParameterTuningJobConfig",
            f"{config['Strategy']} takes one definition: set sagemaker.together to false",
        )


_RULES = {
    "names": _names,
    "definitions": _several,
    "objective": _objective,
    "script mode": _script,
    "ranges": _ranges,
    "channels": _channels,
    "limits": _limits,
    "times": _times,
    "role": _who,
}


def check_table(requests: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Return checks and cost of several requests as plain data.

    Parameters
    ----------
    requests : mapping
        Job -> request.

    Returns
    -------
    dict
        `jobs` (name, instance, trials, instance_hours, checks), `instance_hours`, `errors`.
    """
    jobs: dict[str, Any] = {}
    errors, hours = 0, 0.0
    for key, request in requests.items():
        checks = preflight(request)
        wrong = [check for check in checks if check.status == "error"]
        cost = None if any(check.name == "shape" for check in wrong) else round(instance_hours(request), 2)
        jobs[key] = {
            "name": request.get("HyperParameterTuningJobName"),
            "instance_hours": cost,
            "checks": [check.to_dict() for check in checks],
        }
        errors += len(wrong)
        hours += cost or 0.0
    return {"jobs": jobs, "instance_hours": round(hours, 2), "errors": errors}
