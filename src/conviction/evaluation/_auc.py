"""The area under the ROC curve: of rows, of sessions, and of thousands of resamples of whole sessions at once."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

if TYPE_CHECKING:
    import numpy.typing as npt

    Floats = npt.NDArray[np.float64]
    Ints = npt.NDArray[np.int64]
    Bools = npt.NDArray[np.bool_]

# Resamples handled together: their running sums stay in the first-level cache and fill whole vector registers.
_LANES = 32


def auc(score: Floats, label: Bools) -> float:
    """Return the area under the ROC curve: P(score of a 1 > score of a 0), ties counting one half.

    The Mann-Whitney form (Hanley and McNeil 1982).

    Parameters
    ----------
    score : numpy.ndarray of float64, shape (n,)
        Finite.
    label : numpy.ndarray of bool, shape (n,)

    Returns
    -------
    float
        NaN when one class is missing.

    Examples
    --------
    >>> auc(np.array([0.1, 0.4, 0.35, 0.8]), np.array([False, False, True, True]))
    0.75
    """
    n_positive = int(label.sum())
    n_negative = len(label) - n_positive
    if not n_positive or not n_negative:
        return float("nan")
    ranks = pl.Series(score).rank("average").to_numpy()
    u = ranks[label].sum() - n_positive * (n_positive + 1) / 2
    return float(u / (n_positive * n_negative))


def session_influence(score: Floats, label: Bools, session: Ints, n_sessions: int) -> Floats:
    """Return the part each session has in the deviation of the pooled AUC from its limit.

    The first-order (Hajek) projection of the Mann-Whitney statistic, summed over the rows of a session: a positive row
    contributes how much of the other class it beats minus the AUC, over the number of positives, a negative row
    likewise (DeLong, DeLong and Clarke-Pearson 1988). The sum over sessions is zero; its long-run variance is the
    variance of the AUC when sessions, not rows, are the sample.

    Returns
    -------
    numpy.ndarray of float64, shape (n_sessions,)
        All zero when one class is missing.
    """
    n_positive = int(label.sum())
    n_negative = len(label) - n_positive
    if not n_positive or not n_negative:
        return np.zeros(n_sessions)
    overall = pl.Series(score).rank("average").to_numpy()
    within = np.empty(len(score))
    for members in (label, ~label):
        within[members] = pl.Series(score[members]).rank("average").to_numpy()
    beaten = (overall - within) / np.where(label, n_negative, n_positive)
    placement = np.where(label, beaten, 1.0 - beaten)
    centred = (placement - auc(score, label)) / np.where(label, n_positive, n_negative)
    return np.asarray(np.bincount(session, weights=centred, minlength=n_sessions), dtype=np.float64)


def _kernel(session: Any, label: Any, last_of_tie: Any, counts: Any) -> Any:
    """Weighted AUC of every column of `counts` in one pass over rows sorted by score; compiled by numba."""
    n_resamples = counts.shape[1]
    below = np.zeros(n_resamples)
    positive = np.zeros(n_resamples)
    tie_negative = np.zeros(n_resamples)
    tie_positive = np.zeros(n_resamples)
    wins = np.zeros(n_resamples)
    for i in range(session.shape[0]):
        s = session[i]
        if label[i]:
            for k in range(n_resamples):
                tie_positive[k] += counts[s, k]
        else:
            for k in range(n_resamples):
                tie_negative[k] += counts[s, k]
        if last_of_tie[i]:
            for k in range(n_resamples):
                wins[k] += tie_positive[k] * (below[k] + 0.5 * tie_negative[k])
                below[k] += tie_negative[k]
                positive[k] += tie_positive[k]
                tie_negative[k] = 0.0
                tie_positive[k] = 0.0
    return wins / (positive * below)


@cache
def _compiled_kernel() -> Any:
    import numba

    return numba.njit(cache=True, error_model="numpy")(_kernel)


@dataclass(frozen=True)
class SortedRows:
    """Rows sorted by score, ready for the AUC of any weighting of sessions."""

    session: Ints
    label: Bools
    last_of_tie: Bools

    @classmethod
    def of(cls, score: Floats, label: Bools, session: Ints) -> SortedRows:
        """Sort the rows once; ties are marked, so that they count one half."""
        order = np.argsort(score, kind="stable")
        ordered = score[order]
        last = np.ones(len(ordered), dtype=np.bool_)
        last[:-1] = ordered[1:] != ordered[:-1]
        return cls(np.ascontiguousarray(session[order]), np.ascontiguousarray(label[order]), last)

    def resampled_auc(self, counts: Floats) -> Floats:
        """Return the AUC of each resample of sessions.

        Parameters
        ----------
        counts : numpy.ndarray of float64, shape (n_resamples, n_sessions)
            How often each session is drawn; all rows of a session move together.

        Returns
        -------
        numpy.ndarray of float64, shape (n_resamples,)
            NaN where a resample has one class only.
        """
        kernel = _compiled_kernel()
        by_session = np.ascontiguousarray(counts.T)
        out = np.empty(counts.shape[0])
        for start in range(0, counts.shape[0], _LANES):
            lanes = np.ascontiguousarray(by_session[:, start : start + _LANES])
            out[start : start + _LANES] = kernel(self.session, self.label, self.last_of_tie, lanes)
        return out


def daily_auc(frame: pl.DataFrame, *, min_symbols: int) -> pl.DataFrame:
    """Return the cross-sectional AUC of each session.

    Parameters
    ----------
    frame : polars.DataFrame
        Labelled rows: ``session``, ``score``, ``label``.
    min_symbols : int
        Sessions with fewer symbols are left out, and so are sessions with one class only.

    Returns
    -------
    polars.DataFrame
        ``session`` Date ascending, ``auc`` Float64, ``n_symbols`` UInt32. Of intraday bars (a column ``bar_end``) the cross-section is one bar,
        and a session has the mean over its bars.

    Examples
    --------
    >>> from datetime import date
    >>> rows = pl.DataFrame({"session": [date(2020, 1, 2)] * 4, "score": [0.1, 0.4, 0.35, 0.8], "label": [0, 0, 1, 1]})
    >>> daily_auc(rows, min_symbols=2)["auc"].to_list()
    [0.75]
    """
    ones = pl.col("label").cast(pl.Int64).sum()
    section = _section(frame)
    by_section = (
        frame.select(*section, "label", rank=pl.col("score").rank("average").over(section))
        .group_by(section)
        .agg(
            positive=ones,
            n_symbols=pl.len(),
            rank_sum=pl.col("rank").filter(pl.col("label") == 1).sum(),
        )
        .with_columns(negative=pl.col("n_symbols").cast(pl.Int64) - pl.col("positive"))
        .filter((pl.col("n_symbols") >= min_symbols) & (pl.col("positive") > 0) & (pl.col("negative") > 0))
        .select(
            *section,
            auc=(pl.col("rank_sum") - pl.col("positive") * (pl.col("positive") + 1) / 2)
            / (pl.col("positive") * pl.col("negative")),
            n_symbols="n_symbols",
        )
        .sort(section)
    )
    if section == ["session"]:
        return by_section
    return (
        by_section.group_by("session", maintain_order=True)
        .agg(pl.col("auc").mean(), pl.col("n_symbols").max())
        .sort("session")
    )


def _section(frame: pl.DataFrame) -> list[str]:
    """Return what names a cross-section: the session, or one bar of it."""
    return ["session", "bar_end"] if "bar_end" in frame.columns else ["session"]


def daily_rank_ic(frame: pl.DataFrame, *, min_symbols: int, value: str = "forward_return") -> pl.DataFrame:
    """Return the rank information coefficient of each session: Spearman's rho of score and later return.

    Parameters
    ----------
    frame : polars.DataFrame
        ``session``, ``score`` and `value`; rows whose value is null are left out.
    min_symbols : int
        Sessions with fewer valued symbols are left out, and so are sessions where the score or the value is constant.
    value : str
        Column with the return that followed.

    Returns
    -------
    polars.DataFrame
        ``session`` Date ascending, ``rank_ic`` Float64.
    """
    section = _section(frame)
    by_section = (
        frame.filter(pl.col(value).is_not_null() & pl.col(value).is_finite())
        .select(
            *section,
            a=pl.col("score").rank("average").over(section),
            b=pl.col(value).rank("average").over(section),
        )
        .group_by(section)
        .agg(n=pl.len(), spread=pl.min_horizontal(pl.col("a").std(), pl.col("b").std()), rank_ic=pl.corr("a", "b"))
        .filter((pl.col("n") >= min_symbols) & (pl.col("spread") > 0) & pl.col("rank_ic").is_finite())
        .select(*section, "rank_ic")
        .sort(section)
    )
    if section == ["session"]:
        return by_section
    return by_section.group_by("session", maintain_order=True).agg(pl.col("rank_ic").mean()).sort("session")
