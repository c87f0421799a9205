"""Contents of a report with the shape, size and noise of a real run, drawn from a fixed seed."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, timedelta

import numpy as np
import polars as pl
import pytest

from conviction.audit import AuditReport, CheckRun, DatasetFacts, Finding, LeadLagProfile
from conviction.folds import HOLDOUT_FOLD
from conviction.reporting import DataFacts, EnsembleChoice, Provenance, ReportContents, SymbolScores

MODELS = (
    ("rank_average", "ensemble", 0.013),
    ("stacked_logistic", "ensemble", 0.012),
    ("logistic", "model", 0.011),
    ("lightgbm", "model", 0.010),
    ("xgboost", "model", 0.012),
    ("reversal_1d", "baseline", 0.002),
    ("base_rate", "baseline", 0.0),
)
SYMBOLS = (
    *("AAPL", "AMD", "BAC", "BBY", "CVX", "GE", "HD", "JNJ", "JPM", "KO"),
    *("LLY", "MRK", "MSFT", "PEP", "PFE", "PG", "RRC", "UNH", "WMT", "XOM"),
)


def sessions(count: int, start: date = date(2013, 1, 2)) -> list[date]:
    """Return `count` weekdays."""
    days = (start + timedelta(days=offset) for offset in range(count * 2))
    return [day for day in days if day.weekday() < 5][:count]


def make_scores(rng: np.random.Generator) -> pl.DataFrame:
    rows = []
    for target, width in (("direction", 1.6), ("relative", 1.0)):
        for model, kind, lift in MODELS:
            daily = 0.5 + lift / width if model != "base_rate" else 0.5
            half = 0.006 * width if model != "base_rate" else 0.0
            rows.append(
                {
                    "target": target,
                    "model": model,
                    "kind": kind,
                    "split": "oof",
                    "auc_daily": daily,
                    "auc_daily_lo": daily - half,
                    "auc_daily_hi": daily + half,
                    "auc_daily_t": (daily - 0.5) / (half / 1.96) if half else None,
                    "auc_pooled": daily - 0.002,
                    "auc_pooled_lo": daily - 0.002 - 2 * half,
                    "auc_pooled_hi": daily - 0.002 + 2 * half,
                    "rank_ic": (daily - 0.5) / 0.47 if half else None,
                    "rank_ic_lo": (daily - 0.5 - half) / 0.47 if half else None,
                    "rank_ic_hi": (daily - 0.5 + half) / 0.47 if half else None,
                    "log_loss": 0.6925 + rng.normal(0, 0.0004),
                    "brier_skill": rng.normal(0, 0.0004),
                    "n_sessions": 1764,
                    "n_rows": 35_280,
                    "verdict_reason": "No AUC is above one half by more than luck explains, though auc_pooled would have shown a lift of 0.013.",
                    "verdict": "not distinguishable from luck" if daily - half <= 0.5 else "skill",
                }
            )
    half = pl.lit(0.0006)
    return pl.DataFrame(rows).with_columns(
        log_loss_lo=pl.col("log_loss") - half,
        log_loss_hi=pl.col("log_loss") + half,
        brier_skill_lo=pl.col("brier_skill") - half,
        brier_skill_hi=pl.col("brier_skill") + half,
    )


def make_folds() -> pl.DataFrame:
    days = sessions(2500)
    rows = []
    for fold in range(6):
        start = 750 + fold * 250
        for index, day in enumerate(days):
            if index >= 2260:
                role = "holdout"
            elif start <= index < start + 250:
                role = "test"
            elif index < start - 126:
                role = "train"
            elif index < start - 5:
                role = "inner"
            elif index < start:
                role = "purged"
            elif index < start + 255:
                role = "embargo"
            else:
                role = "future"
            rows.append((fold, day, role))
    for index, day in enumerate(days):
        rows.append((HOLDOUT_FOLD, day, "holdout" if index >= 2260 else "train" if index < 2255 else "embargo"))
    return pl.DataFrame(rows, schema=["fold", "session", "role"], orient="row")


def make_symbols(rng: np.random.Generator, target: str) -> SymbolScores:
    auc = 0.505 + rng.normal(0, 0.014, len(SYMBOLS))
    p_value = rng.uniform(0.01, 1, len(SYMBOLS))
    frame = pl.DataFrame(
        {
            "symbol": SYMBOLS,
            "auc": auc,
            "lo": auc - 0.027,
            "hi": auc + 0.027,
            "p_value": p_value,
            "q_value": np.minimum(1, p_value * 4),
            "p_best": np.minimum(1, p_value * 9),
            "n": [1764] * len(SYMBOLS),
        }
    )
    return SymbolScores(
        target=target, model="rank_average", frame=frame, threshold=0.55, expected_over=0.004, expected_best=0.526
    )


FEATURES = tuple(
    f"{family}_{window}" for family in ("ret", "mom", "vol", "rsi", "xs_rank_ret") for window in range(1, 9)
)


def make_profiles() -> tuple[LeadLagProfile, ...]:
    """Return profiles that are strong against the past and noise against the future, but for one."""
    rng = np.random.default_rng(11)
    lags = tuple(range(-20, 21))
    scale = np.where(np.array(lags) <= 0, 0.08, 0.006)
    return tuple(
        LeadLagProfile(
            column=name,
            lags=lags,
            values=tuple(rng.normal(0, scale) if name != "ret_1" else np.where(np.array(lags) == 1, -0.03, 0.001)),
            band=(0.02,) * len(lags),
        )
        for name in FEATURES
    )


def make_audit(*, failed: bool) -> AuditReport:
    findings = [
        Finding(
            check="lead_lag",
            severity="warning",
            columns=("ret_1d",),
            evidence={"t": -4.2},
            explanation="ret_1d is related to the return of the session after the decision (t = -4.2).",
            remedy="Accept it by name in audit.accepted_warnings if one-day reversal explains it.",
        )
    ]
    if failed:
        findings.append(
            Finding(
                check="truncation",
                severity="error",
                columns=("sma_5_centred", "<script>alert(1)</script>"),
                explanation="Values change when later sessions are cut off.",
                remedy="Use a window that ends at the decision.",
            )
        )
    names = ("truncation", "label_recomputation", "warm_up", "span_overlap", "lead_lag")
    return AuditReport(
        dataset=DatasetFacts(
            fingerprint="5f0c" * 16,
            rows=50_000,
            symbols=20,
            first_session="2013-01-02",
            last_session="2022-12-28",
            columns=41,
        ),
        checks=(
            *(CheckRun(name=name, evaluated=41, unit="columns", seconds=0.7) for name in names),
            CheckRun(
                name="release_times", evaluated=0, unit="columns", seconds=0.0, skipped="no release table was given"
            ),
        ),
        findings=tuple(findings),
        profiles=make_profiles(),
    )


def make_contents(*, failed: bool = False, **changes: object) -> ReportContents:
    """Return realistic contents; `changes` replace fields."""
    rng = np.random.default_rng(7)
    days = sessions(1764, date(2015, 12, 21))
    daily = pl.concat(
        pl.DataFrame(
            {"target": target, "model": model, "session": days, "auc": 0.5 + lift + rng.normal(0, 0.12, len(days))}
        )
        for target in ("direction", "relative")
        for model, kind, lift in MODELS
        if kind != "baseline"
    )
    predicted = np.linspace(0.47, 0.55, 10)
    calibration = pl.concat(
        pl.DataFrame(
            {
                "target": target,
                "model": "rank_average",
                "predicted": predicted,
                "observed": 0.5 + 0.4 * (predicted - 0.51) + rng.normal(0, 0.006, 10),
            }
        ).with_columns(lo=pl.col("observed") - 0.016, hi=pl.col("observed") + 0.016, n=3528)
        for target in ("direction", "relative")
    )
    mean = np.sort(rng.uniform(0.01, 0.1, 15))
    importance = pl.DataFrame(
        {
            "target": "relative",
            "model": "lightgbm",
            "feature": FEATURES[:15],
            "mean": mean,
            "lo": mean * 0.5,
            "hi": mean * 1.6,
        }
    )
    books = [("long_short", "close"), ("long_short", "next_close"), ("optimised", "close")]
    economics = pl.DataFrame(
        {
            "target": "relative",
            "model": "rank_average",
            "book": [book for book, _ in books],
            "execution": [execution for _, execution in books],
            "of_label": [execution == "close" for _, execution in books],
            "cost_bps": 5.0,
            "turnover": [2.83, 2.83, 0.21],
            "net_bps": [-9.1, -14.0, 1.2],
            "net_lo": [-18.0, -22.0, -3.1],
            "net_hi": [0.4, -5.0, 5.5],
            "break_even_bps": [1.8, 0.1, 10.7],
            "break_even_lo": [-1.3, -2.9, -9.7],
            "break_even_hi": [4.9, 3.1, 31.0],
            "sharpe_net": [-0.82, -1.31, 0.42],
            "sharpe_net_lo": [-1.7, -2.2, -0.3],
            "sharpe_net_hi": [0.1, -0.4, 1.1],
            "annual_return": [-0.23, -0.35, 0.03],
            "annual_return_lo": [-0.45, -0.55, -0.08],
            "annual_return_hi": [0.01, -0.13, 0.14],
        }
    )
    excess = rng.normal(0, 1.5, 10)
    quantiles = pl.DataFrame(
        {
            "target": "relative",
            "model": "rank_average",
            "execution": "close",
            "quantile": range(1, 11),
            "excess_bps": excess,
            "lo": excess - 3,
            "hi": excess + 3,
        }
    )
    placebo = pl.DataFrame(
        {
            "target": ["direction"] * 20 + ["relative"] * 20,
            "model": "lightgbm",
            "auc_pooled": 0.5 + rng.normal(0, 0.004, 40),
            "band_lo": 0.484,
            "band_hi": 0.516,
            "inside": [True] * 39 + [False],
        }
    )
    selection = pl.DataFrame(
        {
            "target": ["direction", "relative"],
            "trials": [60, 60],
            "trials_effective": [31.4, 30.6],
            "expected_best": [0.5099, 0.5089],
            "deflated_prob": [0.4, 0.69],
            "pbo": [0.45, None],
            "confidence_set": ["logistic, lightgbm, xgboost", None],
        }
    )
    ic = rng.normal(0.004, 0.006, 7)
    decay = pl.DataFrame(
        {"target": "relative", "lag": [0, 1, 2, 3, 5, 10, 20], "rank_ic": ic, "lo": ic - 0.014, "hi": ic + 0.014}
    )
    stability = pl.DataFrame(
        {
            "target": "relative",
            "model": ["logistic", "lightgbm"],
            "kind": ["shap", "shap"],
            "rank_correlation": [0.83, 0.31],
            "lo": [0.6, -0.1],
            "n_folds": [5, 5],
            "n_seeds": [3, 1],
            "selected": [4, None],
            "features": [41, 41],
        }
    )
    fields: dict[str, object] = {
        "title": "Next-day direction of 20 S&P 500 stocks",
        "provenance": Provenance(
            commit="68791c0d2b3a4f5e6a7b8c9d0e1f2a3b4c5d6e7f",
            dirty=True,
            lock_hash="a1" * 32,
            data_fingerprint="b2" * 32,
            parameter_hash="c3" * 32,
            environment="base",
            pipeline="__default__",
            run_id="0d9f1e2c3b4a59687766554433221100",
            seed=20260101,
        ),
        "data": DataFacts(
            source="Daily adjusted closes of 20 S&P 500 stocks that ship inside skfolio.",
            symbols=SYMBOLS,
            first_session=date(2013, 1, 2),
            last_session=date(2022, 12, 28),
            n_sessions=2516,
            n_rows=50_320,
            n_features=41,
            survivorship="The 20 stocks were members in 2022: those that failed before are missing, and absolute scores flatter.",
            execution="Decision and fill at the same close: idealised, since no order placed on a close is filled at it.",
            omitted={"atr_14": "no high and low", "obv": "no volume", "stoch_k": "no high and low"},
        ),
        "audit": make_audit(failed=failed),
        "folds": make_folds(),
        "scores": make_scores(rng),
        "reasons": {"rank_ic": "0 sessions have scores that vary, forward returns and at least 5 symbols"},
        "trials": 31,
        "holdout_openings": 0,
        "symbols": (make_symbols(rng, "direction"), make_symbols(rng, "relative")),
        "ensemble": tuple(
            EnsembleChoice(
                target=target,
                model="rank_average",
                explanation="The stack did not beat the rank average in a paired block bootstrap (p = 0.61), so the simpler one stands.",
            )
            for target in ("direction", "relative")
        ),
        "daily_auc": daily,
        "calibration": calibration,
        "importance": importance,
        "economics": economics,
        "quantiles": quantiles,
        "placebo": placebo,
        "selection": selection,
        "decay": decay,
        "stability": stability,
    }
    return ReportContents(**(fields | changes))


@pytest.fixture(scope="session")
def contents() -> ReportContents:
    """Return the contents of a passing run."""
    return make_contents()


@pytest.fixture(scope="session")
def make() -> Callable[..., ReportContents]:
    """Return the function that makes contents with fields replaced."""
    return make_contents
