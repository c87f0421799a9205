"""A window given on the command line changes the features made of it, and nothing else; an unknown one is one sentence."""

from __future__ import annotations

import polars as pl
import pytest

pytestmark = pytest.mark.slow


def test_a_window_on_the_command_line_changes_its_features_alone(workspace):
    path = workspace.root / "data/04_feature/feature_matrix.parquet"
    before = pl.read_parquet(path)
    done = workspace.kedro("run", "--pipeline=data_engineering", "--params=features.oscillators.bollinger_window=11")
    assert done.returncode == 0, done.stdout + done.stderr
    after = pl.read_parquet(path)
    assert after.columns == before.columns
    assert [name for name in after.columns if not after[name].equals(before[name])] == ["bb_pct", "bb_width"]


def test_an_unknown_window_is_one_sentence(workspace):
    done = workspace.kedro("run", "--pipeline=data_engineering", "--params=features.oscillators.bolinger_window=11")
    assert done.returncode == 1
    said = [line for line in done.stderr.splitlines() if line.strip()]
    assert said[-1].startswith("ParameterError: 1 parameter(s) are wrong: got features.oscillators.bolinger_window")
    assert "pydantic" not in done.stdout + done.stderr
