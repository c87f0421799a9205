"""Nested tuning: every outer fold chooses its own parameters on its own training sessions."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import numpy as np
import polars as pl

from conviction.errors import TuningError
from conviction.frames import check_columns, fingerprint
from conviction.models import ModelParameters, SearchSpace, model_spec
from conviction.observer import Observer, SilentObserver
from conviction.oof import Audited, LabelledRows, TunablePanel, check_plan_is_audited, jobs_within_cores
from conviction.tuning._feature_space import searched_features
from conviction.tuning._search import LISTENERS, Search, run_search
from conviction.tuning._study import digest, quiet_optuna

if TYPE_CHECKING:
    from conviction.folds import FoldPlan
    from conviction.oof import FittingParameters
    from conviction.tuning.parameters import TuningParameters

LEDGER_SCHEMA: dict[str, Any] = {
    "trial_key": pl.String,
    "study": pl.String,
    "panel_sha": pl.String,
    "plan_sha": pl.String,
    "target": pl.String,
    "model": pl.String,
    "fold": pl.Int32,
    "trial": pl.Int32,
    "state": pl.String,
    "objective": pl.String,
    "value": pl.Float64,
    "scores": pl.String,
    "params": pl.String,
    "predictions_sha": pl.String,
    "seed": pl.Int64,
    "by_session": pl.List(pl.Float64),
}


@dataclass(frozen=True, eq=False)
class TuningResult:
    """What a nested search found.

    Attributes
    ----------
    best : dict of int to dict
        Outer fold -> parameters, ready for `out_of_fold(params=...)`; searched feature parameters are among them as
        ``features.{name}``.
    trials : polars.DataFrame
        One row a trial of this call: `fold`, `trial`, `state`, `value`, `seconds`, `params` and `facts` as JSON.
    ledger : polars.DataFrame
        The ledger that was given, with the trials it did not have yet; keyed by `trial_key`, no clock in it.
    """

    best: dict[int, dict[str, Any]]
    trials: pl.DataFrame
    ledger: pl.DataFrame


def empty_ledger() -> pl.DataFrame:
    """Return a ledger without trials.

    Examples
    --------
    >>> empty_ledger().height
    0
    """
    return pl.DataFrame(schema=LEDGER_SCHEMA)


def tune(
    audited: Audited,
    plan: FoldPlan,
    *,
    target: str,
    model: str,
    tuning: TuningParameters,
    seed: int,
    params: Mapping[str, Any] | ModelParameters | None = None,
    folds: Sequence[int] | None = None,
    storage: Any = None,
    ledger: pl.DataFrame | None = None,
    fitting: FittingParameters | None = None,
    namespace: str = "",
    observer: Observer | None = None,
    n_jobs: int = 1,
    n_threads: int = 1,
) -> TuningResult:
    """Search the parameters of a model for each outer fold, on that fold's `train` and `inner` sessions only.

    A trial is fitted on the training sessions, watches the first half of the inner block for early stopping, and is
    scored on the second half, which neither has seen; labels are purged between the parts. The scored test block of
    the outer fold plays no part in the choice.

    Parameters
    ----------
    audited : AuditedPanel or TunablePanel
        What passed the leakage audit; the latter where `tuning.features` asks for a search of feature parameters.
    plan : FoldPlan
        The plan that was audited with it.
    target : str
        Label column.
    model : str
        Name in `MODELS`; it must have a search space.
    tuning : TuningParameters
        Trials, objective, sampler, narrowed ranges.
    seed : int
        Same inputs and seed: the same trials in the same order, interrupted or not, whatever `n_jobs`.
    params : mapping or ModelParameters, optional
        Configured parameters: the first trial, and the value of everything that is not searched.
    folds : sequence of int, optional
        Folds to tune; the plan's outer folds without it. `HOLDOUT_FOLD` may be among them: its own training
        sessions are used, never the hold-out.
    storage : optuna.storages.BaseStorage or str, optional
        Where trials are kept; in memory without it. A study found there is resumed.
    ledger : polars.DataFrame, optional
        Trials scored before, on this or other data.
    fitting : FittingParameters, optional
        Weights of the rows that trials are fitted on; the same as those of the final fit.
    namespace : str
        Put before the names under which studies are stored, so that another state of the code does not go on with them. Changes
        no trial.
    observer : Observer, optional
        Told of every finished trial.
    n_jobs : int
        Folds searched at the same time, in threads. Inside a fold trials run one after the other.
    n_threads : int
        Threads inside each fit.

    Returns
    -------
    TuningResult

    Raises
    ------
    TuningError
        For a model without a search space, an impossible or unknown range, a fold too short to score trials, or an
        objective that is not defined.
    ModelError, ParameterError, CertificateError
        As for `out_of_fold`.
    """
    from joblib import Parallel, delayed

    check_plan_is_audited(audited, plan)
    known = empty_ledger() if ledger is None else ledger
    check_columns(known, [name for name in LEDGER_SCHEMA if name != "by_session"], name="ledger")
    spec = model_spec(model)
    features, configured = searched_features(audited, tuning.features)
    own = () if tuning.features and not len(spec.search_space) else search_space(model, tuning)
    space = SearchSpace((*features, *own))
    base = {**configured, **spec.parse(params).model_dump(mode="json", by_alias=True)}
    rows = LabelledRows(audited, target=target)
    objective = tuning.objective_for(len(rows.symbols))
    if tuning.margin and objective == "auc_pooled":
        raise TuningError(
            what="a margin compares trials session by session, and a single symbol has no cross-section",
            got=f"tuning.margin={tuning.margin} and {len(rows.symbols)} symbol",
            allowed="margin 0, or several symbols",
            fix="set tuning.margin to 0 for this universe",
        )
    certificate = getattr(audited, "certificate", None)
    identity = {
        "panel_sha": _content_sha(audited, certificate),
        "plan_sha": plan.hash,
        "target": target,
        "model": model,
    }
    chosen = tuple(plan.folds if folds is None else folds)
    watcher = observer or SilentObserver()
    task = f"tuning {model} on {target}"
    watcher.start(task, len(chosen) * tuning.n_trials)

    def told(trial: Mapping[str, Any]) -> None:
        watcher.advance(task, note=f"fold {trial['fold']}: {trial['value']:.4f}")
        watcher.record({"kind": "trial", "target": target, "model": model, **trial})

    token = uuid4().hex
    searches = [
        Search(
            rows=rows, plan=plan, fold=fold, model=model, base=base, space=space, tuning=tuning, storage=storage,
            seed=seed, n_threads=n_threads, listener=token, fitting=fitting, namespace=namespace,
            tunable=audited if tuning.features and isinstance(audited, TunablePanel) else None,
            study=digest([identity, fold, base, str(space), objective, *_weights_of(fitting), tuning.inner_folds, tuning.sampler, seed]),
        )
        for fold in chosen
    ]  # fmt: skip
    found = []
    LISTENERS[token] = told
    try:
        with quiet_optuna():
            for heard, trials in Parallel(
                n_jobs=jobs_within_cores(n_jobs, n_threads), prefer="threads", return_as="generator"
            )(delayed(run_search)(search) for search in searches):
                found.append(trials)
                for trial in () if heard else trials:
                    told(trial)
    finally:
        del LISTENERS[token]
    watcher.finish(task)
    flat = [trial for fold_trials in found for trial in fold_trials]
    return TuningResult(
        best={fold: _best(fold_trials, margin=tuning.margin) for fold, fold_trials in zip(chosen, found, strict=True)},
        trials=_trials_frame(flat),
        ledger=_extended(known, flat, identity, objective=objective),
    )


def _weights_of(fitting: FittingParameters | None) -> list[Any]:
    return [fitting.uniqueness, fitting.half_life_sessions] if fitting is not None and fitting.weighted else []


def search_space(model: str, tuning: TuningParameters) -> SearchSpace:
    """Return the model's search space as narrowed by the tuning parameters.

    Raises
    ------
    TuningError
        If the model has none, or a range is unknown or impossible.
    """
    spec = model_spec(model)
    for name in tuning.search:
        model_spec(name)
    space = spec.search_space.narrowed(tuning.search.get(model, {}))
    if not len(space):
        raise TuningError(
            what=f"the model {model!r} has nothing to tune",
            got="an empty search space",
            allowed="a model with Capabilities.tunable",
            fix="leave it out of the tuned models; out_of_fold fits it as it is",
        )
    return space


def _content_sha(audited: Audited, certificate: Any) -> str:
    if certificate is not None:
        return str(certificate.frame_sha)
    return str(getattr(audited, "content_sha", None) or fingerprint(audited.frame))


def _best(trials: list[dict[str, Any]], *, margin: float) -> dict[str, Any]:
    complete = [trial for trial in trials if trial["state"] == "complete"]
    # max keeps the first of equals, so ties go to the earlier trial.
    best, first = max(complete, key=lambda trial: trial["value"]), complete[0]
    if margin and best is not first:
        gain = np.asarray(best["by_session"]) - np.asarray(first["by_session"])
        if gain.mean() <= margin * gain.std(ddof=1) / np.sqrt(len(gain)):
            best = first
    return dict(best["params"])


def _trials_frame(trials: list[dict[str, Any]]) -> pl.DataFrame:
    return pl.DataFrame(
        [
            {
                "fold": trial["fold"],
                "trial": trial["trial"],
                "state": trial["state"],
                "value": trial["value"],
                "seconds": trial["seconds"],
                "params": json.dumps(trial["params"], sort_keys=True),
                "facts": json.dumps(trial["facts"], sort_keys=True),
            }
            for trial in trials
        ],
        schema_overrides={"fold": pl.Int32, "trial": pl.Int32},
    ).sort("fold", "trial")


def _extended(
    known: pl.DataFrame, trials: list[dict[str, Any]], identity: Mapping[str, str], *, objective: str
) -> pl.DataFrame:
    rows = [
        {
            **identity,
            "trial_key": digest([identity, trial["fold"], trial["params"], trial["scores"], objective, trial["seed"]]),
            "study": trial["study"],
            "fold": trial["fold"],
            "trial": trial["trial"],
            "state": trial["state"],
            "objective": objective,
            "value": trial["value"],
            "scores": json.dumps(trial["scores"]),
            "params": json.dumps(trial["params"], sort_keys=True),
            "predictions_sha": trial["predictions_sha"],
            "seed": trial["seed"],
            # The daily AUCs on the sessions the trial was scored on: what overfitting and effective trials are counted from.
            "by_session": trial["by_session"] or None,
        }
        for trial in trials
    ]
    new = pl.DataFrame(rows, schema=LEDGER_SCHEMA)
    # A ledger begun by an earlier version has no session scores; its trials still count.
    whole = pl.concat(
        [new.clear(), known.select(name for name in LEDGER_SCHEMA if name in known.columns), new], how="diagonal"
    )
    return whole.unique(subset="trial_key", keep="first", maintain_order=True)
