"""What scores are worth in money, against obvious loops."""

from __future__ import annotations

from datetime import date, timedelta

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from conviction.errors import EvaluationError
from conviction.evaluation import newey_west_mean, simulate_null_oof
from conviction.portfolio import (
    PortfolioParameters,
    economic_view,
    economics,
    max_drawdown,
    realised_returns,
    traded_notional,
)

FAST = PortfolioParameters(cost_bps=5.0, n_quantiles=4, n_resamples=300)


def market(*, n_symbols=12, n_sessions=120, seed=1, skill=0.0):
    """Out-of-fold scores and the bars whose closes give their forward returns; opens lie half-way."""
    oof = simulate_null_oof(n_symbols=n_symbols, n_sessions=n_sessions, seed=seed, skill=skill)
    grown = (1 + pl.col("forward_return")).cum_prod().shift(1, fill_value=1.0).over("symbol")
    bars = oof.select("symbol", "session", close=100 * grown).with_columns(
        open=(pl.col("close") * pl.col("close").shift(1, fill_value=100.0).over("symbol")).sqrt()
    )
    return oof, bars


def prices_of(bars, column):
    return {(symbol, session): value for symbol, session, value in bars.select("symbol", "session", column).iter_rows()}


@pytest.mark.parametrize(
    ("execution", "delay", "column"), [("close", 0, "close"), ("next_open", 1, "open"), ("next_close", 1, "close")]
)
def test_realised_returns_equal_a_loop_over_the_calendar(execution, delay, column):
    _, bars = market(n_symbols=3, n_sessions=12)
    gappy = bars.filter((pl.col("symbol") != "S001") | (pl.int_range(pl.len()).over("symbol") != 5))
    sessions = gappy["session"].unique().sort().to_list()
    price = prices_of(gappy, column)
    got = realised_returns(gappy, execution=execution)
    assert got.select("symbol", "session").equals(gappy.select("symbol", "session"))
    for symbol, session, value in got.iter_rows():
        at = sessions.index(session)
        paid = price.get((symbol, sessions[at + delay])) if at + delay < len(sessions) else None
        sold = price.get((symbol, sessions[at + delay + 1])) if at + delay + 1 < len(sessions) else None
        if paid is None or sold is None:
            assert value is None
        else:
            assert value == pytest.approx(sold / paid - 1, abs=1e-12)


def test_realised_returns_at_the_close_are_the_forward_returns():
    oof, bars = market()
    joined = oof.join(realised_returns(bars, execution="close"), on=["symbol", "session"]).drop_nulls("realised")
    assert joined.height == oof.height - 12
    np.testing.assert_allclose(joined["realised"], joined["forward_return"], atol=1e-12)


def test_impossible_executions_are_refused():
    _, bars = market(n_sessions=10)
    with pytest.raises(EvaluationError, match="next_open"):
        realised_returns(bars.drop("open"), execution="next_open")
    with pytest.raises(EvaluationError, match="unknown execution"):
        realised_returns(bars, execution="noon")


def slow_long_short(oof, bars, n_quantiles, cost_bps):
    """Sort, hold, drift and pay, one session at a time."""
    price = prices_of(bars, "close")
    sessions = bars["session"].unique().sort().to_list()
    before, out = {}, []
    for at, session in enumerate(sessions[:-1]):
        scored = sorted(
            (value, symbol)
            for symbol, day, value in oof.select("symbol", "session", "score").iter_rows()
            if day == session
        )
        n = len(scored)
        groups = {}
        for rank, (_, symbol) in enumerate(scored):
            groups.setdefault(rank * n_quantiles // n, []).append(symbol)
        weight = {symbol: 1 / len(groups[n_quantiles - 1]) for symbol in groups[n_quantiles - 1]}
        weight |= {symbol: -1 / len(groups[0]) for symbol in groups[0]}
        traded = sum(abs(weight.get(s, 0.0) - before.get(s, 0.0)) for s in set(weight) | set(before))
        gain = {s: price[s, sessions[at + 1]] / price[s, session] - 1 for s in weight}
        gross = sum(weight[s] * gain[s] for s in weight)
        before = {s: weight[s] * (1 + gain[s]) / (1 + gross) for s in weight}
        out.append((session, gross, traded, gross - traded * cost_bps / 1e4))
    return out


def test_long_short_equals_a_slow_loop():
    oof, bars = market(n_symbols=10, n_sessions=60, skill=0.2)
    oof = oof.with_columns(pl.col("score").round(2))
    view = economic_view(oof, bars, portfolio=FAST, seed=0)
    got = view.daily.filter(pl.col("execution") == "close")
    expected = slow_long_short(oof, bars, 4, 5.0)
    assert got["session"].to_list() == [row[0] for row in expected]
    for column, position in (("gross", 1), ("traded", 2), ("net", 3)):
        np.testing.assert_allclose(got[column], [row[position] for row in expected], atol=1e-12)


def test_quantiles_part_the_market_and_rise_with_the_score():
    oof, bars = market(n_symbols=20, n_sessions=200, skill=0.2)
    view = economic_view(oof, bars, portfolio=FAST, seed=0)
    close = view.quantiles.filter(pl.col("execution") == "close").sort("quantile")
    assert close["excess_bps"].sum() == pytest.approx(0.0, abs=1e-9)
    assert close["excess_bps"].is_sorted()
    assert close["lo"][3] > 0 > close["hi"][0]
    top_less_bottom = close["mean_bps"][3] - close["mean_bps"][0]
    summary = view.long_short.filter(pl.col("execution") == "close").row(0, named=True)
    assert summary["gross_bps"] == pytest.approx(top_less_bottom, abs=1e-9)


def test_skill_of_one_session_is_gone_a_day_later_and_half_gone_at_the_open():
    oof, bars = market(n_symbols=30, n_sessions=300, skill=0.3)
    rows = {
        row["execution"]: row
        for row in economic_view(oof, bars, portfolio=FAST, seed=0).long_short.iter_rows(named=True)
    }
    assert rows["close"]["gross_lo"] > 0
    assert abs(rows["next_close"]["gross_t"]) < 3
    assert rows["next_close"]["gross_bps"] < rows["next_open"]["gross_bps"] < rows["close"]["gross_bps"]


def test_omitted_executions_have_a_reason_and_none_left_is_an_error():
    oof, bars = market()
    view = economic_view(oof, bars.drop("open"), portfolio=FAST, seed=0)
    assert view.long_short["execution"].to_list() == ["close", "next_close"]
    assert view.omitted == {"next_open": "the bars have no 'open'"}
    with pytest.raises(EvaluationError, match="no execution is possible"):
        economic_view(oof, bars.drop("open"), portfolio=FAST.model_copy(update={"executions": ("next_open",)}), seed=0)
    with pytest.raises(EvaluationError, match="no session can be traded"):
        economic_view(oof, bars, portfolio=FAST.model_copy(update={"n_quantiles": 13}), seed=0)


def test_a_held_symbol_without_a_later_price_earns_nothing_and_is_counted():
    oof, bars = market(n_symbols=8, n_sessions=60)
    last = oof.filter(pl.col("session") == oof["session"].unique().sort()[30]).sort("score")["symbol"][0]
    gone = bars.filter((pl.col("symbol") != last) | (pl.col("session") <= oof["session"].unique().sort()[30]))
    view = economic_view(oof, gone, portfolio=FAST, seed=0)
    full = economic_view(oof, bars, portfolio=FAST, seed=0)
    assert full.long_short["n_unpriced"].to_list() == [0, 0, 0]
    assert (view.long_short["n_unpriced"] > 0).all()
    extremes = 0
    for session in oof["session"].unique().sort()[30:-1]:
        order = oof.filter(pl.col("session") == session).sort("score")["symbol"].to_list()
        extremes += order.index(last) < 2 or order.index(last) >= 6
    assert view.long_short["n_unpriced"][0] == extremes
    day = (pl.col("execution") == "close") & (pl.col("session") == oof["session"].unique().sort()[30])
    lost = oof.filter((pl.col("symbol") == last) & (pl.col("session") == oof["session"].unique().sort()[30]))
    difference = full.daily.filter(day)["gross"].item() - view.daily.filter(day)["gross"].item()
    assert difference == pytest.approx(-0.5 * lost["forward_return"].item(), abs=1e-12)


def test_economics_equal_their_definitions():
    rng = np.random.default_rng(0)
    gross, traded = rng.normal(0.001, 0.01, 300), rng.uniform(0.5, 1.5, 300)
    result = economics(gross, traded, portfolio=FAST, seed=0)
    net = gross - traded * 5e-4
    assert result.gross_bps == pytest.approx(gross.mean() * 1e4)
    assert result.turnover == pytest.approx(traded.mean())
    assert result.sharpe_net == pytest.approx(net.mean() / net.std(ddof=1) * np.sqrt(252))
    expected = newey_west_mean(net, null=0.0, confidence=0.95)
    assert (result.net_lo, result.net_hi) == (pytest.approx(expected.lo * 1e4), pytest.approx(expected.hi * 1e4))
    at_break_even = gross - traded * result.break_even_bps / 1e4
    assert at_break_even.mean() == pytest.approx(0.0, abs=1e-15)
    assert result.break_even_lo < result.break_even_bps < result.break_even_hi
    assert result.positive_after_costs == (result.net_lo > 0)


def test_sharpe_interval_has_the_width_of_lo_2002_on_independent_returns():
    rng = np.random.default_rng(0)
    gross = rng.normal(0.0005, 0.01, 2000)
    result = economics(gross, np.zeros(2000), portfolio=PortfolioParameters(cost_bps=0.0, n_resamples=2000), seed=0)
    daily = gross.mean() / gross.std(ddof=1)
    theory = np.sqrt((1 + daily**2 / 2) / 2000 * 252)
    assert (result.sharpe_net_hi - result.sharpe_net_lo) / 2 / 1.96 == pytest.approx(theory, rel=0.1)
    assert np.isnan(result.break_even_bps)


def test_break_even_interval_holds_the_truth_about_as_often_as_promised():
    held = 0
    for seed in range(150):
        rng = np.random.default_rng(seed)
        traded = rng.uniform(0.5, 1.5, 250)
        gross = 0.0008 * traded + rng.normal(0, 0.01, 250)
        result = economics(gross, traded, portfolio=PortfolioParameters(cost_bps=5.0, n_resamples=200), seed=seed)
        held += result.break_even_lo <= 8.0 <= result.break_even_hi
    assert 134 <= held <= 150


def test_break_even_of_gains_in_proportion_to_trading_is_certain():
    traded = np.random.default_rng(0).uniform(0.1, 1.9, 250)
    result = economics(0.0008 * traded, traded, portfolio=PortfolioParameters(cost_bps=5.0, n_resamples=200), seed=0)
    assert result.break_even_lo == pytest.approx(8.0, abs=1e-6)
    assert result.break_even_hi == pytest.approx(8.0, abs=1e-6)


def test_too_few_sessions_have_values_without_intervals():
    result = economics(np.full(20, 0.001), np.ones(20), portfolio=FAST, seed=0)
    assert result.gross_bps == pytest.approx(10.0)
    assert np.isnan(result.net_lo)
    assert not result.positive_after_costs
    oof, bars = market(n_sessions=20)
    row = economic_view(oof, bars, portfolio=FAST, seed=0).long_short.row(0, named=True)
    assert row["net_lo"] is None


returns_lists = st.lists(st.floats(-0.2, 0.2), min_size=1, max_size=30)


@given(returns_lists)
def test_drawdown_equals_a_slow_loop(values):
    wealth, peak, worst = 1.0, 1.0, 0.0
    for value in values:
        wealth *= 1 + value
        peak = max(peak, wealth)
        worst = max(worst, 1 - wealth / peak)
    assert max_drawdown(np.array(values)) == pytest.approx(worst, abs=1e-12)


@given(st.integers(0, 10_000))
def test_holding_what_drifts_trades_nothing(seed):
    rng = np.random.default_rng(seed)
    returns = rng.normal(0, 0.05, (10, 4))
    weights = np.empty((10, 4))
    weights[0] = rng.dirichlet(np.ones(4))
    for row in range(1, 10):
        grown = weights[row - 1] * (1 + returns[row - 1])
        weights[row] = grown / grown.sum()
    np.testing.assert_allclose(traded_notional(weights, returns), [1.0] + [0.0] * 9, atol=1e-12)


def test_costs_have_no_default_and_parameters_are_closed():
    with pytest.raises(ValueError, match="cost_bps"):
        PortfolioParameters()
    with pytest.raises(ValueError, match="Extra inputs"):
        PortfolioParameters(cost_bps=1.0, costs=3)


def test_dates_of_weekends_do_not_matter():
    """A calendar with holes is counted in sessions, not in days."""
    oof, bars = market(n_symbols=8, n_sessions=50)
    days = {day: date(2020, 1, 1) + timedelta(days=3 * i) for i, day in enumerate(oof["session"].unique().sort())}
    moved = [
        economic_view(
            *(frame.with_columns(pl.col("session").replace_strict(days)) for frame in (oof, bars)),
            portfolio=FAST,
            seed=0,
        ),
        economic_view(oof, bars, portfolio=FAST, seed=0),
    ]
    assert moved[0].long_short.equals(moved[1].long_short)
