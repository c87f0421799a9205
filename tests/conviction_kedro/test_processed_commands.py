"""Export and repair of the processed format through the commands a user types."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import polars as pl
import pytest
from click.testing import CliRunner

from conviction.panel import build_panel
from conviction_kedro.cli import cli
from conviction_kedro.datasets import ProcessedFormatDataset
from conviction_kedro.processed import export_processed

SYMBOLS = ["AAPL", "KO", "XOM"]


@pytest.fixture
def bars(embedded_bars):
    return embedded_bars.filter(
        pl.col("symbol").is_in(SYMBOLS) & pl.col("session").is_between(pl.date(2022, 1, 3), pl.date(2022, 3, 31))
    )


@pytest.fixture
def exported(bars):
    panel = build_panel(bars, calendar="XNYS", decision="close", market=None, vix=None, membership=None)
    matrix = bars.select("symbol", "session", factor_07=pl.lit(0.5, dtype=pl.Float32))
    catalog = {
        name: SimpleNamespace(load=lambda f=frame: f) for name, frame in (("panel", panel), ("feature_matrix", matrix))
    }
    return export_processed(catalog, calendar="XNYS", decision="close")


def test_an_export_holds_the_returns_that_followed(exported, bars):
    assert exported.columns == [
        *("symbol", "session", "close", "factor_07"),
        *("target_1d", "target_3d", "target_5d", "target_10d", "direction"),
    ]
    for symbol in SYMBOLS:
        closes = bars.filter(pl.col("symbol") == symbol)["close"].to_numpy()
        rows = exported.filter(pl.col("symbol") == symbol)
        for horizon in (1, 3, 5, 10):
            true = np.append(closes[horizon:] / closes[:-horizon] - 1, [np.nan] * horizon)
            np.testing.assert_allclose(rows[f"target_{horizon}d"].to_numpy(), true, rtol=1e-12)
        assert rows["direction"].to_list() == [
            None if np.isnan(x) else int(x > 0) for x in rows["target_1d"].fill_null(np.nan)
        ]


def test_a_repair_puts_right_what_was_shifted_and_touches_nothing_else(exported, tmp_path):
    source, target = str(tmp_path / "theirs"), str(tmp_path / "repaired")
    shifted = exported.with_columns(
        pl.col("target_1d").shift(-1).over("symbol"),
        pl.col("direction").shift(1).over("symbol"),
        seen=pl.int_range(pl.len()),
    )
    ProcessedFormatDataset(filepath=source).save(shifted)
    done = CliRunner().invoke(cli, ["repair", source, target])
    assert done.exit_code == 0, done.output
    lines = {
        line.split()[0]: line.split() for line in done.output.splitlines() if line.startswith(("target_", "direction"))
    }
    assert lines["target_3d"][4:] == ["1.000", "1.000", "0"]
    assert float(lines["target_1d"][4]) < 0.1
    assert int(lines["direction"][6]) > 50
    repaired = ProcessedFormatDataset(filepath=target).load()
    assert repaired.select(exported.columns).equals(exported.with_columns(pl.col("factor_07").cast(pl.Float64)))
    assert repaired["seen"].to_list() == shifted["seen"].to_list()
    assert ProcessedFormatDataset(filepath=source).load().select("direction").equals(shifted.select("direction"))


def test_a_repair_refuses_to_overwrite_and_names_a_bad_directory(exported, tmp_path):
    same = CliRunner().invoke(cli, ["repair", str(tmp_path), f"{tmp_path}/"])
    assert same.exit_code == 2
    assert "another directory" in same.output
    nothing = CliRunner().invoke(cli, ["repair", str(tmp_path / "none"), str(tmp_path / "out")])
    assert nothing.exit_code == 1
    assert "UniverseError: no {SYMBOL}_features.csv" in nothing.output
