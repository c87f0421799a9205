"""Runs read back from the store: found by identifier, prefix or name, with children and artifacts."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from conviction_kedro.run_record import FOLDER, OUTPUTS_FILE, RUN_FILE
from conviction_kedro.runs._errors import RunError
from conviction_kedro.tracking import PARENT_TAG, open_client

if TYPE_CHECKING:
    import polars as pl
    from mlflow.entities import Run
    from mlflow.tracking import MlflowClient

    from conviction_kedro.project import Project

_SHORT = 8


@dataclass(frozen=True, eq=False)
class TrackedRun:
    """One `kedro run` on record.

    Attributes
    ----------
    run : mlflow.entities.Run
        The parent run.
    client : mlflow.tracking.MlflowClient
    home : pathlib.Path
        Folder that downloaded artifacts go to.
    """

    run: Run
    client: MlflowClient
    home: Path

    @property
    def run_id(self) -> str:
        """Return the identifier in the store."""
        return str(self.run.info.run_id)

    @property
    def short(self) -> str:
        """Return the first characters of the identifier."""
        return self.run_id[:_SHORT]

    @property
    def tags(self) -> dict[str, str]:
        """Return the tags of the parent run."""
        return dict(self.run.data.tags)

    @property
    def begun(self) -> datetime:
        """Return when the run began, in UTC."""
        return datetime.fromtimestamp(self.run.info.start_time / 1000, tz=UTC)

    @cached_property
    def children(self) -> dict[str, Run]:
        """Return the child runs by their `record_key` (`target/model[/split]`)."""
        text = f"tags.`{PARENT_TAG}` = '{self.run_id}'"
        found = _search(self.client, [self.run.info.experiment_id], text)
        return {child.data.tags["record_key"]: child for child in found if "record_key" in child.data.tags}

    @cached_property
    def record(self) -> dict[str, Any]:
        """Return what the run kept of itself: what was asked, parameters, provenance, keys."""
        return dict(json.loads(self.artifact(f"{FOLDER}/{RUN_FILE}").read_text(encoding="utf-8")))

    @cached_property
    def outputs(self) -> dict[str, dict[str, Any]]:
        """Return what the run left: dataset -> content_sha, frame_sha, key, kind, file, artifact."""
        return dict(json.loads(self.artifact(f"{FOLDER}/{OUTPUTS_FILE}").read_text(encoding="utf-8")))

    def artifacts(self, folder: str | None = None) -> dict[str, int]:
        """Return every artifact file of the parent run and its size in bytes."""
        return self.artifacts_of(self.run_id, folder)

    def artifacts_of(self, run_id: str, folder: str | None = None) -> dict[str, int]:
        """Return every artifact file of this run or of one of its children, and its size in bytes."""
        files: dict[str, int] = {}
        for item in self.client.list_artifacts(run_id, folder):
            files.update(self.artifacts_of(run_id, item.path) if item.is_dir else {item.path: int(item.file_size or 0)})
        return files

    def artifact(self, path: str) -> Path:
        """Download one artifact file of the parent run.

        Raises
        ------
        RunError
            When the run has no such artifact, or its place cannot be read.
        """
        return self.artifact_of(self.run_id, path)

    def artifact_of(self, run_id: str, path: str) -> Path:
        """Download one artifact file of this run or of one of its children; raises as `artifact`."""
        folder = self.home / run_id
        if (folder / path).is_file():
            return folder / path
        folder.mkdir(parents=True, exist_ok=True)
        try:
            known = path in self.artifacts_of(run_id, path.rsplit("/", 1)[0] if "/" in path else None)
            found = Path(self.client.download_artifacts(run_id, path, str(folder))) if known else None
        except Exception as error:
            raise RunError(
                what=f"artifact {path} of run {self.short} cannot be read",
                got=f"{type(error).__name__}: {error}",
                allowed=f"a readable {self.run.info.artifact_uri}",
                fix="check the address and the credentials of the artifact store (kedro preflight)",
            ) from error
        if found is None:
            raise RunError(
                what=f"run {self.short} has no artifact {path}",
                got=f"a run that is {self.run.info.status}, of {self.begun:%Y-%m-%d %H:%M}",
                allowed="a finished run that kept it",
                fix="choose another run (kedro runs), or run again",
            )
        return found

    def frame(self, dataset: str) -> pl.DataFrame | None:
        """Return a table that the run kept as an artifact, or None when it kept none of that name."""
        import polars as pl

        entry = self.outputs.get(dataset)
        if entry is None or entry["artifact"] is None:
            return None
        return pl.read_parquet(self.artifact(f"{entry['artifact']}/{entry['file']}"))


class RunReader:
    """All `kedro run`s of a store.

    Parameters
    ----------
    client : mlflow.tracking.MlflowClient
    home : pathlib.Path
        Folder that downloaded artifacts go to.
    """

    def __init__(self, client: MlflowClient, home: Path) -> None:
        self._client = client
        self._home = home

    def runs(self, *, limit: int | None = None) -> list[TrackedRun]:
        """Return the runs of all experiments, newest first."""
        experiments = [item.experiment_id for item in self._client.search_experiments()]
        found = _search(self._client, experiments, "tags.kind = 'command'", limit=limit) if experiments else []
        return [TrackedRun(run, self._client, self._home) for run in found]

    def find(self, text: str) -> TrackedRun:
        """Return the one run of that identifier, beginning of an identifier, name or session; `latest` is the newest that is no replay.

        Raises
        ------
        RunError
            When no run, or more than one, goes by that name.
        """
        runs = self.runs()
        newest = [run for run in runs if "replay_of" not in run.tags]
        if text == "latest" and newest:
            return newest[0]
        for matches in (
            [run for run in runs if run.run_id == text],
            [run for run in runs if text in {run.run.info.run_name, run.tags.get("session_id")}],
            [run for run in runs if text and run.run_id.startswith(text)],
        ):
            if len(matches) == 1:
                return matches[0]
            if matches:
                raise RunError(
                    what=f"{len(matches)} runs go by that name",
                    got=repr(text),
                    allowed=", ".join(f"{run.short} ({run.begun:%Y-%m-%d %H:%M})" for run in matches[:6]),
                    fix="give the beginning of the run's identifier, as `kedro runs` shows it",
                )
        raise RunError(
            what="there is no such run",
            got=repr(text),
            allowed=", ".join(run.short for run in runs[:6]) or "a run of this store, which has none yet",
            fix="look it up with `kedro runs`; MLFLOW_TRACKING_URI names another store",
        )


def open_reader(project: Project, home: Path) -> RunReader:
    """Return the reader of the project's run store; artifacts are downloaded below `home`."""
    return RunReader(open_client(project.tracking, project.root), home)


def _search(client: MlflowClient, experiments: list[str], text: str, *, limit: int | None = None) -> list[Run]:
    found: list[Run] = []
    token = None
    while True:
        page = client.search_runs(
            experiments, filter_string=text, max_results=min(limit or 1000, 1000), page_token=token
        )
        found += page
        token = page.token
        if not token or (limit is not None and len(found) >= limit):
            return found[:limit]
