"""From scores to money: returns by quantile of the score, and the long-short portfolio of the extremes."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from conviction.errors import EvaluationError
from conviction.evaluation import newey_west_mean
from conviction.frames import check_panel
from conviction.portfolio._accounting import BPS, Economics, economics, traded_notional
from conviction.portfolio._realised import realised_returns
from conviction.portfolio.parameters import Execution, PortfolioParameters

if TYPE_CHECKING:
    import numpy.typing as npt

    Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class EconomicView:
    """What a score is worth in money, by the moment it is traded.

    Attributes
    ----------
    quantiles : polars.DataFrame
        ``execution``, ``quantile`` (1 = lowest scores), ``mean_bps`` (per session), ``excess_bps`` over the session's mean of all
        scored symbols, ``lo``, ``hi``, ``t`` of the excess (Newey-West), ``n_sessions``.
    long_short : polars.DataFrame
        One row per execution: ``execution``, the fields of `Economics`, ``positive_after_costs``, ``n_unpriced``.
    daily : polars.DataFrame
        ``execution, session, gross, traded, net``.
    omitted : dict of str to str
        Executions that were left out, and why.
    """

    quantiles: pl.DataFrame
    long_short: pl.DataFrame
    daily: pl.DataFrame
    omitted: dict[str, str]


def economic_view(
    oof_one: pl.DataFrame, bars: pl.DataFrame, *, portfolio: PortfolioParameters, seed: int
) -> EconomicView:
    """Measure what the highest scores earned over the lowest, when traded at the close, at the next open and a day late.

    In each session symbols are sorted by score into quantiles (ties by symbol, so that equal scores make no bet on the
    future); the long-short portfolio holds the highest one with weight +1 and the lowest with -1, equally weighted inside, for
    one session.

    Parameters
    ----------
    oof_one : polars.DataFrame
        ``symbol, session, score`` of one target and model; a decision at the close of the session.
    bars : polars.DataFrame
        ``symbol, session, close`` and, where there is one, ``open``.
    portfolio : PortfolioParameters
    seed : int
        Of the block bootstrap.

    Returns
    -------
    EconomicView
        A held symbol without a later price earns nothing and is counted in ``n_unpriced``; sessions after which no symbol
        has a price (the end of the data) are left out, and so are sessions with fewer symbols than quantiles.

    Raises
    ------
    EvaluationError
        When no session has as many symbols as quantiles, or no execution is possible.
    FrameError
        When a frame breaks the frame contract.

    Examples
    --------
    >>> from conviction.evaluation import simulate_null_oof
    >>> oof = simulate_null_oof(n_symbols=20, n_sessions=80, seed=1, skill=0.3)
    >>> bars = oof.select("symbol", "session", close=(1 + pl.col("forward_return")).cum_prod().shift(1, fill_value=1.0).over("symbol"))
    >>> view = economic_view(oof, bars, portfolio=PortfolioParameters(cost_bps=5.0, n_quantiles=5), seed=0)
    >>> view.long_short.select("execution", pl.col("gross_lo") > 0).rows()
    [('close', True), ('next_close', False)]
    >>> view.omitted
    {'next_open': "the bars have no 'open'"}
    """
    check_panel(oof_one, name="oof", required=["score"])
    omitted: dict[str, str] = {}
    quantiles, summaries, daily = [], [], []
    for execution in portfolio.executions:
        if execution == "next_open" and "open" not in bars.columns:
            omitted[execution] = "the bars have no 'open'"
            continue
        held = _sorted_into_quantiles(oof_one, bars, execution, portfolio.n_quantiles)
        quantiles.append(_quantile_returns(held, execution, portfolio))
        gross, traded, sessions, n_unpriced = _long_short(held, portfolio.n_quantiles)
        summary = economics(gross, traded, portfolio=portfolio, seed=seed)
        summaries.append(_summary_row(execution, summary, n_unpriced))
        daily.append(
            pl.DataFrame({"session": sessions, "gross": gross, "traded": traded}).select(
                pl.lit(execution).alias("execution"),
                "session",
                "gross",
                "traded",
                net=pl.col("gross") - pl.col("traded") * portfolio.cost_bps / BPS,
            )
        )
    if not summaries:
        raise EvaluationError(
            what="no execution is possible",
            got=omitted,
            allowed="at least one execution for which the bars have prices",
            fix="add 'close' to portfolio.executions",
        )
    return EconomicView(pl.concat(quantiles), pl.DataFrame(summaries), pl.concat(daily), omitted)


def _summary_row(execution: Execution, summary: Economics, n_unpriced: int) -> dict[str, object]:
    fields = {name: None if value != value else value for name, value in asdict(summary).items()}  # noqa: PLR0124 (NaN)
    return {
        "execution": execution,
        **fields,
        "positive_after_costs": summary.positive_after_costs,
        "n_unpriced": n_unpriced,
    }


def _sorted_into_quantiles(
    oof_one: pl.DataFrame, bars: pl.DataFrame, execution: Execution, n_quantiles: int
) -> pl.DataFrame:
    """Return ``symbol, session, quantile, realised`` of the sessions that can be traded."""
    rank = pl.struct("score", "symbol").rank("ordinal").over("session")
    held = (
        oof_one.select("symbol", "session", "score")
        .with_columns(n=pl.len().over("session"))
        .filter(pl.col("n") >= n_quantiles)
        .with_columns(quantile=((rank - 1) * n_quantiles // pl.col("n")).cast(pl.Int64) + 1)
        .join(realised_returns(bars, execution=execution), on=["symbol", "session"], how="left")
        .filter(pl.col("realised").is_not_null().any().over("session"))
        .select("symbol", "session", "quantile", "realised")
        .sort("session", "symbol")
    )
    if held.is_empty():
        raise EvaluationError(
            what="no session can be traded",
            got=f"{oof_one['session'].n_unique()} sessions of {oof_one['symbol'].n_unique()} symbols",
            allowed=f"sessions with at least {n_quantiles} scored symbols and later prices",
            fix="set portfolio.n_quantiles to at most the number of symbols, and give bars of the same sessions",
        )
    return held


def _quantile_returns(held: pl.DataFrame, execution: Execution, portfolio: PortfolioParameters) -> pl.DataFrame:
    per_session = (
        held.with_columns(pl.col("realised").fill_null(0.0))
        .with_columns(market=pl.col("realised").mean().over("session"))
        .group_by("session", "quantile")
        .agg(mean=pl.col("realised").mean(), excess=(pl.col("realised") - pl.col("market")).mean())
        .sort("session")
    )
    records = []
    for quantile in range(1, portfolio.n_quantiles + 1):
        one = per_session.filter(pl.col("quantile") == quantile)
        excess = one["excess"].to_numpy()
        record: dict[str, object] = {
            "execution": execution,
            "quantile": quantile,
            "mean_bps": float(one["mean"].to_numpy().mean()) * BPS,
            "excess_bps": float(excess.mean()) * BPS,
            "lo": None,
            "hi": None,
            "t": None,
            "n_sessions": one.height,
        }
        if one.height >= portfolio.min_sessions:
            estimate = newey_west_mean(excess, null=0.0, confidence=portfolio.confidence)
            record |= {"lo": estimate.lo * BPS, "hi": estimate.hi * BPS, "t": estimate.t}
        records.append(record)
    schema = {"lo": pl.Float64, "hi": pl.Float64, "t": pl.Float64}
    return pl.DataFrame(records, schema_overrides=schema)


def _long_short(held: pl.DataFrame, n_quantiles: int) -> tuple[Floats, Floats, pl.Series, int]:
    """Return gross returns, traded notional, sessions, and how many held rows had no later price."""
    legs = held.with_columns(
        side=pl.when(pl.col("quantile") == n_quantiles)
        .then(1.0)
        .when(pl.col("quantile") == 1)
        .then(-1.0)
        .otherwise(0.0)
    ).with_columns(weight=pl.col("side") / pl.len().over("session", "quantile"))
    n_unpriced = legs.filter((pl.col("side") != 0) & pl.col("realised").is_null()).height
    row = legs["session"].rank("dense").to_numpy().astype(np.int64) - 1
    column = legs["symbol"].rank("dense").to_numpy().astype(np.int64) - 1
    shape = (int(row.max()) + 1, int(column.max()) + 1)
    weights, returns = np.zeros(shape), np.zeros(shape)
    weights[row, column] = legs["weight"].to_numpy()
    returns[row, column] = legs["realised"].fill_null(0.0).to_numpy()
    gross = (weights * returns).sum(axis=1)
    return gross, traded_notional(weights, returns), legs["session"].unique().sort(), n_unpriced
