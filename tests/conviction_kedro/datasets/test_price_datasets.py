"""Price tables at the edge: names, days and numbers as the library wants them, whatever the file says."""

from __future__ import annotations

from datetime import date

import polars as pl
import pytest
from kedro.io import DataCatalog, DatasetError

from conviction.errors import BarsError, FrameError, ParameterError
from conviction.frames import check_panel
from conviction_kedro.datasets import EmbeddedIndexDataset, EmbeddedPricesDataset, LongBarsDataset, LongTableDataset
from conviction_kedro.datasets._prices import parse_sessions

DAY = date(2024, 1, 31)


@pytest.mark.parametrize(
    "written",
    [
        "2024-01-31",
        "20240131",
        " 2024-01-31 ",
        "2024-01-31 00:00:00",
        "2024-01-31T00:00:00Z",
        "2024-01-31 00:00:00-05:00",
    ],
)
def test_a_day_is_read_in_every_plain_spelling(written):
    assert parse_sessions(pl.Series("date", [written, None]), name="f").to_list() == [DAY, None]


@pytest.mark.parametrize(
    "written", ["2024-01-31 09:30:00", "31/01/2024", "2024-13-01", "yesterday", "2024-01-31 00:00:01"]
)
def test_a_value_that_is_no_certain_session_is_refused_by_name(written):
    with pytest.raises(BarsError, match=r"prices\.csv: column 'date' has 1 values") as caught:
        parse_sessions(pl.Series("date", ["2024-01-30", written]), name="prices.csv")
    assert written in str(caught.value)


def test_moments_keep_the_day_of_their_own_zone():
    moments = pl.Series("date", ["2024-01-31T00:00:00"]).str.to_datetime().dt.replace_time_zone("America/New_York")
    assert parse_sessions(moments, name="f").to_list() == [DAY]
    with pytest.raises(BarsError, match="not plainly a session"):
        parse_sessions(moments.dt.convert_time_zone("UTC"), name="f")


def test_raw_order_duplicates_and_odd_tickers_survive(tmp_path):
    text = (
        "symbol,date,close,volume\nTRUE,2024-01-03,2,\nNA,2024-01-02,1.5,10\nNA,2024-01-02,1.5,10\nNULL,2024-01-02,,7\n"
    )
    (tmp_path / "bars.csv").write_text(text)
    dataset = LongBarsDataset(filepath=str(tmp_path / "bars.csv"))
    frame = dataset.load()
    assert frame["symbol"].to_list() == ["TRUE", "NA", "NA", "NULL"]
    assert frame["close"].to_list() == [2.0, 1.5, 1.5, None]
    assert frame.schema["volume"] == pl.Float64
    assert frame.schema["session"] == pl.Date
    assert dataset.load().equals(frame), "loading must not use up the dataset's arguments"


def test_every_format_gives_the_same_frame(tmp_path):
    frame = pl.DataFrame({"symbol": ["B", "A"], "session": [DAY, DAY], "close": [1.25, float("nan")]})
    loaded = []
    for ending in (".csv", ".csv.gz", ".parquet"):
        dataset = LongBarsDataset(filepath=str(tmp_path / f"x{ending}"))
        assert not dataset.exists()
        dataset.save(frame)
        assert dataset.exists()
        loaded.append(dataset.load())
    assert loaded[0].equals(loaded[1])
    assert loaded[1].equals(loaded[2])
    assert loaded[0]["close"].to_list() == [1.25, None]
    assert sorted(p.name for p in tmp_path.iterdir()) == ["x.csv", "x.csv.gz", "x.parquet"], (
        "a file written aside stayed"
    )


def test_a_table_without_a_price_or_with_text_in_it_is_refused(tmp_path):
    path = tmp_path / "bars.csv"
    path.write_text("symbol,date,price\nA,2024-01-02,1\n")
    with pytest.raises(DatasetError, match=r"lacks the columns \['close'\]") as caught:
        LongBarsDataset(filepath=str(path)).load()
    assert isinstance(caught.value.__cause__, FrameError)
    assert LongBarsDataset(filepath=str(path), rename={"price": "close"}).load()["close"].to_list() == [1.0]
    path.write_text("symbol,date,close\nA,2024-01-02,halted\n")
    with pytest.raises(DatasetError, match="column 'close' is not numeric"):
        LongBarsDataset(filepath=str(path)).load()
    with pytest.raises(ParameterError, match=r"got 'bars\.xlsx'; allowed: \.parquet"):
        LongTableDataset(filepath="bars.xlsx")


def test_a_market_series_needs_no_symbol(tmp_path):
    (tmp_path / "vix.csv").write_text("date,open,close\n2024-01-02,13,13.2\n")
    frame = LongTableDataset(
        filepath=str(tmp_path / "vix.csv"), columns=["date", "close"], rename={"close": "vix_close"}
    ).load()
    assert frame.to_dicts() == [{"session": date(2024, 1, 2), "vix_close": 13.2}]


def test_embedded_prices_pass_the_frame_contract_and_refuse_a_save():
    frame = EmbeddedPricesDataset(first_session="2013-01-01").load()
    check_panel(frame, name="embedded", required=["close"])
    assert frame["symbol"].n_unique() == 20
    assert frame["session"].min() == date(2013, 1, 2)
    index = EmbeddedIndexDataset(first_session=date(2013, 1, 1)).load()
    assert set(frame["session"]) <= set(index["session"])
    assert index["session"].is_sorted()
    with pytest.raises(DatasetError, match="read-only"):
        EmbeddedPricesDataset().save(frame)
    with pytest.raises(ParameterError, match="first_session is no day: got '2013'"):
        EmbeddedPricesDataset(first_session="2013")


def test_the_catalog_builds_them_and_shows_no_credentials(tmp_path):
    catalog = DataCatalog.from_config(
        {
            "bars": {
                "type": "conviction_kedro.datasets.LongBarsDataset",
                "filepath": "s3://b/x.parquet",
                "credentials": "c",
            },
            "closes": {"type": "conviction_kedro.datasets.EmbeddedPricesDataset", "first_session": "2020-01-01"},
        },
        credentials={"c": {"key": "AKIDEXAMPLE", "secret": "hushhush"}},
    )
    shown = f"{catalog['bars']!r} {catalog['bars']} {catalog}"
    assert "s3://b/x.parquet" in shown
    assert "hushhush" not in shown
    assert "AKIDEXAMPLE" not in shown
    assert catalog["closes"].load()["session"].min() == date(2020, 1, 2)


def test_real_prices_keep_every_row(market_dir):
    path = market_dir / "sp500_daily_2020_2024.parquet"
    frame = LongBarsDataset(filepath=str(path)).load()
    assert frame.height == pl.read_parquet(path).height
    assert frame["symbol"].n_unique() == 501
