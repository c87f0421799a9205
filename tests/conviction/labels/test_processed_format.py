from __future__ import annotations

from datetime import date

import numpy as np
import polars as pl
import pytest
from polars.testing import assert_frame_equal

from conviction.errors import BarsError, FrameError, LabelError
from conviction.labels import from_processed, make_labels, repair_direction, to_processed
from conviction.market import exchange_sessions
from conviction.panel import build_panel
from conviction.testing import synthetic_market

HORIZONS = (1, 3, 5, 10)


@pytest.fixture(scope="module")
def parts():
    bars = synthetic_market(n_symbols=5, n_sessions=60, seed=4).bars
    panel = build_panel(bars, calendar="XNYS", decision="close", market=None, vix=None, membership=None)
    matrix = bars.select(
        "symbol",
        "session",
        (pl.col("close") / pl.col("close").shift(1).over("symbol") - 1).cast(pl.Float32).alias("ret_1d"),
        pl.col("volume").log().cast(pl.Float32).alias("log_volume"),
    )
    labels = [make_labels(panel, calendar="XNYS", horizon=h, decision="close") for h in HORIZONS]
    return panel, matrix, labels


@pytest.fixture(scope="module")
def processed(parts):
    return to_processed(*parts)


def test_the_columns_are_the_teams(processed):
    prices = ["open", "high", "low", "close", "volume"]
    targets = [f"target_{h}d" for h in HORIZONS]
    assert processed.columns == ["symbol", "session", *prices, "ret_1d", "log_volume", *targets, "direction"]


def test_there_and_back_again_is_the_same(parts, processed):
    panel, matrix, labels = parts
    back = from_processed(processed.sample(fraction=1.0, shuffle=True, seed=1))
    assert_frame_equal(back.bars, panel.select(back.bars.columns))
    assert_frame_equal(back.matrix, matrix)
    assert_frame_equal(
        back.claims.drop("direction"),
        pl.concat(
            [
                f.select(c)
                for f, c in zip(
                    [panel.select("symbol", "session"), *labels],
                    [["symbol", "session"], *[f"target_{h}d" for h in HORIZONS]],
                    strict=True,
                )
            ],
            how="horizontal",
        ),
    )
    assert_frame_equal(back.claims.select("direction"), labels[0].select("direction"))
    assert back.omitted == ()


def test_the_targets_are_those_of_the_documented_loop(processed):
    for symbol in processed["symbol"].unique():
        rows = processed.filter(pl.col("symbol") == symbol)
        close = rows["close"].to_list()
        for h in HORIZONS:
            expected = [close[t + h] / close[t] - 1 if t + h < len(close) else None for t in range(len(close))]
            assert rows[f"target_{h}d"].to_list() == pytest.approx(expected, nan_ok=True)
        first = rows["target_1d"].to_list()
        assert rows["direction"].to_list() == [None if v is None else int(v > 0) for v in first]


def test_a_sound_dataset_needs_no_repair(processed):
    repaired = repair_direction(processed, calendar="XNYS")
    assert_frame_equal(repaired.frame, processed)
    assert [(r.column, r.changed, r.agreement) for r in repaired.repairs] == [
        *[(f"target_{h}d", 0, 1.0) for h in HORIZONS],
        ("direction", 0, 1.0),
    ]


def test_made_up_targets_are_found_out_and_replaced(processed):
    rng = np.random.default_rng(5)
    noise = rng.normal(0, 0.02, processed.height)
    broken = processed.with_columns(target_1d=pl.Series(noise), direction=pl.Series((noise > 0).astype(float))).rename(
        {"session": "date"}
    )
    repaired = repair_direction(broken, calendar="XNYS")
    assert_frame_equal(repaired.frame.rename({"date": "session"}), processed)
    found = {r.column: r for r in repaired.repairs}
    assert abs(found["target_1d"].correlation) < 0.2
    assert 0.4 < found["direction"].agreement < 0.6
    assert found["target_3d"].changed == 0
    assert found["target_1d"].changed == processed.height


def test_a_target_shifted_by_one_row_is_repaired(processed):
    shifted = processed.with_columns(pl.col("direction").shift(1).over("symbol"))
    assert_frame_equal(repair_direction(shifted, calendar="XNYS").frame, processed)


def test_a_missing_direction_is_added(processed):
    bare = processed.drop("direction", "target_3d")
    repaired = repair_direction(bare, calendar="XNYS")
    assert repaired.frame.columns == [*bare.columns, "direction"]
    assert_frame_equal(repaired.frame.select("direction"), processed.select("direction"))
    assert repaired.repairs[-1].agreement is None


def test_prices_of_days_without_trading_are_not_worth_repairing(processed):
    holiday = processed.with_columns(
        session=pl.when(pl.col("session") == pl.col("session").min()).then(date(2015, 1, 1)).otherwise("session")
    )
    with pytest.raises(BarsError, match="2015-01-01"):
        repair_direction(holiday, calendar="XNYS")


def test_a_gap_counts_exchange_sessions():
    days = exchange_sessions("XNYS", date(2024, 7, 1), date(2024, 7, 9)).to_list()
    frame = pl.DataFrame(
        {
            "symbol": "A",
            "date": [days[0], days[1], days[3]],
            "close": [1.0, 2.0, 3.0],
            "target_1d": [9.0, 9.0, 9.0],
            "target_3d": [9.0, 9.0, 9.0],
        }
    )
    repaired = repair_direction(frame, calendar="XNYS").frame
    assert repaired["target_1d"].to_list() == [1.0, None, None]
    assert repaired["target_3d"].to_list() == [2.0, None, None]


def test_text_is_left_out_and_nan_is_missing(processed):
    odd = processed.with_columns(sector=pl.lit("tech"), flag=pl.lit(value=True), bad=pl.lit(float("nan")))
    back = from_processed(odd)
    assert back.omitted == ("sector",)
    assert back.matrix["bad"].null_count() == odd.height
    assert back.matrix["flag"].to_list() == [1.0] * odd.height
    assert {str(d) for d in back.matrix.drop("symbol", "session").dtypes} == {"Float32"}


def test_frames_that_are_not_processed_are_errors(parts, processed):
    panel, matrix, labels = parts
    with pytest.raises(FrameError, match="duplicated rows"):
        from_processed(pl.concat([processed, processed.head(1)]))
    with pytest.raises(FrameError, match="direction is neither 0 nor 1"):
        from_processed(processed.with_columns(direction=-1))
    with pytest.raises(FrameError, match="direction is neither 0 nor 1"):
        from_processed(processed.with_columns(direction=pl.lit("up")))
    with pytest.raises(FrameError, match="are no numbers"):
        from_processed(processed.with_columns(close=pl.lit("1.0")))
    with pytest.raises(FrameError, match="lacks the columns"):
        from_processed(processed.drop("session"))
    with pytest.raises(FrameError, match="close"):
        repair_direction(processed.drop("close"), calendar="XNYS")
    with pytest.raises(FrameError, match="different rows"):
        to_processed(panel, matrix.head(5), labels)
    with pytest.raises(FrameError, match="names that the format keeps"):
        to_processed(panel, matrix.rename({"ret_1d": "target_2d"}), labels)
    with pytest.raises(LabelError, match="needs the labels of the next session"):
        to_processed(panel, matrix, labels[1])
    with pytest.raises(LabelError, match="same horizon"):
        to_processed(panel, matrix, [labels[0], labels[0]])
