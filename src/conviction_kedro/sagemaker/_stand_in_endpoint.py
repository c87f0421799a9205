"""Endpoints of the stand-in: the served model's own code behind a real HTTP server on this machine."""

from __future__ import annotations

import os
import subprocess
import sys
import urllib.error
import urllib.request
from typing import TYPE_CHECKING, Any

from conviction_kedro.sagemaker._stand_in_faults import refusal
from conviction_kedro.sagemaker._stand_in_sagemaker import SageMakerStandIn
from conviction_kedro.sagemaker._stand_in_trial import tar_members

if TYPE_CHECKING:
    from conviction_kedro.sagemaker._stand_in import LocalCloud


class EndpointStandIn:
    """Adds models and endpoints to the stand-in's client."""

    def __init__(self, tuning: SageMakerStandIn, cloud: LocalCloud) -> None:
        self._tuning, self._cloud = tuning, cloud
        self._models: dict[str, dict[str, Any]] = {}
        self._configs: dict[str, dict[str, Any]] = {}
        self._endpoints: dict[str, dict[str, Any]] = {}

    def __getattr__(self, name: str) -> Any:
        return getattr(self._tuning, name)

    def create_model(self, **request: Any) -> dict[str, Any]:
        """Register a model."""
        self._enter("CreateModel", request)
        if request["ModelName"] in self._models:
            raise refusal("ValidationException", "Cannot create already existing model", "CreateModel")
        self._models[request["ModelName"]] = request
        return {"ModelArn": f"arn:aws:sagemaker:us-east-1:000000000000:model/{request['ModelName']}"}

    def create_endpoint_config(self, **request: Any) -> dict[str, Any]:
        """Register a configuration."""
        self._enter("CreateEndpointConfig", request)
        if request["EndpointConfigName"] in self._configs:
            raise refusal("ValidationException", "Cannot create already existing config", "CreateEndpointConfig")
        self._configs[request["EndpointConfigName"]] = request
        return {"EndpointConfigArn": "arn:aws:sagemaker:us-east-1:000000000000:endpoint-config/x"}

    def create_endpoint(self, **request: Any) -> dict[str, Any]:
        """Start the container of a configuration's model."""
        self._enter("CreateEndpoint", request)
        name = request["EndpointName"]
        if name in self._endpoints:
            raise refusal("ValidationException", f"Cannot create already existing endpoint {name}", "CreateEndpoint")
        variant = self._configs[request["EndpointConfigName"]]["ProductionVariants"][0]
        container = self._models[variant["ModelName"]]["PrimaryContainer"]
        home = self._cloud.folder(f"endpoint-{name}")
        for file, content in tar_members(self._cloud.read(container["ModelDataUrl"])).items():
            path = home / file
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        environment = dict(container.get("Environment", {}))
        program = home / "code" / environment.get("SAGEMAKER_PROGRAM", "inference.py")
        self._endpoints[name] = {
            "status": "Creating",
            "process": None,
            "port": None,
            "config": request["EndpointConfigName"],
        }
        if self._tuning.faults.unhealthy or not program.exists():
            return {"EndpointArn": "arn:aws:sagemaker:us-east-1:000000000000:endpoint/x"}
        process = subprocess.Popen(
            [sys.executable, str(program), "--serve", str(home)],
            cwd=program.parent,
            env={**os.environ, **environment, "PYTHONPATH": str(program.parent)},
            stdout=subprocess.PIPE,
            text=True,
        )
        # The program prints the port that it got.
        line = process.stdout.readline() if process.stdout is not None else ""
        self._endpoints[name] |= {"process": process, "port": line.strip()}
        return {"EndpointArn": "arn:aws:sagemaker:us-east-1:000000000000:endpoint/x"}

    def describe_endpoint(self, **request: Any) -> dict[str, Any]:
        """Return the status: in service as soon as /ping is answered."""
        self._enter("DescribeEndpoint", request)
        name = request["EndpointName"]
        if name not in self._endpoints:
            raise refusal("ValidationException", f'Could not find endpoint "{name}".', "DescribeEndpoint")
        endpoint = self._endpoints[name]
        endpoint["asked"] = endpoint.get("asked", 0) + 1
        if endpoint["status"] == "Creating":
            if self._ping(endpoint):
                endpoint["status"] = "InService"
            elif endpoint["asked"] > 3:
                endpoint["status"] = "Failed"
        answer = {
            "EndpointName": name,
            "EndpointStatus": endpoint["status"],
            "EndpointConfigName": endpoint["config"],
        }
        if endpoint["status"] == "Failed":
            answer["FailureReason"] = (
                "The primary container for production variant champion did not pass the ping health check. Please check "
                "CloudWatch logs for this endpoint."
            )
        return answer

    def invoke_endpoint(self, **request: Any) -> dict[str, Any]:
        """Ask the endpoint."""
        endpoint = self._endpoints[request["EndpointName"]]
        address = f"http://127.0.0.1:{endpoint['port']}/invocations"
        asked = urllib.request.Request(address, data=request["Body"], headers={"Content-Type": request["ContentType"]})
        try:
            with urllib.request.urlopen(asked, timeout=60) as answer:  # noqa: S310
                return {"Body": _Body(answer.read()), "ContentType": answer.headers["Content-Type"]}
        except urllib.error.HTTPError as error:
            message = f"Received client error ({error.code}) from primary: {error.read().decode()}"
            raise refusal("ModelError", message, "InvokeEndpoint", error.code) from error

    def delete_endpoint(self, **request: Any) -> dict[str, Any]:
        """End the container."""
        self._enter("DeleteEndpoint", request)
        endpoint = self._endpoints.pop(request["EndpointName"], None)
        if endpoint is None:
            raise refusal("ValidationException", "Could not find endpoint", "DeleteEndpoint")
        self._end(endpoint)
        return {}

    def delete_endpoint_config(self, **request: Any) -> dict[str, Any]:
        """Forget a configuration."""
        self._enter("DeleteEndpointConfig", request)
        if self._configs.pop(request["EndpointConfigName"], None) is None:
            raise refusal("ValidationException", "Could not find endpoint configuration", "DeleteEndpointConfig")
        return {}

    def delete_model(self, **request: Any) -> dict[str, Any]:
        """Forget a model."""
        self._enter("DeleteModel", request)
        if self._models.pop(request["ModelName"], None) is None:
            raise refusal("ValidationException", "Could not find model", "DeleteModel")
        return {}

    def close(self) -> None:
        """End every container and every trial."""
        for endpoint in self._endpoints.values():
            self._end(endpoint)
        self._tuning.close()

    def _enter(self, operation: str, request: dict[str, Any]) -> None:
        self._tuning._enter(operation, request)  # one client in two parts

    def _ping(self, endpoint: dict[str, Any]) -> bool:
        if not endpoint["port"]:
            return False
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{endpoint['port']}/ping", timeout=5) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False

    @staticmethod
    def _end(endpoint: dict[str, Any]) -> None:
        process = endpoint["process"]
        if process is not None:
            process.kill()
            process.wait()
            if process.stdout is not None:
                process.stdout.close()


class _Body:
    def __init__(self, content: bytes) -> None:
        self._content = content

    def read(self) -> bytes:
        """Return the content."""
        return self._content
