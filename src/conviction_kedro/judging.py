"""Scores of all targets and models as tables in the columns that the report reads."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import polars as pl

from conviction.errors import EvaluationError
from conviction.evaluation import (
    LuckLine,
    benjamini_hochberg,
    best_symbol_test,
    daily_auc,
    deflate_by_ledger,
    luck_line,
    per_symbol,
)
from conviction.frames import key_of
from conviction.portfolio import EconomicsTable, economics_table

if TYPE_CHECKING:
    from conviction.evaluation import EvaluationParameters
    from conviction.observer import Observer
    from conviction.panel import DecisionTime
    from conviction.portfolio import Execution, PortfolioParameters

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
        `target` and the columns of `conviction.evaluation.per_symbol` under the report's names, and `p_best`: the probability
        that luck shows a best symbol as good, all of them looked at (Westfall and Young; null where a symbol cannot be tested).
    """
    parts = [
        _with_best(one.sort(key_of(one)), evaluation=evaluation, seed=seed).with_columns(target=pl.lit(str(target)))
        for (target,), one in chosen.group_by("target", maintain_order=True)
    ]
    return pl.concat(parts).rename(_SYMBOL_NAMES)


def _with_best(one: pl.DataFrame, *, evaluation: EvaluationParameters, seed: int) -> pl.DataFrame:
    table = per_symbol(one, evaluation=evaluation, seed=seed)
    try:
        best = best_symbol_test(one, evaluation=evaluation, seed=seed)
    except EvaluationError:
        return table.with_columns(p_best=pl.lit(None, pl.Float64))
    return table.join(best.select("symbol", "p_best"), on="symbol", how="left", maintain_order="left")


def with_deflation(scores: pl.DataFrame, ledger: pl.DataFrame) -> pl.DataFrame:
    """Add to each score the probability that it is above the luck of as many trials as the ledger holds.

    Parameters
    ----------
    scores : polars.DataFrame
        As `conviction.evaluation.score_table` gives them.
    ledger : polars.DataFrame
        The trials scored on the same panel.

    Returns
    -------
    polars.DataFrame
        The scores with `deflated_prob`, `trials_effective`, `expected_best` (Float64; null where an AUC has no standard error). The
        daily AUC is deflated, or the pooled one where there is no cross-section.
    """
    deflated: list[tuple[float | None, ...]] = []
    for row in scores.iter_rows(named=True):
        metric: Literal["auc_daily", "auc_pooled"] = "auc_pooled" if row["auc_daily_se"] is None else "auc_daily"
        if not row[f"{metric}_se"]:
            deflated.append((None, None, None))
            continue
        one = deflate_by_ledger(row, ledger, target=row["target"], metric=metric)
        deflated.append((one.probability, one.n_trials, one.expected_best))
    schema = dict.fromkeys(("deflated_prob", "trials_effective", "expected_best"), pl.Float64)
    return scores.hstack(pl.DataFrame(deflated, schema=schema, orient="row"))


# Where the span of the label begins, by the moment of the decision.
LABEL_EXECUTION: dict[DecisionTime, Execution] = {"close": "close", "before_next_open": "next_open"}


def money(
    chosen: pl.DataFrame,
    bars: pl.DataFrame,
    *,
    portfolio: PortfolioParameters,
    decision: DecisionTime,
    seed: int,
    observer: Observer,
) -> EconomicsTable:
    """Return what the chosen predictions of each target are worth, traded where the label's span begins and later."""
    return economics_table(
        chosen,
        bars,
        portfolio=portfolio,
        label_execution=LABEL_EXECUTION[decision],
        optimise=chosen["model"].unique().to_list(),
        seed=seed,
        observer=observer,
    )


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


def group_scores(group_oof: pl.DataFrame, *, evaluation: EvaluationParameters, seed: int) -> pl.DataFrame:
    """Return the AUC of each symbol from each group of features, with interval and false-discovery rate over all of them.

    Parameters
    ----------
    group_oof : polars.DataFrame
        Out-of-fold frame of one target whose `model` is the group.
    evaluation : EvaluationParameters
    seed : int

    Returns
    -------
    polars.DataFrame
        `group` and the columns of the per-symbol table; `q_value` is Benjamini-Hochberg's over every symbol and group, since
        all of them were looked at.
    """
    parts = [
        per_symbol(part.sort(key_of(part)), evaluation=evaluation, seed=seed).with_columns(group=pl.lit(str(group)))
        for (group,), part in group_oof.group_by("model", maintain_order=True)
    ]
    table = pl.concat(parts).rename(_SYMBOL_NAMES)
    q_value = pl.Series("q_value", benjamini_hochberg(table["p_value"].to_numpy())).fill_nan(None)
    discovery = (q_value < 1 - evaluation.confidence) & (table["auc"] > 0.5)
    return table.with_columns(q_value, discovery.alias("discovery")).sort("group", "symbol")


def group_text(table: pl.DataFrame) -> str:
    """Return the table of groups in words: for each group its mean, its best symbol, and what luck alone shows."""
    lines = [
        "AUC BY SYMBOL AND FEATURE GROUP, out of fold, a model for each symbol, 95 % intervals from blocks of sessions"
    ]
    for (group,), part in table.group_by("group", maintain_order=True):
        scored = part.filter(pl.col("lo").is_not_null()).sort("auc", descending=True)
        best = scored.row(0, named=True)
        middle = scored.select(pl.col("auc").median()).item()
        luck = luck_line(n_symbols=scored.height, n_sessions=[int(n) for n in scored["n"]], threshold=LUCK_THRESHOLD)
        over = scored.filter(pl.col("auc") > LUCK_THRESHOLD).height
        lines.append(
            f"  {group:12s} median {middle:.3f}; best {best['symbol']} {best['auc']:.3f} [{best['lo']:.3f}, "
            f"{best['hi']:.3f}] (luck alone: {luck.expected_best:.3f}); {over} of {scored.height} over {LUCK_THRESHOLD} "
            f"(luck alone: {luck.expected_above:.1f}); discoveries after correction: {int(scored['discovery'].sum())}"
        )
    return "\n".join(lines)
