"""A portfolio that skfolio optimises from scores, past covariances and costs, walked forward in time."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from conviction.errors import EvaluationError
from conviction.frames import check_panel
from conviction.observer import Observer, SilentObserver
from conviction.portfolio._accounting import BPS, Economics, economics, traded_notional
from conviction.portfolio._realised import realised_returns
from conviction.portfolio.parameters import Execution, PortfolioParameters

if TYPE_CHECKING:
    import numpy.typing as npt

    Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class OptimisedPortfolio:
    """A walked-forward portfolio and what it earned beside holding everything equally.

    Attributes
    ----------
    weights : polars.DataFrame
        ``session`` (of the decision), ``symbol``, ``weight``; one set per rebalancing, weights above 1e-6 only.
    daily : polars.DataFrame
        ``session, gross, traded, net, equal_weight`` (net of its own costs).
    economics : Economics
        Of the portfolio.
    active : Economics
        Of the portfolio less the equally weighted one, both after costs: what the scores added.
    execution : str
    n_unpriced : int
        Held rows without a later price; they earned nothing.
    """

    weights: pl.DataFrame
    daily: pl.DataFrame
    economics: Economics
    active: Economics
    execution: str
    n_unpriced: int


def optimised_portfolio(
    oof_one: pl.DataFrame,
    bars: pl.DataFrame,
    *,
    portfolio: PortfolioParameters,
    execution: Execution,
    seed: int,
    observer: Observer | None = None,
) -> OptimisedPortfolio:
    """Optimise a long-only portfolio from the scores, every few sessions, and account for it every session.

    The expected return of a symbol is information coefficient x volatility x standardised score (Grinold 1994); the
    covariance is Ledoit and Wolf's over the past `lookback` sessions up to the decision; skfolio's ``MeanRisk`` maximises utility
    with transaction costs against the weights held before, spread over the sessions that a position is held.

    Parameters
    ----------
    oof_one : polars.DataFrame
        ``symbol, session, score`` of one target and model.
    bars : polars.DataFrame
        ``symbol, session, close`` (and ``open`` for ``next_open``), from `lookback` sessions before the first score on.
    portfolio : PortfolioParameters
    execution : {"close", "next_open", "next_close"}
    seed : int
        Of the block bootstrap of the intervals.
    observer : Observer, optional

    Returns
    -------
    OptimisedPortfolio

    Raises
    ------
    EvaluationError
        When no rebalancing has two symbols with a score and a full past.
    FrameError
        When a frame breaks the frame contract.
    """
    check_panel(oof_one, name="oof", required=["score"])
    check_panel(bars, name="bars", required=["close"])
    observer = observer or SilentObserver()
    market = _Market.of(oof_one, bars, execution)
    starts = range(0, len(market.sessions), portfolio.rebalance_every)
    targets = np.zeros((len(market.sessions), len(market.symbols)))
    held = known = np.zeros(len(market.symbols))
    task = "optimised portfolio"
    observer.start(task, len(starts))
    n_rebalanced = 0
    for start in starts:
        stop = min(start + portfolio.rebalance_every, len(market.sessions))
        wanted = _optimise(market, start, known, portfolio)
        n_rebalanced += wanted is not None
        weight = held if wanted is None else wanted
        for row in range(start, stop):
            targets[row] = weight
            entered = weight
            grown = weight * (1 + market.realised[row])
            weight = grown / grown.sum() if grown.sum() > 0 else weight
        held = weight
        # A delayed trade has not earned its return when the next decision is made: only its weights are known then.
        known = held if execution == "close" else entered
        observer.advance(task)
    observer.finish(task)
    if not n_rebalanced:
        raise EvaluationError(
            what="no session can be optimised",
            got=f"{len(market.sessions)} scored sessions, {len(bars['session'].unique())} sessions of prices",
            allowed=f"at least two scored symbols with {portfolio.lookback} past returns",
            fix="give bars that begin earlier, or lower portfolio.lookback",
        )
    return _account(market, targets, portfolio=portfolio, execution=execution, seed=seed)


@dataclass(frozen=True)
class _Market:
    """Scores, past returns and realised returns as matrices over the scored sessions."""

    sessions: pl.Series
    symbols: list[str]
    score: Floats
    realised: Floats
    unpriced: npt.NDArray[np.bool_]
    past: Callable[[int, int], Floats]

    @classmethod
    def of(cls, oof_one: pl.DataFrame, bars: pl.DataFrame, execution: Execution) -> _Market:
        symbols = oof_one["symbol"].unique().sort().to_list()
        wide = (
            bars.filter(pl.col("symbol").is_in(symbols))
            .pivot("symbol", index="session", values="close")
            .sort("session")
        )
        close = wide.select(
            [
                pl.col(name).cast(pl.Float64) if name in wide.columns else pl.lit(None, pl.Float64).alias(name)
                for name in symbols
            ]
        ).to_numpy()
        returns = np.full_like(close, np.nan)
        returns[1:] = close[1:] / close[:-1] - 1
        later = realised_returns(bars, execution=execution).filter(
            pl.col("realised").is_not_null().any().over("session") & pl.col("symbol").is_in(symbols)
        )
        sessions = oof_one["session"].unique().sort()
        sessions = sessions.filter(sessions.is_in(later["session"].unique().to_list()))
        score = _matrix(oof_one, "score", sessions, symbols)
        realised = _matrix(later, "realised", sessions, symbols)
        position = dict(zip(wide["session"].to_list(), range(wide.height), strict=True))
        rows = [position[session] for session in sessions]

        def past(row: int, lookback: int) -> Floats:
            # Up to the close of the decision's own session, which is known.
            end = rows[row] + 1
            return returns[max(0, end - lookback) : end]

        return cls(sessions, symbols, score, np.nan_to_num(realised), np.isnan(realised), past)


def _matrix(frame: pl.DataFrame, column: str, sessions: pl.Series, symbols: list[str]) -> Floats:
    row = {session: position for position, session in enumerate(sessions)}
    name = {symbol: position for position, symbol in enumerate(symbols)}
    out = np.full((len(row), len(name)), np.nan)
    kept = frame.select("session", "symbol", column).filter(pl.col("session").is_in(sessions.to_list()))
    rows = [row[session] for session in kept["session"]]
    columns = [name[symbol] for symbol in kept["symbol"]]
    out[rows, columns] = kept[column].cast(pl.Float64).fill_null(float("nan")).to_numpy()
    return out


def _optimise(market: _Market, row: int, held: Floats, portfolio: PortfolioParameters) -> Floats | None:
    """Return target weights at a decision, or None when too little is known."""
    past = market.past(row, portfolio.lookback)
    score = market.score[row]
    if len(past) < portfolio.lookback:
        return None
    usable = np.flatnonzero(np.isfinite(score) & np.isfinite(past).all(axis=0) & (past.std(axis=0) > 0))
    if len(usable) < 2:
        return None
    best = usable[np.argsort(-score[usable], kind="stable")][: portfolio.max_symbols]
    chosen = np.sort(best)
    spread = score[usable].std()
    standard = (score[chosen] - score[usable].mean()) / spread if spread > 0 else np.zeros(len(chosen))
    alpha = portfolio.information_coefficient * past[:, chosen].std(axis=0) * standard
    weights = np.zeros(len(score))
    weights[chosen] = _solve(past[:, chosen], alpha, held[chosen], portfolio)
    return weights


def _solve(past: Floats, alpha: Floats, held: Floats, portfolio: PortfolioParameters) -> Floats:
    from skfolio import RiskMeasure
    from skfolio.moments import LedoitWolf
    from skfolio.optimization import MeanRisk, ObjectiveFunction
    from skfolio.prior import EmpiricalPrior

    model = MeanRisk(
        objective_function=ObjectiveFunction.MAXIMIZE_UTILITY,
        risk_measure=RiskMeasure.VARIANCE,
        risk_aversion=portfolio.risk_aversion,
        prior_estimator=EmpiricalPrior(mu_estimator=_given_mu(alpha), covariance_estimator=LedoitWolf()),
        max_weights=max(portfolio.max_weight, 1.0 / len(alpha)),
        previous_weights=held,
        transaction_costs=portfolio.cost_bps / BPS / portfolio.rebalance_every,
    )
    model.fit(past)
    weights = np.clip(np.asarray(model.weights_, dtype=np.float64), 0.0, None)
    return np.asarray(weights / weights.sum(), dtype=np.float64)


def _given_mu(alpha: Floats) -> Any:
    """Return a skfolio estimator of expected returns that answers with the given ones."""
    from skfolio.moments import BaseMu

    class GivenMu(BaseMu):  # type: ignore[misc]
        """Expected returns that were made elsewhere."""

        def __init__(self, alpha: Floats) -> None:
            self.alpha = alpha

        def fit(self, X: Any, y: None = None) -> GivenMu:
            """Keep the expected returns, one for each column of X."""
            del y
            if np.shape(X)[1] != len(self.alpha):
                raise EvaluationError(
                    what="expected returns and past returns do not match",
                    got=f"{len(self.alpha)} expected returns, {np.shape(X)[1]} symbols",
                    allowed="one expected return per symbol",
                    fix="give both for the same symbols in the same order",
                )
            self.mu_ = np.asarray(self.alpha, dtype=np.float64)
            self.n_features_in_ = len(self.alpha)
            return self

    return GivenMu(alpha)


def _account(
    market: _Market, targets: Floats, *, portfolio: PortfolioParameters, execution: Execution, seed: int
) -> OptimisedPortfolio:
    first = int(np.flatnonzero(targets.sum(axis=1) > 0)[0])
    sessions, weights, realised = market.sessions[first:], targets[first:], market.realised[first:]
    gross = (weights * realised).sum(axis=1)
    traded = traded_notional(weights, realised)
    scored = np.isfinite(market.score[first:])
    equal = scored / np.maximum(1, scored.sum(axis=1, keepdims=True))
    equal_net = (equal * realised).sum(axis=1) - traded_notional(equal, realised) * portfolio.cost_bps / BPS
    net = gross - traded * portfolio.cost_bps / BPS
    free = portfolio.model_copy(update={"cost_bps": 0.0})
    rebalanced = np.arange(0, len(market.sessions), portfolio.rebalance_every)
    rebalanced = rebalanced[rebalanced >= first] - first
    at, column = np.nonzero(weights[rebalanced] > 1e-6)
    return OptimisedPortfolio(
        weights=pl.DataFrame(
            {
                "session": sessions.gather(rebalanced[at]),
                "symbol": [market.symbols[position] for position in column],
                "weight": weights[rebalanced][at, column],
            }
        ),
        daily=pl.DataFrame(
            {"session": sessions, "gross": gross, "traded": traded, "net": net, "equal_weight": equal_net}
        ),
        economics=economics(gross, traded, portfolio=portfolio, seed=seed),
        active=economics(net - equal_net, traded, portfolio=free, seed=seed),
        execution=execution,
        n_unpriced=int(((weights > 0) & market.unpriced[first:]).sum()),
    )
