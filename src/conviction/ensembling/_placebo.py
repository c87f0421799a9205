"""The whole pipeline, models and ensemble, on labels that mean nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import polars as pl

from conviction.ensembling._ensemble import ensemble
from conviction.errors import EvaluationError
from conviction.evaluation import METRICS, placebo_band, placebo_panel, score_table
from conviction.observer import Observer, SilentObserver

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from conviction.ensembling.parameters import EnsemblingParameters
    from conviction.evaluation import EvaluationParameters
    from conviction.folds import FoldPlan
    from conviction.oof import Fits

CHOSEN = "ensemble"
PLACEBO_SCHEMA: dict[str, Any] = {
    "placebo": pl.Int64,
    "target": pl.String,
    "model": pl.String,
    **dict.fromkeys(METRICS, pl.Float64),
    **dict.fromkeys(("band_lo", "band_hi", "confidence"), pl.Float64),
    "inside": pl.Boolean,
}


def placebo_table(
    audited: Any,
    plan: FoldPlan,
    *,
    fit: Callable[..., Fits],
    targets: Sequence[str],
    ensembling: EnsemblingParameters,
    evaluation: EvaluationParameters,
    n_placebos: int,
    confidence: float,
    seed: int,
    observer: Observer | None = None,
) -> pl.DataFrame:
    """Fit every model and the ensemble on permuted labels, several times, and say whether all AUCs hold one half.

    The i-th placebo exchanges the labels between sessions in blocks, all symbols and targets together, with seed + i; folds, purging,
    model parameters, combiners and the choice among them are those of the run it stands beside. The band is simultaneous over every
    placebo of the table, so that a clean pipeline leaves it in 1 - `confidence` of runs.

    Parameters
    ----------
    audited : AuditedPanel
    plan : FoldPlan
    fit : callable
        ``fit(panel, plan, seed=)`` as `conviction.oof.fit_out_of_fold` with everything else settled: the fits of the run that the
        placebos stand beside.
    targets : sequence of str
        Targets that are combined.
    ensembling : EnsemblingParameters
    evaluation : EvaluationParameters
    n_placebos : int
        At least 20, for a statement.
    confidence : float
        Of the band, over all rows together.
    seed : int
    observer : Observer, optional

    Returns
    -------
    polars.DataFrame
        ``placebo``, ``target``, ``model`` (each model and `ensemble`), the names of `METRICS`, ``band_lo``, ``band_hi``, ``confidence``,
        ``inside``; sorted by target, model, placebo.

    Raises
    ------
    EvaluationError
        On fewer than 20 placebos, or when a placebo has too few sessions for an interval.
    """
    if n_placebos < 20:
        raise EvaluationError(
            what="the placebos do not support a statement",
            got=f"n_placebos {n_placebos}",
            allowed="at least 20 permutations of the labels",
            fix="set assurance.n_placebos to 20",
        )
    observer = observer or SilentObserver()
    task = "placebos"
    observer.start(task, n_placebos)
    parts = []
    for number in range(n_placebos):
        panel = placebo_panel(audited, plan, seed=seed + number, block=evaluation.min_block)
        oof = fit(panel, plan, seed=seed + number).predictions
        combined = [
            ensemble(oof, target=target, ensembling=ensembling, seed=seed + number).oof.filter(
                pl.col("model") == CHOSEN
            )
            for target in targets
        ]
        scores = score_table(pl.concat([oof, *combined]), evaluation=evaluation, seed=seed + number)
        parts.append(scores.select(pl.lit(number, pl.Int64).alias("placebo"), "target", "model", *METRICS))
        observer.advance(task)
    observer.finish(task)
    table = placebo_band(pl.concat(parts), confidence=confidence).with_columns(confidence=pl.lit(confidence))
    return table.select(list(PLACEBO_SCHEMA)).sort("target", "model", "placebo")
