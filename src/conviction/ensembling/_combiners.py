"""Ways of making one score of many: averages, and stacks that learn their weights from past folds alone."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from conviction.ensembling._context import context_columns
from conviction.ensembling._forward import forward_steps
from conviction.ensembling._inputs import Inputs
from conviction.ensembling._learnt import LearntCombiner, as_probability, design_of, sigmoid
from conviction.ensembling.parameters import CombinerName, EnsemblingParameters
from conviction.evaluation import auc

if TYPE_CHECKING:
    import numpy.typing as npt

    Floats = npt.NDArray[np.float64]
    Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Combined:
    """The output of one combiner.

    Attributes
    ----------
    score : numpy.ndarray of float64, shape (n_rows,)
        Of every row of the inputs.
    learnt : numpy.ndarray of bool, shape (n_rows,)
        Rows whose weights were learnt from past folds; all False for a plain average. The others carry the rank average.
    weights : tuple of (int, str, float)
        Fold, input and weight, where the combiner has weights.
    fallback_folds : tuple of int
        Folds before which nothing could be learnt.
    """

    score: Floats
    learnt: Bools
    weights: tuple[tuple[int, str, float], ...] = ()
    fallback_folds: tuple[int, ...] = ()


def mean(inputs: Inputs, *, ensembling: EnsemblingParameters, seed: int) -> Combined:
    """Average the probabilities."""
    del seed
    return _plain_average("mean", inputs, ensembling)


def rank_mean(inputs: Inputs, *, ensembling: EnsemblingParameters, seed: int) -> Combined:
    """Average the ranks within each session, mapped by one fixed line to probabilities around one half.

    The line, 0.5 + slope (rank - 0.5), does not change any AUC; its slope is what an AUC of 0.5 + slope / 3 implies, so
    that the log loss of an average of ranks means something.
    """
    del seed
    return _plain_average("rank_mean", inputs, ensembling)


def past_weighted(inputs: Inputs, *, ensembling: EnsemblingParameters, seed: int) -> Combined:
    """Average the ranks with weights in proportion to each model's past AUC above one half."""
    return _forward("past_weighted", inputs, ensembling, seed)


def stack_logistic(inputs: Inputs, *, ensembling: EnsemblingParameters, seed: int) -> Combined:
    """Stack by a ridge-penalised logistic regression on the log-odds and ranks of all models."""
    return _forward("stack_logistic", inputs, ensembling, seed)


def stack_mlp(inputs: Inputs, *, ensembling: EnsemblingParameters, seed: int) -> Combined:
    """Stack by a small multi-layer perceptron that runs a fixed number of epochs."""
    return _forward("stack_mlp", inputs, ensembling, seed)


def stack_xgboost(inputs: Inputs, *, ensembling: EnsemblingParameters, seed: int) -> Combined:
    """Stack by a few shallow boosted trees."""
    return _forward("stack_xgboost", inputs, ensembling, seed)


COMBINERS: dict[CombinerName, Callable[..., Combined]] = {
    "mean": mean,
    "rank_mean": rank_mean,
    "past_weighted": past_weighted,
    "stack_logistic": stack_logistic,
    "stack_mlp": stack_mlp,
    "stack_xgboost": stack_xgboost,
}


def ridge_logistic(X: Floats, y: Floats, *, penalty: float) -> Floats:
    """Fit a logistic regression with a ridge penalty by Newton's method; the intercept is not penalised.

    Minimises sum of log losses + penalty / 2 x |coefficients|^2, as scikit-learn's ``LogisticRegression(C=1/penalty)``.

    Parameters
    ----------
    X : numpy.ndarray of float64, shape (n_rows, n_columns)
        Standardised columns.
    y : numpy.ndarray of float64, shape (n_rows,)
        0 or 1, both present.
    penalty : float

    Returns
    -------
    numpy.ndarray of float64, shape (1 + n_columns,)
        Intercept first.
    """
    design = np.column_stack([np.ones(len(X)), X])
    ridge = np.diag([0.0, *[penalty] * X.shape[1]])
    rate = y.mean()
    beta = np.zeros(design.shape[1])
    beta[0] = np.log(rate / (1 - rate))
    for _ in range(50):
        p = sigmoid(design @ beta)
        gradient = design.T @ (p - y) + ridge @ beta
        hessian = (design * (p * (1 - p))[:, None]).T @ design + ridge
        step = np.linalg.solve(hessian, gradient)
        beta -= step
        if np.abs(step).max() < 1e-10:
            break
    return beta


def learn_combiner(
    name: CombinerName, inputs: Inputs, past: Bools, *, ensembling: EnsemblingParameters, seed: int
) -> LearntCombiner:
    """Learn a combiner from some rows.

    Parameters
    ----------
    name : str
        Name in `COMBINERS`.
    inputs : Inputs
    past : numpy.ndarray of bool, shape (n_rows,)
        Labelled rows to learn from; a plain average learns nothing.
    ensembling : EnsemblingParameters
    seed : int

    Returns
    -------
    LearntCombiner
    """
    numbers: dict[str, Floats] = {}
    booster = b""
    if name == "past_weighted":
        ones = inputs.label[past] == 1
        lift = np.array([max(0.0, auc(column, ones) - 0.5) for column in inputs.ranks[past].T])
        numbers["weight"] = lift / lift.sum() if lift.sum() > 0 else np.full(len(lift), 1 / len(lift))
    elif name.startswith("stack_"):
        rows = design_of(inputs.scores, inputs.ranks, _context(inputs, ensembling))[past]
        spread = rows.std(axis=0)
        # A constant column becomes zero.
        numbers |= {"centre": rows.mean(axis=0), "scale": np.where(spread > 1e-12, spread, np.inf)}
        rows = (rows - numbers["centre"]) / numbers["scale"]
        label = inputs.label[past]
        if name == "stack_logistic":
            numbers["coefficients"] = ridge_logistic(rows, label, penalty=ensembling.regularisation)
        elif name == "stack_mlp":
            numbers |= _fit_perceptron(rows, label, seed=seed)
        else:
            booster = _fit_trees(rows, label, seed=seed)
    return LearntCombiner(name, inputs.models, ensembling.rank_slope, numbers, booster)


def _context(inputs: Inputs, ensembling: EnsemblingParameters) -> Floats | None:
    return context_columns(inputs, purge=ensembling.purge).to_numpy() if ensembling.context else None


def _plain_average(name: CombinerName, inputs: Inputs, ensembling: EnsemblingParameters) -> Combined:
    nothing = np.zeros(inputs.rows.height, dtype=np.bool_)
    learnt = learn_combiner(name, inputs, nothing, ensembling=ensembling, seed=0)
    return Combined(learnt.apply(inputs.scores, inputs.ranks), nothing)


def _forward(name: CombinerName, inputs: Inputs, ensembling: EnsemblingParameters, seed: int) -> Combined:
    """Learn before each fold from what was known then; where too little was known, keep the rank average."""
    score = as_probability(inputs.ranks.mean(axis=1), ensembling.rank_slope)
    learnt = np.zeros(len(score), dtype=np.bool_)
    weights: list[tuple[int, str, float]] = []
    fallback: list[int] = []
    label = inputs.label
    context = _context(inputs, ensembling) if name.startswith("stack_") else None
    for step in forward_steps(inputs.rows, purge=ensembling.purge):
        if step.n_past_sessions < ensembling.min_past_sessions or len(np.unique(label[step.past])) < 2:
            fallback.append(step.fold)
            continue
        one = learn_combiner(name, inputs, step.past, ensembling=ensembling, seed=seed)
        now = step.now
        score[now] = one.apply(inputs.scores[now], inputs.ranks[now], None if context is None else context[now])
        learnt |= now
        weights += [(step.fold, entry, value) for entry, value in _weights(one, inputs, ensembling)]
    return Combined(score, learnt, tuple(weights), tuple(fallback))


def _weights(one: LearntCombiner, inputs: Inputs, ensembling: EnsemblingParameters) -> list[tuple[str, float]]:
    """Return the weights of a combiner that has one for each of its inputs."""
    if "weight" in one.numbers:
        return list(zip(one.models, one.numbers["weight"].tolist(), strict=True))
    if "coefficients" not in one.numbers:
        return []
    names = [f"logit_{model}" for model in one.models] + [f"rank_{model}" for model in one.models]
    if ensembling.context:
        names += context_columns(inputs, purge=ensembling.purge).columns
    return list(zip(names, one.numbers["coefficients"][1:].tolist(), strict=True))


def _fit_perceptron(X: Floats, y: Floats, *, seed: int) -> dict[str, Floats]:
    import warnings

    from sklearn.exceptions import ConvergenceWarning
    from sklearn.neural_network import MLPClassifier

    model = MLPClassifier(
        hidden_layer_sizes=(8,), alpha=1.0, batch_size=min(512, len(X)), max_iter=20, tol=0.0, random_state=seed
    )
    model.n_iter_no_change = model.max_iter  # runs its epochs: convergence is not asked for, so it cannot be missed
    with warnings.catch_warnings():
        # A fixed number of epochs is the regularisation here, not a failure to converge.
        warnings.simplefilter("ignore", ConvergenceWarning)
        model.fit(X, y.astype(int))
    return {
        "hidden": model.coefs_[0],
        "hidden_bias": model.intercepts_[0],
        "out": model.coefs_[1][:, 0],
        "out_bias": model.intercepts_[1],
    }


def _fit_trees(X: Floats, y: Floats, *, seed: int) -> bytes:
    import xgboost

    settings = {
        "objective": "binary:logistic",
        "max_depth": 2,
        "eta": 0.05,
        "subsample": 0.8,
        "min_child_weight": 50,
        "lambda": 10.0,
        "nthread": 1,
        "seed": seed,
    }
    booster = xgboost.train(settings, xgboost.DMatrix(X, y, nthread=1), num_boost_round=60)
    return bytes(booster.save_raw("ubj"))


def weights_frame(combined: Mapping[str, Combined]) -> pl.DataFrame:
    """Return the learnt weights of all combiners: ``combiner, fold, input, weight``."""
    records = [(name, *entry) for name, one in combined.items() for entry in one.weights]
    schema = {"combiner": pl.String, "fold": pl.Int32, "input": pl.String, "weight": pl.Float64}
    return pl.DataFrame(records, schema=schema, orient="row")
