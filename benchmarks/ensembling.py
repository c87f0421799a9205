"""How often does an ensemble replace the rank average when nothing can be learnt? Every combiner as challenger, labels permuted.

Three models of different skill are simulated out of fold; then the labels are exchanged between sessions in blocks, all symbols together,
200 times, so that no score knows anything any more, and the ensemble chooses each time. The last line is one JSON object:

- `chosen_share`: share of permutations in which something else than the rank average is chosen; at most 0.05 is asked;
- `chosen`: which, how often;
- `choice_with_skill`: what is chosen on the labels as they are, where the models' skills differ;
- `seconds_one`: one ensemble of all combiners.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections import Counter

import polars as pl

from conviction.ensembling import EnsemblingParameters, ensemble
from conviction.evaluation import permute_by_session, simulate_null_oof

SKILLS = (0.0, 0.1, 0.3)
CHALLENGERS = ("mean", "past_weighted", "stack_logistic", "stack_mlp", "stack_xgboost")


def three_models(*, n_symbols: int, n_sessions: int) -> pl.DataFrame:
    """Return out-of-fold rows of three models of one market."""
    parts = [simulate_null_oof(n_symbols=n_symbols, n_sessions=n_sessions, seed=1, skill=skill) for skill in SKILLS]
    truth = parts[0].select("symbol", "session", "label", "forward_return")
    # Of one seed they share the market; the score of each is its own mixture of the same luck and the same knowledge.
    return pl.concat(
        part.drop("label", "forward_return")
        .join(truth, on=["symbol", "session"], maintain_order="left")
        .with_columns(model=pl.lit(f"model_{number}"))
        .select("symbol", "session", "target", "model", "fold", "score", "label", "forward_return")
        for number, part in enumerate(parts)
    )


def permuted(oof: pl.DataFrame, *, seed: int) -> pl.DataFrame:
    """Return the rows with the labels of other sessions, the same exchange for every model."""
    columns = ["label", "forward_return"]
    one = oof.filter(pl.col("model") == "model_0").select("symbol", "session", *columns)
    moved = permute_by_session(one, columns=columns, seed=seed)
    return oof.drop(columns).join(moved, on=["symbol", "session"], maintain_order="left")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--permutations", type=int, default=200)
    parser.add_argument("--symbols", type=int, default=15)
    parser.add_argument("--sessions", type=int, default=400)
    parser.add_argument("--context", action="store_true", help="give the stacks per-session and per-symbol context")
    arguments = parser.parse_args()
    parameters = EnsemblingParameters(
        purge=1, challengers=CHALLENGERS, context=arguments.context, calibrate=True, n_resamples=500
    )
    oof = three_models(n_symbols=arguments.symbols, n_sessions=arguments.sessions)
    started = time.perf_counter()
    with_skill = ensemble(oof, target="direction", ensembling=parameters, seed=0).choice
    seconds = time.perf_counter() - started
    chosen = Counter(
        ensemble(permuted(oof, seed=seed), target="direction", ensembling=parameters, seed=seed).choice
        for seed in range(arguments.permutations)
    )
    others = {name: count for name, count in sorted(chosen.items()) if name != "rank_mean"}
    result = {
        "chosen_share": sum(others.values()) / arguments.permutations,
        "chosen": others,
        "choice_with_skill": with_skill,
        "permutations": arguments.permutations,
        "challengers": list(CHALLENGERS),
        "context": arguments.context,
        "seconds_one": round(seconds, 2),
    }
    sys.stdout.write(json.dumps(result) + "\n")


if __name__ == "__main__":
    main()
