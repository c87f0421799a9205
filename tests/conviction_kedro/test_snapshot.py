"""Snapshots: written aside, verified on load, the same bytes for the same content, on disk and on S3."""

from __future__ import annotations

import json
from datetime import date
from pathlib import Path

import polars as pl
import pytest
from kedro.io import DatasetError
from polars.testing import assert_frame_equal

from conviction_kedro import runtime
from conviction_kedro.datasets import FrameSnapshot, JsonSnapshot, OpeningsDataset

FRAME = pl.DataFrame(
    {
        "symbol": ["A", "A", "NA"],
        "session": [date(2020, 1, 2), date(2020, 1, 3), date(2020, 1, 2)],
        "x": [1.0, None, 2.0],
    }
)


@pytest.fixture
def snapshot(tmp_path):
    return FrameSnapshot(filepath=str(tmp_path / "panel.parquet"))


def test_round_trip_and_sidecar(snapshot):
    snapshot.save(FRAME)
    assert_frame_equal(snapshot.load(), FRAME)
    sidecar = snapshot.sidecar()
    assert (sidecar["rows"], sidecar["columns"], sidecar["kind"]) == (3, 3, "frame")
    assert set(sidecar) >= {"content_sha", "frame_sha", "key", "run_id", "schema", "platform"}


def test_the_same_frame_gives_the_same_bytes(tmp_path):
    one, two = (FrameSnapshot(filepath=str(tmp_path / name)) for name in ("a.parquet", "b.parquet"))
    one.save(FRAME)
    two.save(FRAME.clone())
    assert Path(one.filepath).read_bytes() == Path(two.filepath).read_bytes()


def test_a_file_changed_by_hand_is_refused(snapshot):
    snapshot.save(FRAME)
    Path(snapshot.filepath).write_bytes(b"something else")
    with pytest.raises(DatasetError, match="half written or was changed by hand"):
        snapshot.load()


def test_content_without_sidecar_does_not_exist(snapshot):
    snapshot.save(FRAME)
    Path(snapshot.filepath + ".meta.json").unlink()
    assert not snapshot.exists()
    with pytest.raises(DatasetError, match="never finished"):
        snapshot.load()


def test_a_failed_save_leaves_the_old_snapshot_whole(snapshot, monkeypatch):
    snapshot.save(FRAME)

    def full_disk(self, target):
        raise OSError("No space left on device")

    monkeypatch.setattr(Path, "replace", full_disk)
    with pytest.raises(Exception, match="No space left"):
        snapshot.save(FRAME.head(1))
    monkeypatch.undo()
    assert_frame_equal(snapshot.load(), FRAME)
    assert sorted(path.name for path in Path(snapshot.filepath).parent.iterdir()) == [
        "panel.parquet",
        "panel.parquet.meta.json",
    ]


def test_the_key_of_the_run_is_kept(snapshot):
    before = runtime.current()
    try:
        runtime.install(runtime.Runtime(run_id="r1", keys={"panel": "k1"}))
        snapshot.save(FRAME)
    finally:
        runtime.install(before)
    assert (snapshot.sidecar()["key"], snapshot.sidecar()["run_id"]) == ("k1", "r1")


def test_json_is_sorted_and_readable(tmp_path):
    snapshot = JsonSnapshot(filepath=str(tmp_path / "facts.json"))
    snapshot.save({"b": 1, "a": date(2020, 1, 2)})
    assert Path(snapshot.filepath).read_text() == '{\n "a": "2020-01-02",\n "b": 1\n}'


def test_openings_only_grow_and_count_a_run_once(tmp_path):
    openings = OpeningsDataset(filepath=str(tmp_path / "holdout_openings.json"))
    assert openings.load().is_empty()

    def opening(run: str) -> pl.DataFrame:
        return pl.DataFrame(
            [{"holdout_sha": "h", "run_id": run, "opened_at": "2026-01-01T00:00:00", "reason": "because"}]
        )

    openings.save(opening("one"))
    openings.save(opening("one"))
    openings.save(opening("two"))
    assert openings.load()["run_id"].to_list() == ["one", "two"]


def test_a_forgotten_opening_is_an_error_not_a_fresh_start(tmp_path):
    openings = OpeningsDataset(filepath=str(tmp_path / "holdout_openings.json"))
    (tmp_path / "holdout_openings.json").write_text(json.dumps([]))
    with pytest.raises(DatasetError, match="no sidecar"):
        openings.save(pl.DataFrame([{"holdout_sha": "h", "run_id": "r", "opened_at": "", "reason": ""}]))


def test_on_s3(s3_bucket):
    uri, credentials = s3_bucket
    snapshot = FrameSnapshot(filepath=f"{uri}/03_primary/panel.parquet", credentials=credentials)
    assert not snapshot.exists()
    snapshot.save(FRAME)
    assert snapshot.exists()
    assert_frame_equal(snapshot.load(), FRAME)
