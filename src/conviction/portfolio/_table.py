"""The economic view of several scores as one table: long-short books at each execution, and the optimised portfolio."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import asdict, dataclass, fields
from typing import TYPE_CHECKING, Any

import polars as pl

from conviction.errors import EvaluationError
from conviction.frames import BAR_END
from conviction.portfolio._accounting import BPS, Economics
from conviction.portfolio._optimised import optimised_portfolio
from conviction.portfolio._quantiles import economic_view

if TYPE_CHECKING:
    from conviction.observer import Observer
    from conviction.portfolio.parameters import Execution, PortfolioParameters

_OF_BARS = "books are formed once a session; what intraday bars would cost to trade is not measured"
BOOKS = ("long_short", "optimised", "optimised_active")
_KEY = {"target": pl.String, "model": pl.String, "book": pl.String, "execution": pl.String, "of_label": pl.Boolean}
_ANNUAL = ("annual_return", "annual_return_lo", "annual_return_hi")
ECONOMICS_SCHEMA: dict[str, Any] = {
    **_KEY,
    "cost_bps": pl.Float64,
    **{field.name: pl.Int64 if field.name == "n_sessions" else pl.Float64 for field in fields(Economics)},
    **dict.fromkeys(_ANNUAL, pl.Float64),
    "n_unpriced": pl.Int64,
}
QUANTILE_SCHEMA: dict[str, Any] = {
    "target": pl.String,
    "model": pl.String,
    "execution": pl.String,
    "quantile": pl.Int64,
    **dict.fromkeys(("mean_bps", "excess_bps", "lo", "hi", "t"), pl.Float64),
    "n_sessions": pl.Int64,
}


@dataclass(frozen=True)
class EconomicsTable:
    """What several scores are worth in money.

    Attributes
    ----------
    summary : polars.DataFrame
        One row for each target, model, book (`long_short`, `optimised`, `optimised_active` = optimised less equal weights) and
        execution: ``of_label`` (whether the trade begins where the label's span does), ``cost_bps``, the fields of `Economics`,
        the net return a year (``annual_return`` with ``_lo`` and ``_hi``, simple, as a share), ``n_unpriced``. Null where
        undefined.
    quantiles : polars.DataFrame
        ``target``, ``model`` and the columns of `EconomicView.quantiles`.
    omitted : polars.DataFrame
        ``target``, ``model``, ``book``, ``execution``, ``reason``: what could not be measured, and why.
    """

    summary: pl.DataFrame
    quantiles: pl.DataFrame
    omitted: pl.DataFrame


def economics_table(
    oof: pl.DataFrame,
    bars: pl.DataFrame,
    *,
    portfolio: PortfolioParameters,
    label_execution: Execution,
    optimise: Collection[str] = (),
    seed: int,
    observer: Observer | None = None,
) -> EconomicsTable:
    """Measure every (target, model) of an out-of-fold frame in money.

    Parameters
    ----------
    oof : polars.DataFrame
        ``symbol, session, target, model, score``.
    bars : polars.DataFrame
        ``symbol, session, close`` and, where there is one, ``open``.
    portfolio : PortfolioParameters
        With fewer symbols than `n_quantiles` nothing is sorted into quantiles, and the reason says so.
    label_execution : {"close", "next_open", "next_close"}
        Where the label's span begins: the trade whose return the score was trained to rank.
    optimise : collection of str
        Models whose scores skfolio also optimises into a portfolio, at `label_execution`.
    seed : int
        Of the block bootstraps.
    observer : Observer, optional

    Returns
    -------
    EconomicsTable

    Raises
    ------
    FrameError
        When a frame breaks the frame contract.

    Examples
    --------
    >>> from conviction.evaluation import simulate_null_oof
    >>> from conviction.portfolio import PortfolioParameters
    >>> oof = simulate_null_oof(n_symbols=20, n_sessions=80, seed=1, skill=0.3)
    >>> bars = oof.select("symbol", "session", close=(1 + pl.col("forward_return")).cum_prod().shift(1, fill_value=1.0).over("symbol"))
    >>> table = economics_table(oof, bars, portfolio=PortfolioParameters(cost_bps=5.0, n_quantiles=5), label_execution="close", seed=0)
    >>> table.summary.select("book", "execution", "of_label").rows()
    [('long_short', 'close', True), ('long_short', 'next_close', False)]
    >>> table.omitted["reason"].to_list()
    ["the bars have no 'open'"]
    """
    summaries, quantiles, omitted = [], [], []
    for (target, model), part in oof.group_by("target", "model", maintain_order=True):
        key = {"target": str(target), "model": str(model)}
        if BAR_END in part.columns:
            omitted.append({**key, "book": "long_short", "execution": None, "reason": _OF_BARS})
            continue
        one = part.drop("target", "model").sort("symbol", "session")
        try:
            view = economic_view(one, bars, portfolio=portfolio, seed=seed)
        except EvaluationError as error:
            omitted.append({**key, "book": "long_short", "execution": None, "reason": _why(error)})
        else:
            quantiles.append(
                view.quantiles.select(**{n: pl.lit(v) for n, v in key.items()}, **_columns(view.quantiles))
            )
            summaries += [
                _row({**key, "book": "long_short"}, row, portfolio, label_execution)
                for row in view.long_short.iter_rows(named=True)
            ]
            omitted += [
                {**key, "book": "long_short", "execution": name, "reason": why} for name, why in view.omitted.items()
            ]
        if model not in optimise:
            continue
        try:
            best = optimised_portfolio(
                one, bars, portfolio=portfolio, execution=label_execution, seed=seed, observer=observer
            )
        except EvaluationError as error:
            omitted.append({**key, "book": "optimised", "execution": label_execution, "reason": _why(error)})
            continue
        summaries += [
            _row({**key, "book": book}, _fields(one_book, best.execution, best.n_unpriced), portfolio, label_execution)
            for book, one_book in (("optimised", best.economics), ("optimised_active", best.active))
        ]
    why = {"target": pl.String, "model": pl.String, "book": pl.String, "execution": pl.String, "reason": pl.String}
    return EconomicsTable(
        pl.DataFrame(summaries, schema=ECONOMICS_SCHEMA).with_columns(pl.col(pl.Float64).fill_nan(None)),
        pl.concat([pl.DataFrame(schema=QUANTILE_SCHEMA), *(part.select(list(QUANTILE_SCHEMA)) for part in quantiles)]),
        pl.DataFrame(omitted, schema=why),
    )


def _columns(frame: pl.DataFrame) -> dict[str, pl.Expr]:
    return {name: pl.col(name).cast(QUANTILE_SCHEMA[name]) for name in frame.columns}


def _fields(one: Economics, execution: str, n_unpriced: int) -> dict[str, Any]:
    return {**asdict(one), "execution": execution, "n_unpriced": n_unpriced}


def _row(
    key: dict[str, str], values: dict[str, Any], portfolio: PortfolioParameters, label_execution: str
) -> dict[str, Any]:
    a_year = portfolio.sessions_a_year / BPS
    annual = {
        name: None if values[column] is None else values[column] * a_year
        for name, column in zip(_ANNUAL, ("net_bps", "net_lo", "net_hi"), strict=True)
    }
    known = {name: values.get(name) for name in ECONOMICS_SCHEMA if name not in {*_ANNUAL, *key}}
    return {
        **key,
        **known,
        "of_label": values["execution"] == label_execution,
        "cost_bps": portfolio.cost_bps,
        **annual,
    }


def _why(error: EvaluationError) -> str:
    return f"{error.what}: {error.got}"
