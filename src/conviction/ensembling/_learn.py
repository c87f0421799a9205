"""The chosen combiner and its calibration, learnt once from all out-of-fold predictions, for sessions that come after."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Self

import numpy as np
import polars as pl

from conviction.ensembling._calibration import PlattMap, learn_platt
from conviction.ensembling._combiners import COMBINERS, learn_combiner
from conviction.ensembling._inputs import gather
from conviction.ensembling._learnt import LearntCombiner
from conviction.errors import EvaluationError

if TYPE_CHECKING:
    from conviction.ensembling.parameters import CombinerName, EnsemblingParameters

_MAP = "calibration.json"
_DEFAULT: CombinerName = "rank_mean"


@dataclass(frozen=True, eq=False)
class LearntEnsemble:
    """One target's ensemble as it stands after the last out-of-fold prediction.

    Attributes
    ----------
    combiner : LearntCombiner
    platt : PlattMap or None
        From the combined score to a probability; None where the past had one class or one score.
    calibrated : bool
        Whether the score itself goes through `platt`, as `EnsemblingParameters.calibrate` asks.
    """

    combiner: LearntCombiner
    platt: PlattMap | None
    calibrated: bool

    def score(self, base: pl.DataFrame) -> pl.DataFrame:
        """Combine base models' scores of whole sessions.

        Parameters
        ----------
        base : polars.DataFrame
            ``symbol, session, model, score`` of every base model.

        Returns
        -------
        polars.DataFrame
            ``symbol, session, score, probability`` sorted by session and symbol. `score` is what `ensemble` files under
            ``ensemble``; `probability` is calibrated on past folds.
        """
        rows = base.with_columns(
            target=pl.lit("served"), fold=pl.lit(0, pl.Int32), label=pl.lit(None, pl.Int8),
            forward_return=pl.lit(None, pl.Float64),
        )  # fmt: skip
        inputs = gather(rows, target="served", excluded=())
        if inputs.models != self.combiner.models or inputs.ranked_within != "session":
            raise EvaluationError(
                what="the base scores are not those that the ensemble was learnt on",
                got=f"models {list(inputs.models)}, ranked within {inputs.ranked_within}",
                allowed=f"models {list(self.combiner.models)}, sessions of at least two symbols",
                fix="score the session with the base models that were saved beside the ensemble",
            )
        combined = self.combiner.apply(inputs.scores, inputs.ranks)
        probability = combined if self.platt is None else self.platt.apply(combined)
        return inputs.rows.select(
            "symbol",
            "session",
            pl.Series("score", probability if self.calibrated else combined),
            pl.Series("probability", probability),
        )

    def save(self, folder: Path) -> None:
        """Write the numbers as JSON, and trees in XGBoost's own format."""
        self.combiner.save(folder)
        plain = {"calibrated": self.calibrated, "platt": None if self.platt is None else asdict(self.platt)}
        (folder / _MAP).write_text(json.dumps(plain, indent=1, sort_keys=True) + "\n", encoding="utf-8")

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read what `save` wrote."""
        plain = json.loads((folder / _MAP).read_text(encoding="utf-8"))
        platt = None if plain["platt"] is None else PlattMap(**plain["platt"])
        return cls(LearntCombiner.load(folder), platt, bool(plain["calibrated"]))


def learn_ensemble(
    oof: pl.DataFrame, *, target: str, choice: CombinerName, ensembling: EnsemblingParameters, seed: int
) -> LearntEnsemble:
    """Learn the chosen combiner and its calibration from all out-of-fold predictions, as if the next fold began now.

    The rule is that of every fold: labelled sessions of the folds before, without the last `purge`; with too little past
    the rank average stands in.

    Parameters
    ----------
    oof : polars.DataFrame
        Base models' out-of-fold predictions.
    target : str
    choice : str
        Combiner that `ensemble` chose.
    ensembling : EnsemblingParameters
    seed : int

    Returns
    -------
    LearntEnsemble

    Raises
    ------
    EvaluationError
        If the ensemble cannot be asked for one session by itself: a stack with context needs the labels of recent sessions, and
        sessions of one symbol are ranked among earlier ones.

    Examples
    --------
    >>> from conviction.ensembling import EnsemblingParameters
    >>> from conviction.evaluation import simulate_null_oof
    >>> oof = simulate_null_oof(n_symbols=8, n_sessions=160, seed=1, skill=0.2).with_columns(model=pl.lit("logistic"))
    >>> learnt = learn_ensemble(
    ...     oof, target="direction", choice="rank_mean", ensembling=EnsemblingParameters(purge=1), seed=0
    ... )
    >>> learnt.combiner.models
    ('logistic',)
    """
    inputs = gather(oof, target=target, excluded=ensembling.excluded)
    if inputs.ranked_within != "session" or (ensembling.context and choice.startswith("stack_")):
        raise EvaluationError(
            what=f"the ensemble of {target!r} cannot score a session by itself",
            got=f"{choice} ranked within {inputs.ranked_within}, context {ensembling.context}",
            allowed="sessions of at least two symbols and ensembling.context: false",
            fix="run again without context, on a universe of several symbols",
        )
    order = inputs.rows["session"].rank("dense").to_numpy().astype(np.int64) - 1
    past = (order < order.max() + 1 - ensembling.purge) & inputs.rows["label"].is_not_null().to_numpy()
    label = inputs.label
    enough = len(np.unique(order[past])) >= ensembling.min_past_sessions and len(np.unique(label[past])) == 2
    combiner = learn_combiner(choice if enough else _DEFAULT, inputs, past, ensembling=ensembling, seed=seed)
    before = COMBINERS[choice](inputs, ensembling=ensembling, seed=seed).score
    platt = learn_platt(before[past], label[past]) if enough else None
    return LearntEnsemble(combiner, platt, ensembling.calibrate)
