"""The local stand-in: SageMaker, S3 and what else a launch asks, on this machine, with real processes and a real S3 server.

`--env=sagemaker-local` uses it, and so do the tests. Requests are validated by botocore's own validator first and by the
service's limits after that; trials are the real entry point from the uploaded archive; nothing is billed.
"""

from __future__ import annotations

import atexit
import json
import logging
import os
import shutil
import tempfile
import threading
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from conviction.errors import MissingExtraError
from conviction_kedro.sagemaker._clients import Clients
from conviction_kedro.sagemaker._stand_in_faults import DEFAULT_QUOTA, Faults, refusal
from conviction_kedro.sagemaker._stand_in_sagemaker import SageMakerStandIn
from conviction_kedro.sources import RetryPolicy

if TYPE_CHECKING:
    from conviction_kedro.sagemaker._settings import SageMakerParameters

FAULTS_VARIABLE = "CONVICTION_STAND_IN_FAULTS"
_LISTED = ("ml.m5.large", "ml.m5.xlarge", "ml.c5.xlarge", "ml.g4dn.xlarge")


class LocalCloud:
    """A region of its own on this machine.

    Parameters
    ----------
    bucket : str
        Made when it is not there.
    faults : Faults, optional

    Attributes
    ----------
    bucket : str
    clients : Clients
    faults : Faults
        May be changed while it runs.

    Raises
    ------
    MissingExtraError
        If moto, whose S3 server it runs, is not installed.
    """

    def __init__(self, bucket: str, *, region: str = "us-east-1", faults: Faults | None = None) -> None:
        if find_spec("moto") is None:
            raise MissingExtraError.for_extra(feature="the local stand-in of SageMaker", package="moto", extra="dev")
        import boto3
        from moto.server import ThreadedMotoServer

        # A line for every request would bury what the run says.
        logging.getLogger("werkzeug").setLevel(logging.WARNING)
        self.bucket = bucket
        self.faults = faults or Faults()
        self._server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
        self._server.start()
        host, port = self._server.get_host_and_port()
        self.endpoint = f"http://{host}:{port}"
        session = boto3.Session("stand-in", "stand-in", region_name=region)
        self._s3 = session.client("s3", endpoint_url=self.endpoint)
        place = {} if region == "us-east-1" else {"CreateBucketConfiguration": {"LocationConstraint": region}}
        self._s3.create_bucket(Bucket=bucket, **place)
        self._home = Path(tempfile.mkdtemp(prefix="conviction-stand-in-"))
        self._fetched: dict[str, Path] = {}
        self._lock = threading.Lock()
        self.sagemaker = _with_endpoints(
            SageMakerStandIn(self._home, fetch=self._fetch, put=self._put, faults=self.faults), self
        )
        self.clients = Clients(
            sagemaker=self.sagemaker,
            s3=_Faulty(self._s3, self.faults),
            runtime=self.sagemaker,
            quotas=_Quotas(self.faults),
            iam=_Iam(),
            cloudwatch=_CloudWatch(),
            policy=RetryPolicy(attempts=4, first_wait=0.02, longest_wait=0.1),
        )

    def _fetch(self, uri: str, folder: Path) -> None:
        """Bring an object or a prefix; each is read from S3 once and shared by the trials."""
        with self._lock:
            if uri not in self._fetched:
                self._fetched[uri] = self._read(uri)
        folder.parent.mkdir(parents=True, exist_ok=True)
        folder.symlink_to(self._fetched[uri], target_is_directory=True)

    def _read(self, uri: str) -> Path:
        bucket, _, prefix = uri.removeprefix("s3://").partition("/")
        home = self._home / f"s3-{len(self._fetched)}"
        listed = self._s3.list_objects_v2(Bucket=bucket, Prefix=prefix).get("Contents", [])
        if not listed:
            message = f"No S3 objects found under {uri}"
            raise FileNotFoundError(message)
        for item in listed:
            path = home / (item["Key"][len(prefix) :].lstrip("/") or Path(item["Key"]).name)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(self._s3.get_object(Bucket=bucket, Key=item["Key"])["Body"].read())
        return home

    def _put(self, uri: str, content: bytes) -> None:
        bucket, _, key = uri.removeprefix("s3://").partition("/")
        self._s3.put_object(Bucket=bucket, Key=key, Body=content)

    def read(self, uri: str) -> bytes:
        """Return an object."""
        bucket, _, key = uri.removeprefix("s3://").partition("/")
        content: bytes = self._s3.get_object(Bucket=bucket, Key=key)["Body"].read()
        return content

    def folder(self, name: str) -> Path:
        """Return a new folder of its own."""
        path = self._home / name
        path.mkdir(parents=True, exist_ok=True)
        return path

    def close(self) -> None:
        """End what runs and remove what was written."""
        self.sagemaker.close()
        self._s3.close()
        self._server.stop()
        shutil.rmtree(self._home, ignore_errors=True)


def _with_endpoints(client: SageMakerStandIn, cloud: LocalCloud) -> Any:
    from conviction_kedro.sagemaker._stand_in_endpoint import EndpointStandIn

    return EndpointStandIn(client, cloud)


class _Faulty:
    """The S3 client, some of whose calls fail."""

    def __init__(self, client: Any, faults: Faults) -> None:
        self._client, self._faults = client, faults

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._client, name)

        def called(**arguments: Any) -> Any:
            if self._faults.expired:
                raise refusal("ExpiredToken", "The provided token has expired.", name)
            if self._faults.s3_errors > 0:
                self._faults.s3_errors -= 1
                raise refusal("InternalError", "We encountered an internal error. Please try again.", name, 500)
            return method(**arguments)

        return called


class _Quotas:
    def __init__(self, faults: Faults) -> None:
        self._faults = faults

    def list_service_quotas(self, **request: Any) -> dict[str, Any]:
        """Return the quotas in two pages."""
        kinds = dict.fromkeys((*_LISTED, *self._faults.quotas))
        every = [
            {
                "QuotaName": f"{kind} for {how}training job usage",
                "Value": float(self._faults.quotas.get(kind, DEFAULT_QUOTA)),
            }
            for kind in kinds
            for how in ("", "spot ")
        ]
        first = int(request.get("NextToken", 0))
        page: dict[str, Any] = {"Quotas": every[first : first + 5]}
        if first + 5 < len(every):
            page["NextToken"] = str(first + 5)
        return page


class _Iam:
    def get_role(self, **request: Any) -> dict[str, Any]:
        """Return a role; every name is one here, but for those that say they are not."""
        if request["RoleName"].startswith("missing"):
            raise refusal("ResourceNotFound", f"The role with name {request['RoleName']} cannot be found.", "GetRole")
        return {"Role": {"RoleName": request["RoleName"]}}


class _CloudWatch:
    def describe_alarms(self, **request: Any) -> dict[str, Any]:
        """Return the alarms; every name is one here, but for those that say they are not."""
        names = [name for name in request["AlarmNames"] if not name.startswith("missing")]
        return {"MetricAlarms": [{"AlarmName": name} for name in names], "CompositeAlarms": []}


_CLOUDS: dict[str, LocalCloud] = {}


def local_cloud(settings: SageMakerParameters) -> LocalCloud:
    """Return this process's stand-in, started at the first use and ended with the process.

    Faults are read from the environment variable `CONVICTION_STAND_IN_FAULTS`, a JSON object with the fields of `Faults`.
    """
    if settings.bucket not in _CLOUDS:
        given: dict[str, Any] = json.loads(os.environ.get(FAULTS_VARIABLE, "{}"))
        sets = {"no_capacity", "crashing", "silent", "interrupted"}
        typed: dict[str, Any] = {name: set(value) if name in sets else value for name, value in given.items()}
        faults = Faults(**typed)
        cloud = _CLOUDS[settings.bucket] = LocalCloud(settings.bucket, region=settings.region, faults=faults)
        atexit.register(cloud.close)
    return _CLOUDS[settings.bucket]
