"""Requests: the pure function, the service's shape limits, and every historic failure caught before launch."""

from __future__ import annotations

import copy
import json
import re

import pytest
from botocore.validate import ParamValidator

from conviction.models import MODELS
from conviction_kedro.sagemaker import (
    IMAGES,
    JobIdentity,
    PreflightError,
    SageMakerError,
    SageMakerParameters,
    TrainingData,
    build_request,
    image_uri,
    instance_hours,
    job_name,
    parameter_ranges,
    preflight,
    require_passed,
    stepped,
)
from conviction_kedro.sagemaker._shapes import input_shape
from conviction_kedro.sagemaker._stand_in_faults import validated

ROLE = "arn:aws:iam::123456789012:role/conviction-training"
SETTINGS = SageMakerParameters(bucket="team-bucket", role_arn=ROLE)
DATA = TrainingData(
    uri="s3://team-bucket/conviction/data/0123",
    sha="ab" * 32,
    pin="s3://team-bucket/bars.parquet;version=3sL4",
    code={model: f"s3://team-bucket/conviction/code/{model}/sourcedir.tar.gz" for model in IMAGES},
)
JOB = JobIdentity(
    name="core46-rel-xgb-f3-51f38", target="relative", fold=3, objective="auc_daily", seed=7, n_trials=50,
    commit="c0ffee", run_id="2026-11-22T10.00.00.000Z",
    base={model: MODELS[model].parse(None).model_dump(mode="json", by_alias=True) for model in IMAGES},
)  # fmt: skip
OPERATION = "CreateHyperParameterTuningJob"


def request_for(*models, **settings):
    own = SageMakerParameters(**{**SETTINGS.model_dump(), **settings})
    return build_request({model: MODELS[model].search_space for model in models}, DATA, own, job=JOB)


def errors(request):
    return [check for check in preflight(request) if check.status == "error"]


CASES = [
    *[((model,), {}) for model in IMAGES],
    (("xgboost", "lightgbm", "random_forest"), {"together": True}),
    (("xgboost",), {"strategy": "Random", "early_stopping": True, "not_improving": 10}),
    (("xgboost",), {"strategy": "Hyperband"}),
    (("random_forest",), {"strategy": "Grid", "grid_points": 2}),
    (("xgboost",), {"spot": True}),
    (("xgboost",), {"warm_start": {"*": ("core46-rel-xgb-f3-00000",)}}),
    (("gru",), {"instances_by_model": {"gru": ("ml.g4dn.xlarge",)}}),
    (("xgboost",), {"subnets": ("subnet-1",), "security_groups": ("sg-1",), "kms_key": "alias/team"}),
]


@pytest.mark.parametrize(("models", "settings"), CASES, ids=str)
def test_requests_pass_botocore_and_the_service_and_every_rule(models, settings):
    request = request_for(*models, **settings)
    validated(OPERATION, request)
    assert errors(request) == []
    json.dumps(request)


def test_the_request_is_a_pure_function():
    first, again = request_for("xgboost"), request_for("xgboost")
    assert first == again
    tags = {tag["Key"]: tag["Value"] for tag in first["Tags"]}
    assert tags["conviction:dataset-sha"] == "ab" * 32
    assert tags["conviction:commit"] == "c0ffee"
    assert tags["conviction:run-id"] == JOB.run_id
    assert tags["conviction:dataset-pin"].startswith("s3://team-bucket/bars.parquet")


def test_the_space_is_the_one_of_the_mission():
    """The oracle is the written-down search space of XGBoost, not our table."""
    ranges = parameter_ranges(MODELS["xgboost"].search_space)
    integers = {one["Name"]: (one["MinValue"], one["MaxValue"]) for one in ranges["IntegerParameterRanges"]}
    floats = {
        one["Name"]: (float(one["MinValue"]), float(one["MaxValue"])) for one in ranges["ContinuousParameterRanges"]
    }
    assert integers == {"max_depth": ("3", "10"), "min_child_weight": ("1", "10")}
    assert floats == {
        "eta": (0.01, 0.3), "subsample": (0.5, 1), "colsample_bytree": (0.5, 1), "gamma": (0, 10), "alpha": (0, 10),
        "lambda": (0, 10),
    }  # fmt: skip
    assert all("Type" not in one for family in ranges.values() for one in family)


def definition(request):
    return request["TrainingJobDefinition"]


def config(request):
    return request["HyperParameterTuningJobConfig"]


def lightgbm_ranges(request):
    config(request)["ParameterRanges"] = parameter_ranges(MODELS["lightgbm"].search_space)


def drop(*path):
    def change(request):
        for part in path[:-1]:
            request = request[part]
        del request[path[-1]]

    return change


def put(value, *path):
    def change(request):
        for part in path[:-1]:
            request = request[part]
        request[path[-1]] = value

    return change


STATIC = ("TrainingJobDefinition", "StaticHyperParameters")
ALGORITHM = ("TrainingJobDefinition", "AlgorithmSpecification")
RANGES = ("HyperParameterTuningJobConfig", "ParameterRanges")
LIMITS = ("HyperParameterTuningJobConfig", "ResourceLimits")
#: Each failure that cost somebody a launch, or would, and what preflight says of it.
BAD = {
    "algorithm mode instead of script mode": (drop(*STATIC, "sagemaker_program"), "algorithm mode"),
    "no code archive": (drop(*STATIC, "sagemaker_submit_directory"), "algorithm mode"),
    "the algorithm image": (
        put("811284229777.dkr.ecr.us-east-1.amazonaws.com/xgboost:latest", *ALGORITHM, "TrainingImage"),
        "algorithm image",
    ),
    "LightGBM ranges sent to XGBoost": (lightgbm_ranges, "num_leaves is no parameter that xgboost is searched over"),
    "a Type field in a range": (put("Integer", *RANGES, "IntegerParameterRanges", 0, "Type"), "unknown field"),
    "no metric definition": (drop(*ALGORITHM, "MetricDefinitions"), "has no metric definition"),
    "a metric of another name": (
        put("validation:logloss", *ALGORITHM, "MetricDefinitions", 0, "Name"),
        "has no metric definition",
    ),
    "a regex that does not match": (
        put("auc: ([0-9.]+)", *ALGORITHM, "MetricDefinitions", 0, "Regex"),
        "does not find what the entry point prints",
    ),
    "a regex without exponent": (
        put("validation:auc=([0-9.]+)", *ALGORITHM, "MetricDefinitions", 0, "Regex"),
        "does not find what the entry point prints",
    ),
    "a broken regex": (put("auc=([0-9", *ALGORITHM, "MetricDefinitions", 0, "Regex"), "is broken"),
    "no objective": (drop("HyperParameterTuningJobConfig", "HyperParameterTuningJobObjective"), "no objective"),
    "a job name over 32 characters": (put("x" * 33, "HyperParameterTuningJobName"), "33 characters"),
    "bad characters in the name": (put("under_score", "HyperParameterTuningJobName"), "no name of a tuning job"),
    "an unknown strategy": (put("Clever", "HyperParameterTuningJobConfig", "Strategy"), "one of Bayesian"),
    "an unknown instance type": (
        put("ml.m5.huge", "TrainingJobDefinition", "ResourceConfig", "InstanceType"),
        "'ml.m5.huge', one of",
    ),
    "a role that is none": (put("conviction-role-by-its-name", "TrainingJobDefinition", "RoleArn"), "no ARN of a role"),
    "no role": (put("", "TrainingJobDefinition", "RoleArn"), "at least 20"),
    "no bucket": (
        put(
            "s3:///conviction/data",
            "TrainingJobDefinition",
            "InputDataConfig",
            0,
            "DataSource",
            "S3DataSource",
            "S3Uri",
        ),
        "set sagemaker.bucket",
    ),
    "a channel that the script does not read": (
        put("data", "TrainingJobDefinition", "InputDataConfig", 0, "ChannelName"),
        "no channel named train",
    ),
    "a float for a whole number": (
        put("3.5", *RANGES, "IntegerParameterRanges", 0, "MinValue"),
        "no range of whole numbers",
    ),
    "a whole number searched continuously": (
        lambda request: config(request)["ParameterRanges"]["ContinuousParameterRanges"].append(
            config(request)["ParameterRanges"]["IntegerParameterRanges"].pop(0)
        ),
        "takes whole numbers",
    ),
    "an empty range": (put("11", *RANGES, "IntegerParameterRanges", 0, "MinValue"), "is empty"),
    "a logarithmic range from zero": (
        put("Logarithmic", *RANGES, "ContinuousParameterRanges", 3, "ScalingType"),
        "a logarithmic range cannot begin at 0",
    ),
    "static and tuned at once": (put("0.1", *STATIC, "eta"), "eta is static and tuned at once"),
    "a number instead of text": (put(7, *STATIC, "seed"), "is a int where the service wants a string"),
    "more jobs at a time than jobs": (put(51, *LIMITS, "MaxParallelTrainingJobs"), "51 jobs at a time of 50"),
    "more trials than a job may have": (put(751, *LIMITS, "MaxNumberOfTrainingJobs"), "at most 750"),
    "over a hundred parameters": (
        lambda request: definition(request)["StaticHyperParameters"].update({f"p{i}": "1" for i in range(90)}),
        "hyper-parameters in all, at most 100",
    ),
    "a grid of ranges": (put("Grid", "HyperParameterTuningJobConfig", "Strategy"), "categorical ranges only"),
    "Hyperband with early stopping": (
        lambda request: config(request).update(Strategy="Hyperband", TrainingJobEarlyStoppingType="Auto"),
        "early stopping must be off",
    ),
    "spot without checkpoints": (
        put(True, "TrainingJobDefinition", "EnableManagedSpotTraining"),
        "spot without checkpoints",
    ),
    "a missing field": (drop("TrainingJobDefinition", "OutputDataConfig"), "missing"),
}


@pytest.mark.parametrize("name", BAD)
def test_what_would_fail_is_found_before_the_launch(name):
    change, words = BAD[name]
    request = copy.deepcopy(request_for("xgboost"))
    change(request)
    found = errors(request)
    assert any(words in f"{check.where}: {check.message}" for check in found), [check.message for check in found]
    with pytest.raises(PreflightError, match="nothing was launched"):
        require_passed(preflight(request), job="relative/xgboost/3")


def test_botocore_alone_would_let_most_of_them_through():
    """Why preflight exists: the client's own validation sees unknown fields and wrong types, and little else."""
    through = 0
    for change, _ in BAD.values():
        request = copy.deepcopy(request_for("xgboost"))
        change(request)
        through += not ParamValidator().validate(request, input_shape(OPERATION)).has_errors()
    assert through > 20


def test_several_definitions_need_their_own_ranges():
    request = request_for("xgboost", "lightgbm", together=True)
    config(request)["ParameterRanges"] = {}
    request["TrainingJobDefinitions"][1]["DefinitionName"] = "xgboost"
    messages = " ".join(check.message for check in errors(request))
    assert "ranges and objective stand in the definitions" in messages
    assert "each needs a name of its own" in messages


def test_a_step_down_changes_type_image_paths_and_name_alone():
    request = request_for("gru", instances_by_model={"gru": ("ml.g4dn.xlarge",)}, spot=True)
    assert "gpu" in definition(request)["AlgorithmSpecification"]["TrainingImage"]
    cpu = image_uri("gru", region="us-east-1", instance="ml.m5.xlarge")
    after = stepped(request, name="second", instance="ml.m5.xlarge", images={"gru": cpu}, parallel=2)
    assert errors(after) == []
    text, old = json.dumps(after), json.dumps(request)
    assert JOB.name not in text.replace(JOB.run_id, "")
    back = text.replace("second", JOB.name).replace("ml.m5.xlarge", "ml.g4dn.xlarge")
    back = back.replace(cpu, definition(request)["AlgorithmSpecification"]["TrainingImage"])
    assert back.replace('"MaxParallelTrainingJobs": 2', '"MaxParallelTrainingJobs": 4') == old


def test_instance_hours_are_an_upper_bound_by_trials_and_by_the_deadline():
    assert instance_hours(request_for("xgboost", max_runtime_seconds=3600, deadline_minutes=100_000)) == 50
    assert instance_hours(request_for("xgboost", max_runtime_seconds=3600, deadline_minutes=60, parallel=4)) == 8


@pytest.mark.parametrize("universe", ["aapl", "core46", "a-universe-with-a-very-long-name-indeed", "ünï_cöde", "_"])
@pytest.mark.parametrize("models", [("xgboost",), ("random_forest",), ("xgboost", "lightgbm", "random_forest")])
def test_names_are_short_plain_and_say_what_they_are(universe, models):
    names = {
        job_name(universe=universe, target=target, models=models, fold=fold, nonce=nonce)
        for target in ("direction", "relative")
        for fold in (-1, 0, 12)
        for nonce in ("a", "b")
    }
    assert len(names) == 12, "names must tell jobs apart"
    for name in names:
        assert re.fullmatch(r"[a-zA-Z0-9](-*[a-zA-Z0-9]){0,31}", name)
        assert len(name) <= 30, "the second attempt needs two more characters"
        assert "-rel-" in name or "-dir-" in name


def test_images_by_region_with_override():
    assert image_uri("lightgbm", region="eu-central-1").startswith("492215442770.dkr.ecr.eu-central-1.amazonaws.com/")
    assert image_uri("xgboost", region="cn-north-1").split("/")[0].endswith(".amazonaws.com.cn")
    assert image_uri("xgboost", region="us-east-1", overrides={"xgboost": "mine:1"}) == "mine:1"
    with pytest.raises(SageMakerError, match=r"logistic.*engine=local"):
        image_uri("logistic", region="us-east-1")
    with pytest.raises(SageMakerError, match="moon-1"):
        image_uri("xgboost", region="moon-1")
