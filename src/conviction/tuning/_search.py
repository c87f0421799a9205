"""The search of one fold: plain data in, trials out, wherever it runs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from conviction.tuning._objective import make_stages
from conviction.tuning._study import opened, quiet_optuna, run_study

if TYPE_CHECKING:
    from conviction.folds import FoldPlan
    from conviction.models import SearchSpace
    from conviction.oof import LabelledRows
    from conviction.tuning.parameters import TuningParameters

# Observers stay in the process that made them; a search finds its own here only when it runs in that process.
LISTENERS: dict[str, Callable[[Mapping[str, Any]], None]] = {}


@dataclass(frozen=True, eq=False)
class Search:
    """What the search of one fold needs, so that it can go to another process or machine."""

    rows: LabelledRows
    plan: FoldPlan
    fold: int
    model: str
    base: Mapping[str, Any]
    space: SearchSpace
    tuning: TuningParameters
    storage: Any
    seed: int
    n_threads: int
    study: str
    listener: str


def run_search(search: Search) -> tuple[bool, list[dict[str, Any]]]:
    """Search one fold; return whether its trials were announced as they ended, and the trials."""
    listener = LISTENERS.get(search.listener)
    own = {"study": search.study, "fold": search.fold, "seed": search.seed}

    def told(trial: dict[str, Any]) -> None:
        if listener is not None:
            listener({**trial, **own})

    stages = make_stages(
        search.rows, search.plan, search.fold, model=search.model, inner_folds=search.tuning.inner_folds
    )
    with quiet_optuna(), opened(search.storage) as storage:
        found = run_study(
            name=search.study, storage=storage, stages=stages, model=search.model, base=search.base,
            space=search.space, tuning=search.tuning, seed=search.seed, n_threads=search.n_threads, told=told,
        )  # fmt: skip
    return listener is not None, [{**trial, **own} for trial in found]
