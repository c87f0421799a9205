"""Progress: bars on a terminal, plain lines in a log, nothing left over."""

from __future__ import annotations

import logging
import os
import pty
import subprocess
import sys

import pytest

from conviction.observer import Observer
from conviction_kedro.observers import BarObserver, LogObserver, make_observer

SCRIPT = """
from conviction_kedro.observers import make_observer
observer = make_observer()
observer.start("folds", 3)
for fold in range(3):
    observer.advance("folds", note=f"fold {fold}")
observer.finish("folds")
print(type(observer).__name__)
"""


def test_a_log_gets_a_line_at_the_start_and_at_the_end(caplog):
    observer = LogObserver()
    with caplog.at_level(logging.INFO, logger="conviction_kedro"):
        observer.start("folds", 3)
        for _ in range(3):
            observer.advance("folds")
        observer.finish("folds")
    said = [record.getMessage() for record in caplog.records]
    assert said[0] == "folds: 0 of 3"
    assert said[-1].startswith("folds: done, 3 steps in")
    assert len(said) == 2


def test_slow_work_speaks_in_between(caplog, monkeypatch):
    now = iter([0.0, 4.0, 11.0, 12.0, 30.0])
    monkeypatch.setattr("conviction_kedro.observers.time.monotonic", lambda: next(now))
    observer = LogObserver()
    with caplog.at_level(logging.INFO, logger="conviction_kedro"):
        observer.start("trials", 5)
        for step in range(3):
            observer.advance("trials", note=f"best 0.51{step}")
    assert [record.getMessage() for record in caplog.records] == ["trials: 0 of 5", "trials: 2 of 5 best 0.511"]


@pytest.mark.parametrize("kind", [LogObserver, BarObserver])
def test_both_are_observers(kind):
    assert isinstance(kind(), Observer)


def test_without_a_terminal_lines_are_written():
    assert isinstance(make_observer(), LogObserver)


def test_on_a_terminal_a_bar_is_drawn():
    main, side = pty.openpty()
    environment = {**os.environ, "TERM": "xterm", "COLUMNS": "100"}
    process = subprocess.Popen([sys.executable, "-c", SCRIPT], stdout=side, stderr=side, env=environment)
    os.close(side)
    said = b""
    while True:
        try:
            chunk = os.read(main, 65536)
        except OSError:
            break
        if not chunk:
            break
        said += chunk
    os.close(main)
    assert process.wait(timeout=60) == 0
    text = said.decode(errors="replace")
    assert "BarObserver" in text
    assert "3/3" in text
    assert "folds" in text
