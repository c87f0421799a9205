"""A control chart of prediction quality: cumulative sums of the daily AUC, with the run length that it has without cause."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from conviction.errors import MonitoringError
from conviction.evaluation import newey_west_mean

if TYPE_CHECKING:
    import numpy.typing as npt

    Floats = npt.NDArray[np.float64]

_STATES = 120
_FEWEST = 100
_ALLOWANCE = (0.1, 1.0)


@dataclass(frozen=True)
class QualityChart:
    """The chart after its newest session.

    Attributes
    ----------
    n_reference, n_sessions : int
        Sessions that the mean was learnt on, and sessions watched since.
    mean, spread : float
        Of the daily AUC out of fold; the spread is the long-run one where sessions depend on each other.
    recent_mean : float
        Of the daily AUC over the sessions watched.
    allowance, limit : float
        Of the chart, in spreads.
    run_length : float
        Sessions until a false alarm, on average, while nothing changed.
    run_length_lost : float
        Sessions until the alarm, on average, once all skill is gone.
    value : float
        Of the chart at the newest session.
    first_alarm : datetime.date or None
        First session above the limit.
    """

    n_reference: int
    n_sessions: int
    mean: float
    spread: float
    recent_mean: float
    allowance: float
    limit: float
    run_length: float
    run_length_lost: float
    value: float
    first_alarm: date | None

    def to_dict(self) -> dict[str, Any]:
        """Return the chart as plain data."""
        return {**self.__dict__, "first_alarm": None if self.first_alarm is None else self.first_alarm.isoformat()}


def average_run_length(limit: float, *, allowance: float, shift: float = 0.0) -> float:
    """Return how many sessions a one-sided cumulative-sum chart runs on average until it crosses its limit.

    The sum S = max(0, S - x - allowance) of independent standard normal x with mean `shift`, started at 0, as a Markov chain of
    120 states (Brook and Evans 1972).

    Parameters
    ----------
    limit, allowance : float
        In standard deviations.
    shift : float
        Mean of x; negative when quality is lost.

    Examples
    --------
    Hawkins and Olwell's tables give 335.4 for an allowance of 0.5 and a limit of 4:

    >>> round(average_run_length(4.0, allowance=0.5))
    335
    """
    from scipy.special import ndtr

    width = 2 * limit / (2 * _STATES - 1)
    states = np.arange(_STATES) * width
    # From state i the sum goes to i - x - allowance.
    upper = ndtr(states[None, :] + width / 2 - states[:, None] + allowance + shift)
    lower = ndtr(states[None, :] - width / 2 - states[:, None] + allowance + shift)
    move = upper - lower
    move[:, 0] = upper[:, 0]
    return float(np.linalg.solve(np.eye(_STATES) - move, np.ones(_STATES))[0])


def limit_for(run_length: float, *, allowance: float) -> float:
    """Return the limit at which the chart runs so long on average while nothing changes.

    Examples
    --------
    >>> round(limit_for(335.4, allowance=0.5), 2)
    4.0
    """
    low, high = 0.01, 1.0
    while average_run_length(high, allowance=allowance) < run_length:
        high *= 2
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if average_run_length(middle, allowance=allowance) < run_length else (low, middle)
    return (low + high) / 2


def quality_chart(reference: pl.DataFrame, watched: pl.DataFrame, *, run_length: float) -> QualityChart:
    """Chart the daily AUC since a model is served against its out-of-fold daily AUC.

    Parameters
    ----------
    reference, watched : polars.DataFrame
        `session`, `auc` (null where a session has no cross-section): out of fold, and since then.
    run_length : float
        Sessions until a false alarm, on average.

    Returns
    -------
    QualityChart

    Raises
    ------
    MonitoringError
        On fewer than 100 reference sessions, or none to watch.

    References
    ----------
    Page 1954; Hawkins and Olwell, *Cumulative Sum Charts* (1998).

    Examples
    --------
    >>> days = pl.date_range(pl.date(2020, 1, 1), pl.date(2021, 1, 1), eager=True).alias("session")
    >>> auc = 0.53 + 0.05 * np.sin(np.arange(len(days)) * 2.4)
    >>> past = pl.DataFrame({"session": days, "auc": auc})
    >>> later = pl.DataFrame({"session": days.dt.offset_by("2y"), "auc": auc - 0.06})
    >>> quality_chart(past, past.with_columns(pl.col("session").dt.offset_by("2y")), run_length=2000).first_alarm
    >>> quality_chart(past, later, run_length=2000).first_alarm is not None
    True
    """
    known = reference.drop_nulls("auc").sort("session")["auc"].to_numpy()
    later = watched.drop_nulls("auc").sort("session")
    if len(known) < _FEWEST or later.is_empty():
        raise MonitoringError(
            what="prediction quality cannot be charted",
            got=f"{len(known)} reference and {later.height} watched sessions with an AUC",
            allowed=f"at least {_FEWEST} and 1",
            fix="wait for labels, or evaluate a longer history out of fold",
        )
    mean = float(known.mean())
    long_run = newey_west_mean(known, null=0.5, confidence=0.95).se * np.sqrt(len(known))
    spread = float(max(known.std(ddof=1), long_run))
    lost = (mean - 0.5) / spread
    allowance = float(np.clip(lost / 2, *_ALLOWANCE))
    limit = limit_for(run_length, allowance=allowance)
    value, first = 0.0, None
    for session, auc in later.select("session", "auc").iter_rows():
        value = max(0.0, value - (auc - mean) / spread - allowance)
        if value > limit and first is None:
            first = session
    return QualityChart(
        n_reference=len(known),
        n_sessions=later.height,
        mean=mean,
        spread=spread,
        recent_mean=float(later["auc"].mean()),  # type: ignore[arg-type]  # not empty
        allowance=allowance,
        limit=limit,
        run_length=average_run_length(limit, allowance=allowance),
        run_length_lost=average_run_length(limit, allowance=allowance, shift=-max(lost, 0.0)),
        value=value,
        first_alarm=first,
    )
