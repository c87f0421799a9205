"""The comparison after a replay: the first difference in rows, within a tolerance where one is allowed."""

from __future__ import annotations

from types import SimpleNamespace

import polars as pl
import pytest

from conviction_kedro.run_record import keep_difference
from conviction_kedro.runs._replay_checks import overlaid, overrides
from conviction_kedro.runs._replay_results import compare_metrics, first_difference

FRAME = pl.DataFrame({"symbol": ["A", "A", "B"], "fold": [0, 1, 0], "score": [0.1, None, 0.3], "label": [1, 0, None]})


def changed(row, column, value):
    return FRAME.with_columns(pl.Series(column, [*FRAME[column][:row], value, *FRAME[column][row + 1 :]]))


@pytest.mark.parametrize("tolerance", [0.0, 1e-6])
def test_equal_tables_have_no_difference(tolerance):
    assert first_difference(FRAME, FRAME.clone(), tolerance=tolerance) is None


@pytest.mark.parametrize(
    ("row", "column", "value", "said"),
    [
        (2, "score", 0.4, "score of symbol B, fold 0: 0.3 then, 0.4 now"),
        (1, "score", 0.4, "score of symbol A, fold 1: None then, 0.4 now"),
        (0, "score", None, "score of symbol A, fold 0: 0.1 then, None now"),
        (2, "label", 1, "label of symbol B, fold 0: None then, 1 now"),
    ],
)
@pytest.mark.parametrize("tolerance", [0.0, 1e-6])
def test_the_first_cell_that_differs_is_named(row, column, value, said, tolerance):
    assert first_difference(FRAME, changed(row, column, value), tolerance=tolerance) == said


def test_a_last_digit_is_a_difference_on_the_same_platform_only():
    other = changed(2, "score", 0.3 + 1e-12)
    assert first_difference(FRAME, other, tolerance=0) is not None
    assert first_difference(FRAME, other, tolerance=1e-6) is None


def test_fewer_rows_are_a_difference():
    assert first_difference(FRAME, FRAME.head(2), tolerance=1e-6).startswith("3 rows")


def run(metrics, children):
    def entity(values):
        return SimpleNamespace(data=SimpleNamespace(metrics=values))

    return SimpleNamespace(run=entity(metrics), children={key: entity(values) for key, values in children.items()})


def test_every_metric_counts_but_seconds():
    was = run({"auc": 0.5, "node.a.cpu_seconds": 1.0}, {"relative/x": {"auc": 0.5, "seconds_fit": 1.0}})
    assert compare_metrics(was, run({"auc": 0.5}, {"relative/x": {"auc": 0.5, "seconds_fit": 9.0}}), tolerance=0) == (
        2,
        None,
    )
    _, said = compare_metrics(was, run({"auc": 0.5}, {"relative/x": {"auc": 0.5 + 1e-12}}), tolerance=0)
    assert said.startswith("metric auc of relative/x: 0.5 then")
    assert compare_metrics(was, run({"auc": 0.5}, {"relative/x": {"auc": 0.5 + 1e-12}}), tolerance=1e-6)[1] is None
    assert compare_metrics(was, run({"auc": 0.5}, {}), tolerance=0)[1] == "relative/x is not in the replay"
    assert compare_metrics(was, run({}, {"relative/x": {"auc": 0.5}}), tolerance=0)[1].endswith("None now")


def test_parameters_of_the_run_are_laid_over_those_of_now():
    was = {"seed": 1, "n_jobs": 8, "folds": {"embargo": 5, "purge": 1}, "models": ["a"]}
    now = {"seed": 2, "n_jobs": 2, "folds": {"embargo": 6, "purge": 1}, "models": ["a", "b"]}
    laid = overrides(was, now)
    assert laid == {"seed": 1, "folds": {"embargo": 5}, "models": ["a"]}
    assert overlaid(now, laid) == {**was, "n_jobs": 2}


def test_a_difference_with_a_credential_is_kept_without_it():
    secret = "AKIA" + "Q8ZK2MN4VB7XW1PL"
    kept, said = keep_difference(f"+++ b/x.py\n+a = 1\n+key = '{secret}'\n")
    assert secret not in kept
    assert kept.startswith("+++ b/x.py\n+a = 1\n+[redacted: cloud access key]\n")
    assert said == "redacted: 1 lines that seem to hold credentials"
    assert keep_difference("+a = 1\n") == ("+a = 1\n", "whole")
