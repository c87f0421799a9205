"""Money as one table: the same numbers as the single views, a reason for what cannot be measured."""

from __future__ import annotations

import polars as pl
import pytest

from conviction.evaluation import simulate_null_oof
from conviction.portfolio import (
    ECONOMICS_SCHEMA,
    PortfolioParameters,
    economic_view,
    economics_table,
    optimised_portfolio,
)

PORTFOLIO = PortfolioParameters(cost_bps=5.0, n_quantiles=4, lookback=20, n_resamples=100, max_weight=0.5)


@pytest.fixture(scope="module")
def oof():
    return simulate_null_oof(n_symbols=8, n_sessions=90, seed=1, skill=0.3)


@pytest.fixture(scope="module")
def bars(oof):
    price = (1 + pl.col("forward_return")).cum_prod().shift(1, fill_value=1.0).over("symbol")
    return oof.select("symbol", "session", close=price)


def test_every_book_has_the_numbers_of_its_own_view(oof, bars):
    found = economics_table(oof, bars, portfolio=PORTFOLIO, label_execution="close", optimise=["null"], seed=3)
    assert dict(found.summary.schema) == ECONOMICS_SCHEMA
    one = oof.drop("target", "model")
    view = economic_view(one, bars, portfolio=PORTFOLIO, seed=3)
    best = optimised_portfolio(one, bars, portfolio=PORTFOLIO, execution="close", seed=3)
    rows = {(row["book"], row["execution"]): row for row in found.summary.to_dicts()}
    assert set(rows) == {("long_short", "close"), ("long_short", "next_close"),
                         ("optimised", "close"), ("optimised_active", "close")}  # fmt: skip
    for row in view.long_short.to_dicts():
        mine = rows["long_short", row["execution"]]
        for name in ("net_bps", "net_lo", "net_hi", "turnover", "break_even_bps", "sharpe_net_hi", "n_sessions"):
            assert mine[name] == row[name], name
        assert mine["annual_return_lo"] == pytest.approx(row["net_lo"] * 252 / 1e4)
        assert mine["of_label"] == (row["execution"] == "close")
    assert rows["optimised", "close"]["net_bps"] == best.economics.net_bps
    assert rows["optimised_active", "close"]["net_lo"] == best.active.net_lo
    assert found.quantiles.drop("target", "model").equals(view.quantiles.select(found.quantiles.columns[2:]))
    assert found.omitted["reason"].to_list() == ["the bars have no 'open'"]


def test_too_few_symbols_and_too_short_a_past_are_reasons_not_errors(oof, bars):
    few = PORTFOLIO.model_copy(update={"n_quantiles": 10, "lookback": 252})
    found = economics_table(oof, bars, portfolio=few, label_execution="close", optimise=["null"], seed=3)
    assert found.summary.is_empty()
    assert found.quantiles.is_empty()
    assert [row["book"] for row in found.omitted.to_dicts()] == ["long_short", "optimised"]
    assert "no session can be traded" in found.omitted["reason"][0]


def test_models_that_are_not_asked_for_are_not_optimised(oof, bars):
    found = economics_table(oof, bars, portfolio=PORTFOLIO, label_execution="next_close", seed=3)
    assert set(found.summary["book"]) == {"long_short"}
    assert found.summary.filter("of_label")["execution"].to_list() == ["next_close"]
