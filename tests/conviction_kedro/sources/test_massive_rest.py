"""The vendor's REST service: whatever goes wrong on the way, every record arrives once, or the failure has a name."""

from __future__ import annotations

import email.utils
import json
import logging
import os
import signal
import subprocess
import sys
import textwrap
import time
from datetime import UTC, date, datetime, timedelta

import polars as pl
import pytest

from conviction_kedro.sources import (
    Counts,
    JsonClient,
    MassiveRest,
    RetryPolicy,
    Secret,
    SourceError,
    Storage,
    news_frame,
    splits_frame,
    workspace_symbol,
)

# fixtures are arguments

NEWS, SPLITS, DIVIDENDS, TICKERS = (
    f"/{v}/reference/{n}" for v, n in (("v2", "news"), ("v3", "splits"), ("v3", "dividends"), ("v3", "tickers"))
)
FIRST, LAST = date(2024, 1, 1), date(2024, 1, 31)


def articles(count, *, start=datetime(2024, 1, 1, tzinfo=UTC), step=timedelta(minutes=17)):
    """Return articles in the vendor's documented shape, some without insights, one about a ticker named NA."""
    made = []
    for i in range(count):
        article = {
            "id": f"{i:05d}",
            "publisher": {"name": "The Wire", "homepage_url": "https://example.org"},
            "title": f"Title {i}",
            "author": "A. Writer",
            "published_utc": (start + i * step).strftime("%Y-%m-%dT%H:%M:%SZ"),
            "article_url": f"https://example.org/{i}",
            "tickers": ["AAPL", "BRK.B"] if i % 2 else ["NA"],
            "keywords": ["results"],
        }
        if i % 3:
            article["insights"] = [
                {
                    "ticker": article["tickers"][0],
                    "sentiment": ["positive", "neutral", "negative"][i % 3 - 1],
                    "sentiment_reasoning": "x",
                }
            ]
        made.append(article)
    return made


@pytest.fixture
def vendor(vendor_rest):
    vendor_rest.tables[NEWS] = articles(95)
    return vendor_rest


@pytest.fixture
def make_rest(vendor_rest, tmp_path, retry):
    made = []

    def make(now=datetime(2024, 6, 1, tzinfo=UTC), **options):
        place = options.pop("storage", None) or Storage(tmp_path / "rest")
        rest = MassiveRest(
            key=Secret(vendor_rest.KEY),
            storage=place,
            base_url=vendor_rest.address,
            retry=retry,
            clock=lambda: now,
            **options,
        )
        made.append(rest)
        return rest

    yield make
    for rest in made:
        rest.client.close()


def expected_news(records):
    """The same frame by a slow, obvious loop."""
    rows = []
    for record in records:
        said = {i["ticker"]: i["sentiment"] for i in record.get("insights", [])}
        for ticker in record["tickers"]:
            score = {"positive": 1.0, "neutral": 0.0, "negative": -1.0}.get(said.get(ticker))
            rows.append(
                (workspace_symbol(ticker), datetime.fromisoformat(record["published_utc"]), record["id"], score)
            )
    return sorted(rows, key=lambda row: row[:3])


def test_all_pages_are_read_and_counted(vendor, make_rest):
    table = make_rest().news(FIRST, LAST)
    assert table.total() == Counts(pages=10, received=95, duplicates=0, updated=0, kept=95)
    assert table.frame.select("symbol", "known_at", "article_id", "score").rows() == expected_news(vendor.tables[NEWS])
    assert table.frame.schema["known_at"] == pl.Datetime("us", "UTC")


FAULTS = {
    "busy with a wait": {2: ("429", 7)},
    "busy without a wait": {2: ("429", None)},
    "broken": {0: ("500", None), 5: ("500", None), 6: ("500", None)},
    "cut body": {3: ("cut", None)},
    "not decodable": {3: ("garbage", None), 4: ("garbage", None)},
    "page shorter than its count": {3: ("short", 4)},
    "empty page that counts ten": {9: ("short", 0)},
    "duplicates across pages": {3: ("overlap", 4), 7: ("overlap", 1)},
    "everything at once": {
        0: ("429", 1),
        2: ("cut", None),
        4: ("garbage", None),
        6: ("short", 1),
        8: ("500", None),
        9: ("overlap", 3),
    },
}


@pytest.mark.parametrize("faults", FAULTS.values(), ids=FAULTS)
def test_nothing_is_lost_or_doubled_whatever_fails(vendor, make_rest, retry, faults):
    vendor.faults = dict(faults)
    table = make_rest().news(FIRST, LAST)
    repeated = sum(n for kind, n in faults.values() if kind == "overlap")
    failed = sum(kind != "overlap" for kind, _ in faults.values())
    assert table.total() == Counts(pages=10, received=95 + repeated, duplicates=repeated, updated=0, kept=95)
    assert table.frame.select("symbol", "known_at", "article_id", "score").rows() == expected_news(vendor.tables[NEWS])
    assert len(vendor.asked) == 10 + failed
    assert len(retry.waits) == failed


def test_the_wait_the_vendor_asks_for_is_kept(vendor, make_rest, retry):
    vendor.faults = {
        1: ("429", 7),
        2: ("429", email.utils.format_datetime(datetime.now(UTC) + timedelta(seconds=90), usegmt=True)),
    }
    make_rest().news(FIRST, LAST)
    assert retry.waits[0] == 7.0
    assert 80 < retry.waits[1] <= 90


def test_a_wait_of_an_hour_is_an_error_and_not_a_silence(vendor, make_rest, retry):
    vendor.faults = {1: ("429", 3600)}
    with pytest.raises(SourceError, match="asks to wait 3600 s"):
        make_rest().news(FIRST, LAST)
    assert retry.waits == []


@pytest.mark.parametrize("kind", ["500", "cut", "garbage", "short"])
def test_a_page_that_never_comes_is_named_and_the_next_call_goes_on_behind_it(vendor, make_rest, kind):
    vendor.faults = dict.fromkeys(range(4, 200), (kind, 3))
    rest = make_rest()
    with pytest.raises(SourceError, match="after 4 of 4 attempts"):
        rest.news(FIRST, LAST)
    asked = len(vendor.asked)
    vendor.faults = {}
    table = make_rest().news(FIRST, LAST)
    assert len(vendor.asked) - asked == 6, "stored pages were asked for again"
    assert table.total() == Counts(pages=10, received=95, duplicates=0, updated=0, kept=95)


def test_a_changed_article_is_kept_in_its_later_form(vendor, make_rest):
    later = {**vendor.tables[NEWS][3], "title": "Corrected"}
    vendor.tables[NEWS].insert(40, later)
    table = make_rest().news(FIRST, LAST)
    assert table.total() == Counts(pages=10, received=96, duplicates=0, updated=1, kept=95)
    assert table.frame.filter(pl.col("article_id") == "00003")["title"].unique().to_list() == ["Corrected"]


def test_a_wrong_key_is_refused_at_once_and_not_shown(vendor, tmp_path, retry, caplog):
    caplog.set_level(logging.DEBUG)
    wrong = "WRONG" + "KEY"
    rest = MassiveRest(key=Secret(wrong), storage=Storage(tmp_path), base_url=vendor.address, retry=retry)
    with pytest.raises(SourceError, match=r"HTTP 401: .*Unknown API Key") as caught:
        rest.news(FIRST, LAST)
    rest.client.close()
    assert retry.waits == []
    assert wrong not in caplog.text + str(caught.value) + repr(rest)


def test_the_key_is_in_no_address_log_file_or_message(vendor, make_rest, tmp_path, caplog):
    caplog.set_level(logging.DEBUG)
    vendor.faults = {2: ("500", None), 4: ("cut", None)}
    rest = make_rest()
    rest.news(FIRST, LAST)
    stored = "".join(p.read_text() for p in tmp_path.rglob("*.json"))
    assert '"pages": 10' in stored
    for text in (caplog.text, stored, repr(rest), *vendor.asked):
        assert vendor.KEY not in text


def test_a_key_that_the_vendor_puts_into_an_address_is_not_stored(vendor, make_rest, tmp_path, monkeypatch):
    page = vendor.page
    monkeypatch.setattr(
        vendor,
        "page",
        lambda *a, **k: {**(p := page(*a, **k)), "next_url": p.get("next_url", "") + "&apiKey=" + vendor.KEY},
    )
    vendor.faults = dict.fromkeys(range(2, 9), ("400", None))
    with pytest.raises(SourceError, match="HTTP 400"):
        make_rest().news(FIRST, LAST)
    stored = "".join(p.read_text() for p in tmp_path.rglob("*.json"))
    assert "cursor=20" in stored
    assert vendor.KEY not in stored


def test_a_key_in_a_query_is_masked_in_logs_and_errors(vendor_rest, retry, caplog):
    """FRED takes its key in the address only."""
    caplog.set_level(logging.DEBUG)
    client = JsonClient(vendor_rest.address, Secret("QUERYKEY"), key_parameter="api_key", retry=retry)
    with pytest.raises(SourceError) as caught:
        client.get("/fred/series", {"series_id": "GDP"})
    client.close()
    assert "api_key=QUERYKEY" in vendor_rest.asked[0]
    dead = JsonClient("http://127.0.0.1:9", Secret("QUERYKEY"), key_parameter="api_key", retry=retry)
    with pytest.raises(SourceError, match="NewConnectionError") as unreachable:
        dead.get("/fred/series")
    chain = unreachable.value.__cause__
    assert "api_key=**********" in caplog.text
    for text in (caplog.text, str(caught.value), str(unreachable.value), repr(chain), repr(chain.__cause__)):
        assert "QUERYKEY" not in text


def test_the_key_goes_to_no_other_host(vendor, make_rest, monkeypatch):
    page = vendor.page
    monkeypatch.setattr(vendor, "page", lambda *a, **k: {**page(*a, **k), "next_url": "http://127.0.0.2:1/steal"})
    with pytest.raises(SourceError, match=r"points to another host.*got http://127\.0\.0\.2:1"):
        make_rest().news(FIRST, LAST)


def test_pages_that_go_round_in_a_circle_end(vendor, make_rest, monkeypatch):
    page = vendor.page
    circle = f"{vendor.address}{NEWS}?cursor=10"
    monkeypatch.setattr(vendor, "page", lambda *a, **k: {**page(*a, **k), "next_url": circle})
    with pytest.raises(SourceError, match="points back to a page already read"):
        make_rest().news(FIRST, LAST)
    assert len(vendor.asked) == 2


def test_a_settled_month_is_not_asked_for_again_and_a_growing_one_is(vendor, make_rest):
    make_rest(now=datetime(2024, 1, 31, 12, tzinfo=UTC)).news(FIRST, LAST)
    vendor.tables[NEWS] = articles(120)
    asked = len(vendor.asked)
    grown = make_rest(now=datetime(2024, 2, 10, tzinfo=UTC)).news(FIRST, LAST)
    assert (grown.total().kept, len(vendor.asked) - asked) == (120, 12)
    again = make_rest(now=datetime(2024, 3, 10, tzinfo=UTC)).news(FIRST, LAST)
    assert (again.total().kept, len(vendor.asked) - asked) == (120, 12)
    assert make_rest().news(FIRST, LAST, refresh=True).total().pages == 12
    assert len(vendor.asked) - asked == 24


def test_a_refresh_that_dies_leaves_no_mixture(vendor, make_rest):
    make_rest().news(FIRST, LAST)
    changed = articles(95)
    for article in changed:
        article["title"] = "second"
    vendor.tables[NEWS] = changed
    vendor.faults = dict.fromkeys(range(13, 40), ("400", None))
    with pytest.raises(SourceError, match="HTTP 400"):
        make_rest().news(FIRST, LAST, refresh=True)
    vendor.faults = {}
    assert make_rest().news(FIRST, LAST).frame["title"].unique().to_list() == ["second"]


def test_months_join_into_one_frame(vendor, make_rest):
    vendor.tables[NEWS] = articles(80, start=datetime(2023, 12, 30, tzinfo=UTC), step=timedelta(hours=12))
    table = make_rest().news(date(2023, 12, 31), date(2024, 1, 20))
    wanted = [r for r in vendor.tables[NEWS] if "2023-12-31" <= r["published_utc"][:10] <= "2024-01-20"]
    assert [name for name, _ in table.counts] == ["news/all/2023-12", "news/all/2024-01"]
    assert table.frame.select("symbol", "known_at", "article_id", "score").rows() == expected_news(wanted)


def test_pages_live_in_a_bucket_as_well(vendor, make_rest, s3, our_credentials):
    place = Storage("s3://ours/rest", our_credentials)
    vendor.faults = dict.fromkeys(range(3, 40), ("400", None))
    with pytest.raises(SourceError, match="HTTP 400"):
        make_rest(storage=place).news(FIRST, LAST)
    vendor.faults = {}
    assert make_rest(storage=place).news(FIRST, LAST).total() == Counts(
        pages=10, received=95, duplicates=0, updated=0, kept=95
    )
    assert len(place.walk("news")) == 11


def test_another_query_does_not_continue_the_pages_of_the_first(vendor, make_rest):
    make_rest().news(FIRST, LAST)
    with pytest.raises(SourceError, match="holds the pages of another query"):
        make_rest(page_size=50).news(FIRST, LAST)


def test_splits_and_dividends_come_as_dates_and_numbers(vendor_rest, make_rest):
    vendor_rest.tables[SPLITS] = [
        {"id": "s1", "ticker": "BRK.B", "execution_date": "2010-01-21", "split_from": 1, "split_to": 50},
        {"id": "s2", "ticker": "AAPL", "execution_date": "2020-08-31", "split_from": 1, "split_to": 4},
        {"id": "s3", "ticker": "GE", "execution_date": "2021-08-02", "split_from": 8, "split_to": 1},
        {"id": "s4", "ticker": "AAPL", "execution_date": "2031-01-01", "split_from": 1, "split_to": 2},
    ]
    splits = make_rest().splits(date(2010, 1, 1), date(2024, 1, 1))
    assert splits.frame.rows() == [
        ("AAPL", date(2020, 8, 31), 1.0, 4.0),
        ("BRK-B", date(2010, 1, 21), 1.0, 50.0),
        ("GE", date(2021, 8, 2), 8.0, 1.0),
    ]
    paid = {"cash_amount": 0.24, "currency": "USD", "dividend_type": "CD", "frequency": 4, "pay_date": None}
    days = {"ex_dividend_date": "2024-02-09", "record_date": "2024-02-12", "declaration_date": "2024-02-01"}
    vendor_rest.tables[DIVIDENDS] = [{"id": str(i), "ticker": f"T{i:02d}", **paid, **days} for i in range(25)]
    dividends = make_rest().dividends(FIRST, date(2024, 3, 1))
    assert dividends.total().pages == 3
    assert dividends.frame["symbol"].to_list() == [f"T{i:02d}" for i in range(25)]
    assert dividends.frame.row(0, named=True) == {
        "symbol": "T00",
        **paid,
        **{name: date.fromisoformat(day) for name, day in days.items()},
    }


def test_ticker_details_name_those_that_are_unknown(vendor_rest, make_rest):
    vendor_rest.tables[TICKERS] = [
        {
            "ticker": "BRK.B",
            "name": "Berkshire",
            "active": True,
            "list_date": "1996-05-09",
            "market_cap": 8.1e11,
            "sic_code": "6331",
        }
    ]
    table = make_rest().ticker_details(["BRK.B", "GONE"], as_of=date(2024, 1, 2))
    assert table.missing == ("GONE",)
    assert table.frame.select("symbol", "as_of", "list_date", "market_cap").rows() == [
        ("BRK-B", date(2024, 1, 2), date(1996, 5, 9), 8.1e11)
    ]


@pytest.mark.parametrize(
    "record", [{"id": "a", "tickers": ["A"]}, {"id": "a", "published_utc": "soon", "tickers": ["A"]}]
)
def test_an_article_without_a_moment_is_refused(record):
    with pytest.raises(SourceError, match="moment of publication"):
        news_frame([record])


def test_moments_with_offsets_and_fractions_become_utc_and_a_delay_is_added():
    stamps = ["2024-01-02T09:30:00-05:00", "2024-01-02T14:30:00.250Z", "2024-07-02T14:30:00Z"]
    records = [{"id": str(i), "published_utc": stamp, "tickers": ["A"]} for i, stamp in enumerate(stamps)]
    known = news_frame(records, delay=timedelta(minutes=15))["known_at"].to_list()
    assert known == [datetime.fromisoformat(stamp) + timedelta(minutes=15) for stamp in stamps]


@pytest.mark.parametrize(
    ("record", "message"),
    [
        ({"ticker": "A", "execution_date": "2024-01-02", "split_to": 2}, r"lacks \['split_from'\]"),
        ({"ticker": "", "execution_date": "2024-01-02", "split_from": 1, "split_to": 2}, r"lacks \['ticker'\]"),
        ({"ticker": "A", "execution_date": "2024-01-02", "split_from": 0, "split_to": 2}, "impossible ratio"),
    ],
)
def test_a_split_that_cannot_be_is_refused(record, message):
    with pytest.raises(SourceError, match=message):
        splits_frame([record])


FETCH = """
import sys
from datetime import date
from conviction_kedro.sources import MassiveRest, Secret, Storage
rest = MassiveRest(key=Secret(sys.argv[3]), storage=Storage(sys.argv[2]), base_url=sys.argv[1])
rest.news(date(2024, 1, 1), date(2024, 1, 31))
"""


def test_a_killed_download_goes_on_behind_the_last_stored_page(vendor, make_rest, tmp_path):
    vendor.tables[NEWS] = articles(1000)
    vendor.delay = 0.02
    command = [sys.executable, "-c", textwrap.dedent(FETCH), vendor.address, str(tmp_path / "rest"), vendor.KEY]
    process = subprocess.Popen(command)
    deadline = time.monotonic() + 60
    while len(vendor.asked) < 30 and time.monotonic() < deadline:
        time.sleep(0.005)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    stored = json.loads((tmp_path / "rest/news/all/2024-01/cursor.json").read_text())
    assert 10 <= stored["pages"] < 100, "the download was not killed half-way"
    asked, vendor.delay = len(vendor.asked), 0.0
    table = make_rest().news(FIRST, LAST)
    assert len(vendor.asked) - asked == 100 - stored["pages"]
    assert table.total() == Counts(pages=100, received=1000, duplicates=0, updated=0, kept=1000)
    assert table.frame.select("symbol", "known_at", "article_id", "score").rows() == expected_news(vendor.tables[NEWS])


def test_the_policy_doubles_its_waits_up_to_the_longest():
    policy = RetryPolicy(first_wait=1.0, longest_wait=10.0)
    waits = [policy.wait_before(attempt, None) for attempt in range(2, 9)]
    for base, wait in zip([1, 2, 4, 8, 10, 10, 10], waits, strict=True):
        assert base <= wait <= 1.25 * base
