"""Ways of making one score of many: averages, and stacks that learn their weights from past folds alone."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from conviction.ensembling._context import context_columns
from conviction.ensembling._forward import Step, forward_steps
from conviction.ensembling._inputs import Inputs
from conviction.ensembling.parameters import CombinerName, EnsemblingParameters
from conviction.evaluation import auc

if TYPE_CHECKING:
    import numpy.typing as npt

    Floats = npt.NDArray[np.float64]
    Bools = npt.NDArray[np.bool_]

_CLIP = 1e-6


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
    del ensembling, seed
    return Combined(inputs.scores.mean(axis=1), np.zeros(inputs.rows.height, dtype=np.bool_))


def rank_mean(inputs: Inputs, *, ensembling: EnsemblingParameters, seed: int) -> Combined:
    """Average the ranks within each session, mapped by one fixed line to probabilities around one half.

    The line, 0.5 + slope (rank - 0.5), does not change any AUC; its slope is what an AUC of 0.5 + slope / 3 implies, so
    that the log loss of an average of ranks means something.
    """
    del seed
    score = _as_probability(inputs.ranks.mean(axis=1), ensembling)
    return Combined(score, np.zeros(inputs.rows.height, dtype=np.bool_))


def past_weighted(inputs: Inputs, *, ensembling: EnsemblingParameters, seed: int) -> Combined:
    """Average the ranks with weights in proportion to each model's past AUC above one half."""
    del seed
    label = inputs.label

    def learn(step: Step) -> tuple[Floats, Floats]:
        past = label[step.past] == 1
        lift = np.array([max(0.0, auc(column, past) - 0.5) for column in inputs.ranks[step.past].T])
        weight = lift / lift.sum() if lift.sum() > 0 else np.full(len(lift), 1 / len(lift))
        return _as_probability(inputs.ranks[step.now] @ weight, ensembling), weight

    return _forward(inputs, ensembling, learn, inputs.models)


def stack_logistic(inputs: Inputs, *, ensembling: EnsemblingParameters, seed: int) -> Combined:
    """Stack by a ridge-penalised logistic regression on the log-odds and ranks of all models."""
    del seed
    design, names = _design(inputs, ensembling)
    label = inputs.label

    def learn(step: Step) -> tuple[Floats, Floats]:
        past, now = _standardised(design, step)
        coefficients = ridge_logistic(past, label[step.past], penalty=ensembling.regularisation)
        return _sigmoid(coefficients[0] + now @ coefficients[1:]), coefficients[1:]

    return _forward(inputs, ensembling, learn, names)


def stack_mlp(inputs: Inputs, *, ensembling: EnsemblingParameters, seed: int) -> Combined:
    """Stack by a small multi-layer perceptron, early-stopped on the last part of the past."""
    design, names = _design(inputs, ensembling)
    label = inputs.label

    def learn(step: Step) -> tuple[Floats, None]:
        from sklearn.neural_network import MLPClassifier

        past, now = _standardised(design, step)
        model = MLPClassifier(
            hidden_layer_sizes=(8,), alpha=1.0, batch_size=min(512, len(past)), max_iter=20, tol=0.0, random_state=seed
        )
        model.n_iter_no_change = model.max_iter  # runs its epochs: convergence is not asked for, so it cannot be missed
        _fit_quietly(model, past, label[step.past].astype(int))
        return np.asarray(model.predict_proba(now)[:, 1], dtype=np.float64), None

    return _forward(inputs, ensembling, learn, names)


def stack_xgboost(inputs: Inputs, *, ensembling: EnsemblingParameters, seed: int) -> Combined:
    """Stack by a few shallow boosted trees."""
    design, names = _design(inputs, ensembling)
    label = inputs.label

    def learn(step: Step) -> tuple[Floats, None]:
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
        past, now = _standardised(design, step)
        booster = xgboost.train(settings, xgboost.DMatrix(past, label[step.past], nthread=1), num_boost_round=60)
        return booster.predict(xgboost.DMatrix(now, nthread=1)).astype(np.float64), None

    return _forward(inputs, ensembling, learn, names)


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
        p = _sigmoid(design @ beta)
        gradient = design.T @ (p - y) + ridge @ beta
        hessian = (design * (p * (1 - p))[:, None]).T @ design + ridge
        step = np.linalg.solve(hessian, gradient)
        beta -= step
        if np.abs(step).max() < 1e-10:
            break
    return beta


def _design(inputs: Inputs, ensembling: EnsemblingParameters) -> tuple[Floats, tuple[str, ...]]:
    """Put log-odds, ranks and (where asked for) context side by side."""
    clipped = np.clip(inputs.scores, _CLIP, 1 - _CLIP)
    columns = [np.log(clipped / (1 - clipped)), inputs.ranks]
    names = [f"logit_{model}" for model in inputs.models] + [f"rank_{model}" for model in inputs.models]
    if ensembling.context:
        context = context_columns(inputs, purge=ensembling.purge)
        columns.append(context.to_numpy())
        names += context.columns
    return np.column_stack(columns), tuple(names)


def _standardised(design: Floats, step: Step) -> tuple[Floats, Floats]:
    """Scale past and present rows by the mean and deviation of the past ones; a constant column becomes zero."""
    centre = design[step.past].mean(axis=0)
    spread = design[step.past].std(axis=0)
    scale = np.where(spread > 1e-12, spread, np.inf)
    return (design[step.past] - centre) / scale, (design[step.now] - centre) / scale


def _forward(
    inputs: Inputs,
    ensembling: EnsemblingParameters,
    learn: Callable[[Step], tuple[Floats, Floats | None]],
    names: tuple[str, ...],
) -> Combined:
    """Learn before each fold from what was known then; where too little was known, keep the rank average."""
    score = _as_probability(inputs.ranks.mean(axis=1), ensembling)
    learnt = np.zeros(len(score), dtype=np.bool_)
    weights: list[tuple[int, str, float]] = []
    fallback: list[int] = []
    label = inputs.label
    for step in forward_steps(inputs.rows, purge=ensembling.purge):
        if step.n_past_sessions < ensembling.min_past_sessions or len(np.unique(label[step.past])) < 2:
            fallback.append(step.fold)
            continue
        score[step.now], weight = learn(step)
        learnt |= step.now
        if weight is not None:
            weights += [(step.fold, name, float(value)) for name, value in zip(names, weight, strict=True)]
    return Combined(score, learnt, tuple(weights), tuple(fallback))


def _as_probability(rank: Floats, ensembling: EnsemblingParameters) -> Floats:
    return 0.5 + ensembling.rank_slope * (rank - 0.5)


def _sigmoid(x: Floats) -> Floats:
    return np.asarray(1 / (1 + np.exp(-np.clip(x, -35, 35))), dtype=np.float64)


def _fit_quietly(model: object, X: Floats, y: npt.NDArray[np.int_]) -> None:
    import warnings

    from sklearn.exceptions import ConvergenceWarning

    with warnings.catch_warnings():
        # A fixed number of epochs is the regularisation here, not a failure to converge.
        warnings.simplefilter("ignore", ConvergenceWarning)
        model.fit(X, y)  # type: ignore[attr-defined]


def weights_frame(combined: Mapping[str, Combined]) -> pl.DataFrame:
    """Return the learnt weights of all combiners: ``combiner, fold, input, weight``."""
    records = [(name, *entry) for name, one in combined.items() for entry in one.weights]
    schema = {"combiner": pl.String, "fold": pl.Int32, "input": pl.String, "weight": pl.Float64}
    return pl.DataFrame(records, schema=schema, orient="row")
