"""The team's processed format, one long frame of all symbols: written from the panel, read back, repaired."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import polars as pl

from conviction.errors import FrameError, LabelError
from conviction.frames import KEY, SESSION, SYMBOL, check_columns, check_panel
from conviction.labels._labels import make_labels

BAR_COLUMNS: tuple[str, ...] = ("open", "high", "low", "close", "volume")
DIRECTION = "direction"
_TARGET = re.compile(r"target_(\d+)d")


@dataclass(frozen=True, kw_only=True)
class ProcessedFrame:
    """The parts of a processed dataset.

    Parameters
    ----------
    bars : polars.DataFrame
        ``symbol, session`` and the prices and volume that the dataset has, Float64.
    matrix : polars.DataFrame
        ``symbol, session`` and every other numeric column, Float32: what the dataset calls features.
    claims : polars.DataFrame
        ``symbol, session``, ``target_{k}d`` Float64 and ``direction`` Int8, as the dataset has them: claims, not yet labels.
    omitted : tuple of str
        Columns that are no numbers.
    """

    bars: pl.DataFrame
    matrix: pl.DataFrame
    claims: pl.DataFrame
    omitted: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class TargetRepair:
    """What the repair of one target column found.

    Parameters
    ----------
    column : str
        ``direction`` or ``target_{k}d``.
    rows, claimed, true : int
        Rows; values that the dataset claimed; values that the prices give.
    compared, changed : int
        Rows that have both; rows whose value the repair changed (a value made null or given counts).
    agreement : float or None
        Share of compared rows that agreed: the same direction, or a return within 1e-6. None if nothing could be compared.
    correlation : float or None
        Pearson correlation of claimed and true values; None if either does not vary.
    """

    column: str
    rows: int
    claimed: int
    true: int
    compared: int
    changed: int
    agreement: float | None
    correlation: float | None


@dataclass(frozen=True, kw_only=True)
class RepairedFrame:
    """A processed frame with targets that follow from its prices, and what had to be changed."""

    frame: pl.DataFrame
    repairs: tuple[TargetRepair, ...]


def to_processed(
    panel: pl.DataFrame, matrix: pl.DataFrame, labels: pl.DataFrame | Sequence[pl.DataFrame]
) -> pl.DataFrame:
    """Put panel, features and labels into the team's processed format.

    Parameters
    ----------
    panel : polars.DataFrame
        Point-in-time panel; its prices and volume are taken, nothing else.
    matrix : polars.DataFrame
        Features of the same rows.
    labels : polars.DataFrame or sequence of polars.DataFrame
        Labels of `make_labels`, one frame a horizon (the team's had 1, 3, 5 and 10); one of them of horizon 1, which gives ``direction``.

    Returns
    -------
    polars.DataFrame
        ``symbol, session, open, high, low, close, volume`` (those there are), features, ``target_{k}d`` by horizon, ``direction``; sorted. One file a
        symbol, ``{SYMBOL}_features.csv``, is the workspace's work.

    Raises
    ------
    FrameError
        If the keys of the three differ, or a feature has a reserved name.
    LabelError
        If no frame has ``target_1d``, or two have the same target.

    Examples
    --------
    >>> from datetime import date
    >>> from conviction.panel import build_panel
    >>> bars = pl.DataFrame({"symbol": ["A", "A"], "session": [date(2024, 7, 2), date(2024, 7, 3)], "close": [10.0, 11.0]})
    >>> panel = build_panel(bars, calendar="XNYS", decision="close", market=None, vix=None, membership=None)
    >>> matrix = bars.select("symbol", "session", ret_1d=pl.Series([None, 0.1], dtype=pl.Float32))
    >>> to_processed(panel, matrix, make_labels(panel, calendar="XNYS", horizon=1, decision="close")).columns
    ['symbol', 'session', 'close', 'ret_1d', 'target_1d', 'direction']
    """
    frames = [labels] if isinstance(labels, pl.DataFrame) else list(labels)
    for name, frame in (("panel", panel), ("feature matrix", matrix), *(("labels", frame) for frame in frames)):
        check_panel(frame, name=name)
        if not frame.select(*KEY).equals(panel.select(*KEY)):
            raise FrameError(
                what=f"{name} and panel have different rows",
                got=f"{frame.height} rows against {panel.height}",
                allowed="the same symbols and sessions",
                fix="build features and labels from this very panel",
            )
    targets: dict[str, pl.DataFrame] = {}
    for frame in frames:
        for column in filter(_TARGET.fullmatch, frame.columns):
            if column in targets:
                raise LabelError(
                    what="two label frames have the same horizon",
                    got=column,
                    allowed="one frame a horizon",
                    fix="leave one out",
                )
            targets[column] = frame
    if "target_1d" not in targets:
        raise LabelError(
            what="direction needs the labels of the next session",
            got=sorted(targets),
            allowed="label frames with target_1d among them",
            fix="make labels with horizon=1 too",
        )
    features = matrix.drop(*KEY)
    reserved = [c for c in features.columns if c in (*BAR_COLUMNS, DIRECTION, "date") or _TARGET.fullmatch(c)]
    if reserved:
        raise FrameError(
            what="features have names that the format keeps for prices and targets",
            got=reserved,
            allowed="other names",
            fix="rename or leave out these features",
        )
    ordered = sorted(targets, key=_horizon)
    values = [targets[column][column] for column in ordered]
    bars = panel.select(*KEY, *[c for c in BAR_COLUMNS if c in panel.columns])
    return bars.hstack(features.get_columns()).hstack([*values, targets["target_1d"][DIRECTION]])


def from_processed(frame: pl.DataFrame) -> ProcessedFrame:
    """Take a processed dataset apart.

    Parameters
    ----------
    frame : polars.DataFrame
        Long frame of all symbols, any row order: ``symbol``, ``session`` or ``date``, prices, features, ``target_{k}d``, ``direction``.

    Returns
    -------
    ProcessedFrame
        Bars, features and claimed targets, each sorted, with null for NaN.

    Raises
    ------
    FrameError
        If the key is missing or not unique, prices or targets are no numbers, or a direction is neither 0 nor 1.

    Examples
    --------
    >>> from datetime import date
    >>> frame = pl.DataFrame({"symbol": ["A"], "date": [date(2024, 7, 2)], "close": [1.0], "rsi_14": [55.0], "direction": [1.0]})
    >>> parts = from_processed(frame)
    >>> parts.bars.columns, parts.matrix.columns, parts.claims.columns
    (['symbol', 'session', 'close'], ['symbol', 'session', 'rsi_14'], ['symbol', 'session', 'direction'])
    """
    named = frame.rename({"date": SESSION}) if "date" in frame.columns and SESSION not in frame.columns else frame
    check_columns(named, KEY, name="processed frame")
    rows = check_panel(named.sort(*KEY), name="processed frame")
    present = [c for c in BAR_COLUMNS if c in rows.columns]
    targets = sorted((c for c in rows.columns if _TARGET.fullmatch(c)), key=_horizon)
    _check_numbers(rows, [*present, *targets])
    others = [c for c in rows.columns if c not in (*KEY, *present, *targets, DIRECTION)]
    features = [c for c in others if rows.schema[c].is_numeric() or rows.schema[c] == pl.Boolean]
    direction = [] if DIRECTION not in rows.columns else [_direction(rows)]
    return ProcessedFrame(
        bars=rows.select(*KEY, *[pl.col(c).cast(pl.Float64).fill_nan(None) for c in present]),
        matrix=rows.select(*KEY, *[pl.col(c).cast(pl.Float32).fill_nan(None) for c in features]),
        claims=rows.select(*KEY, *[pl.col(c).cast(pl.Float64).fill_nan(None) for c in targets], *direction),
        omitted=tuple(c for c in others if c not in features),
    )


def repair_direction(frame: pl.DataFrame, *, calendar: str) -> RepairedFrame:
    """Recompute ``direction`` and every ``target_{k}d`` of a processed dataset from its own closes.

    Parameters
    ----------
    frame : polars.DataFrame
        As for `from_processed`, with ``close``.
    calendar : str
        Exchange calendar: ``target_{k}d`` in row t is the return from the close of t to the close k exchange sessions later, null where
        the symbol has no row then.

    Returns
    -------
    RepairedFrame
        The frame sorted by symbol and session, all other columns untouched, ``direction`` added where it was missing; and for each target what
        was claimed, what is true and how they correlate.

    Raises
    ------
    FrameError
        If the frame is no processed frame or has no ``close``.
    BarsError
        If a row is no session of the exchange: then the prices are not this exchange's, and no target of them is worth repairing.

    Examples
    --------
    >>> from datetime import date
    >>> frame = pl.DataFrame({
    ...     "symbol": ["A", "A"], "date": [date(2024, 7, 2), date(2024, 7, 3)], "close": [10.0, 11.0], "direction": [0, 1]
    ... })
    >>> repaired = repair_direction(frame, calendar="XNYS")
    >>> repaired.frame["direction"].to_list(), repaired.repairs[0].changed
    ([1, None], 2)
    """
    parts = from_processed(frame)
    check_columns(parts.bars, ["close"], name="processed frame")
    panel = parts.bars.with_columns(in_universe=pl.lit(value=True))
    claimed = [c for c in parts.claims.columns if c not in KEY]
    true = {DIRECTION: make_labels(panel, calendar=calendar, horizon=1, decision="close")[DIRECTION]}
    for column in claimed:
        if column != DIRECTION:
            horizon = _horizon(column)
            true[column] = make_labels(panel, calendar=calendar, horizon=horizon, decision="close")[column]
    columns = [*[c for c in claimed if c != DIRECTION], DIRECTION]
    key = [SYMBOL, "date" if "date" in frame.columns and SESSION not in frame.columns else SESSION]
    repaired = frame.sort(*key).with_columns(true[column].alias(column) for column in columns)
    repairs = [_compare(parts.claims, column, true[column]) for column in columns]
    return RepairedFrame(frame=repaired, repairs=tuple(repairs))


def _compare(claims: pl.DataFrame, column: str, true: pl.Series) -> TargetRepair:
    claim = claims[column] if column in claims.columns else true.clear(true.len())
    both = pl.DataFrame({"claim": claim.cast(pl.Float64), "true": true.cast(pl.Float64)})
    same = (pl.col("claim") - pl.col("true")).abs() <= 1e-6
    compared = both.drop_nulls()
    agreed = compared.select(same.sum()).item()
    kept = agreed + both.select((pl.col("claim").is_null() & pl.col("true").is_null()).sum()).item()
    varies = compared.height > 1 and min(compared["claim"].n_unique(), compared["true"].n_unique()) > 1
    return TargetRepair(
        column=column,
        rows=both.height,
        claimed=both.height - both["claim"].null_count(),
        true=both.height - both["true"].null_count(),
        compared=compared.height,
        changed=both.height - kept,
        agreement=agreed / compared.height if compared.height else None,
        correlation=float(compared.select(pl.corr("claim", "true")).item()) if varies else None,
    )


def _direction(rows: pl.DataFrame) -> pl.Series:
    column = rows[DIRECTION]
    values = (
        column.cast(pl.Float64, strict=False).fill_nan(None) if column.dtype != pl.Boolean else column.cast(pl.Float64)
    )
    if (
        values.null_count() > column.null_count() + _nan_count(column)
        or not values.drop_nulls().is_in([0.0, 1.0]).all()
    ):
        raise FrameError(
            what="direction is neither 0 nor 1",
            got=column.drop_nulls().unique().sort().head(5).to_list(),
            allowed="1 (up), 0 (not up) or nothing",
            fix="map the dataset's coding to 1 and 0 where it is read; strictly above zero is 1",
        )
    return values.cast(pl.Int8)


def _nan_count(column: pl.Series) -> int:
    return int(column.is_nan().sum()) if column.dtype.is_float() else 0


def _check_numbers(rows: pl.DataFrame, columns: Sequence[str]) -> None:
    wrong = [c for c in columns if not rows.schema[c].is_numeric()]
    if wrong:
        raise FrameError(
            what=f"columns {wrong} of the processed frame are no numbers",
            got=[str(rows.schema[c]) for c in wrong],
            allowed="numeric prices, volume and targets",
            fix="read them as floats; mark what is missing with an empty field",
        )


def _horizon(column: str) -> int:
    match = _TARGET.fullmatch(column)
    return int(match.group(1)) if match else 0
