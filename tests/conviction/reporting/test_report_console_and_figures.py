"""The console summary keeps to its lines; the Plotly figures say the same as the table."""

from __future__ import annotations

import dataclasses
import json
import re

import polars as pl
import pytest

from conviction.reporting import FIGURE_NAMES, console_summary, figures
from conviction.reporting._console import MOST_LINES

STEPS = {"report": "data/08_reporting/report.html", "compare runs": "make ui", "see the flow": "make viz"}


def test_the_verdict_comes_first_and_where_to_look_next_last(contents):
    lines = console_summary(contents, next_steps=STEPS).splitlines()
    assert lines[0] == "VERDICT  Above chance and above the baselines (relative only)"
    assert lines[-4:] == [
        "NEXT",
        "  report        data/08_reporting/report.html",
        "  compare runs  make ui",
        "  see the flow  make viz",
    ]
    assert len(lines) <= MOST_LINES
    assert max(map(len, lines)) <= 120


def test_each_score_line_has_its_intervals(contents):
    lines = console_summary(contents).splitlines()
    line = next(line for line in lines if "relative" in line and "reversal_1d" in line and line.startswith("  b"))
    assert "0.502 [0.496, 0.508]" in line
    assert line.count("[") == 3


def test_many_models_do_not_push_the_summary_over_its_length_and_are_counted(make, contents):
    many = pl.concat(
        contents.scores.with_columns(pl.format("{}_{}", "model", pl.lit(number)).alias("model")) for number in range(6)
    )
    text = console_summary(make(scores=many, ensemble=()), next_steps=STEPS)
    lines = text.splitlines()
    assert len(lines) == MOST_LINES
    shown = sum(re.match(r"  [ bH]    \w+ +\w+ +0\.", line) is not None for line in lines)
    counted = next(int(line.split()[1]) for line in lines if "more rows in the report" in line)
    assert shown + counted == many.height
    assert lines[-1].endswith("make viz")


def test_a_failed_audit_is_the_first_thing_said(make):
    lines = console_summary(make(failed=True)).splitlines()
    assert lines[0] == "VERDICT  Do not use"
    assert any(line.startswith("AUDIT    fail; errors: 1, warnings: 1") for line in lines)


def test_the_figures_are_always_the_same_names(make, contents):
    audit = dataclasses.replace(contents.audit, profiles=())
    bare = figures(make(symbols=(), daily_auc=None, audit=audit))
    assert tuple(bare) == FIGURE_NAMES
    assert tuple(figures(contents)) == FIGURE_NAMES
    for name in ("daily_auc", "lead_lag", "per_symbol"):
        assert bare[name].layout.annotations[0].text.startswith("Not shown: ")
        assert not bare[name].data


def test_the_forest_shows_the_scores_of_the_table_with_their_intervals(contents):
    forest = figures(contents)["auc_forest"]
    drawn = sorted(
        (value, value - below, value + above)
        for trace in forest.data
        for value, below, above in zip(trace.x, trace.error_x.arrayminus, trace.error_x.array, strict=True)
    )
    table = sorted(contents.scores.select("auc_daily", "auc_daily_lo", "auc_daily_hi").rows())
    assert len(drawn) == len(table)
    for left, right in zip(drawn, table, strict=True):
        assert left == pytest.approx(right)


def test_figures_survive_their_json_and_stay_small(contents):
    import plotly.io

    for name, figure in figures(contents).items():
        text = figure.to_json()
        assert len(text) < 200_000, name
        assert json.loads(plotly.io.from_json(text).to_json()) == json.loads(text)


def test_the_timeline_covers_each_session_of_each_fold(contents):
    timeline = figures(contents)["folds"]
    covered = sum(item[2] for trace in timeline.data for item in trace.customdata)
    assert covered == contents.folds.height
