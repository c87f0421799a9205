"""Splits and dividends as they were known on a day."""

from __future__ import annotations

from datetime import date

import numpy as np
import polars as pl

from conviction.errors import BarsError, PointInTimeError
from conviction.frames import KEY, SESSION, SYMBOL, check_columns, check_panel
from conviction.market._bars import PRICES
from conviction.market._quality import QualityProblem, QualityReport

# Ratios of nearly all splits and reverse splits of US stocks.
_RATIOS = (3 / 2, 2.0, 5 / 2, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 10.0, 15.0, 20.0, 25.0, 30.0, 40.0, 50.0, 100.0)
_CLOSE_TO_RATIO = 0.04
_LARGE_MOVE = np.log(1.4)
_OVERNIGHT = 0.08


def adjust_bars(
    bars: pl.DataFrame, splits: pl.DataFrame | None, dividends: pl.DataFrame | None, *, as_of: date
) -> pl.DataFrame:
    """Adjust raw bars for the splits and dividends that had happened by a day, as that day's chart showed them.

    Parameters
    ----------
    bars : polars.DataFrame
        Unadjusted daily bars: ``symbol, session``, prices and ``volume``.
    splits : polars.DataFrame or None
        ``symbol, execution_date`` Date (first session on the new basis), ``split_from, split_to``: 4 new shares for 1 is 1, 4.
    dividends : polars.DataFrame or None
        ``symbol, ex_dividend_date`` Date, ``cash_amount`` in the currency of that day's shares. None: price returns only.
    as_of : datetime.date
        The day of the decision. An event counts from its execution or ex-date on, so one after `as_of` changes nothing, and bars
        after `as_of` do not exist yet and are left out. On `as_of` itself the price is the price that was paid.

    Returns
    -------
    polars.DataFrame
        The bars up to `as_of`; prices times the product of the factors of later events, volume divided by that of the splits.

    Raises
    ------
    PointInTimeError
        If no bar is left.
    BarsError
        If an event is impossible (a split of zero, a negative dividend, one that exceeds the price) or stands twice.
    FrameError
        If a frame breaks its contract.

    Notes
    -----
    Split factor ``split_from / split_to``; dividend factor ``1 - cash / close`` with the close before the ex-date on the ex-date's share
    basis (CRSP, Data Definitions). A later event multiplies all earlier prices of the symbol by one constant: returns, ratios and ranks of
    returns are the same whichever later `as_of` is chosen, so that one adjustment as of the last session is honest for them.
    Price levels and share volumes are not invariant: features made of them need the `as_of` of their own day.

    Examples
    --------
    >>> from datetime import date
    >>> bars = pl.DataFrame({
    ...     "symbol": ["A", "A"], "session": [date(2024, 7, 2), date(2024, 7, 3)], "close": [100.0, 25.5], "volume": [10.0, 40.0]
    ... })
    >>> splits = pl.DataFrame({
    ...     "symbol": ["A"], "execution_date": [date(2024, 7, 3)], "split_from": [1.0], "split_to": [4.0]
    ... })
    >>> adjust_bars(bars, splits, None, as_of=date(2024, 7, 3)).select("close", "volume").rows()
    [(25.0, 40.0), (25.5, 40.0)]
    >>> adjust_bars(bars, splits, None, as_of=date(2024, 7, 2)).select("close", "volume").rows()
    [(100.0, 10.0)]
    """
    check_panel(bars, name="bars", required=["close"])
    known = bars.filter(pl.col(SESSION) <= as_of)
    if known.is_empty():
        raise PointInTimeError(
            what="no bar was known on the day of the adjustment",
            got=f"as_of {as_of}, first session {bars[SESSION].min()!s}",
            allowed="a day at or after the first session",
            fix="choose a later as_of",
        )
    split_events = _split_events(splits, as_of=as_of)
    dividend_events = _dividend_events(known, dividends, split_events, as_of=as_of)
    adjusted = known.with_columns(
        _later_product(known, split_events).alias("_split"), _later_product(known, dividend_events).alias("_dividend")
    )
    prices = [(pl.col(c) * pl.col("_split") * pl.col("_dividend")).alias(c) for c in PRICES if c in known.columns]
    volume = [(pl.col("volume") / pl.col("_split")).alias("volume")] if "volume" in known.columns else []
    return adjusted.with_columns(*prices, *volume).select(known.columns)


def inspect_splits(bars: pl.DataFrame, splits: pl.DataFrame | None) -> QualityReport:
    """Say where prices and the list of splits do not fit each other.

    Parameters
    ----------
    bars : polars.DataFrame
        Daily bars that are believed to be unadjusted.
    splits : polars.DataFrame or None
        As for `adjust_bars`.

    Returns
    -------
    QualityReport
        ``unlisted_split`` (warning): the close changed by over 40 % to within 4 % of a usual split ratio, and no split is listed for that
        session; where there are opens, the change must already stand at the open. ``already_adjusted`` (error): a split is listed, but the close did not change as it says; adjusting would count it
        twice. ``split_without_bars`` (info): a listed split lies before a symbol's second or after its last bar.

    Raises
    ------
    BarsError
        If a split is impossible or stands twice.

    Examples
    --------
    >>> from datetime import date
    >>> bars = pl.DataFrame({
    ...     "symbol": ["A", "A"], "session": [date(2024, 7, 2), date(2024, 7, 3)], "close": [100.0, 25.5]
    ... })
    >>> inspect_splits(bars, None).names()
    ('unlisted_split',)
    """
    check_panel(bars, name="bars", required=["close"])
    events = _split_events(splits, as_of=date.max)
    entry = "open" if "open" in bars.columns else "close"
    moved = bars.select(
        *KEY,
        pl.col(SESSION).shift(1).over(SYMBOL).alias("_before"),
        (pl.col("close") / pl.col("close").shift(1).over(SYMBOL)).log().alias("_log"),
        (pl.col(entry) / pl.col("close").shift(1).over(SYMBOL)).log().alias("_gap"),
    ).drop_nulls()
    # A split may execute on a day without a bar: it then shows in the first bar after.
    placed = events.sort("_date").join_asof(
        moved.sort(SESSION),
        left_on="_date",
        right_on=SESSION,
        by=SYMBOL,
        strategy="forward",
        coalesce=False,
        check_sortedness=False,
    )
    on_bars = (
        placed.filter(pl.col("_before") < pl.col("_date"))
        .group_by(*KEY)
        .agg(pl.col("_factor").log().sum().alias("_expected"))
    )
    compared = moved.join(on_bars, on=KEY, how="left").sort(*KEY)
    nearest = pl.min_horizontal([(pl.col("_log").abs() - float(np.log(r))).abs() for r in _RATIOS])
    unlisted = compared.filter(
        pl.col("_expected").is_null()
        & (pl.col("_log").abs() > _LARGE_MOVE)
        & (nearest < _CLOSE_TO_RATIO)
        # A split happens overnight; a crash goes on through the session.
        & ((pl.col("_gap") - pl.col("_log")).abs() < _OVERNIGHT)
    )
    adjusted = compared.filter(
        pl.col("_expected").is_not_null() & ((pl.col("_log") - pl.col("_expected")).abs() > pl.col("_log").abs())
    )
    problems = [*_moves(unlisted, name="unlisted_split"), *_moves(adjusted, name="already_adjusted")]
    lost = placed.filter((pl.col("_before") < pl.col("_date")).fill_null(value=False).not_())
    problems += [
        _split_problem("split_without_bars", row[SYMBOL], row["_date"], "no bar around it") for row in lost.to_dicts()
    ]
    return QualityReport(
        source="splits against bars",
        rows=bars.height,
        kept=bars.height,
        symbols=bars[SYMBOL].n_unique(),
        first_session=bars[SESSION].min(),  # type: ignore[arg-type]
        last_session=bars[SESSION].max(),  # type: ignore[arg-type]
        problems=tuple(problems),
    )


def _moves(rows: pl.DataFrame, *, name: str) -> list[QualityProblem]:
    return [
        _split_problem(name, row[SYMBOL], row[SESSION], f"close changed by a factor of {np.exp(row['_log']):.4g}")
        for row in rows.to_dicts()
    ]


_SPLIT_RULES: dict[str, tuple[str, str]] = {
    "unlisted_split": (
        "warning",
        "the close changed as in a split that the list does not have; returns over it are wrong",
    ),
    "already_adjusted": ("error", "the list has a split that the prices do not show: they are adjusted already"),
    "split_without_bars": ("info", "the split changes nothing, since no bar lies before and after it"),
}


def _split_problem(name: str, symbol: str, session: date, value: str) -> QualityProblem:
    severity, explanation = _SPLIT_RULES[name]
    return QualityProblem(
        name=name,
        severity=severity,  # type: ignore[arg-type]
        symbol=symbol,
        session=session,
        rows=1,
        value=value,
        explanation=explanation,
    )


def _split_events(splits: pl.DataFrame | None, *, as_of: date) -> pl.DataFrame:
    if splits is None:
        return _no_events()
    check_columns(splits, [SYMBOL, "execution_date", "split_from", "split_to"], name="splits")
    events = splits.select(
        SYMBOL,
        pl.col("execution_date").alias("_date"),
        (pl.col("split_from").cast(pl.Float64) / pl.col("split_to").cast(pl.Float64)).alias("_factor"),
    )
    _check_events(events, name="splits", allowed="split_from and split_to above zero, one split of a symbol a day")
    return events.filter(pl.col("_date") <= as_of)


def _dividend_events(
    bars: pl.DataFrame, dividends: pl.DataFrame | None, splits: pl.DataFrame, *, as_of: date
) -> pl.DataFrame:
    if dividends is None:
        return _no_events()
    check_columns(dividends, [SYMBOL, "ex_dividend_date", "cash_amount"], name="dividends")
    # Two payments may share an ex-date (an ordinary and a special one): the price falls by their sum.
    paid = (
        dividends.group_by(SYMBOL, pl.col("ex_dividend_date").alias("_date"), maintain_order=True)
        .agg(pl.col("cash_amount").cast(pl.Float64).sum(), bad=(pl.col("cash_amount").fill_null(-1.0) < 0).any())
        .filter(pl.col("_date") <= as_of)
    )
    closes = bars.select(
        SYMBOL, pl.col(SESSION).alias("_before"), "close", (pl.col(SESSION) + pl.duration(days=1)).alias("_after")
    )
    before = paid.sort("_date").join_asof(
        closes.sort("_after"),
        left_on="_date",
        right_on="_after",
        by=SYMBOL,
        strategy="backward",
        coalesce=False,
        check_sortedness=False,
    )
    # The close before is on the old share basis if a split executes in between; the payment is on the new one.
    spanned = before.join(splits.rename({"_date": "_split_date"}), on=SYMBOL, how="left").filter(
        (pl.col("_split_date") > pl.col("_before")) & (pl.col("_split_date") <= pl.col("_date"))
    )
    basis = spanned.group_by(SYMBOL, "_date").agg(pl.col("_factor").product().alias("_basis"))
    events = (
        before.join(basis, on=[SYMBOL, "_date"], how="left")
        .filter(pl.col("close").is_not_null())
        .select(
            SYMBOL,
            "_date",
            pl.when(~pl.col("bad"))
            .then(1.0 - pl.col("cash_amount") / (pl.col("close") * pl.col("_basis").fill_null(1.0)))
            .alias("_factor"),
        )
    )
    _check_events(events, name="dividends", allowed="cash_amount at least zero and below the price before the ex-date")
    return events


def _no_events() -> pl.DataFrame:
    return pl.DataFrame(schema={SYMBOL: pl.String, "_date": pl.Date, "_factor": pl.Float64})


def _check_events(events: pl.DataFrame, *, name: str, allowed: str) -> None:
    factor = pl.col("_factor")
    wrong = events.filter(
        factor.is_null()
        | factor.is_nan()
        | factor.is_infinite()
        | (factor <= 0)
        | pl.struct(SYMBOL, "_date").is_duplicated()
    )
    if not wrong.is_empty():
        row = wrong.row(0, named=True)
        raise BarsError(
            what=f"{name} has an impossible or repeated event",
            got=f"{row[SYMBOL]} on {row['_date']} with factor {row['_factor']}, {wrong.height} in all",
            allowed=allowed,
            fix="remove the event, or correct it from the company's announcement",
        )


def _later_product(bars: pl.DataFrame, events: pl.DataFrame) -> pl.Series:
    """Return for each bar the product of its symbol's factors dated after its session."""
    if events.is_empty():
        return pl.Series([1.0]).new_from_index(0, bars.height)
    ordered = events.sort(SYMBOL, "_date")
    products = ordered.with_columns(
        pl.col("_factor").cum_prod(reverse=True).over(SYMBOL).alias("_product"),
        (pl.col("_date") - pl.duration(days=1)).alias("_last_before"),
    ).sort("_last_before")
    left = bars.select(*KEY).with_columns(pl.int_range(pl.len()).alias("_row")).sort(SESSION)
    found = left.join_asof(
        products.select(SYMBOL, "_last_before", "_product"),
        left_on=SESSION,
        right_on="_last_before",
        by=SYMBOL,
        strategy="forward",
        check_sortedness=False,
    ).sort("_row")
    return found["_product"].fill_null(1.0)
