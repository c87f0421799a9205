"""Values of features against independent oracles: pandas windows, obvious loops, DuckDB's SQL windows."""

from __future__ import annotations

import calendar
import re
from datetime import date, timedelta

import duckdb
import numpy as np
import pandas as pd
import polars as pl
import polars.selectors as cs
import pytest

from conviction.features import FeatureParameters, build_features, definitions

from .conftest import make_panel
from .feature_oracles import ORACLES, ema, weekdays


@pytest.fixture(scope="module")
def panel():
    return make_panel(symbols=4, sessions=330, seed=5)


@pytest.fixture(scope="module")
def matrix(panel, every_feature):
    return build_features(panel, features=every_feature).matrix


# Compared with SQL, the standard library or a seed-free stretch below, or in test_alpha158_values.py.
ELSEWHERE = {"cross_section", "sector", "calendar", "alpha158"}
MACD = {"macd", "macd_signal", "macd_hist"}
DEFINITIONS = definitions(FeatureParameters())
NAMES = [n for n, d in DEFINITIONS.items() if d.feature.family not in ELSEWHERE and n not in MACD]


@pytest.mark.parametrize("name", NAMES)
def test_value_equals_the_oracle(panel, matrix, name):
    found = [(function, match) for p, function in ORACLES.items() if (match := re.fullmatch(p, name))]
    assert len(found) == 1, f"{name} has {len(found)} oracles"
    function, match = found[0]
    arguments = [int(group) if group.isdigit() else group for group in match.groups()]
    parts = [part.reset_index(drop=True) for _, part in panel.to_pandas().groupby("symbol")]
    wanted = np.concatenate([np.asarray(function(part, *arguments), dtype=float) for part in parts])
    got = matrix[name].to_numpy().astype(np.float64)
    np.testing.assert_array_equal(np.isnan(got), np.isnan(wanted))
    np.testing.assert_allclose(got, wanted, rtol=5e-6, atol=1e-7)
    assert np.isfinite(wanted).sum() > 50


def test_days_since_last_session_is_in_the_calendar_family(panel, matrix):
    for _, part in panel.join(matrix, on=["symbol", "session"]).to_pandas().groupby("symbol"):
        wanted = pd.to_datetime(part.session).diff().dt.days.to_numpy(dtype=float)
        np.testing.assert_array_equal(part.days_since_last_session.to_numpy(dtype=float), wanted)


def test_macd_is_the_difference_of_two_exponential_means(panel, matrix):
    for symbol in ("S0", "S1"):
        close = panel.filter(pl.col("symbol") == symbol)["close"].to_numpy()
        own = matrix.filter(pl.col("symbol") == symbol)
        # TA-Lib seeds the fast mean where the slow one begins; the difference fades with the fast span.
        line = ema(close, 12) - ema(close, 26)
        got = own["macd"].to_numpy() * close
        assert np.isnan(got[:33]).all()
        assert np.isfinite(got[33:]).all()
        np.testing.assert_allclose(got[200:], line[200:], rtol=1e-4, atol=1e-5)
        hist = own["macd"] - own["macd_signal"]
        np.testing.assert_allclose(hist.drop_nulls(), own["macd_hist"].drop_nulls(), atol=1e-6)


def test_ties_share_their_average_rank():
    day = [date(2020, 1, 2), date(2020, 1, 3)]
    closes = {"A": [1.0, 2.0], "B": [1.0, 2.0], "C": [1.0, 1.5], "D": [1.0, 3.0]}
    panel = pl.DataFrame(
        [{"symbol": s, "session": d, "close": c} for s, pair in closes.items() for d, c in zip(day, pair, strict=True)]
    )
    got = build_features(panel, features=FeatureParameters(sets=(), names=("xs_rank_ret_1d",))).matrix
    ranks = got.filter(pl.col("session") == day[1])["xs_rank_ret_1d"].to_list()
    assert ranks == [0.5, 0.5, 0.0, 1.0]


def test_every_cross_sectional_feature_equals_sql(panel, matrix):
    def ranked(column):
        ties = f"(count(*) over (partition by session, {column}) - 1) / 2.0"
        low = f"rank() over (partition by session order by {column})"
        return f"case when {column} is not null then ({low} - 1 + {ties}) / nullif(count({column}) over w - 1, 0) end"

    columns = {"turnover": "avg(close * volume) over (partition by symbol order by session rows 19 preceding)"}
    relation = panel.select("symbol", "session", "close", "volume", "sector", "in_universe").join(  # noqa: F841 (SQL)
        matrix.select("symbol", "session", cs.matches(r"^(ret_\d+d|vol_\d+|dollar_volume_20)$")),
        on=["symbol", "session"],
    )
    wanted = {
        **{f"xs_rank_ret_{n}d": ranked(f"ret_{n}d") for n in (1, 5, 20, 60)},
        **{f"xs_rank_vol_{n}": ranked(f"vol_{n}") for n in (20, 60)},
        "xs_rank_dollar_volume_20": ranked("(case when dollar_volume_20 is not null then turnover end)"),
        **{f"xs_demean_ret_{n}d": f"ret_{n}d - avg(ret_{n}d) over w" for n in (1, 5)},
        **{f"xs_z_ret_{n}d": f"(ret_{n}d - avg(ret_{n}d) over w) / stddev_samp(ret_{n}d) over w" for n in (5, 20)},
        **{
            f"xs_resid_ret_{n}d": f"ret_{n}d - regr_intercept(ret_{n}d, vol_60) over w - regr_slope(ret_{n}d, vol_60) over w * vol_60"
            for n in (1, 5)
        },
        **{
            f"sector_resid_ret_{n}d": f"case when sector is not null then ret_{n}d - avg(ret_{n}d) over (partition by session, sector) end"
            for n in (1, 5, 20)
        },
        "xs_mean_ret_1d_lag1": "avg(ret_1d) over w + 0 * ret_1d",
        "xs_breadth": "avg((ret_1d > 0)::int) over w + 0 * ret_1d",
        "xs_dispersion": "stddev_samp(ret_1d) over w + 0 * ret_1d",
    }
    assert set(wanted) == {n for n, d in DEFINITIONS.items() if d.feature.family in {"cross_section", "sector"}}
    body = ", ".join(f"{sql} as {name}" for name, sql in wanted.items())
    found = duckdb.sql(
        f"""
        with widened as (select *, {columns["turnover"]} as turnover from relation),
        computed as (select symbol, session, {body} from widened where in_universe window w as (partition by session))
        select r.symbol, r.session, c.* exclude (symbol, session)
        from relation r left join computed c using (symbol, session) order by r.symbol, r.session
        """  # noqa: S608 (no user's text)
    ).pl()
    # The lagged mean is that of the symbol's own row before, which SQL takes over all of its rows.
    found = found.with_columns(pl.col("xs_mean_ret_1d_lag1").shift(1).over("symbol"))
    for name in wanted:
        got, expected = matrix[name].to_numpy(), found[name].cast(pl.Float64).to_numpy()
        known = np.isfinite(expected)
        if name.startswith("xs_resid"):
            # With two members a line fits both, and SQL divides by what rounding left of a spread.
            known &= np.isfinite(got)
        else:
            np.testing.assert_array_equal(np.isnan(got), ~known, err_msg=name)
        np.testing.assert_allclose(got[known], expected[known], rtol=1e-4, atol=2e-7, err_msg=name)
        assert known.sum() > 300, name


def test_tuned_parameters_do_what_they_say(panel):
    tuned = FeatureParameters.model_validate(
        {
            "sets": [],
            "names": [
                "vix_regime",
                "vix_momentum",
                "iv_rank",
                "iv_term_slope",
                "days_to_event",
                "is_after_event",
                "news_sentiment",
                "news_sentiment_weighted",
            ],
            "vix": {"regime_threshold": 14.0, "momentum_window": 12},
            "options": {"rank_window": 40, "rank_weight": 1.0, "term_window": 3},
            "events": {"lead": 2, "lag": 3},
            "news": {"threshold": 0.6, "lookback": 3, "source_weights": {"wire": 4.0}},
        }
    )
    got = build_features(panel, features=tuned).matrix.filter(pl.col("symbol") == "S0")
    f = panel.filter(pl.col("symbol") == "S0").to_pandas()
    low, high = f.iv_30d.rolling(40).min(), f.iv_30d.rolling(40).max()
    weight = f.news_source.map({"wire": 4.0}).fillna(1.0)
    score = f.news_score.where(f.news_score.abs() >= 0.6, 0.0)
    count = f.news_count
    wanted = {
        "vix_regime": (f.vix_close > 14.0).astype(float),
        "vix_momentum": f.vix_close.pct_change(12),
        "iv_rank": (f.iv_30d - low) / (high - low),
        "iv_term_slope": (f.iv_60d / f.iv_30d - 1).rolling(3).mean(),
        "days_to_event": np.minimum([weekdays(a, b) for a, b in zip(f.session, f.event_next, strict=True)], 2),
        "is_after_event": np.array([weekdays(a, b) for a, b in zip(f.event_last, f.session, strict=True)]) <= 3,
        "news_sentiment": (score * count).rolling(3).sum() / count.rolling(3).sum().replace(0.0, np.nan),
        "news_sentiment_weighted": (score * count * weight).rolling(3).sum()
        / (count * weight).rolling(3).sum().replace(0.0, np.nan),
    }
    for name, values in wanted.items():
        np.testing.assert_allclose(
            got[name].to_numpy(), np.asarray(values, dtype=float), rtol=1e-5, atol=1e-7, err_msg=name
        )
    assert not got["news_sentiment"].equals(got["news_sentiment_weighted"])


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


def test_ties_and_unmoved_prices_follow_their_stated_rules():
    days = [date(2020, 1, 1) + timedelta(n) for n in range(5)]
    frame = {"close": [1.0, 1.0, 2.0, 1.0, 1.0], "vix_close": [1.0, 1.0, 1.0, 2.0, 2.0]}
    panel = pl.DataFrame({"symbol": ["A"] * 5, "session": days, **frame})
    parameters = FeatureParameters.model_validate(
        {
            "sets": [],
            "names": ["vix_rank", "vix_regime", "up_share_2", "xs_breadth", "xs_rank_ret_1d"],
            "vix": {"rank_window": 3, "regime_threshold": 2.0},
            "momentum": {"up_windows": [2]},
        }
    )
    got = build_features(panel, features=parameters).matrix
    assert got["vix_rank"].to_list() == [None, None, 0.5, 1.0, 0.75]
    assert got["vix_regime"].to_list() == [0.0] * 5, "a VIX at its threshold is not above it"
    assert got["up_share_2"].to_list() == [None, None, 0.5, 0.5, 0.0]
    assert got["xs_breadth"].to_list() == [None, 0.0, 1.0, 0.0, 0.0]
    assert got["xs_rank_ret_1d"].null_count() == 5, "a lone member has no rank"


def test_an_event_on_the_wrong_side_of_the_session_is_unknown():
    day = date(2024, 3, 6)
    panel = pl.DataFrame(
        {
            "symbol": ["A", "B", "C"],
            "session": [day] * 3,
            "close": [1.0] * 3,
            "event_next": [day - timedelta(1), day, None],
            "event_last": [day + timedelta(1), day, None],
        }
    )
    names = ("days_to_event", "days_since_event", "is_before_event", "is_after_event")
    got = build_features(panel, features=FeatureParameters(sets=(), names=names)).matrix
    assert got["days_to_event"].to_list() == got["days_since_event"].to_list() == [None, 0.0, None]
    assert got["is_before_event"].to_list() == got["is_after_event"].to_list() == [0.0, 1.0, 0.0]
