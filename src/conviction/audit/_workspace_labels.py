"""Labels recomputed from the panel's prices by an implementation of their own, and checked against their moments.

Nothing of `conviction.labels` is used: two implementations that agree are worth more than one that agrees with itself.
"""

from __future__ import annotations

import re
from datetime import date, timedelta
from typing import TYPE_CHECKING, Any, Final, cast

import numpy as np
import polars as pl

from conviction.audit._report import Finding
from conviction.audit._workspace_bar_labels import recompute_bar_labels
from conviction.errors import AuditError
from conviction.frames import KEY, SESSION, SYMBOL, UTC, key_of
from conviction.market import exchange_sessions, session_closes, session_opens

if TYPE_CHECKING:
    from numpy.typing import NDArray

_RETURN = re.compile(r"^target_(\d+)d$")
_RTOL: Final = 1e-9
_REMEDY: Final = "make the labels with conviction.labels.make_labels on exactly this panel, and do not edit them"


def recompute_labels(
    panel: pl.DataFrame, *, calendar: str, horizons: list[int], horizon: int, decision: str
) -> pl.DataFrame:
    """Return the labels of a panel computed on a dense (exchange session, symbol) table of prices.

    Parameters
    ----------
    panel : polars.DataFrame
        ``symbol, session, close`` and, for ``before_next_open``, ``open``; prices in currency units.
    calendar : str
        Exchange calendar code.
    horizons : list of int
        Horizons, in exchange sessions, of the ``target_{h}d`` columns.
    horizon : int
        The horizon of ``direction``, ``relative`` and the span.
    decision : {"close", "before_next_open"}
        From the close of t, or from the open of t+1.

    Returns
    -------
    polars.DataFrame
        Key, ``target_{h}d`` (Float64, null where a price is missing), ``direction``, ``relative`` (Int8), ``t0``,
        ``t1`` (UTC).

    Raises
    ------
    AuditError
        When the panel lacks the price that the decision needs or has sessions the exchange did not hold.
    """
    entry_column = "close" if decision == "close" else "open"
    if entry_column not in panel.columns:
        raise AuditError(
            what=f"labels decided {decision!r} cannot be recomputed without the panel's {entry_column!r}",
            got=panel.columns,
            allowed=f"a panel with {entry_column!r}",
            fix="use decision='close' for a source that has closes only",
        )
    first, last = cast("tuple[date, date]", (panel[SESSION].min(), panel[SESSION].max()))
    sessions, opens, closes = _exchange(calendar, first, last, extra=max(horizons) + 1)
    row, column, n_symbols = _positions(panel, sessions, calendar)
    exit_price = _dense(panel["close"], row, column, (len(sessions), n_symbols))
    entry_price = _dense(panel[entry_column], row, column, exit_price.shape)
    lead = 0 if decision == "close" else 1
    result = panel.select(KEY)
    for h in horizons:
        forward = _ahead(exit_price, h) / _ahead(entry_price, lead) - 1.0
        result = result.with_columns(pl.Series(f"target_{h}d", forward[row, column]).fill_nan(None))
        if h == horizon:
            inside = _dense(_membership(panel), row, column, exit_price.shape) == 1.0
            result = result.with_columns(_classes(forward, inside, row, column))
    t0 = closes[row] if decision == "close" else opens[row + 1]
    return result.with_columns(
        pl.Series("t0", t0).cast(UTC),
        pl.Series("t1", closes[row + horizon]).cast(UTC),
    )


def _exchange(calendar: str, first: date, last: date, *, extra: int) -> tuple[list[date], NDArray[Any], NDArray[Any]]:
    sessions = exchange_sessions(calendar, first, last + timedelta(days=3 * extra + 20))
    opens, closes = session_opens(calendar, sessions), session_closes(calendar, sessions)
    return sessions.to_list(), opens.to_physical().to_numpy(), closes.to_physical().to_numpy()


def _positions(
    panel: pl.DataFrame, sessions: list[date], calendar: str
) -> tuple[NDArray[np.int64], NDArray[np.int64], int]:
    index = pl.DataFrame({SESSION: sessions}).with_row_index("__position")
    position = panel.select(SESSION).join(index, on=SESSION, how="left", maintain_order="left")["__position"]
    if position.null_count():
        foreign = panel[SESSION].filter(position.is_null()).unique().sort()
        raise AuditError(
            what=f"the panel has sessions that the exchange {calendar} did not hold",
            got=f"{foreign.len()} sessions, first {foreign[0]}",
            allowed="sessions of the exchange calendar",
            fix="check data.calendar, or repair the dates where the bars are read",
        )
    column = panel[SYMBOL].rank("dense").to_numpy().astype(np.int64) - 1
    return position.to_numpy().astype(np.int64), column, int(column.max()) + 1


def _dense(
    prices: pl.Series, row: NDArray[np.int64], column: NDArray[np.int64], shape: tuple[int, int]
) -> NDArray[np.float64]:
    table = np.full(shape, np.nan)
    table[row, column] = prices.cast(pl.Float64).fill_null(float("nan")).to_numpy()
    return table


def _membership(panel: pl.DataFrame) -> pl.Series:
    return (
        panel["in_universe"].fill_null(value=False)
        if "in_universe" in panel.columns
        else pl.repeat(1.0, panel.height, eager=True)
    )


def _ahead(table: NDArray[np.float64], steps: int) -> NDArray[np.float64]:
    moved = np.full_like(table, np.nan)
    moved[: len(table) - steps] = table[steps:]
    return moved


def _classes(
    forward: NDArray[np.float64], inside: NDArray[np.bool_], row: NDArray[np.int64], column: NDArray[np.int64]
) -> list[pl.Series]:
    known = np.isfinite(forward) & inside
    median = np.full(len(forward), np.nan)
    for i in np.flatnonzero(known.any(axis=1)):
        values = np.sort(forward[i][known[i]])
        half = len(values) // 2
        median[i] = values[half] if len(values) % 2 else 0.5 * (values[half - 1] + values[half])
    several = known.sum(axis=1) > 1
    up = np.where(np.isfinite(forward), forward > 0, np.nan)
    beats = np.where(known & several[:, None], forward > median[:, None], np.nan)
    return [
        pl.Series(name, table[row, column]).fill_nan(None).cast(pl.Int8)
        for name, table in (("direction", up), ("relative", beats))
    ]


def label_findings(
    panel: pl.DataFrame,
    labels: pl.DataFrame,
    *,
    calendar: str,
    horizon: int,
    decision: str,
    minutes: int | None = None,
) -> list[Finding]:
    """Return what is wrong with the labels: values, classes, spans, and moments out of order."""
    key = list(key_of(panel))
    if minutes is not None:
        target, unit = f"target_{minutes * horizon}min", f"bars of {minutes} minutes"
        own = recompute_bar_labels(panel, calendar=calendar, minutes=minutes, horizon=horizon, decision=decision)
    else:
        target, unit = f"target_{horizon}d", "sessions"
        horizons = sorted({int(match[1]) for name in labels.columns if (match := _RETURN.match(name))} | {horizon})
        own = recompute_labels(panel, calendar=calendar, horizons=horizons, horizon=horizon, decision=decision)
    joined = labels.join(own, on=key, how="left", suffix="__own", maintain_order="left")
    findings: list[Finding] = []
    foreign = labels.join(panel.select(key), on=key, how="anti")
    if foreign.height:
        findings.append(_label_finding("label_rows", (), foreign, "labels exist for rows that the panel does not have"))
    for name in own.columns:
        if name in key or name not in labels.columns:
            continue
        wrong = joined.filter(_unequal(name, joined.schema[name]))
        if wrong.height:
            findings.append(_value_finding(name, wrong))
    if target not in labels.columns:
        findings.append(
            Finding(
                check="label_recomputation",
                severity="error",
                columns=(target,),
                explanation=f"The labels have no return of the declared horizon, {horizon} {unit}.",
                remedy=_REMEDY + ".",
            )
        )
    return findings + _moment_findings(panel, labels)


def _unequal(name: str, dtype: pl.DataType) -> pl.Expr:
    given, own = pl.col(name), pl.col(f"{name}__own")
    if not dtype.is_float():
        return given.ne_missing(own)
    given = given.fill_nan(None)
    apart = (given - own).abs() > _RTOL * (1.0 + own.abs())
    return (given.is_null() != own.is_null()) | apart.fill_null(value=False)


def _value_finding(name: str, wrong: pl.DataFrame) -> Finding:
    first = wrong.sort(SESSION, SYMBOL).row(0, named=True)
    finding = _label_finding(
        "label_recomputation", (name,), wrong, f"{name} differs from its recomputation out of the panel's prices"
    )
    finding.evidence.update({"got": _short(first[name]), "recomputed": _short(first[f"{name}__own"])})
    return finding


def _short(value: Any) -> float | int | str | None:
    return value if isinstance(value, (int, float)) or value is None else str(value)


def _moment_findings(panel: pl.DataFrame, labels: pl.DataFrame) -> list[Finding]:
    moments = labels.join(
        panel.select(*key_of(panel), "known_at", "decision_at"),
        on=list(key_of(panel)),
        how="left",
        maintain_order="left",
    )
    labelled = moments.filter(pl.col("t0").is_not_null())
    # After the last bar of a session nothing follows: its label is missing, and its span is empty.
    ends_early = pl.col("t1") <= pl.col("t0")
    if "bar_end" in labels.columns:
        ends_early = (pl.col("t1") < pl.col("t0")) | (ends_early & pl.col("direction").is_not_null())
    rules = (
        (
            "known_at",
            pl.col("known_at") > pl.col("decision_at"),
            "a bar is used that was complete only after the decision",
        ),
        ("decision_at", pl.col("decision_at") > pl.col("t0"), "the label's span begins before the decision"),
        ("t1", ends_early, "a label's span ends before it begins"),
    )
    findings = []
    for column, broken, text in rules:
        wrong = labelled.filter(broken | pl.col(column).is_null())
        if wrong.height:
            findings.append(
                _label_finding("moments", (column,), wrong, f"{text} (required: known_at <= decision_at <= t0 < t1)")
            )
    return findings


def _label_finding(check: str, columns: tuple[str, ...], wrong: pl.DataFrame, text: str) -> Finding:
    first = wrong.sort(SESSION, SYMBOL).row(0, named=True)
    symbols = tuple(wrong[SYMBOL].unique().sort().to_list()[:20])
    return Finding(
        check=check,
        severity="error",
        columns=columns,
        symbols=symbols,
        first_session=str(first[SESSION]),
        evidence={"rows": wrong.height, "first_symbol": first[SYMBOL]},
        explanation=f"In {wrong.height} rows {text}.",
        remedy=_REMEDY + ".",
    )
