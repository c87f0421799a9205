"""The run store: a thin layer over `MlflowClient`, the only writer of runs."""

from __future__ import annotations

import json
import math
import os
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from conviction_kedro.presenting import EXPERIMENT_TAGS

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from mlflow.tracking import MlflowClient

PARENT_TAG = "mlflow.parentRunId"
NOTE_TAG = "mlflow.note.content"
_PARAM_BATCH = 100
_PARAM_LENGTH = 6000
_AXES = ("target", "model")


def tracking_uri(config: Mapping[str, Any], root: Path) -> str:
    """Return the tracking URI with a relative SQLite path made absolute under the project's folder."""
    uri = str(config["uri"])
    prefix = "sqlite:///"
    if uri.startswith(prefix) and not Path(uri.removeprefix(prefix)).is_absolute():
        return f"{prefix}{(root / uri.removeprefix(prefix)).as_posix()}"
    return uri


def open_client(config: Mapping[str, Any], root: Path) -> MlflowClient:
    """Return a client of the configured store; telemetry stays off."""
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    os.environ.setdefault("DO_NOT_TRACK", "true")
    import logging

    logging.getLogger("alembic").setLevel(logging.WARNING)
    logging.getLogger("mlflow.store.db.utils").setLevel(logging.WARNING)
    from mlflow.tracking import MlflowClient

    return MlflowClient(tracking_uri=tracking_uri(config, root))


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

    @property
    def run_id(self) -> str:
        """Return the parent's identifier."""
        return self._parent

    def start(self, *, name: str, tags: Mapping[str, str], params: Mapping[str, str]) -> None:
        """Open the parent run."""
        run = self._client.create_run(self._experiment, run_name=name, tags={**tags, "mlflow.runName": name})
        self._parent = run.info.run_id
        self._log(self._parent, params, {}, {})

    def tag(self, name: str, value: str) -> None:
        """Set one tag of the parent."""
        self._client.set_tag(self._parent, name, value)

    def upsert_children(self, records: Sequence[Mapping[str, Any]]) -> None:
        """Create or complete one child run for each record.

        Parameters
        ----------
        records : sequence of mappings
            `record_key`, `parent_key` (None for a child of the parent run), `name`, and `params`, `metrics`, `tags` as JSON.
        """
        for record in records:
            key = str(record["record_key"])
            if key not in self._children:
                parent_key = record.get("parent_key")
                parent = self._children[str(parent_key)] if parent_key else self._parent
                run = self._client.create_run(
                    self._experiment, run_name=str(record["name"]), tags={PARENT_TAG: parent, "record_key": key}
                )
                self._children[key] = run.info.run_id
            tags = json.loads(record["tags"])
            # Also as parameters: only these are axes of MLflow's parallel coordinates.
            axes = {name: tags[name] for name in _AXES if name in tags}
            self._log(self._children[key], axes | json.loads(record["params"]), json.loads(record["metrics"]), tags)
            self._client.set_terminated(self._children[key])

    def log_content(self, content: bytes, *, file_name: str, folder: str, run_id: str | None = None) -> None:
        """Log bytes as one artifact file."""
        with tempfile.TemporaryDirectory() as home:
            path = Path(home) / file_name
            path.write_bytes(content)
            self._client.log_artifact(run_id or self._parent, str(path), folder or None)

    def log_models(self, models: Mapping[str, Any]) -> None:
        """Log the fitted models of each child in their native formats, the newest fold's as an MLflow model with its signature."""
        from conviction_kedro.mlflow_model import write_mlflow_model

        for record_key, child in self._children.items():
            paths = sorted(path for path in models if path.startswith(f"{record_key}/"))
            if not paths:
                continue
            with tempfile.TemporaryDirectory() as home:
                for path in paths:
                    folder = Path(home) / "folds" / path.rsplit("/", 1)[-1]
                    folder.mkdir(parents=True)
                    models[path].save(folder)
                write_mlflow_model(models[paths[-1]], Path(home) / "model")
                self._client.log_artifacts(child, home)

    def headline(self, metrics: Mapping[str, Any], *, verdict: str, of: str) -> None:
        """Give the parent the scores it is compared by, the verdict on them and whose they are."""
        self._log(self._parent, {}, metrics, {"verdict": verdict, "headline": of})

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


def _finite(value: Any) -> bool:
    return isinstance(value, (int, float)) and math.isfinite(value)
