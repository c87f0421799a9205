"""The copy of flat files: whole, once, resumable, and honest about what is not there."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import signal
import subprocess
import sys
import textwrap
import time
from datetime import UTC, date, datetime

import pytest

from conviction.errors import ParameterError
from conviction_kedro.sources import FlatFileKey, FlatFileSource, FlatFileSync, Manifest, SourceError, Storage

FIRST, LAST = date(2024, 1, 2), date(2024, 1, 12)
SECRET = "VENDOR" + "KEYDONOTPRINT"
KEYS = {"key": "AKIDVENDOR", "secret": SECRET}
FOLDER = "us_stocks_sip/day_aggs_v1"
NOW = datetime(2024, 3, 1, tzinfo=UTC)


def make_sync(source, place, retry, **options):
    settings = {"market": "stocks", "granularity": "day", "clock": lambda: NOW, "retry": retry, **options}
    return FlatFileSync(source=source, destination=place, **settings)


@pytest.fixture(params=["disk", "bucket"])
def place(request, tmp_path, s3, our_credentials):
    if request.param == "disk":
        return Storage(tmp_path / "flat files")
    return Storage("s3://ours/raw/flat_files", our_credentials)


def test_every_session_is_copied_whole_with_its_hashes(vendor_files, source, place, retry):
    report = make_sync(source, place, retry).run(FIRST, LAST)
    assert len(report.copied) == len(vendor_files) == 9
    assert report.problems() == {}
    records = Manifest(place, f"{FOLDER}/manifest.jsonl").current()
    assert set(records) == set(vendor_files)
    for key, content in vendor_files.items():
        assert place.read(key) == content
        assert records[key].sha256 == hashlib.sha256(content).hexdigest()
        assert records[key].etag == hashlib.md5(content, usedforsecurity=False).hexdigest()
        assert records[key].copied_at == "2024-03-01T00:00:00.000000+00:00"
        assert key.endswith(f"{records[key].session}.csv.gz")
    assert place.walk(FOLDER) == sorted([*vendor_files, f"{FOLDER}/manifest.jsonl"])


def test_a_second_run_downloads_nothing_and_a_longer_span_only_the_rest(
    vendor_files, s3, source, proxy, place, retry, fill_vendor
):
    sync = make_sync(source, place, retry)
    sync.run(FIRST, LAST)
    before = proxy.downloads()
    again = sync.run(FIRST, LAST)
    assert (again.copied, len(again.unchanged), proxy.downloads()) == ([], 9, before)
    fill_vendor(first=date(2024, 1, 16), last=date(2024, 2, 2))
    longer = sync.run(FIRST, date(2024, 2, 2))
    assert len(longer.copied) == 14
    assert longer.copied[0] == date(2024, 1, 16)
    assert proxy.downloads() == before + 14


def test_a_missing_session_is_told_from_a_late_one_and_from_a_holiday(vendor_files, s3, source, tmp_path, retry):
    gone = f"{FOLDER}/2024/01/2024-01-05.csv.gz"
    s3.delete_object(Bucket="flatfiles", Key=gone)
    s3.put_object(Bucket="flatfiles", Key=f"{FOLDER}/2024/01/2024-01-06.csv.gz", Body=b"saturday")
    s3.put_object(Bucket="flatfiles", Key=f"{FOLDER}/2024/01/readme.txt", Body=b"hello")
    sync = make_sync(source, Storage(tmp_path), retry, clock=lambda: datetime(2024, 1, 17, 12, tzinfo=UTC))
    report = sync.run(date(2023, 12, 29), date(2024, 1, 16))
    assert report.missing == [date(2023, 12, 29), date(2024, 1, 5)]
    assert report.pending == [date(2024, 1, 16)]
    assert report.unexpected == [f"{FOLDER}/2024/01/2024-01-06.csv.gz", f"{FOLDER}/2024/01/readme.txt"]
    assert not Storage(tmp_path).exists(report.unexpected[0])
    with pytest.raises(SourceError, match=r"2 missing \(2023-12-29, 2024-01-05\); 2 unexpected"):
        report.check()
    assert report.check(allow=["missing", "unexpected"]) is report
    with pytest.raises(ParameterError, match="unknown problem of a copy"):
        report.check(allow=["mising"])


def test_a_replaced_file_is_reported_and_our_copy_stays(vendor_files, s3, source, place, retry, day_file):
    sync = make_sync(source, place, retry)
    sync.run(FIRST, LAST)
    key = f"{FOLDER}/2024/01/2024-01-03.csv.gz"
    corrected = day_file(date(2024, 1, 3), close=99.0)
    s3.put_object(Bucket="flatfiles", Key=key, Body=corrected)
    report = sync.run(FIRST, LAST)
    assert [entry[0] for entry in report.replaced] == [date(2024, 1, 3)]
    assert place.read(key) == vendor_files[key]
    with pytest.raises(SourceError, match="1 replaced"):
        report.check()


def test_a_replaced_file_becomes_a_second_edition_when_asked(vendor_files, s3, source, place, retry, day_file):
    make_sync(source, place, retry).run(FIRST, LAST)
    key = f"{FOLDER}/2024/01/2024-01-03.csv.gz"
    corrected = day_file(date(2024, 1, 3), close=99.0)
    s3.put_object(Bucket="flatfiles", Key=key, Body=corrected)
    later = make_sync(source, place, retry, when_replaced="version", clock=lambda: datetime(2024, 3, 2, tzinfo=UTC))
    report = later.run(FIRST, LAST)
    assert report.versioned == [date(2024, 1, 3)]
    assert report.problems() == {}
    manifest = Manifest(place, f"{FOLDER}/manifest.jsonl")
    first, second = manifest.editions(key)
    assert place.read(first.stored) == vendor_files[key]
    assert place.read(second.stored) == corrected
    assert manifest.current()[key] == second
    assert FlatFileKey.parse(second.stored) == FlatFileKey.parse(key)
    assert later.run(FIRST, LAST).unchanged == sorted([*report.unchanged, date(2024, 1, 3)])


def test_a_withdrawn_file_is_kept_and_said(vendor_files, s3, source, tmp_path, retry):
    sync = make_sync(source, Storage(tmp_path), retry)
    sync.run(FIRST, LAST)
    key = f"{FOLDER}/2024/01/2024-01-03.csv.gz"
    s3.delete_object(Bucket="flatfiles", Key=key)
    report = sync.run(FIRST, LAST)
    assert report.withdrawn == [date(2024, 1, 3)]
    assert Storage(tmp_path).read(key) == vendor_files[key]


def test_what_was_lost_on_our_side_is_restored(vendor_files, source, place, retry):
    sync = make_sync(source, place, retry)
    sync.run(FIRST, LAST)
    lost, cut = (f"{FOLDER}/2024/01/2024-01-0{day}.csv.gz" for day in (3, 4))
    place.delete(lost)
    place.write(cut, vendor_files[cut][:20])
    report = sync.run(FIRST, LAST)
    assert report.restored == [date(2024, 1, 3), date(2024, 1, 4)]
    assert {name: place.read(name) for name in (lost, cut)} == {name: vendor_files[name] for name in (lost, cut)}


def test_files_without_a_manifest_are_taken_back_by_checksum(vendor_files, source, proxy, place, retry):
    sync = make_sync(source, place, retry)
    sync.run(FIRST, LAST)
    place.delete(f"{FOLDER}/manifest.jsonl")
    forged = f"{FOLDER}/2024/01/2024-01-04.csv.gz"
    content = bytearray(vendor_files[forged])
    content[-1] ^= 1
    place.write(forged, bytes(content))
    before = proxy.downloads()
    report = sync.run(FIRST, LAST)
    assert len(report.adopted) == 8
    assert report.copied == [date(2024, 1, 4)]
    assert proxy.downloads() == before + 1
    assert place.read(forged) == vendor_files[forged]
    assert len(Manifest(place, f"{FOLDER}/manifest.jsonl")) == 9


def test_a_busy_vendor_and_a_cut_body_are_repeated_with_growing_waits(vendor_files, source, proxy, tmp_path, retry):
    proxy.faults += [("2024-01-03", "503"), ("2024-01-03", "cut"), ("2024-01-03", "503"), ("2024-01-04", "cut")]
    proxy.faults += [("list-type", "503")]
    report = make_sync(source, Storage(tmp_path), retry, concurrency=1).run(FIRST, LAST)
    assert len(report.copied) == 9
    for key, content in vendor_files.items():
        assert Storage(tmp_path).read(key) == content
    assert len(retry.waits) == 5
    of_the_third = retry.waits[1:4]
    assert of_the_third == sorted(of_the_third)
    assert of_the_third[2] >= 4 * 0.5


def test_one_refused_file_does_not_stop_the_others(vendor_files, source, proxy, tmp_path, retry):
    proxy.faults += [("2024-01-03", "403")] + [("2024-01-05", "503")] * 4
    report = make_sync(source, Storage(tmp_path), retry).run(FIRST, LAST)
    assert set(report.failed) == {date(2024, 1, 3), date(2024, 1, 5)}
    assert "AccessDenied (HTTP 403)" in report.failed[date(2024, 1, 3)]
    assert "after 4 of 4 attempts" in report.failed[date(2024, 1, 5)]
    assert len(report.copied) == 7
    with pytest.raises(SourceError, match="2 failed"):
        report.check(allow=["missing"])
    assert make_sync(source, Storage(tmp_path), retry).run(FIRST, LAST).copied == sorted(report.failed)


def test_a_wrong_bucket_is_an_error_at_once(s3, proxy, tmp_path, retry):
    source = FlatFileSource(KEYS, bucket="nobody", endpoint_url=proxy.address)
    with pytest.raises(SourceError, match=r"refuses us_stocks_sip/day_aggs_v1/2024/01/: got NoSuchBucket \(HTTP 404\)"):
        make_sync(source, Storage(tmp_path), retry).run(FIRST, LAST)
    source.client.close()
    assert retry.waits == []


def test_a_vendor_that_is_not_there_is_named_after_the_last_attempt(tmp_path, retry):
    source = FlatFileSource(KEYS, endpoint_url="http://127.0.0.1:9")
    with pytest.raises(SourceError, match="EndpointConnectionError, after 4 of 4 attempts"):
        make_sync(source, Storage(tmp_path), retry).run(FIRST, LAST)
    source.client.close()


def test_a_file_replaced_between_listing_and_download_is_not_taken_for_the_listed_one(
    vendor_files, s3, source, tmp_path, retry, monkeypatch, day_file
):
    listed = source.list(f"{FOLDER}/2024/01/")
    s3.put_object(Bucket="flatfiles", Key=listed[0].key, Body=day_file(FIRST, close=77.0))
    monkeypatch.setattr(source, "list", lambda _: listed)
    report = make_sync(source, Storage(tmp_path), retry).run(FIRST, LAST)
    assert list(report.failed) == [FIRST]
    assert "replaced" in report.failed[FIRST]
    assert not Storage(tmp_path).exists(listed[0].key)


@pytest.mark.parametrize(
    ("market", "prefix", "sessions"),
    [
        ("options", "us_options_opra", 9),
        ("indices", "us_indices", 9),
        ("forex", "global_forex", 9),
        ("crypto", "global_crypto", 11),
    ],
)
@pytest.mark.parametrize("granularity", ["day", "minute"])
def test_every_market_has_the_same_layout_and_its_own_calendar(
    s3, source, tmp_path, retry, market, prefix, sessions, granularity, fill_vendor
):
    place = Storage(tmp_path)
    sync = make_sync(source, place, retry, market=market, granularity=granularity)
    fill_vendor(market=market, granularity=granularity, calendar=sync.calendar)
    report = sync.run(FIRST, LAST)
    assert len(report.copied) == sessions
    assert place.exists(f"{prefix}/{granularity}_aggs_v1/2024/01/2024-01-03.csv.gz")


def test_unknown_names_are_refused_with_a_hint(source, tmp_path):
    with pytest.raises(ParameterError, match="did you mean 'stocks'"):
        FlatFileSync(source=source, destination=Storage(tmp_path), market="stock", granularity="day")
    with pytest.raises(ParameterError, match="unknown when_replaced"):
        make_sync(source, Storage(tmp_path), None, when_replaced="overwrite")
    with pytest.raises(ParameterError, match="no secret"):
        FlatFileSource({"key": "a"})


def test_nothing_secret_is_written_anywhere(vendor_files, source, proxy, tmp_path, retry, caplog):
    caplog.set_level(logging.DEBUG)
    proxy.faults += [("2024-01-03", "403"), ("2024-01-04", "503")]
    sync = make_sync(source, Storage(tmp_path), retry)
    report = sync.run(FIRST, LAST)
    written = "".join(p.read_text() for p in tmp_path.rglob("manifest.jsonl")) + json.dumps(report.to_dict())
    assert "2024-01-04" in caplog.text
    assert SECRET not in caplog.text + repr(sync) + repr(source) + written


def test_a_damaged_manifest_is_named_by_its_line(tmp_path):
    place = Storage(tmp_path)
    place.write("manifest.jsonl", b'{"key": 1}\n')
    with pytest.raises(SourceError, match="line 1"):
        Manifest(place, "manifest.jsonl")


def test_two_copies_side_by_side_lose_no_record(vendor_files, source, tmp_path, retry):
    place = Storage(tmp_path)
    early = Manifest(place, f"{FOLDER}/manifest.jsonl")
    make_sync(source, place, retry).run(FIRST, LAST)
    early.save()
    assert len(Manifest(place, f"{FOLDER}/manifest.jsonl")) == 9


COPY = """
import sys
from datetime import date
from conviction_kedro.sources import FlatFileSource, FlatFileSync, Storage
source = FlatFileSource({"key": "a", "secret": "b"}, endpoint_url=sys.argv[1])
FlatFileSync(source=source, destination=Storage(sys.argv[2]), market="stocks", granularity="day").run(date(2024, 1, 2), date(2024, 3, 28))
"""


def test_a_killed_copy_goes_on_where_it_stopped(s3, source, proxy, tmp_path, retry, fill_vendor):
    contents = fill_vendor(first=FIRST, last=date(2024, 3, 28))
    proxy.delay = 0.05
    place = Storage(tmp_path / "raw")
    process = subprocess.Popen([sys.executable, "-c", textwrap.dedent(COPY), proxy.address, str(tmp_path / "raw")])
    deadline = time.monotonic() + 60
    while proxy.downloads() < 20 and time.monotonic() < deadline:
        time.sleep(0.01)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    started = proxy.downloads()
    in_place = {name for name in place.walk() if name.endswith(".gz")}
    assert 10 <= len(in_place) < len(contents), "the copy was not killed half-way"
    for name in in_place:
        assert place.read(name) == contents[name], "a half-written file is in place"
    proxy.delay = 0.0
    report = make_sync(source, place, retry).run(FIRST, date(2024, 3, 28))
    assert report.problems() == {}
    assert len(report.copied) == len(contents) - len(in_place)
    assert len(report.adopted) + len(report.unchanged) == len(in_place)
    assert proxy.downloads() == started + len(report.copied), "a file in place was downloaded again"
    for name, content in contents.items():
        assert place.read(name) == content
