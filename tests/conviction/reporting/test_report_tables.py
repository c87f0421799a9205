"""What the figures draw, against slow loops and exact enumeration."""

from __future__ import annotations

import math
from datetime import date, timedelta
from itertools import combinations, pairwise

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from conviction.audit import LeadLagProfile
from conviction.folds import HOLDOUT_FOLD, ROLES
from conviction.reporting._tables import (
    ROLE_COLOURS,
    cumulative_daily_auc,
    fold_spans,
    fold_summary,
    lead_lag_matrix,
    nice_ticks,
    null_standard_error,
    thin,
)

ROLE = st.sampled_from(ROLES)


@given(st.lists(st.lists(ROLE, min_size=1, max_size=30), min_size=1, max_size=3), st.randoms())
def test_fold_spans_equal_a_slow_walk_over_the_sessions(folds, random):
    rows = [
        (fold, date(2020, 1, 1) + timedelta(days=day), role)
        for fold, roles in enumerate(folds)
        for day, role in enumerate(roles)
    ]
    expected = []
    for fold, session, role in rows:
        if expected and expected[-1][0] == fold and expected[-1][1] == role:
            expected[-1] = (fold, role, expected[-1][2], session, expected[-1][4] + 1)
        else:
            expected.append((fold, role, session, session, 1))
    random.shuffle(rows)
    frame = pl.DataFrame(rows, schema=["fold", "session", "role"], orient="row")
    assert [tuple(span) for span in fold_spans(frame)] == expected
    for row in fold_summary(frame):
        roles = folds[int(row["fold"])]
        assert {role: row[role] for role in set(roles)} == {role: roles.count(role) for role in set(roles)}


def test_the_final_fold_comes_last_and_is_scored_on_the_holdout(contents):
    rows = fold_summary(contents.folds)
    assert [row["fold"] for row in rows] == ["0", "1", "2", "3", "4", "5", "final"]
    holdout = contents.folds.filter(pl.col("fold") == 0, pl.col("role") == "holdout")["session"]
    assert (rows[-1]["first"], rows[-1]["last"]) == (holdout.min(), holdout.max())
    assert fold_spans(contents.folds)[-1].fold == HOLDOUT_FOLD


def test_the_null_standard_error_is_the_exact_one_over_all_orders():
    size = 8
    values = []
    for ones in combinations(range(size), size // 2):
        zeros = [rank for rank in range(size) if rank not in ones]
        values.append(sum(one > zero for one in ones for zero in zeros) / (size // 2) ** 2)
    mean = sum(values) / len(values)
    exact = math.sqrt(sum((value - mean) ** 2 for value in values) / len(values))
    assert null_standard_error(size) == pytest.approx(exact, rel=1e-12)


def test_cumulative_daily_auc_is_a_running_sum_and_its_band_grows_with_the_root_of_time():
    values = [0.61, 0.44, None, 0.52, 0.5]
    daily = pl.DataFrame(
        {
            "target": ["d"] * 5,
            "model": ["m"] * 5,
            "session": [date(2020, 1, 5 - day) for day in range(5)],
            "auc": values,
        }
    )
    (walk,) = cumulative_daily_auc(daily, "d")
    in_time = [value for value in reversed(values) if value is not None]
    total, expected = 0.0, []
    for value in in_time:
        total += value - 0.5
        expected.append(total)
    assert walk.total == pytest.approx(expected)
    mean = sum(in_time) / 4
    spread = math.sqrt(sum((value - mean) ** 2 for value in in_time) / 3)
    assert walk.band == pytest.approx([1.96 * spread * math.sqrt(step) for step in (1, 2, 3, 4)])
    assert walk.sessions == sorted(walk.sessions)


def test_the_chosen_model_is_drawn_first(contents):
    walks = cumulative_daily_auc(contents.daily_auc, "relative", first="xgboost")
    assert [walk.model for walk in walks] == ["xgboost", "lightgbm", "logistic", "rank_average", "stacked_logistic"]


def test_a_flat_line_and_a_copy_are_not_drawn():
    days = [date(2020, 1, day) for day in (2, 3, 6)]
    lines = {"b_copy": [0.6, 0.4, 0.5], "chosen": [0.6, 0.4, 0.5], "flat": [0.5] * 3, "other": [0.6, 0.4, 0.51]}
    daily = pl.concat(
        pl.DataFrame({"target": "d", "model": model, "session": days, "auc": values}) for model, values in lines.items()
    )
    assert [walk.model for walk in cumulative_daily_auc(daily, "d", first="chosen")] == ["chosen", "other"]


@given(st.floats(-10, 10), st.floats(1e-3, 5))
def test_ticks_are_inside_evenly_spread_and_neither_few_nor_many(low, span):
    ticks = nice_ticks(low, low + span)
    assert 2 <= len(ticks) <= 12
    assert all(low - 1e-6 <= tick <= low + span + 1e-6 for tick in ticks)
    steps = [right - left for left, right in pairwise(ticks)]
    assert steps == pytest.approx([steps[0]] * len(steps))


@given(st.integers(1, 2000), st.integers(2, 300))
def test_thinning_keeps_the_ends_and_the_order(length, most):
    kept = thin(length, most)
    assert kept[0] == 0
    assert kept[-1] == length - 1
    assert kept == sorted(set(kept))
    assert len(kept) <= max(most, 1) or length <= most


def test_lead_lag_puts_what_looks_furthest_ahead_first_in_units_of_its_band():
    profiles = [
        LeadLagProfile(column="past", lags=(-1, 0, 1), values=(0.9, 0.5, 0.01), band=(0.01, 0.01, 0.02)),
        LeadLagProfile(column="leak", lags=(-1, 0, 1), values=(0.0, float("nan"), -0.5), band=(0.02, 0.02, 0.02)),
        LeadLagProfile(column="calm", lags=(-1, 0, 1), values=(0.0, 0.0, 0.001), band=(0.02, 0.0, 0.02)),
    ]
    seen = lead_lag_matrix(profiles, most=2)
    assert seen.columns == ["leak", "past"]
    assert seen.lags == [-1, 0, 1]
    assert seen.ratios == [[0.0, None, -25.0], pytest.approx([90.0, 50.0, 0.5])]
    assert seen.total == 3
    assert lead_lag_matrix((), most=2) is None


def test_every_role_of_a_fold_plan_has_a_colour():
    assert set(ROLE_COLOURS) == set(ROLES)
