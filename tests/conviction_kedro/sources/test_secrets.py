"""Secrets come from three places and go nowhere but into the client that needs them."""

from __future__ import annotations

import copy
import json
import pickle

import boto3
import pytest

from conviction.errors import ParameterError
from conviction_kedro.sources import Secret, Storage, resolve_credentials, resolve_secret

VALUE = "S3CR3T" + "VALUE"


@pytest.mark.parametrize(
    "show", [str, repr, "{}".format, "{0!r}".format, "{:>20}".format, lambda s: f"{[s]} { ({'k': s}) }"]
)
def test_a_secret_never_shows(show):
    assert VALUE not in show(Secret(VALUE))


def test_a_secret_is_equal_to_itself_and_does_not_travel():
    secret = Secret(VALUE)
    assert secret == Secret(VALUE)
    assert secret != VALUE
    assert len({secret, Secret(VALUE), Secret("other")}) == 2
    assert not Secret("")
    for leave in (pickle.dumps, copy.deepcopy):
        with pytest.raises(TypeError, match="not written to disk"):
            leave(secret)
    with pytest.raises(AttributeError):
        secret.__dict__  # noqa: B018


def test_references_to_the_environment_are_followed_at_any_depth():
    given = {
        "key": "env:K",
        "client_kwargs": {"aws_session_token": "env:K", "verify": False},
        "anon": None,
        "secret": "plain",
    }
    assert resolve_credentials(given, environ={"K": VALUE}) == {
        "key": VALUE,
        "client_kwargs": {"aws_session_token": VALUE, "verify": False},
        "anon": None,
        "secret": "plain",
    }
    assert given["key"] == "env:K", "the caller's credentials were changed"


@pytest.mark.parametrize("environ", [{}, {"K": ""}])
def test_a_variable_that_is_not_set_is_named(environ):
    with pytest.raises(ParameterError, match="environment variable K: got a variable that is unset"):
        resolve_secret("env:K", environ=environ)


@pytest.fixture
def manager(s3, s3_server, monkeypatch):
    for name, value in {
        "ENDPOINT_URL": s3_server,
        "DEFAULT_REGION": "us-east-1",
        "ACCESS_KEY_ID": "x",
        "SECRET_ACCESS_KEY": "y",
    }.items():
        monkeypatch.setenv(f"AWS_{name}", value)
    client = boto3.client("secretsmanager")
    client.create_secret(Name="prod/massive", SecretString=json.dumps({"api_key": VALUE, "id": 7}))
    client.create_secret(Name="prod/fred", SecretString=VALUE)
    client.create_secret(Name="prod/binary", SecretBinary=VALUE.encode())
    yield client
    client.close()


def test_references_to_a_secrets_manager_are_followed(manager):
    assert resolve_secret("secretsmanager:prod/massive#api_key").reveal() == VALUE
    assert resolve_secret("secretsmanager:prod/massive#id").reveal() == "7"
    assert resolve_secret("secretsmanager:prod/fred").reveal() == VALUE
    assert resolve_secret("secretsmanager:prod/binary").reveal() == VALUE


@pytest.mark.parametrize(
    ("reference", "message"),
    [
        ("secretsmanager:prod/none", "did not give the secret 'prod/none': got ResourceNotFoundException"),
        ("secretsmanager:prod/massive#password", r"has no key 'password': got keys \['api_key', 'id'\]"),
        ("secretsmanager:prod/fred#api_key", "has no key 'api_key': got a secret that is no JSON object"),
    ],
)
def test_a_secret_that_is_not_there_is_named_without_its_value(manager, reference, message):
    with pytest.raises(ParameterError, match=message) as caught:
        resolve_secret(reference)
    assert VALUE not in str(caught.value) + repr(caught.value.__cause__)


def test_a_place_resolves_its_references_only_when_it_is_opened(s3, s3_server, monkeypatch):
    place = Storage(
        "s3://ours/x", {"key": "env:OUR_KEY", "secret": "env:OUR_SECRET", "client_kwargs": {"endpoint_url": s3_server}}
    )
    with pytest.raises(ParameterError, match="OUR_KEY"):
        place.exists("a")
    monkeypatch.setenv("OUR_KEY", "k")
    monkeypatch.setenv("OUR_SECRET", VALUE)
    place.write("a", b"1")
    assert place.read("a") == b"1"
    assert VALUE not in repr(place)
