"""An endpoint for the champion: deploy, wait for its health, ask it once, tear it down."""

from __future__ import annotations

import contextlib
import importlib.metadata
import json
import logging
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from conviction_kedro.sagemaker._archive import INFERENCE, Archive, library_files, packed
from conviction_kedro.sagemaker._errors import EndpointError, PreflightError, SageMakerError, kind_of
from conviction_kedro.sagemaker._images import inference_image
from conviction_kedro.sagemaker._shapes import input_shape, walk

if TYPE_CHECKING:
    from conviction.serving import ServedModel
    from conviction_kedro.sagemaker._clients import Clients
    from conviction_kedro.sagemaker._settings import SageMakerParameters

logger = logging.getLogger(__name__)
LOG_GROUP = "/aws/sagemaker/Endpoints"
VARIANT = "champion"
_PACKAGES = ("polars", "pydantic", "numpy", "scikit-learn", "lightgbm", "xgboost-cpu", "exchange-calendars", "joblib")


def model_archive(served: ServedModel) -> Archive:
    """Return what the container unpacks: the native files, the inference code, the library, what to install.

    The same model gives the same bytes.
    """
    with tempfile.TemporaryDirectory() as name:
        served.save(Path(name))
        files = {
            f"served/{path.relative_to(name).as_posix()}": path.read_bytes()
            for path in sorted(Path(name).rglob("*"))
            if path.is_file()
        }
    files[f"code/{INFERENCE}"] = (Path(__file__).parent / INFERENCE).read_bytes()
    wanted = [f"{package}=={importlib.metadata.version(package)}" for package in _PACKAGES]
    files["code/requirements.txt"] = ("\n".join(wanted) + "\n").encode()
    files |= {f"code/{path}": content for path, content in library_files().items()}
    return packed(files)


def endpoint_requests(archive: Archive, *, settings: SageMakerParameters, as_of: str = "") -> dict[str, dict[str, Any]]:
    """Return the three requests of an endpoint by operation, checked against the service's limits.

    Raises
    ------
    PreflightError
        With everything that the service would refuse.
    """
    endpoint = settings.endpoint
    name = f"{endpoint.name}-{archive.sha[:8]}"
    environment = {
        "SAGEMAKER_PROGRAM": INFERENCE,
        "SAGEMAKER_SUBMIT_DIRECTORY": "/opt/ml/model/code",
        "SAGEMAKER_REGION": settings.region,
    }
    if as_of:
        environment["CONVICTION_SERVE_AS_OF"] = as_of
    image = settings.images.get("endpoint") or inference_image(region=settings.region)
    requests: dict[str, dict[str, Any]] = {
        "CreateModel": {
            "ModelName": name,
            "ExecutionRoleArn": settings.role_arn,
            "PrimaryContainer": {
                "Image": image,
                "ModelDataUrl": f"s3://{settings.bucket}/{settings.prefix}/endpoints/{archive.sha[:16]}/model.tar.gz",
                "Environment": environment,
            },
        },
        "CreateEndpointConfig": {
            "EndpointConfigName": name,
            "ProductionVariants": [
                {
                    "VariantName": VARIANT,
                    "ModelName": name,
                    "InstanceType": endpoint.instance,
                    "InitialInstanceCount": 1,
                    # Packages are installed at the start.
                    "ContainerStartupHealthCheckTimeoutInSeconds": 600,
                }
            ],
        },
        "CreateEndpoint": {"EndpointName": endpoint.name, "EndpointConfigName": name},
    }
    problems = [
        f"{operation}.{where}: {message}"
        for operation, request in requests.items()
        for where, message in walk(input_shape(operation), request)
    ]
    if not settings.bucket:
        problems.append("no bucket; set sagemaker.bucket or CONVICTION_SAGEMAKER_BUCKET")
    if problems:
        raise PreflightError(
            what="the endpoint would be refused: nothing was created",
            got="; ".join(problems),
            allowed="requests that the service takes",
            fix="correct sagemaker.endpoint, sagemaker.role_arn or sagemaker.bucket",
        )
    return requests


def deploy(
    served: ServedModel,
    body: bytes,
    *,
    settings: SageMakerParameters,
    clients: Clients,
    as_of: str = "",
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> dict[str, Any]:
    """Deploy a served model, wait until it is healthy and ask it once; an endpoint that fails is torn down.

    Parameters
    ----------
    served : ServedModel
    body : bytes
        The request of the test invocation.
    settings : SageMakerParameters
    clients : Clients
    as_of : str
        Moment at which requests count as made, for a replay; now without it.
    clock, sleep : callable

    Returns
    -------
    dict
        `endpoint`, `model`, `seconds`, `rows` of the test answer.

    Raises
    ------
    PreflightError
        Before anything is created.
    EndpointError
        If it does not become healthy or does not answer: with the reason and the log group.
    """
    archive = model_archive(served)
    requests = endpoint_requests(archive, settings=settings, as_of=as_of)
    name, model = settings.endpoint.name, str(requests["CreateModel"]["ModelName"])
    key = f"{settings.prefix}/endpoints/{archive.sha[:16]}/model.tar.gz"
    clients("s3", "put_object", Bucket=settings.bucket, Key=key, Body=archive.content)
    started = clock()
    try:
        clients("sagemaker", "create_model", **requests["CreateModel"])
        clients("sagemaker", "create_endpoint_config", **requests["CreateEndpointConfig"])
        clients("sagemaker", "create_endpoint", **requests["CreateEndpoint"])
        _wait(name, settings=settings, clients=clients, clock=clock, sleep=sleep, started=started)
        answer = invoke(name, body, clients=clients)
    except BaseException:
        # A half-made endpoint costs money by the hour.
        with contextlib.suppress(SageMakerError):
            teardown(name, model, clients=clients)
        raise
    rows = len(answer["predictions"])
    logger.info("endpoint %s is in service and answered %d rows", name, rows)
    return {"endpoint": name, "model": model, "seconds": clock() - started, "rows": rows}


def _wait(
    name: str,
    *,
    settings: SageMakerParameters,
    clients: Clients,
    clock: Callable[[], float],
    sleep: Callable[[float], None],
    started: float,
) -> None:
    group = f"{LOG_GROUP}/{name}"
    while True:
        answer = clients("sagemaker", "describe_endpoint", EndpointName=name)
        status = answer["EndpointStatus"]
        if status == "InService":
            return
        late = clock() - started >= settings.endpoint.wait_seconds
        if status == "Failed" or late:
            raise EndpointError(
                what=f"the endpoint {name} is not healthy"
                + (f" after {settings.endpoint.wait_seconds} s" if late else ""),
                got=f"{status}: {answer.get('FailureReason', 'no reason given')}",
                allowed="InService",
                fix=f"read the container's log in the CloudWatch group {group}; the endpoint was torn down",
            )
        sleep(min(settings.poll_seconds, 15.0))


def invoke(name: str, body: bytes, *, clients: Clients) -> dict[str, Any]:
    """Ask an endpoint; return its answer.

    Raises
    ------
    EndpointError
        If it refuses, with what it says.
    """
    try:
        answer = clients("runtime", "invoke_endpoint", EndpointName=name, ContentType="application/json", Body=body)
    except SageMakerError as error:
        raise EndpointError(
            what=f"the endpoint {name} is in service and does not answer a request",
            got=error.got,
            allowed="predictions",
            fix=f"read the message, and the container's log in the CloudWatch group {LOG_GROUP}/{name}",
        ) from error
    found: dict[str, Any] = json.loads(answer["Body"].read())
    return found


def teardown(name: str, model: str | None, *, clients: Clients) -> list[str]:
    """Delete an endpoint, its configuration and its model; what is not there is passed over.

    Parameters
    ----------
    name : str
        Of the endpoint.
    model : str or None
        Of configuration and model; asked from the service without it.

    Returns
    -------
    list of str
        What was deleted.
    """
    model = model or _config_of(name, clients=clients)
    steps: list[tuple[str, Mapping[str, str]]] = [("delete_endpoint", {"EndpointName": name})]
    if model is not None:
        steps += [("delete_endpoint_config", {"EndpointConfigName": model}), ("delete_model", {"ModelName": model})]
    deleted = []
    for method, arguments in steps:
        try:
            clients("sagemaker", method, **arguments)
        except SageMakerError as error:
            if error.__cause__ is None or kind_of(error.__cause__) != "missing":  # type: ignore[arg-type]
                raise
        else:
            deleted.append(method.removeprefix("delete_"))
    return deleted


def _config_of(name: str, *, clients: Clients) -> str | None:
    try:
        found: str = clients("sagemaker", "describe_endpoint", EndpointName=name)["EndpointConfigName"]
    except SageMakerError as error:
        if error.__cause__ is None or kind_of(error.__cause__) != "missing":  # type: ignore[arg-type]
            raise
        return None
    return found
