"""One pure function from (search space, dataset, settings) to the request of a tuning job."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from conviction_kedro.sagemaker._archive import PROGRAM
from conviction_kedro.sagemaker._images import image_uri
from conviction_kedro.sagemaker._space import as_text, grid_size, parameter_ranges

if TYPE_CHECKING:
    from conviction.models import SearchSpace
    from conviction_kedro.sagemaker._settings import SageMakerParameters

METRIC = "validation:auc"
#: The last value that a trial prints is its score; the exponent is there for values like 5e-1.
METRIC_REGEX = r"validation:auc=([-+]?[0-9]*\.?[0-9]+(?:[eE][-+]?[0-9]+)?)"
CHANNEL = "train"
_SCRIPT = ("sagemaker_program", "sagemaker_submit_directory")


@dataclass(frozen=True, kw_only=True)
class TrainingData:
    """The data and the code of a job, by where they will lie.

    Attributes
    ----------
    uri : str
        S3 prefix of the bundle.
    sha : str
        Content hash of the bundle.
    pin : str
        The dataset pin of the run, or "none".
    code : mapping of str to str
        Model -> S3 URI of its code archive.
    """

    uri: str
    sha: str
    pin: str = "none"
    code: Mapping[str, str]


@dataclass(frozen=True, kw_only=True)
class JobIdentity:
    """What a job is, apart from how it is run.

    Attributes
    ----------
    name : str
        At most 32 characters.
    target : str
    fold : int
    objective : str
    seed : int
    n_trials : int
    commit, run_id : str
        For the tags.
    """

    name: str
    target: str
    fold: int
    objective: str
    seed: int
    n_trials: int
    commit: str
    run_id: str
    base: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)


def build_request(
    spaces: Mapping[str, SearchSpace],
    data: TrainingData,
    settings: SageMakerParameters,
    *,
    job: JobIdentity,
    instance: str | None = None,
) -> dict[str, Any]:
    """Return the arguments of `create_hyper_parameter_tuning_job`.

    Plain data from plain data: nothing is read, called or timed, so that a request can be written, checked and compared
    before anything is launched.

    Parameters
    ----------
    spaces : mapping of str to SearchSpace
        Model -> search space of the registry, narrowed or not. Several models make several definitions of one job.
    data : TrainingData
    settings : SageMakerParameters
    job : JobIdentity
        `base` holds, for each model, the parameters that are not searched.
    instance : str, optional
        Instance type; the first configured one without it.

    Returns
    -------
    dict
    """
    kind = instance or settings.instances_of(tuple(spaces))[0]
    definitions = [
        _definition(model, space, data, settings, job=job, instance=kind, several=len(spaces) > 1)
        for model, space in spaces.items()
    ]
    ranges = {model: parameter_ranges(space, grid_points=_points(settings)) for model, space in spaces.items()}
    limits: dict[str, Any] = {
        "MaxParallelTrainingJobs": min(settings.parallel, job.n_trials),
        "MaxRuntimeInSeconds": max(120, round(settings.deadline_minutes * 60)),
    }
    if settings.strategy == "Grid":
        limits["MaxNumberOfTrainingJobs"] = sum(grid_size(one) for one in ranges.values())
    else:
        limits["MaxNumberOfTrainingJobs"] = job.n_trials
    config: dict[str, Any] = {
        "Strategy": settings.strategy,
        "ResourceLimits": limits,
        "TrainingJobEarlyStoppingType": "Auto" if settings.early_stopping else "Off",
        "RandomSeed": job.seed,
    }
    if settings.strategy == "Hyperband":
        low, high = settings.hyperband
        config["StrategyConfig"] = {"HyperbandStrategyConfig": {"MinResource": low, "MaxResource": high}}
    if settings.not_improving is not None:
        criteria = {"BestObjectiveNotImproving": {"MaxNumberOfTrainingJobsNotImproving": settings.not_improving}}
        config["TuningJobCompletionCriteria"] = criteria
    request: dict[str, Any] = {"HyperParameterTuningJobName": job.name, "HyperParameterTuningJobConfig": config}
    if len(definitions) > 1:
        request["TrainingJobDefinitions"] = definitions
    else:
        config["HyperParameterTuningJobObjective"] = {"Type": "Maximize", "MetricName": METRIC}
        config["ParameterRanges"] = next(iter(ranges.values()))
        request["TrainingJobDefinition"] = definitions[0]
    parents = settings.warm_start.get(f"{job.target}/{'+'.join(spaces)}/{job.fold}", settings.warm_start.get("*", ()))
    if parents:
        request["WarmStartConfig"] = {
            "ParentHyperParameterTuningJobs": [{"HyperParameterTuningJobName": name} for name in parents],
            "WarmStartType": settings.warm_start_type,
        }
    request["Tags"] = _tags(data, settings, job)
    return request


def _definition(
    model: str,
    space: SearchSpace,
    data: TrainingData,
    settings: SageMakerParameters,
    *,
    job: JobIdentity,
    instance: str,
    several: bool,
) -> dict[str, Any]:
    searched = {dimension.name for dimension in space}
    base = {name: as_text(value) for name, value in job.base.get(model, {}).items() if name not in searched}
    if settings.strategy == "Hyperband":
        # The rounds are the resource: every trial may use all of them, the service ends those that fall behind.
        base["rounds"] = as_text(settings.hyperband[1])
    output = f"s3://{settings.bucket}/{settings.prefix}/jobs/{job.name}"
    definition: dict[str, Any] = {
        "StaticHyperParameters": {
            **base,
            "model": model,
            "target": job.target,
            "fold": str(job.fold),
            "objective": job.objective,
            "seed": str(job.seed),
            "sagemaker_program": PROGRAM,
            "sagemaker_submit_directory": data.code[model],
            "sagemaker_region": settings.region,
        },
        "AlgorithmSpecification": {
            "TrainingImage": image_uri(model, region=settings.region, instance=instance, overrides=settings.images),
            "TrainingInputMode": "File",
            "MetricDefinitions": [{"Name": METRIC, "Regex": METRIC_REGEX}],
        },
        "RoleArn": settings.role_arn,
        "InputDataConfig": [
            {
                "ChannelName": CHANNEL,
                "DataSource": {
                    "S3DataSource": {
                        "S3DataType": "S3Prefix",
                        "S3Uri": data.uri.rstrip("/") + "/",
                        "S3DataDistributionType": "FullyReplicated",
                    }
                },
                "CompressionType": "None",
            }
        ],
        "OutputDataConfig": {"S3OutputPath": output},
        "ResourceConfig": {"InstanceType": instance, "InstanceCount": 1, "VolumeSizeInGB": settings.volume_gb},
        "StoppingCondition": {"MaxRuntimeInSeconds": settings.max_runtime_seconds},
        "RetryStrategy": {"MaximumRetryAttempts": 1},
    }
    if several:
        definition["DefinitionName"] = model.replace("_", "-")
        definition["TuningObjective"] = {"Type": "Maximize", "MetricName": METRIC}
        definition["HyperParameterRanges"] = parameter_ranges(space, grid_points=_points(settings))
    if settings.spot:
        definition["EnableManagedSpotTraining"] = True
        definition["CheckpointConfig"] = {"S3Uri": f"{output}/checkpoints", "LocalPath": "/opt/ml/checkpoints"}
        definition["StoppingCondition"]["MaxWaitTimeInSeconds"] = settings.max_wait_seconds
    if settings.subnets:
        definition["VpcConfig"] = {
            "Subnets": list(settings.subnets),
            "SecurityGroupIds": list(settings.security_groups),
        }
    if settings.kms_key:
        definition["OutputDataConfig"]["KmsKeyId"] = settings.kms_key
        definition["ResourceConfig"]["VolumeKmsKeyId"] = settings.kms_key
    return definition


def definitions_of(request: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the training job definitions of a request, one or several."""
    several = request.get("TrainingJobDefinitions")
    return list(several) if several else [request["TrainingJobDefinition"]]


def ranges_of(request: Mapping[str, Any], definition: Mapping[str, Any]) -> dict[str, list[dict[str, Any]]]:
    """Return the parameter ranges that a definition is searched over."""
    own = definition.get("HyperParameterRanges") or request["HyperParameterTuningJobConfig"].get("ParameterRanges")
    return dict(own or {})


def model_of(definition: Mapping[str, Any]) -> str:
    """Return which model a definition trains."""
    return str(definition["StaticHyperParameters"]["model"])


def stepped(
    request: Mapping[str, Any],
    *,
    name: str,
    instance: str | None = None,
    images: Mapping[str, str] | None = None,
    parallel: int | None = None,
) -> dict[str, Any]:
    """Return a request with another name and, where given, another instance type or fewer jobs at a time.

    Parameters
    ----------
    request : mapping
    name : str
        Of the new attempt.
    instance : str, optional
    images : mapping, optional
        Model -> image for that instance type.
    parallel : int, optional

    Returns
    -------
    dict
        Results and checkpoints of the new attempt lie under its own name.
    """
    changed: dict[str, Any] = copy.deepcopy(dict(request))
    old = changed["HyperParameterTuningJobName"]
    changed["HyperParameterTuningJobName"] = name
    if parallel is not None:
        changed["HyperParameterTuningJobConfig"]["ResourceLimits"]["MaxParallelTrainingJobs"] = parallel
    for definition in definitions_of(changed):
        output = definition["OutputDataConfig"]
        output["S3OutputPath"] = output["S3OutputPath"].replace(f"/jobs/{old}", f"/jobs/{name}")
        if "CheckpointConfig" in definition:
            checkpoints = definition["CheckpointConfig"]
            checkpoints["S3Uri"] = checkpoints["S3Uri"].replace(f"/jobs/{old}", f"/jobs/{name}")
        if instance is not None:
            definition["ResourceConfig"]["InstanceType"] = instance
            definition["AlgorithmSpecification"]["TrainingImage"] = (images or {}).get(
                model_of(definition), definition["AlgorithmSpecification"]["TrainingImage"]
            )
    return changed


def instance_hours(request: Mapping[str, Any]) -> float:
    """Return the most instance-hours that a request can cost: every trial for its longest time, or until the deadline.

    Examples
    --------
    >>> limits = {"MaxNumberOfTrainingJobs": 50, "MaxParallelTrainingJobs": 4, "MaxRuntimeInSeconds": 7200}
    >>> definition = {"StoppingCondition": {"MaxRuntimeInSeconds": 3600}, "ResourceConfig": {"InstanceCount": 1}}
    >>> config = {"ResourceLimits": limits}
    >>> instance_hours({"HyperParameterTuningJobConfig": config, "TrainingJobDefinition": definition})
    12.0
    """
    limits = request["HyperParameterTuningJobConfig"]["ResourceLimits"]
    longest = max(
        one["StoppingCondition"]["MaxRuntimeInSeconds"] * one["ResourceConfig"]["InstanceCount"]
        for one in definitions_of(request)
    )
    every_trial = limits["MaxNumberOfTrainingJobs"] * longest
    # A trial that begins right before the end of the job may still run its time.
    until_the_end = limits["MaxParallelTrainingJobs"] * (limits["MaxRuntimeInSeconds"] + longest)
    return float(min(every_trial, until_the_end) / 3600)


def _points(settings: SageMakerParameters) -> int | None:
    return settings.grid_points if settings.strategy == "Grid" else None


def _tags(data: TrainingData, settings: SageMakerParameters, job: JobIdentity) -> list[dict[str, str]]:
    own = {
        "conviction:dataset-sha": data.sha,
        "conviction:dataset-pin": data.pin,
        "conviction:commit": job.commit,
        "conviction:run-id": job.run_id,
        "conviction:what": f"{job.target}/{job.fold}",
    }
    return [{"Key": name, "Value": _tag_value(value)} for name, value in {**settings.tags, **own}.items()]


def _tag_value(value: str) -> str:
    allowed = "".join(letter if letter.isalnum() or letter in " _.:/=+-@" else "_" for letter in value)
    return allowed[:256]
