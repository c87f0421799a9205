"""A feature panel with a signal of known strength: the positive control of folds, models and tuning."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

import numpy as np
import polars as pl
from numpy.typing import NDArray

from conviction.errors import ParameterError

Vector = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class PlantedPanel:
    """Synthetic features and labels with the attributes of an audited panel.

    Never to be mixed with real data: every symbol starts with ``SYN``.

    Attributes
    ----------
    frame : polars.DataFrame
        `symbol`, `session`, features (Float32), `target_1d` Float64, `direction` and `relative` Int8, `t0`, `t1`.
    features : tuple of str
    targets : tuple of str
        ``("direction", "relative")``.
    planted_auc : float
        AUC of `truth` against `relative`, over all labelled rows.
    truth : polars.Series
        The score that generated the labels, one value a row of `frame`.
    """

    frame: pl.DataFrame
    features: tuple[str, ...]
    targets: tuple[str, ...]
    planted_auc: float
    truth: pl.Series

    @property
    def labels(self) -> pl.DataFrame:
        """Return the labels frame that `make_fold_plan` takes."""
        return self.frame.select("symbol", "session", "target_1d", "direction", "relative", "t0", "t1")


def planted_panel(
    *,
    n_symbols: int,
    n_sessions: int,
    n_features: int,
    planted_auc: float,
    seed: int,
    missing: float = 0.0,
    nonlinear: float = 0.3,
) -> PlantedPanel:
    """Make a panel whose `relative` label can be predicted with a known AUC.

    The latent return of a row is ``rho * score + sqrt(1 - rho^2) * noise``, and rho is found by bisection so that the
    AUC of the score against `relative` is `planted_auc` in the panel that is returned. The score is a weighted sum of
    the first five features and, with the share `nonlinear` of its variance, the product of the first two. A common
    market return is added for `direction`.

    Parameters
    ----------
    n_symbols, n_sessions, n_features : int
        Size; sessions are weekdays from 2015-01-01, at least 5 features. The last session has no label.
    planted_auc : float
        In [0.5, 0.9].
    seed : int
        Same arguments, same bytes.
    missing : float
        Share of feature values made missing, after the labels are drawn.
    nonlinear : float
        Share of the score's variance that no linear model can see.

    Returns
    -------
    PlantedPanel

    Raises
    ------
    ParameterError
        If a size or share is out of bounds.

    Examples
    --------
    >>> panel = planted_panel(n_symbols=3, n_sessions=40, n_features=6, planted_auc=0.53, seed=0)
    >>> panel.frame.height, len(panel.features), panel.frame["relative"].null_count()
    (120, 6, 3)
    """
    if n_symbols < 2 or n_sessions < 2 or n_features < 5 or not 0.5 <= planted_auc <= 0.9 or not 0 <= missing < 1:
        raise ParameterError(
            what="the planted panel cannot be made",
            got=f"{n_symbols} symbols, {n_sessions} sessions, {n_features} features, AUC {planted_auc}, {missing} missing",
            allowed="at least 2 symbols, 2 sessions, 5 features, AUC in [0.5, 0.9], missing in [0, 1)",
            fix="change the size",
        )
    rng = np.random.default_rng(seed)
    rows = n_symbols * n_sessions
    matrix = rng.standard_normal((rows, n_features), dtype=np.float32)
    weights = np.array([0.6, 0.5, 0.4, 0.35, 0.33])
    linear = matrix[:, :5] @ (weights / np.linalg.norm(weights))
    score = np.sqrt(1 - nonlinear) * linear + np.sqrt(nonlinear) * matrix[:, 0] * matrix[:, 1]
    latent = _latent(score, rng.standard_normal(rows), planted_auc=planted_auc, n_symbols=n_symbols)
    market = rng.standard_normal(n_sessions)
    day = np.tile(np.arange(n_sessions), n_symbols)
    matrix[rng.random(matrix.shape) < missing] = np.nan
    sessions = _weekdays(n_sessions + 1)
    closes = sessions.cast(pl.Datetime("us", "UTC")).dt.offset_by("21h")
    names = [f"x{i:03d}" for i in range(n_features)]
    frame = (
        pl.DataFrame(matrix, schema=dict.fromkeys(names, pl.Float32))
        .fill_nan(None)
        .with_columns(
            pl.Series("symbol", np.repeat([f"SYN{i:03d}" for i in range(n_symbols)], n_sessions)),
            sessions[:-1].gather(day).alias("session"),
            pl.Series("target_1d", 0.01 * (latent + 0.7 * market[day])),
            closes[:-1].gather(day).alias("t0"),
            closes[1:].gather(day).alias("t1"),
        )
        .with_columns(
            target_1d=pl.when(pl.col("session") < sessions[n_sessions - 1]).then(pl.col("target_1d")),
        )
        .with_columns(
            direction=(pl.col("target_1d") > 0).cast(pl.Int8),
            relative=(pl.col("target_1d") > pl.col("target_1d").median().over("session")).cast(pl.Int8),
        )
        .select("symbol", "session", *names, "target_1d", "direction", "relative", "t0", "t1")
    )
    return PlantedPanel(
        frame=frame,
        features=tuple(names),
        targets=("direction", "relative"),
        planted_auc=planted_auc,
        truth=pl.Series("truth", score),
    )


def _weekdays(n: int) -> pl.Series:
    days = np.busday_offset(np.datetime64(date(2015, 1, 1)), np.arange(n), roll="forward")
    return pl.Series("session", days).cast(pl.Date)


def _latent(score: Vector, noise: Vector, *, planted_auc: float, n_symbols: int) -> Vector:
    if planted_auc == 0.5:
        return noise
    low, high = 0.0, 0.999
    shape = (n_symbols, -1)
    ranks = np.argsort(np.argsort(score.reshape(shape)[:, :-1].ravel())) + 1.0
    for _ in range(30):
        rho = (low + high) / 2
        latent = rho * score + np.sqrt(1 - rho**2) * noise
        labelled = latent.reshape(shape)[:, :-1]
        ones = (labelled > np.median(labelled, axis=0)).ravel()
        n_ones = int(ones.sum())
        auc = (ranks[ones].sum() - n_ones * (n_ones + 1) / 2) / (n_ones * (ones.size - n_ones))
        low, high = (rho, high) if auc < planted_auc else (low, rho)
    return np.asarray(latent)
