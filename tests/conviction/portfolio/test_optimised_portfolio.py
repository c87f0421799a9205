"""The optimised portfolio keeps its limits, knows no future, and pays for what it trades."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from conviction.errors import EvaluationError
from conviction.evaluation import simulate_null_oof
from conviction.portfolio import PortfolioParameters, optimised_portfolio

PARAMETERS = PortfolioParameters(cost_bps=5.0, lookback=60, rebalance_every=10, max_weight=0.25, n_resamples=100)


def market(*, skill=0.2, n_symbols=10, n_sessions=160, seed=1):
    oof = simulate_null_oof(n_symbols=n_symbols, n_sessions=n_sessions, seed=seed, skill=skill)
    grown = (1 + pl.col("forward_return")).cum_prod().shift(1, fill_value=1.0).over("symbol")
    bars = oof.select("symbol", "session", close=100 * grown)
    return oof.filter(pl.col("session") >= oof["session"].unique().sort()[70]), bars


def test_weights_keep_their_limits():
    result = optimised_portfolio(*market(), portfolio=PARAMETERS, execution="close", seed=0)
    by_session = result.weights.group_by("session").agg(
        pl.col("weight").sum().alias("sum"), pl.col("weight").max().alias("max")
    )
    assert by_session.height == 9
    np.testing.assert_allclose(by_session["sum"], 1.0, atol=1e-5)
    assert by_session["max"].max() <= 0.25 + 1e-6


def test_the_account_is_what_the_weights_and_prices_say():
    oof, bars = market()
    result = optimised_portfolio(oof, bars, portfolio=PARAMETERS, execution="close", seed=0)
    price = {(symbol, day): close for symbol, day, close in bars.iter_rows()}
    sessions = bars["session"].unique().sort().to_list()
    new = {
        day: dict(part.select("symbol", "weight").iter_rows()) for (day,), part in result.weights.group_by("session")
    }
    held, expected = {}, []
    for day in result.daily["session"]:
        after = sessions[sessions.index(day) + 1]
        wanted = new.get(day, held)
        traded = sum(abs(wanted.get(s, 0) - held.get(s, 0)) for s in set(wanted) | set(held))
        gain = {s: price[s, after] / price[s, day] - 1 for s in wanted}
        gross = sum(w * gain[s] for s, w in wanted.items())
        expected.append((gross, traded, gross - traded * 5e-4))
        held = {s: w * (1 + gain[s]) / (1 + gross) for s, w in wanted.items()}
    for position, column in enumerate(("gross", "traded", "net")):
        np.testing.assert_allclose(result.daily[column], [row[position] for row in expected], atol=2e-5)
    assert result.economics.net_bps == pytest.approx(result.daily["net"].mean() * 1e4)
    assert result.active.net_bps == pytest.approx((result.daily["net"] - result.daily["equal_weight"]).mean() * 1e4)


def test_prices_and_scores_of_the_future_change_no_weight_before():
    oof, bars = market()
    cut = oof["session"].unique().sort()[40]  # a session of rebalancing: its own close is the last that it may know
    later = bars.with_columns(
        close=pl.when(pl.col("session") > cut)
        .then(pl.col("close") * (1 + 0.5 * (pl.col("symbol") == "S003")))
        .otherwise("close")
    )
    scored = oof.with_columns(score=pl.when(pl.col("session") > cut).then(1 - pl.col("score")).otherwise("score"))
    one, other = (
        optimised_portfolio(*pair, portfolio=PARAMETERS, execution="next_close", seed=0)
        for pair in ((oof, bars), (scored, later))
    )
    before = pl.col("session") <= cut
    assert one.weights.filter(before).equals(other.weights.filter(before))
    assert not one.weights.filter(~before).equals(other.weights.filter(~before))


def test_higher_scores_get_more_weight_and_skill_earns_more_than_equal_weights():
    oof, bars = market(skill=0.5, n_sessions=220)
    parameters = PARAMETERS.model_copy(update={"rebalance_every": 1, "information_coefficient": 0.3, "cost_bps": 0.0})
    short = oof.filter(pl.col("session") < oof["session"].unique().sort()[90])
    result = optimised_portfolio(short, bars, portfolio=parameters, execution="close", seed=0)
    joined = short.join(result.weights, on=["symbol", "session"], how="left").with_columns(
        pl.col("weight").fill_null(0.0)
    )
    assert joined.select(pl.corr("score", "weight", method="spearman")).item() > 0.5
    assert result.active.net_lo > 0


def test_only_the_best_scores_are_optimised_when_symbols_are_many():
    oof, bars = market()
    few = PARAMETERS.model_copy(update={"max_symbols": 4})
    result = optimised_portfolio(oof, bars, portfolio=few, execution="close", seed=0)
    for (session,), part in result.weights.group_by("session"):
        best = oof.filter(pl.col("session") == session).sort("score", descending=True)["symbol"][:4]
        assert set(part["symbol"]) <= set(best)


def test_dearer_trading_means_less_of_it():
    oof, bars = market()
    cheap, dear = (
        optimised_portfolio(
            oof, bars, portfolio=PARAMETERS.model_copy(update={"cost_bps": cost}), execution="close", seed=0
        )
        for cost in (0.0, 100.0)
    )
    assert dear.economics.turnover < 0.7 * cheap.economics.turnover


def test_same_inputs_same_weights():
    oof, bars = market()
    one, again = (optimised_portfolio(oof, bars, portfolio=PARAMETERS, execution="close", seed=0) for _ in range(2))
    assert one.weights.equals(again.weights)
    assert one.daily.equals(again.daily)


def test_symbols_without_a_full_past_are_not_held_and_too_little_past_is_an_error():
    oof, bars = market()
    young = bars.filter((pl.col("symbol") != "S002") | (pl.col("session") >= oof["session"].unique().sort()[0]))
    result = optimised_portfolio(oof, young, portfolio=PARAMETERS, execution="close", seed=0)
    first = result.weights.filter(pl.col("symbol") == "S002")["session"].min()
    assert first is None or first > oof["session"].unique().sort()[59]
    with pytest.raises(EvaluationError, match="no session can be optimised"):
        optimised_portfolio(
            oof, bars, portfolio=PARAMETERS.model_copy(update={"lookback": 200}), execution="close", seed=0
        )
