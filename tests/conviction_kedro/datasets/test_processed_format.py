"""The processed format: what was written is what is read, symbol by symbol, and no bad file slips in."""

from __future__ import annotations

import csv
from datetime import date

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from kedro.io import DatasetError

from conviction_kedro.datasets import ProcessedFormatDataset

DAYS = [date(2024, 1, 2), date(2024, 1, 3), date(2024, 1, 4)]
HEADER = "date,open,high,low,close,volume,rsi_14,target_1d,direction\n"


def frame_of(symbols=("AAPL", "BRK-B", "NA", "TRUE")) -> pl.DataFrame:
    rows = [
        {
            "symbol": s,
            "session": day,
            "target_10d": None,
            "direction": None if i == 2 else i % 2,
            "close": 10.0 + i + 0.1,
            "quality_score": -1e-17 * i,
            "target_1d": [0.1 / 3, -0.2, None][i],
            "open": 10.0 + i,
        }
        for s in symbols
        for i, day in enumerate(DAYS)
    ]
    schema = {"direction": pl.Int8, "target_10d": pl.Float64, "target_1d": pl.Float64}
    return pl.DataFrame(rows, schema_overrides=schema).sort("symbol", "session")


def test_what_was_written_is_what_is_read_to_the_last_bit(tmp_path):
    frame = frame_of()
    dataset = ProcessedFormatDataset(filepath=str(tmp_path / "processed"))
    assert not dataset.exists()
    dataset.save(frame)
    assert dataset.exists()
    loaded = dataset.load()
    assert loaded.select(frame.columns).equals(frame)
    assert loaded["symbol"].unique(maintain_order=True).to_list() == ["AAPL", "BRK-B", "NA", "TRUE"]


def test_the_files_look_as_the_team_knows_them(tmp_path):
    ProcessedFormatDataset(filepath=str(tmp_path)).save(frame_of())
    assert sorted(p.name for p in tmp_path.iterdir()) == [f"{s}_features.csv" for s in ("AAPL", "BRK-B", "NA", "TRUE")]
    with (tmp_path / "BRK-B_features.csv").open() as handle:
        rows = list(csv.DictReader(handle))
    assert list(rows[0]) == ["date", "open", "close", "quality_score", "target_1d", "target_10d", "direction"]
    assert [row["date"] for row in rows] == ["2024-01-02", "2024-01-03", "2024-01-04"]
    assert (rows[1]["direction"], rows[2]["direction"], rows[2]["target_1d"]) == ("1", "", "")


def test_a_smaller_universe_leaves_no_stale_symbol(tmp_path):
    dataset = ProcessedFormatDataset(filepath=str(tmp_path))
    dataset.save(frame_of(("AAPL", "MSFT")))
    (tmp_path / "notes.txt").write_text("keep me")
    dataset.save(frame_of(("MSFT",)))
    assert dataset.load()["symbol"].unique().to_list() == ["MSFT"]
    assert (tmp_path / "notes.txt").exists()


def test_row_order_duplicates_and_missing_spellings_of_a_foreign_file_survive(tmp_path):
    rows = "2024-01-03,1,1,1,2,,NA,nan,0\n2024-01-02,1,1,1,1.5,7,50,-inf,1\n2024-01-02,1,1,1,1.5,7,50,0.1,1\n"
    (tmp_path / "NA_features.csv").write_text(HEADER + rows)
    frame = ProcessedFormatDataset(filepath=str(tmp_path)).load()
    assert frame["session"].to_list() == [date(2024, 1, 3), date(2024, 1, 2), date(2024, 1, 2)]
    assert frame["rsi_14"].to_list() == [None, 50.0, 50.0]
    assert frame["target_1d"].to_list() == [None, float("-inf"), 0.1]
    assert frame.schema["direction"] == pl.Int8
    assert frame.schema["volume"] == pl.Float64


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (HEADER.replace("date", "when") + "2024-01-02,1,1,1,1,1,1,1,1\n", "AAPL_features.csv has no date"),
        (
            HEADER + "2024-01-02,1,1,1,halted,1,1,1,1\n",
            "AAPL_features.csv: column 'close' has 1 values that are no numbers: got 'halted'",
        ),
        (HEADER + "2024-01-02 16:00:00,1,1,1,1,1,1,1,1\n", "AAPL_features.csv: column 'date' has 1 values"),
        (HEADER + "2024-01-02,1,1,1,1,1,1,1,1,9,9\n", "AAPL_features.csv cannot be read as CSV"),
        (
            "symbol," + HEADER + "MSFT,2024-01-02,1,1,1,1,1,1,1,1\n",
            "AAPL_features.csv has rows of another symbol: got MSFT",
        ),
        ("", "AAPL_features.csv cannot be read as CSV"),
    ],
)
def test_a_bad_file_is_named_with_its_column_and_value(tmp_path, content, message):
    (tmp_path / "AAPL_features.csv").write_text(content)
    with pytest.raises(DatasetError, match=message):
        ProcessedFormatDataset(filepath=str(tmp_path)).load()


def test_text_and_different_columns_pass_only_where_allowed(tmp_path):
    (tmp_path / "A_features.csv").write_text("date,close,regime\n2024-01-02,1,calm\n")
    (tmp_path / "B_features.csv").write_text("date,close,beta\n2024-01-02,1,0.5\n")
    with pytest.raises(DatasetError, match=r"no numbers: got 'calm'"):
        ProcessedFormatDataset(filepath=str(tmp_path)).load()
    with pytest.raises(DatasetError, match=r"2 columns in only one of them, first \['beta', 'regime'\]"):
        ProcessedFormatDataset(filepath=str(tmp_path), text_columns=["regime"]).load()
    frame = ProcessedFormatDataset(filepath=str(tmp_path), text_columns=["regime"], allow_different_columns=True).load()
    assert frame.to_dicts() == [
        {"symbol": "A", "session": DAYS[0], "close": 1.0, "regime": "calm", "beta": None},
        {"symbol": "B", "session": DAYS[0], "close": 1.0, "regime": None, "beta": 0.5},
    ]


def test_a_universe_is_whole_or_an_error(tmp_path):
    ProcessedFormatDataset(filepath=str(tmp_path)).save(frame_of(("AAPL", "MSFT")))
    with pytest.raises(DatasetError, match=r"1 symbols have no file in .*: got TSLA"):
        ProcessedFormatDataset(filepath=str(tmp_path), symbols=["MSFT", "TSLA"]).load()
    some = ProcessedFormatDataset(filepath=str(tmp_path), symbols=["MSFT", "TSLA"], allow_missing=True).load()
    assert some["symbol"].unique().to_list() == ["MSFT"]
    with pytest.raises(DatasetError, match=r"no {SYMBOL}_features\.csv in"):
        ProcessedFormatDataset(filepath=str(tmp_path / "nothing")).load()


def test_an_interrupted_save_does_not_load(tmp_path, monkeypatch):
    dataset = ProcessedFormatDataset(filepath=str(tmp_path))
    dataset.save(frame_of(("AAPL", "MSFT")))
    written = []
    write = dataset._storage.write

    def dying(name, data):
        if len(written) == 2:
            raise KeyboardInterrupt
        written.append(name)
        write(name, data)

    monkeypatch.setattr(dataset._storage, "write", dying)
    with pytest.raises(KeyboardInterrupt):
        dataset.save(frame_of(("AAPL", "MSFT")))
    monkeypatch.undo()
    with pytest.raises(DatasetError, match="was being saved when its writer stopped"):
        dataset.load()
    dataset.save(frame_of(("AAPL", "MSFT")))
    assert dataset.load().height == 6


@pytest.mark.parametrize("symbol", ["../x", "a/b", "", ".hidden", "A B"])
def test_a_symbol_that_is_no_file_name_is_not_written(tmp_path, symbol):
    with pytest.raises(DatasetError, match="cannot be file names"):
        ProcessedFormatDataset(filepath=str(tmp_path / "x")).save(frame_of((symbol,)))
    assert not (tmp_path / "x").exists()


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    values=st.lists(st.none() | st.floats(allow_nan=False, width=64), min_size=1, max_size=30),
    symbol=st.from_regex(r"[A-Z0-9^=][A-Z0-9.^=_-]{0,6}", fullmatch=True),
)
def test_any_numbers_of_any_symbol_come_back(tmp_path_factory, values, symbol):
    days = pl.date_range(date(2020, 1, 1), date(2020, 1, 30), eager=True).head(len(values))
    data = {"symbol": [symbol] * len(values), "session": days, "factor_07": pl.Series(values, dtype=pl.Float64)}
    dataset = ProcessedFormatDataset(filepath=str(tmp_path_factory.mktemp("any")))
    dataset.save(pl.DataFrame(data))
    assert dataset.load().equals(pl.DataFrame(data))
