"""What the stand-in refuses, and what goes wrong in it on purpose."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from conviction_kedro.sagemaker._shapes import input_shape, walk

DEFAULT_QUOTA = 8


@dataclass(kw_only=True)
class Faults:
    """What goes wrong on purpose.

    Parameters
    ----------
    quotas : dict
        Instance type -> training jobs at the same time; anything else has 8.
    no_capacity : set of str
        Types whose jobs are accepted and then end for lack of instances.
    throttled, s3_errors : int
        The next that many calls of the service, or of S3, are refused once each.
    expired : bool
        Whether credentials are expired.
    crashing, silent, interrupted : set of int
        Trials (by number, from 0) that crash, never print the metric, or lose their spot instance once.
    unhealthy : bool
        Whether the endpoint's container never answers its ping.
    """

    quotas: dict[str, int] = field(default_factory=dict)
    no_capacity: set[str] = field(default_factory=set)
    throttled: int = 0
    s3_errors: int = 0
    expired: bool = False
    crashing: set[int] = field(default_factory=set)
    silent: set[int] = field(default_factory=set)
    interrupted: set[int] = field(default_factory=set)
    unhealthy: bool = False


def refusal(code: str, message: str, operation: str, status: int = 400) -> Exception:
    """Return the error that boto3 would raise."""
    from botocore.exceptions import ClientError

    answer = {"Error": {"Code": code, "Message": message}, "ResponseMetadata": {"HTTPStatusCode": status}}
    error: Exception = ClientError(answer, operation)
    return error


def validated(operation: str, arguments: Mapping[str, Any]) -> None:
    """Refuse what botocore refuses, as it refuses it; then what only the service does.

    Raises
    ------
    botocore.exceptions.ParamValidationError, ClientError
    """
    from botocore.exceptions import ParamValidationError
    from botocore.validate import ParamValidator

    shape = input_shape(operation)
    report = ParamValidator().validate(arguments, shape)
    if report.has_errors():
        raise ParamValidationError(report=report.generate_report())
    problems = [f"{where}: {message}" for where, message in walk(shape, arguments)]
    if problems:
        raise refusal("ValidationException", f"{len(problems)} validation error(s): {problems[0]}", operation)
