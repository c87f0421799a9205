"""One Optuna study: asked and told one trial at a time, resumable, the same sequence whenever it is interrupted."""

from __future__ import annotations

import hashlib
import json
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from conviction.models import SearchSpace
from conviction.tuning._objective import Stage, score_stages

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from conviction.tuning.parameters import ObjectiveName, TuningParameters

_ATTEMPTS = 5


@contextmanager
def quiet_optuna() -> Iterator[None]:
    """Keep Optuna's announcements and its notes on experimental arguments out of the log, then put things back."""
    import optuna

    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            yield
    finally:
        optuna.logging.set_verbosity(before)


@contextmanager
def opened(storage: Any) -> Iterator[Any]:
    """Open a storage that is given by its address and close it again; one that is given as an object stays open."""
    if not isinstance(storage, str):
        yield storage
        return
    own = _connected(storage)
    try:
        yield own
    finally:
        own.remove_session()
        own.engine.dispose()


def _connected(address: str) -> Any:
    import optuna
    from sqlalchemy import event
    from sqlalchemy.exc import IntegrityError, OperationalError, ProgrammingError

    for attempt in range(_ATTEMPTS):
        try:
            own = optuna.storages.RDBStorage(address)
            break
        except (IntegrityError, OperationalError, ProgrammingError) as error:
            # Workers that come to a new database at the same moment race for its tables; the second look finds them.
            if attempt + 1 == _ATTEMPTS or ("already exists" not in str(error) and "UNIQUE" not in str(error).upper()):
                raise
            time.sleep(0.2 * (attempt + 1))
    if own.engine.dialect.name == "sqlite":
        event.listen(own.engine, "connect", _survive_the_process)
        own.engine.dispose()
    return own


def _survive_the_process(connection: Any, record: Any) -> None:
    """Let SQLite wait for the disk at checkpoints only: what is committed outlives the process, killed or not."""
    del record
    connection.execute("pragma journal_mode=wal")
    connection.execute("pragma synchronous=normal")


def digest(value: Any) -> str:
    """Return the SHA-256 of plain data, independent of the order of keys."""
    return hashlib.sha256(json.dumps(value, sort_keys=True, default=str).encode()).hexdigest()


def trial_seed(*parts: object) -> int:
    """Return a seed that depends on all parts and on nothing else (not on the process's hash seed)."""
    return int(digest([str(part) for part in parts])[:8], 16) % (2**31 - 1)


def run_study(
    *,
    name: str,
    stored_as: str,
    storage: Any,
    stages: Callable[[Mapping[str, Any]], tuple[list[Stage], Mapping[str, Any]]],
    model: str,
    base: Mapping[str, Any],
    space: SearchSpace,
    tuning: TuningParameters,
    objective: ObjectiveName,
    seed: int,
    n_threads: int,
    told: Callable[[dict[str, Any]], None],
) -> list[dict[str, Any]]:
    """Bring a study to `tuning.n_trials` finished trials and return them in order.

    A study of one worker goes on in memory from what is stored, and each trial is stored whole when it has ended: one
    write instead of one for every parameter, and a killed process leaves nothing running. The sampler is seeded anew
    for each trial from the number of finished ones, so an interrupted study goes on exactly as it would have. Workers
    that share a study ask the storage itself.
    """
    import optuna

    pruner = optuna.pruners.MedianPruner(n_startup_trials=3) if tuning.pruning else optuna.pruners.NopPruner()
    stored = optuna.create_study(
        study_name=stored_as, storage=storage, direction="maximize", load_if_exists=True, pruner=pruner
    )
    states = optuna.trial.TrialState
    finished = (states.COMPLETE, states.PRUNED)
    study = stored
    if storage is not None and not tuning.shared:
        for stale in stored.get_trials(deepcopy=False, states=(states.RUNNING,)):
            stored.tell(stale.number, state=states.FAIL)
        study = optuna.create_study(direction="maximize", pruner=pruner)
        study.add_trials(
            sorted(stored.get_trials(deepcopy=False, states=finished), key=lambda one: one.user_attrs["index"])
        )
    while (done := len(study.get_trials(deepcopy=False, states=finished))) < tuning.n_trials:
        index = len(study.get_trials(deepcopy=False)) if tuning.shared else done
        own_seed = trial_seed(seed, name, index)
        study.sampler = _sampler(tuning, own_seed)
        if index == 0:
            _ask_for_the_configured_parameters(study, base, space)
        started = time.perf_counter()
        trial = study.ask()
        params = {**base, **space.suggest(trial)}
        parts, own = stages(params)
        trial.set_user_attr("index", trial.number if tuning.shared else index)
        trial.set_user_attr("params", params)
        values: list[float] = []
        by_session: list[float] = []
        pruned = False
        for step, stage in enumerate(
            score_stages(parts, model=model, params=own, objective=objective, seed=seed, n_threads=n_threads)
        ):
            values.append(stage.value)
            by_session += stage.by_session
            trial.report(sum(values) / len(values), step)
            trial.set_user_attr("scores", values)
            trial.set_user_attr("facts", dict(stage.facts))
            trial.set_user_attr("predictions_sha", stage.predictions_sha)
            pruned = tuning.pruning and step + 1 < len(parts) and trial.should_prune()
            if pruned:
                break
        trial.set_user_attr("by_session", by_session)
        trial.set_user_attr("seconds", time.perf_counter() - started)
        if pruned:
            study.tell(trial, state=states.PRUNED)
        else:
            study.tell(trial, sum(values) / len(values))
        if study is not stored:
            stored.add_trial(study.get_trials(deepcopy=False)[-1])
        state = "pruned" if pruned else "complete"
        told({"trial": index, "value": sum(values) / len(values), "params": params, "state": state})
    ended = study.get_trials(deepcopy=False, states=finished)
    ordered = sorted(ended, key=lambda one: one.user_attrs["index"])
    if not tuning.shared:
        ordered = ordered[: tuning.n_trials]
    return [_record(one, complete=one.state == states.COMPLETE) for one in ordered]


def _record(trial: Any, *, complete: bool) -> dict[str, Any]:
    attributes = trial.user_attrs
    return {
        "trial": attributes["index"],
        "state": "complete" if complete else "pruned",
        "value": sum(attributes["scores"]) / len(attributes["scores"]),
        "scores": attributes["scores"],
        "by_session": attributes.get("by_session", []),
        "params": attributes["params"],
        "facts": attributes["facts"],
        "predictions_sha": attributes["predictions_sha"],
        "seconds": attributes["seconds"],
    }


def _sampler(tuning: TuningParameters, seed: int) -> Any:
    import optuna

    if tuning.sampler == "random":
        return optuna.samplers.RandomSampler(seed=seed)
    return optuna.samplers.TPESampler(seed=seed, n_startup_trials=tuning.n_startup_trials)


def _ask_for_the_configured_parameters(study: Any, base: Mapping[str, Any], space: SearchSpace) -> None:
    """Enqueue the configured parameters, cut to the space's bounds, as the first trial."""
    import optuna

    waiting = study.get_trials(deepcopy=False, states=(optuna.trial.TrialState.WAITING,))
    if waiting:
        return
    study.enqueue_trial(configured_point(base, space))


def configured_point(base: Mapping[str, Any], space: SearchSpace) -> dict[str, Any]:
    """Return the configured value of each dimension, cut to the dimension's bounds."""
    first: dict[str, Any] = {}
    for dimension in space:
        value = base.get(dimension.name)
        if dimension.kind == "categorical":
            first[dimension.name] = value if value in dimension.choices else dimension.choices[0]
        elif isinstance(value, int | float) and dimension.low is not None and dimension.high is not None:
            inside = min(max(value, dimension.low), dimension.high)
            first[dimension.name] = round(inside) if dimension.kind == "int" else float(inside)
    return first
