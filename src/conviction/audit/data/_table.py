"""A foreign frame as it came: its columns' roles, and the clean part of it that the other checks can stand on."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from conviction.errors import AuditError

if TYPE_CHECKING:
    from conviction.audit.data._panel import Panel

ROW = "__row__"
_SYMBOL = ("symbol", "ticker", "asset", "instrument", "sym", "secid", "permno", "unique_id")
_MOMENT = ("date", "session", "bar_end", "timestamp", "datetime", "trade_date", "day", "ds", "time", "window_start")
_PRICES = {
    "open": ("open", "o"),
    "high": ("high", "h"),
    "low": ("low", "l"),
    "close": ("close", "adj_close", "adjclose", "adj close", "close_price", "price", "c"),
    "volume": ("volume", "vol", "v"),
}
_FOLD = ("fold", "split", "set", "partition", "subset", "dataset_split", "cv_fold")
_DIRECTION = ("direction", "target", "target_next_day", "y", "label", "target_direction", "up", "target_binary")
_HORIZON = re.compile(r"^(?:target|label|y|fwd_target)_(\d+)(d|day|days|m|min|minutes|bars|b)?$", re.IGNORECASE)


@dataclass(frozen=True, kw_only=True)
class Table:
    """The raw frame with typed columns and the role of each.

    Attributes
    ----------
    raw : polars.DataFrame
        ``symbol, session`` (Date, or Datetime for intraday bars), ``__row__`` (position as it came) and all other
        columns as Float64, in the order of the rows as they came.
    prices : dict
        Standard name to the frame's own name.
    targets : dict
        Target column to horizon in rows.
    features, folds, texts : tuple of str
        Other columns: to be audited; fold assignments; not numeric (compared as codes).
    intraday : bool
        Whether the rows are bars within a session.
    """

    raw: pl.DataFrame
    prices: dict[str, str]
    targets: dict[str, int]
    features: tuple[str, ...]
    folds: tuple[str, ...]
    texts: tuple[str, ...] = ()
    intraday: bool = False
    notes: dict[str, Any] = field(default_factory=dict)


def to_polars(frame: Any, *, name: str) -> pl.DataFrame:
    """Return the frame as polars without changing the caller's; a named pandas index becomes columns.

    Raises
    ------
    AuditError
        If it is neither a polars nor a pandas frame.
    """
    if isinstance(frame, pl.LazyFrame):
        return frame.collect()
    if isinstance(frame, pl.DataFrame):
        return frame
    if hasattr(frame, "reset_index") and hasattr(frame, "columns"):
        named = [n for n in frame.index.names if n is not None]
        table: pl.DataFrame = pl.from_pandas(frame.reset_index() if named else frame, nan_to_null=True)
        return table
    raise AuditError(
        what=f"{name} is not a frame",
        got=type(frame).__name__,
        allowed="a polars or pandas DataFrame",
        fix="read the file first, for example with polars.read_csv",
    )


def _find(columns: list[str], names: tuple[str, ...]) -> str | None:
    lowered = {column.lower().strip(): column for column in reversed(columns)}
    return next((lowered[name] for name in names if name in lowered), None)


def as_moment(series: pl.Series) -> pl.Series:
    """Return a Date series, or a Datetime one where the values carry a time of day.

    Raises
    ------
    AuditError
        If values cannot be read as dates.
    """
    moment = series
    if series.dtype == pl.String:
        moment = series.str.slice(0, 19).str.replace("T", " ").str.to_datetime("%Y-%m-%d %H:%M:%S", strict=False)
        moment = moment.fill_null(series.str.slice(0, 10).str.to_datetime("%Y-%m-%d", strict=False))
        moment = moment.fill_null(series.str.slice(0, 16).str.to_datetime("%Y-%m-%d %H:%M", strict=False))
        moment = moment.fill_null(series.str.to_datetime("%m/%d/%Y", strict=False))
        moment = moment.fill_null(series.str.to_datetime("%Y%m%d", strict=False))
    elif series.dtype.is_integer():
        moment = series.cast(pl.String).str.to_datetime("%Y%m%d", strict=False)
    if moment.dtype == pl.Date:
        return moment
    if not isinstance(moment.dtype, pl.Datetime) or moment.null_count() > series.null_count():
        bad = series.filter(moment.is_null())[:1].to_list() if isinstance(moment.dtype, pl.Datetime) else series[:1]
        raise AuditError(
            what=f"the column {series.name!r} cannot be read as dates",
            got=f"{series.dtype}, for example {list(bad)}",
            allowed="dates, datetimes, or text such as 2024-06-28 or 2024-06-28 15:35:00",
            fix="convert the column before the audit",
        )
    if moment.dtype.time_zone is not None:
        moment = moment.dt.convert_time_zone("America/New_York").dt.replace_time_zone(None)
    moment = moment.dt.cast_time_unit("us")
    midnight = (moment.drop_nulls().dt.truncate("1d") == moment.drop_nulls()).all()
    return moment.cast(pl.Date) if midnight else moment


def read_table(frame: Any, *, targets: Mapping[str, int] | None) -> Table:
    """Recognise the columns of a foreign frame; nothing is dropped, sorted or repaired.

    Raises
    ------
    AuditError
        If there is no row, no date column, or a named target is missing.
    """
    raw = to_polars(frame, name="the dataset")
    if raw.is_empty():
        raise AuditError(
            what="the dataset has no rows", got=raw.shape, allowed="at least one row", fix="check the file"
        )
    columns = [c for c in raw.columns if not re.fullmatch(r"(unnamed: ?0|__index_level_0__|index)", c.lower())]
    moment = _find(columns, _MOMENT)
    if moment is None:
        raise AuditError(
            what="the dataset has no date column",
            got=raw.columns,
            allowed=f"one of {', '.join(_MOMENT)}",
            fix="rename the column that holds the session",
        )
    symbol = _find(columns, _SYMBOL)
    when = as_moment(raw[moment]).alias("session")
    names = raw[symbol].cast(pl.String).alias("symbol") if symbol else pl.Series("symbol", ["ALL"] * raw.height)
    lowered: dict[str, str] = {}
    for standard, aliases in _PRICES.items():
        found = _find(columns, aliases)
        if found is not None and raw.schema[found].is_numeric():
            lowered[standard] = found
    rest = [c for c in columns if c not in (moment, symbol)]
    found_targets = _targets(rest, targets, minutes=_minutes_a_bar(names, when))
    folds = tuple(c for c in rest if c.lower() in _FOLD and c not in found_targets)
    typed, texts = _typed(raw, [c for c in rest if c not in folds])
    assignment = [raw[c].cast(pl.String).alias(c) for c in folds]
    table = pl.DataFrame([names, when, pl.Series(ROW, np.arange(raw.height)), *typed, *assignment])
    taken = {*lowered.values(), *found_targets, *folds}
    features = tuple(c for c in rest if c not in taken)
    return Table(
        raw=table,
        prices=lowered,
        targets=found_targets,
        features=features,
        folds=folds,
        texts=tuple(texts),
        intraday=when.dtype != pl.Date,
        notes={"symbol_column": symbol or "", "date_column": moment},
    )


def _minutes_a_bar(names: pl.Series, when: pl.Series) -> int:
    """Return the usual minutes from bar to bar, 0 where the rows are sessions."""
    if when.dtype == pl.Date:
        return 0
    bars = pl.DataFrame({"symbol": names, "moment": when}).drop_nulls().unique().sort("symbol", "moment")
    steps = bars.select(pl.col("moment").diff().over("symbol").dt.total_minutes()).to_series().drop_nulls()
    usual = steps.filter(steps > 0).mode()
    return int(usual.min()) if usual.len() else 0  # type: ignore[arg-type]


def _targets(columns: list[str], given: Mapping[str, int] | None, *, minutes: int = 0) -> dict[str, int]:
    if given is not None:
        missing = [name for name in given if name not in columns]
        if missing:
            raise AuditError(
                what="named targets are not in the dataset",
                got=missing,
                allowed=columns,
                fix="name targets by the dataset's own column names",
            )
        return {name: int(horizon) for name, horizon in given.items()}
    found = {}
    for column in columns:
        match = _HORIZON.match(column)
        if match:
            ahead, unit = int(match.group(1)), (match.group(2) or "").lower()
            # A target of 60 minutes lies twelve bars of five minutes ahead.
            found[column] = max(1, ahead // minutes) if minutes and unit in ("m", "min", "minutes") else ahead
        elif column.lower() in _DIRECTION:
            found[column] = 1
    return found


def _typed(raw: pl.DataFrame, columns: list[str]) -> tuple[list[pl.Series], list[str]]:
    typed, texts = [], []
    for name in columns:
        column = raw[name]
        if column.dtype.is_numeric() or column.dtype == pl.Boolean:
            value = column.cast(pl.Float64)
        elif column.dtype.is_temporal():
            value = column.to_physical().cast(pl.Float64)
        else:
            text = column.cast(pl.String).str.strip_chars()
            value = text.cast(pl.Float64, strict=False)
            empty = text.is_null() | text.str.to_lowercase().is_in(["", "nan", "none", "null", "na"])
            if value.null_count() > int(empty.sum()):
                value = text.rank("dense").cast(pl.Float64)
                texts.append(name)
        typed.append(value.fill_nan(None).alias(name))
    return typed, texts


def clean_rows(table: Table, *, known_sessions: set[Any] | None) -> pl.DataFrame:
    """Return the rows that can carry the other checks: keyed, unique, on sessions that the market shares, sorted.

    What is left out here is reported by the checks on rows; leaving it out keeps one defect from being reported
    through every column.
    """
    frame = table.raw.drop_nulls(["symbol", "session"])
    frame = frame.unique(["symbol", "session"], keep="first", maintain_order=True)
    n_symbols = frame["symbol"].n_unique()
    counts = frame.group_by("session").len().sort("session")
    if not table.intraday:
        share = counts["len"] / n_symbols
        foreign = share < 0.5
        # What most symbols share stays, session of the exchange or not: it is reported, not removed.
        strange = ~counts["session"].is_in(list(known_sessions)) if known_sessions else share < 0.1
        # Rows after a long silence of everyone are nobody's next session, whatever the calendar says.
        block = (counts["session"].diff().dt.total_days().fill_null(0) > 60).cast(pl.Int64).cum_sum()
        main = int(block.mode().min())  # type: ignore[arg-type]
        foreign = foreign & (strange | (block != main))
        frame = frame.filter(~pl.col("session").is_in(counts["session"].filter(foreign).implode()))
    return frame.sort("symbol", "session")


def panel_of(table: Table, frame: pl.DataFrame, *, known_sessions: set[Any] | None = None) -> Panel:
    """Return the dense panel of clean rows."""
    from conviction.audit.data._panel import Panel

    first, last = frame["session"].min(), frame["session"].max()
    inside = [day for day in known_sessions or () if first <= day <= last]
    return Panel.build(frame, prices=table.prices, calendar=inside)
