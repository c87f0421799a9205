"""What followed: forward returns, their signs, their rank within the session, and the span they take."""

from __future__ import annotations

import polars as pl

from conviction.errors import LabelError
from conviction.frames import KEY, SESSION, SYMBOL, check_panel
from conviction.market import later_sessions, session_closes
from conviction.panel import DecisionTime, decision_moments

LABEL_COLUMNS: tuple[str, ...] = ("direction", "relative")


def target_name(horizon: int) -> str:
    """Return the name of the forward return over `horizon` exchange sessions.

    Parameters
    ----------
    horizon : int
        Exchange sessions.

    Returns
    -------
    str
        ``target_{horizon}d``.

    Examples
    --------
    >>> target_name(5)
    'target_5d'
    """
    return f"target_{horizon}d"


def make_labels(panel: pl.DataFrame, *, calendar: str, horizon: int, decision: DecisionTime) -> pl.DataFrame:
    """Make the labels of a panel: what happened after each decision.

    Parameters
    ----------
    panel : polars.DataFrame
        Point-in-time panel with ``close`` and ``in_universe`` (``open`` too for ``before_next_open``).
    calendar : str
        Exchange calendar; horizons count its sessions, not the symbol's rows.
    horizon : int
        Exchange sessions from t to the end of the label, at least 1.
    decision : {"close", "before_next_open"}
        The panel's decision time. ``close``: the return from the close of t to the close of t+h. ``before_next_open``: from the
        open of t+1, the first price that can be traded after the decision, to the close of t+h.

    Returns
    -------
    polars.DataFrame
        One row for each panel row: ``symbol, session``; ``target_{h}d`` Float64, a simple return; ``direction`` Int8, 1 if it is
        above zero; ``relative`` Int8, 1 if it is above the median of the session's labelled symbols in the universe; ``t0, t1``
        Datetime[us, UTC], the span (t0, t1] that the label looks at. The value of a label is known at ``t1``.

        Nulls: return and direction where the symbol has no row (or no price) in the exchange's session t+h (or t+1 for its
        open): a halt, a delisting, or the end of the data. ``relative`` also where the row is out of the universe or the session has
        fewer than two labelled members. ``t0`` and ``t1`` come from the calendar and are never null, so that purging needs no
        guess about rows whose future is not there yet.

    Raises
    ------
    LabelError
        If the horizon is not a positive integer, the panel was built for another decision time, or ``open`` is missing.

    Notes
    -----
    Ties and zero returns follow one rule: 1 when strictly above the threshold, else 0. With an odd number of members the
    median symbol itself is 0.

    Examples
    --------
    >>> from datetime import date
    >>> from conviction.panel import build_panel
    >>> bars = pl.DataFrame({
    ...     "symbol": ["A", "A"], "session": [date(2024, 7, 2), date(2024, 7, 3)], "close": [10.0, 11.0]
    ... })
    >>> panel = build_panel(bars, calendar="XNYS", decision="close", market=None, vix=None, membership=None)
    >>> make_labels(panel, calendar="XNYS", horizon=1, decision="close")["direction"].to_list()
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
    check_panel(panel, name="panel", required=["close", "in_universe", entry])
    spans = _spans(panel, calendar=calendar, horizon=horizon, decision=decision)
    target = target_name(horizon)
    prices = panel.select(*KEY, "close", pl.col(entry).alias("_entry"))
    rows = panel.select(*KEY, "in_universe").join(spans, on=SESSION, how="left", maintain_order="left")
    rows = _with_price(rows, prices.select(SYMBOL, SESSION, _paid="_entry"), at="_entry_session")
    rows = _with_price(rows, prices.select(SYMBOL, SESSION, _got="close"), at="_exit_session")
    rows = rows.with_columns((pl.col("_got") / pl.col("_paid") - 1.0).alias(target))
    return with_direction_and_relative(rows, target=target).select(*KEY, target, *LABEL_COLUMNS, "t0", "t1")


def with_direction_and_relative(rows: pl.DataFrame, *, target: str, moment: str = SESSION) -> pl.DataFrame:
    """Add ``direction`` and ``relative``, by the one rule for ties: strictly above the threshold is 1, else 0.

    Parameters
    ----------
    rows : polars.DataFrame
        ``session``, ``in_universe`` and the forward return `target`.
    target : str
        Column of forward returns, Float64 with nulls.
    moment : str
        Column whose rows of one value form the cross-section.

    Returns
    -------
    polars.DataFrame
        The rows with ``direction`` and ``relative``, Int8 with nulls.
    """
    member = pl.when(pl.col("in_universe")).then(pl.col(target))
    threshold = pl.when(member.count().over(moment) >= 2).then(member.median().over(moment))
    return rows.with_columns(
        strictly_above(pl.col(target), pl.lit(0.0)).alias("direction"),
        strictly_above(member, threshold).alias("relative"),
    )


def strictly_above(value: pl.Expr, threshold: pl.Expr) -> pl.Expr:
    """Return 1 where the value is strictly above the threshold, 0 where it is not, null where either is missing (Int8)."""
    return (value > threshold).cast(pl.Int8)


def check_horizon(horizon: int) -> None:
    """Raise a LabelError unless the horizon is a positive integer."""
    if isinstance(horizon, bool) or not isinstance(horizon, int) or horizon < 1:
        raise LabelError(
            what="the label's horizon is not a number of sessions",
            got=horizon,
            allowed="an integer >= 1",
            fix="set labels.horizon to the number of exchange sessions to predict over",
        )


def _spans(panel: pl.DataFrame, *, calendar: str, horizon: int, decision: DecisionTime) -> pl.DataFrame:
    sessions = panel.select(pl.col(SESSION).unique().sort())[SESSION]
    entry_session = later_sessions(calendar, sessions, ahead=1) if decision == "before_next_open" else sessions
    exit_session = later_sessions(calendar, sessions, ahead=horizon)
    spans = pl.DataFrame(
        {
            SESSION: sessions,
            "_entry_session": entry_session,
            "_exit_session": exit_session,
            # The first tradable price at the decision is the price of that very moment: the close, or the next open.
            "t0": decision_moments(calendar, sessions, decision=decision),
            "t1": session_closes(calendar, exit_session),
        }
    )
    _check_decision(panel, spans, decision=decision)
    return spans


def _check_decision(panel: pl.DataFrame, spans: pl.DataFrame, *, decision: DecisionTime) -> None:
    if "decision_at" not in panel.columns:
        return
    decided = panel.select(SESSION, "decision_at").unique().join(spans, on=SESSION, how="left")
    wrong = decided.filter(pl.col("decision_at") != pl.col("t0"))
    if not wrong.is_empty():
        row = wrong.sort(SESSION).row(0, named=True)
        raise LabelError(
            what=f"the panel was not built for decision={decision!r}",
            got=f"a decision at {row['decision_at']} with a label from {row['t0']} in session {row[SESSION]}",
            allowed="a label that starts at the first price tradable at the decision",
            fix="build the panel and the labels with the same decision time",
        )


def _with_price(rows: pl.DataFrame, prices: pl.DataFrame, *, at: str) -> pl.DataFrame:
    return rows.join(prices.rename({SESSION: at}), on=[SYMBOL, at], how="left", maintain_order="left")
