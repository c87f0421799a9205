from __future__ import annotations

from datetime import date

import numpy as np
import polars as pl
import pytest
from polars.testing import assert_frame_equal
from sklearn.metrics import roc_auc_score

from conviction.errors import ParameterError
from conviction.frames import fingerprint
from conviction.labels import make_labels
from conviction.market import check_bars, exchange_sessions
from conviction.panel import build_panel
from conviction.testing import is_synthetic, synthetic_market


@pytest.fixture(scope="module")
def planted():
    return synthetic_market(n_symbols=60, n_sessions=800, seed=11, planted_auc=0.53)


def returns_of(market):
    wide = market.bars.pivot(on="symbol", index="session", values="close").sort("session").drop("session").to_numpy()
    return np.diff(np.log(wide), axis=0)


def labelled(market):
    panel = build_panel(
        market.bars, calendar="XNYS", decision="close", market=market.market, vix=market.vix, membership=None
    )
    return make_labels(panel, calendar="XNYS", horizon=1, decision="close")


def test_bars_pass_the_check_without_a_warning(planted):
    checked = check_bars(planted.bars, calendar="XNYS")
    assert checked.quality.problems == ()
    sessions = exchange_sessions("XNYS", date(2015, 1, 2), date(2018, 12, 31)).head(800)
    assert planted.bars["session"].unique().sort().to_list() == sessions.to_list()


def test_the_oracle_has_the_planted_area_by_scikit_learn_against_the_shipped_labels(planted):
    joined = (
        planted.signal.drop("relative")
        .join(labelled(planted), on=["symbol", "session"])
        .drop_nulls(["oracle_score", "relative"])
    )
    area = roc_auc_score(joined["relative"], joined["oracle_score"])
    assert area == pytest.approx(0.53, abs=5e-4)
    assert planted.oracle_auc == pytest.approx(area, abs=1e-12)
    assert joined.height == 60 * 798
    sideways = roc_auc_score(joined["direction"], joined["oracle_score"])
    assert 0.505 < sideways < 0.53  # the market's own move is noise for it


def test_the_oracle_is_the_ordinary_reversal_feature(planted):
    rank = (
        planted.bars.with_columns(ret_1d=pl.col("close") / pl.col("close").shift(1).over("symbol") - 1)
        .with_columns(rank=(pl.col("ret_1d").rank().over("session") - 1) / 59)
        .join(planted.signal.drop_nulls("oracle_score"), on=["symbol", "session"])
    )
    assert np.allclose(rank["oracle_score"], 1 - 2 * rank["rank"], atol=1e-12)


def test_without_a_plant_there_is_nothing_to_find():
    areas = [synthetic_market(n_symbols=40, n_sessions=500, seed=seed).oracle_auc for seed in range(8)]
    assert synthetic_market(n_symbols=40, n_sessions=500, seed=0).strength == 0.0
    assert abs(np.mean(areas) - 0.5) < 0.004
    assert max(abs(a - 0.5) for a in areas) < 0.015


def test_it_behaves_like_real_daily_returns(planted):
    returns = returns_of(planted)
    upper = np.triu_indices(returns.shape[1], 1)
    assert 0.3 < np.corrcoef(returns.T)[upper].mean() < 0.5
    standardised = (returns - returns.mean(0)) / returns.std(0)
    assert (standardised**4).mean() - 3 > 1.5  # a Gaussian market has 0, real large caps about 5
    size = np.abs(returns)
    memory = [np.corrcoef(size[1:, i], size[:-1, i])[0, 1] for i in range(size.shape[1])]
    assert np.mean(memory) > 0.05  # volatility clusters; independent draws give 0.00 +- 0.005
    assert 0.15 < returns.std() * np.sqrt(252) < 0.40
    log_volume = planted.bars.pivot(on="symbol", index="session", values="volume").drop("session").to_numpy()
    log_volume = np.log(log_volume)
    assert np.mean([np.corrcoef(log_volume[1:, i], log_volume[:-1, i])[0, 1] for i in range(60)]) > 0.3


def test_the_index_is_the_common_factor_and_vix_leads_its_volatility(planted):
    factor = np.diff(np.log(planted.market["close"].to_numpy()))
    assert np.corrcoef(factor, returns_of(planted).mean(axis=1))[0, 1] > 0.95
    vix = planted.vix["close"].to_numpy()[:-1]
    assert np.corrcoef(vix, np.abs(factor))[0, 1] > 0.05
    assert vix.mean() == pytest.approx(np.std(factor) * np.sqrt(252) * 100, rel=0.25)


def test_closes_alone_are_the_same_closes(planted):
    closes = synthetic_market(n_symbols=60, n_sessions=800, seed=11, planted_auc=0.53, closes_only=True)
    assert closes.bars.columns == ["symbol", "session", "close"]
    assert_frame_equal(closes.bars, planted.bars.select("symbol", "session", "close"))


def test_same_seed_same_bytes_and_another_seed_others():
    made = [fingerprint(synthetic_market(n_symbols=5, n_sessions=30, seed=s, planted_auc=0.55).bars) for s in (1, 1, 2)]
    assert made[0] == made[1] != made[2]


def test_it_is_tagged(planted, embedded_bars):
    assert planted.tag == "synthetic"
    assert is_synthetic(planted.bars)
    assert not is_synthetic(embedded_bars)


@pytest.mark.parametrize("kwargs", [{"n_symbols": 3}, {"n_sessions": 5}, {"planted_auc": 0.49}, {"planted_auc": 0.9}])
def test_impossible_markets_are_refused(kwargs):
    with pytest.raises(ParameterError, match=next(iter(kwargs))):
        synthetic_market(**{"n_symbols": 10, "n_sessions": 50, "seed": 1} | kwargs)
