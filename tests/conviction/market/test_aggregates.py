from __future__ import annotations

import gzip
import time
from contextlib import suppress
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import hypothesis.strategies as st
import polars as pl
import pytest
from hypothesis import given, settings

from conviction.errors import BarsError, ParameterError
from conviction.frames import check_panel
from conviction.market import INTRADAY_KEY, check_bars, combine_aggregates, parse_aggregates

NEW_YORK = ZoneInfo("America/New_York")
HEADER = "ticker,volume,open,close,high,low,window_start,transactions"
DAY = date(2024, 7, 2)
DAY_KEY = "us_stocks_sip/day_aggs_v1/2024/07/2024-07-02.csv.gz"
MINUTE_KEY = "s3://flatfiles/us_stocks_sip/minute_aggs_v1/2024/07/2024-07-02.csv.gz"


def nanoseconds(moment):
    return int(moment.timestamp()) * 10**9


def midnight(day=DAY, zone=NEW_YORK):
    return nanoseconds(datetime(day.year, day.month, day.day, tzinfo=zone))


def line(ticker="AAPL", *, start=None, volume="1000.5", low="9.5", high="11", close="10.5"):
    return f"{ticker},{volume},10,{close},{high},{low},{midnight() if start is None else start},7"


def packed(*lines, header=HEADER):
    return gzip.compress("\n".join([header, *lines]).encode() + b"\n", mtime=0)


def minutes_file(day=DAY, *, first=(4, 0), last=(20, 0), ticker="AAPL"):
    moment = datetime(day.year, day.month, day.day, *first, tzinfo=NEW_YORK)
    end = datetime(day.year, day.month, day.day, tzinfo=NEW_YORK) + timedelta(hours=last[0], minutes=last[1])
    lines = []
    while moment < end:
        lines.append(line(ticker, start=nanoseconds(moment)))
        moment += timedelta(minutes=1)
    return packed(*lines)


def names(error):
    return {text.split()[1].rstrip(":,") for text in str(error.value).splitlines() if text.startswith("error ")}


# --- good files ---------------------------------------------------------------------------------------------------------------------


def test_tickers_that_look_like_missing_values_are_tickers():
    odd = ["NA", "NULL", "TRUE", "NaN", "None", "1E5", "O:SPY251219C00650000"]
    parsed = parse_aggregates(packed(*[line(t) for t in odd]), key=DAY_KEY, kind="day")
    assert parsed.bars["symbol"].to_list() == sorted(odd)
    assert parsed.quality.problems == ()


def test_a_day_file_becomes_checked_bars_with_fractional_volume():
    parsed = parse_aggregates(packed(line("B"), line("A", volume="0.25")), key=DAY_KEY, kind="day")
    assert parsed.bars.rows() == [
        ("A", DAY, 10.0, 11.0, 9.5, 10.5, 0.25, 7),
        ("B", DAY, 10.0, 11.0, 9.5, 10.5, 1000.5, 7),
    ]
    assert parsed.bars.columns == ["symbol", "session", "open", "high", "low", "close", "volume", "transactions"]
    assert check_bars(parsed.bars, calendar="XNYS").quality.names() == ("ignored_columns",)


@pytest.mark.parametrize("day", [date(2024, 1, 3), date(2024, 7, 3)])
def test_midnight_in_new_york_is_right_in_winter_and_summer(day):
    key = f"us_stocks_sip/day_aggs_v1/{day:%Y/%m}/{day}.csv.gz"
    assert parse_aggregates(packed(line(start=midnight(day))), key=key, kind="day").bars["session"].to_list() == [day]


def test_columns_are_found_by_name_not_by_place():
    shuffled = packed(
        "AAPL,7,9.5,11,10.5,10,1000.5," + str(midnight()),
        header="ticker,transactions,low,high,close,open,volume,window_start",
    )
    assert parse_aggregates(shuffled, key=DAY_KEY, kind="day").bars.row(0) == (
        "AAPL",
        DAY,
        10.0,
        11.0,
        9.5,
        10.5,
        1000.5,
        7,
    )


def test_an_index_file_needs_no_volume():
    data = packed(f"I:SPX,10,10.5,11,9.5,{midnight()}", header="ticker,open,close,high,low,window_start")
    bars = parse_aggregates(data, key=DAY_KEY.replace("us_stocks_sip", "us_indices"), kind="day").bars
    assert bars.columns == ["symbol", "session", "open", "high", "low", "close"]


def test_crypto_is_cut_at_midnight_utc_on_sundays_too():
    sunday = date(2024, 7, 7)
    data = packed(line("X:BTC-USD", start=midnight(sunday, UTC)))
    key = "global_crypto/day_aggs_v1/2024/07/2024-07-07.csv.gz"
    assert parse_aggregates(data, key=key, kind="day").bars.height == 1
    with pytest.raises(BarsError, match="not_a_session"):
        parse_aggregates(
            packed(line(start=midnight(sunday))), key=key.replace("global_crypto", "us_stocks_sip"), kind="day"
        )


def test_only_the_symbols_asked_for_are_kept_and_checked():
    data = packed(line("AAPL"), line("BAD", volume="-1"))
    parsed = parse_aggregates(data, key=DAY_KEY, kind="day", symbols=["AAPL"])
    assert parsed.bars["symbol"].to_list() == ["AAPL"]
    with pytest.raises(BarsError, match="negative_volume"):
        parse_aggregates(data, key=DAY_KEY, kind="day")


def test_minute_bars_end_a_minute_later_and_stay_inside_the_session():
    parsed = parse_aggregates(minutes_file(), key=MINUTE_KEY, kind="minute")
    check_panel(parsed.bars, name="minute bars", key=INTRADAY_KEY)
    ends = parsed.bars["bar_end"].dt.convert_time_zone("America/New_York").dt.strftime("%H:%M")
    assert (ends[0], ends[-1], ends.len()) == ("09:31", "16:00", 390)
    assert [(p.name, p.severity, p.rows) for p in parsed.quality.problems] == [("extended_hours", "info", 960 - 390)]
    everything = parse_aggregates(minutes_file(), key=MINUTE_KEY, kind="minute", hours="extended")
    assert everything.bars.height == 960
    assert everything.quality.problems == ()


def test_an_early_close_ends_the_regular_hours():
    early = date(2024, 7, 3)
    key = MINUTE_KEY.replace("2024-07-02", "2024-07-03")
    bars = parse_aggregates(minutes_file(early), key=key, kind="minute").bars
    assert bars["bar_end"].max() == datetime(2024, 7, 3, 17, 0, tzinfo=UTC)
    assert bars.height == 210


def test_a_cut_session_is_reported_as_partial():
    report = parse_aggregates(minutes_file(last=(14, 30)), key=MINUTE_KEY, kind="minute").quality
    found = next(p for p in report.problems if p.name == "partial_session")
    assert (found.severity, found.value) == ("warning", "last bar 90 minutes before the close")
    late = parse_aggregates(minutes_file(first=(10, 0)), key=MINUTE_KEY, kind="minute").quality
    assert next(p for p in late.problems if p.name == "partial_session").value == "first bar 30 minutes after the open"


def test_a_quiet_stock_does_not_make_the_session_partial():
    busy = gzip.decompress(minutes_file()).decode().strip().split("\n")[1:]
    quiet = line("QUIET", start=nanoseconds(datetime(2024, 7, 2, 12, 0, tzinfo=NEW_YORK)))
    parsed = parse_aggregates(packed(*busy, quiet), key=MINUTE_KEY, kind="minute", symbols=["QUIET"])
    assert parsed.bars.height == 1
    assert parsed.quality.problems == ()


# --- bad files ----------------------------------------------------------------------------------------------------------------------

GOOD = packed(line("AAPL"), line("MSFT"), line("NVDA"))
BAD_FILES = {
    "truncated_gzip": GOOD[: len(GOOD) // 2],
    "corrupt_gzip": GOOD[:-8] + bytes(4) + GOOD[-4:],
    "not_gzip": b"<?xml version='1.0'?><Error><Code>NoSuchKey</Code></Error>",
    "wrong_header": packed(line(), header=HEADER.replace("close", "last")),
    "malformed_csv": packed(line(), "MSFT,100.0,10"),
    "unreadable_number": packed(line(), line("MSFT", close="ten")),
    "empty_file": packed(),
}
BAD_ROWS = {
    "negative_volume": line("MSFT", volume="-3"),
    "high_below_low": line("MSFT", high="9", low="12"),
    "close_outside_range": line("MSFT", close="12"),
    "non_positive_price": line("MSFT", low="0"),
    "null_close": line("MSFT", close=""),
    "duplicated_rows": line("AAPL", close="10.25"),
    "mixed_time_zones": line("MSFT", start=midnight(zone=UTC)),
    "session_mismatch": line("MSFT", start=midnight(date(2024, 7, 1))),
}


@pytest.mark.parametrize("name", sorted(BAD_FILES))
def test_an_unreadable_file_is_named_or_quarantined_whole(name):
    with pytest.raises(BarsError) as caught:
        parse_aggregates(BAD_FILES[name], key=DAY_KEY, kind="day")
    assert names(caught) == {name}
    assert "2024-07-02" in str(caught.value)
    parsed = parse_aggregates(BAD_FILES[name], key=DAY_KEY, kind="day", allow={name})
    assert parsed.bars.is_empty()
    assert [(p.name, p.severity, p.quarantined, p.session) for p in parsed.quality.problems] == [
        (name, "error", True, DAY)
    ]


@pytest.mark.parametrize("name", sorted(BAD_ROWS))
def test_a_bad_row_is_named_or_quarantined_alone(name):
    data = packed(line("AAPL"), BAD_ROWS[name], line("ZZZ"))
    with pytest.raises(BarsError) as caught:
        parse_aggregates(data, key=DAY_KEY, kind="day")
    assert name in names(caught)
    parsed = parse_aggregates(data, key=DAY_KEY, kind="day", allow=names(caught))
    assert parsed.bars["symbol"].to_list() == (["ZZZ"] if name == "duplicated_rows" else ["AAPL", "ZZZ"])
    assert {p.name for p in parsed.quality.problems} >= {name}


def test_a_file_wholly_on_another_clock_is_not_mixed_but_wrong():
    with pytest.raises(BarsError) as caught:
        parse_aggregates(packed(line(start=midnight(zone=UTC))), key=DAY_KEY, kind="day")
    assert names(caught) == {"wrong_time_zone"}


def test_a_day_bar_that_does_not_start_at_midnight_is_named():
    noon = nanoseconds(datetime(2024, 7, 2, 12, 0, tzinfo=NEW_YORK))
    with pytest.raises(BarsError) as caught:
        parse_aggregates(packed(line("AAPL"), line("MSFT", start=noon)), key=DAY_KEY, kind="day")
    assert names(caught) == {"mixed_time_zones"}


def test_minutes_on_two_clocks_are_named():
    shifted = [
        line("MSFT", start=nanoseconds(datetime(2024, 7, 2, h, m, tzinfo=UTC))) for h in range(4, 20) for m in range(60)
    ]
    data = packed(line("AAPL", start=nanoseconds(datetime(2024, 7, 2, 9, 30, tzinfo=NEW_YORK))), *shifted)
    with pytest.raises(BarsError) as caught:
        parse_aggregates(data, key=MINUTE_KEY, kind="minute")
    assert names(caught) == {"mixed_time_zones"}


def test_milliseconds_instead_of_nanoseconds_are_another_day():
    with pytest.raises(BarsError, match=r"session_mismatch.*1969-12-31"):
        parse_aggregates(packed(line(start=midnight() // 10**6)), key=DAY_KEY, kind="day")


def test_a_future_file_is_an_error_only_when_the_day_is_known():
    assert parse_aggregates(GOOD, key=DAY_KEY, kind="day").bars.height == 3
    with pytest.raises(BarsError, match="future_session"):
        parse_aggregates(GOOD, key=DAY_KEY, kind="day", as_of=date(2024, 7, 1))


@pytest.mark.parametrize(
    "key",
    [
        "2024-07-02.csv.gz",
        DAY_KEY.replace("07-02", "07-32"),
        DAY_KEY.replace("us_stocks_sip", "us_bonds"),
        DAY_KEY.replace("day", "minute"),
        DAY_KEY[:-3],
    ],
)
def test_a_key_of_another_shape_is_refused(key):
    with pytest.raises(BarsError, match="not that of a flat file"):
        parse_aggregates(GOOD, key=key, kind="day")


def test_an_unknown_name_to_allow_is_refused():
    with pytest.raises(ParameterError, match="did you mean 'truncated_gzip'"):
        parse_aggregates(GOOD, key=DAY_KEY, kind="day", allow={"truncated_zip"})


@settings(max_examples=150, deadline=None)
@given(st.integers(0, len(GOOD) - 1))
def test_no_cut_of_a_file_passes_as_whole(length):
    with pytest.raises(BarsError):
        parse_aggregates(GOOD[:length], key=DAY_KEY, kind="day")


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=200), st.booleans())
def test_any_bytes_give_bars_or_a_named_error_and_nothing_else(data, zipped):
    payload = gzip.compress(HEADER.encode() + b"\n" + data) if zipped else data
    # Any other exception than BarsError fails the test.
    with suppress(BarsError):
        check_panel(parse_aggregates(payload, key=DAY_KEY, kind="day").bars, name="bars", required=["close"])


# --- spans --------------------------------------------------------------------------------------------------------------------------


def day_file(day, tickers=("AAPL", "MSFT", "NVDA")):
    key = f"us_stocks_sip/day_aggs_v1/{day:%Y/%m}/{day}.csv.gz"
    return parse_aggregates(packed(*[line(t, start=midnight(day)) for t in tickers]), key=key, kind="day")


SPAN = [date(2024, 7, d) for d in (1, 2, 3, 5)]


def test_files_of_a_span_make_one_sorted_panel():
    parts = [day_file(d) for d in reversed(SPAN)]
    whole = combine_aggregates(parts, calendar="XNYS", first=date(2024, 6, 30), last=date(2024, 7, 5))
    check_panel(whole.bars, name="bars")
    assert whole.sessions == tuple(SPAN)
    assert whole.quality.problems == ()
    assert whole.bars.height == 12


def test_a_missing_session_is_an_error_unless_allowed_and_always_reported():
    parts = [day_file(d) for d in SPAN if d.day != 3]
    kwargs = {"calendar": "XNYS", "first": SPAN[0], "last": SPAN[-1]}
    with pytest.raises(BarsError, match=r"missing_file.*2024-07-03"):
        combine_aggregates(parts, **kwargs)
    allowed = combine_aggregates(parts, **kwargs, allow={"missing_file"})
    assert [(p.name, p.session, p.quarantined) for p in allowed.quality.problems] == [
        ("missing_file", date(2024, 7, 3), True)
    ]


def test_a_quarantined_file_is_counted_as_there_but_partial():
    broken = parse_aggregates(GOOD[:40], key=DAY_KEY, kind="day", allow={"truncated_gzip"})
    parts = [day_file(d) for d in SPAN if d.day != 2] + [broken]
    whole = combine_aggregates(parts, calendar="XNYS", first=SPAN[0], last=SPAN[-1])
    assert whole.quality.names() == ("partial_file", "truncated_gzip")
    assert whole.bars["session"].n_unique() == 3


def test_the_same_session_twice_is_refused():
    with pytest.raises(BarsError, match="1 sessions repeated"):
        combine_aggregates([day_file(SPAN[0]), day_file(SPAN[0])], calendar="XNYS", first=SPAN[0], last=SPAN[0])


def test_a_busy_session_of_minutes_parses_in_seconds():
    start = nanoseconds(datetime(2024, 7, 2, 9, 30, tzinfo=NEW_YORK))
    frame = pl.DataFrame({"t": range(1000)}).join(pl.DataFrame({"m": range(390)}), how="cross")
    text = frame.select(
        ticker=pl.format("T{}", "t"), volume=100.5, open=10.0, close=10.5, high=11.0, low=9.5,
        window_start=start + pl.col("m") * 60 * 10**9, transactions=5,
    ).write_csv().encode()  # fmt: skip
    data = gzip.compress(text, compresslevel=1)
    began = time.process_time()
    parsed = parse_aggregates(data, key=MINUTE_KEY, kind="minute")
    assert parsed.bars.height == 390_000
    assert time.process_time() - began < 10
