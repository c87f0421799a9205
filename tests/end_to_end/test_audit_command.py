"""`kedro audit` and `conviction audit`: exit code 0 pass, 1 leak, 2 unusable input; the report as JSON and as a page."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest
from click.testing import CliRunner

from conviction_kedro.datasets import EmbeddedPricesDataset
from conviction_kedro.standalone import main


@pytest.fixture(scope="module")
def honest() -> pl.DataFrame:
    """Return 8 real stocks with three honest features and an honest target, in the team's columns."""
    bars = EmbeddedPricesDataset(first_session="2019-01-02").load()
    bars = bars.filter(pl.col("symbol").is_in(["AAPL", "CVX", "JNJ", "KO", "MSFT", "PG", "WMT", "XOM"]))
    close = pl.col("close")
    frame = bars.with_columns(
        ret_1d=(close / close.shift(1) - 1).over("symbol"),
        ret_5d=(close / close.shift(5) - 1).over("symbol"),
        sma_20=close.rolling_mean(20).over("symbol"),
        target_1d=(close.shift(-1) / close - 1).over("symbol"),
    )
    direction = (pl.col("target_1d") > 0).cast(pl.Int8)
    return frame.with_columns(direction=direction).rename({"session": "date"})


@pytest.fixture(scope="module")
def leaky(honest) -> pl.DataFrame:
    """Return the same with one feature a session early."""
    return honest.with_columns(ret_5d=pl.col("ret_5d").shift(-1).over("symbol"))


def as_directory(frame: pl.DataFrame, folder: Path) -> Path:
    folder.mkdir()
    for (symbol,), part in frame.group_by("symbol"):
        part.drop("symbol").write_csv(folder / f"{symbol}_features.csv")
    return folder


def audit(*arguments: object):
    return CliRunner().invoke(main, ["audit", *map(str, arguments)])


def test_an_honest_directory_passes(honest, tmp_path):
    result = audit(as_directory(honest, tmp_path / "data"))
    assert result.exit_code == 0, result.output
    assert "PASS" in result.output


@pytest.mark.parametrize("form", ["directory", "parquet", "csv"])
def test_a_leak_is_named_in_every_form(leaky, tmp_path, form):
    path = tmp_path / f"data.{form}"
    if form == "directory":
        as_directory(leaky, path)
    elif form == "csv":
        leaky.write_csv(path)
    else:
        leaky.write_parquet(path)
    report, page = tmp_path / "out" / "report.json", tmp_path / "out" / "report.html"
    result = audit(path, "--report", report, "--html", page)
    assert result.exit_code == 1, result.output
    assert "ret_5d" in result.output
    plain = json.loads(report.read_text())
    assert plain["verdict"] == "fail"
    assert plain["schema_version"] == 1
    guilty = {
        column for finding in plain["findings"] if finding["severity"] == "error" for column in finding["columns"]
    }
    assert guilty == {"ret_5d"}
    assert "ret_5d" in page.read_text()
    assert "http" not in page.read_text().replace("http://www.w3.org/", "")


def test_a_target_under_another_name(leaky, tmp_path):
    path = tmp_path / "data.parquet"
    leaky.drop("direction").rename({"target_1d": "outcome"}).write_parquet(path)
    result = audit(path, "--target", "outcome:1")
    assert result.exit_code == 1
    assert "ret_5d" in result.output


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["nowhere.parquet"], "no such file"),
        (["."], "no dataset in the directory"),
        (["text.txt"], "unknown file format"),
        (["broken.parquet"], "cannot be read"),
        (["no_dates.csv"], "date"),
        (["no_dates.csv", "--target", "y"], "NAME:HORIZON"),
        (["no_dates.csv", "--sources", "missing"], "no such directory"),
    ],
)
def test_unusable_input_is_told_with_exit_code_2(tmp_path, monkeypatch, arguments, words):
    (tmp_path / "text.txt").write_text("x")
    (tmp_path / "broken.parquet").write_bytes(b"PAR1 not really")
    (tmp_path / "no_dates.csv").write_text("symbol,close\nA,1.0\n")
    monkeypatch.chdir(tmp_path)
    result = audit(*arguments)
    assert result.exit_code == 2, result.output
    assert words in result.output


def test_the_command_outside_a_project_and_inside(leaky, tmp_path, finished):
    path = tmp_path / "data.parquet"
    leaky.write_parquet(path)
    script = Path(sys.executable).parent / "conviction"
    outside = subprocess.run([script, "audit", str(path)], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert outside.returncode == 1, outside.stdout + outside.stderr
    inside = finished.kedro("audit", str(path))
    assert inside.returncode == 1, inside.stdout + inside.stderr
    assert "ret_5d" in outside.stdout
    assert "ret_5d" in inside.stdout


UNUSABLE = {
    "no keys": "symbol,date,close\n,,\n,,\n",
    "no rows": "symbol,date,close\n",
    "no date": "symbol,close\nA,1\n",
    "words for dates": "symbol,date,close\nA,hello,1\n",
    "ragged": "symbol,date,close\nA,2024-01-02,1\nA,2024-01-03,1,2,3\n",
}


@pytest.mark.parametrize("text", UNUSABLE.values(), ids=UNUSABLE)
def test_an_unusable_table_ends_with_code_two_and_a_reason(tmp_path, text):
    (tmp_path / "x.csv").write_text(text)
    result = audit(tmp_path / "x.csv")
    assert result.exit_code == 2, result.output
    assert "AuditError" in result.output


def test_an_empty_directory_of_sources_and_a_report_that_cannot_be_written_end_with_code_two(honest, tmp_path):
    data = tmp_path / "x.csv"
    honest.filter(pl.col("symbol") == "KO").tail(80).write_csv(data)
    (tmp_path / "empty").mkdir()
    assert audit(data, "--sources", tmp_path / "empty").exit_code == 2
    result = audit(data, "--report", tmp_path / "empty")
    assert result.exit_code == 2
    assert "cannot be written" in result.output
