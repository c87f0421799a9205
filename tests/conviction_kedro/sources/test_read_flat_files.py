"""From copied files to bars: what is wrong has a name, what is left out was allowed, and the report says it."""

from __future__ import annotations

import gzip
import json
from datetime import UTC, date, datetime

import polars as pl
import pytest
from kedro.io import DatasetError

from conviction.errors import BarsError, ParameterError
from conviction.frames import check_panel
from conviction.market import exchange_sessions
from conviction_kedro.datasets import FlatFilesDataset
from conviction_kedro.sources import (
    FlatFileKey,
    FlatFileSync,
    MassiveRest,
    Secret,
    SourceError,
    Storage,
    read_flat_files,
)

# fixtures are arguments

FIRST, LAST = date(2024, 1, 2), date(2024, 1, 12)
SPAN = {"market": "stocks", "granularity": "day", "first": FIRST, "last": LAST}
FOLDER = "us_stocks_sip/day_aggs_v1/2024/01"
HEADER = "ticker,volume,open,close,high,low,window_start,transactions"


@pytest.fixture
def copied(vendor_files, source, tmp_path, retry):
    """Return the workspace's own copy of nine good day files."""
    place = Storage(tmp_path / "raw")
    clock = lambda: datetime(2024, 3, 1, tzinfo=UTC)  # noqa: E731
    FlatFileSync(source=source, destination=place, market="stocks", granularity="day", retry=retry, clock=clock).run(
        FIRST, LAST
    )
    return place


def test_every_row_of_every_file_arrives(copied, vendor_files):
    found = read_flat_files(copied, **SPAN)
    check_panel(found.bars, name="bars", required=["close", "volume"])
    assert found.quality.problems == ()
    expected = []
    for key, content in vendor_files.items():
        session = date.fromisoformat(key[-17:-7])
        for line in gzip.decompress(content).decode().splitlines()[1:]:
            ticker, volume, opened, close, high, low, *_ = line.split(",")
            symbol = "BRK-B" if ticker == "BRK.B" else ticker
            expected.append((symbol, session, *(float(x) for x in (opened, high, low, close, volume))))
    got = found.bars.select("symbol", "session", "open", "high", "low", "close", "volume").rows()
    assert got == sorted(expected)
    assert {row[0] for row in got} == {"AAPL", "BRK-B", "NA", "TRUE"}


def test_symbols_are_asked_for_in_our_spelling(copied):
    found = read_flat_files(copied, **SPAN, symbols=["BRK-B", "NA"])
    assert found.bars["symbol"].unique().sort().to_list() == ["BRK-B", "NA"]
    assert found.bars.filter(pl.col("symbol") == "BRK-B")["volume"].unique().to_list() == [12.5]


BAD = {
    "truncated_gzip": lambda good: good[:-20],
    "not_gzip": gzip.decompress,
    "wrong_header": lambda good: gzip.compress(gzip.decompress(good).replace(b"window_start", b"timestamp")),
    "negative_volume": lambda good: gzip.compress(gzip.decompress(good).replace(b"AAPL,1000", b"AAPL,-1000")),
    "session_mismatch": lambda good: gzip.compress(gzip.decompress(good).replace(b",1704", b",1604")),
}


def damage(place, session, change, *, by_vendor):
    """Make one file bad: as the vendor sent it (the manifest knows it), or on our disk."""
    name = f"{FOLDER}/{session}.csv.gz"
    content = change(place.read(name))
    place.write(name, content)
    if by_vendor:
        import hashlib

        manifest = "us_stocks_sip/day_aggs_v1/manifest.jsonl"
        lines = [json.loads(line) for line in place.read(manifest).decode().splitlines()]
        for line in lines:
            if line["session"] == str(session):
                line["sha256"], line["size"] = hashlib.sha256(content).hexdigest(), len(content)
        place.write(manifest, "\n".join(json.dumps(line) for line in lines).encode())


@pytest.mark.parametrize("rule", BAD)
def test_a_bad_file_of_the_vendor_stops_the_run_unless_allowed(copied, rule):
    damage(copied, date(2024, 1, 4), BAD[rule], by_vendor=True)
    with pytest.raises(BarsError, match="1 flat files") as caught:
        read_flat_files(copied, **SPAN)
    assert f"2024-01-04 {rule}" in str(caught.value)
    found = read_flat_files(copied, **SPAN, allow=[rule])
    named = [p for p in found.quality.problems if p.name == rule]
    assert named
    assert all(p.session == date(2024, 1, 4) and p.quarantined for p in named)
    rows = found.bars.filter(pl.col("session") == date(2024, 1, 4)).height
    assert rows == (3 if rule == "negative_volume" else 0)
    assert found.bars.filter(pl.col("session") != date(2024, 1, 4)).height == 8 * 4


def test_all_bad_files_are_named_at_once(copied):
    damage(copied, date(2024, 1, 3), BAD["truncated_gzip"], by_vendor=True)
    damage(copied, date(2024, 1, 5), BAD["wrong_header"], by_vendor=True)
    damage(copied, date(2024, 1, 8), lambda good: good + b"x", by_vendor=False)
    with pytest.raises(BarsError, match="3 flat files") as caught:
        read_flat_files(copied, **SPAN)
    for line in ("2024-01-03 truncated_gzip", "2024-01-05 wrong_header", "2024-01-08 damaged_copy"):
        assert line in str(caught.value)


def test_a_copy_that_changed_on_our_disk_is_told_from_a_missing_one(copied):
    other = copied.read(f"{FOLDER}/2024-01-05.csv.gz")
    damage(copied, date(2024, 1, 4), lambda _: other, by_vendor=False)
    copied.delete(f"{FOLDER}/2024-01-09.csv.gz")
    with pytest.raises(BarsError, match="damaged_copy"):
        read_flat_files(copied, **SPAN)
    with pytest.raises(BarsError, match="missing_file"):
        read_flat_files(copied, **SPAN, allow=["damaged_copy"])
    found = read_flat_files(copied, **SPAN, allow=["damaged_copy", "missing_file"])
    told = {(p.name, p.session, p.quarantined) for p in found.quality.problems}
    assert told == {("damaged_copy", date(2024, 1, 4), True), ("missing_file", date(2024, 1, 9), True)}
    assert found.bars["session"].n_unique() == 7


def test_the_newest_edition_is_read(copied, s3, source, retry, day_file):
    s3.put_object(Bucket="flatfiles", Key=f"{FOLDER}/2024-01-03.csv.gz", Body=day_file(date(2024, 1, 3), close=99.0))
    FlatFileSync(
        source=source, destination=copied, market="stocks", granularity="day", retry=retry, when_replaced="version"
    ).run(FIRST, LAST)
    closes = read_flat_files(copied, **SPAN, symbols=["AAPL"]).bars.select("session", "close").rows()
    assert dict(closes)[date(2024, 1, 3)] == 99.0
    assert dict(closes)[date(2024, 1, 4)] == 14.0


def test_files_copied_by_other_means_are_read_and_reported(copied):
    copied.delete("us_stocks_sip/day_aggs_v1/manifest.jsonl")
    found = read_flat_files(copied, **SPAN)
    assert found.bars.height == 36
    assert [p.severity for p in found.quality.problems] == ["warning"] * 9
    assert found.quality.names() == ("not_in_manifest",)


def test_unknown_names_and_an_empty_place_are_refused(copied, tmp_path):
    with pytest.raises(ParameterError, match="did you mean 'truncated_gzip'"):
        read_flat_files(copied, **SPAN, allow=["truncated_gz"])
    with pytest.raises(BarsError, match=r"no flat file of .* can be read"):
        read_flat_files(Storage(tmp_path / "empty"), **SPAN, allow=["missing_file"])
    with pytest.raises(BarsError, match=r"future"):
        read_flat_files(copied, **SPAN, as_of=date(2024, 1, 9))


def minute_file(session, opens, *, first=-90, count=600):
    """One minute file of one ticker: from an hour and a half before the open on."""
    start = int(opens.timestamp()) * 10**9
    rows = [f"AAPL,10,5,5.5,6,4,{start + (first + i) * 60 * 10**9},2" for i in range(count)]
    return gzip.compress(("\n".join([HEADER, *rows]) + "\n").encode())


def test_minutes_outside_the_session_are_left_out_unless_wanted(tmp_path):
    place = Storage(tmp_path)
    session = date(2024, 1, 3)
    name = str(FlatFileKey(market="stocks", granularity="minute", session=session))
    place.write(name, minute_file(session, datetime(2024, 1, 3, 14, 30, tzinfo=UTC)))
    span = {"market": "stocks", "granularity": "minute", "first": session, "last": session}
    regular = read_flat_files(place, **span)
    assert regular.bars.height == 390
    assert regular.bars["bar_end"].min() == datetime(2024, 1, 3, 14, 31, tzinfo=UTC)
    assert regular.bars["bar_end"].max() == datetime(2024, 1, 3, 21, 0, tzinfo=UTC)
    assert "extended_hours" in regular.quality.names()
    assert read_flat_files(place, **span, extended_hours=True).bars.height == 600


def test_the_catalog_entry_loads_bars_and_writes_the_report(copied, tmp_path, caplog):
    options = {"market": "stocks", "granularity": "day", "first_session": "2024-01-02", "last_session": "2024-01-12"}
    copied.delete(f"{FOLDER}/2024-01-09.csv.gz")
    dataset = FlatFilesDataset(
        filepath=copied.uri(), **options, report_filepath=str(tmp_path / "out/quality.json"), allow=["missing_file"]
    )
    assert dataset.exists()
    with caplog.at_level("WARNING", logger="conviction_kedro"):
        assert dataset.load().height == 32
    assert "as allowed: 2024-01-09 missing_file" in caplog.text
    report = json.loads((tmp_path / "out/quality.json").read_text())
    assert report["counts"] == {"missing_file": 0}
    assert report["problems"][0]["session"] == "2024-01-09"
    with pytest.raises(DatasetError, match="missing_file"):
        FlatFilesDataset(filepath=copied.uri(), **options).load()
    with pytest.raises(DatasetError, match="vendor's"):
        dataset.save(pl.DataFrame())
    assert exchange_sessions("XNYS", FIRST, LAST).len() == 9


def put_actions(place, *, splits=(), dividends=()):
    """Store one finished page of splits and dividends of 2024, as a fetch leaves them."""
    rest = MassiveRest(key=Secret(""), storage=place)
    for kind, day, rows in (("splits", "execution_date", splits), ("dividends", "ex_dividend_date", dividends)):
        query = {f"{day}.gte": "2024-01-01", f"{day}.lte": "2024-12-31", "order": "asc", "sort": day, "limit": 1000}
        download = rest._download(f"{kind}/2024", f"/v3/reference/{kind}", query, lambda record: record["id"])
        download.store_nothing()
        cursor = json.loads(place.read(f"{kind}/2024/cursor.json")) | {"pages": 1}
        place.write(f"{kind}/2024/page-00000.json.gz", gzip.compress(json.dumps(list(rows)).encode()))
        place.write(f"{kind}/2024/cursor.json", json.dumps(cursor).encode())
    rest.client.close()


def adjusted(copied, **options):
    return FlatFilesDataset(
        filepath=copied.uri(),
        market="stocks",
        granularity="day",
        first_session="2024-01-02",
        last_session="2024-01-12",
        actions=copied.uri("rest"),
        **options,
    )


def test_splits_and_dividends_are_applied_as_of_the_last_session(copied, source, s3, retry, day_file):
    halved = gzip.decompress(day_file(date(2024, 1, 12), close=11.0))
    damage(copied, date(2024, 1, 12), lambda _: gzip.compress(halved), by_vendor=True)
    split = {"id": "s", "ticker": "BRK.B", "execution_date": "2024-01-12", "split_from": 1, "split_to": 2}
    others = [{**split, "id": "t", "ticker": "ZZZ"}, {**split, "id": "u", "execution_date": "2024-01-16"}]
    paid = {"id": "d", "ticker": "AAPL", "ex_dividend_date": "2024-01-03", "cash_amount": 1.2}
    put_actions(Storage(copied.path("rest")), splits=[split, *others], dividends=[paid])
    raw = read_flat_files(copied, **SPAN).bars
    bars = adjusted(copied).load()
    both = raw.join(bars, on=["symbol", "session"], suffix="_adjusted", how="full")
    assert both.height == raw.height == bars.height
    for symbol, session, close, volume, new, new_volume in both.select(
        "symbol", "session", "close", "volume", "close_adjusted", "volume_adjusted"
    ).rows():
        factor = 0.5 if symbol == "BRK-B" and session < date(2024, 1, 12) else 1.0
        paid_out = 1 - 1.2 / 12.0 if symbol == "AAPL" and session < date(2024, 1, 3) else 1.0
        assert new == pytest.approx(close * factor * paid_out)
        assert new_volume == pytest.approx(volume / factor)


def test_a_split_that_the_prices_do_not_show_stops_the_load(copied):
    split = {"id": "s", "ticker": "AAPL", "execution_date": "2024-01-09", "split_from": 1, "split_to": 4}
    put_actions(Storage(copied.path("rest")), splits=[split])
    with pytest.raises(DatasetError, match="AAPL on 2024-01-09"):
        adjusted(copied).load()
    found = adjusted(copied, allow=["already_adjusted"]).read()
    assert "already_adjusted" in found.quality.names()


def test_bars_without_their_actions_do_not_load(copied):
    with pytest.raises(DatasetError, match="splits/2024 is not there whole"):
        adjusted(copied).load()
    with pytest.raises(ParameterError, match="only day bars"):
        FlatFilesDataset(
            filepath="x", market="stocks", granularity="minute", first_session=FIRST, last_session=LAST, actions="y"
        )


def test_a_fetch_copies_and_says_what_is_missing(vendor_files, proxy, tmp_path, monkeypatch, s3):
    monkeypatch.setenv("MASSIVE_S3_KEY", "k")
    monkeypatch.setenv("MASSIVE_S3_SECRET", "s")
    options = {"market": "stocks", "granularity": "day", "first_session": FIRST, "last_session": LAST}
    vendor = {"endpoint_url": proxy.address}
    dataset = FlatFilesDataset(filepath=str(tmp_path), **options, vendor=vendor)
    assert "9 copied" in dataset.fetch()
    assert dataset.load().height == 36
    s3.delete_object(Bucket="flatfiles", Key=f"{FOLDER}/2024-01-04.csv.gz")
    with pytest.raises(SourceError, match=r"1 withdrawn \(2024-01-04\)"):
        dataset.fetch()
    allowed = FlatFilesDataset(filepath=str(tmp_path), **options, vendor={**vendor, "allow": ["withdrawn"]})
    assert "1 withdrawn" in allowed.fetch()


def test_the_number_of_readers_changes_nothing(copied):
    damage(copied, date(2024, 1, 4), BAD["truncated_gzip"], by_vendor=True)
    one, many = (read_flat_files(copied, **SPAN, allow=["truncated_gzip"], n_jobs=n) for n in (1, 7))
    assert one.bars.equals(many.bars)
    assert one.quality == many.quality
