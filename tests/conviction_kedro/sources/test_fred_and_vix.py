"""Macro values and the VIX: known from their release on, and not an hour before."""

from __future__ import annotations

import json
import threading
from datetime import UTC, date, datetime, time, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit
from zoneinfo import ZoneInfo

import polars as pl
import pytest

from conviction.panel import add_macro, build_panel
from conviction_kedro.sources import FredRest, Secret, SourceError, read_vix, releases_frame

NY = ZoneInfo("America/New_York")
# Period, day of release, value: three months, one revised twice, one release day with two news.
TRUTH = [
    ("2024-01-01", "2024-02-13", "1.0"),
    ("2024-02-01", "2024-03-12", "2.0"),
    ("2024-01-01", "2024-03-12", "1.1"),
    ("2024-03-01", "2024-04-10", "."),
    ("2024-03-01", "2024-04-15", "3.0"),
    ("2024-01-01", "2025-02-12", "1.2"),
]


class Fred:
    """Answers like FRED: rows of the vintages of a real-time period, clipped to it, by offset and limit."""

    def __init__(self):
        self.asked, self.faults, self.most_vintages = [], {}, 10**6
        fred = self

        class Handler(BaseHTTPRequestHandler):
            def log_message(self, *_):
                pass

            def do_GET(self):
                query = {k: v[0] for k, v in parse_qs(urlsplit(self.path).query).items()}
                kind = fred.faults.get(len(fred.asked))
                fred.asked.append(query)
                status, body = fred.answer(query, kind)
                self.send_response(status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)
                self.close_connection = True

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=lambda: self._server.serve_forever(poll_interval=0.02), daemon=True).start()
        self.address = f"http://127.0.0.1:{self._server.server_port}"

    def answer(self, query, kind):
        if kind == "500":
            return 500, b"{}"
        if query.get("api_key") != "FREDKEY":
            return (
                400,
                b'{"error_code":400,"error_message":"Bad Request. The value for variable api_key is not registered."}',
            )
        start, end = query["realtime_start"], query["realtime_end"]
        rows = []
        for period in sorted({p for p, _, _ in TRUTH}):
            vintages = [(r, v) for p, r, v in TRUTH if p == period]
            for i, (released, value) in enumerate(vintages):
                until = vintages[i + 1][0] if i + 1 < len(vintages) else "9999-12-31"
                if released <= end and until > start:
                    rows.append(
                        {"realtime_start": max(released, start), "realtime_end": until, "date": period, "value": value}
                    )
        if len({row["realtime_start"] for row in rows}) > self.most_vintages:
            return 400, b'{"error_message":"Bad Request. This exceeds the maximum number of vintage dates allowed"}'
        offset, limit = int(query["offset"]), int(query["limit"])
        page = rows[offset : offset + limit]
        if kind == "short":
            page = page[:-1]
        return 200, json.dumps({"count": len(rows), "offset": offset, "limit": limit, "observations": page}).encode()

    def stop(self):
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def fred(retry):
    server = Fred()
    server.rest = FredRest(key=Secret("FREDKEY"), base_url=server.address, retry=retry)
    yield server
    server.rest.client.close()
    server.stop()


def midnight_after(day):
    return datetime.combine(date.fromisoformat(day) + timedelta(days=1), time(), tzinfo=NY)


EXPECTED = [
    (date.fromisoformat(period), midnight_after(released), float(value))
    for period, released, value in sorted(TRUTH, key=lambda row: (row[1], row[0]))
    if value != "."
]


@pytest.mark.parametrize("page_size", [100, 4, 1])
def test_every_vintage_is_an_event_known_from_the_end_of_its_release_day(fred, page_size):
    fred.rest.page_size = page_size
    frame = fred.rest.releases("CPI")
    assert frame.select("reference_date", "known_at", "value").rows() == EXPECTED
    assert frame["revision"].to_list() == [0, 1, 0, 0, 2]
    assert frame["series"].unique().to_list() == ["CPI"]


def test_a_known_time_of_day_is_new_york_time_in_summer_and_winter(fred):
    known = fred.rest.releases("CPI", release_time=time(8, 30))["known_at"].to_list()
    assert known[0] == datetime(2024, 2, 13, 13, 30, tzinfo=UTC)
    assert known[3] == datetime(2024, 4, 15, 12, 30, tzinfo=UTC)


@pytest.mark.parametrize("years", [1, 2, 7])
def test_vintages_asked_for_in_pieces_give_the_same_events(fred, years):
    fred.most_vintages = 5
    whole = fred.rest.releases("CPI")
    fred.most_vintages = 4
    with pytest.raises(SourceError, match="maximum number of vintage dates"):
        fred.rest.releases("CPI")
    if years == 1:
        pieces = fred.rest.releases("CPI", vintage_years=years, last_vintage=date(2026, 1, 1))
        assert pieces.equals(whole)
    fred.most_vintages = 6
    assert fred.rest.releases("CPI", vintage_years=years, last_vintage=date(2026, 1, 1)).equals(whole)


def test_cut_and_broken_pages_are_repeated(fred, retry):
    fred.rest.page_size = 2
    fred.faults = {0: "500", 1: "short", 3: "short"}
    assert fred.rest.releases("CPI").height == 5
    assert len(retry.waits) == 3


def test_a_page_that_stays_short_and_a_wrong_key_are_errors(fred, retry):
    fred.faults = dict.fromkeys(range(9), "short")
    with pytest.raises(SourceError, match="5 rows of 6, after 4 of 4 attempts"):
        fred.rest.releases("CPI")
    rest = FredRest(key=Secret("OTHERKEY"), base_url=fred.address, retry=retry)
    with pytest.raises(SourceError, match="api_key is not registered") as caught:
        rest.releases("CPI")
    rest.client.close()
    assert "OTHERKEY" not in str(caught.value)


def test_a_withdrawn_value_is_an_event_and_a_missing_first_one_is_none():
    rows = [("2024-02-01", "."), ("2024-03-01", "1.5"), ("2024-04-01", "."), ("2024-05-01", "."), ("2024-06-01", "1.5")]
    frame = releases_frame("X", [{"date": "2024-01-01", "realtime_start": day, "value": value} for day, value in rows])
    assert frame["value"].to_list() == [1.5, None, 1.5]
    assert [moment.month for moment in frame["known_at"]] == [3, 4, 6]


def test_a_panel_never_sees_a_release_before_its_time(fred):
    releases = fred.rest.releases("CPI", release_time=time(16, 30))
    decisions = [datetime(2024, 3, d, 16, tzinfo=NY).astimezone(UTC) for d in (11, 12, 13)]
    panel = pl.DataFrame({"symbol": ["A"] * 3, "decision_at": decisions}).with_columns(
        pl.col("decision_at").cast(pl.Datetime("us", "UTC"))
    )
    joined = add_macro(panel, releases, series="series", known_at="known_at", period="reference_date", value="value")
    assert joined["macro_cpi"].to_list() == [1.0, 1.0, 2.0]


VIX = [(date(2024, 7, 2), 12.03), (date(2024, 7, 3), 12.09), (date(2024, 7, 5), 12.48)]


@pytest.mark.parametrize(
    "text",
    [
        "DATE,OPEN,HIGH,LOW,CLOSE\n07/05/2024,1,1,1,12.48\n07/02/2024,1,1,1,12.03\n07/03/2024,1,1,1,12.09\n",
        "observation_date,VIXCLS\n2024-07-02,12.03\n2024-07-03,12.09\n2024-07-04,\n2024-07-05,12.48\n",
        "DATE,VIXCLS\n2024-07-02,12.03\n2024-07-03,12.09\n2024-07-04,.\n2024-07-05,12.48\n",
        "date,open,high,low,close\n2024-07-02,1,1,1,12.03\n2024-07-03,1,1,1,12.09\n2024-07-05,1,1,1,12.48\n2024-07-06,1,1,1,9\n",
    ],
)
def test_every_known_spelling_of_the_vix_is_read(text):
    frame = read_vix(text.encode())
    assert frame.select("session", "close").rows() == VIX
    closes = [datetime(2024, 7, 2, 20, 15), datetime(2024, 7, 3, 17, 15), datetime(2024, 7, 5, 20, 15)]  # noqa: DTZ001
    assert frame["known_at"].to_list() == [moment.replace(tzinfo=UTC) for moment in closes]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("day,close\n2024-07-02,1\n", "no day or no close"),
        ("date,close\n2024-07-02,1\n2024-07-02,2\n", "2 rows that cannot be read or stand twice"),
        ("date,close\n2024-07-02,n/a\n", r"1 rows .*\('2024-07-02', 'n/a'\)"),
        ("date,close\n2024-07-02,-1\n", "1 rows"),
        ("date,close\n31/07/2024,1\n", "1 rows"),
    ],
)
def test_a_bad_vix_file_is_refused(text, message):
    with pytest.raises(SourceError, match=message):
        read_vix(text.encode())


def test_at_the_close_the_panel_knows_yesterdays_vix_only():
    days = [date(2024, 7, 2), date(2024, 7, 3), date(2024, 7, 5)]
    bars = pl.DataFrame({"symbol": ["A"] * 3, "session": days, "close": [1.0, 2.0, 3.0]})
    vix = read_vix("".join(["date,close\n", *(f"{d},{v}\n" for d, v in VIX)]).encode())
    at_close = build_panel(bars, calendar="XNYS", decision="close", market=None, vix=vix, membership=None)
    assert at_close["vix_close"].to_list() == [None, 12.03, 12.09]
    later = build_panel(bars, calendar="XNYS", decision="before_next_open", market=None, vix=vix, membership=None)
    assert later["vix_close"].to_list() == [12.03, 12.09, 12.48]
