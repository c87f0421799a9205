"""What is read for its fingerprint is what the nodes get."""

from __future__ import annotations

import polars as pl
import pytest
from kedro.io import AbstractDataset, DataCatalog, DatasetError
from kedro.pipeline import Node, Pipeline
from kedro.runner import SequentialRunner

from conviction.frames import fingerprint
from conviction_kedro.hooks import _provenance


class Counted(AbstractDataset):
    def __init__(self, *, fails: bool = False) -> None:
        self.reads, self.fails = 0, fails

    def load(self) -> pl.DataFrame:
        self.reads += 1
        if self.fails:
            raise FileNotFoundError("gone")
        return pl.DataFrame({"a": [self.reads]})

    def save(self, data: pl.DataFrame) -> None:
        raise DatasetError("read-only")

    def _describe(self) -> dict:
        return {}


@pytest.fixture
def nodes(monkeypatch):
    both = Pipeline(
        [
            Node(lambda raw, other: raw.height + other.height, ["raw", "other"], "one", name="first"),
            Node(lambda raw: raw, ["raw"], "two", name="second"),
        ]
    )
    monkeypatch.setattr(_provenance, "nodes_that_matter", lambda _: both)
    return both


def test_two_nodes_and_the_fingerprint_share_one_reading(nodes):
    raw, other = Counted(), Counted()
    catalog = DataCatalog({"raw": raw, "other": other})
    contents = _provenance.raw_contents(nodes, catalog)
    assert contents["raw"] == fingerprint(pl.DataFrame({"a": [1]}))
    result = SequentialRunner().run(nodes, catalog)
    assert result["two"].load()["a"].to_list() == [1]
    assert (raw.reads, other.reads) == (1, 1)
    # The next run reads afresh.
    assert catalog.load("raw")["a"].to_list() == [2]


def test_what_a_partial_run_does_not_read_is_not_kept_and_may_be_gone(nodes):
    raw, other = Counted(), Counted(fails=True)
    catalog = DataCatalog({"raw": raw, "other": other})
    second = nodes.only_nodes("second")
    assert set(_provenance.raw_contents(second, catalog)) == {"raw"}
    with pytest.raises(DatasetError):
        _provenance.raw_contents(nodes.only_nodes("first"), catalog)
    vars(raw).pop("load")
    _provenance.raw_contents(Pipeline([]), catalog)
    assert "load" not in vars(raw)
