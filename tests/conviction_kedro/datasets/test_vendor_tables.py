"""Catalog entries of vendors: a fetch asks once, a load asks nobody."""

from __future__ import annotations

import json
import os
import threading
from datetime import UTC, date, datetime, time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

import polars as pl
import pytest
from kedro.io import DataCatalog, DatasetError

from conviction.errors import ParameterError
from conviction_kedro.datasets import (
    CboeVixDataset,
    Fetchable,
    FlatFilesDataset,
    FredDataset,
    MassiveTableDataset,
    VixDataset,
)
from conviction_kedro.datasets._macro import _clock
from conviction_kedro.sources import SourceError

KEY = "VENDOR" + "KEY"


class Vendors:
    """Massive's tables of one page and FRED's observations, both at one address."""

    def __init__(self):
        self.tables, self.asked = {}, []
        vendors = self

        class Handler(BaseHTTPRequestHandler):
            def log_message(self, *_):
                pass

            def do_GET(self):
                parts = urlsplit(self.path)
                query = {name: values[0] for name, values in parse_qs(parts.query).items()}
                vendors.asked.append(parts.path)
                status, page = vendors.answer(parts.path, query, self.headers.get("Authorization"))
                body = json.dumps(page).encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)
                self.close_connection = True

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=lambda: self._server.serve_forever(poll_interval=0.02), daemon=True).start()
        self.address = f"http://127.0.0.1:{self._server.server_port}"

    def answer(self, path, query, header):
        if path == "/fred/series/observations":
            rows = self.tables.get(query["series_id"], [])
            return (200, {"count": len(rows), "observations": rows}) if query["api_key"] == KEY else (400, {})
        if header != f"Bearer {KEY}":
            return 401, {}
        if path.startswith("/v3/reference/tickers/"):
            found = self.tables["details"].get(path.rpartition("/")[2])
            return (200, {"status": "OK", "results": found}) if found else (404, {"status": "NOT_FOUND"})
        rows = self.tables.get(path, [])
        for name, value in query.items():
            field, _, test = name.rpartition(".")
            if test == "gte":
                rows = [row for row in rows if row[field] >= value]
            elif test in ("lt", "lte"):
                rows = [row for row in rows if row[field] < value or (test == "lte" and row[field] == value)]
        return 200, {"status": "OK", "results": rows}

    def stop(self):
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def vendors(monkeypatch):
    server = Vendors()
    monkeypatch.setenv("MASSIVE_API_KEY", KEY)
    monkeypatch.setenv("FRED_API_KEY", KEY)
    yield server
    server.stop()


@pytest.fixture
def entry(vendors, tmp_path):
    def make(table, **options):
        settings = {"first": "2023-12-15", "last": "2024-02-10", "vendor": {"base_url": vendors.address}, **options}
        return MassiveTableDataset(filepath=str(tmp_path / "massive"), table=table, **settings)

    return make


def article(identity, published, *tickers):
    return {
        "id": identity,
        "published_utc": published,
        "tickers": list(tickers),
        "insights": [{"ticker": tickers[0], "sentiment": "positive"}],
    }


def test_news_are_fetched_once_and_loaded_without_network_or_key(vendors, entry, monkeypatch):
    vendors.tables["/v2/reference/news"] = [
        article("a", "2023-12-14T23:59:59Z", "AAPL"),
        article("b", "2023-12-15T00:00:00Z", "AAPL", "NA"),
        article("c", "2024-02-10T23:59:59Z", "BRK.B"),
        article("d", "2024-02-11T00:00:00Z", "AAPL"),
    ]
    dataset = entry("news", news_delay_minutes=15)
    with pytest.raises(DatasetError, match=r"is not there whole: got nothing.*kedro fetch"):
        dataset.load()
    assert not dataset.exists()
    assert vendors.asked == []
    assert dataset.fetch().startswith("news 2023-12-15 to 2024-02-10: 3 rows of 4 records on 3 pages")
    monkeypatch.delenv("MASSIVE_API_KEY")
    asked = len(vendors.asked)
    frame = dataset.load()
    assert dataset.exists()
    assert len(vendors.asked) == asked == 3
    assert frame.select("symbol", "known_at", "score").rows() == [
        ("AAPL", datetime(2023, 12, 15, 0, 15, tzinfo=UTC), 1.0),
        ("BRK-B", datetime(2024, 2, 11, 0, 14, 59, tzinfo=UTC), 1.0),
        ("NA", datetime(2023, 12, 15, 0, 15, tzinfo=UTC), None),
    ]
    with pytest.raises(ParameterError, match="MASSIVE_API_KEY"):
        dataset.fetch()


def test_a_span_inside_what_was_fetched_loads_and_one_beyond_does_not(vendors, entry):
    vendors.tables["/v3/reference/splits"] = [
        {"id": str(y), "ticker": "A", "execution_date": f"{y}-06-01", "split_from": 1, "split_to": 2}
        for y in range(2020, 2026)
    ]
    entry("splits", first="2021-01-01", last="2023-12-31").fetch()
    assert len(vendors.asked) == 3
    assert entry("splits", first="2021-07-01", last="2023-06-01").load()["execution_date"].to_list() == [
        date(2022, 6, 1),
        date(2023, 6, 1),
    ]
    with pytest.raises(DatasetError, match="splits/2024 is not there whole"):
        entry("splits", first="2021-07-01", last="2024-06-01").load()
    entry("splits", first="2021-01-01", last="2024-06-01").fetch()
    assert len(vendors.asked) == 4


def test_a_ticker_unknown_to_the_vendor_is_remembered(vendors, entry):
    vendors.tables["details"] = {"AAPL": {"ticker": "AAPL", "name": "Apple"}}
    dataset = entry("ticker_details", tickers=["AAPL", "GONE"])
    assert "unknown to the vendor: GONE" in dataset.fetch()
    assert "unknown to the vendor: GONE" in dataset.fetch()
    assert len(vendors.asked) == 2
    assert dataset.load().select("symbol", "as_of", "name").rows() == [("AAPL", date(2024, 2, 10), "Apple")]


def test_wrong_options_are_refused_when_the_catalog_is_read(entry):
    with pytest.raises(ParameterError, match="did you mean 'dividends'"):
        entry("dividend")
    for table, options in (("ticker_details", {}), ("splits", {"tickers": ["A"]})):
        with pytest.raises(ParameterError, match="tickers do not fit"):
            entry(table, **options)
    with pytest.raises(ParameterError, match="a day of the catalog"):
        entry("news", first="2024")
    with pytest.raises(DatasetError, match="read-only"):
        entry("news").save(pl.DataFrame())


def test_credentials_come_from_kedro_and_show_nowhere(vendors, tmp_path, monkeypatch):
    monkeypatch.delenv("MASSIVE_API_KEY")
    vendor = {"base_url": vendors.address, "credentials": "massive"}
    config = {
        "news": {
            "type": "conviction_kedro.datasets.MassiveTableDataset",
            "filepath": str(tmp_path / "m"),
            "table": "news",
            "first": "2024-01-01",
            "last": "2024-01-31",
            "vendor": vendor,
        }
    }
    catalog = DataCatalog.from_config(config, credentials={"massive": {"key": KEY}})
    assert "0 rows" in catalog["news"].fetch()
    assert KEY not in f"{catalog['news']!r}{catalog['news']}{catalog}"


OBSERVATIONS = [
    {"date": "2024-01-01", "realtime_start": "2024-02-02", "realtime_end": "2024-03-07", "value": "3.7"},
    {"date": "2024-01-01", "realtime_start": "2024-03-08", "realtime_end": "9999-12-31", "value": "3.8"},
]


def test_macro_series_are_fetched_into_one_file(vendors, tmp_path):
    vendors.tables |= {"UNRATE": OBSERVATIONS, "GDP": OBSERVATIONS[:1]}
    series = {"UNRATE": {"release_time": "08:30"}, "GDP": None}
    options = {"filepath": str(tmp_path / "raw/macro.parquet"), "vendor": {"base_url": vendors.address}}
    dataset = FredDataset(series=series, **options)
    with pytest.raises(DatasetError, match="macro series are not there"):
        dataset.load()
    assert dataset.fetch().startswith("2 series of FRED: 3 releases")
    assert dataset.load().select("series", "known_at", "value").rows() == [
        ("UNRATE", datetime(2024, 2, 2, 13, 30, tzinfo=UTC), 3.7),
        ("UNRATE", datetime(2024, 3, 8, 13, 30, tzinfo=UTC), 3.8),
        ("GDP", datetime(2024, 2, 3, 5, 0, tzinfo=UTC), 3.7),
    ]
    assert FredDataset(series={"GDP": None}, **options).load().height == 1
    with pytest.raises(DatasetError, match=r"without \['CPIAUCSL'\]"):
        FredDataset(series={"CPIAUCSL": None}, **options).load()
    with pytest.raises(ParameterError, match="unknown options"):
        FredDataset(series={"GDP": {"release": "08:30"}}, **options)


@pytest.mark.parametrize(("value", "expected"), [("08:30", time(8, 30)), ("16:15", time(16, 15)), (975, time(16, 15))])
def test_a_release_time_survives_the_numbers_of_yaml(value, expected):
    assert _clock("X", value) == expected


def test_a_release_time_that_is_none_is_refused():
    with pytest.raises(ParameterError, match="release time of X"):
        _clock("X", "half past eight")


def test_the_vix_is_an_entry_of_its_own(tmp_path):
    (tmp_path / "VIX_History.csv").write_text("DATE,OPEN,HIGH,LOW,CLOSE\n07/03/2024,1,1,1,12.09\n")
    dataset = VixDataset(filepath=str(tmp_path / "VIX_History.csv"))
    assert dataset.load().columns == ["session", "close", "known_at"]
    (tmp_path / "VIX_History.csv").write_text("a,b\n1,2\n")
    with pytest.raises(DatasetError, match=r"VIX_History\.csv has no day"):
        dataset.load()


def test_the_vix_is_fetched_from_cboe_and_a_bad_answer_leaves_the_file(tmp_path):
    history = b"DATE,OPEN,HIGH,LOW,CLOSE\n07/02/2024,1,1,1,12.03\n07/03/2024,1,1,1,12.09\n"
    asked = []

    class Cboe(BaseHTTPRequestHandler):
        def log_message(self, *_):
            pass

        def do_GET(self):
            asked.append((self.path, self.headers.get("Authorization")))
            body = history if len(asked) == 1 else b"<html>maintenance</html>"
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    with ThreadingHTTPServer(("127.0.0.1", 0), Cboe) as server:
        threading.Thread(target=lambda: server.serve_forever(poll_interval=0.02), daemon=True).start()
        address = f"http://127.0.0.1:{server.server_port}"
        dataset = CboeVixDataset(filepath=str(tmp_path / "VIX.csv"), required=False, vendor={"base_url": address})
        assert isinstance(dataset, Fetchable)
        assert dataset.load().is_empty()
        assert dataset.fetch() == "2 closes of the VIX, 2024-07-02 to 2024-07-03"
        assert asked == [("/api/global/us_indices/daily_prices/VIX_History.csv", None)]
        with pytest.raises(SourceError, match="no day or no close"):
            dataset.fetch()
        server.shutdown()
    assert dataset.load()["close"].to_list() == [12.03, 12.09]


def test_what_can_be_fetched_says_so(entry, tmp_path):
    flat = FlatFilesDataset(
        filepath="x", market="stocks", granularity="day", first_session="2024-01-02", last_session="2024-01-03"
    )
    assert isinstance(entry("news"), Fetchable)
    assert isinstance(flat, Fetchable)
    assert not isinstance(VixDataset(filepath="x.csv"), Fetchable)
    assert issubclass(SourceError, Exception)
    assert "MASSIVE_S3_KEY" not in os.environ
    with pytest.raises(ParameterError, match="MASSIVE_S3_KEY"):
        flat.fetch()


def test_what_is_not_required_may_be_absent_and_says_so(entry, tmp_path, caplog):
    for table, columns in (("news", 7), ("splits", 4), ("dividends", 9)):
        frame = entry(table, required=False).load()
        assert (frame.height, frame.width) == (0, columns)
    assert entry("ticker_details", tickers=["A"], required=False).load().is_empty()
    macro = FredDataset(filepath=str(tmp_path / "none.parquet"), series={"GDP": None}, required=False).load()
    assert macro.columns == ["series", "reference_date", "known_at", "value", "revision"]
    assert "no news were fetched" in caplog.text
    assert "no macro series were fetched" in caplog.text
    vix = VixDataset(filepath=None)
    assert vix.exists()
    assert vix.load().is_empty()


def test_what_was_fetched_in_part_is_no_absence(vendors, entry):
    vendors.tables["/v3/reference/splits"] = []
    entry("splits", first="2023-01-01", last="2023-12-31").fetch()
    with pytest.raises(DatasetError, match="splits/2024 is not there whole"):
        entry("splits", required=False).load()
