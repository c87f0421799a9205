"""A fold plan names each session once a fold, and no label that trains a fold reaches what the fold is scored on."""

from __future__ import annotations

from datetime import date, timedelta
from itertools import pairwise

import numpy as np
import polars as pl
import pytest
from hypothesis import given, reject, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from conviction.errors import FoldError
from conviction.folds import HOLDOUT_FOLD, FoldParameters, FoldPlan, contaminated_by, make_fold_plan


def make_labels(n, *, horizon=1, symbols=("A", "B")):
    """Labels over every n-th calendar day; the last `horizon` sessions have no future."""
    days = pl.date_range(date(2019, 1, 1), date(2019, 1, 1) + timedelta(days=n - 1), eager=True)
    close = days.cast(pl.Datetime("us", "UTC")).dt.offset_by("21h")
    frame = pl.DataFrame({"session": days, "t0": close, "t1": close.shift(-horizon)}).with_columns(
        direction=pl.when(pl.col("t1").is_not_null()).then(pl.lit(1, pl.Int8)),
        target_1d=pl.when(pl.col("t1").is_not_null()).then(0.01),
    )
    return pl.concat([frame.select(pl.lit(s).alias("symbol"), pl.all()) for s in symbols])


def roles_of(plan, fold):
    return dict(plan.frame.filter(pl.col("fold") == fold).select("session", "role").iter_rows())


def slow_contaminated(labels, scored, *, purge):
    """The definition, one pair at a time: which sessions may not train a fold that is scored on `scored`."""
    spans = {row["session"]: (row["t0"], row["t1"]) for row in labels.iter_rows(named=True) if row["t1"] is not None}
    order = sorted(spans)
    place = {session: i for i, session in enumerate(order)}
    bad = set()
    for session in order:
        for other in scored:
            overlap = spans[session][0] <= spans[other][1] and spans[session][1] >= spans[other][0]
            if overlap or abs(place[session] - place[other]) <= purge:
                bad.add(session)
    return bad


plans = st.fixed_dictionaries(
    {
        "splitter": st.sampled_from(["walk_forward", "purged_kfold", "combinatorial_purged"]),
        "purge": st.integers(0, 6),
        "embargo": st.integers(0, 8),
        "holdout_sessions": st.integers(0, 30),
        "n_folds": st.integers(2, 5),
        "inner_fraction": st.floats(0.05, 0.5),
    }
)


@settings(deadline=None, max_examples=60)
@given(parameters=plans, horizon=st.integers(1, 5), n=st.integers(150, 260), rolling=st.booleans())
def test_every_plan_is_exhaustive_disjoint_and_free_of_overlap(parameters, horizon, n, rolling):
    parameters = dict(parameters, min_train_sessions=20)
    if parameters["splitter"] == "combinatorial_purged":
        parameters["n_test_folds"] = 1 if parameters["n_folds"] == 2 else 2
    if parameters["splitter"] == "walk_forward" and rolling:
        parameters.update(mode="rolling", train_sessions=30)
    labels = make_labels(n, horizon=horizon, symbols=("A",))
    try:
        plan = make_fold_plan(labels, folds=FoldParameters(**parameters))
    except FoldError:
        reject()
    labelled = labels.filter(pl.col("t1").is_not_null())["session"].to_list()
    for fold in (*plan.folds, *([HOLDOUT_FOLD] if plan.has_holdout else [])):
        roles = roles_of(plan, fold)
        assert sorted(roles) == labelled
        fitted = {s for s, role in roles.items() if role in ("train", "inner")}
        scored = [s for s, role in roles.items() if role in ("test", "holdout")]
        assert not fitted & slow_contaminated(labels, scored, purge=parameters["purge"])
        train = {s for s, role in roles.items() if role == "train"}
        inner = [s for s, role in roles.items() if role == "inner"]
        assert not train & slow_contaminated(labels, inner, purge=parameters["purge"])
        if fold != HOLDOUT_FOLD:
            assert list(plan.holdout) == [s for s, role in roles.items() if role == "holdout"]
            assert len(plan.holdout) == parameters["holdout_sessions"]


def test_nothing_but_contaminated_or_embargoed_sessions_is_left_out():
    labels = make_labels(300, horizon=3, symbols=("A",))
    plan = make_fold_plan(
        labels,
        folds=FoldParameters(purge=2, embargo=4, holdout_sessions=0, splitter="purged_kfold", n_folds=3).model_copy(
            update={"min_train_sessions": 50}
        ),
    )
    order = labels.filter(pl.col("t1").is_not_null())["session"].to_list()
    roles = roles_of(plan, 1)
    test = [i for i, s in enumerate(order) if roles[s] == "test"]
    assert [roles[order[i]] for i in range(test[0] - 8, test[0])] == ["train"] + ["embargo"] * 4 + ["purged"] * 3
    assert [roles[order[i]] for i in range(test[-1] + 1, test[-1] + 9)] == ["purged"] * 3 + ["embargo"] * 4 + ["train"]


def test_walk_forward_counts_and_order():
    labels = make_labels(501)
    plan = make_fold_plan(
        labels,
        folds=FoldParameters(
            purge=1, embargo=5, holdout_sessions=50, n_folds=4, test_sessions=60, min_train_sessions=100
        ),
    )
    table = plan.summary().filter(pl.col("fold") >= 0)
    assert table["test"].to_list() == [60] * 4
    assert table["holdout"].to_list() == [50] * 4
    # 500 labelled sessions, 50 held out, 1 purged before them: tests end at session 449.
    # The first fold has 449 - 4 x 60 - 6 (purge, embargo) = 203 to fit on: 40 inner, 1 purged before them.
    assert table["train"].to_list() == [162, 210, 258, 306]
    assert table["inner"].to_list() == [40, 52, 64, 76]
    tests = [plan.sessions(f, "test") for f in plan.folds]
    assert all(a[-1] < b[0] for a, b in pairwise(tests))
    assert all(plan.sessions(f, "inner")[-1] < plan.sessions(f, "test")[0] for f in plan.folds)


def test_rolling_window_forgets_the_past():
    plan = make_fold_plan(
        make_labels(501),
        folds=FoldParameters(
            purge=1, embargo=0, holdout_sessions=0, n_folds=3, test_sessions=50, mode="rolling", train_sessions=120
        ),
    )
    for fold in plan.folds:
        roles = roles_of(plan, fold)
        window = [s for s, role in roles.items() if role in ("train", "inner")]
        # One of the 120 falls to the purge between train and inner.
        assert len(window) == 119
        assert len(plan.sessions(fold, "inner")) == 24
        assert all(s < window[0] for s, role in roles.items() if role == "past")
    assert plan.summary()["past"].to_list() == [229, 279, 329]


def test_purged_kfold_covers_every_session_once_and_combinatorial_covers_it_equally():
    labels = make_labels(301)
    common = {"purge": 1, "embargo": 2, "holdout_sessions": 40, "min_train_sessions": 30}
    kfold = make_fold_plan(labels, folds=FoldParameters(splitter="purged_kfold", n_folds=5, **common))
    tested = pl.concat([kfold.sessions(f, "test") for f in kfold.folds])
    assert len(tested) == tested.n_unique() == 300 - 40 - 1
    paths = make_fold_plan(
        labels, folds=FoldParameters(splitter="combinatorial_purged", n_folds=6, n_test_folds=2, **common)
    )
    assert len(paths.folds) == 15
    times = pl.concat([paths.sessions(f, "test") for f in paths.folds]).value_counts()
    assert times["count"].unique().to_list() == [5]


def test_the_holdout_fold_is_fitted_on_everything_before_the_purge():
    plan = make_fold_plan(
        make_labels(401),
        folds=FoldParameters(purge=3, embargo=5, holdout_sessions=60, n_folds=3, min_train_sessions=100),
    )
    roles = list(roles_of(plan, HOLDOUT_FOLD).values())
    assert roles[-68:] == ["embargo"] * 5 + ["purged"] * 3 + ["holdout"] * 60
    assert HOLDOUT_FOLD not in plan.folds


def test_same_labels_same_hash_and_a_round_trip_keeps_it(tmp_path):
    parameters = FoldParameters(purge=1, embargo=5, holdout_fraction=0.1, n_folds=3, min_train_sessions=100)
    plan = make_fold_plan(make_labels(400), folds=parameters)
    assert plan.hash == make_fold_plan(make_labels(400), folds=parameters).hash
    plan.frame.write_parquet(tmp_path / "plan.parquet")
    assert FoldPlan.from_frame(pl.read_parquet(tmp_path / "plan.parquet"), expected_hash=plan.hash).hash == plan.hash
    changed = plan.frame.with_columns(
        role=pl.when((pl.col("fold") == 0) & (pl.col("role") == "embargo")).then(pl.lit("train")).otherwise("role")
    )
    with pytest.raises(FoldError, match="not the one that was expected"):
        FoldPlan.from_frame(changed, expected_hash=plan.hash)


@pytest.mark.parametrize(
    ("change", "match"),
    [
        (lambda f: f.with_columns(role=pl.lit("validation")), "unknown role"),
        (lambda f: f.reverse(), "one role per fold and session"),
        (lambda f: pl.concat([f, f]).sort("fold", "session"), "one role per fold and session"),
        (lambda f: f.filter((pl.col("fold") != 1) | (pl.col("role") != "test")), "fold 1 is empty"),
        (lambda f: f.filter((pl.col("fold") != 1) | (pl.col("role") != "purged")), "do not name the same sessions"),
        (lambda f: f.with_columns(pl.col("fold").cast(pl.Int64)), "wrong columns"),
        (lambda f: f.drop("role"), "lacks the columns"),
    ],
)
def test_a_table_that_is_no_plan_is_refused(change, match):
    plan = make_fold_plan(
        make_labels(300),
        folds=FoldParameters(purge=1, embargo=5, holdout_sessions=20, n_folds=3, min_train_sessions=100),
    )
    with pytest.raises(Exception, match=match):
        FoldPlan.from_frame(change(plan.frame))


@pytest.mark.parametrize(
    ("parameters", "match"),
    [
        ({"holdout_sessions": 400}, "hold-out is longer than the data.*a hold-out of 400 sessions and 299 labelled"),
        ({"holdout_sessions": 298}, "no session is left before the hold-out|too little|too"),
        ({"holdout_sessions": 20, "n_folds": 5, "test_sessions": 100}, "5 test blocks do not fit"),
        ({"holdout_sessions": 20, "min_train_sessions": 290}, "do not fit|too little to train on"),
        ({"holdout_sessions": 20, "splitter": "purged_kfold", "n_folds": 400}, "more folds than sessions"),
        (
            {"holdout_sessions": 0, "splitter": "purged_kfold", "n_folds": 2, "min_train_sessions": 200},
            r"fold 0 .* too little to train on: got 14\d sessions",
        ),
    ],
)
def test_impossible_counts_are_named(parameters, match):
    folds = FoldParameters(**{"purge": 1, "embargo": 5, "n_folds": 3, "min_train_sessions": 60, **parameters})
    with pytest.raises(FoldError, match=match):
        make_fold_plan(make_labels(300), folds=folds)


@pytest.mark.parametrize(
    "parameters",
    [
        {},
        {"purge": 1, "embargo": 1},
        {"purge": 1, "embargo": 1, "holdout_sessions": 10, "holdout_fraction": 0.1},
        {"purge": -1, "embargo": 1, "holdout_sessions": 10},
        {"purge": 1, "embargo": 1, "holdout_sessions": 10, "mode": "rolling"},
        {"purge": 1, "embargo": 1, "holdout_sessions": 10, "train_sessions": 100},
        {"purge": 1, "embargo": 1, "holdout_sessions": 10, "splitter": "combinatorial_purged", "n_test_folds": 5},
        {"purge": 1, "embargo": 1, "holdout_sessions": 10, "shuffle": True},
    ],
)
def test_parameters_without_an_honest_meaning_are_refused(parameters):
    with pytest.raises(ValidationError):
        FoldParameters(**parameters)


def test_labels_that_cannot_be_folded_are_named():
    folds = FoldParameters(purge=1, embargo=0, holdout_sessions=0, min_train_sessions=20)
    labels = make_labels(100)
    with pytest.raises(FoldError, match="no labelled session"):
        make_fold_plan(labels.with_columns(pl.lit(None, pl.Datetime("us", "UTC")).alias("t1")), folds=folds)
    with pytest.raises(FoldError, match="ends before it starts"):
        make_fold_plan(labels.with_columns(pl.col("t1").dt.offset_by("-5d")), folds=folds)
    with pytest.raises(FoldError, match="does not advance"):
        make_fold_plan(labels.with_columns(pl.col("t0").dt.truncate("10d")), folds=folds)


def test_contamination_agrees_with_the_definition():
    labels = make_labels(80, horizon=4, symbols=("A",))
    sessions = labels.filter(pl.col("t1").is_not_null())["session"]
    block = pl.concat([sessions[20:25], sessions[40:60]])
    slow = sorted(slow_contaminated(labels, block.to_list(), purge=6) - set(block))
    assert contaminated_by(labels, block, purge=6).to_list() == slow
    assert len(slow) == 24
    assert len(contaminated_by(labels, block, purge=0)) == 16


@pytest.mark.parametrize(("n_folds", "n_test_folds"), [(5, 2), (6, 3)])
def test_combinatorial_blocks_are_those_of_skfolio(n_folds, n_test_folds):
    from skfolio.model_selection import CombinatorialPurgedCV

    n = 210
    plan = make_fold_plan(
        make_labels(n + 1, symbols=("A",)),
        folds=FoldParameters(
            purge=0,
            embargo=0,
            holdout_sessions=0,
            splitter="combinatorial_purged",
            n_folds=n_folds,
            n_test_folds=n_test_folds,
            min_train_sessions=20,
        ),
    )
    peer = CombinatorialPurgedCV(n_folds=n_folds, n_test_folds=n_test_folds, purged_size=0, embargo_size=0)
    order = plan.frame["session"].unique().sort().to_list()
    place = {s: i for i, s in enumerate(order)}
    theirs = sorted(np.concatenate(tests).tolist() for _, tests in peer.split(np.zeros((n, 1))))
    ours = sorted([place[s] for s in plan.sessions(fold, "test")] for fold in plan.folds)
    assert ours == theirs
