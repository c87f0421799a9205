"""Errors of delegation, and what an answer of AWS means for what we do next.

::

    ConvictionError
    └── SageMakerError            delegated work that cannot be asked for, or did not end well
        ├── PreflightError        the request would fail; nothing was launched
        ├── CredentialsError      missing, expired or insufficient credentials
        ├── QuotaError            the account may not have as many instances
        └── EndpointError         an endpoint that did not become healthy
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, TypeVar

from conviction.errors import ConvictionError
from conviction_kedro.sources import RetryableError, RetryPolicy, SourceError

_T = TypeVar("_T")
Kind = Literal["throttled", "credentials", "quota", "capacity", "in_use", "missing", "refused", "broken"]

_KINDS: dict[str, Kind] = {
    "ThrottlingException": "throttled",
    "Throttling": "throttled",
    "TooManyRequestsException": "throttled",
    "RequestLimitExceeded": "throttled",
    "SlowDown": "throttled",
    "InternalFailure": "throttled",
    "InternalError": "throttled",
    "ServiceUnavailable": "throttled",
    "RequestTimeout": "throttled",
    "503": "throttled",
    "500": "throttled",
    "ExpiredToken": "credentials",
    "ExpiredTokenException": "credentials",
    "InvalidClientTokenId": "credentials",
    "UnrecognizedClientException": "credentials",
    "SignatureDoesNotMatch": "credentials",
    "AccessDenied": "credentials",
    "AccessDeniedException": "credentials",
    "InvalidAccessKeyId": "credentials",
    "403": "credentials",
    "ResourceLimitExceeded": "quota",
    "CapacityError": "capacity",
    "InsufficientCapacity": "capacity",
    "ResourceInUse": "in_use",
    "ResourceNotFound": "missing",
    "ResourceNotFoundException": "missing",
    "NoSuchBucket": "missing",
    "NoSuchKey": "missing",
    "404": "missing",
}


class SageMakerError(ConvictionError):
    """Delegated work that cannot be asked for, or did not end well."""


class PreflightError(SageMakerError):
    """The request would fail; nothing was launched."""


class CredentialsError(SageMakerError):
    """Missing, expired or insufficient credentials."""


class QuotaError(SageMakerError):
    """The account may not have as many instances of this kind."""


class EndpointError(SageMakerError):
    """An endpoint that did not become healthy."""


def kind_of(error: Exception) -> Kind:
    """Say what an error of botocore means.

    Examples
    --------
    >>> from botocore.exceptions import ClientError
    >>> kind_of(ClientError({"Error": {"Code": "ThrottlingException", "Message": "slow"}}, "DescribeTrainingJob"))
    'throttled'
    """
    from botocore.exceptions import (
        ClientError,
        ConnectionError,  # noqa: A004  # botocore's own
        HTTPClientError,
        NoCredentialsError,
        PartialCredentialsError,
        TokenRetrievalError,
    )

    if isinstance(error, (NoCredentialsError, PartialCredentialsError, TokenRetrievalError)):
        return "credentials"
    if isinstance(error, (ConnectionError, HTTPClientError)):
        return "throttled"
    if isinstance(error, ClientError):
        code = str(error.response.get("Error", {}).get("Code", ""))
        message = str(error.response.get("Error", {}).get("Message", ""))
        if code == "ValidationException" and "Could not find" in message:
            return "missing"
        if code == "ValidationException" and "already exists" in message:
            return "in_use"
        return _KINDS.get(code, "refused")
    return "broken"


def kind_of_reason(reason: str) -> Kind:
    """Say what the failure reason of a job means; a quota is told there, too.

    Examples
    --------
    >>> kind_of_reason("ResourceLimitExceeded: The account-level service limit ... is 0 Instances")
    'quota'
    """
    for code in ("ResourceLimitExceeded", "CapacityError", "InsufficientCapacity"):
        if code in reason:
            return _KINDS[code]
    return "broken"


def call(action: Callable[[], _T], *, name: str, policy: RetryPolicy | None = None) -> _T:
    """Call AWS: repeat what was throttled, tell what is wrong with credentials, quotas and names.

    Parameters
    ----------
    action : callable
    name : str
        What is called, for messages.
    policy : RetryPolicy, optional
        Six attempts with growing waits without it.

    Raises
    ------
    CredentialsError, QuotaError, SageMakerError
        By what the answer means; the answer itself is in the message.
    """

    def once() -> _T:
        try:
            return action()
        except ConvictionError:
            raise
        except Exception as error:
            if kind_of(error) == "throttled":
                raise RetryableError(
                    what=name, got=_answer(error), allowed="an answer", fix="run the same command again later"
                ) from error
            raise translated(error, name=name) from error

    try:
        return (policy or RetryPolicy()).call(once, name=name)
    except SourceError as error:
        raise SageMakerError(
            what=error.what,
            got=error.got,
            allowed=error.allowed,
            fix="wait and run the same command again: what was launched is found by its name and not launched twice",
        ) from error


def translated(error: Exception, *, name: str) -> SageMakerError:
    """Return the error of ours for one of botocore's."""
    kind, got = kind_of(error), _answer(error)
    if kind == "credentials":
        return CredentialsError(
            what=f"{name}: AWS does not accept the credentials",
            got=got,
            allowed="valid credentials from the standard chain with the permissions of docs/how-to/sagemaker.md",
            fix="sign in again (for instance `aws sso login`), then run the same command; nothing is launched twice",
        )
    if kind in ("quota", "capacity"):
        return QuotaError(
            what=f"{name}: the account or the region has no such instance to give",
            got=got,
            allowed="at most the quota of the account",
            fix="ask for a higher quota, or list another type in sagemaker.instances",
        )
    return SageMakerError(
        what=f"{name} was refused", got=got, allowed="an answer", fix="read the message; the request was written down"
    )


def _answer(error: Exception) -> str:
    response: dict[str, Any] = getattr(error, "response", {}) or {}
    detail = response.get("Error", {})
    return f"{detail['Code']}: {detail.get('Message', '')}" if "Code" in detail else f"{type(error).__name__}: {error}"
