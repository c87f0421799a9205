"""One training job of the stand-in: the real entry point in a process of its own, under the container's contract."""

from __future__ import annotations

import importlib.metadata
import io
import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from conviction_kedro.sagemaker._archive import packed

LOG_GROUP = "/aws/sagemaker/TrainingJobs"


@dataclass
class TrialResult:
    """How a training job ended.

    Attributes
    ----------
    status : {"Completed", "Failed", "Stopped"}
    curve : list of float
        Every value of the objective metric, in the order in which the log has them.
    reason : str
    log : list of str
    """

    status: str = "Failed"
    curve: list[float] = field(default_factory=list)
    reason: str = ""
    log: list[str] = field(default_factory=list)


@dataclass
class Trial:
    """A training job that can be run and stopped.

    Attributes
    ----------
    name : str
    definition : mapping
        Of the request.
    hyper_parameters : dict of str to str
        Static and tuned ones.
    metric : (str, str)
        Name and regular expression of the objective.
    home : pathlib.Path
        Folder for its layout.
    fetch : callable
        ``fetch(uri, folder)`` brings an S3 prefix or object to a folder.
    put : callable
        ``put(uri, content)`` uploads bytes.
    """

    name: str
    definition: Mapping[str, Any]
    hyper_parameters: dict[str, str]
    metric: tuple[str, str]
    home: Path
    fetch: Callable[[str, Path], None]
    put: Callable[[str, bytes], None]
    silent: bool = False
    crash: bool = False
    interrupt: bool = False
    should_end: Callable[[list[float]], bool] = field(default=lambda _: False)
    _process: Any = None
    _ended_by: str = ""

    def run(self) -> TrialResult:
        """Prepare the layout, run the entry point, scrape the metric, upload model and output."""
        result = TrialResult()
        try:
            self._prepare()
            self._run_program(result)
            if self._ended_by == "interruption":
                # A spot instance comes back with the checkpoints and nothing else.
                self._ended_by, self.interrupt = "", False
                self._run_program(result)
            self._upload(result)
        except _CannotStartError as error:
            result.status, result.reason = "Failed", str(error)
        return result

    def stop(self, why: str = "stopped") -> None:
        """End the process."""
        self._ended_by = why
        if self._process is not None and self._process.poll() is None:
            self._process.kill()

    def _prepare(self) -> None:
        static = self.hyper_parameters
        program, archive = static.get("sagemaker_program"), static.get("sagemaker_submit_directory")
        if not program or not archive:
            raise _CannotStartError(
                "AlgorithmError: the framework container needs sagemaker_program and sagemaker_submit_directory"
            )
        for name in ("code", "model", "output/data", "input/config", "checkpoints"):
            (self.home / name).mkdir(parents=True, exist_ok=True)
        try:
            self.fetch(archive, self.home / "archive")
            for channel in self.definition["InputDataConfig"]:
                source = channel["DataSource"]["S3DataSource"]["S3Uri"]
                self.fetch(source, self.home / "input" / "data" / channel["ChannelName"])
        except FileNotFoundError as error:
            message = f"ClientError: Data download failed: {error}"
            raise _CannotStartError(message) from error
        with tarfile.open(next((self.home / "archive").iterdir())) as packed_code:
            packed_code.extractall(self.home / "code", filter="data")
        if not (self.home / "code" / program).exists():
            raise _CannotStartError(f"AlgorithmError: {program} is not in {archive}")
        self._require_packages()
        (self.home / "input/config/hyperparameters.json").write_text(json.dumps(static))

    def _require_packages(self) -> None:
        """Refuse what requirements.txt asks for and is not here: the stand-in installs nothing."""
        path = self.home / "code" / "requirements.txt"
        for line in path.read_text().splitlines() if path.exists() else []:
            package = re.split(r"[<>=!~\[ ;]", line.strip(), maxsplit=1)[0]
            try:
                importlib.metadata.version(package)
            except importlib.metadata.PackageNotFoundError:
                message = f"AlgorithmError: InstallRequirementsError: {package} is not installed on this machine"
                raise _CannotStartError(message) from None

    def _environment(self) -> dict[str, str]:
        own = {name: os.environ[name] for name in ("PATH", "HOME", "LANG", "LD_LIBRARY_PATH") if name in os.environ}
        channels = {
            f"SM_CHANNEL_{one['ChannelName'].upper()}": str(self.home / "input/data" / one["ChannelName"])
            for one in self.definition["InputDataConfig"]
        }
        return {
            **own,
            **channels,
            **self.definition.get("Environment", {}),
            "SAGEMAKER_BASE_DIR": str(self.home),
            "SM_MODEL_DIR": str(self.home / "model"),
            "SM_OUTPUT_DIR": str(self.home / "output"),
            "SM_OUTPUT_DATA_DIR": str(self.home / "output/data"),
            "SM_HPS": json.dumps(self.hyper_parameters),
            "SM_CURRENT_HOST": "algo-1",
            "SM_HOSTS": '["algo-1"]',
            "SM_NUM_CPUS": "1",
            "SM_NUM_GPUS": "0",
            "TRAINING_JOB_NAME": self.name,
            "PYTHONUNBUFFERED": "1",
            "OMP_NUM_THREADS": "1",
        }

    def _run_program(self, result: TrialResult) -> None:
        words = [word for name, value in sorted(self.hyper_parameters.items()) for word in (f"--{name}", value)]
        if self.crash:
            words += ["--fold", "-99"]
        command = [sys.executable, self.hyper_parameters["sagemaker_program"], *words]
        self._process = subprocess.Popen(
            command,
            cwd=self.home / "code",
            env=self._environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        limit = self.definition["StoppingCondition"].get("MaxRuntimeInSeconds", 86_400)
        timer = threading.Timer(limit, self.stop, ["its longest run"])
        timer.daemon = True
        timer.start()
        try:
            for line in self._process.stdout:
                self._read(line.rstrip("\n"), result)
            code = self._process.wait()
        finally:
            timer.cancel()
            self._process.stdout.close()
        if self._ended_by:
            result.status, result.reason = "Stopped", f"ended by {self._ended_by}"
        elif code == 0:
            result.status, result.reason = "Completed", ""
        else:
            failure = self.home / "output" / "failure"
            told = failure.read_text() if failure.exists() else "\n".join(result.log[-3:])
            result.status, result.reason = "Failed", f"AlgorithmError: {told}, exit code: {code}"[:1024]

    def _read(self, line: str, result: TrialResult) -> None:
        result.log.append(line)
        found = None if self.silent else re.search(self.metric[1], line)
        if found is not None:
            result.curve.append(float(found[1]))
            if self.should_end(result.curve):
                self.stop("early stopping")
        if self.interrupt and "stage 1 of" in line:
            self.stop("interruption")

    def _upload(self, result: TrialResult) -> None:
        if result.status != "Completed":
            return
        root = f"{self.definition['OutputDataConfig']['S3OutputPath'].rstrip('/')}/{self.name}/output"
        for folder, name in (("model", "model.tar.gz"), ("output/data", "output.tar.gz")):
            home = self.home / folder
            files = {
                path.relative_to(home).as_posix(): path.read_bytes()
                for path in sorted(home.rglob("*"))
                if path.is_file()
            }
            self.put(f"{root}/{name}", packed(files).content)

    def clean(self) -> None:
        """Remove its folder."""
        shutil.rmtree(self.home, ignore_errors=True)


class _CannotStartError(Exception):
    """The container would not come to run the program."""


def tar_members(content: bytes) -> dict[str, bytes]:
    """Return the files of a gzipped tar by name."""
    with tarfile.open(fileobj=io.BytesIO(content)) as archive:
        streams = {member.name: archive.extractfile(member) for member in archive.getmembers() if member.isfile()}
        return {name: stream.read() for name, stream in streams.items() if stream is not None}
