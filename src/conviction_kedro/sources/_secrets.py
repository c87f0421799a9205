"""Secrets: taken from Kedro credentials, the environment or a secrets manager, and never shown."""

from __future__ import annotations

import json
import os
import re
from typing import TYPE_CHECKING, Any, NoReturn

from conviction.errors import ParameterError

if TYPE_CHECKING:
    from collections.abc import Mapping

MASK = "**********"
_SECRETS_MANAGER = re.compile(r"secretsmanager:(?P<name>[^#]+)(?:#(?P<key>.+))?")
_ENVIRONMENT = re.compile(r"env:(?P<name>[A-Za-z_][A-Za-z0-9_]*)")


class Secret:
    """A value that never prints, formats, pickles or compares by accident.

    Parameters
    ----------
    value : str
        The secret itself; only `reveal` gives it back.

    Examples
    --------
    >>> key = Secret("abc")
    >>> f"{key} {key!r} {[key]}"
    '********** Secret(**********) [Secret(**********)]'
    >>> key.reveal()
    'abc'
    """

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        """Return the value, for the one call that needs it."""
        return self._value

    def __repr__(self) -> str:
        return f"Secret({MASK})"

    def __str__(self) -> str:
        return MASK

    def __format__(self, spec: str) -> str:
        return format(MASK, spec)

    def __bool__(self) -> bool:
        return bool(self._value)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and other._value == self._value

    def __hash__(self) -> int:
        return hash((Secret, self._value))

    def __reduce__(self) -> NoReturn:
        message = "a Secret is not written to disk or sent to another process; pass its reference instead"
        raise TypeError(message)


def resolve_secret(value: str | Secret, *, environ: Mapping[str, str] | None = None) -> Secret:
    """Return the secret that a value of the credentials stands for.

    Parameters
    ----------
    value : str or Secret
        ``env:NAME`` for an environment variable, ``secretsmanager:NAME`` or ``secretsmanager:NAME#key`` for a secret of
        the AWS secrets manager (whole, or one key of its JSON), anything else is the secret itself.
    environ : mapping, optional
        The environment; the process's own by default.

    Returns
    -------
    Secret

    Raises
    ------
    ParameterError
        If the variable, the secret or its key does not exist. The message holds names, never values.

    Examples
    --------
    >>> resolve_secret("env:MY_KEY", environ={"MY_KEY": "abc"}).reveal()
    'abc'
    """
    if isinstance(value, Secret):
        return value
    if match := _ENVIRONMENT.fullmatch(value):
        found = (os.environ if environ is None else environ).get(match["name"])
        if not found:
            raise ParameterError(
                what=f"credentials refer to the environment variable {match['name']}",
                got="a variable that is unset or empty",
                allowed="a variable with the secret as its value",
                fix=f"export {match['name']}, or give the value in conf/local/credentials.yml",
            )
        return Secret(found)
    if match := _SECRETS_MANAGER.fullmatch(value):
        return Secret(_from_secrets_manager(match["name"], match["key"]))
    return Secret(value)


def resolve_credentials(credentials: Mapping[str, Any], *, environ: Mapping[str, str] | None = None) -> dict[str, Any]:
    """Return credentials with every reference replaced by its value, at any depth.

    Parameters
    ----------
    credentials : mapping
        A credentials entry of Kedro.
    environ : mapping, optional
        The environment; the process's own by default.

    Returns
    -------
    dict
        Plain values, for the client that needs them; never log it.

    Examples
    --------
    >>> resolve_credentials({"key": "env:K", "client_kwargs": {"region_name": "x"}}, environ={"K": "abc"})
    {'key': 'abc', 'client_kwargs': {'region_name': 'x'}}
    """
    resolved: dict[str, Any] = {}
    for name, value in credentials.items():
        if isinstance(value, (str, Secret)):
            resolved[name] = resolve_secret(value, environ=environ).reveal()
        elif isinstance(value, dict):
            resolved[name] = resolve_credentials(value, environ=environ)
        else:
            resolved[name] = value
    return resolved


def _from_secrets_manager(name: str, key: str | None) -> str:
    import boto3
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        answer = boto3.client("secretsmanager").get_secret_value(SecretId=name)
    except (BotoCoreError, ClientError) as error:
        # The client's text may quote the request; its class and code are enough to act on.
        code = getattr(error, "response", {}).get("Error", {}).get("Code", type(error).__name__)
        raise ParameterError(
            what=f"the secrets manager did not give the secret {name!r}",
            got=code,
            allowed="a secret that this account may read, in the region of AWS_DEFAULT_REGION",
            fix=f"check the name with `aws secretsmanager describe-secret --secret-id {name}` and the role's permissions",
        ) from None
    text = answer.get("SecretString")
    if text is None:
        text = answer["SecretBinary"].decode()
    if key is None:
        return str(text)
    return _key_of(name, key, text)


def _key_of(name: str, key: str, text: str) -> str:
    try:
        content = json.loads(text)
    except json.JSONDecodeError:
        content = None
    if not isinstance(content, dict) or key not in content:
        raise ParameterError(
            what=f"the secret {name!r} has no key {key!r}",
            got=f"keys {sorted(content)}" if isinstance(content, dict) else "a secret that is no JSON object",
            allowed="a JSON object with that key",
            fix=f"refer to one of its keys, or to the whole secret as secretsmanager:{name}",
        ) from None
    return str(content[key])
