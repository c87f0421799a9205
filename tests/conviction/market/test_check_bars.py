from __future__ import annotations

from datetime import date

import hypothesis.strategies as st
import polars as pl
import pytest
from hypothesis import given, settings
from polars.testing import assert_frame_equal

from conviction.errors import BarsError, ParameterError, UniverseError
from conviction.market import check_bars, exchange_sessions, inspect_bars, select_universe
from conviction.market._rules import ERRORS, ROW_RULES

SESSIONS = exchange_sessions("XNYS", date(2024, 6, 24), date(2024, 7, 12)).to_list()


def good_rows(symbols=("AAA", "BBB"), sessions=SESSIONS):
    rows = []
    for i, symbol in enumerate(symbols):
        for t, session in enumerate(sessions):
            base = 10.0 * (i + 1) + 0.1 * t
            rows.append((symbol, session, base, base + 0.5, base - 0.5, base + 0.2, 1000.0 + t))
    return pl.DataFrame(rows, schema=["symbol", "session", "open", "high", "low", "close", "volume"], orient="row")


def put(frame, row, **values):
    index = pl.int_range(pl.len())
    return frame.with_columns(
        pl.when(index == row).then(pl.lit(value, dtype=frame.schema[name])).otherwise(pl.col(name)).alias(name)
        for name, value in values.items()
    )


def test_good_rows_pass_unchanged_and_without_a_word():
    raw = good_rows()
    checked = check_bars(raw, calendar="XNYS", as_of=SESSIONS[-1])
    assert_frame_equal(checked.bars, raw)
    assert checked.quality.passed
    assert checked.quality.problems == ()


# One planted fault for each error, and the name under which it must be reported.
FAULTS = {
    "duplicated_rows": lambda raw: pl.concat([raw.head(4), raw.slice(3, 1).with_columns(close=10.4), raw.slice(4)]),
    "unsorted_rows": lambda raw: raw.with_columns(
        session=pl.Series([SESSIONS[1], SESSIONS[0], *SESSIONS[2:], *SESSIONS])
    ),
    "null_close": lambda raw: put(raw, 3, close=None),
    "non_positive_price": lambda raw: put(raw, 3, low=0.0),
    "not_a_session": lambda raw: put(raw, 7, session=date(2024, 7, 4)),
    "future_session": lambda raw: pl.concat(
        [raw.head(len(SESSIONS)), raw.slice(5, 1).with_columns(session=date(2024, 7, 15)), raw.tail(3)]
    ),
    "high_below_low": lambda raw: put(raw, 3, high=9.0, low=11.0),
    "close_outside_range": lambda raw: put(raw, 3, close=12.0),
    "negative_volume": lambda raw: put(raw, 3, volume=-1.0),
}


@pytest.mark.parametrize("name", sorted(FAULTS))
def test_each_planted_fault_is_named_with_symbol_and_session(name):
    raw = FAULTS[name](good_rows())
    report = inspect_bars(raw, calendar="XNYS", as_of=SESSIONS[-1])
    assert name in {problem.name for problem in report.errors}
    found = next(problem for problem in report.errors if problem.name == name)
    assert found.symbol == "AAA"
    assert found.session is not None
    with pytest.raises(BarsError, match=name):
        check_bars(raw, calendar="XNYS", as_of=SESSIONS[-1])


def test_every_error_rule_has_a_planted_fault():
    assert set(FAULTS) == set(ERRORS)


@pytest.mark.parametrize("name", sorted(FAULTS))
def test_an_allowed_fault_is_quarantined_and_reported(name):
    raw = FAULTS[name](good_rows())
    allow = {problem.name for problem in inspect_bars(raw, calendar="XNYS", as_of=SESSIONS[-1]).errors}
    checked = check_bars(raw, calendar="XNYS", as_of=SESSIONS[-1], allow=allow)
    assert all(problem.quarantined for problem in checked.quality.problems if problem.severity == "error")
    assert checked.quality.rows - checked.quality.kept == (
        0 if name == "unsorted_rows" else 2 if name == "duplicated_rows" else 1
    )
    assert inspect_bars(checked.bars, calendar="XNYS", as_of=SESSIONS[-1]).passed


def test_all_faults_are_in_one_message():
    raw = put(put(good_rows(), 3, close=-1.0), 15, volume=-5.0)
    with pytest.raises(
        BarsError, match=r"(?s)2 kinds|non_positive_price.*negative_volume|negative_volume.*non_positive_price"
    ) as caught:
        check_bars(raw, calendar="XNYS")
    assert "BBB" in str(caught.value)
    assert "allow=" in caught.value.fix


def test_exact_copies_keep_the_first_and_contradictions_keep_none():
    raw = good_rows()
    copied = pl.concat([raw.head(4), raw.slice(3, 1), raw.slice(4)])
    kept = check_bars(copied, calendar="XNYS", allow={"duplicated_rows"}).bars
    assert_frame_equal(kept, raw)
    contradicted = FAULTS["duplicated_rows"](raw)
    kept = check_bars(contradicted, calendar="XNYS", allow={"duplicated_rows"}).bars
    assert_frame_equal(kept, pl.concat([raw.head(3), raw.slice(4)]))


def test_rows_by_session_are_in_order_but_a_symbol_going_back_is_not():
    by_session = good_rows().sort("session", "symbol")
    assert_frame_equal(check_bars(by_session, calendar="XNYS").bars, good_rows())
    with pytest.raises(BarsError, match="unsorted_rows"):
        check_bars(good_rows().reverse(), calendar="XNYS")


def test_rounding_of_adjusted_prices_is_no_error_but_a_real_breach_is():
    raw = good_rows()
    rounded = put(raw, 3, high=raw["close"][3] * (1 - 5e-7))
    assert check_bars(rounded, calendar="XNYS").quality.problems == ()
    breached = put(raw, 3, high=raw["close"][3] * (1 - 5e-6))
    with pytest.raises(BarsError, match="close_outside_range"):
        check_bars(breached, calendar="XNYS")


def test_warnings_and_facts_do_not_stop_the_run():
    raw = put(put(put(good_rows(), 3, open=99.0), 5, high=None), 8, volume=0.0)
    report = check_bars(raw, calendar="XNYS").quality
    assert {p.name: p.severity for p in report.problems} == {
        "open_outside_range": "warning",
        "null_price": "warning",
        "zero_volume": "info",
    }


def test_an_unadjusted_split_and_a_frozen_price_are_warned_of():
    raw = good_rows().select("symbol", "session", "close")
    split = raw.with_columns(
        close=pl.when((pl.col("symbol") == "AAA") & (pl.col("session") >= SESSIONS[6]))
        .then(pl.col("close") / 4)
        .otherwise("close")
    )
    found = [p for p in check_bars(split, calendar="XNYS").quality.problems if p.name == "price_jump"]
    assert [(p.symbol, p.session, p.rows) for p in found] == [("AAA", SESSIONS[6], 1)]
    frozen = raw.with_columns(
        close=pl.when((pl.col("symbol") == "BBB") & (pl.col("session") >= SESSIONS[4])).then(7.0).otherwise("close")
    )
    found = [p for p in check_bars(frozen, calendar="XNYS").quality.problems if p.name == "stale_close"]
    assert [(p.symbol, p.session, p.rows) for p in found] == [("BBB", SESSIONS[4], len(SESSIONS) - 4)]


def test_spans_and_gaps_are_stated():
    raw = good_rows(("AAA", "BBB", "CCC"))
    raw = raw.filter(
        ~((pl.col("symbol") == "AAA") & pl.col("session").is_in(SESSIONS[4:6]))
        & ~((pl.col("symbol") == "BBB") & (pl.col("session") < SESSIONS[2]))
        & ~((pl.col("symbol") == "CCC") & (pl.col("session") > SESSIONS[8]))
    )
    facts = {(p.name, p.symbol, p.session, p.rows) for p in check_bars(raw, calendar="XNYS").quality.problems}
    assert facts == {
        ("missing_sessions", "AAA", SESSIONS[4], 2),
        ("late_listing", "BBB", SESSIONS[2], 1),
        ("early_end", "CCC", SESSIONS[8], 1),
    }


def test_columns_that_the_source_lacks_stay_absent_and_strangers_are_reported():
    raw = good_rows().select(pl.col("symbol").cast(pl.Categorical), date="session", close="close", dividends="volume")
    checked = check_bars(raw, calendar="XNYS")
    assert checked.bars.columns == ["symbol", "session", "close"]
    assert checked.bars.schema["symbol"] == pl.String
    assert checked.quality.names() == ("ignored_columns",)


@pytest.mark.parametrize("convert", [lambda c: c.cast(pl.Datetime("ns")), lambda c: c.cast(pl.String)])
def test_sessions_come_as_midnight_or_text_too(convert):
    raw = good_rows()
    assert_frame_equal(check_bars(raw.with_columns(convert(pl.col("session"))), calendar="XNYS").bars, raw)


@pytest.mark.parametrize(
    "session",
    [
        pl.datetime(2024, 7, 2, 16),
        pl.datetime(2024, 7, 2).dt.replace_time_zone("UTC"),
        pl.lit("07/02/2024"),
        pl.lit(20240702),
    ],
)
def test_a_session_that_is_not_a_date_is_an_error(session):
    with pytest.raises(BarsError, match="cannot be read as the exchange's date"):
        check_bars(good_rows().with_columns(session=session), calendar="XNYS")


def test_columns_that_cannot_be_bars_are_errors():
    raw = good_rows()
    with pytest.raises(BarsError, match="no rows"):
        check_bars(raw.clear(), calendar="XNYS")
    with pytest.raises(BarsError, match=r"lacks the columns \['close'\]"):
        check_bars(raw.drop("close"), calendar="XNYS")
    with pytest.raises(BarsError, match="volume is not a number"):
        check_bars(raw.with_columns(pl.col("volume").cast(pl.String)), calendar="XNYS")
    with pytest.raises(BarsError, match=r"symbol has missing values.*'NA'"):
        check_bars(put(raw, 2, symbol=None), calendar="XNYS")
    with pytest.raises(BarsError, match="no row of bars is left"):
        check_bars(raw.with_columns(close=-1.0), calendar="XNYS", allow={"non_positive_price", "close_outside_range"})
    with pytest.raises(ParameterError, match="unknown data problem"):
        check_bars(raw, calendar="XNYS", allow={"negative_volumes"})


def test_nan_is_a_missing_value():
    raw = put(good_rows(), 3, close=float("nan"))
    with pytest.raises(BarsError, match="null_close"):
        check_bars(raw, calendar="XNYS")


def test_the_report_is_plain_data_and_counts_add_up():
    report = inspect_bars(FAULTS["negative_volume"](good_rows()), calendar="XNYS")
    plain = report.to_dict()
    assert plain["counts"] == {"negative_volume": 1}
    assert plain["problems"][0]["session"] == SESSIONS[3].isoformat()
    assert (plain["rows"], plain["kept"], plain["passed"]) == (2 * len(SESSIONS), 2 * len(SESSIONS), False)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.sampled_from(sorted(set(FAULTS) - {"unsorted_rows", "future_session", "duplicated_rows"})), max_size=3),
    st.randoms(use_true_random=False),
)
def test_what_passes_the_check_always_satisfies_the_rules(faults, random):
    raw = good_rows()
    for name in faults:
        raw = FAULTS[name](raw)
    rows = list(range(raw.height))
    random.shuffle(rows)
    checked = check_bars(raw[rows], calendar="XNYS", allow=set(ERRORS))
    bars = checked.bars
    assert (bars["close"] > 0).all()
    assert (bars["volume"] >= 0).all()
    assert (bars["close"] <= bars["high"]).all()
    assert bars["session"].is_in(SESSIONS).all()
    assert bars.select("symbol", "session").is_unique().all()
    assert bars.equals(bars.sort("symbol", "session"))
    assert checked.quality.kept == bars.height


def test_real_vendor_bars_pass(market_dir):
    raw = pl.read_parquet(market_dir / "sp500_daily_2020_2024.parquet")
    checked = check_bars(raw, calendar="XNYS", as_of=date(2024, 6, 28))
    assert checked.bars.height == raw.height == 558_866
    assert checked.quality.counts() == {
        "open_outside_range": 1,
        "stale_close": 48,
        "late_listing": 15,
        "zero_volume": 543,
    }


def test_closes_alone_pass(embedded_bars):
    checked = check_bars(embedded_bars, calendar="XNYS")
    assert_frame_equal(checked.bars, embedded_bars)


def test_rule_names_are_unique():
    assert len({rule.name for rule in ROW_RULES}) == len(ROW_RULES)


def test_a_universe_is_selected_or_refused():
    bars = good_rows(("AAA", "BBB", "CCC"))
    assert select_universe(bars, ["CCC", "AAA"], allow_missing=False)["symbol"].unique().sort().to_list() == [
        "AAA",
        "CCC",
    ]
    assert select_universe(bars, ["AAA", "ZZZ"], allow_missing=True)["symbol"].unique().to_list() == ["AAA"]
    with pytest.raises(UniverseError, match=r"1 of 2 symbols.*ZZZ"):
        select_universe(bars, ["AAA", "ZZZ"], allow_missing=False)
    with pytest.raises(UniverseError, match="universe is empty"):
        select_universe(bars, [], allow_missing=True)
    with pytest.raises(UniverseError, match="more than once"):
        select_universe(bars, ["AAA", "AAA"], allow_missing=True)
    with pytest.raises(UniverseError, match="1 of 1 symbols"):
        select_universe(bars, ["ZZZ"], allow_missing=True)
