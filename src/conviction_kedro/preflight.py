"""`kedro preflight`: what a long run needs, checked before it begins, each with its remedy."""

from __future__ import annotations

import json
import logging
import os
import re
import shutil
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from conviction_kedro.console import readable_errors
from conviction_kedro.parameters import validate_parameters

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from conviction_kedro.project import Project

OK, WARNING, PROBLEM = "ok", "warning", "problem"
_EXTRAS = {
    "viz": "kedro_viz",
    "sagemaker": "sagemaker",
    "catboost": "catboost",
    "deep": "torch",
    "dask": "distributed",
}
_NEEDS = {"catboost": "catboost", "gru": "deep", "tabnet": "deep"}
_AWS = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE", "AWS_WEB_IDENTITY_TOKEN_FILE")
_SERVICES = {"massive": ("MASSIVE_API_KEY", "POLYGON_API_KEY"), "fred": ("FRED_API_KEY",)}
# Copies of a frame that are alive at once in the widest node: matrix, labels, a fold's part, what a model makes of it.
_COPIES = 6
_FREE_DISK = 2 * 1024**3


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at.

    Attributes
    ----------
    name : str
    state : str
        `ok`, `warning` (the run may go on) or `problem` (it would fail).
    said, remedy : str
        What was found, and what to do when it is not ok. Never a credential.
    """

    name: str
    state: str
    said: str
    remedy: str = ""


def check_python(root: Path) -> Iterator[Finding]:
    """Compare Python and every installed package with the lock file."""
    version = f"{sys.version_info.major}.{sys.version_info.minor}.{sys.version_info.micro}"
    good = sys.version_info >= (3, 11)
    yield Finding("python", OK if good else PROBLEM, version, "" if good else "use Python 3.11 or newer: make setup")
    lock = root / "requirements" / "core.txt"
    if not lock.is_file():
        yield Finding("lock", WARNING, "no requirements/core.txt here", "run in a clone of the project")
        return
    wrong = list(lock_differences(lock.read_text(encoding="utf-8")))
    said = "; ".join(wrong[:6]) + (f"; and {len(wrong) - 6} more" if len(wrong) > 6 else "")
    remedy = "make setup installs exactly what is locked"
    yield Finding("lock", WARNING, said, remedy) if wrong else Finding("lock", OK, "as locked")


def lock_differences(text: str) -> Iterator[str]:
    r"""Yield each locked package that is missing here or has another version; markers that do not apply are left out.

    Examples
    --------
    >>> list(lock_differences("no-such-package==1.0 \\\n    --hash=sha256:00"))
    ['no-such-package 1.0 is locked, and none is installed']
    """
    import importlib.metadata

    from packaging.requirements import InvalidRequirement, Requirement

    for line in re.sub(r"\\\n\s*", " ", text).splitlines():
        entry = line.split(" --hash")[0].split("#")[0].strip()
        if "==" not in entry:
            continue
        try:
            wanted = Requirement(entry)
        except InvalidRequirement:
            continue
        if wanted.marker is not None and not wanted.marker.evaluate():
            continue
        version = str(wanted.specifier).removeprefix("==")
        try:
            found = importlib.metadata.version(wanted.name)
        except importlib.metadata.PackageNotFoundError:
            yield f"{wanted.name} {version} is locked, and none is installed"
            continue
        if not wanted.specifier.contains(found, prereleases=True):
            yield f"{wanted.name} {version} is locked, and {found} is installed"


def check_extras(project: Project) -> Iterator[Finding]:
    """Say which extras are installed, and whether the models and the engine of the parameters need one that is not."""
    from importlib.util import find_spec

    there = {name for name, module in _EXTRAS.items() if find_spec(module) is not None}
    params = validate_parameters(project.context.params)
    needed = {_NEEDS[name]: name for name in params.modeling.models if name in _NEEDS}
    if params.engine in _EXTRAS:
        needed[params.engine] = f"engine {params.engine}"
    missing = {extra: what for extra, what in needed.items() if extra not in there}
    said = f"installed: {', '.join(sorted(there)) or 'none'}"
    if missing:
        told = ", ".join(f"{what} needs {extra}" for extra, what in sorted(missing.items()))
        yield Finding(
            "extras", PROBLEM, f"{said}; {told}", f"pip install 'conviction-kedro[{','.join(sorted(missing))}]'"
        )
    else:
        yield Finding("extras", OK, said)


def check_disk(project: Project) -> Iterator[Finding]:
    """Compare the free disk with what a run writes."""
    free = shutil.disk_usage(project.root).free
    good = free >= _FREE_DISK
    said = f"{free / 1024**3:.1f} GB free, {_FREE_DISK / 1024**3:.0f} GB wanted"
    yield Finding("disk", OK if good else PROBLEM, said, "" if good else "free some, or keep the data on S3 (--env=s3)")


def check_data(project: Project) -> Iterator[Finding]:
    """Read the raw prices, compare memory with the plan, and their last session with the calendar."""
    from kedro.io import DatasetError

    catalog: Any = project.context.catalog
    try:
        bars = catalog.load("raw_bars")
    except DatasetError as error:
        first = str(error).splitlines()
        yield Finding(
            "raw_bars", PROBLEM, first[-1][:300] if first else "", "name the file or bucket (docs/how-to/own-data.md)"
        )
        return
    yield Finding("raw_bars", OK, f"{bars.height} rows, {bars['symbol'].n_unique()} symbols")
    yield _memory(bars.height)
    yield _freshness(bars["session"].max(), project)


def _memory(rows: int) -> Finding:
    from conviction.features import FEATURE_SETS

    columns = max(len(names) for names in FEATURE_SETS.values())
    needed = rows * columns * 4 * _COPIES + 600 * 1024**2
    available = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_AVPHYS_PAGES")
    said = f"{available / 1024**3:.1f} GB available; {rows} rows x {columns} features at most want about {needed / 1024**3:.1f} GB"
    good = available >= needed
    return Finding(
        "memory",
        OK if good else WARNING,
        said,
        "" if good else "a smaller universe or feature set, or a larger machine",
    )


def _freshness(last: Any, project: Project) -> Finding:
    from datetime import UTC, datetime, timedelta

    from conviction.errors import ConvictionError
    from conviction.market import exchange_sessions

    data = validate_parameters(project.context.params).data
    until = data.last_session
    if until is not None:
        return Finding("calendar", OK, f"prices until {last}; the parameters end at {until}")
    today = datetime.now(tz=UTC).date()
    try:
        missing = exchange_sessions(data.calendar, last + timedelta(days=1), max(last + timedelta(days=1), today))
    except ConvictionError as error:
        return Finding("calendar", PROBLEM, str(error), "choose a calendar of exchange_calendars")
    if missing.len() <= 1:
        return Finding("calendar", OK, f"prices until {last}, the newest session")
    said = f"prices end at {last}: {missing.len()} sessions of {data.calendar} have passed since"
    return Finding(
        "calendar", WARNING, said, "fetch newer prices (kedro fetch) before predicting; for research this is fine"
    )


def check_pin(project: Project) -> Iterator[Finding]:
    """Check the dataset pin against what the catalog reads."""
    from conviction.errors import ConvictionError
    from conviction_kedro.pinning import check_run_pin

    catalog: Any = project.context.catalog
    try:
        found = check_run_pin(
            catalog,
            command_line=project.context.params.get("dataset_pin"),
            conf_source=Path(project.context.config_loader.conf_source),
            env=project.context.env,
            root=project.root,
        )
    except ConvictionError as error:
        yield Finding("dataset pin", PROBLEM, f"{error.what}: {error.got}", error.fix)
        return
    yield Finding("dataset pin", OK, "none" if found is None else f"holds ({found.origin})")


def check_s3(project: Project) -> Iterator[Finding]:
    """Reach every bucket that the catalog or the artifact store names; a missing one is called that."""
    from conviction_kedro.datasets import Snapshot

    catalog: Any = project.context.catalog
    places = {dataset.filepath for name in catalog.keys() if isinstance(dataset := catalog.get(name), Snapshot)}  # noqa: SIM118  # a catalog is no dict
    buckets = sorted({path.removeprefix("s3://").split("/", 1)[0] for path in places if path.startswith("s3://")})
    if not buckets:
        yield Finding("s3", OK, "no dataset of this environment lies on S3")
    for bucket in buckets:
        yield _bucket(bucket)


def _bucket(bucket: str) -> Finding:
    import boto3
    from botocore.config import Config
    from botocore.exceptions import BotoCoreError, ClientError

    name = f"s3 {bucket}"
    try:
        boto3.client("s3", config=Config(connect_timeout=5, read_timeout=10, retries={"max_attempts": 1})).head_bucket(
            Bucket=bucket
        )
    except ClientError as error:
        code = error.response.get("Error", {}).get("Code", "")
        if code in {"404", "NoSuchBucket"}:
            return Finding(
                name, PROBLEM, "missing bucket: it does not exist", "create it, or correct CONVICTION_S3_BUCKET"
            )
        if code in {"403", "AccessDenied"}:
            return Finding(
                name,
                PROBLEM,
                "the bucket refuses these credentials (403)",
                "ask for s3:ListBucket, GetObject and PutObject on it",
            )
        return Finding(name, PROBLEM, f"the bucket answers {code}", "check region and AWS_ENDPOINT_URL")
    except BotoCoreError as error:
        return Finding(
            name,
            PROBLEM,
            f"{type(error).__name__}: the bucket cannot be reached",
            "check AWS_ENDPOINT_URL, region, credentials and network",
        )
    return Finding(name, OK, "reachable")


def check_credentials(project: Project) -> Iterator[Finding]:
    """Say which credentials are present, never what they are."""
    present = [name for name in _AWS if os.environ.get(name)]
    if Path("~/.aws/credentials").expanduser().is_file():
        present.append("~/.aws/credentials")
    services = [name for name, keys in _SERVICES.items() if any(os.environ.get(key) for key in keys)]
    said = f"AWS: {', '.join(present) or 'none'}; services: {', '.join(services) or 'none'} (values are never shown)"
    wants = (project.context.env or "base").startswith(("s3", "sagemaker"))
    if wants and not present:
        yield Finding(
            "credentials",
            WARNING,
            said,
            "export AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or use a role of the machine",
        )
    else:
        yield Finding("credentials", OK, said)


def check_tracking(project: Project) -> Iterator[Finding]:
    """Reach the run store within a few seconds."""
    from conviction_kedro.tracking import open_client, tracking_uri

    logging.getLogger("urllib3").setLevel(logging.ERROR)  # its retries are no part of the answer
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "10")
    address = re.sub(r"//[^/@]*@", "//***@", tracking_uri(project.tracking, project.root))
    try:
        count = len(open_client(project.tracking, project.root).search_experiments())
    except Exception as error:  # noqa: BLE001  # whatever a store raises, it cannot be reached
        said = f"{address}: {type(error).__name__}"
        yield Finding("tracking", PROBLEM, said, "start the server, or unset MLFLOW_TRACKING_URI to use mlflow.db here")
        return
    yield Finding("tracking", OK, f"{address}: {count} experiments")


def run_checks(project: Project) -> list[Finding]:
    """Return all findings; a check that fails itself is a problem, and the others go on."""
    checks: tuple[tuple[str, Callable[[], Iterator[Finding]]], ...] = (
        ("environment", lambda: check_python(project.root)),
        ("extras", lambda: check_extras(project)),
        ("disk", lambda: check_disk(project)),
        ("s3", lambda: check_s3(project)),
        ("credentials", lambda: check_credentials(project)),
        ("tracking", lambda: check_tracking(project)),
        ("dataset pin", lambda: check_pin(project)),
        ("data", lambda: check_data(project)),
    )
    found: list[Finding] = []
    for name, check in checks:
        try:
            found += check()
        except Exception as error:  # noqa: BLE001  # one broken check must not hide the rest
            found.append(Finding(name, PROBLEM, f"{type(error).__name__}: {error}"[:300], "see the message"))
    return found


@click.command(name="preflight")
@click.option("--env", "-e", default=None, help="Environment that the run will use.")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON list instead of lines.")
def preflight(env: str | None, *, as_json: bool) -> None:
    """Check environment, extras, disk, memory, S3, credentials, tracking, dataset pin and calendar before a long run.

    Exit code 0: nothing stands in the way (warnings may remain); 1: the run would fail.
    """
    from conviction_kedro.project import open_project

    with readable_errors(), open_project(env) as project:
        found = run_checks(project)
    if as_json:
        click.echo(json.dumps([asdict(one) for one in found], indent=1))
    else:
        for one in found:
            click.secho(
                f"{one.state:8s} {one.name:12s} {one.said}", fg={PROBLEM: "red", WARNING: "yellow"}.get(one.state)
            )
            if one.remedy:
                click.echo(f"{'':22s}-> {one.remedy}")
    sys.exit(1 if any(one.state == PROBLEM for one in found) else 0)
