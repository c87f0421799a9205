"""Values of features against independent oracles: pandas windows, obvious loops, DuckDB's SQL windows."""

from __future__ import annotations

import calendar
from datetime import date, timedelta

import duckdb
import numpy as np
import pandas as pd
import polars as pl
import pytest

from conviction.features import FeatureParameters, build_features

from .conftest import make_panel


@pytest.fixture(scope="module")
def panel():
    return make_panel(symbols=4, sessions=330, seed=5)


@pytest.fixture(scope="module")
def matrix(panel, every_feature):
    return build_features(panel, features=every_feature).matrix


def rolled(x: pd.Series, window: int, function) -> pd.Series:
    return x.rolling(window).apply(function, raw=True)


def wilder(close: np.ndarray, window: int) -> np.ndarray:
    out = np.full(len(close), np.nan)
    moves = np.diff(close)
    gain, loss = np.maximum(moves, 0.0)[:window].mean(), np.maximum(-moves, 0.0)[:window].mean()
    out[window] = 100.0 * gain / (gain + loss)
    for t in range(window, len(moves)):
        gain = (gain * (window - 1) + max(moves[t], 0.0)) / window
        loss = (loss * (window - 1) + max(-moves[t], 0.0)) / window
        out[t + 1] = 100.0 * gain / (gain + loss)
    return out


def seeded_ema(values: np.ndarray, span: int) -> np.ndarray:
    out = np.full(len(values), np.nan)
    first = int(np.flatnonzero(np.isfinite(values))[0])
    level = values[first : first + span].mean()
    out[first + span - 1] = level
    for t in range(first + span, len(values)):
        level += (values[t] - level) * 2.0 / (span + 1.0)
        out[t] = level
    return out


def yang_zhang(f: pd.DataFrame, n: int) -> pd.Series:
    overnight = np.log(f.open / f.close.shift(1))
    intraday = np.log(f.close / f.open)
    rs = np.log(f.high / f.close) * np.log(f.high / f.open) + np.log(f.low / f.close) * np.log(f.low / f.open)
    k = 0.34 / (1.34 + (n + 1) / (n - 1))
    return np.sqrt(overnight.rolling(n).var() + k * intraday.rolling(n).var() + (1 - k) * rs.rolling(n).mean())


def amihud(f: pd.DataFrame, n: int) -> pd.Series:
    return np.log1p((f.close.pct_change().abs() / (f.close * f.volume) * 1e6).rolling(n).mean())


def log_returns(f: pd.DataFrame) -> pd.Series:
    return np.log(f.close).diff()


def market(f: pd.DataFrame) -> pd.Series:
    return f.market_close.pct_change()


def regression(f: pd.DataFrame, n: int, what: str) -> pd.Series:
    y, x = f.close.pct_change().to_numpy(), market(f).to_numpy()
    out = np.full(len(y), np.nan)
    for t in range(n, len(y)):
        xs, ys = x[t - n + 1 : t + 1], y[t - n + 1 : t + 1]
        slope, intercept = np.polyfit(xs, ys, 1)
        residual = ys - slope * xs - intercept
        out[t] = {
            "beta": slope,
            "alpha": intercept,
            "resid": y[t] - slope * x[t],
            "idio": np.sqrt((residual**2).sum() / (n - 1)),
            "corr": np.corrcoef(xs, ys)[0, 1],
        }[what]
    return pd.Series(out, index=f.index)


ORACLES = {
    "ret_1d": lambda f: f.close.pct_change(),
    "ret_20d": lambda f: f.close.pct_change(20),
    "ret_3d_lag1": lambda f: f.close.pct_change(3).shift(1),
    "ret_1d_lag4": lambda f: f.close.pct_change().shift(4),
    "mom_120": lambda f: f.close.shift(20) / f.close.shift(120) - 1,
    "close_to_high_60": lambda f: f.close / f.close.rolling(60).max() - 1,
    "close_to_low_20": lambda f: f.close / f.close.rolling(20).min() - 1,
    "up_share_20": lambda f: (
        (f.close.pct_change() > 0).astype(float).where(f.close.shift(1).notna()).rolling(20).mean()
    ),
    "trend_20": lambda f: log_returns(f).rolling(20).mean() / log_returns(f).rolling(20).std(),
    "efficiency_20": lambda f: log_returns(f).rolling(20).sum().abs() / log_returns(f).abs().rolling(20).sum(),
    "vol_5": lambda f: log_returns(f).rolling(5).std(),
    "vol_60": lambda f: log_returns(f).rolling(60).std(),
    "vol_ratio_5_20": lambda f: log_returns(f).rolling(5).std() / log_returns(f).rolling(20).std(),
    "downside_vol_20": lambda f: np.sqrt((log_returns(f).clip(upper=0) ** 2).rolling(20).mean()),
    "skew_20": lambda f: rolled(log_returns(f), 20, lambda w: ((w - w.mean()) ** 3).mean() / w.std() ** 3),
    "kurt_60": lambda f: rolled(log_returns(f), 60, lambda w: ((w - w.mean()) ** 4).mean() / w.std() ** 4 - 3),
    "max_move_20": lambda f: log_returns(f).abs().rolling(20).max(),
    "vol_of_vol_20": lambda f: log_returns(f).rolling(5).std().rolling(20).std(),
    "vol_ewma": lambda f: pd.Series(np.sqrt(seeded_ema((log_returns(f) ** 2).to_numpy(), 32)), index=f.index),
    "sma_ratio_20": lambda f: f.close / f.close.rolling(20).mean() - 1,
    "sma_cross_5_20": lambda f: f.close.rolling(5).mean() / f.close.rolling(20).mean() - 1,
    "ema_ratio_12": lambda f: f.close / seeded_ema(f.close.to_numpy(), 12) - 1,
    "rsi_14": lambda f: pd.Series(wilder(f.close.to_numpy(), 14), index=f.index),
    "bb_pct": lambda f: (
        (f.close - f.close.rolling(20).mean() + 2 * f.close.rolling(20).std(ddof=0))
        / (4 * f.close.rolling(20).std(ddof=0))
    ),
    "bb_width": lambda f: 4 * f.close.rolling(20).std(ddof=0) / f.close.rolling(20).mean(),
    "intraday_ret": lambda f: f.close / f.open - 1,
    "overnight_ret": lambda f: f.open / f.close.shift(1) - 1,
    "close_location": lambda f: (f.close - f.low) / (f.high - f.low),
    "parkinson_20": lambda f: np.sqrt((np.log(f.high / f.low) ** 2).rolling(20).mean() / (4 * np.log(2))),
    "garman_klass_20": lambda f: np.sqrt(
        (0.5 * np.log(f.high / f.low) ** 2 - (2 * np.log(2) - 1) * np.log(f.close / f.open) ** 2).rolling(20).mean()
    ),
    "yang_zhang_20": lambda f: yang_zhang(f, 20),
    "overnight_mean_5": lambda f: np.log(f.open / f.close.shift(1)).rolling(5).mean(),
    "amihud_20": lambda f: amihud(f, 20),
    "volume_ratio_20": lambda f: f.volume / f.volume.rolling(20).mean(),
    "volume_z_20": lambda f: (
        (np.log1p(f.volume) - np.log1p(f.volume).rolling(20).mean()) / np.log1p(f.volume).rolling(20).std()
    ),
    "dollar_volume_20": lambda f: np.log1p((f.close * f.volume).rolling(20).mean()),
    "vwap_ratio_5": lambda f: f.close * f.volume.rolling(5).sum() / (f.close * f.volume).rolling(5).sum() - 1,
    "obv_share_20": lambda f: (
        (np.sign(f.close.diff()) * f.volume).rolling(20).sum()
        / f.volume.rolling(20).sum().where(f.close.shift(20).notna())
    ),
    "corr_ret_volume_20": lambda f: log_returns(f).rolling(20).corr(np.log1p(f.volume)),
    "volume_change_5d": lambda f: np.log1p(f.volume).diff(5),
    "roll_spread_20": lambda f: 2 * np.sqrt((-log_returns(f).rolling(20).cov(log_returns(f).shift(1))).clip(lower=0)),
    "rel_market_5d": lambda f: f.close.pct_change(5) - f.market_close.pct_change(5),
    "market_ret_20d": lambda f: f.market_close.pct_change(20),
    "market_ret_1d_lag2": lambda f: market(f).shift(2),
    "market_vol_20": lambda f: market(f).rolling(20).std(),
    "beta_60": lambda f: regression(f, 60, "beta"),
    "alpha_market": lambda f: regression(f, 60, "alpha"),
    "resid_market_1d": lambda f: regression(f, 60, "resid"),
    "idio_vol_20": lambda f: regression(f, 20, "idio"),
    "corr_market_20": lambda f: regression(f, 20, "corr"),
    "days_since_last_session": lambda f: pd.to_datetime(f.session).diff().dt.days.astype(float),
}


@pytest.mark.parametrize("name", ORACLES)
def test_value_equals_the_oracle(panel, matrix, name):
    frame = panel.to_pandas()
    wanted = np.concatenate([np.asarray(ORACLES[name](part), dtype=float) for _, part in frame.groupby("symbol")])
    got = matrix[name].to_numpy().astype(np.float64)
    np.testing.assert_array_equal(np.isnan(got), np.isnan(wanted))
    np.testing.assert_allclose(got, wanted, rtol=2e-6, atol=1e-9)


def test_macd_is_the_difference_of_two_exponential_means(panel, matrix):
    for symbol in ("S0", "S1"):
        close = panel.filter(pl.col("symbol") == symbol)["close"].to_numpy()
        own = matrix.filter(pl.col("symbol") == symbol)
        # TA-Lib seeds the fast mean where the slow one begins; the difference fades with the fast span.
        line = seeded_ema(close, 12) - seeded_ema(close, 26)
        got = own["macd"].to_numpy() * close
        assert np.isnan(got[:33]).all()
        assert np.isfinite(got[33:]).all()
        np.testing.assert_allclose(got[200:], line[200:], rtol=1e-4, atol=1e-5)
        hist = own["macd"] - own["macd_signal"]
        np.testing.assert_allclose(hist.drop_nulls(), own["macd_hist"].drop_nulls(), atol=1e-6)


def test_ranks_equal_sql_windows(panel, matrix):
    relation = matrix.select("symbol", "session", "ret_5d").with_columns(member=panel["in_universe"])  # noqa: F841 (read by SQL)
    wanted = duckdb.sql(
        """
        with counted as (select * from relation where member and ret_5d is not null),
        ranked as (
            select symbol, session, count(*) over (partition by session) as n,
                rank() over (partition by session order by ret_5d) as low,
                count(*) over (partition by session, ret_5d) as ties
            from counted)
        select symbol, session, case when n > 1 then (low - 1 + (ties - 1) / 2.0) / (n - 1) end as wanted from ranked
        """
    ).pl()
    both = matrix.select("symbol", "session", "xs_rank_ret_5d").join(wanted, on=["symbol", "session"], how="left")
    got, expected = both["xs_rank_ret_5d"].to_numpy(), both["wanted"].cast(pl.Float64).to_numpy()
    np.testing.assert_array_equal(np.isnan(got), np.isnan(expected))
    np.testing.assert_allclose(got, expected, rtol=1e-6)


def test_ties_share_their_average_rank():
    day = [date(2020, 1, 2), date(2020, 1, 3)]
    closes = {"A": [1.0, 2.0], "B": [1.0, 2.0], "C": [1.0, 1.5], "D": [1.0, 3.0]}
    panel = pl.DataFrame(
        [{"symbol": s, "session": d, "close": c} for s, pair in closes.items() for d, c in zip(day, pair, strict=True)]
    )
    got = build_features(panel, features=FeatureParameters(sets=(), names=("xs_rank_ret_1d",))).matrix
    ranks = got.filter(pl.col("session") == day[1])["xs_rank_ret_1d"].to_list()
    assert ranks == [0.5, 0.5, 0.0, 1.0]


def test_session_statistics_equal_sql(panel, matrix):
    relation = matrix.select("symbol", "session", "ret_1d").with_columns(member=panel["in_universe"])  # noqa: F841 (read by SQL)
    wanted = duckdb.sql(
        """
        select symbol, session, ret_1d - avg(ret_1d) over w as demean, stddev_samp(ret_1d) over w as spread,
            avg((ret_1d > 0)::int) over w as breadth
        from relation where member and ret_1d is not null window w as (partition by session)
        """
    ).pl()
    both = matrix.join(wanted, on=["symbol", "session"], how="inner")
    np.testing.assert_allclose(both["xs_demean_ret_1d"].to_numpy(), both["demean"].to_numpy(), rtol=1e-5, atol=1e-8)
    np.testing.assert_allclose(both["xs_dispersion"].to_numpy(), both["spread"].to_numpy(), rtol=1e-5)
    np.testing.assert_allclose(both["xs_breadth"].to_numpy(), both["breadth"].to_numpy(), rtol=1e-6)
    assert both.height == matrix["xs_breadth"].count()


def test_calendar_equals_the_standard_library(panel, matrix):
    for row in matrix.filter(pl.col("symbol") == "S0").iter_rows(named=True):
        day = row["session"]
        length = calendar.monthrange(day.year, day.month)[1]
        later = [day + timedelta(n) for n in range(1, length - day.day + 1)]
        earlier = [day - timedelta(n) for n in range(1, day.day)]
        before, after = (sum(d.weekday() < 5 for d in days) for days in (earlier, later))
        assert row["day_of_week"] == day.weekday()
        assert row["day_of_month"] == day.day
        assert row["month"] == day.month
        assert row["week_of_month"] == (day.day - 1) // 7
        assert row["weekdays_to_month_end"] == after
        assert row["is_month_turn"] == float(after < 3 or before < 3)
        assert row["is_quarter_end_month"] == float(day.month in {3, 6, 9, 12})
        angle = 2 * np.pi * (day.timetuple().tm_yday - 1) / (366 if calendar.isleap(day.year) else 365)
        assert row["year_sin"] == pytest.approx(np.sin(angle), abs=1e-6)
        assert row["year_cos"] == pytest.approx(np.cos(angle), abs=1e-6)


def test_a_missing_input_blanks_the_windows_that_hold_it_and_no_other():
    panel = make_panel(symbols=2, sessions=120, gaps=False)
    row = 60
    holed = panel.with_columns(
        pl.when(pl.int_range(pl.len()) == row).then(None).otherwise(pl.col("volume")).alias("volume")
    )
    parameters = FeatureParameters(sets=(), names=("volume_ratio_20", "mfi_14"))
    before, after = (build_features(p, features=parameters).matrix for p in (panel, holed))
    assert after["volume_ratio_20"][row : row + 20].null_count() == 20
    assert after["volume_ratio_20"][row + 20 :].equals(before["volume_ratio_20"][row + 20 :])
    assert after["volume_ratio_20"][:row].equals(before["volume_ratio_20"][:row])
    # TA-Lib starts anew after the hole.
    assert after["mfi_14"][row : row + 15].null_count() == 15
    assert after["mfi_14"][row + 15 : 120].null_count() == 0
