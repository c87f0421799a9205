"""One table of many symbols, and what luck alone would have put into it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import e, sqrt
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from conviction.errors import EvaluationError
from conviction.evaluation._auc import SortedRows, auc, session_influence
from conviction.evaluation._resampling import block_counts, block_length, bootstrap_estimate
from conviction.evaluation._rows import Rows, rows_of
from conviction.evaluation.parameters import EvaluationParameters

if TYPE_CHECKING:
    import numpy.typing as npt

_EULER = 0.5772156649015329


def null_auc_se(*, n_positive: float, n_negative: float) -> float:
    """Return the standard error of the AUC of a worthless score over independent rows.

    sqrt((n1 + n0 + 1) / (12 n1 n0)): the Mann-Whitney null (Mann and Whitney 1947; Hanley and McNeil 1982). Right for one
    symbol; far too small for rows that share sessions.

    Examples
    --------
    >>> round(null_auc_se(n_positive=125, n_negative=125), 4)
    0.0366
    """
    return sqrt((n_positive + n_negative + 1) / (12 * n_positive * n_negative))


def expected_best(n: float, *, se: float) -> float:
    """Return the AUC that the best of n worthless, independent scores shows in expectation.

    0.5 + s [(1 - g) z(1 - 1/n) + g z(1 - 1/(n e))], g the Euler-Mascheroni constant (Bailey and Lopez de Prado 2014).

    Parameters
    ----------
    n : float
        Number of scores tried, or their effective number; at least 1.
    se : float
        Standard deviation of one worthless score's AUC.

    Raises
    ------
    EvaluationError
        When `n` is below 1 or `se` is negative.

    Examples
    --------
    >>> round(expected_best(46, se=0.0366), 3), round(expected_best(15, se=0.0366), 3)
    (0.582, 0.565)
    """
    if n < 1 or se < 0:
        raise EvaluationError(
            what="the expected best of several scores is not defined",
            got=f"n = {n}, se = {se}",
            allowed="n >= 1 and se >= 0",
            fix="count every score that was tried, the rejected ones too",
        )
    if n == 1:
        return 0.5
    from scipy.stats import norm

    return float(0.5 + se * ((1 - _EULER) * norm.ppf(1 - 1 / n) + _EULER * norm.ppf(1 - 1 / (n * e))))


@dataclass(frozen=True)
class LuckLine:
    """What a table of symbols shows when no symbol has any skill.

    Attributes
    ----------
    n_symbols : int
    threshold : float
        The AUC that was to impress.
    null_se : float
        Standard error of one worthless symbol's AUC (mean over symbols).
    expected_above : float
        How many symbols luck alone puts above `threshold`.
    chance_of_any : float
        Probability that it puts at least one there, were the symbols independent.
    expected_best : float
        What the best symbol shows in expectation.
    """

    n_symbols: int
    threshold: float
    null_se: float
    expected_above: float
    chance_of_any: float
    expected_best: float

    def __str__(self) -> str:
        """Say it in one sentence."""
        return (
            f"Of {self.n_symbols} symbols without skill, {self.expected_above:.1f} exceed {self.threshold:g} by chance and the "
            f"best shows {self.expected_best:.3f}; the chance that at least one exceeds it is {self.chance_of_any:.0%}."
        )


def luck_line(
    *, n_symbols: int, n_sessions: int | Sequence[int], threshold: float = 0.55, base_rate: float = 0.5
) -> LuckLine:
    """Return what luck alone puts into a table of symbols' AUCs.

    Symbols are taken as independent, which is the case with the highest best; dependence lowers it, and `best_symbol_test`
    measures it by permuting whole sessions.

    Parameters
    ----------
    n_symbols : int
        Symbols tried, the unimpressive ones too.
    n_sessions : int or sequence of int
        Labelled sessions of each symbol.
    threshold : float
    base_rate : float
        Share of ones.

    Raises
    ------
    EvaluationError
        When there is no symbol, fewer than two sessions, or the number of lengths is not the number of symbols.

    Examples
    --------
    >>> print(luck_line(n_symbols=46, n_sessions=250))
    Of 46 symbols without skill, 4.0 exceed 0.55 by chance and the best shows 0.582; the chance that at least one exceeds it is 98%.
    """
    lengths = [n_sessions] * n_symbols if isinstance(n_sessions, int) else list(n_sessions)
    if n_symbols < 1 or len(lengths) != n_symbols or min(lengths) < 2 or not 0 < base_rate < 1:
        raise EvaluationError(
            what="the luck line of a table of symbols is not defined",
            got=f"{n_symbols} symbols, {len(lengths)} lengths, shortest {min(lengths, default=0)}, base rate {base_rate}",
            allowed="at least one symbol, at least two sessions for each, a base rate inside (0, 1)",
            fix="give the number of labelled sessions of every symbol that was tried",
        )
    from scipy.stats import norm

    errors = np.array([null_auc_se(n_positive=base_rate * n, n_negative=(1 - base_rate) * n) for n in lengths])
    above = norm.sf((threshold - 0.5) / errors)
    return LuckLine(
        n_symbols=n_symbols,
        threshold=threshold,
        null_se=float(errors.mean()),
        expected_above=float(above.sum()),
        chance_of_any=float(1 - np.prod(1 - above)),
        expected_best=expected_best(n_symbols, se=float(errors.mean())),
    )


def per_symbol(oof_one: pl.DataFrame, *, evaluation: EvaluationParameters, seed: int) -> pl.DataFrame:
    """Return the AUC of each symbol with its interval and its false-discovery rate.

    All symbols share one set of block-bootstrap resamples of sessions. `p` is two-sided against one half; `q` is Benjamini
    and Hochberg's 1995 adjusted p-value over the symbols that have one.

    Parameters
    ----------
    oof_one : polars.DataFrame
        As `score` takes it.
    evaluation : EvaluationParameters
    seed : int

    Returns
    -------
    polars.DataFrame
        Sorted by symbol: ``symbol``, ``n_sessions`` UInt32 (labelled), ``base_rate`` (share of ones), ``auc``, ``auc_lo``,
        ``auc_hi``, ``p``, ``q`` Float64, ``discovery`` Boolean (q below 1 - confidence and AUC above one half), ``reason``
        (why an interval is null, else null).

    Examples
    --------
    >>> from conviction.evaluation import simulate_null_oof
    >>> table = per_symbol(simulate_null_oof(n_symbols=8, n_sessions=120, seed=3), evaluation=EvaluationParameters(), seed=0)
    >>> table.height, table["discovery"].sum()
    (8, 0)
    """
    rows = rows_of(oof_one)
    influence = session_influence(rows.score, rows.label, rows.session, rows.n_sessions)
    block = block_length(influence, minimum=evaluation.min_block)
    counts = block_counts(
        rows.n_sessions, block=block, n_resamples=evaluation.n_resamples, rng=np.random.default_rng(seed)
    )
    codes = rows.frame["symbol"].rank("dense").to_numpy().astype(np.int64) - 1
    symbols = rows.frame["symbol"].unique().sort().to_list()
    order = np.argsort(codes, kind="stable")
    bounds = np.searchsorted(codes[order], np.arange(len(symbols) + 1))
    records: list[dict[str, object]] = []
    for position, symbol in enumerate(symbols):
        members = order[bounds[position] : bounds[position + 1]]
        records.append(
            {
                "symbol": symbol,
                "n_sessions": len(members),
                "base_rate": float(rows.label[members].mean()),
                **_one_symbol(rows, members, counts=counts, block=block, evaluation=evaluation),
            }
        )
    schema = {
        "symbol": pl.String,
        "n_sessions": pl.UInt32,
        "base_rate": pl.Float64,
        "auc": pl.Float64,
        "auc_lo": pl.Float64,
        "auc_hi": pl.Float64,
        "p": pl.Float64,
        "reason": pl.String,
    }
    table = pl.DataFrame(records, schema=schema)
    q = benjamini_hochberg(table["p"].to_numpy())
    return table.with_columns(q=pl.Series(q).fill_nan(None)).select(
        *[name for name in schema if name != "reason"],
        "q",
        discovery=((pl.col("q") < 1 - evaluation.confidence) & (pl.col("auc") > 0.5)).fill_null(value=False),
        reason="reason",
    )


def benjamini_hochberg(p: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return Benjamini and Hochberg's adjusted p-values; NaN stays NaN and is not counted as a test.

    Examples
    --------
    >>> benjamini_hochberg(np.array([0.01, 0.02, np.nan, 0.9])).round(3).tolist()
    [0.03, 0.03, nan, 0.9]
    """
    from scipy.stats import false_discovery_control

    out = np.full(len(p), np.nan)
    tested = np.isfinite(p)
    if tested.any():
        out[tested] = false_discovery_control(p[tested])
    return out


def _one_symbol(
    rows: Rows,
    members: npt.NDArray[np.int64],
    *,
    counts: npt.NDArray[np.float64],
    block: int,
    evaluation: EvaluationParameters,
) -> dict[str, object]:
    score, label = rows.score[members], rows.label[members]
    if label.all() or not label.any():
        return {"auc": None, "auc_lo": None, "auc_hi": None, "p": None, "reason": "only one class among its labels"}
    value = auc(score, label)
    if len(score) < evaluation.min_sessions:
        reason = f"{len(score)} sessions, fewer than min_sessions = {evaluation.min_sessions}"
        return {"auc": value, "auc_lo": None, "auc_hi": None, "p": None, "reason": reason}
    resampled = SortedRows.of(score, label, rows.session[members]).resampled_auc(counts)
    estimate = bootstrap_estimate(
        value, resampled, null=0.5, confidence=evaluation.confidence, block=block, n_sessions=len(score)
    )
    varies = bool(np.isfinite(estimate.p))
    return {
        "auc": value,
        "auc_lo": max(0.0, estimate.lo),
        "auc_hi": min(1.0, estimate.hi),
        "p": estimate.p if varies else None,
        "reason": None if varies else "its score does not vary",
    }
