"""Waiting for health: success, and every way of not getting there, against real sockets."""

from __future__ import annotations

import socket
import threading
import time
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from conviction.errors import ParameterError
from conviction_kedro.endpoint import EndpointError, wait_for


@contextmanager
def server(status):
    """Answer `/ping` with a status, or with what a function of the number of calls gives."""
    calls = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            calls.append(self.path)
            self.send_response(status(len(calls)) if callable(status) else status)
            self.end_headers()

        def log_message(self, *arguments):
            pass

    one = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=one.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{one.server_port}", calls
    finally:
        one.shutdown()
        thread.join()
        one.server_close()


def free_port():
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


def test_a_healthy_endpoint_is_told_at_once():
    with server(200) as (url, calls):
        assert wait_for(url, timeout=5) < 2
    assert calls == ["/ping"]


def test_it_waits_until_the_model_is_loaded():
    with server(lambda n: 200 if n >= 3 else 503) as (url, calls):
        assert wait_for(url, timeout=10) >= 0.9
    assert len(calls) == 3


def test_an_unhealthy_answer_is_named():
    with server(404) as (url, _), pytest.raises(EndpointError, match="the health check answered HTTP 404"):
        wait_for(url, timeout=0.7)


def test_nobody_listening_is_named_and_the_deadline_is_kept():
    started = time.monotonic()
    with pytest.raises(EndpointError, match="no server listens there"):
        wait_for(f"http://127.0.0.1:{free_port()}", timeout=1.2)
    assert 1.1 < time.monotonic() - started < 3


def test_a_silent_server_is_named():
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        one.listen()
        with pytest.raises(EndpointError, match="said nothing for"):
            wait_for(f"http://127.0.0.1:{one.getsockname()[1]}", timeout=0.8)


def test_an_address_without_scheme_is_refused():
    with pytest.raises(ParameterError, match="is no URL"):
        wait_for("127.0.0.1:5001", timeout=1)
