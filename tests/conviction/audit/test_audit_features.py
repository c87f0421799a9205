"""The code audit: every leak of the zoo is caught and measured, every honest twin passes, odd functions are reported."""

from __future__ import annotations

from datetime import date

import numpy as np
import polars as pl
import pytest

from conviction.audit import audit_features
from conviction.errors import AuditError
from conviction.testing import FUNCTION_ZOO, honest_functions, leaky_functions

#: Twins that refit an estimator in each call: the same checks, an order of magnitude slower.
SLOW = {"clusters", "fourier_smoothing", "target_encoding", "mixture_states", "remembers_prices"}


def random_bars(n_symbols: int = 4, n_sessions: int = 400) -> pl.DataFrame:
    """Return bars of a market with one common factor, on the weekdays from February 2021 on."""
    rng = np.random.default_rng(11)
    days = pl.date_range(date(2021, 2, 1), date(2023, 12, 31), "1d", eager=True)
    days = days.filter(days.dt.weekday() <= 5).head(n_sessions)
    market = 0.008 * rng.standard_normal(n_sessions)
    frames = []
    for i in range(n_symbols):
        moves = market + 0.015 * rng.standard_t(5, n_sessions)
        close = 20.0 * (i + 1) * np.exp(np.cumsum(moves))
        opening = close * np.exp(0.004 * rng.standard_normal(n_sessions))
        frames.append(
            pl.DataFrame(
                {
                    "symbol": ["ABCDEFGH"[i] * 2] * n_sessions,
                    "date": days,
                    "open": opening,
                    "high": np.maximum(opening, close) * 1.004,
                    "low": np.minimum(opening, close) * 0.995,
                    "close": close,
                    "volume": np.round(np.exp(13 + 0.4 * rng.standard_normal(n_sessions))),
                }
            )
        )
    return pl.concat(frames)


@pytest.fixture(scope="module")
def bars() -> pl.DataFrame:
    return random_bars()


@pytest.fixture(scope="module")
def pandas_bars(bars):
    return bars.to_pandas()


def cases(functions):
    return [
        pytest.param(case, id=f"{case.name}-{case.library}", marks=pytest.mark.slow if case.name in SLOW else ())
        for case in functions
    ]


def audit(case, bars, pandas_bars, **options):
    return audit_features(case.function, bars if case.library == "polars" else pandas_bars, **options)


@pytest.mark.parametrize("case", cases([c for c in leaky_functions() if c.name != "long_frames"]))
def test_every_leak_of_the_zoo_is_caught_and_named(case, bars, pandas_bars):
    report = audit(case, bars, pandas_bars)
    assert report.verdict == "fail"
    assert report.guilty_columns == ("x",)
    leak = report.errors[0]
    assert leak.check in {"truncation", "future_perturbation", "calendar_extension"}
    assert leak.evidence["reads_sessions_ahead"] >= 1
    assert set(leak.symbols) <= set(bars["symbol"])
    assert date.fromisoformat(leak.first_session) in set(bars["date"])


@pytest.mark.parametrize("case", cases(honest_functions()))
def test_every_honest_function_of_the_zoo_passes_without_a_warning(case, bars, pandas_bars):
    report = audit(case, bars, pandas_bars)
    assert [f for f in report.findings if f.severity != "info"] == []


def test_the_zoo_is_large_and_each_leak_has_a_twin_of_its_name():
    assert len(leaky_functions()) >= 30
    assert len(honest_functions()) >= 30
    assert {c.name for c in leaky_functions()} <= {c.name for c in honest_functions()}
    assert len({(c.name, c.leaky) for c in FUNCTION_ZOO}) == len(FUNCTION_ZOO)


@pytest.mark.parametrize("ahead", [1, 2, 5, 21])
def test_reach_is_the_number_of_sessions_read_ahead(bars, ahead):
    def leaky(frame):
        return frame.select("symbol", "date", x=pl.col("close").shift(-ahead).over("symbol"), y="close")

    report = audit_features(leaky, bars)
    assert report.guilty_columns == ("x",)
    assert report.errors[0].evidence["reads_sessions_ahead"] == ahead


@pytest.mark.parametrize(("window", "lookback"), [(1, 0), (2, 1), (20, 19), (120, 119)])
def test_look_back_is_measured(bars, window, lookback):
    def feature(frame):
        return frame.select("symbol", "date", x=pl.col("close").rolling_mean(window).over("symbol"))

    report = audit_features(feature, bars, declared={"x": lookback})
    assert report.findings == ()
    assert report.quality["measured_lookback"] == {"x": lookback}
    if lookback:
        (finding,) = audit_features(feature, bars, declared={"x": lookback - 1}).errors
        assert (finding.check, finding.evidence["measured"]) == ("lookback", lookback)


def test_first_offence_is_the_earliest_row_that_moved(bars):
    since = date(2021, 3, 1)

    def leaky(frame):
        future = pl.col("close").shift(-1).over("symbol")
        late = (pl.col("date") >= since) & (pl.col("symbol") == "CC")
        return frame.select("symbol", "date", x=pl.when(late).then(future).otherwise(pl.col("close")))

    (finding,) = audit_features(leaky, bars).errors
    assert finding.symbols == ("CC",)
    assert date.fromisoformat(finding.first_session) >= since


def test_a_leak_of_one_symbol_in_one_week_is_found(bars):
    week = pl.col("date").is_between(date(2021, 8, 9), date(2021, 8, 13)) & (pl.col("symbol") == "DD")

    def function(frame, ahead):
        other = (pl.col("close").shift(-ahead) / pl.col("close")).over("symbol")
        base = (pl.col("close") / pl.col("close").shift(1)).over("symbol")
        return frame.select("symbol", "date", x=pl.when(week).then(other).otherwise(base))

    (finding,) = audit_features(lambda frame: function(frame, 1), bars).errors
    assert finding.symbols == ("DD",)
    assert date(2021, 8, 9) <= date.fromisoformat(finding.first_session) <= date(2021, 8, 13)
    assert audit_features(lambda frame: function(frame, 2 - 4), bars).findings == ()


def test_a_leak_that_only_a_longer_history_shows_is_found(bars):
    def function(frame):
        ahead = -1 if frame.height > bars.height else 1
        return frame.select("symbol", "date", x=pl.col("close").shift(ahead).over("symbol"))

    (finding,) = audit_features(function, bars).errors
    assert finding.check == "calendar_extension"


def test_a_rare_leak_in_a_column_without_end_of_memory_is_found(bars):
    def function(frame):
        mean = pl.col("close").ewm_mean(alpha=0.002).over("symbol")
        jump = (pl.col("close").shift(-1) / pl.col("close") > 1.2).over("symbol") & (pl.col("date").dt.day() == 9)
        return frame.select("symbol", "date", x=mean + jump.cast(pl.Float64))

    assert audit_features(function, bars).guilty_columns == ("x",)


def test_a_leak_that_waits_for_a_crash_of_the_whole_market_is_found(bars):
    def function(frame):
        moves = frame.with_columns(
            mean=pl.col("close").ewm_mean(alpha=0.002).over("symbol"),
            ahead=(pl.col("close").shift(-1) / pl.col("close") - 1).over("symbol"),
        )
        crash = pl.col("ahead").mean().over("date") < -0.2
        return moves.select(
            "symbol", "date", x=pl.col("mean").rank().over("date") + pl.col("mean") - crash.fill_null(value=False)
        )

    (finding,) = audit_features(function, bars).errors
    assert (finding.check, finding.evidence["reads_sessions_ahead"]) == ("future_perturbation", 1)


def test_windows_over_symbol_borders_are_called_that(pandas_bars):
    def function(frame):
        return frame[["symbol", "date"]].assign(x=frame["close"].rolling(10).mean())

    (finding,) = audit_features(function, pandas_bars).errors
    assert "border between two symbols" in finding.explanation


def test_the_callers_frame_is_never_changed_and_the_library_is_kept(bars, pandas_bars):
    kinds = []

    def function(frame):
        kinds.append(type(frame))
        frame["close"] = 0.0
        return frame[["symbol", "date", "close"]]

    before = pandas_bars.copy(deep=True)
    report = audit_features(function, pandas_bars)
    assert pandas_bars.equals(before)
    assert set(kinds) == {type(pandas_bars)}
    assert len(kinds) == report.checks[1].evaluated
    assert "input_changed" in {f.check for f in report.warnings}
    copy = bars.clone()

    def polars_function(frame):
        kinds.append(type(frame))
        return frame.select("symbol", "date", x="close")

    audit_features(polars_function, bars)
    assert bars.equals(copy)
    assert kinds[-1] is pl.DataFrame


def test_a_function_that_raises_is_a_finding(bars):
    def function(frame):
        message = "no such luck"
        raise KeyError(message)

    (finding,) = audit_features(function, bars).errors
    assert finding.check == "raises"
    assert "no such luck" in finding.evidence["error"]


@pytest.mark.parametrize("result", [None, 3, {"x": [1]}, pl.DataFrame({"x": [1.0]})])
def test_a_result_that_is_no_features_is_a_finding(bars, result):
    assert [f.check for f in audit_features(lambda _: result, bars).errors] == ["raises"]


def test_only_short_histories_raising_is_a_note(bars):
    def function(frame):
        if frame.height < 4 * 30:
            message = "too short"
            raise ValueError(message)
        return frame.select("symbol", "date", x="close")

    report = audit_features(function, bars)
    assert [(f.check, f.severity) for f in report.findings] == [("raises_on_cut", "info")]


def test_dropped_duplicated_and_invented_rows_are_findings(bars):
    def dropping(frame):
        return frame.select("symbol", "date", x=pl.col("close").shift(1).over("symbol")).drop_nulls()

    def doubling(frame):
        rows = frame.select("symbol", "date", x="close")
        return pl.concat([rows, rows.head(3)])

    def inventing(frame):
        rows = frame.select("symbol", "date", x="close")
        return pl.concat([rows, rows.head(1).with_columns(symbol=pl.lit("ZZ"))])

    found = [{f.check for f in audit_features(f, bars).findings} for f in (dropping, doubling, inventing)]
    assert found == [{"rows_dropped"}, {"duplicated_rows"}, {"rows_added"}]


def test_dropping_the_rows_without_a_future_is_a_leak(bars):
    def function(frame):
        known = pl.col("close").shift(-1).over("symbol").is_not_null()
        return frame.filter(known).select("symbol", "date", x="close")

    report = audit_features(function, bars)
    assert report.guilty_columns == ("x",)
    assert report.errors[0].evidence["reads_sessions_ahead"] == 1


def test_unseeded_random_numbers_are_not_reproducible_and_hide_no_leak_beside_them(pandas_bars):
    def function(frame):
        noise = np.random.normal(size=len(frame))  # noqa: NPY002
        return frame[["symbol", "date"]].assign(x=noise, y=frame.groupby("symbol")["close"].shift(-1), z=frame["close"])

    before = np.random.get_state()[1].copy()  # noqa: NPY002
    found = {f.check: f.columns for f in audit_features(function, pandas_bars).errors}
    assert found == {"truncation": ("y",), "not_reproducible": ("x",)}
    assert np.array_equal(np.random.get_state()[1], before)  # noqa: NPY002


def test_what_an_earlier_call_left_behind_is_forgotten_for_the_audit_and_given_back(pandas_bars):
    memory: dict[str, float] = {}

    def function(frame):
        memory.setdefault("mean", float(frame["close"].mean()))
        return frame[["symbol", "date"]].assign(x=frame["close"] - memory["mean"])

    memory["mean"] = 123.0
    report = audit_features(function, pandas_bars)
    assert report.guilty_columns == ("x",)
    assert memory == {"mean": 123.0}

    class Model:
        mean = None

        def __call__(self, frame):
            if self.mean is None:
                self.mean = frame["close"].mean()
            return frame[["symbol", "date"]].assign(x=frame["close"] - self.mean)

    model = Model()
    model(pandas_bars)
    assert audit_features(model, pandas_bars).guilty_columns == ("x",)


def test_lists_and_counters_of_the_caller_are_left_alone(bars):
    calls: list[int] = []
    count = {"n": 0}

    def function(frame):
        calls.append(frame.height)
        count["n"] += 1
        return frame.select("symbol", "date", x="close")

    report = audit_features(function, bars)
    assert len(calls) == count["n"] == report.checks[1].evaluated


def test_data_of_its_own_that_knows_the_future_is_an_error(bars):
    ahead = bars.select("symbol", "date", x=(pl.col("close").shift(-1) / pl.col("close")).over("symbol"))
    behind = bars.select("symbol", "date", x=(pl.col("close") / pl.col("close").shift(1)).over("symbol"))

    def leaky(frame):
        return frame.select("symbol", "date").join(ahead, on=["symbol", "date"], how="left")

    def honest(frame):
        return frame.select("symbol", "date").join(behind, on=["symbol", "date"], how="left")

    assert {f.check for f in audit_features(leaky, bars).errors} == {"foreign_data"}
    report = audit_features(honest, bars)
    assert report.verdict == "pass"
    assert [f.check for f in report.warnings] == ["captured_data"]


def test_refusing_short_histories_is_a_warning_and_back_fill_is_not(pandas_bars):
    def refusing(frame):
        close = frame.groupby("symbol")["close"]
        return frame[["symbol", "date"]].assign(x=close.pct_change(5).where(close.transform("size") >= 50))

    report = audit_features(refusing, pandas_bars)
    assert [(f.check, f.severity) for f in report.findings] == [("length_guard", "warning")]

    def filling(frame):
        return frame[["symbol", "date"]].assign(
            x=frame.groupby("symbol")["close"].pct_change(50).groupby(frame["symbol"]).bfill()
        )

    assert audit_features(filling, pandas_bars).guilty_columns == ("x",)


def test_cross_sections_are_a_note(bars):
    def function(frame):
        return frame.select("symbol", "date", x=pl.col("close").rank().over("date"), y="close")

    (finding,) = audit_features(function, bars).findings
    assert (finding.check, finding.severity, finding.columns) == ("cross_section", "info", ("x",))


def test_counting_the_symbols_of_a_session_is_reading_across_symbols(bars):
    def function(frame):
        return frame.select("symbol", "date", x=pl.len().over("date"))

    (finding,) = audit_features(function, bars).findings
    assert (finding.check, finding.severity) == ("cross_section", "info")


def test_hanging_on_the_index_is_a_warning(pandas_bars):
    import pandas as pd

    def function(frame):
        moves = frame.groupby("symbol")["close"].pct_change().to_numpy()
        return frame[["symbol", "date"]].assign(x=pd.Series(moves))

    assert [f.check for f in audit_features(function, pandas_bars).warnings] == ["index_dependence"]


@pytest.mark.parametrize("kind", ["text", "datetime", "unsorted", "integers", "indexed"])
def test_bars_come_in_many_forms(pandas_bars, kind):
    import pandas as pd

    frame = pandas_bars.copy()
    if kind == "text":
        frame["date"] = frame["date"].astype(str)
    elif kind == "datetime":
        frame["date"] = pd.to_datetime(frame["date"]).dt.tz_localize("UTC")
    elif kind == "unsorted":
        frame = frame.sort_values("date", kind="stable").reset_index(drop=True)
    elif kind == "integers":
        frame["volume"] = frame["volume"].astype("int64")
    else:
        frame.index = pd.Index(np.arange(len(frame)) * 3 + 7)

    def honest(given):
        return given[["symbol", "date"]].assign(x=given.groupby("symbol")["close"].pct_change() * given["volume"])

    def leaky(given):
        return given[["symbol", "date"]].assign(x=given.groupby("symbol")["volume"].shift(-1))

    assert audit_features(honest, frame).findings == ()
    assert audit_features(leaky, frame).errors[0].evidence["reads_sessions_ahead"] == 1


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda b: b.drop("symbol"), "lack their key"),
        (lambda b: pl.concat([b, b.head(1)]), "null or duplicated"),
        (lambda b: b.head(5), "too short"),
        (lambda b: [1, 2], "no frame"),
    ],
)
def test_bars_that_cannot_be_audited_are_refused(bars, spoil, message):
    with pytest.raises(AuditError, match=message):
        audit_features(lambda frame: frame, spoil(bars))


def test_too_few_cuts_are_refused(bars):
    with pytest.raises(AuditError, match="too few cuts"):
        audit_features(lambda frame: frame, bars, cuts=2)


def test_the_same_audit_gives_the_same_report_and_the_quick_one_is_cheaper(bars):
    def leaky(frame):
        return frame.select("symbol", "date", x=pl.col("close").rolling_mean(5, center=True).over("symbol"))

    def stable(report):
        return report.to_dict()["findings"], report.quality

    assert stable(audit_features(leaky, bars, seed=4)) == stable(audit_features(leaky, bars, seed=4))
    quick = audit_features(leaky, bars, cuts=3, thorough=False)
    assert quick.guilty_columns == ("x",)
    assert quick.checks[1].evaluated <= 8


def test_noise_of_running_sums_is_no_leak_and_a_small_leak_is(bars):
    def summed(frame):
        running = frame.with_columns(total=pl.col("volume").cum_sum())
        return running.select("symbol", "date", x=pl.col("total") - pl.col("total").first().over("symbol"))

    assert audit_features(summed, bars).verdict == "pass"

    # A running variance keeps rounding errors of the symbol before, which grow with the square of its prices.
    dear = bars.with_columns(
        pl.when(pl.col("symbol") == "AA").then(300 * pl.col("close")).otherwise(pl.col("close")).alias("close")
    )

    def blanked(frame):
        window = frame["close"].rolling(20)
        score = (frame["close"] - window.mean()) / window.std()
        return frame[["symbol", "date"]].assign(x=score.where(frame.groupby("symbol").cumcount() >= 20))

    assert audit_features(blanked, dear.to_pandas()).findings == ()

    def small(frame):
        future = (pl.col("close").shift(-1) / pl.col("close") - 1).over("symbol")
        return frame.select("symbol", "date", x=pl.col("close") / 100 + 1e-3 * future.fill_null(0))

    assert audit_features(small, bars).guilty_columns == ("x",)
