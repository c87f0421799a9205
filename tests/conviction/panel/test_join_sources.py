from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import polars as pl
import pytest
from polars.testing import assert_frame_equal
from pydantic import ValidationError

from conviction.errors import FrameError, PointInTimeError
from conviction.features import FeatureParameters, build_features
from conviction.market import exchange_sessions
from conviction.panel import SourceParameters, add_events, add_macro, add_news, build_panel, join_sources
from conviction.testing import synthetic_market

START = datetime(2015, 1, 2, tzinfo=UTC)


@pytest.fixture(scope="module")
def market():
    return synthetic_market(n_symbols=6, n_sessions=120, seed=9)


@pytest.fixture(scope="module")
def panel(market):
    return build_panel(
        market.bars, calendar="XNYS", decision="close", market=market.market, vix=market.vix, membership=None
    )


@pytest.fixture(scope="module")
def sources(panel):
    symbols = panel["symbol"].unique().sort().to_list()
    days = range(0, 170, 2)
    news = [
        (s, START + timedelta(days=d, hours=5 * i), (-1) ** d * 0.5, "X") for i, s in enumerate(symbols) for d in days
    ]
    closes = panel.filter(pl.col("symbol") == symbols[0]).select("session", "known_at")
    return {
        "news": pl.DataFrame(news, schema=["symbol", "known_at", "score", "publisher"], orient="row"),
        "macro": pl.DataFrame(
            {
                "series": ["DGS10"] * len(days),
                "known_at": [START + timedelta(days=d, hours=9) for d in days],
                "reference_date": [date(2015, 1, 1) + timedelta(days=d) for d in days],
                "value": [2.0 + 0.01 * d for d in days],
            }
        ),
        "events": pl.DataFrame(
            {
                "symbol": symbols,
                "known_at": [START] * 6,
                "event_date": [date(2015, 2, 2) + timedelta(days=9 * i) for i in range(6)],
            }
        ),
        "options": pl.concat(
            closes.select(
                pl.lit(s).alias("symbol"),
                "known_at",
                iv_30d=pl.int_range(pl.len()) % 9 * 0.01 + 0.2,
                iv_60d=pl.lit(0.25),
            )
            for s in symbols
        ),
        "sectors": pl.DataFrame({"symbol": symbols, "known_at": [START] * 6, "sector": ["a", "b"] * 3}),
        "references": closes.select(pl.lit("QQQ").alias("symbol"), "session", close=pl.int_range(pl.len()) * 1.0 + 100),
    }


def test_every_source_gives_its_columns_and_none_takes_a_row(panel, sources):
    joined = join_sources(panel, **sources)
    assert_frame_equal(joined.select(panel.columns), panel)
    added = joined.columns[len(panel.columns) :]
    assert added == [
        "news_score", "news_count", "news_source", "macro_dgs10", "event_next", "event_last", "iv_30d", "iv_60d", "sector", "qqq_close",
    ]  # fmt: skip
    assert_frame_equal(
        joined.select("news_score", "news_count"),
        add_news(panel, sources["news"], known_at="known_at", score="score", source=None).select(
            "news_score", "news_count"
        ),
    )
    macro = add_macro(
        panel, sources["macro"], series="series", known_at="known_at", period="reference_date", value="value"
    )
    assert_frame_equal(joined.select("macro_dgs10"), macro.select("macro_dgs10"))
    events = add_events(panel, sources["events"], known_at="known_at", event_date="event_date", event=None)
    assert_frame_equal(joined.select("event_next", "event_last"), events.select("event_next", "event_last"))


def test_sources_that_are_not_there_leave_the_panel_alone(panel, sources):
    empty = {name: frame.clear() for name, frame in sources.items()}
    assert_frame_equal(join_sources(panel, **empty), panel)
    assert_frame_equal(join_sources(panel), panel)


def test_the_features_of_each_source_come_alive(panel, sources):
    parameters = FeatureParameters(sets=("enhanced",), names=("sector_resid_ret_1d",))
    before = {feature.name for feature in build_features(panel, features=parameters).features}
    joined = build_features(join_sources(panel, **sources), features=parameters)
    gained = [feature for feature in joined.features if feature.name not in before]
    assert {feature.family for feature in gained} == {"news", "macro", "events", "options", "sector", "cross_asset"}
    for feature in gained:
        if feature.lookback is not None and feature.lookback < 100:
            assert joined.matrix[feature.name].null_count() < joined.matrix.height, feature.name


def test_no_source_lets_the_future_in(panel, sources):
    cut = exchange_sessions("XNYS", date(2015, 1, 2), date(2015, 12, 31)).to_list()[70]
    decided = panel.filter(pl.col("session") == cut)["decision_at"][0]
    whole = join_sources(panel, **sources).filter(pl.col("session") <= cut)
    known = {
        n: f.filter(pl.col("known_at") <= decided) if "known_at" in f.columns else f.filter(pl.col("session") <= cut)
        for n, f in sources.items()
    }
    assert all(known[n].height < sources[n].height for n in ("news", "macro", "options", "references"))
    assert_frame_equal(join_sources(panel.filter(pl.col("session") <= cut), **known), whole)


def test_a_dead_options_source_is_unknown_after_its_days(panel, sources):
    last = panel["session"].unique().sort()[50]
    stopped = sources["options"].filter(pl.col("known_at").dt.date() <= last)
    joined = join_sources(panel, options=stopped, parameters=SourceParameters(options_max_age_days=1))
    assert joined.filter(pl.col("iv_30d").is_not_null())["session"].max() <= last + timedelta(days=1)
    with pytest.raises(ValidationError):
        SourceParameters(options_max_age=3)


def test_sources_that_do_not_fit_are_refused(panel, sources):
    with pytest.raises(FrameError, match="must have numbers"):
        join_sources(panel, options=sources["options"].with_columns(grade=pl.lit("A")))
    with pytest.raises(FrameError, match="several rows of one symbol"):
        join_sources(panel, references=pl.concat([sources["references"]] * 2))
    with pytest.raises(FrameError, match="overwrite a panel column"):
        join_sources(panel, references=sources["references"].with_columns(symbol=pl.lit("VIX")))
    with pytest.raises(PointInTimeError, match="several events share"):
        join_sources(panel, sectors=pl.concat([sources["sectors"]] * 2))
    with pytest.raises(FrameError, match="known_at"):
        join_sources(panel, sectors=sources["sectors"].drop("known_at"))
