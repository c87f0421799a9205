"""Which columns of the newest sessions no longer look like the reference."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from conviction.errors import MonitoringError
from conviction.evaluation import benjamini_hochberg
from conviction.frames import SESSION
from conviction.monitoring._population import PRESENT, past_indices, session_counts, stability_index
from conviction.monitoring.parameters import MonitoringParameters

if TYPE_CHECKING:
    import numpy.typing as npt

    Floats = npt.NDArray[np.float64]

# Periods of the reference start this many times in a period.
_OVERLAP = 3
# Logarithms of the index closer than this are not told apart: a column that is the same every month may breathe.
_SMALLEST_SPREAD = 0.1
_FLOOR = 1e-6
# Earlier periods helped to make the bins and have neighbours on both sides, the newest has not: simulation asks for this much more.
_MARGIN = 0.6
_SCHEMA = {
    "column": pl.String, "kind": pl.String, "psi": pl.Float64, "psi_usual": pl.Float64, "psi_high": pl.Float64,
    "p_value": pl.Float64, "q_value": pl.Float64, "drifted": pl.Boolean,
}  # fmt: skip


@dataclass(frozen=True, eq=False)
class DriftTest:
    """What the comparison found.

    Attributes
    ----------
    columns : polars.DataFrame
        `column`, `kind`, `psi` (index of the newest sessions), `psi_usual` and `psi_high` (median and 95 % quantile over earlier
        periods), `p_value`, `q_value` (Benjamini-Hochberg over all columns), `drifted`; most suspicious first.
    level : float
        The q-value below which a column counts as drifted: undercut by any column in at most `false_alarms` of the earlier
        periods.
    p_value : float
        Share of earlier periods that looked as odd as the newest one, the newest counted among them.
    n_windows : int
        Earlier periods, overlapping.
    """

    columns: pl.DataFrame
    level: float
    p_value: float
    n_windows: int

    @property
    def drifted(self) -> tuple[str, ...]:
        """Return the drifted columns."""
        return tuple(self.columns.filter("drifted")["column"].to_list())


def drift_test(
    frame: pl.DataFrame,
    *,
    kinds: Mapping[str, str],
    reference: pl.Series,
    current: pl.Series,
    monitoring: MonitoringParameters,
    false_alarms: float | None = None,
) -> DriftTest:
    """Compare the newest sessions with the reference, column by column, under one false-discovery control.

    The stability index of each column is set beside the indices of all earlier periods of the same length; the logarithms'
    Student score gives a p-value, Benjamini and Hochberg's procedure a q-value over all columns. Rows of a session and
    neighbouring sessions depend on each other, and columns on columns: so the level at which a q-value counts comes from the
    same procedure applied to every earlier period in turn (Westfall and Young 1993), not from a table.

    Parameters
    ----------
    frame : polars.DataFrame
        `session` and numeric columns, several rows a session.
    kinds : mapping of str to str
        Column -> ``feature``, ``label`` or ``score``; exactly these are compared. A column without any value in the current
        sessions is compared by its missing values.
    reference, current : polars.Series of Date
        Sessions; the current ones come after the reference.
    monitoring : MonitoringParameters
    false_alarms : float, optional
        In place of the parameter's.

    Returns
    -------
    DriftTest

    Raises
    ------
    MonitoringError
        If the reference holds too few periods, or the two overlap.

    Examples
    --------
    >>> from conviction.monitoring import stationary_sessions
    >>> frame, columns = stationary_sessions(n_sessions=621, n_symbols=10, n_features=3, seed=1)
    >>> sessions = frame["session"].unique().sort()
    >>> found = drift_test(
    ...     frame.with_columns(x0=pl.when(pl.col("session") >= sessions[600]).then(pl.col("x0") + 2).otherwise("x0")),
    ...     kinds=dict.fromkeys(columns, "feature"), reference=sessions[:600], current=sessions[600:],
    ...     monitoring=MonitoringParameters(current_sessions=21, false_alarms=0.05),
    ... )
    >>> found.drifted
    ('x0',)
    """
    _check(reference, current, monitoring)
    share = monitoring.false_alarms if false_alarms is None else false_alarms
    wanted = pl.concat([reference, current])
    rows = frame.filter(pl.col(SESSION).is_in(wanted.implode())).sort(SESSION)
    n_reference = rows.filter(pl.col(SESSION) < current.min())[SESSION].n_unique()
    window = len(current)
    past, now = [], []
    for column in kinds:
        counts = session_counts(rows, column, reference=reference, n_bins=monitoring.n_bins)
        if kinds[column] != "feature":
            counts[:, -1] = 0.0  # a label that is not known yet, a session that nothing scored
        before = counts[:n_reference]
        past.append(past_indices(before, window=window, stride=max(1, window // _OVERLAP)))
        latest = counts[n_reference:].sum(axis=0)
        present = (counts[n_reference:].sum(axis=1) > 0).sum() >= PRESENT * window
        known = present and np.isfinite(past[-1]).sum() >= monitoring.min_windows
        now.append(float(stability_index(latest, before.sum(axis=0))) if known else np.nan)
    indices, index = np.log(np.column_stack(past) + _FLOOR), np.log(np.array(now) + _FLOOR)
    disjoint = np.maximum(2, np.isfinite(indices).sum(axis=0) // _OVERLAP)
    p_now = _p_values(index[None, :], indices, disjoint)[0]
    q_now = benjamini_hochberg(p_now)
    odd = np.array([np.nanmin(benjamini_hochberg(row)) for row in _left_out(indices, disjoint)])
    level = _level(odd, share)
    table = pl.DataFrame(
        {
            "column": list(kinds),
            "kind": list(kinds.values()),
            "psi": np.array(now),
            "psi_usual": _quantiles(indices, 0.5),
            "psi_high": _quantiles(indices, 0.95),
            "p_value": p_now,
            "q_value": q_now,
            "drifted": q_now < level,
        },
        schema=_SCHEMA,
    ).with_columns(pl.selectors.float().fill_nan(None))
    p_value = (1 + int((odd <= np.nanmin(q_now)).sum())) / (1 + len(odd))
    return DriftTest(table.sort("q_value", "p_value", "column"), float(level), p_value, len(odd))


def _check(reference: pl.Series, current: pl.Series, monitoring: MonitoringParameters) -> None:
    if len(current) and len(reference) and current.min() <= reference.max():  # type: ignore[operator]  # both are dates
        raise MonitoringError(
            what="the reference reaches into the current sessions",
            got=f"reference to {reference.max()!s}, current from {current.min()!s}",
            allowed="current sessions after the reference",
            fix="end the reference before the current sessions",
        )
    needed = monitoring.min_windows * max(1, len(current))
    if not len(current) or len(reference) < needed:
        raise MonitoringError(
            what="the reference is too short to know what is usual",
            got=f"{len(reference)} reference and {len(current)} current sessions",
            allowed=f"at least {monitoring.min_windows} times as many reference sessions as current ones",
            fix="lower monitoring.current_sessions, or keep a longer history",
        )


def _quantiles(indices: Floats, share: float) -> Floats:
    return np.array(
        [np.quantile(np.exp(one[np.isfinite(one)]), share) if np.isfinite(one).any() else np.nan for one in indices.T]
    )


def _p_values(index: Floats, indices: Floats, disjoint: npt.NDArray[np.int64]) -> Floats:
    """Return the chance of so high an index, from the Student score of its logarithm; NaN where the column has none."""
    from scipy.stats import t

    known = np.isfinite(indices)
    n = np.maximum(known.sum(axis=0), 2)
    centre = np.where(known, indices, 0.0).sum(axis=0) / n
    square = np.where(known, (indices - centre) ** 2, 0.0).sum(axis=0)
    spread = np.maximum(np.sqrt(square / (n - 1)), _SMALLEST_SPREAD)
    score = (index - centre) / (spread * np.sqrt(1 + 1 / disjoint))
    return np.asarray(t.sf(score, disjoint - 1))


def _left_out(indices: Floats, disjoint: npt.NDArray[np.int64]) -> Floats:
    """Return the p-values that each earlier period would have got, judged by those that do not overlap with it."""
    n = len(indices)
    out = np.empty_like(indices)
    for position in range(n):
        apart = np.abs(np.arange(n) - position) >= _OVERLAP
        out[position] = _p_values(indices[position : position + 1], indices[apart], np.maximum(2, disjoint - 1))[0]
    return out


def _level(odd: Floats, share: float) -> float:
    """Return the q-value that at most `share` of the periods, the newest counted among them, undercut."""
    allowed = int(np.floor(_MARGIN * share * (len(odd) + 1))) - 1
    if allowed < 0:
        return 0.0
    return float(np.sort(odd)[min(allowed, len(odd) - 1)])
