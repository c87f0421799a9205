"""Bad input: one clear sentence, exit code 1, nothing trained, nothing that was saved is damaged."""

from __future__ import annotations

import re
from datetime import date
from pathlib import Path

import polars as pl
import pytest
import yaml

from conviction_kedro.datasets import EmbeddedPricesDataset

SMALL = yaml.safe_load((Path(__file__).parent / "small.yml").read_text())


@pytest.fixture
def prices() -> pl.DataFrame:
    """Return three real stocks as a vendor's long table."""
    frame = EmbeddedPricesDataset(first_session="2018-01-02").load().filter(pl.col("symbol").is_in(["KO", "PG", "XOM"]))
    return frame.rename({"session": "date"})


def refused(workspace, *arguments: str, **environment: str) -> str:
    """Run, expect the refusal, and return its sentence."""
    before = workspace.bytes_of("0*/*.parquet", "06_models/*")
    assert before
    done = workspace.kedro("run", *arguments, **environment)
    assert done.returncode == 1, done.stdout + done.stderr
    assert "tuning" not in done.stdout, "something was trained"
    assert "Traceback" not in done.stderr, "a user sees a sentence, not a trace"
    after = workspace.bytes_of("0*/*.parquet", "06_models/*")
    assert {name: after[name] for name in before} == before
    return done.stderr


def from_table(workspace, frame: pl.DataFrame) -> str:
    """Run on a table of prices."""
    path = workspace.root / "prices.csv"
    frame.write_csv(path)
    return refused(workspace, "--env=sp500", f"--params=paths.bars={path}")


BROKEN = {
    "duplicated rows": (lambda p: pl.concat([p, p.head(1)]).sort("symbol", "date"), "BarsError.*duplicate"),
    "unsorted rows": (lambda p: p.sort("date", descending=True), "BarsError.*sort"),
    "a negative price": (
        lambda p: p.with_columns(close=pl.when(pl.col("date") == date(2019, 3, 1)).then(-1.0).otherwise("close")),
        "BarsError.*non_positive_price",
    ),
    "a session that has not been yet": (
        lambda p: p.with_columns(date=pl.col("date").dt.offset_by("20y")).filter(pl.col("date").dt.weekday() < 6),
        "BarsError.*future_session",
    ),
    "no rows": (lambda p: p.clear(), "Error.*(0 rows|no session|empty)"),
}


@pytest.mark.parametrize("kind", sorted(BROKEN))
def test_a_broken_table_is_refused(workspace, prices, kind):
    break_it, words = BROKEN[kind]
    said = from_table(workspace, break_it(prices))
    assert re.search(words, said, flags=re.DOTALL), said


def test_an_empty_universe(workspace):
    workspace.configure({"universe": "none", "universes": {"none": []}})
    assert "UniverseError: the universe is empty" in refused(workspace)


def test_a_missing_symbol(workspace):
    workspace.configure({"universe": "two", "universes": {"two": ["KO", "NOSUCH"]}})
    said = refused(workspace)
    assert "NOSUCH" in said
    assert "allow_missing" in said


def test_a_holdout_longer_than_the_data(workspace):
    workspace.configure({**SMALL, "folds": {"holdout_sessions": 99999}})
    said = refused(workspace)
    assert "FoldError" in said
    assert "99999" in said


def test_an_unknown_parameter(workspace):
    said = refused(workspace, "--params=univers=aapl")
    assert "ParameterError" in said
    assert "univers: Extra inputs are not permitted" in said


def test_no_path_where_one_is_needed(workspace):
    assert "CONVICTION_BARS" in refused(workspace, "--env=sp500")


def test_a_path_that_does_not_exist(workspace):
    assert "nowhere.csv" in refused(workspace, "--env=sp500", CONVICTION_BARS="nowhere.csv")


def test_synthetic_prices_are_refused_by_a_real_run(workspace):
    from conviction.testing import synthetic_market

    bars = synthetic_market(n_symbols=4, n_sessions=300, seed=1).bars.rename({"session": "date"})
    assert "synthetic prices in a real run" in from_table(workspace, bars)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--pipeline=modelling"], "unknown pipeline.*did you mean 'modeling'"),
        (["--env=nowhere"], "unknown environment.*sp500"),
        (["--params=folds.n_folds=abc"], "folds.*n_folds.*valid integer"),
    ],
)
def test_a_mistyped_command_is_refused(workspace, arguments, words):
    said = refused(workspace, *arguments)
    assert re.search(words, said, flags=re.DOTALL), said
