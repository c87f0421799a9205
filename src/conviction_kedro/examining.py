"""What lies behind the scores: calibration, decay, which models cannot be told apart, and what choosing among trials costs."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import polars as pl

from conviction.errors import EvaluationError
from conviction.evaluation import ic_decay, ledger_overfitting, ledger_trials, model_confidence_set, reliability
from conviction.frames import key_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from conviction.evaluation import EvaluationParameters

LOOKED_BEHIND = ("calibration_curve", "ic_decay", "model_confidence", "overfitting", "undefined")
_WHY: dict[str, Any] = {"what": pl.String, "target": pl.String, "reason": pl.String}
_TABLES: dict[str, dict[str, Any]] = {
    "calibration_curve": {
        "bin": pl.Int64,
        "n_rows": pl.Int64,
        "score_mean": pl.Float64,
        "share_of_ones": pl.Float64,
        "lo": pl.Float64,
        "hi": pl.Float64,
        "calibrated": pl.Boolean,
    },
    "ic_decay": {
        "lag": pl.Int64,
        "rank_ic": pl.Float64,
        "lo": pl.Float64,
        "hi": pl.Float64,
        "t": pl.Float64,
        "n_sessions": pl.Int64,
    },
    "model_confidence": {"model": pl.String, "loss": pl.Float64, "p": pl.Float64, "included": pl.Boolean},
    "overfitting": {
        "fold": pl.Int64,
        "n_trials": pl.Int64,
        "n_sessions": pl.Int64,
        "n_splits": pl.Int64,
        "pbo": pl.Float64,
        "slope": pl.Float64,
        "loss": pl.Float64,
    },
}


def examine(
    oof: pl.DataFrame, chosen: pl.DataFrame, ledger: pl.DataFrame, *, evaluation: EvaluationParameters, seed: int
) -> dict[str, pl.DataFrame]:
    """Look behind the scores of every target.

    Parameters
    ----------
    oof : polars.DataFrame
        Predictions of all models, baselines and combiners.
    chosen : polars.DataFrame
        Those of the chosen one of each target.
    ledger : polars.DataFrame
        The trials scored on the same panel.
    evaluation : EvaluationParameters
    seed : int

    Returns
    -------
    dict of str to polars.DataFrame
        ``calibration_curve`` (`reliability`), ``ic_decay``, ``model_confidence`` (`model_confidence_set`), ``overfitting``
        (`ledger_overfitting`, a row a fold), each with ``target`` in front, and ``undefined``: ``what``, ``target``, ``reason`` of
        what could not be computed.
    """
    parts: dict[str, list[pl.DataFrame]] = {name: [] for name in _TABLES}
    undefined = []
    for (target,), mine in chosen.group_by("target", maintain_order=True):
        one = mine.sort(key_of(mine))
        every = oof.filter(pl.col("target") == target)
        made: dict[str, Callable[[], pl.DataFrame]] = {
            "calibration_curve": partial(reliability, one, evaluation=evaluation, seed=seed),
            "ic_decay": partial(ic_decay, one, evaluation=evaluation),
            "model_confidence": partial(model_confidence_set, every, evaluation=evaluation, seed=seed),
            "overfitting": partial(_overfitting, ledger, str(target)),
        }
        for name, make in made.items():
            try:
                table = make().select(list(_TABLES[name])).cast(pl.Schema(_TABLES[name]))
            except EvaluationError as error:
                undefined.append((name, str(target), f"{error.what}: {error.got}"))
            else:
                parts[name].append(table.select(pl.lit(str(target)).alias("target"), pl.all()))
    empty = {name: pl.DataFrame(schema={"target": pl.String, **columns}) for name, columns in _TABLES.items()}
    tables = {name: pl.concat([empty[name], *found]) for name, found in parts.items()}
    return tables | {"undefined": pl.DataFrame(undefined, schema=_WHY, orient="row")}


def _overfitting(ledger: pl.DataFrame, target: str) -> pl.DataFrame:
    return ledger_overfitting(ledger, target=target).by_fold


def selection_table(
    scores: pl.DataFrame, ledger: pl.DataFrame, overfitting: pl.DataFrame, confidence: pl.DataFrame
) -> pl.DataFrame:
    """Return what choosing among trials costs each target's chosen score, as the report shows it.

    Returns
    -------
    polars.DataFrame
        ``target``, ``trials`` (distinct, finished), ``trials_effective``, ``expected_best`` (AUC that luck shows as their best),
        ``deflated_prob``, ``pbo`` (mean over folds, weighted by sessions), ``confidence_set`` (models that cannot be told from the best
        one). Null where undefined.
    """
    weight = pl.col("n_sessions")
    pbo = overfitting.group_by("target").agg(pbo=(pl.col("pbo") * weight).sum() / weight.sum())
    members = (
        confidence.filter("included")
        .group_by("target", maintain_order=True)
        .agg(confidence_set=pl.col("model").str.join(", "))
    )
    chosen = scores.filter((pl.col("model") == "ensemble") & (pl.col("split") == "oof"))
    return (
        chosen.select(
            "target",
            pl.col("target")
            .map_elements(lambda target: ledger_trials(ledger, target=target).n, return_dtype=pl.Int64)
            .alias("trials"),
            "trials_effective",
            "expected_best",
            "deflated_prob",
        )
        .join(pbo, on="target", how="left", maintain_order="left")
        .join(members, on="target", how="left", maintain_order="left")
    )
