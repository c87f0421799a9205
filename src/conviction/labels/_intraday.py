"""Labels of intraday bars: what the next bars of the same session brought."""

from __future__ import annotations

import polars as pl

from conviction.errors import LabelError
from conviction.frames import BAR_END, SESSION, SYMBOL, check_panel
from conviction.labels._labels import LABEL_COLUMNS, check_horizon, with_direction_and_relative
from conviction.market import INTRADAY_KEY, bar_grid
from conviction.panel import DecisionTime


def intraday_target_name(*, minutes: int, horizon: int) -> str:
    """Return the name of the forward return over `horizon` bars of `minutes`.

    Parameters
    ----------
    minutes, horizon : int
        Length of a bar, number of bars.

    Returns
    -------
    str
        ``target_{minutes x horizon}min``.

    Examples
    --------
    >>> intraday_target_name(minutes=5, horizon=2)
    'target_10min'
    """
    return f"target_{minutes * horizon}min"


def make_intraday_labels(
    panel: pl.DataFrame, *, calendar: str, minutes: int, horizon: int, decision: DecisionTime
) -> pl.DataFrame:
    """Make the labels of intraday bars; none reaches over a session's close.

    Parameters
    ----------
    panel : polars.DataFrame
        Intraday panel: ``symbol, session, bar_end, close, in_universe`` (``open`` too for ``before_next_open``).
    calendar : str
        Exchange calendar; bars are counted on its grid from each open, not on the symbol's rows.
    minutes : int
        Length of the bars.
    horizon : int
        Bars from this one to the end of the label, at least 1.
    decision : {"close", "before_next_open"}
        ``close``: the return from this bar's close (idealised). ``before_next_open``: from the open of the next bar, the first trade after
        this bar was known. Both are decided at ``bar_end``.

    Returns
    -------
    polars.DataFrame
        As `conviction.labels.make_labels` with ``bar_end`` in the key: ``target_{m}min``, ``direction``, ``relative`` (against the median of
        the labelled members of the same ``bar_end``), ``t0`` = ``bar_end``, ``t1`` = end of the bar `horizon` later, or the session's close
        where the session ends before; those labels are null.

    Raises
    ------
    LabelError
        If the horizon is no positive integer, a bar does not end on the grid, or ``open`` is missing.
    ParameterError
        If `minutes` is no positive integer.

    Examples
    --------
    >>> from datetime import UTC, date, datetime
    >>> ends = [datetime(2024, 7, 3, 13, 35, tzinfo=UTC), datetime(2024, 7, 3, 13, 40, tzinfo=UTC)]
    >>> panel = pl.DataFrame({
    ...     "symbol": ["A", "A"], "session": [date(2024, 7, 3)] * 2, "bar_end": ends, "close": [1.0, 1.1], "in_universe": [True, True]
    ... })
    >>> make_intraday_labels(panel, calendar="XNYS", minutes=5, horizon=1, decision="close")["direction"].to_list()
    [1, None]
    """
    check_horizon(horizon)
    entry = "open" if decision == "before_next_open" else "close"
    if entry not in panel.columns:
        raise LabelError(
            what=f"labels decided {decision} need the column {entry!r}",
            got=panel.columns,
            allowed="a panel with opening prices, or decision='close'",
            fix="take a source that has opening prices, or decide at the close and say so",
        )
    check_panel(panel, name="intraday panel", required=["close", "in_universe", entry], key=INTRADAY_KEY)
    spans = _spans(panel, calendar=calendar, minutes=minutes, horizon=horizon, entry=entry)
    target = intraday_target_name(minutes=minutes, horizon=horizon)
    rows = panel.select(*INTRADAY_KEY, "in_universe").join(
        spans, on=[SESSION, BAR_END], how="left", maintain_order="left"
    )
    if rows["t1"].null_count():
        stranger = rows.filter(pl.col("t1").is_null()).select(INTRADAY_KEY).row(0)
        raise LabelError(
            what=f"bars do not end on the grid of {minutes} minutes",
            got=f"{rows['t1'].null_count()} bars, first {stranger}",
            allowed="bars counted from the session's open",
            fix="build them with conviction.market.resample_bars and the same minutes",
        )
    prices = panel.select(SYMBOL, BAR_END, "close", pl.col(entry).alias("_entry"))
    paid = prices.select(SYMBOL, _entry_end=BAR_END, _paid="_entry")
    got = prices.select(SYMBOL, _exit_end=BAR_END, _got="close")
    rows = rows.join(paid, on=[SYMBOL, "_entry_end"], how="left", maintain_order="left")
    rows = rows.join(got, on=[SYMBOL, "_exit_end"], how="left", maintain_order="left")
    rows = rows.with_columns((pl.col("_got") / pl.col("_paid") - 1.0).alias(target))
    labels = with_direction_and_relative(rows, target=target, moment=BAR_END)
    return labels.select(*INTRADAY_KEY, target, *LABEL_COLUMNS, pl.col(BAR_END).alias("t0"), "t1")


def _spans(panel: pl.DataFrame, *, calendar: str, minutes: int, horizon: int, entry: str) -> pl.DataFrame:
    grid = bar_grid(calendar, panel[SESSION], minutes=minutes)
    ahead = grid.select(
        SESSION,
        BAR_END,
        pl.col(BAR_END).shift(-horizon).over(SESSION).alias("_exit_end"),
        pl.col(BAR_END).shift(-1).over(SESSION).alias("_next_end"),
        pl.col(BAR_END).last().over(SESSION).alias("_last_end"),
    )
    entry_end = pl.col(BAR_END) if entry == "close" else pl.col("_next_end")
    return ahead.select(
        SESSION,
        BAR_END,
        entry_end.alias("_entry_end"),
        "_exit_end",
        pl.coalesce("_exit_end", "_last_end").alias("t1"),
    )
