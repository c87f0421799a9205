"""Scores of all targets and models as tables in the columns that the report reads."""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl

from conviction.evaluation import LuckLine, daily_auc, luck_line, per_symbol

if TYPE_CHECKING:
    from conviction.evaluation import EvaluationParameters

LUCK_THRESHOLD = 0.55
_SYMBOL_NAMES = {"auc_lo": "lo", "auc_hi": "hi", "p": "p_value", "q": "q_value", "n_sessions": "n"}


def symbol_table(chosen: pl.DataFrame, *, evaluation: EvaluationParameters, seed: int) -> pl.DataFrame:
    """Return the per-symbol scores of each target's chosen predictions.

    Parameters
    ----------
    chosen : polars.DataFrame
        Out-of-fold frame with one model a target.
    evaluation : EvaluationParameters
    seed : int

    Returns
    -------
    polars.DataFrame
        `target` and the columns of `conviction.evaluation.per_symbol` under the report's names.
    """
    parts = [
        per_symbol(part.sort("symbol", "session"), evaluation=evaluation, seed=seed).with_columns(
            target=pl.lit(str(target))
        )
        for (target,), part in chosen.group_by("target", maintain_order=True)
    ]
    return pl.concat(parts).rename(_SYMBOL_NAMES)


def daily_auc_table(predictions: pl.DataFrame, *, evaluation: EvaluationParameters) -> pl.DataFrame:
    """Return `target, model, session, auc` of every session that has a cross-section."""
    labelled = predictions.filter(pl.col("label").is_not_null())
    parts = [
        daily_auc(part, min_symbols=evaluation.min_symbols).select(
            target=pl.lit(str(target)), model=pl.lit(str(model)), session="session", auc="auc"
        )
        for (target, model), part in labelled.group_by("target", "model", maintain_order=True)
    ]
    return pl.concat(parts).sort("target", "model", "session")


def luck_lines(symbol_scores: pl.DataFrame) -> dict[str, LuckLine]:
    """Return, for each target, what chance alone shows over as many symbols and sessions."""
    return {
        str(target): luck_line(n_symbols=part.height, n_sessions=[int(n) for n in part["n"]], threshold=LUCK_THRESHOLD)
        for (target,), part in symbol_scores.group_by("target", maintain_order=True)
    }
