"""`kedro serve` and `kedro endpoint wait`: the champion behind MLflow's own scoring server, and its health."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path
from typing import Any

import click
import urllib3

from conviction.errors import ConvictionError, ParameterError
from conviction_kedro.console import readable_errors
from conviction_kedro.registry import CHAMPION, NAME, Registry
from conviction_kedro.serving import AS_OF

MODEL_URI = f"models:/{NAME}@{CHAMPION}"
_PAUSE = 0.5
_PATIENCE = 5.0


class EndpointError(ConvictionError):
    """An endpoint does not answer as it should."""


@click.command(name="serve")
@click.option("--env", "-e", default=None, help="Environment whose registry it is, conf/<env>.")
@click.option(
    "--host", default="127.0.0.1", show_default=True, help="Address to listen on; there is no authentication."
)
@click.option("--port", default=5001, show_default=True, type=click.IntRange(1, 65535))
@click.option("--workers", default=1, show_default=True, type=click.IntRange(1), help="Processes of the server.")
@click.option(
    "--as-of", default=None, metavar="MOMENT", help="Replay a past day: the moment at which requests count as made."
)
def serve(env: str | None, host: str, port: int, workers: int, as_of: str | None) -> None:
    """Serve the champion with MLflow's scoring server: GET /ping, POST /invocations."""
    from kedro.framework.session import KedroSession

    with readable_errors():
        with KedroSession.create(env=env) as session:
            workspace: Any = session  # the abstract session of Kedro 1.7 does not declare load_context
            context = workspace.load_context()
            registry = Registry.open(context.config_loader["tracking"], Path(context.project_path))
            champion = registry.require_champion()
        click.echo(
            f"SERVING  {MODEL_URI}, version {champion.version} of run {champion.run_id}, at http://{host}:{port}/invocations"
        )
        variables = os.environ | {"MLFLOW_TRACKING_URI": registry.tracking, "MLFLOW_REGISTRY_URI": registry.address}
        # MLflow starts uvicorn by its name; an environment that nobody activated is not on the path.
        variables["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{variables.get('PATH', '')}"
        if as_of:
            variables |= {AS_OF: as_of}
        command = [
            sys.executable,
            "-m",
            "mlflow",
            "models",
            "serve",
            "--model-uri",
            MODEL_URI,
            "--env-manager",
            "local",
        ]
        command += ["--host", host, "--port", str(port), "--workers", str(workers)]
        sys.stdout.flush()
        # This process becomes the server, so that stopping it stops the server.
        os.execvpe(command[0], command, variables)  # noqa: S606  # a fixed list, no shell


def wait_for(url: str, *, timeout: float) -> float:
    """Wait until an endpoint answers its health check; return the seconds that it took.

    Parameters
    ----------
    url : str
        Of the endpoint, such as ``http://127.0.0.1:5001``.
    timeout : float
        Deadline in seconds.

    Raises
    ------
    EndpointError
        When the deadline passed; says what the last attempt met.
    """
    if not url.startswith(("http://", "https://")):
        raise ParameterError(
            what="the endpoint's address is no URL",
            got=repr(url),
            allowed="http://host:port",
            fix="give the scheme too",
        )
    address = f"{url.rstrip('/')}/ping"
    pool = urllib3.PoolManager(retries=False)
    started = time.monotonic()
    met = "no attempt was made"
    while (spent := time.monotonic() - started) < timeout:
        try:
            patience = min(_PATIENCE, timeout - spent)
            status = pool.request("GET", address, timeout=urllib3.Timeout(total=max(patience, 0.1))).status
        except urllib3.exceptions.NewConnectionError:
            met = "the connection was refused: no server listens there (did it stop? read its output)"
        except urllib3.exceptions.TimeoutError:
            met = f"a server accepted the connection and said nothing for {patience:.1f} s"
        except urllib3.exceptions.HTTPError as error:
            met = f"the connection broke: {error}"
        else:
            if status == 200:
                return time.monotonic() - started
            met = f"the health check answered HTTP {status}"
        time.sleep(min(_PAUSE, max(0.0, timeout - (time.monotonic() - started))))
    raise EndpointError(
        what=f"{address} was not healthy within {timeout:g} s",
        got=met,
        allowed="HTTP 200",
        fix="look at the server's output, or wait longer with --timeout",
    )


@click.group(name="endpoint")
def endpoint() -> None:
    """Look after a served model."""


@endpoint.command(name="wait")
@click.argument("url", default="http://127.0.0.1:5001")
@click.option("--timeout", default=60.0, show_default=True, type=click.FloatRange(min=0.1), help="Deadline in seconds.")
def wait(url: str, timeout: float) -> None:
    """Wait until URL is healthy. Exit code 0: healthy, 1: not by the deadline, with the reason."""
    with readable_errors():
        seconds = wait_for(url, timeout=timeout)
    click.echo(f"HEALTHY  {url} after {seconds:.1f} s")
