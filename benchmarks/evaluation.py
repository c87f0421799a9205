"""Does a 95 % interval hold the truth in 95 % of cases? Coverage by simulation, and the speed of one score.

500 panels in which nothing is predictable, though nothing in them is independent either: the labels are those of 20 real
stocks over a random window of 2001 to 2022 (all stocks of a day move together), the scores are made of real momentum,
reversal and volatility features of another window, at least a year away, with the stocks exchanged at random (scores are persistent and
move together as well). A label asks whether a stock does better than its own median over all years: were some stocks better bets
than others, a score that merely prefers them would be right, not lucky. For the same reason the windows begin after April 2001:
while prices moved in sixteenths of a dollar, eight returns of a hundred were exactly zero, more in some stocks and years than in others,
so that some stocks really rose less often. So the truth is 0.5. The last line is one JSON object:

- `coverage`: share of panels whose day-block interval of the pooled AUC of `direction` holds 0.5;
- `coverage_*`: the same for the other metrics and the `relative` target;
- `coverage_per_row`: of the usual interval, that takes rows for independent;
- `false_skill`: share of panels that `score` calls skill, at most half of 1 - confidence;
- `seconds_50k_rows`: one score() on 50,000 rows with 1,000 resamples;
- `per_row_se_too_small_by_500_symbols`: how many times the per-row standard error must be multiplied on a broad panel.
"""

from __future__ import annotations

import argparse
import json
import sys
import time

import numpy as np
import polars as pl

from conviction.evaluation import EvaluationParameters, Verdict, null_auc_se, score, simulate_null_oof

FEATURE_SPANS = (1, 5, 20, 60)


def real_returns() -> np.ndarray:
    """Return close-to-close returns of 20 stocks since prices are decimal, April 2001 to 2022, shape (n_sessions, 20)."""
    from skfolio.datasets import load_sp500_dataset

    prices = load_sp500_dataset().loc["2001-04-09":].to_numpy(dtype=np.float64)
    return prices[1:] / prices[:-1] - 1


def features(returns: np.ndarray) -> np.ndarray:
    """Return standardised past-only features, shape (n_sessions, n_symbols, n_features)."""
    paths = np.cumsum(np.log1p(returns), axis=0)
    squares = np.cumsum(returns**2, axis=0)
    columns = []
    for span in FEATURE_SPANS:
        columns.append(np.concatenate([np.zeros((span, paths.shape[1])), paths[span:] - paths[:-span]]))
        if span > 1:
            columns.append(np.concatenate([np.zeros((span, paths.shape[1])), squares[span:] - squares[:-span]]))
    stacked = np.stack(columns, axis=2)
    return (stacked - stacked.mean(axis=(0, 1))) / stacked.std(axis=(0, 1))


def null_panel(
    returns: np.ndarray, known: np.ndarray, *, n_sessions: int, target: str, rng: np.random.Generator
) -> pl.DataFrame:
    """Build one panel of real labels with real scores of another time."""
    n_symbols = returns.shape[1]
    last = len(returns) - n_sessions
    labels_from = int(rng.integers(FEATURE_SPANS[-1], last))
    while True:
        scores_from = int(rng.integers(FEATURE_SPANS[-1], last))
        if abs(scores_from - labels_from) >= n_sessions + 252:
            break
    future = returns[labels_from : labels_from + n_sessions]
    judged = returns if target == "direction" else returns - np.median(returns, axis=1, keepdims=True)
    threshold = np.median(judged, axis=0)
    weights = rng.normal(size=known.shape[2])
    raw = (known[scores_from : scores_from + n_sessions] @ weights)[:, rng.permutation(n_symbols)]
    days = np.datetime64("2000-01-01") + np.arange(n_sessions)
    return pl.DataFrame(
        {
            "symbol": np.tile([f"S{i:02d}" for i in range(n_symbols)], n_sessions),
            "session": pl.Series(np.repeat(days, n_symbols)).cast(pl.Date),
            "fold": np.zeros(n_sessions * n_symbols, dtype=np.int32),
            "score": (1 / (1 + np.exp(-0.1 * raw))).ravel(),
            "label": (judged[labels_from : labels_from + n_sessions] > threshold).astype(np.int8).ravel(),
            "forward_return": future.ravel(),
        }
    ).sort("symbol", "session")


def coverage(
    *, target: str, n_panels: int, n_sessions: int, evaluation: EvaluationParameters, seed: int
) -> dict[str, float]:
    """Return the share of panels whose intervals hold the truth."""
    returns = real_returns()
    known = features(returns)
    rng = np.random.default_rng(seed)
    held = dict.fromkeys(["auc_pooled", "auc_daily", "rank_ic", "per_row", "false_skill"], 0)
    errors, values = [], []
    for panel in range(n_panels):
        oof = null_panel(returns, known, n_sessions=n_sessions, target=target, rng=rng)
        scores = score(oof, evaluation=evaluation, seed=panel)
        m = scores.metrics
        for name, truth in (("auc_pooled", 0.5), ("auc_daily", 0.5), ("rank_ic", 0.0)):
            held[name] += m[f"{name}_lo"] <= truth <= m[f"{name}_hi"]
        positive = int(oof["label"].sum())
        row_se = null_auc_se(n_positive=positive, n_negative=oof.height - positive)
        held["per_row"] += abs(m["auc_pooled"] - 0.5) <= 1.959964 * row_se
        held["false_skill"] += scores.verdict is Verdict.SKILL
        errors.append(m["auc_pooled_se"])
        values.append(m["auc_pooled"])
    return {
        **{name: count / n_panels for name, count in held.items()},
        "se_mean": float(np.mean(errors)),
        "se_true": float(np.std(values)),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--panels", type=int, default=500)
    parser.add_argument("--sessions", type=int, default=500)
    parser.add_argument("--resamples", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=20130102)
    arguments = parser.parse_args()
    evaluation = EvaluationParameters(n_resamples=arguments.resamples)
    started = time.perf_counter()
    shared = {
        "n_panels": arguments.panels,
        "n_sessions": arguments.sessions,
        "evaluation": evaluation,
        "seed": arguments.seed,
    }
    direction = coverage(target="direction", **shared)
    relative = coverage(target="relative", **shared)
    seconds = time.perf_counter() - started
    large = simulate_null_oof(n_symbols=20, n_sessions=2500, seed=1)
    single = time.perf_counter()
    score(large, evaluation=EvaluationParameters(n_resamples=1000), seed=0)
    single = time.perf_counter() - single
    broad = simulate_null_oof(n_symbols=500, n_sessions=250, seed=1)
    blocks = score(broad, evaluation=evaluation, seed=0).metrics["auc_pooled_se"]
    n_ones = int(broad["label"].sum())
    result = {
        "coverage": direction["auc_pooled"],
        "coverage_daily": direction["auc_daily"],
        "coverage_rank_ic": direction["rank_ic"],
        "coverage_per_row": direction["per_row"],
        "coverage_relative": relative["auc_pooled"],
        "coverage_relative_daily": relative["auc_daily"],
        "coverage_relative_rank_ic": relative["rank_ic"],
        "coverage_relative_per_row": relative["per_row"],
        "false_skill": direction["false_skill"],
        "false_skill_relative": relative["false_skill"],
        "standard_error_over_true": direction["se_mean"] / direction["se_true"],
        "panels": arguments.panels,
        "sessions": arguments.sessions,
        "symbols": 20,
        "confidence": evaluation.confidence,
        "seconds": round(seconds, 1),
        "seconds_50k_rows": round(single, 3),
        "per_row_se_too_small_by_500_symbols": round(
            blocks / null_auc_se(n_positive=n_ones, n_negative=broad.height - n_ones), 1
        ),
    }
    sys.stdout.write(json.dumps(result) + "\n")


if __name__ == "__main__":
    main()
