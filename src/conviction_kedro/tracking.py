"""The run store: a thin layer over `MlflowClient`, the only writer of runs."""

from __future__ import annotations

import json
import logging
import math
import os
import tempfile
import time
import uuid
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl

from conviction.errors import MissingExtraError
from conviction_kedro.presenting import EXPERIMENT_TAGS

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from mlflow.entities import Run
    from mlflow.tracking import MlflowClient

PARENT_TAG = "mlflow.parentRunId"
NOTE_TAG = "mlflow.note.content"
_SQLITE = "sqlite:///"
_PARAM_BATCH = 100
_PARAM_LENGTH = 6000
_AXES = ("target", "model")
_TABLES_TAG = "mlflow.loggedArtifacts"
_METRIC_BATCH = 1000
_CURVE_POINTS = 100


def tracking_uri(config: Mapping[str, Any], root: Path) -> str:
    """Return the tracking URI with a relative SQLite path made absolute under the project's folder."""
    uri = str(config["uri"])
    if uri.startswith(_SQLITE) and not Path(uri.removeprefix(_SQLITE)).is_absolute():
        return f"{_SQLITE}{(root / uri.removeprefix(_SQLITE)).as_posix()}"
    return uri


def open_client(config: Mapping[str, Any], root: Path) -> MlflowClient:
    """Return a client of the configured store; telemetry stays off."""
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    os.environ.setdefault("DO_NOT_TRACK", "true")
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    logging.getLogger("alembic").setLevel(logging.WARNING)
    logging.getLogger("mlflow.store.db.utils").setLevel(logging.WARNING)
    from mlflow.tracking import MlflowClient

    uri = tracking_uri(config, root)
    if uri.startswith("arn:") and find_spec("sagemaker_mlflow") is None:
        raise MissingExtraError.for_extra(
            feature="a tracking server of SageMaker", package="sagemaker-mlflow", extra="sagemaker"
        )
    if uri.startswith(_SQLITE):
        _make_database(Path(uri.removeprefix(_SQLITE)))
    return MlflowClient(tracking_uri=uri)


def _make_database(path: Path) -> None:
    """Make a new SQLite store aside and move it into place: a process killed in its migrations would leave half a schema."""
    if path.exists():
        return
    from mlflow.tracking import MlflowClient

    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_name(f"{path.name}.{uuid.uuid4().hex[:8]}.aside")
    MlflowClient(tracking_uri=f"{_SQLITE}{aside.as_posix()}").search_experiments(max_results=1)
    try:
        os.link(aside, path)
    except OSError:  # another process has made it meanwhile, or a file system without hard links
        if not path.exists():
            aside.replace(path)
    for left in path.parent.glob(f"{path.name}.*.aside*"):  # this one, and those of killed processes
        left.unlink(missing_ok=True)


def open_store(config: Mapping[str, Any], root: Path, *, pipeline: str) -> RunStore:
    """Return the run store of the experiment that a pipeline's runs belong to, making the experiment if needed."""
    client = open_client(config, root)
    name = dict(config.get("experiments") or {}).get(pipeline, config["default_experiment"])
    experiment = client.get_experiment_by_name(name)
    if experiment is None:
        location = (root / config["artifacts"]).as_uri() if str(config["uri"]).startswith("sqlite") else None
        identifier = client.create_experiment(name, artifact_location=location, tags=EXPERIMENT_TAGS)
    else:
        identifier = experiment.experiment_id
        for tag, value in EXPERIMENT_TAGS.items():
            if tag not in experiment.tags:
                client.set_experiment_tag(identifier, tag, value)
    return RunStore(client, identifier)


class RunStore:
    """One parent run and its children."""

    def __init__(self, client: MlflowClient, experiment_id: str) -> None:
        self._client = client
        self._experiment = experiment_id
        self._parent = ""
        self._children: dict[str, str] = {}
        self._tables: list[dict[str, str]] = []

    @property
    def run_id(self) -> str:
        """Return the parent's identifier."""
        return self._parent

    def start(
        self, *, name: str, tags: Mapping[str, str], params: Mapping[str, str], reopen: str | None = None
    ) -> None:
        """Open a new parent run, or go on with an unfinished one and its children."""
        if reopen is None:
            run = self._client.create_run(self._experiment, run_name=name, tags={**tags, "mlflow.runName": name})
            self._parent = run.info.run_id
            self._log(self._parent, params, {}, {})
            return
        self._parent = reopen
        self._children = self._below(reopen)
        # A parameter of a run cannot change; those that say how fast may, and the first attempt's stay.
        known = self._client.get_run(reopen).data.params
        self._log(reopen, {name: value for name, value in params.items() if name not in known}, {}, tags)

    def _below(self, run_id: str) -> dict[str, str]:
        """Return the recorded runs below a run, children of children too, by their record keys."""
        found: dict[str, str] = {}
        parents = [run_id]
        while parents:
            children = [child for parent in parents for child in self._search(f"tags.`{PARENT_TAG}` = '{parent}'")]
            found |= {run.data.tags["record_key"]: run.info.run_id for run in children if "record_key" in run.data.tags}
            # Nothing is below a trial, and there may be hundreds of them.
            parents = [run.info.run_id for run in children if run.data.tags.get("kind") != "trial"]
        return found

    def find(self, session_id: str) -> str | None:
        """Return the identifier of the parent run of a session, or None."""
        found = self._search(f"tags.session_id = '{session_id}'")
        return found[0].info.run_id if found else None

    def status_of(self, session_id: str) -> str | None:
        """Return the status of the parent run of a session, or None when there is no such run."""
        run_id = self.find(session_id)
        return None if run_id is None else str(self._client.get_run(run_id).info.status)

    def give_up(self, session_id: str, *, reason: str) -> None:
        """Close the run of a killed session as killed, with the reason."""
        run_id = self.find(session_id)
        if run_id is not None:
            self._client.set_tag(run_id, "error", reason)
            self._client.set_terminated(run_id, "KILLED")

    def _search(self, text: str) -> list[Run]:
        found: list[Run] = []
        token = None
        while True:
            page = self._client.search_runs([self._experiment], filter_string=text, max_results=1000, page_token=token)
            found += page
            token = page.token
            if not token:
                return found

    def tag(self, name: str, value: str) -> None:
        """Set one tag of the parent."""
        self._client.set_tag(self._parent, name, value)

    def log_metrics(self, metrics: Mapping[str, float]) -> None:
        """Log metrics of the parent."""
        self._log(self._parent, {}, metrics, {})

    def upsert_children(self, records: Sequence[Mapping[str, Any]]) -> None:
        """Create or complete one child run for each record.

        Parameters
        ----------
        records : sequence of mappings
            `record_key`, `parent_key` (None for a child of the parent run), `name`, and `params`, `metrics`, `tags` as JSON.
        """
        for record in records:
            key = str(record["record_key"])
            tags = {name: str(value) for name, value in json.loads(record["tags"]).items()}
            fresh = key not in self._children
            if fresh:
                parent_key = record.get("parent_key")
                parent = self._children[str(parent_key)] if parent_key else self._parent
                # Tags that come with the run cost no transaction of their own.
                run = self._client.create_run(
                    self._experiment,
                    run_name=str(record["name"]),
                    tags={**tags, PARENT_TAG: parent, "record_key": key},
                )
                self._children[key] = run.info.run_id
            # Also as parameters: only these are axes of MLflow's parallel coordinates.
            axes = {name: tags[name] for name in _AXES if name in tags}
            self._log(
                self._children[key],
                axes | json.loads(record["params"]),
                json.loads(record["metrics"]),
                {} if fresh else tags,
            )
            self._client.set_terminated(self._children[key])

    def log_content(self, content: bytes, *, file_name: str, folder: str, run_id: str | None = None) -> None:
        """Log bytes as one artifact file."""
        with tempfile.TemporaryDirectory() as home:
            path = Path(home) / file_name
            path.write_bytes(content)
            self._client.log_artifact(run_id or self._parent, str(path), folder or None)

    def log_table(self, table: pl.DataFrame, *, file_name: str) -> None:
        """Log a frame, without columns of lists, as a table that MLflow shows.

        `MlflowClient.log_table` would append to what an unfinished run has logged; here the newest content is the only one.
        """
        flat = table.select(name for name, dtype in table.schema.items() if not dtype.is_nested())
        split = {"columns": flat.columns, "data": flat.rows()}
        folder, _, name = file_name.rpartition("/")
        self.log_content(json.dumps(split, default=str).encode(), file_name=name, folder=folder)
        entry = {"path": file_name, "type": "table"}
        if entry not in self._tables:
            self._tables.append(entry)
            self.tag(_TABLES_TAG, json.dumps(self._tables))

    def log_curves(self, curves: pl.DataFrame) -> None:
        """Log the learning curve of every fold as the history of a metric of its child run, at most 100 points each.

        Parameters
        ----------
        curves : polars.DataFrame
            `target`, `model`, `fold`, `symbol`, `iteration`, `value`; models for each symbol stay in the table alone.
        """
        from mlflow.entities import Metric

        now = int(time.time() * 1000)
        pooled = curves.filter(pl.col("symbol").is_null())
        for (target, model), part in pooled.group_by("target", "model", maintain_order=True):
            child = self._children.get(f"{target}/{model}")
            if child is None:
                continue
            metrics = [
                Metric(f"inner_curve_fold_{fold:02d}", value, now, iteration)
                for (fold,), one in part.group_by("fold", maintain_order=True)
                for iteration, value in _thinned(one).select("iteration", "value").iter_rows()
            ]
            for start in range(0, len(metrics), _METRIC_BATCH):
                self._client.log_batch(child, metrics=metrics[start : start + _METRIC_BATCH])

    def log_models(self, models: Mapping[str, Any]) -> None:
        """Log the fitted models of each child in their native formats, the newest fold's as an MLflow model with its signature."""
        from conviction_kedro.mlflow_model import write_mlflow_model

        for record_key, child in self._children.items():
            paths = sorted(path for path in models if path.startswith(f"{record_key}/"))
            if not paths:
                continue
            with tempfile.TemporaryDirectory() as home:
                for path in paths:
                    folder = Path(home) / "folds" / path.removeprefix(f"{record_key}/")
                    folder.mkdir(parents=True)
                    models[path].save(folder)
                write_mlflow_model(models[paths[-1]], Path(home) / "model")
                self._client.log_artifacts(child, home)

    def headline(self, metrics: Mapping[str, Any], *, verdict: str, of: str) -> None:
        """Give the parent the scores it is compared by, the verdict on them and whose they are."""
        self._log(self._parent, {}, metrics, {"verdict": verdict, "headline": of})

    def add_metrics(self, metrics: Mapping[str, Any]) -> None:
        """Give the parent further numbers of the score that it is compared by."""
        self._log(self._parent, {}, metrics, {})

    def log_dataset(self, fields: Mapping[str, str]) -> None:
        """Say on which data the parent ran; MLflow shows it in a column of its own."""
        from mlflow.entities import Dataset, DatasetInput

        self._client.log_inputs(self._parent, [DatasetInput(Dataset(**fields))])

    def finish(self) -> None:
        """Close the parent as finished."""
        self._client.set_terminated(self._parent, "FINISHED")

    def fail(self, *, reason: str, trace: str) -> None:
        """Close the parent as failed with the reason as tag and the trace as artifact."""
        self._client.set_tag(self._parent, "error", reason[:5000])
        self.log_content(trace.encode(), file_name="error.txt", folder="")
        self._client.set_terminated(self._parent, "FAILED")

    def _log(self, run_id: str, params: Mapping[str, Any], metrics: Mapping[str, Any], tags: Mapping[str, Any]) -> None:
        from mlflow.entities import Metric, Param, RunTag

        now = int(time.time() * 1000)
        entries = [Param(name, str(value)[:_PARAM_LENGTH]) for name, value in params.items()]
        numbers = [Metric(name, float(value), now, 0) for name, value in metrics.items() if _finite(value)]
        labels = [RunTag(name, str(value)) for name, value in tags.items()]
        for start in range(0, max(len(entries), 1), _PARAM_BATCH):
            batch = entries[start : start + _PARAM_BATCH]
            first = start == 0
            self._client.log_batch(run_id, params=batch, metrics=numbers if first else (), tags=labels if first else ())


def _thinned(curve: pl.DataFrame) -> pl.DataFrame:
    step = -(-curve.height // _CURVE_POINTS)
    last = curve.height - 1
    return curve.with_row_index("row").filter((pl.col("row") % step == 0) | (pl.col("row") == last))


def _finite(value: Any) -> bool:
    return isinstance(value, (int, float)) and math.isfinite(value)
