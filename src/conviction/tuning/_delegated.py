"""Searches that ran elsewhere: the rows that go there, and their trials as if they had run here."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from conviction.errors import TuningError
from conviction.frames import fingerprint
from conviction.models import model_spec
from conviction.oof import Audited, LabelledRows, check_plan_is_audited
from conviction.tuning._objective import make_stages, score_stages
from conviction.tuning._study import configured_point, digest
from conviction.tuning._tune import TuningResult, _best, _extended, _trials_frame, empty_ledger, search_space

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from conviction.folds import FoldPlan
    from conviction.tuning.parameters import TuningParameters

_FACTS = ("value", "scores", "by_session", "params", "facts", "predictions_sha", "seconds")


def stage_rows(
    rows: LabelledRows, plan: FoldPlan, fold: int, *, model: str, inner_folds: int
) -> list[dict[str, NDArray[np.intp]]]:
    """Return where in `rows` each stage of a trial finds what it fits, watches and is scored on.

    The same cut as `tune` makes, purging included, as positions instead of blocks.

    Parameters
    ----------
    rows : LabelledRows
    plan : FoldPlan
    fold : int
    model : str
        Whether it watches decides what is fitted.
    inner_folds : int

    Returns
    -------
    list of dict
        `train`, `scored` and, for a model that watches, `watched` -> positions, increasing.
    """
    stages = []
    for stage in make_stages(rows, plan, fold, model=model, inner_folds=inner_folds):
        blocks = {"train": stage.train, "watched": stage.watched, "scored": stage.scored}
        stages.append(
            {
                name: rows.place(block.sessions.unique())
                for name, block in blocks.items()
                if block is not None and block.sessions is not None
            }
        )
    return stages


def gather_trials(
    audited: Audited,
    plan: FoldPlan,
    *,
    target: str,
    model: str,
    tuning: TuningParameters,
    seed: int,
    trials: Mapping[int, Sequence[Mapping[str, Any]]],
    params: Mapping[str, Any] | None = None,
    score_configured: bool = True,
    n_threads: int = 1,
) -> TuningResult:
    """Return trials that ran elsewhere as `tune` would have returned them.

    Parameters
    ----------
    audited, plan, target, model, tuning, seed, params, n_threads
        As for `tune`.
    trials : mapping of int to sequence of mappings
        Outer fold -> finished trials, each with `value`, `scores` (one a stage), `by_session`, `params`, `facts`,
        `predictions_sha` and `seconds`.
    score_configured : bool
        Whether the configured parameters are scored here first, as trial 0 of each fold, as `tune` does: only then
        can they win, and only then does `tuning.margin` have something to compare with.

    Returns
    -------
    TuningResult

    Raises
    ------
    TuningError
        If a fold has no finished trial, or a trial lacks a field.
    """
    check_plan_is_audited(audited, plan)
    base = model_spec(model).parse(params).model_dump(mode="json", by_alias=True)
    space = search_space(model, tuning)
    rows = LabelledRows(audited, target=target)
    objective = tuning.objective_for(len(rows.symbols))
    certificate = getattr(audited, "certificate", None)
    identity = {
        "panel_sha": fingerprint(audited.frame) if certificate is None else certificate.frame_sha,
        "plan_sha": plan.hash,
        "target": target,
        "model": model,
    }
    found: dict[int, list[dict[str, Any]]] = {}
    for fold, given in sorted(trials.items()):
        _check(given, target=target, model=model, fold=fold)
        study = digest([identity, fold, base, str(space), objective, tuning.inner_folds, "delegated", seed])
        own = {"study": study, "fold": fold, "seed": seed, "state": "complete"}
        first = []
        if score_configured:
            point = {**base, **configured_point(base, space)}
            first = [
                _configured(rows, plan, fold, model=model, base=point, tuning=tuning, seed=seed, threads=n_threads)
            ]
        found[fold] = [
            {**{name: trial[name] for name in _FACTS}, **own, "trial": number, "params": {**base, **trial["params"]}}
            for number, trial in enumerate([*first, *given])
        ]
    flat = [trial for fold_trials in found.values() for trial in fold_trials]
    margin = tuning.margin if score_configured else 0.0
    return TuningResult(
        best={fold: _best(fold_trials, margin=margin) for fold, fold_trials in found.items()},
        trials=_trials_frame(flat),
        ledger=_extended(empty_ledger(), flat, identity, objective=objective),
    )


def _configured(
    rows: LabelledRows,
    plan: FoldPlan,
    fold: int,
    *,
    model: str,
    base: Mapping[str, Any],
    tuning: TuningParameters,
    seed: int,
    threads: int,
) -> dict[str, Any]:
    started = time.perf_counter()
    stages = make_stages(rows, plan, fold, model=model, inner_folds=tuning.inner_folds)
    scored = list(
        score_stages(
            stages,
            model=model,
            params=base,
            objective=tuning.objective_for(len(rows.symbols)),
            seed=seed,
            n_threads=threads,
        )
    )
    values = [one.value for one in scored]
    return {
        "value": sum(values) / len(values),
        "scores": values,
        "by_session": [part for one in scored for part in one.by_session],
        "params": dict(base),
        "facts": dict(scored[-1].facts),
        "predictions_sha": scored[-1].predictions_sha,
        "seconds": time.perf_counter() - started,
    }


def _check(trials: Sequence[Mapping[str, Any]], *, target: str, model: str, fold: int) -> None:
    if not trials:
        raise TuningError(
            what=f"the delegated search of {model} on {target}, fold {fold}, has no finished trial",
            got="0 trials",
            allowed="at least one",
            fix="read why its trials failed, give it more trials, or do not search it together with other models",
        )
    for trial in trials:
        missing = [name for name in _FACTS if name not in trial]
        if missing:
            raise TuningError(
                what=f"a delegated trial of {model} on {target}, fold {fold}, is incomplete",
                got=f"without {missing}",
                allowed=", ".join(_FACTS),
                fix="run it again with the entry point of this version",
            )
