"""Every kind of planted leak is found and named; its clean twin stays without a finding at error."""

from __future__ import annotations

import pytest

from conviction.audit import audit_dataset
from conviction.testing import LEAK_KINDS, VARIANTS, can_plant, make_clean_dataset, plant_leak

# Planted in closes alone, so that they run without the optional folder of prices: one of each family.
FAST = (
    "label_same_day",
    "label_shuffled_one_symbol",
    "direction_last_row",
    "future_known_indicator",
    "future_centred_mean",
    "copy_linear",
    "copy_spread_over_two",
    "copy_in_missingness",
    "full_zscore_per_symbol",
    "full_target_encoding",
    "warmup_backfilled",
    "border_rolling",
    "external_macro_by_month",
    "external_news_by_date",
    "partial_one_symbol",
    "rows_dates_shifted",
    "rows_duplicated",
    "price_synthetic_independent",
    "fold_rows_at_random",
    "future_month_low",
    "future_co_movement",
    "full_rank_of_history",
    "full_pooled_normal_scores",
    "rows_left_out",
    "fold_sessions_alternate",
    "fold_trained_after_the_test",
)


def named(case, report) -> bool:
    errors = [f for f in report.findings if f.severity == "error"]
    columns = {c for f in errors for c in f.columns}
    symbols = {s for f in errors for s in f.symbols}
    if case.columns:
        return bool(columns & set(case.columns)) and len(columns - set(case.columns)) <= 2
    if case.symbols:
        return bool(symbols & set(case.symbols)) and len(columns) <= 2
    return report.verdict == "fail"


@pytest.mark.parametrize("kind", FAST)
def test_planted_leak_in_closes_is_named(clean_closes, kind):
    case = plant_leak(clean_closes, kind, seed=3)
    report = audit_dataset(case.frame, sources=case.sources)
    assert named(case, report), [(f.check, f.columns, f.symbols) for f in report.findings]


def test_clean_closes_pass(clean_closes):
    report = audit_dataset(clean_closes.frame, sources=clean_closes.sources)
    assert [f for f in report.findings if f.severity == "error"] == []
    assert report.quality["real_data_confidence"] > 0.8


@pytest.mark.slow
@pytest.mark.market
@pytest.mark.parametrize("variant", VARIANTS)
def test_honest_variants_pass(market_bars, market_vix, variant):
    clean = make_clean_dataset(market_bars, seed=2, variant=variant, n_symbols=20, n_sessions=400, vix=market_vix)
    report = audit_dataset(clean.frame, sources=clean.sources)
    assert report.verdict == "pass", [(f.check, f.columns, f.explanation) for f in report.findings]


@pytest.mark.slow
@pytest.mark.market
@pytest.mark.parametrize("kind", sorted(LEAK_KINDS))
def test_planted_leak_is_named(clean_market, kind):
    if not can_plant(clean_market, kind):
        pytest.skip(f"{kind} needs {sorted(LEAK_KINDS[kind].needs)}")
    case = plant_leak(clean_market, kind, seed=1)
    report = audit_dataset(case.frame, sources=case.sources)
    assert named(case, report), [(f.check, f.columns, f.symbols) for f in report.findings]
