"""No bit of a feature depends on later rows, on other symbols (symbol-wise families) or on how the work is cut."""

from __future__ import annotations

import joblib
import numpy as np
import polars as pl
import pytest
from polars.testing import assert_frame_equal

from conviction.errors import FeatureError, FrameError
from conviction.features import FAMILIES, FeatureParameters, build_features, build_in_parts
from conviction.features import _fill as fill_module
from conviction.features._rows import Rows

from .conftest import make_panel


@pytest.fixture(scope="module")
def whole(full_panel, every_feature):
    return build_features(full_panel, features=every_feature)


def bits(frame: pl.DataFrame) -> pl.DataFrame:
    """Show Float32 as integers, so that equality means the same bits."""
    return frame.with_columns(
        pl.Series(name, frame[name].fill_null(np.nan).to_numpy().view(np.int32)) for name in frame.columns[2:]
    )


def test_everything_is_built(whole, every_feature):
    assert whole.omitted == {}
    assert set(whole.matrix.columns[2:]) == set(every_feature.names)
    for feature in whole.features:
        assert whole.matrix[feature.name].dtype == pl.Float32
        assert not whole.matrix[feature.name].is_nan().any(), feature.name
        assert whole.matrix[feature.name].count() > 100, feature.name


@pytest.mark.parametrize("cut", [37, 150, 263, 331, 402])
def test_cutting_the_future_changes_no_bit(full_panel, every_feature, whole, cut):
    last = full_panel["session"].unique().sort()[cut]
    cut_panel = full_panel.filter(pl.col("session") <= last)
    again = build_features(cut_panel, features=every_feature)
    assert_frame_equal(bits(again.matrix), bits(whole.matrix.filter(pl.col("session") <= last)))


def test_perturbing_the_future_changes_no_bit(full_panel, every_feature, whole):
    last = full_panel["session"].unique().sort()[300]
    rng = np.random.default_rng(1)
    factor = pl.Series(np.exp(rng.normal(0.0, 1.0, full_panel.height)))
    numbers = [c for c, dtype in full_panel.schema.items() if dtype == pl.Float64]
    perturbed = full_panel.with_columns(
        pl.when(pl.col("session") > last).then(pl.col(c) * factor).otherwise(pl.col(c)).alias(c) for c in numbers
    )
    again = build_features(perturbed, features=every_feature)
    past = pl.col("session") <= last
    assert_frame_equal(bits(again.matrix.filter(past)), bits(whole.matrix.filter(past)))
    assert not again.matrix.filter(~past).equals(whole.matrix.filter(~past))


def test_dropping_symbols_changes_no_bit_of_symbol_wise_features(full_panel, every_feature, whole):
    own = [f.name for f in whole.features if FAMILIES[f.family].scope == "symbol"]
    kept = full_panel.filter(pl.col("symbol").is_in(["S1", "S3"]))
    again = build_features(kept, features=every_feature, only=own)
    expected = whole.matrix.filter(pl.col("symbol").is_in(["S1", "S3"])).select("symbol", "session", *own)
    assert_frame_equal(bits(again.matrix), bits(expected))


def test_chunks_and_threads_change_no_bit(full_panel, every_feature, whole, monkeypatch):
    monkeypatch.setattr(fill_module, "CHUNK_ROWS", 1)
    again = build_features(full_panel, features=every_feature, n_jobs=2)
    assert_frame_equal(bits(again.matrix), bits(whole.matrix))


@pytest.mark.slow
def test_other_processes_change_no_bit(full_panel, every_feature, whole, monkeypatch):
    monkeypatch.setattr(fill_module, "_in_threads", None)
    with joblib.parallel_config(backend="loky"):
        again = build_features(full_panel, features=every_feature, n_jobs=2)
    assert_frame_equal(bits(again.matrix), bits(whole.matrix))


@pytest.mark.slow
def test_dask_workers_change_no_bit(full_panel, every_feature, whole, monkeypatch):
    monkeypatch.setattr(fill_module, "_in_threads", None)
    distributed = pytest.importorskip("distributed", reason="the extra `dask` is not installed")
    cluster = distributed.LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None)
    with cluster, distributed.Client(cluster), joblib.parallel_config(backend="dask"):
        again = build_features(full_panel, features=every_feature, n_jobs=2)
    assert_frame_equal(bits(again.matrix), bits(whole.matrix))


def test_only_changes_no_bit(full_panel, every_feature, whole):
    some = ["macd", "xs_rank_ret_5d", "beta_60", "mfi_14"]
    again = build_features(full_panel, features=every_feature, only=some)
    assert again.matrix.columns[2:] == [name for name in whole.matrix.columns if name in some]
    assert_frame_equal(bits(again.matrix), bits(whole.matrix.select(again.matrix.columns)))


def test_the_panel_stays_as_it_was(full_panel, every_feature):
    before = full_panel.clone()
    build_features(full_panel, features=every_feature)
    assert full_panel.equals(before)


def test_a_planted_look_ahead_is_seen_by_the_truncation_test(full_panel, every_feature, whole, monkeypatch):
    honest = Rows.lag
    monkeypatch.setattr(
        Rows, "lag", lambda rows, values, lag: np.append(values[1:], np.nan) if lag == 5 else honest(rows, values, lag)
    )
    last = full_panel["session"].unique().sort()[150]
    leaking = build_features(full_panel, features=FeatureParameters(sets=(), names=("ret_5d",)))
    cut = build_features(
        full_panel.filter(pl.col("session") <= last), features=FeatureParameters(sets=(), names=("ret_5d",))
    )
    assert not bits(cut.matrix).equals(bits(leaking.matrix.filter(pl.col("session") <= last)))


def test_parts_change_no_bit(full_panel, every_feature, whole):
    own = tuple(f.name for f in whole.features if FAMILIES[f.family].scope == "symbol")
    parts = [part for _, part in full_panel.group_by("symbol", maintain_order=True)]
    builds = list(build_in_parts(iter(parts), features=FeatureParameters(sets=(), names=own)))
    assert len(builds) == len(parts)
    together = pl.concat(build.matrix for build in builds)
    assert_frame_equal(bits(together), bits(whole.matrix.select(together.columns)))


def test_parts_refuse_cross_sections_and_split_symbols(full_panel):
    with pytest.raises(FeatureError, match="cannot be built part by part: got \\['xs_breadth'\\]"):
        next(build_in_parts([full_panel], features=FeatureParameters(sets=(), names=("xs_breadth",))))
    half = full_panel.height // 3
    with pytest.raises(FrameError, match="comes in two parts"):
        list(
            build_in_parts(
                [full_panel[:half], full_panel[half:]], features=FeatureParameters(sets=(), names=("ret_1d",))
            )
        )


@pytest.fixture(scope="module")
def minutes():
    bars = make_panel(symbols=3, sessions=200, gaps=False).drop("session")
    number = pl.int_range(pl.len()).over("symbol")
    start = pl.datetime(2024, 1, 2, 14, 30, time_zone="UTC")
    moment = start + pl.duration(days=number // 50, minutes=5 * (number % 50))
    return bars.with_columns(moment.cast(pl.Datetime("us", "UTC")).alias("bar_end")).select(
        "symbol", pl.col("bar_end").dt.date().alias("session"), pl.exclude("symbol")
    )


def test_intraday_windows_may_stay_within_the_session(minutes):
    names = ("ret_3d", "rsi_6", "MA5", "vol_5", "xs_rank_ret_1d")
    across = build_features(minutes, features=FeatureParameters(sets=(), names=names)).matrix
    inside = build_features(minutes, features=FeatureParameters(sets=(), names=names, within="session")).matrix
    assert across.columns[:3] == ["symbol", "session", "bar_end"]
    assert across["ret_3d"].null_count() == 3 * 3
    assert inside["ret_3d"].null_count() == 3 * 3 * 4
    one = minutes.filter((pl.col("symbol") == "S1") & (pl.col("session") == minutes["session"].unique().sort()[2]))
    alone = build_features(one, features=FeatureParameters(sets=(), names=names[:4])).matrix
    rows = inside.join(one.select("symbol", "bar_end"), on=["symbol", "bar_end"], how="semi").select(alone.columns)
    assert_frame_equal(bits(alone.drop("bar_end")), bits(rows.drop("bar_end")))
    ranks = inside.drop_nulls("xs_rank_ret_1d").group_by("bar_end").agg(pl.col("xs_rank_ret_1d").sort())
    assert ranks["xs_rank_ret_1d"].to_list() == [[0.0, 0.5, 1.0]] * ranks.height
    assert ranks.height == 4 * 49


@pytest.mark.parametrize("rows", [1, 2, 3, 40])
def test_short_symbols_have_nulls_and_no_complaints(full_panel, every_feature, whole, rows):
    short = full_panel.group_by("symbol", maintain_order=True).head(rows)
    build = build_features(short, features=every_feature)
    own = [f.name for f in build.features if FAMILIES[f.family].scope == "symbol"]
    keys = ["symbol", "session"]
    expected = whole.matrix.join(short.select(keys), on=keys, how="semi").select(*keys, *own)
    assert_frame_equal(bits(build.matrix.select(expected.columns)), bits(expected))


def test_one_row_and_no_members_give_nulls_and_no_complaints(full_panel, every_feature):
    one = build_features(full_panel.head(1), features=every_feature).matrix
    assert one.height == 1
    assert one["ret_1d"].item() is None
    assert one["day_of_week"].item() is not None
    outside = full_panel.with_columns(in_universe=pl.lit(value=False))
    sections = tuple(name for name in every_feature.names if name.startswith(("xs_", "sector_")))
    empty = build_features(outside, features=FeatureParameters(sets=(), names=sections)).matrix
    assert all(empty[name].null_count() == empty.height for name in sections)
