"""The journal of unfinished runs, what of a run counts as complete, and records that survive a kill between two writes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import polars as pl
import pytest
from kedro.io import DataCatalog
from kedro.pipeline import Node, Pipeline

from conviction_kedro import runtime
from conviction_kedro.datasets import FrameSnapshot, JsonSnapshot, LedgerSnapshot
from conviction_kedro.resuming import Entry, Journal, complete_nodes, sweep
from conviction_kedro.tracking import open_client

ENTRY = Entry("2026-01-01T00.00.00.000Z", "command", "key", os.getpid())
HOLD = """
import sys, time
from pathlib import Path
from conviction_kedro.resuming import Entry, Journal
Journal(Path(sys.argv[1])).begin(Entry("2026-01-01T00.00.00.000Z", "command", "key", 1))
print("held", flush=True)
time.sleep(60)
"""


def test_a_run_is_unfinished_when_its_process_is_gone_and_not_before(tmp_path):
    other = subprocess.Popen([sys.executable, "-c", HOLD, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    assert other.stdout.readline() == "held\n"
    assert Journal(tmp_path).claim("command") == []
    other.send_signal(signal.SIGKILL)
    other.wait()
    other.stdout.close()
    assert Journal(tmp_path).claim("another command") == []
    journal = Journal(tmp_path)
    assert journal.claim("command") == [replace(ENTRY, pid=1)]
    journal.begin(ENTRY)
    journal.end(ENTRY.session_id)
    assert Journal(tmp_path).claim("command") == []


def test_an_entry_that_was_never_written_is_nobodys_run(tmp_path):
    journal = Journal(tmp_path)
    journal.begin(ENTRY)
    path = next((tmp_path / ".conviction/runs").iterdir())
    path.write_text("")
    assert Journal(tmp_path).claim("command") == []


@pytest.fixture
def installed():
    before = runtime.current()
    runtime.install(runtime.Runtime(run_id="mine", keys={"a": "ka", "b": "kb"}))
    yield
    runtime.install(before)


@pytest.fixture
def work(tmp_path, installed):
    """Two nodes whose outputs this run has saved."""
    catalog = DataCatalog({name: JsonSnapshot(filepath=str(tmp_path / f"{name}.json")) for name in "ab"})
    pipeline = Pipeline([Node(lambda: {"x": 1}, None, "a", name="one"), Node(lambda a: a, "a", "b", name="two")])
    for name in "ab":
        catalog.get(name).save({"x": name})
    return pipeline, catalog


def complete(work, *, keys=None, session_id="mine"):
    return complete_nodes(*work, keys or {"a": "ka", "b": "kb"}, session_id=session_id)


def test_whole_outputs_with_the_key_of_now_are_complete(work):
    assert complete(work) == {"one", "two"}


@pytest.mark.parametrize(
    ("change", "left"),
    [
        (lambda folder: (folder / "a.json").write_text("{"), {"two"}),
        (lambda folder: (folder / "a.json").unlink(), {"two"}),
        (lambda folder: (folder / "b.json.meta.json").unlink(), {"one"}),
    ],
    ids=["half written", "gone", "never finished"],
)
def test_what_is_not_whole_is_made_again(work, tmp_path, change, left):
    change(tmp_path)
    assert complete(work) == left


def test_what_other_inputs_or_another_run_made_is_made_again(work):
    assert complete(work, keys={"a": "ka", "b": "other"}) == {"one"}
    assert complete(work, keys={"b": "kb"}) == {"two"}, "without a key nothing is claimed"
    assert complete(work, session_id="another") == set()


def test_what_a_killed_process_wrote_aside_is_swept(work, tmp_path):
    for name in (".a.json.77.aside", ".a.json.meta.json.77.aside", ".a.json.78.aside"):
        (tmp_path / name).touch()
    sweep(*work, pid=77)
    assert [path.name for path in tmp_path.glob(".*")] == [".a.json.78.aside"]


class _Killed(BaseException):
    """Stands for SIGKILL: nothing after it runs."""


@pytest.mark.parametrize("writes", [0, 1, 2])
def test_a_record_survives_a_kill_between_any_two_writes(writes, tmp_path, installed, monkeypatch):
    ledger = LedgerSnapshot(filepath=str(tmp_path / "ledger.parquet"), unique=["k"])
    ledger.save(pl.DataFrame({"k": ["a"]}))
    done = []
    put = FrameSnapshot._put

    def killed(self, path, content):
        if len(done) == writes:
            raise _Killed
        done.append(path)
        put(self, path, content)

    monkeypatch.setattr(LedgerSnapshot, "_put", killed)
    with pytest.raises(_Killed):
        ledger.save(pl.DataFrame({"k": ["b"]}))
    monkeypatch.undo()
    assert ledger.load()["k"].to_list() == (["a"] if writes < 2 else ["a", "b"])
    ledger.save(pl.DataFrame({"k": ["b", "c"]}))
    assert ledger.load()["k"].to_list() == ["a", "b", "c"]
    assert "next_content_sha" not in ledger.sidecar()


def test_a_record_changed_by_hand_is_still_refused(tmp_path, installed):
    ledger = LedgerSnapshot(filepath=str(tmp_path / "ledger.parquet"), unique=["k"])
    ledger.save(pl.DataFrame({"k": ["a"]}))
    Path(ledger.filepath).write_bytes(b"other")
    with pytest.raises(Exception, match="changed by hand"):
        ledger.load()


def test_a_store_killed_while_it_was_made_is_made_whole_the_next_time(tmp_path, monkeypatch):
    """A database in the middle of its migrations cannot be migrated further; it must never stand where the store is looked for."""
    from mlflow.tracking import MlflowClient

    def killed(self, *arguments, **options):
        raise _Killed

    config = {"uri": "sqlite:///mlflow.db", "artifacts": "mlartifacts", "default_experiment": "research"}
    monkeypatch.setattr(MlflowClient, "search_experiments", killed)
    with pytest.raises(_Killed):
        open_client(config, tmp_path)
    monkeypatch.undo()
    assert not (tmp_path / "mlflow.db").exists()
    assert open_client(config, tmp_path).search_experiments()
    assert not list(tmp_path.glob("*.aside*"))
