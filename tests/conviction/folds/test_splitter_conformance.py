"""Our splitters conform; others fail where docs/splitters.md says so, and for the reason it gives."""

from __future__ import annotations

import math
import re
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from skfolio.model_selection import CombinatorialPurgedCV, WalkForward
from sklearn.model_selection import GroupKFold, KFold, ShuffleSplit, TimeSeriesSplit

from conviction.folds import FoldParameters, make_fold_plan
from conviction.testing import check_splitter, splits_of_plan

HORIZON = 3
PAGE = Path(__file__).resolve().parents[3] / "docs" / "splitters.md"


def make_rows(n_sessions, n_symbols, *, by_session=True):
    days = pl.date_range(date(2020, 1, 1), date(2020, 1, 1) + timedelta(days=n_sessions + HORIZON - 1), eager=True)
    close = days.cast(pl.Datetime("us", "UTC")).dt.offset_by("21h")
    frame = pl.DataFrame({"session": days, "t0": close, "t1": close.shift(-HORIZON)}).drop_nulls()
    rows = pl.concat([frame.with_columns(symbol=pl.lit(f"S{i}")) for i in range(n_symbols)])
    return rows.sort("session", "symbol") if by_session else rows


PANEL = make_rows(242, 5)
ONE = make_rows(242, 1)


def ours(rows, **parameters):
    folds = FoldParameters(purge=0, embargo=2, holdout_sessions=0, min_train_sessions=40, **parameters)
    plan = make_fold_plan(rows.sort("symbol", "session").with_columns(target_3d=pl.lit(0.0)), folds=folds)
    return splits_of_plan(plan, rows)


OURS = {
    "walk_forward, expanding": (lambda rows: ours(rows, n_folds=5), 5, "forward"),
    "walk_forward, rolling": (lambda rows: ours(rows, n_folds=5, mode="rolling", train_sessions=60), 5, "forward"),
    "purged_kfold": (lambda rows: ours(rows, n_folds=5, splitter="purged_kfold"), 5, "once"),
    "combinatorial_purged": (
        lambda rows: ours(rows, n_folds=6, n_test_folds=2, splitter="combinatorial_purged"),
        math.comb(6, 2),
        "equal",
    ),
}


@pytest.mark.parametrize(
    "rows", [PANEL, ONE, make_rows(242, 5, by_session=False)], ids=["panel", "one symbol", "by symbol"]
)
@pytest.mark.parametrize("name", OURS)
def test_our_splitters_conform(name, rows):
    split, n_folds, coverage = OURS[name]
    found = check_splitter(split(rows), split(rows), rows=rows, n_folds=n_folds, coverage=coverage)
    assert found.failures == {}
    assert found.folds == n_folds


def peer(splitter, rows, **kwargs):
    return splitter.split(np.zeros((rows.height, 1)), **kwargs)


SESSIONS = PANEL["session"].to_physical().to_numpy()
PEERS = {
    "sklearn KFold(5)": (lambda rows: peer(KFold(5), rows), 5, "once"),
    "sklearn KFold(5, shuffle=True)": (lambda rows: peer(KFold(5, shuffle=True, random_state=0), rows), 5, "once"),
    "sklearn GroupKFold(5), groups=session": (
        lambda rows: peer(GroupKFold(5), rows, groups=rows["session"].to_physical().to_numpy()), 5, "once"
    ),
    "sklearn ShuffleSplit(5)": (lambda rows: peer(ShuffleSplit(5, random_state=0), rows), 5, "once"),
    "sklearn TimeSeriesSplit(5)": (lambda rows: peer(TimeSeriesSplit(5), rows), 5, "forward"),
    "sklearn TimeSeriesSplit(5, gap=3)": (lambda rows: peer(TimeSeriesSplit(5, gap=3), rows), 5, "forward"),
    "skfolio WalkForward(40, 60)": (lambda rows: peer(WalkForward(test_size=40, train_size=60, reduce_test=True), rows), None, "forward"),
    "skfolio WalkForward(40, 60, purged_size=3)": (
        lambda rows: peer(WalkForward(test_size=40, train_size=60, purged_size=3, reduce_test=True), rows), None, "forward"
    ),
    "skfolio CombinatorialPurgedCV(6, 2)": (
        lambda rows: peer(CombinatorialPurgedCV(n_folds=6, n_test_folds=2), rows), 15, "equal"
    ),
    "skfolio CombinatorialPurgedCV(6, 2, purged_size=3)": (
        lambda rows: peer(CombinatorialPurgedCV(n_folds=6, n_test_folds=2, purged_size=3), rows), 15, "equal"
    ),
}  # fmt: skip


def verdict(name, rows):
    split, n_folds, coverage = PEERS[name]
    made = list(split(rows))
    wanted = len(made) if n_folds is None else n_folds
    return check_splitter(made, list(split(rows)), rows=rows, n_folds=wanted, coverage=coverage)


@pytest.mark.parametrize("name", PEERS)
def test_the_page_says_which_checks_a_peer_fails(name):
    cells = {}
    for line in PAGE.read_text(encoding="utf-8").splitlines():
        if line.startswith(f"| `{name}`"):
            cells["panel"], cells["one"] = re.split(r"\s*\|\s*", line.strip("| "))[1:3]
    for kind, rows in (("panel", PANEL), ("one", ONE)):
        failures = verdict(name, rows).failures
        assert cells[kind] == (", ".join(failures) or "passes"), (kind, failures)


def test_each_check_fires_on_its_own_defect():
    good = ours(PANEL, n_folds=4)
    call = {"rows": PANEL, "n_folds": 4, "coverage": "forward"}
    assert check_splitter(good, good, **call).passed

    def failed(splits, again=None):
        return set(check_splitter(splits, splits if again is None else again, **call).failures)

    assert failed(good[:3]) == {"counts", "coverage"}
    assert failed([*good[:3], (good[3][0][:0], good[3][1])]) == {"not_empty"}
    assert failed([*good[:3], (np.append(good[3][0], good[3][0][0]), good[3][1])]) == {"disjoint"}
    assert failed([*good[:3], (np.append(good[3][0], good[3][1][0]), good[3][1])]) == {
        "disjoint", "whole_sessions", "label_spans"
    }  # fmt: skip
    assert failed([*good[:3], (good[3][0], good[3][1][:-1])]) == {"coverage"}
    assert failed(good, again=good[::-1]) == {"same_again"}
    # One row of a test session given to training, out of the test part: the session is torn.
    torn = (np.append(good[0][0], good[0][1][0]), good[0][1][1:])
    assert failed([torn, *good[1:]]) == {"whole_sessions", "coverage", "label_spans"}
    # The last purged session given back to training: only its label gives it away.
    first = SESSIONS[good[0][1][0]]
    purged, kept = (np.flatnonzero(first - SESSIONS == back) for back in (HORIZON, HORIZON + 1))
    assert failed([(np.append(good[0][0], purged), good[0][1]), *good[1:]]) == {"label_spans"}
    assert failed([(np.append(good[0][0], kept), good[0][1]), *good[1:]]) == set()
