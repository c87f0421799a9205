"""From scores to money: quantile returns, turnover, break-even cost and an optimised portfolio, each with its interval."""

from __future__ import annotations

from conviction.portfolio._accounting import Economics, economics, max_drawdown, traded_notional
from conviction.portfolio._optimised import OptimisedPortfolio, optimised_portfolio
from conviction.portfolio._quantiles import EconomicView, economic_view
from conviction.portfolio._realised import realised_returns
from conviction.portfolio._table import ECONOMICS_SCHEMA, EconomicsTable, economics_table
from conviction.portfolio.parameters import Execution, PortfolioParameters

__all__ = [
    "ECONOMICS_SCHEMA",
    "EconomicView",
    "Economics",
    "EconomicsTable",
    "Execution",
    "OptimisedPortfolio",
    "PortfolioParameters",
    "economic_view",
    "economics",
    "economics_table",
    "max_drawdown",
    "optimised_portfolio",
    "realised_returns",
    "traded_notional",
]
