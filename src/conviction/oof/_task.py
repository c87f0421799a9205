"""One task: fit the rows of one fold (of all symbols, or of one) and predict the rows that it scores."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import polars as pl

from conviction.errors import ModelError, SeenRowError
from conviction.folds import FoldPlan, Role
from conviction.frames import fingerprint, key_of
from conviction.models import FittedModel, ModelParameters, calibrate, fit_blocks, model_spec
from conviction.oof._explained import explain
from conviction.oof.parameters import FittingParameters

if TYPE_CHECKING:
    from conviction.models import Block
    from conviction.oof._rows import LabelledRows

OOF_KEY = ("symbol", "session", "target", "model")


def oof_key(frame: pl.DataFrame) -> tuple[str, ...]:
    """Return what names a row of an out-of-fold frame: its row of the panel, target and model."""
    return (*key_of(frame), "target", "model")


OOF_SCHEMA = {
    "symbol": pl.String,
    "session": pl.Date,
    "target": pl.String,
    "model": pl.String,
    "fold": pl.Int32,
    "score": pl.Float64,
    "label": pl.Int8,
    "forward_return": pl.Float64,
}


@dataclass(frozen=True, eq=False)
class Task:
    """What one fit needs; plain data, so that it can go to another process."""

    rows: LabelledRows
    plan: FoldPlan
    fold: int
    role: Role
    model: str
    label: str
    params: Mapping[str, Any] | ModelParameters | None
    fitting: FittingParameters
    seed: int
    n_threads: int
    symbol: str | None = None
    min_train_rows: int = 1
    feature_parameters: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class Fit:
    """What one task gave; `model` and `table` are None when it was skipped."""

    fold: int
    symbol: str | None
    model: FittedModel | None
    table: pl.DataFrame | None
    facts: dict[str, Any]
    skipped: str | None = None
    importance: pl.DataFrame | None = None


def oof_label(model: str, fitting: FittingParameters, *, per_symbol: bool) -> str:
    """Return the name under which predictions are filed: `lightgbm`, `lightgbm+isotonic`, `lightgbm@symbol`."""
    return model + (f"+{fitting.calibration}" if fitting.calibration else "") + ("@symbol" if per_symbol else "")


def run_task(task: Task) -> Fit:
    """Fit and predict; a symbol that cannot be fitted is skipped with its reason, a whole fold is an error."""
    rows = task.rows if task.symbol is None else task.rows.of_symbol(task.symbol)
    scored = task.plan.sessions(task.fold, task.role)
    started = time.perf_counter()
    try:
        fitted, seen = _fit(rows, task)
        between = time.perf_counter()
        where = rows.place(scored)
        asked = rows.block(scored, labels=False)
        scores = fitted.predict_block(asked)
    except ModelError as error:
        if task.symbol is not None and not isinstance(error, SeenRowError):
            return Fit(task.fold, task.symbol, None, None, {"fold": task.fold}, f"{error.what}: got {error.got}")
        error.add_note(f"while fitting fold {task.fold} of {task.model} on {rows.target}")
        raise
    table = (
        rows.keys[where]
        .with_columns(
            pl.lit(rows.target).alias("target"),
            pl.lit(task.label).alias("model"),
            pl.lit(task.fold, pl.Int32).alias("fold"),
            pl.Series("score", scores),
            pl.Series("label", rows.y[where]).cast(pl.Int8),
            rows.forward_return[where],
        )
        .cast(OOF_SCHEMA)  # type: ignore[arg-type]  # the end of a bar, where there is one, stays as it is
    )
    facts = {
        "fold": task.fold,
        "symbol": task.symbol,
        "rows_seen": seen.height,
        "rows_scored": table.height,
        "seconds_fit": between - started,
        "seconds_predict": time.perf_counter() - between,
        "seen": fingerprint(seen),
        "rounds": fitted.facts.get("best_iteration"),
    }
    return Fit(task.fold, task.symbol, fitted, table, facts, importance=explain(fitted, asked))


def _fit(rows: LabelledRows, task: Task) -> tuple[FittedModel, pl.DataFrame]:
    """Return the fitted (and calibrated) model and the keys of all rows that it has seen."""
    uses_inner = model_spec(task.model).capabilities.uses_inner
    held = None
    if task.fitting.calibration is None:
        train, inner = fold_blocks(rows, task.plan, task.fold, uses_inner=uses_inner, fitting=task.fitting)
    else:
        train, inner, held = rows.cut(
            task.plan.sessions(task.fold, "train"),
            task.plan.sessions(task.fold, "inner"),
            uses_inner=uses_inner,
            fitting=task.fitting,
        )
    if len(train) < task.min_train_rows:
        raise ModelError(
            what="too few sessions to train on",
            got=f"{len(train)} rows",
            allowed=f"at least min_train_rows={task.min_train_rows}",
            fix="use a longer history, or pool the symbols",
        )
    fitted = fit_blocks(task.model, train, inner, params=task.params, seed=task.seed, n_threads=task.n_threads)
    if task.fitting.refit and uses_inner:
        fitted = replace(_refitted(fitted, rows, task), curve=fitted.curve)
    if held is not None and task.fitting.calibration is not None:
        fitted = calibrate(fitted, held, kind=task.fitting.calibration)
    if task.feature_parameters:
        fitted = replace(fitted, feature_parameters=dict(task.feature_parameters))
    keys = [block.keys for block in (train, inner, held) if block is not None and block.keys is not None]
    return fitted, pl.concat(keys)


def _refitted(fitted: FittedModel, rows: LabelledRows, task: Task) -> FittedModel:
    """Boost for the rounds that early stopping chose, on all sessions of the fold that may be fitted."""
    chosen = fitted.parameters.model_dump(by_alias=True)
    if "n_estimators" not in chosen or "early_stopping_rounds" not in chosen:
        raise ModelError(
            what=f"{task.model} cannot be refitted for a number of rounds",
            got="fitting.refit=true",
            allowed="a boosted model",
            fix="set fitting.refit to false for this model",
        )
    chosen |= {"n_estimators": fitted.facts["best_iteration"], "early_stopping_rounds": None}
    everything, _ = fold_blocks(rows, task.plan, task.fold, uses_inner=False, fitting=task.fitting)
    return fit_blocks(task.model, everything, None, params=chosen, seed=task.seed, n_threads=task.n_threads)


def fold_blocks(
    rows: LabelledRows, plan: FoldPlan, fold: int, *, uses_inner: bool, fitting: FittingParameters | None = None
) -> tuple[Block, Block | None]:
    """Return the rows to fit on and to watch: train and inner apart, or together when the model has no use for inner."""
    train, inner = plan.sessions(fold, "train"), plan.sessions(fold, "inner")
    if uses_inner:
        return rows.block(train, fitting=fitting), rows.block(inner) if len(inner) else None
    return rows.block(pl.concat([train, inner]), fitting=fitting), None
