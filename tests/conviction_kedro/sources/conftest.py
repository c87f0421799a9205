"""Local stand-ins with real parts: an S3 server with the vendor's key layout, a proxy in front of it that can fail."""

from __future__ import annotations

import gzip
import json
import threading
import time
from collections import Counter
from datetime import date
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

import boto3
import pytest
import urllib3
from moto.server import ThreadedMotoServer

from conviction.market import exchange_sessions
from conviction_kedro.sources import FlatFileKey, FlatFileSource, RetryPolicy

HEADER = "ticker,volume,open,close,high,low,window_start,transactions"
SECRET = "VENDOR" + "KEYDONOTPRINT"
KEYS = {"key": "AKIDVENDOR", "secret": SECRET}
FIRST, LAST = date(2024, 1, 2), date(2024, 1, 12)


@pytest.fixture(scope="session")
def s3_server():
    """Return the address of an S3 server on this machine."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def s3(s3_server):
    """Return a client of an empty S3 server."""
    urllib3.PoolManager().request("POST", f"{s3_server}/moto-api/reset")
    options = {"endpoint_url": s3_server, "region_name": "us-east-1"}
    client = boto3.Session("x", "y").client("s3", **options)
    client.create_bucket(Bucket="flatfiles")
    client.create_bucket(Bucket="ours")
    yield client
    client.close()


@pytest.fixture
def our_credentials(s3_server):
    """Return Kedro credentials of the workspace's own bucket."""
    return {
        "key": "OURKEY",
        "secret": "OURSECRET",
        "client_kwargs": {"endpoint_url": s3_server, "region_name": "us-east-1"},
    }


def make_day_file(session: date, *, close: float = 10.0) -> bytes:
    """Return one day file as the vendor writes it: all tickers, unadjusted, close before high, midnight New York."""
    # Midnight in New York in January is 05:00 UTC.
    start = int(time.mktime((session.year, session.month, session.day, 5, 0, 0, 0, 0, 0)) - time.timezone) * 10**9
    rows = [
        f"{ticker},{volume},{close - 1:.4f},{close:.4f},{close + 1:.4f},{close - 2:.4f},{start},120"
        for ticker, volume in (("AAPL", "1000"), ("BRK.B", "12.5"), ("NA", "7"), ("TRUE", "9"))
    ]
    return gzip.compress(("\n".join([HEADER, *rows]) + "\n").encode(), mtime=0)


@pytest.fixture
def day_file():
    """Return the function that writes one day file."""
    return make_day_file


@pytest.fixture
def fill_vendor(s3):
    """Return the function that puts one file a session into the vendor's bucket and returns content by key."""

    def fill(*, first=FIRST, last=LAST, market="stocks", granularity="day", calendar="XNYS"):
        contents = {}
        for session in exchange_sessions(calendar, first, last).to_list():
            key = str(FlatFileKey(market=market, granularity=granularity, session=session))
            contents[key] = make_day_file(session, close=10.0 + session.day)
            s3.put_object(Bucket="flatfiles", Key=key, Body=contents[key])
        return contents

    return fill


@pytest.fixture
def vendor_files(fill_vendor):
    """Return the content of the vendor's nine day files of early January 2024, by key."""
    return fill_vendor()


class FaultyProxy:
    """Forwards to the S3 server; answers as planned for a path instead: 503, cut, 403."""

    def __init__(self, upstream: str) -> None:
        self.faults: list[tuple[str, str]] = []
        self.requests: Counter[str] = Counter()
        self.delay = 0.0
        proxy, pool, lock = self, urllib3.PoolManager(), threading.Lock()

        class Handler(BaseHTTPRequestHandler):
            def log_message(self, *_):
                pass

            def do_GET(self):
                with lock:
                    proxy.requests[self.path.split("?")[0]] += 1
                    fault = next((f for f in proxy.faults if f[0] in self.path), None)
                    if fault:
                        proxy.faults.remove(fault)
                time.sleep(proxy.delay)
                kind = fault[1] if fault else ""
                if kind in ("503", "403"):
                    body = f"<Error><Code>{'SlowDown' if kind == '503' else 'AccessDenied'}</Code></Error>".encode()
                    return self._answer(int(kind), {"Content-Type": "application/xml"}, body, len(body))
                headers = {k: v for k, v in self.headers.items() if k.lower() != "host"}
                got = pool.request("GET", upstream + self.path, headers=headers, decode_content=False)
                kept = {k: v for k, v in got.headers.items() if k.lower() in ("etag", "last-modified", "content-type")}
                sent = got.data[: len(got.data) // 2] if kind == "cut" else got.data
                return self._answer(got.status, kept, sent, len(got.data))

            def _answer(self, status, headers, body, length):
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(length))
                self.send_header("Connection", "close")
                self.end_headers()
                self.wfile.write(body)
                self.close_connection = True

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        threading.Thread(target=lambda: self._server.serve_forever(poll_interval=0.02), daemon=True).start()
        self.address = f"http://127.0.0.1:{self._server.server_port}"

    def downloads(self) -> int:
        """Return how many files were asked for."""
        return sum(count for path, count in self.requests.items() if path.endswith(".gz"))

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def proxy(s3_server):
    """Return a proxy in front of the S3 server that can be told to fail."""
    server = FaultyProxy(s3_server)
    yield server
    server.stop()


@pytest.fixture
def source(proxy):
    """Return the vendor's bucket as the workspace reaches it."""
    vendor = FlatFileSource(KEYS, endpoint_url=proxy.address)
    yield vendor
    vendor.client.close()


@pytest.fixture
def retry():
    """Return a policy that waits for nothing and remembers what it was told to wait."""
    waits: list[float] = []
    policy = RetryPolicy(attempts=4, sleep=waits.append)
    object.__setattr__(policy, "waits", waits)
    return policy


class VendorRest:
    """Answers like the vendor's REST service: pages with `next_url`, a key in the header, and faults on request.

    A fault is taken by the request whose number (from 0) it names: ("429", seconds), ("500", None), ("cut", None) for a
    body shorter than announced, ("garbage", None) for bytes that are no JSON, ("short", n) for a page that counts more
    results than it has, ("overlap", n) for a page that repeats the last n records of the page before.
    """

    KEY = "REST" + "KEYDONOTPRINT"

    def __init__(self) -> None:
        self.tables: dict[str, list[dict]] = {}
        self.faults: dict[int, tuple[str, object]] = {}
        self.asked: list[str] = []
        self.page_size = 10
        self.delay = 0.0
        vendor, lock = self, threading.Lock()

        class Handler(BaseHTTPRequestHandler):
            def log_message(self, *_):
                pass

            def do_GET(self):
                with lock:
                    number = len(vendor.asked)
                    vendor.asked.append(self.path)
                time.sleep(vendor.delay)
                kind, argument = vendor.faults.get(number, ("", None))
                if self.headers.get("Authorization") != f"Bearer {VendorRest.KEY}":
                    return self._answer(401, b'{"status":"ERROR","error":"Unknown API Key"}')
                if kind == "429":
                    return self._answer(429, b"{}", {"Retry-After": str(argument)} if argument is not None else {})
                if kind in ("500", "400"):
                    return self._answer(int(kind), b'{"status":"ERROR"}')
                if kind == "garbage":
                    return self._answer(200, b"<html>maintenance</html>")
                page = vendor.page(self.path, overlap=argument if kind == "overlap" else 0)
                if page is None:
                    return self._answer(404, b'{"status":"NOT_FOUND"}')
                if kind == "short":
                    page["results"] = page["results"][:argument]
                return self._answer(200, json.dumps(page).encode(), cut=kind == "cut")

            def _answer(self, status, body, headers=None, *, cut=False):
                self.send_response(status)
                for name, value in (headers or {}).items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body[: len(body) // 2] if cut else body)
                self.close_connection = True

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        threading.Thread(target=lambda: self._server.serve_forever(poll_interval=0.02), daemon=True).start()
        self.address = f"http://127.0.0.1:{self._server.server_port}"

    def page(self, path: str, *, overlap: int) -> dict | None:
        """Return one page of a table, or the single record of a path that ends in a ticker."""
        parts = urlsplit(path)
        query = {name: values[0] for name, values in parse_qs(parts.query).items()}
        if parts.path not in self.tables:
            folder, _, ticker = parts.path.rpartition("/")
            found = [row for row in self.tables.get(folder, []) if row["ticker"] == ticker]
            return {"status": "OK", "request_id": "r", "results": found[0]} if found else None
        rows = self.tables[parts.path]
        for name, value in query.items():
            field, _, test = name.rpartition(".")
            if test in ("gte", "lt", "lte"):
                keep = {
                    "gte": lambda x, v=value: x >= v,
                    "lt": lambda x, v=value: x < v,
                    "lte": lambda x, v=value: x <= v,
                }[test]
                rows = [row for row in rows if keep(row[field])]
        start = int(query.get("cursor", 0))
        size = self.page_size
        results = rows[max(0, start - overlap) : start + size]
        page = {"status": "OK", "request_id": "r", "count": len(results), "results": results}
        if start + size < len(rows):
            kept = "&".join(f"{k}={v}" for k, v in query.items() if k != "cursor")
            page["next_url"] = f"{self.address}{parts.path}?{kept}&cursor={start + size}"
        return page

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def vendor_rest():
    """Return a REST service on this machine that answers like the vendor's."""
    server = VendorRest()
    yield server
    server.stop()
