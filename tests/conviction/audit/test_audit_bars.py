"""The audit of intraday bars: each bar is a decision, so a leak of one bar inside a session is caught."""

from __future__ import annotations

from datetime import date

import numpy as np
import polars as pl
import pytest

from conviction.audit import audit_workspace, certify
from conviction.errors import AuditError
from conviction.features import FeatureParameters, build_features
from conviction.folds import FoldParameters, make_fold_plan
from conviction.labels import make_intraday_labels
from conviction.market import bar_grid, exchange_sessions
from conviction.panel import build_intraday_panel

PARAMETERS = FeatureParameters(sets=(), names=("ret_1d", "vol_5", "sma_ratio_5", "xs_rank_ret_1d"), within="session")
MINUTES = 60


@pytest.fixture(scope="module")
def panel():
    rng = np.random.default_rng(5)
    # July has a session of three and a half hours, the day before the holiday.
    sessions = exchange_sessions("XNYS", date(2024, 5, 1), date(2024, 7, 31))
    grid = bar_grid("XNYS", sessions, minutes=MINUTES).select("session", "bar_end")
    frames = []
    for symbol in ("A", "B", "C", "D"):
        close = 50.0 * np.exp(np.cumsum(rng.normal(0.0, 0.004, grid.height)))
        opening = close * np.exp(rng.normal(0.0, 0.001, grid.height))
        one = grid.with_columns(symbol=pl.lit(symbol), open=pl.Series(opening), close=pl.Series(close))
        frames.append(one.filter(pl.Series(rng.random(grid.height) < 0.97)))
    bars = pl.concat(frames).select("symbol", "session", "bar_end", "open", "close").sort("symbol", "bar_end")
    return build_intraday_panel(bars, membership=None)


def labels_of(panel, decision):
    return make_intraday_labels(panel, calendar="XNYS", minutes=MINUTES, horizon=1, decision=decision)


def plan_of(labels):
    folds = FoldParameters(purge=1, embargo=1, holdout_sessions=8, n_folds=2, min_train_sessions=20)
    return make_fold_plan(labels, folds=folds)


def build(panel):
    return build_features(panel, features=PARAMETERS).matrix


def audit(panel, *, build=build, labels=None, decision="before_next_open", minutes=MINUTES):
    labels = labels_of(panel, decision) if labels is None else labels
    declared = build_features(panel.head(1), features=PARAMETERS).features
    matrix = build(panel)
    plan = plan_of(labels).frame
    report = audit_workspace(
        panel, matrix, labels, plan, build=build, features=declared, calendar="XNYS", horizon=1,
        decision=decision, purge=1, embargo=1, minutes=minutes, n_cuts=6,
    )  # fmt: skip
    return report, matrix, labels, plan


@pytest.mark.parametrize("decision", ["close", "before_next_open"])
def test_honest_bars_pass_and_are_certified_bar_by_bar(panel, decision):
    report, matrix, labels, plan = audit(panel, decision=decision)
    assert report.verdict == "pass", report.to_table()
    assert report.warnings == ()
    audited = certify(report, panel=panel, matrix=matrix, labels=labels, plan_frame=plan, code_sha="x")
    assert audited.frame.select("symbol", "session", "bar_end").equals(panel.select("symbol", "session", "bar_end"))
    assert audited.features == PARAMETERS.names
    assert audited.return_columns == ("target_60min",)


def test_a_feature_that_reads_the_next_bar_of_its_session_is_caught(panel):
    def leaking(frame):
        ahead = frame.select((pl.col("close").shift(-1) / pl.col("close") - 1.0).over("symbol", "session"))
        return build(frame).with_columns(ahead.to_series().cast(pl.Float32).alias("ret_1d"))

    report, *_ = audit(panel, build=leaking)
    assert report.verdict == "fail"
    assert "ret_1d" in {name for finding in report.errors for name in finding.columns}
    assert "truncation" in {finding.check for finding in report.errors}


def test_a_label_that_reaches_over_the_close_is_caught(panel):
    labels = labels_of(panel, "close")
    over = panel.select(pl.col("close").shift(-1).over("symbol") / pl.col("close") - 1.0).to_series()
    overnight = labels.with_columns(target_60min=pl.coalesce("target_60min", over))
    report, *_ = audit(panel, labels=overnight, decision="close")
    guilty = {name for finding in report.errors for name in finding.columns}
    assert guilty == {"target_60min"}


def test_a_relative_label_against_the_whole_session_is_caught(panel):
    labels = labels_of(panel, "close")
    value, middle = pl.col("target_60min"), pl.col("target_60min").median().over("session")
    report, *_ = audit(panel, labels=labels.with_columns(relative=(value > middle).cast(pl.Int8)), decision="close")
    assert {name for finding in report.errors for name in finding.columns} == {"relative"}


def test_daily_bars_with_minutes_are_refused(panel):
    daily = panel.group_by("symbol", "session", maintain_order=True).last().drop("bar_end")
    with pytest.raises(AuditError, match="bar_end"):
        audit(
            daily, labels=labels_of(panel, "close").unique(["symbol", "session"], maintain_order=True).drop("bar_end")
        )
