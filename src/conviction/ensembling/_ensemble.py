"""Combine base models forward in time, and choose the dearer combiner only when it is better."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl

from conviction.ensembling._calibration import calibrate_forward
from conviction.ensembling._combiners import COMBINERS, Combined, weights_frame
from conviction.ensembling._inputs import Inputs, gather
from conviction.ensembling.parameters import CombinerName, EnsemblingParameters
from conviction.evaluation import Comparison, EvaluationParameters, compare
from conviction.frames import key_of
from conviction.observer import Observer, SilentObserver

DEFAULT: CombinerName = "rank_mean"


@dataclass(frozen=True)
class EnsembleResult:
    """What combining gave, what was chosen and why.

    Attributes
    ----------
    oof : polars.DataFrame
        ``symbol, session, target, model, fold, score, label, forward_return`` sorted by the first four, with one model for
        each combiner and ``ensemble``, the chosen one.
    choice : str
        Name of the chosen combiner.
    comparison : Comparison or None
        Of the challenger that came nearest (or won) with the rank average, on rows where its weights were learnt; None
        when no challenger could be compared.
    comparisons : dict of str to Comparison
        Of every challenger that could be compared.
    weights : polars.DataFrame
        ``combiner, fold, input, weight``.
    explanation : str
        Sentences: what was combined, which folds fell back, what was chosen, and how far the choice is honest.
    """

    oof: pl.DataFrame
    choice: str
    comparison: Comparison | None
    comparisons: dict[str, Comparison]
    weights: pl.DataFrame
    explanation: str


def ensemble(
    oof: pl.DataFrame,
    *,
    target: str,
    ensembling: EnsemblingParameters,
    seed: int,
    observer: Observer | None = None,
) -> EnsembleResult:
    """Combine the base models of a target and choose a combiner.

    The rank average is the default. Each challenger is compared with it by a paired block bootstrap over whole sessions, on
    the folds for which its weights were learnt, and replaces it only when the whole interval of the gain is above
    zero; the confidence is shared by all challengers (Bonferroni), so that on labels without signal something is chosen
    over the rank average in fewer than (1 - confidence) / 2 of cases.

    Parameters
    ----------
    oof : polars.DataFrame
        Out-of-fold rows of all models and targets.
    target : str
    ensembling : EnsemblingParameters
    seed : int
    observer : Observer, optional

    Returns
    -------
    EnsembleResult

    Raises
    ------
    EvaluationError
        When there is nothing to combine, or a model scored a row twice.
    FrameError
        On missing columns.

    Examples
    --------
    >>> from conviction.evaluation import simulate_null_oof
    >>> oof = pl.concat([
    ...     simulate_null_oof(n_symbols=8, n_sessions=160, seed=1, skill=skill).with_columns(model=pl.lit(name))
    ...     for name, skill in [("logistic", 0.1), ("lightgbm", 0.2)]
    ... ])
    >>> result = ensemble(oof, target="direction", ensembling=EnsemblingParameters(purge=1), seed=0)
    >>> result.oof["model"].unique().sort().to_list()
    ['ensemble', 'rank_mean', 'stack_logistic']
    """
    observer = observer or SilentObserver()
    inputs = gather(oof, target=target, excluded=ensembling.excluded)
    names: tuple[CombinerName, ...] = (DEFAULT, *ensembling.challengers)
    task = f"ensemble {target}"
    observer.start(task, len(names))
    combined: dict[str, Combined] = {}
    for name in names:
        combined[name] = COMBINERS[name](inputs, ensembling=ensembling, seed=seed)
        observer.advance(task, note=name)
    observer.finish(task)
    frames = {name: _as_oof(inputs, one.score, target=target, model=name) for name, one in combined.items()}
    comparisons, missing = _compare_all(frames, combined, ensembling=ensembling, seed=seed)
    winners = {name: one for name, one in comparisons.items() if one.better}
    choice: str = max(winners, key=lambda name: winners[name].delta, default=DEFAULT)
    nearest = choice if winners else max(comparisons, key=lambda name: comparisons[name].lo, default=None)
    chosen = frames[choice].with_columns(model=pl.lit("ensemble"))
    calibration = ""
    if ensembling.calibrate:
        score, calibration = calibrate_forward(inputs, chosen["score"].to_numpy(), ensembling=ensembling)
        chosen = chosen.with_columns(score=pl.Series(score))
    return EnsembleResult(
        oof=pl.concat([*frames.values(), chosen]).sort(*key_of(chosen), "target", "model"),
        choice=choice,
        comparison=comparisons[nearest] if nearest else None,
        comparisons=comparisons,
        weights=weights_frame(combined),
        explanation=_explain(
            inputs, combined=combined, comparisons=comparisons, missing=missing, choice=choice, ensembling=ensembling
        )
        + calibration,
    )


def _as_oof(inputs: Inputs, score: np.ndarray, *, target: str, model: str) -> pl.DataFrame:
    return inputs.rows.select(
        *key_of(inputs.rows),
        pl.lit(target).alias("target"),
        pl.lit(model).alias("model"),
        pl.col("fold").cast(pl.Int32),
        pl.Series("score", score),
        pl.col("label").cast(pl.Int8),
        pl.col("forward_return").cast(pl.Float64),
    )


def _compare_all(
    frames: dict[str, pl.DataFrame],
    combined: dict[str, Combined],
    *,
    ensembling: EnsemblingParameters,
    seed: int,
) -> tuple[dict[str, Comparison], dict[str, str]]:
    """Compare each challenger with the rank average where its weights were learnt; say why where that is impossible."""
    comparisons: dict[str, Comparison] = {}
    missing: dict[str, str] = {}
    share = (1 - ensembling.confidence) / max(1, len(ensembling.challengers))
    evaluation = EvaluationParameters(
        n_resamples=ensembling.n_resamples,
        confidence=1 - share,
        min_sessions=ensembling.min_sessions,
        min_symbols=ensembling.min_symbols,
    )
    for name in ensembling.challengers:
        learnt = combined[name].learnt
        where = learnt if learnt.any() or combined[name].fallback_folds else np.ones(len(learnt), dtype=np.bool_)
        challenger = frames[name].filter(pl.Series(where)).sort(key_of(frames[name]))
        default = frames[DEFAULT].filter(pl.Series(where)).sort(key_of(frames[DEFAULT]))
        labelled = challenger.filter(pl.col("label").is_not_null())
        if labelled["session"].n_unique() < ensembling.min_sessions or labelled["label"].n_unique() < 2:
            missing[name] = (
                f"{labelled['session'].n_unique()} sessions with learnt weights; min_sessions is {ensembling.min_sessions}"
            )
            continue
        comparisons[name] = compare(challenger, default, evaluation=evaluation, seed=seed, metric=ensembling.metric)
    return comparisons, missing


def _explain(
    inputs: Inputs,
    *,
    combined: dict[str, Combined],
    comparisons: dict[str, Comparison],
    missing: dict[str, str],
    choice: str,
    ensembling: EnsemblingParameters,
) -> str:
    sentences = [
        f"Combined {len(inputs.models)} models ({', '.join(inputs.models)}) on {inputs.rows.height:,} rows that all scored."
    ]
    if inputs.n_dropped:
        sentences.append(f"{inputs.n_dropped:,} rows that not every model scored are left out.")
    if inputs.ranked_within == "past":
        sentences.append(
            "Sessions have one symbol each, so that scores are ranked among the model's own earlier scores."
        )
    for name, one in combined.items():
        if one.fallback_folds:
            folds = ", ".join(str(fold) for fold in one.fallback_folds)
            sentences.append(f"{name} had too little past before fold {folds} and is the rank average there.")
    for name, reason in missing.items():
        sentences.append(f"{name} could not be compared ({reason}).")
    for name, gain in comparisons.items():
        sentences.append(
            f"{name} minus rank_mean: {gain.metric} {gain.delta:+.4f} [{gain.lo:+.4f}, {gain.hi:+.4f}] over {gain.n_sessions:,} sessions."
        )
    if choice == DEFAULT:
        sentences.append("No challenger is better by more than luck explains: the ensemble is the rank average.")
    else:
        sentences.append(
            f"The ensemble is {choice}. It was chosen on the sessions that its score is reported on, a selection among "
            f"{1 + len(ensembling.challengers)}; only sessions that come after are free of it."
        )
    return " ".join(sentences)
