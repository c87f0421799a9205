"""A run is about the pinned data or it does not start."""

from __future__ import annotations

from types import SimpleNamespace

import polars as pl
import pytest

from conviction_kedro.datasets import EmbeddedPricesDataset, LongBarsDataset, ProcessedFormatDataset
from conviction_kedro.pinning import check_run_pin, pin_tags
from conviction_kedro.sources import DatasetPin, PinError, make_pin, write_pin_file

BARS = pl.DataFrame({"symbol": ["A", "NA"], "date": ["2024-01-02"] * 2, "close": [1.0, 3.0]})


@pytest.fixture
def project(tmp_path):
    """Return a project folder with one table and the catalog that reads it."""
    dataset = LongBarsDataset(filepath=str(tmp_path / "data/bars.csv"))
    dataset.save(BARS)
    (tmp_path / "conf/base").mkdir(parents=True)
    return SimpleNamespace(
        root=tmp_path,
        conf=tmp_path / "conf",
        catalog={"raw_bars": dataset},
        pin=make_pin(str(tmp_path / "data/bars.csv")),
    )


def check(project, *, command_line=None, env=None, catalog=None, environ=None):
    return check_run_pin(
        catalog or project.catalog,
        command_line=command_line,
        conf_source=project.conf,
        env=env,
        root=project.root,
        environ=environ or {},
    )


def test_nothing_pinned_is_no_error(project):
    assert check(project) is None


def test_a_relative_pin_is_read_from_the_project(project, monkeypatch, tmp_path_factory):
    monkeypatch.chdir(tmp_path_factory.mktemp("elsewhere"))
    relative = DatasetPin(**{**project.pin.to_dict(), "uri": "data/bars.csv"})
    write_pin_file(relative, project.conf / "base/dataset_pin.yml")
    assert check(project).origin == "pin file"
    assert check(project, env="s3").pin == relative


def test_changed_data_stop_the_run_whoever_pins_them(project):
    write_pin_file(project.pin, project.conf / "base/dataset_pin.yml")
    project.catalog["raw_bars"].save(BARS.head(1))
    for given in ({"command_line": str(project.pin)}, {"environ": {"CONVICTION_DATASET_PIN": str(project.pin)}}, {}):
        with pytest.raises(PinError, match=r"is not the pinned one: got sha256 .*rows 1.*allowed: sha256 .*rows 2"):
            check(project, **given)


def test_a_catalog_that_reads_something_else_stops_the_run(project):
    other = LongBarsDataset(filepath=str(project.root / "data/other.csv"))
    other.save(BARS)
    with pytest.raises(PinError, match=r"is not the one that raw_bars reads: got .*other\.csv; allowed: .*bars\.csv"):
        check(project, command_line=str(project.pin), catalog={"raw_bars": other})
    with pytest.raises(PinError, match="raw_bars of type EmbeddedPricesDataset"):
        check(project, command_line=str(project.pin), catalog={"raw_bars": EmbeddedPricesDataset()})


def test_a_directory_of_the_processed_format_is_pinned_as_a_whole(project):
    dataset = ProcessedFormatDataset(filepath=str(project.root / "processed"))
    frame = BARS.with_columns(pl.col("date").str.to_date().alias("session")).select("symbol", "session", "close")
    dataset.save(frame)
    pin = str(make_pin(str(project.root / "processed")))
    assert check(project, command_line=pin, catalog={"raw_bars": dataset}).pin.rows == 2
    dataset.save(frame.head(1))
    with pytest.raises(PinError, match="rows 1"):
        check(project, command_line=pin, catalog={"raw_bars": dataset})


def context(project, **params):
    loader = SimpleNamespace(conf_source=str(project.conf))
    return SimpleNamespace(params=params, config_loader=loader, project_path=project.root, env=None)


def test_the_run_records_what_was_pinned_and_by_whom(project, monkeypatch):
    monkeypatch.delenv("CONVICTION_DATASET_PIN", raising=False)
    assert pin_tags(context(project), project.catalog, {"runtime_params": None}) == {"dataset_pin": "none"}
    given = {"dataset_pin": str(project.pin)}
    assert pin_tags(context(project, **given), project.catalog, {"runtime_params": given}) == {
        "dataset_pin": str(project.pin),
        "dataset_pin_origin": "command line",
    }
    with pytest.raises(PinError, match="stands in a parameter file"):
        pin_tags(context(project, **given), project.catalog, {"runtime_params": {}})
