"""The audit of the workspace: silent on the honest one, loud on each planted defect, and it names the culprit."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, timedelta

import polars as pl
import pytest

from conviction.errors import AuditError, FrameError
from conviction.features import Feature

from .conftest import FEATURES, Workspace, build

CLOSE = pl.col("close")


def errors(report, check=None):
    return {column for f in report.errors if check in (None, f.check) for column in f.columns}


def test_the_honest_workspace_passes_and_every_column_is_proved(workspace: Workspace):
    report = workspace.audit()
    assert report.findings == ()
    assert report.quality["proved_causal"] == sorted(f.name for f in FEATURES)
    assert {p.column for p in report.profiles} == {f.name for f in FEATURES}
    assert {c.name for c in report.checks} >= {"truncation", "label_recomputation", "fold_plan", "lookback", "warm_up"}


PLANTED = {
    "target_1d_copy": (CLOSE.shift(-1) / CLOSE - 1).over("symbol"),
    "shifted": CLOSE.shift(-1).over("symbol"),
    "centred": CLOSE.rolling_mean(5, center=True).over("symbol"),
    "zscore": ((CLOSE - CLOSE.mean()) / CLOSE.std()).over("symbol"),
    "back_filled": (CLOSE / CLOSE.shift(30) - 1).fill_null(strategy="backward").over("symbol"),
    "one_symbol": pl.when(pl.col("symbol") == "AMD").then(CLOSE.shift(-1)).otherwise(CLOSE).over("symbol"),
    "over_borders": CLOSE.rolling_mean(10),
    "length": CLOSE * pl.len().over("symbol"),
}


@pytest.mark.parametrize("name", PLANTED)
def test_a_planted_leak_fails_the_audit_and_is_named_alone(workspace: Workspace, name: str):
    report = workspace.with_planted(**{name: PLANTED[name]}).audit()
    assert report.verdict == "fail"
    assert errors(report, "truncation") == {name}
    assert errors(report) == {name}


HONEST = {
    "past_shift": (CLOSE.shift(1) / CLOSE - 1).over("symbol"),
    "trailing": CLOSE.rolling_mean(5).over("symbol"),
    "expanding": ((CLOSE - CLOSE.cum_sum() / CLOSE.cum_count()) / CLOSE).over("symbol"),
    "forward_filled": (CLOSE / CLOSE.shift(30) - 1).fill_null(strategy="forward").over("symbol"),
    "weekday": pl.col("session").dt.weekday(),
    "cross_section": CLOSE.rank().over("session"),
}


@pytest.mark.parametrize("name", HONEST)
def test_the_clean_twin_passes(workspace: Workspace, name: str):
    assert workspace.with_planted(**{name: HONEST[name]}).audit().findings == ()


def test_a_copy_of_the_target_is_called_one(workspace: Workspace):
    report = workspace.with_planted(x=PLANTED["target_1d_copy"]).audit()
    (finding,) = [f for f in report.errors if f.check == "target_copy"]
    assert finding.columns == ("x",)
    assert finding.evidence["target"] == "target_1d"
    assert errors(report, "lead_lag") == {"x"}


def test_reach_of_a_leak_is_measured_in_sessions(workspace: Workspace):
    report = workspace.with_planted(x=CLOSE.shift(-3).over("symbol")).audit()
    (finding,) = [f for f in report.errors if f.check == "truncation"]
    assert finding.evidence["reads_sessions_ahead"] == 3


def test_a_leak_that_needs_a_future_long_enough_is_seen_by_perturbation(workspace: Workspace):
    # On cut data the column is the same; only changed later prices show it.
    leak = pl.when(CLOSE.shift(-60).is_not_null()).then(CLOSE.shift(-60) / CLOSE.shift(-60) * CLOSE).otherwise(CLOSE)
    jump = pl.when(CLOSE.shift(-1) > 1.2 * CLOSE).then(1.0).otherwise(0.0)
    report = workspace.with_planted(calm=leak.over("symbol"), jump=jump.over("symbol")).audit()
    assert errors(report, "future_perturbation") == {"jump"}


def test_a_matrix_of_other_code_is_refused(workspace: Workspace):
    stale = workspace.matrix.with_columns(
        ret_1d=pl.when(pl.int_range(pl.len()) == 700).then(0.5).otherwise(pl.col("ret_1d")).cast(pl.Float32)
    )
    assert errors(replace(workspace, matrix=stale).audit(), "truncation") == {"ret_1d"}


def test_a_column_that_the_code_does_not_give_is_refused(workspace: Workspace):
    foreign = workspace.matrix.with_columns(vendor=pl.lit(1.0, pl.Float32))
    report = replace(workspace, matrix=foreign).audit()
    assert errors(report, "declarations") == errors(report, "truncation") == {"vendor"}


def test_a_label_column_among_the_features_is_refused(workspace: Workspace):
    report = workspace.with_planted(direction=CLOSE).audit()
    assert errors(report, "declarations") == {"direction"}


def test_an_understated_look_back_is_an_error_and_an_endless_one_is_not(workspace: Workspace):
    understated = tuple(replace(f, lookback=10) if f.name == "mean_20" else f for f in FEATURES)
    (finding,) = workspace.audit(features=understated).errors
    assert (finding.check, finding.columns) == ("lookback", ("mean_20",))
    assert finding.evidence == {"declared": 10, "measured": 19}
    endless = tuple(replace(f, lookback=10) if f.name == "ewm" else f for f in FEATURES)
    assert errors(workspace.audit(features=endless), "lookback") == {"ewm"}


def test_partial_windows_are_a_note_when_proved(workspace: Workspace):
    partial = workspace.with_planted(19, x=CLOSE.rolling_mean(20, min_samples=1).over("symbol"))
    (finding,) = partial.audit().findings
    assert (finding.check, finding.severity, finding.columns) == ("warm_up", "info", ("x",))


ONE_ROW = pl.int_range(pl.len()) == 500
LABEL_DEFECTS = {
    "same_day": ({"target_1d": (CLOSE / CLOSE.shift(1) - 1).over("symbol")}, "target_1d"),
    "one_value": ({"target_1d": pl.when(ONE_ROW).then(0.123).otherwise(pl.col("target_1d"))}, "target_1d"),
    "last_filled": ({"target_1d": pl.col("target_1d").fill_null(0.0)}, "target_1d"),
    "inverted": ({"direction": (1 - pl.col("direction")).cast(pl.Int8)}, "direction"),
    "one_class": (
        {"relative": pl.when(ONE_ROW).then(1 - pl.col("relative")).otherwise(pl.col("relative")).cast(pl.Int8)},
        "relative",
    ),
    "early_t0": ({"t0": pl.col("t0").dt.offset_by("-1h")}, "t0"),
    "late_t1": ({"t1": pl.col("t1").dt.offset_by("1d")}, "t1"),
}


@pytest.mark.parametrize("name", LABEL_DEFECTS)
def test_a_wrong_label_is_named(workspace: Workspace, name: str):
    changes, guilty = LABEL_DEFECTS[name]
    close = workspace.panel.select("symbol", "session", "close")
    labels = (
        workspace.labels.join(close, on=["symbol", "session"])
        .sort("symbol", "session")
        .with_columns(**changes)
        .drop("close")
    )
    report = replace(workspace, labels=labels).audit()
    assert guilty in errors(report, "label_recomputation")
    assert errors(report, "truncation") == set()


def test_a_bar_known_after_the_decision_is_an_error(workspace: Workspace):
    late = workspace.panel.with_columns(known_at=pl.col("known_at").dt.offset_by("1s"))
    assert errors(replace(workspace, panel=late).audit(), "moments") == {"known_at"}


def test_a_decision_after_the_span_began_is_an_error(workspace: Workspace):
    late = workspace.panel.with_columns(decision_at=pl.col("decision_at").dt.offset_by("1s"))
    assert errors(replace(workspace, panel=late).audit(), "moments") == {"decision_at"}


def test_labels_from_the_next_open_agree_with_their_own_recomputation(workspace: Workspace):
    from conviction.folds import FoldParameters, make_fold_plan
    from conviction.labels import make_labels
    from conviction.panel import build_panel

    bars = workspace.panel.select("symbol", "session", "close").with_columns(
        open=(CLOSE * (1 + 0.001 * ((pl.int_range(pl.len()) % 7) - 3)))
    )
    member = pl.DataFrame(
        {
            "symbol": bars["symbol"].unique().sort(),
            "from": [date(2020, 1, 1)] * 8,
            "to": [None] * 7 + [date(2021, 6, 1)],
        }
    )
    membership = member.with_columns(pl.col("to").cast(pl.Date))
    panel = build_panel(
        bars, calendar="XNYS", decision="before_next_open", market=None, vix=None, membership=membership
    )
    labels = make_labels(panel, calendar="XNYS", horizon=3, decision="before_next_open")
    folds = FoldParameters(purge=3, embargo=5, holdout_sessions=60, n_folds=3, min_train_sessions=200)
    plan = make_fold_plan(labels, folds=folds).frame
    report = Workspace(panel, build(panel), labels, plan).audit(horizon=3, decision="before_next_open", purge=3)
    assert report.findings == ()


def relabel(plan: pl.DataFrame, fold: int, when: pl.Expr, role: str) -> pl.DataFrame:
    return plan.with_columns(role=pl.when((pl.col("fold") == fold) & when).then(pl.lit(role)).otherwise(pl.col("role")))


def test_fold_defects_are_named(workspace: Workspace):
    plan = workspace.plan_frame
    near = pl.col("role").is_in(["purged", "embargo"])
    assert errors_of(workspace, relabel(plan, 1, near, "train")) == {"fold_embargo"}
    assert errors_of(workspace, relabel(plan, 1, pl.col("role") == "embargo", "train")) == {"fold_embargo"}
    assert errors_of(workspace, relabel(plan, 0, pl.col("role") == "holdout", "train")) >= {"holdout"}
    assert errors_of(workspace, plan.filter(~((pl.col("fold") == 0) & (pl.col("role") == "train")))) == {"fold_roles"}
    assert errors_of(workspace, pl.concat([plan, plan.head(1)])) >= {"fold_roles"}
    assert errors_of(workspace, plan) == set()


def errors_of(workspace: Workspace, plan: pl.DataFrame) -> set[str]:
    return {f.check for f in replace(workspace, plan_frame=plan).audit().errors}


def test_a_longer_label_than_the_purge_is_an_overlap(workspace: Workspace):
    labels = workspace.labels.with_columns(t1=pl.col("t1").dt.offset_by("30d"))
    found = {f.check for f in replace(workspace, labels=labels).audit().errors}
    assert found >= {"fold_overlap", "label_recomputation"}


def test_sessions_the_exchange_did_not_hold_are_unusable(workspace: Workspace):
    panel = workspace.panel.with_columns(pl.col("session") + timedelta(days=1)).sort("symbol", "session")
    with pytest.raises(AuditError, match="did not hold"):
        replace(workspace, panel=panel).audit()


def test_unsorted_frames_are_refused(workspace: Workspace):
    with pytest.raises(FrameError, match="not sorted"):
        replace(workspace, matrix=workspace.matrix.reverse()).audit()


def test_the_same_audit_gives_the_same_report(workspace: Workspace):
    def stable(report):
        plain = report.to_dict()
        for check in plain["checks"]:
            del check["seconds"]
        return plain

    assert stable(workspace.audit(seed=3)) == stable(workspace.audit(seed=3))


def test_declared_features_are_read_by_name_and_look_back_only(workspace: Workspace):
    undeclared = tuple(f for f in FEATURES if f.name != "ewm")
    assert errors(workspace.audit(features=undeclared), "declarations") == {"ewm"}
    assert isinstance(FEATURES[0], Feature)


def test_a_column_that_reads_other_symbols_is_listed_and_accused_where_it_may_not(workspace: Workspace):
    planted = workspace.with_planted(breadth=CLOSE.rank().over("session"))
    report = planted.audit()
    assert report.verdict == "pass"
    assert report.quality["reads_across_symbols"] == ["breadth"]
    assert planted.audit(across={"breadth"}).verdict == "pass"
    strict = planted.audit(across=set())
    assert errors(strict, "symbols_dropped") == {"breadth"}


def test_a_column_that_two_builds_give_differently_is_accused(workspace: Workspace):
    calls = iter(range(1000))

    def restless(panel: pl.DataFrame) -> pl.DataFrame:
        return build(panel, {}).with_columns(restless=pl.lit(float(next(calls))))

    given = replace(workspace, matrix=workspace.matrix.with_columns(restless=pl.lit(0.0)))
    report = given.audit(build=restless)
    assert errors(report, "rows_shuffled") == {"restless"}
    assert "rows_shuffled" in {check.name for check in workspace.audit().checks}
    assert errors(workspace.audit(), "rows_shuffled") == set()
