"""The search of one fold: plain data in, trials out, wherever it runs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from conviction.errors import ConvictionError
from conviction.oof import LabelledRows, TunablePanel, split_parameters
from conviction.tuning._objective import Stage, make_stages
from conviction.tuning._study import opened, quiet_optuna, run_study

if TYPE_CHECKING:
    from conviction.folds import FoldPlan
    from conviction.models import SearchSpace
    from conviction.oof import FittingParameters
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
    fitting: FittingParameters | None = None
    namespace: str = ""
    tunable: TunablePanel | None = None


class StagesByFeatures:
    """The stages of a fold, cut anew when a trial asks for other feature parameters than the one before.

    The configured columns are kept, of the others only the newest: what is held is never more than two panels.
    """

    def __init__(self, search: Search) -> None:
        self._search = search
        self._configured = self._cut(search.rows)
        self._newest: tuple[str, list[Stage]] | None = None

    def _cut(self, rows: LabelledRows) -> list[Stage]:
        search = self._search
        return make_stages(
            rows, search.plan, search.fold, model=search.model, inner_folds=search.tuning.inner_folds,
            fitting=search.fitting,
        )  # fmt: skip

    def __call__(self, params: Mapping[str, Any]) -> tuple[list[Stage], Mapping[str, Any]]:
        """Return the stages of a trial, and what of its parameters the model takes."""
        search, (model, values) = self._search, split_parameters(params)
        if not isinstance(model, Mapping):
            raise TypeError(type(model))
        if search.tunable is None or all(search.tunable.value(name) == value for name, value in values.items()):
            return self._configured, model
        if self._newest is None or self._newest[0] != str(values):
            self._newest = None  # released before the next is made
            self._newest = (
                str(values),
                self._cut(LabelledRows(search.tunable.variant(values), target=search.rows.target)),
            )
        return self._newest[1], model


def run_search(search: Search) -> tuple[bool, list[dict[str, Any]]]:
    """Search one fold; return whether its trials were announced as they ended, and the trials."""
    listener = LISTENERS.get(search.listener)
    own = {"study": search.study, "fold": search.fold, "seed": search.seed}

    def told(trial: dict[str, Any]) -> None:
        if listener is not None:
            listener({**trial, **own})

    stages = StagesByFeatures(search)
    try:
        with quiet_optuna(), opened(search.storage) as storage:
            found = run_study(
                name=search.study, stored_as=search.namespace + search.study, storage=storage, stages=stages,
                model=search.model, base=search.base, space=search.space, tuning=search.tuning,
                objective=search.tuning.objective_for(len(search.rows.symbols)), seed=search.seed,
                n_threads=search.n_threads, told=told,
            )  # fmt: skip
    except ConvictionError as error:
        error.add_note(f"while tuning {search.model} on {search.rows.target} in fold {search.fold}")
        raise
    return listener is not None, [{**trial, **own} for trial in found]
