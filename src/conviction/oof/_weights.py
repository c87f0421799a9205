"""Sample weights: how unique a label is, and how old."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from conviction.frames import SESSION, SYMBOL, check_columns

if TYPE_CHECKING:
    from numpy.typing import NDArray


def sample_weights(rows: pl.DataFrame, *, uniqueness: bool, half_life_sessions: float | None) -> NDArray[np.float64]:
    """Return one weight a row, with mean 1.

    The uniqueness of a label is the mean, over the intervals between consecutive moments of its span (t0, t1], of
    one over the number of labels of the same symbol that cover the interval. Age counts the sessions between a row
    and the newest one.

    Parameters
    ----------
    rows : polars.DataFrame
        `symbol`, `session`, `t0`, `t1` of the training rows, in any order.
    uniqueness : bool
    half_life_sessions : float, optional

    Returns
    -------
    numpy.ndarray of float64, shape (rows,)
        Positive, in the order of `rows`.

    References
    ----------
    Lopez de Prado, *Advances in Financial Machine Learning* (2018), sections 4.3 to 4.7; the decay there is linear
    in cumulated uniqueness, here exponential in sessions.

    Examples
    --------
    >>> from datetime import date, datetime
    >>> rows = pl.DataFrame({
    ...     "symbol": "A",
    ...     "session": [date(2020, 1, d) for d in (1, 2, 6)],
    ...     "t0": [datetime(2020, 1, d) for d in (1, 2, 6)],
    ...     "t1": [datetime(2020, 1, d) for d in (3, 4, 8)],
    ... })
    >>> sample_weights(rows, uniqueness=True, half_life_sessions=None).round(2).tolist()
    [0.9, 0.9, 1.2]
    """
    check_columns(rows, [SYMBOL, SESSION, "t0", "t1"], name="rows")
    weight = np.ones(rows.height)
    if uniqueness:
        weight *= _uniqueness(rows)
    if half_life_sessions is not None:
        age = rows[SESSION].rank("dense", descending=True).to_numpy().astype(np.float64) - 1.0
        weight *= 0.5 ** (age / half_life_sessions)
    return np.asarray(weight / weight.mean())


def _uniqueness(rows: pl.DataFrame) -> NDArray[np.float64]:
    t0, t1 = (rows[name].dt.epoch("us").to_numpy() for name in ("t0", "t1"))
    moments = np.unique(np.concatenate([t0, t1]))
    first, last = np.searchsorted(moments, t0), np.searchsorted(moments, t1)
    found = np.ones(rows.height)
    for where in rows.with_row_index("row").group_by(SYMBOL).agg("row")["row"]:
        mine = where.to_numpy()
        steps = np.zeros(moments.size + 1)
        np.add.at(steps, first[mine], 1.0)
        np.add.at(steps, last[mine], -1.0)
        covered = np.cumsum(steps)[: moments.size]
        share = np.divide(1.0, covered, out=np.zeros(moments.size), where=covered > 0)
        total = np.concatenate(([0.0], np.cumsum(share)))
        length = np.maximum(last[mine] - first[mine], 1)
        found[mine] = (total[last[mine]] - total[first[mine]]) / length
    return found
