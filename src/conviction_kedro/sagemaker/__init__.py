"""Delegated tuning and serving: requests as plain data, checked before anything is launched, on AWS or on a stand-in here."""

from conviction_kedro.sagemaker._archive import Archive, code_archive, packed
from conviction_kedro.sagemaker._bundle import Bundle, csv_bundle, training_bundle
from conviction_kedro.sagemaker._clients import DELEGATED, Clients, aws_clients, open_clients
from conviction_kedro.sagemaker._collect import Delegated, analyse, analysis_text, collect, list_trials, trial_table
from conviction_kedro.sagemaker._endpoint import deploy, endpoint_requests, invoke, model_archive, teardown
from conviction_kedro.sagemaker._errors import (
    CredentialsError,
    EndpointError,
    PreflightError,
    QuotaError,
    SageMakerError,
    kind_of,
)
from conviction_kedro.sagemaker._images import IMAGES, image_uri, inference_image
from conviction_kedro.sagemaker._launch import describe, launch_plan, online_checks, training_quotas, upload
from conviction_kedro.sagemaker._monitor import Watch, stop_job, watch_jobs
from conviction_kedro.sagemaker._names import job_name
from conviction_kedro.sagemaker._plan import RunIdentity, Upload, make_upload, plan_jobs, plan_text
from conviction_kedro.sagemaker._preflight import Check, preflight, require_passed
from conviction_kedro.sagemaker._request import JobIdentity, TrainingData, build_request, instance_hours, stepped
from conviction_kedro.sagemaker._settings import EndpointParameters, SageMakerParameters
from conviction_kedro.sagemaker._space import parameter_ranges

__all__ = [
    "DELEGATED",
    "IMAGES",
    "Archive",
    "Bundle",
    "Check",
    "Clients",
    "CredentialsError",
    "Delegated",
    "EndpointError",
    "EndpointParameters",
    "JobIdentity",
    "PreflightError",
    "QuotaError",
    "RunIdentity",
    "SageMakerError",
    "SageMakerParameters",
    "TrainingData",
    "Upload",
    "Watch",
    "analyse",
    "analysis_text",
    "aws_clients",
    "build_request",
    "code_archive",
    "collect",
    "csv_bundle",
    "deploy",
    "describe",
    "endpoint_requests",
    "image_uri",
    "inference_image",
    "instance_hours",
    "invoke",
    "job_name",
    "kind_of",
    "launch_plan",
    "list_trials",
    "make_upload",
    "model_archive",
    "online_checks",
    "open_clients",
    "packed",
    "parameter_ranges",
    "plan_jobs",
    "plan_text",
    "preflight",
    "require_passed",
    "stepped",
    "stop_job",
    "teardown",
    "training_bundle",
    "training_quotas",
    "trial_table",
    "upload",
    "watch_jobs",
]
