"""Shared fixtures: real prices that ship inside a dependency, the optional folder of real market data."""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from importlib.util import find_spec
from pathlib import Path

import polars as pl
import pytest

PROJECT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="session")
def market_dir() -> Path:
    """Return the optional folder of real S&P 500 prices, or skip with the reason."""
    folder = Path(os.environ.get("CONVICTION_MARKET_DATA", PROJECT.parent / "shared" / "market"))
    if not (folder / "sp500_daily_2020_2024.parquet").exists():
        pytest.skip(f"real market data not found in {folder}; set CONVICTION_MARKET_DATA to the folder that has it")
    return folder


@pytest.fixture(scope="session")
def embedded_bars() -> pl.DataFrame:
    """Return 20 real stocks, 2013 to 2022, closes only: symbol, session, close."""
    from skfolio.datasets import load_sp500_dataset

    wide = load_sp500_dataset().loc["2013":]
    long = wide.reset_index(names="session").melt(id_vars="session", var_name="symbol", value_name="close")
    return (
        pl.from_pandas(long)
        .with_columns(pl.col("session").cast(pl.Date), pl.col("symbol").cast(pl.String))
        .select("symbol", "session", "close")
        .sort("symbol", "session")
    )


@pytest.fixture(scope="session")
def project_dir() -> Path:
    """Return the project's folder."""
    return PROJECT


@pytest.fixture(scope="session")
def _s3_server():
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def s3_bucket(_s3_server, request):
    """Return the URI of a fresh bucket on a local S3 server and the credentials that Kedro would hand to a dataset."""
    import hashlib

    import boto3

    name = "b" + hashlib.sha256(request.node.nodeid.encode()).hexdigest()[:20]
    arguments = {"endpoint_url": _s3_server, "region_name": "us-east-1"}
    boto3.client("s3", aws_access_key_id="test", aws_secret_access_key="test", **arguments).create_bucket(Bucket=name)
    return f"s3://{name}", {"key": "test", "secret": "test", "client_kwargs": arguments}


@contextlib.contextmanager
def postgresql_server(*, user: str, password: str | None):
    """Run a PostgreSQL server in a temporary folder and yield its port, or skip with the reason; None asks for no password."""
    # Debian keeps them out of PATH.
    places = os.pathsep.join([os.environ["PATH"], *map(str, Path("/usr/lib/postgresql").glob("*/bin"))])
    initdb, postgres = (shutil.which(name, path=places) for name in ("initdb", "postgres"))
    if initdb is None or postgres is None or find_spec("psycopg") is None:
        pytest.skip("PostgreSQL's initdb or the Python package psycopg is missing")
    root = os.geteuid() == 0
    try:
        owner = pwd.getpwnam("postgres" if root else pwd.getpwuid(os.geteuid()).pw_name)
    except KeyError:
        pytest.skip("PostgreSQL does not run as root, and there is no user postgres")
    as_owner = {"user": owner.pw_uid, "group": owner.pw_gid} if root else {}
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    folder = Path(tempfile.mkdtemp(prefix="conviction-postgresql-"))
    authentication = ["-A", "trust"]
    if password is not None:
        (folder / "word").write_text(password)
        authentication = ["-A", "scram-sha-256", f"--pwfile={folder / 'word'}"]
    if root:
        for path in (folder, *folder.iterdir()):
            os.chown(path, owner.pw_uid, owner.pw_gid)
    quiet = {"capture_output": True, "cwd": folder, **as_owner}
    subprocess.run([initdb, "-D", folder / "data", *authentication, "-U", user, "--no-sync"], check=True, **quiet)
    log = (folder / "log").open("wb")
    process = subprocess.Popen(
        [postgres, "-D", folder / "data", "-p", str(port), "-k", folder, "-h", "127.0.0.1"],
        stdout=log, stderr=log, cwd=folder, **as_owner,
    )  # fmt: skip
    try:
        for _ in range(200):
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            time.sleep(0.1)
        yield port
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(timeout=30)
        log.close()
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def postgresql():
    """Return the SQLAlchemy address of a PostgreSQL server of our own that asks for no password."""
    with postgresql_server(user="postgres", password=None) as port:
        yield f"postgresql+psycopg://postgres@127.0.0.1:{port}/postgres"


@pytest.fixture
def guarded_postgresql():
    """Return port and password of a PostgreSQL server of our own that asks its user `team` for a password."""
    word = os.urandom(8).hex()
    with postgresql_server(user="team", password=word) as port:
        yield port, word


@pytest.fixture(scope="session")
def chromium() -> str:
    """Return the executable of a Chromium, or skip with the reason."""
    found = os.environ.get("CONVICTION_CHROMIUM") or shutil.which("chromium") or shutil.which("google-chrome")
    if found is None:
        pytest.skip("no Chromium on PATH; install it or set CONVICTION_CHROMIUM to its executable")
    return found


@pytest.fixture
def browser(chromium, tmp_path):
    """Return a function that opens an address in headless Chromium and gives its DOM after the scripts have run."""

    def look(
        address: str, *, picture: Path | None = None, width: int = 1500, height: int = 1200, wait: int = 20000
    ) -> str:
        flags = (
            *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync"),
            *("--disable-background-networking", "--disable-component-update", "--hide-scrollbars"),
            *(f"--user-data-dir={tmp_path / 'profile'}", f"--window-size={width},{height}"),
            f"--virtual-time-budget={wait}",
        )
        what = ("--dump-dom",) if picture is None else (f"--screenshot={picture}",)
        done = subprocess.run(
            [chromium, *flags, *what, address], capture_output=True, text=True, timeout=180, check=True
        )
        return done.stdout

    return look


@pytest.fixture
def serve(tmp_path):
    """Return a function that starts a server and waits until its address answers; all are ended with the test."""
    import http.client

    started: list[subprocess.Popen[bytes]] = []

    def start(command: list[str], *, health: str = "/", seconds: float = 150.0, **environment: str) -> str:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        log = tmp_path / f"server-{port}.log"
        with log.open("wb") as out:
            process = subprocess.Popen(
                [*command, "--host", "127.0.0.1", "--port", str(port)],
                stdout=out, stderr=out, cwd=tmp_path, env={**os.environ, **environment}, start_new_session=True,
            )  # fmt: skip
        started.append(process)
        address = f"http://127.0.0.1:{port}"
        until = time.monotonic() + seconds
        while time.monotonic() < until and process.poll() is None:
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
            try:
                connection.request("GET", health)
                if connection.getresponse().status == 200:
                    return address
            except OSError:
                time.sleep(0.3)
            finally:
                connection.close()
        pytest.fail(f"the server did not answer: {log.read_text()[-2000:]}")

    yield start
    for process in started:
        os.killpg(process.pid, signal.SIGTERM)
        try:
            process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
