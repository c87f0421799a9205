"""The clients of AWS that delegation uses, from the standard credential chain; nothing of an account is kept here."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from conviction_kedro.sagemaker._errors import call

if TYPE_CHECKING:
    from conviction_kedro.sagemaker._settings import SageMakerParameters
    from conviction_kedro.sources import RetryPolicy

Engine = Literal["local", "dask", "sagemaker", "sagemaker-local"]
DELEGATED: tuple[Engine, ...] = ("sagemaker", "sagemaker-local")


@dataclass(frozen=True)
class Clients:
    """Clients with the methods of boto3's.

    Attributes
    ----------
    sagemaker, s3, runtime, quotas, iam, cloudwatch : object
    policy : RetryPolicy or None
        How often throttled calls are repeated; the default policy when None.
    """

    sagemaker: Any
    s3: Any
    runtime: Any
    quotas: Any
    iam: Any
    cloudwatch: Any
    policy: RetryPolicy | None = None

    def __call__(self, client: str, method: str, **arguments: Any) -> Any:
        """Call a method of a client; throttling is repeated, everything else told (see `call`)."""
        bound = getattr(getattr(self, client), method)
        return call(lambda: bound(**arguments), name=f"{client}.{method}", policy=self.policy)


def aws_clients(region: str) -> Clients:
    """Return boto3's clients for a region, with the credentials that the standard chain finds."""
    import boto3
    from botocore.config import Config

    session = boto3.Session(region_name=region)
    config = Config(retries={"mode": "standard", "max_attempts": 3}, user_agent_extra="conviction-kedro")

    def make(service: str) -> Any:
        return session.client(service, config=config)

    return Clients(
        sagemaker=make("sagemaker"),
        s3=make("s3"),
        runtime=make("sagemaker-runtime"),
        quotas=make("service-quotas"),
        iam=make("iam"),
        cloudwatch=make("cloudwatch"),
    )


def open_clients(settings: SageMakerParameters, *, engine: str) -> Clients:
    """Return the clients of an engine: AWS, or the stand-in on this machine."""
    if engine == "sagemaker-local":
        from conviction_kedro.sagemaker._stand_in import local_cloud

        return local_cloud(settings).clients
    return aws_clients(settings.region)
