"""The conformance suite of models: what every entry of the registry must do, run by its name."""

from __future__ import annotations

import hashlib
import json
import os
import pickle
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from conviction.errors import ConvictionError, ModelError, SeenRowError
from conviction.frames import KEY, SESSION, fingerprint
from conviction.models import FittedModel, fit_model, model_spec
from conviction.testing._planted_panel import planted_panel

MODEL_CHECKS = (
    "scores",
    "input_unchanged",
    "same_seed_same_bytes",
    "round_trip",
    "missing_values",
    "refuses_seen_rows",
    "refuses_other_columns",
    "refuses_one_class",
    "importance",
    "second_process",
)
_NOT_PICKLED = {".json", ".txt", ".ubj", ".npz"}


@dataclass(frozen=True, eq=False)
class Sample:
    """Rows that a model of the suite is fitted on, watches and predicts."""

    train: pl.DataFrame
    y_train: np.ndarray[Any, Any]
    inner: pl.DataFrame
    y_inner: np.ndarray[Any, Any]
    test: pl.DataFrame

    def fit(self, name: str, params: Mapping[str, Any], *, seed: int = 1) -> FittedModel:
        """Fit the model on the training rows, the inner rows watched."""
        return fit_model(name, self.train, self.y_train, params=params, inner=(self.inner, self.y_inner), seed=seed)


def make_sample(*, seed: int = 0) -> Sample:
    """Return a small panel with a strong planted signal and missing values, cut by session.

    Parameters
    ----------
    seed : int

    Returns
    -------
    Sample
        The features are named `ret_1d`, `x001`, ...; the labels are `relative`.
    """
    panel = planted_panel(n_symbols=6, n_sessions=160, n_features=5, planted_auc=0.75, seed=seed, missing=0.05)
    frame = panel.frame.drop_nulls("relative").rename({"x000": "ret_1d"}).sort(SESSION, "symbol")
    sessions = frame[SESSION].unique().sort()
    features = ["ret_1d", *panel.features[1:]]

    def part(start: int, stop: int) -> tuple[pl.DataFrame, np.ndarray[Any, Any]]:
        rows = frame.filter(pl.col(SESSION).is_between(sessions[start], sessions[stop - 1]))
        return rows.select(*KEY, *features), rows["relative"].to_numpy()

    (train, y_train), (inner, y_inner), (test, _) = part(0, 100), part(101, 130), part(131, 159)
    return Sample(train, y_train, inner, y_inner, test)


def check_model(
    name: str,
    *,
    params: Mapping[str, Any] | None = None,
    checks: tuple[str, ...] = MODEL_CHECKS,
) -> dict[str, str]:
    """Run the suite on a registered model.

    - `scores`: one finite probability a row;
    - `input_unchanged`: no frame or array that is given is changed;
    - `same_seed_same_bytes`: two fits save the same files and give the same scores;
    - `round_trip`: saved in native files without a pickle and read back, or sent to another process, the scores
      are the same bits;
    - `missing_values`: nulls, even a row of nothing else, get a finite score;
    - `refuses_seen_rows`, `refuses_other_columns`, `refuses_one_class`: named errors;
    - `importance`: a table of every feature, exactly when the capabilities say so;
    - `second_process`: a process with another hash seed saves the same files.

    Parameters
    ----------
    name : str
        Name in `MODELS`.
    params : mapping, optional
        Parameters that keep the fits short.
    checks : tuple of str
        Those to run.

    Returns
    -------
    dict of str to str
        Failed check -> what was seen; empty when the model conforms.

    Examples
    --------
    >>> check_model("base_rate", checks=("scores", "round_trip", "refuses_seen_rows"))
    {}
    """
    failures: dict[str, str] = {}
    sample = make_sample()
    for check in checks:
        try:
            problem = _CHECKS[check](name, dict(params or {}), sample)
        except ConvictionError as error:
            problem = f"{type(error).__name__}: {error}"
        if problem:
            failures[check] = problem
    return failures


def _scores(name: str, params: dict[str, Any], sample: Sample) -> str | None:
    scores = sample.fit(name, params).predict(sample.test)
    if scores.shape != (sample.test.height,) or scores.dtype != np.float64:
        return f"shape {scores.shape}, dtype {scores.dtype}"
    if not (np.isfinite(scores).all() and (scores >= 0).all() and (scores <= 1).all()):
        return f"scores from {scores.min()} to {scores.max()}"
    return None


def _input_unchanged(name: str, params: dict[str, Any], sample: Sample) -> str | None:
    def state() -> list[str]:
        frames = [fingerprint(frame) for frame in (sample.train, sample.inner, sample.test)]
        return frames + [hashlib.sha256(y.tobytes()).hexdigest() for y in (sample.y_train, sample.y_inner)]

    before, given = state(), json.dumps(params, sort_keys=True)
    fitted = sample.fit(name, params)
    fitted.predict(sample.test)
    if state() != before:
        return "a frame or an array was changed"
    return None if json.dumps(params, sort_keys=True) == given else "the parameters were changed"


def files_digest(fitted: FittedModel) -> str:
    """Return the SHA-256 of everything that a model saves, names and bytes."""
    digest = hashlib.sha256()
    with tempfile.TemporaryDirectory() as folder:
        fitted.save(folder)
        for path in sorted(Path(folder).iterdir()):
            digest.update(path.name.encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()


def _same_bytes(name: str, params: dict[str, Any], sample: Sample) -> str | None:
    one, two = sample.fit(name, params), sample.fit(name, params)
    if not np.array_equal(one.predict(sample.test), two.predict(sample.test)):
        return "two fits with one seed give other scores"
    return None if files_digest(one) == files_digest(two) else "two fits with one seed save other bytes"


def _round_trip(name: str, params: dict[str, Any], sample: Sample) -> str | None:
    fitted = sample.fit(name, params)
    scores = fitted.predict(sample.test)
    with tempfile.TemporaryDirectory() as folder:
        fitted.save(folder)
        foreign = sorted(path.name for path in Path(folder).iterdir() if path.suffix not in _NOT_PICKLED)
        loaded = FittedModel.load(folder)
    if foreign:
        return f"files of no native format: {foreign}"
    if not np.array_equal(loaded.predict(sample.test), scores):
        return "the loaded model scores otherwise"
    if (loaded.feature_names, loaded.seen, loaded.parameters) != (fitted.feature_names, fitted.seen, fitted.parameters):
        return "features, seen sessions or parameters were lost"
    sent = pickle.loads(pickle.dumps(fitted))
    return None if np.array_equal(sent.predict(sample.test), scores) else "the sent model scores otherwise"


def _missing_values(name: str, params: dict[str, Any], sample: Sample) -> str | None:
    features = [column for column in sample.test.columns if column not in KEY]
    nothing = sample.test.with_columns(pl.lit(None, pl.Float32).alias(column) for column in features)
    scores = sample.fit(name, params).predict(nothing)
    return None if np.isfinite(scores).all() else f"{int((~np.isfinite(scores)).sum())} scores are not finite"


def _refusal(error: type[ConvictionError], call: Callable[[], object]) -> str | None:
    try:
        call()
    except error:
        return None
    return f"no {error.__name__}"


def _refuses_seen(name: str, params: dict[str, Any], sample: Sample) -> str | None:
    fitted = sample.fit(name, params)
    mixed = pl.concat([sample.train[:1], sample.test])
    return _refusal(SeenRowError, lambda: fitted.predict(sample.inner)) or _refusal(
        SeenRowError, lambda: fitted.predict(mixed)
    )


def _refuses_columns(name: str, params: dict[str, Any], sample: Sample) -> str | None:
    fitted = sample.fit(name, params)
    more = sample.test.with_columns(other=pl.lit(1.0, pl.Float32))
    return _refusal(ModelError, lambda: fitted.predict(sample.test.drop("x001"))) or _refusal(
        ModelError, lambda: fitted.predict(more)
    )


def _refuses_one_class(name: str, params: dict[str, Any], sample: Sample) -> str | None:
    ones = np.ones_like(sample.y_train)
    return _refusal(
        ModelError,
        lambda: fit_model(name, sample.train, ones, params=params, inner=(sample.inner, sample.y_inner), seed=1),
    )


def _importance(name: str, params: dict[str, Any], sample: Sample) -> str | None:
    table = sample.fit(name, params).importance()
    promised = model_spec(name).capabilities.importance
    if (table is not None) != promised:
        return f"capabilities say {promised}, got {type(table).__name__}"
    if table is None:
        return None
    features = sorted(column for column in sample.train.columns if column not in KEY)
    if sorted(table["feature"]) != features or not table["importance"].is_finite().all():
        return f"features {sorted(table['feature'])}"
    return None if table["importance"].is_sorted(descending=True) else "not sorted"


def _second_process(name: str, params: dict[str, Any], sample: Sample) -> str | None:
    here = files_digest(sample.fit(name, params))
    command = [sys.executable, "-m", "conviction.testing._model_conformance", name, json.dumps(params)]
    other = {**os.environ, "PYTHONHASHSEED": "4242"}
    there = subprocess.run(command, capture_output=True, text=True, check=False, env=other, timeout=300)
    if there.returncode:
        return f"the second process failed: {there.stderr.strip().splitlines()[-1:]}"
    return None if there.stdout.strip() == here else "a process with another hash seed saves other bytes"


_CHECKS: dict[str, Callable[[str, dict[str, Any], Sample], str | None]] = {
    "scores": _scores,
    "input_unchanged": _input_unchanged,
    "same_seed_same_bytes": _same_bytes,
    "round_trip": _round_trip,
    "missing_values": _missing_values,
    "refuses_seen_rows": _refuses_seen,
    "refuses_other_columns": _refuses_columns,
    "refuses_one_class": _refuses_one_class,
    "importance": _importance,
    "second_process": _second_process,
}

if __name__ == "__main__":
    sys.stdout.write(files_digest(make_sample().fit(sys.argv[1], json.loads(sys.argv[2]))))
