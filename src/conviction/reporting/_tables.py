"""Tables that both the page and the figures draw from; plain data, no markup."""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import date
from itertools import pairwise
from typing import Any, NamedTuple

import polars as pl

from conviction.audit import LeadLagProfile
from conviction.evaluation import null_auc_se
from conviction.folds import HOLDOUT_FOLD
from conviction.reporting._contents import ReportContents

#: Okabe and Ito's palette, which people with any colour vision tell apart, with a grey and a pale grey for what is unused.
PALETTE: dict[str, str] = {
    "blue": "#0072B2",
    "orange": "#E69F00",
    "green": "#009E73",
    "vermillion": "#D55E00",
    "sky": "#56B4E9",
    "purple": "#CC79A7",
    "yellow": "#F0E442",
    "grey": "#8A8A8A",
    "pale": "#D5DADF",
}
#: Role of a session -> name of its colour.
ROLE_COLOURS: dict[str, str] = {
    "train": "blue",
    "inner": "sky",
    "purged": "purple",
    "embargo": "grey",
    "test": "orange",
    "holdout": "vermillion",
    "past": "pale",
    "future": "pale",
}
#: Kind of a scored row -> name of its colour.
KIND_COLOURS: dict[str, str] = {
    "ensemble": "blue",
    "model": "green",
    "baseline": "orange",
    "placebo": "grey",
}
KIND_ORDER = {"ensemble": 0, "model": 1, "baseline": 2, "placebo": 3}


class Span(NamedTuple):
    """Unbroken run of sessions of one role in one fold."""

    fold: int
    role: str
    first: date
    last: date
    sessions: int


def fold_spans(folds: pl.DataFrame) -> list[Span]:
    """Return the unbroken runs of one role, fold by fold.

    Parameters
    ----------
    folds : polars.DataFrame
        `fold`, `session`, `role`; any order.

    Returns
    -------
    list of Span
        Sorted by fold (the final one last) and first session; two runs of the same role with another role between them stay two.

    Examples
    --------
    >>> from datetime import date
    >>> plan = pl.DataFrame({"fold": [0, 0, 0], "session": [date(2020, 1, d) for d in (2, 3, 6)],
    ...                      "role": ["train", "train", "test"]})
    >>> [(span.role, span.sessions) for span in fold_spans(plan)]
    [('train', 2), ('test', 1)]
    """
    runs = (
        folds.select("fold", "session", "role")
        .sort(_final_last(), "session", nulls_last=True)
        .with_columns(pl.struct("fold", "role").rle_id().alias("run"))
        .group_by("run", maintain_order=True)
        .agg(
            pl.col("fold").first(),
            pl.col("role").first(),
            pl.col("session").first().alias("first"),
            pl.col("session").last().alias("last"),
            pl.len().alias("sessions"),
        )
    )
    return [Span(*row) for row in runs.select("fold", "role", "first", "last", "sessions").iter_rows()]


def fold_name(fold: int) -> str:
    """Return how a fold is called: its number, or "final" for the fit that only the hold-out is scored with.

    Examples
    --------
    >>> fold_name(3), fold_name(-1)
    ('3', 'final')
    """
    return "final" if fold == HOLDOUT_FOLD else str(fold)


def fold_summary(folds: pl.DataFrame) -> list[dict[str, Any]]:
    """Return one row per fold, the final one last: its name, the span it is scored on, the sessions of each role."""
    rows: list[dict[str, Any]] = []
    for (fold,), part in folds.sort(_final_last(), "session", nulls_last=True).group_by("fold", maintain_order=True):
        scored = part.filter(pl.col("role") == ("holdout" if fold == HOLDOUT_FOLD else "test"))["session"]
        counts = dict(part.group_by("role").len().iter_rows())
        rows.append(
            {"fold": fold_name(int(str(fold))), "first": scored.min(), "last": scored.max()}
            | {role: counts.get(role, 0) for role in ROLE_COLOURS}
        )
    return rows


def _final_last() -> pl.Expr:
    return pl.when(pl.col("fold") == HOLDOUT_FOLD).then(None).otherwise("fold")


def ordered_scores(contents: ReportContents, target: str, split: str) -> list[dict[str, Any]]:
    """Return the score rows of one target and split: ensembles, models, baselines, each best first."""
    rows = contents.scores.filter(pl.col("target") == target, pl.col("split") == split).to_dicts()
    lead = next((metric for metric in contents.metrics if any(row[metric] is not None for row in rows)), None)

    def order(row: dict[str, Any]) -> tuple[int, float, str]:
        value = row[lead] if lead is not None and row[lead] is not None else -math.inf
        return KIND_ORDER[row["kind"]], -value, row["model"]

    return sorted(rows, key=order)


def null_standard_error(n: float) -> float:
    """Return the standard error of one symbol's AUC without skill over `n` sessions with as many ones as zeros.

    A floor: unbalanced classes and dependent sessions widen it.

    Examples
    --------
    >>> round(null_standard_error(250), 3)
    0.037
    """
    return null_auc_se(n_positive=n / 2, n_negative=n / 2)


class Wander(NamedTuple):
    """Cumulative sum of (AUC - 0.5) over sessions, and how far it would wander without skill."""

    model: str
    sessions: list[date]
    total: list[float]
    band: list[float]


def cumulative_daily_auc(daily: pl.DataFrame, target: str, *, first: str | None = None) -> list[Wander]:
    """Return for each model the running sum of (daily AUC - 0.5) with the band of a skill-less walk.

    The band after `k` sessions is `1.96 s sqrt(k)`, with `s` the standard deviation of the daily AUC: what independent
    sessions around 0.5 would stay within at that session 95 % of the time. It is a guide for the eye, not the test;
    the test is the interval of the mean.

    Parameters
    ----------
    daily : polars.DataFrame
        `target`, `model`, `session`, `auc`; null where a session has one class only.
    target : str
        Target to show.
    first : str or None
        Model that comes first, the chosen one.

    Returns
    -------
    list of Wander
        One per model with at least two defined sessions and a score that varies, `first` and then by name; of models
        with the same daily AUC throughout only the first is kept (a combiner beside the ensemble that chose it).

    Examples
    --------
    >>> from datetime import date
    >>> daily = pl.DataFrame({"target": ["d"] * 2, "model": ["m"] * 2, "session": [date(2020, 1, 2), date(2020, 1, 3)],
    ...                       "auc": [0.6, 0.5]})
    >>> [round(value, 2) for value in cumulative_daily_auc(daily, "d")[0].total]
    [0.1, 0.1]
    """
    walks = []
    rows = daily.filter(pl.col("target") == target, pl.col("auc").is_not_null()).sort("model", "session")
    for (model,), part in rows.group_by("model", maintain_order=True):
        if part.height < 2 or part["auc"].n_unique() == 1:
            continue
        centred = part["auc"] - 0.5
        spread = float(part["auc"].std() or 0.0)  # type: ignore[arg-type]  # a Float64 column has a float deviation
        band = [1.96 * spread * math.sqrt(step) for step in range(1, part.height + 1)]
        walks.append(Wander(str(model), part["session"].to_list(), centred.cum_sum().to_list(), band))
    distinct: list[Wander] = []
    for walk in sorted(walks, key=lambda walk: (walk.model != first, walk.model)):
        if all((walk.sessions, walk.total) != (kept.sessions, kept.total) for kept in distinct):
            distinct.append(walk)
    return distinct


def thin(length: int, most: int) -> list[int]:
    """Return at most about `most` positions of `0..length-1`, evenly spread, first and last included.

    Examples
    --------
    >>> thin(5, 10), thin(11, 3)
    ([0, 1, 2, 3, 4], [0, 5, 10])
    """
    if length <= most:
        return list(range(length))
    return sorted({round(step * (length - 1) / (most - 1)) for step in range(most)})


def nice_ticks(low: float, high: float, *, about: int = 5) -> list[float]:
    """Return round numbers that cover the inside of [low, high].

    Examples
    --------
    >>> nice_ticks(0.48, 0.53)
    [0.48, 0.49, 0.5, 0.51, 0.52, 0.53]
    """
    span = max(high - low, 1e-12)
    raw = span / about
    power = 10.0 ** math.floor(math.log10(raw))
    steps = [power * factor for factor in (1, 2, 5, 10)]
    step = next((right for left, right in pairwise([0.0, *steps]) if left < raw * (1 - 1e-9) <= right), steps[-1])
    first = math.ceil(low / step - 1e-9)
    last = math.floor(high / step + 1e-9)
    return [round(position * step, 10) for position in range(first, last + 1)]


class LeadLag(NamedTuple):
    """Lead-lag profiles as a matrix in units of each profile's own band: beyond 1 is more than noise."""

    columns: list[str]
    lags: list[int]
    ratios: list[list[float | None]]
    total: int


def lead_lag_matrix(profiles: Sequence[LeadLagProfile], *, most: int) -> LeadLag | None:
    """Return the profiles as value over half-width of the band, the strongest against any future return first.

    Parameters
    ----------
    profiles : sequence of LeadLagProfile
        Of the audit; all with the lags of the first.
    most : int
        Number of columns kept.

    Returns
    -------
    LeadLag or None
        None where the audit made no profile. A ratio is None where value or band is undefined.
    """
    if not profiles:
        return None
    lags = list(profiles[0].lags)
    ratios = {
        profile.column: [
            value / band if band > 0 and math.isfinite(value) else None
            for value, band in zip(profile.values, profile.band, strict=True)
        ]
        for profile in profiles
    }

    def ahead(column: str) -> float:
        return max(
            (abs(r) for lag, r in zip(lags, ratios[column], strict=True) if lag > 0 and r is not None), default=0.0
        )

    columns = sorted(ratios, key=lambda column: (-ahead(column), column))[:most]
    return LeadLag(columns, lags, [ratios[column] for column in columns], len(ratios))
