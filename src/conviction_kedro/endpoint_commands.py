"""`kedro endpoint deploy` and `kedro endpoint delete`: the champion behind an endpoint of SageMaker."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from conviction.errors import ParameterError
from conviction_kedro.console import readable_errors
from conviction_kedro.endpoint import endpoint

__all__ = ["endpoint"]
_ENV = click.option("--env", "-e", default="sagemaker", show_default=True, help="Environment, conf/<env>.")


@endpoint.command(name="deploy")
@_ENV
@click.option(
    "--request",
    "path",
    default=None,
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Body of the test invocation; without it the one that `kedro run --pipeline=inference` saved.",
)
@click.option(
    "--as-of", default="", metavar="MOMENT", help="Replay a past day: the moment at which requests count as made."
)
def deploy(env: str, path: Path | None, as_of: str) -> None:
    """Deploy the champion, wait until it is healthy, ask it once; after any failure it is torn down."""
    from conviction_kedro.parameters import validate_parameters
    from conviction_kedro.sagemaker import deploy as deploy_served
    from conviction_kedro.sagemaker import open_clients
    from conviction_kedro.sagemaker_commands import project_context

    with readable_errors(), project_context(env) as context:
        parameters = validate_parameters(context.params)
        served, version = _champion(context)
        body = path.read_bytes() if path else _saved_body(context)
        clients = open_clients(parameters.sagemaker, engine=parameters.engine)
        made = deploy_served(served, body, settings=parameters.sagemaker, clients=clients, as_of=as_of)
    click.echo(
        f"IN SERVICE  {made['endpoint']}: version {version} after {made['seconds']:.0f} s; its test invocation answered "
        f"{made['rows']} rows. It costs money until `kedro endpoint delete --env={env}`."
    )


@endpoint.command(name="delete")
@_ENV
def delete(env: str) -> None:
    """Tear the endpoint down: endpoint, configuration and model."""
    from conviction_kedro.parameters import validate_parameters
    from conviction_kedro.sagemaker import open_clients, teardown
    from conviction_kedro.sagemaker_commands import project_context

    with readable_errors(), project_context(env) as context:
        parameters = validate_parameters(context.params)
        settings = parameters.sagemaker
        clients = open_clients(settings, engine=parameters.engine)
        deleted = teardown(settings.endpoint.name, None, clients=clients)
    click.echo(f"deleted: {', '.join(deleted) or 'nothing, there was no such endpoint'}")


def _champion(context: Any) -> tuple[Any, str]:
    from conviction_kedro.datasets import ChampionDataset
    from conviction_kedro.registry import Registry

    root, config = Path(context.project_path), context.config_loader["tracking"]
    Registry.open(config, root).require_champion()
    dataset = ChampionDataset()
    dataset.configure(config, root)
    found: Any = dataset.load()
    return found.model, found.version


def _saved_body(context: Any) -> bytes:
    try:
        return json.dumps(context.catalog.load("inference_body")).encode()
    except Exception as error:
        raise ParameterError(
            what="there is no request to ask the endpoint with",
            got=str(error).splitlines()[0],
            allowed="the body that inference saved, or a file",
            fix="kedro run --pipeline=inference first, or --request=FILE",
        ) from error
