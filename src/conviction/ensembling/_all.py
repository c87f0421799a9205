"""All targets at once, and the chosen combiner carried to the hold-out."""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl

from conviction.ensembling._ensemble import ensemble
from conviction.errors import EvaluationError
from conviction.frames import key_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from conviction.ensembling.parameters import EnsemblingParameters
    from conviction.observer import Observer

CHOSEN = "ensemble"
_CHOICE_SCHEMA = {
    "target": pl.String,
    "choice": pl.String,
    "explanation": pl.String,
    "metric": pl.String,
    "delta": pl.Float64,
    "delta_lo": pl.Float64,
    "delta_hi": pl.Float64,
}


def ensemble_all(
    oof: pl.DataFrame,
    *,
    targets: Sequence[str],
    ensembling: EnsemblingParameters,
    seed: int,
    observer: Observer | None = None,
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Call `ensemble` for every target.

    Parameters
    ----------
    oof, ensembling, seed, observer
        As for `ensemble`.
    targets : sequence of str

    Returns
    -------
    predictions : polars.DataFrame
        The combiners and `ensemble` of every target, sorted by (symbol, session, target, model).
    choices : polars.DataFrame
        `target`, `choice`, `explanation`, and the gain of the nearest challenger over the rank average: `metric`, `delta`,
        `delta_lo`, `delta_hi`, null when none could be compared.
    """
    predictions, choices = [], []
    for target in targets:
        result = ensemble(oof, target=target, ensembling=ensembling, seed=seed, observer=observer)
        gain = result.comparison
        predictions.append(result.oof)
        choices.append(
            {
                "target": target,
                "choice": result.choice,
                "explanation": result.explanation,
                "metric": gain.metric if gain else None,
                "delta": gain.delta if gain else None,
                "delta_lo": gain.lo if gain else None,
                "delta_hi": gain.hi if gain else None,
            }
        )
    together = pl.concat(predictions)
    return together.sort(*key_of(together), "target", "model"), pl.DataFrame(choices, schema=_CHOICE_SCHEMA)


def ensemble_holdout(
    oof: pl.DataFrame,
    holdout: pl.DataFrame,
    *,
    choice: pl.DataFrame,
    targets: Sequence[str],
    ensembling: EnsemblingParameters,
    seed: int,
) -> pl.DataFrame:
    """Combine hold-out predictions with weights learnt on all out-of-fold predictions, by the combiners chosen there.

    The hold-out is the next fold after the last: weights for a fold come from earlier folds alone, so that no label of the
    hold-out decides anything.

    Parameters
    ----------
    oof, holdout : polars.DataFrame
        Base models' out-of-fold predictions and their predictions of the hold-out.
    choice : polars.DataFrame
        As `ensemble_all` returned it: `target`, `choice`.
    targets, ensembling, seed
        As for `ensemble_all`.

    Returns
    -------
    polars.DataFrame
        Hold-out rows of the combiners and of `ensemble`, the one chosen before.

    Raises
    ------
    EvaluationError
        If a target has no choice, or hold-out sessions are not all later than the out-of-fold ones.
    """
    if holdout["session"].min() <= oof["session"].max():  # type: ignore[operator]  # both are dates
        raise EvaluationError(
            what="the hold-out begins before the out-of-fold predictions end",
            got=f"{holdout['session'].min()!s} after {oof['session'].max()!s}",
            allowed="hold-out sessions later than all others",
            fix="make both from one fold plan",
        )
    chosen = dict(choice.select("target", "choice").iter_rows())
    following = int(oof["fold"].max()) + 1  # type: ignore[arg-type]  # the column is Int32
    both = pl.concat([oof, holdout.with_columns(fold=pl.lit(following, pl.Int32))])
    parts = []
    for target in targets:
        if target not in chosen:
            raise EvaluationError.from_unknown_name(kind="target of the choice", name=target, known=chosen)
        combined = ensemble(both, target=target, ensembling=ensembling, seed=seed).oof
        mine = combined.filter((pl.col("fold") == following) & (pl.col("model") != CHOSEN))
        parts += [mine, mine.filter(pl.col("model") == chosen[target]).with_columns(model=pl.lit(CHOSEN))]
    together = pl.concat(parts).with_columns(fold=pl.lit(-1, pl.Int32))
    return together.sort(*key_of(together), "target", "model")
