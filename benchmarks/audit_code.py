"""The code audit measured: detection and false alarms on the zoo beside existing tools, and its cost.

Peers, in a folder of their own in the user's cache (CONVICTION_BENCH_CACHE moves it): leakprobe 0.2.2, which cuts the data
at one session and compares, and lookahead-lint 1.0.1, which reads the source. Both get the same functions and bars.
"""

from __future__ import annotations

import argparse
import inspect
import json
import os
import resource
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

PEERS = ("leakprobe==0.2.2", "lookahead-lint==1.0.1")
PROJECT = Path(__file__).resolve().parents[1]
#: Leaks that need rows which a drawn panel may not have (a date, an initial, 3,000 rows) are judged only where they can show.
MARKET = Path(os.environ.get("CONVICTION_MARKET_DATA", PROJECT.parent / "shared" / "market"))


def real_bars(n_symbols: int, seed: int) -> pl.DataFrame:
    """Return bars of randomly drawn stocks with a full history, June 2020 to December 2022; one begins with an A."""
    from datetime import date

    path = MARKET / "sp500_daily_2020_2024.parquet"
    if not path.exists():
        sys.exit(f"this benchmark needs real prices: {path} not found; set CONVICTION_MARKET_DATA")
    frame = pl.read_parquet(path).filter(pl.col("date").is_between(date(2020, 6, 1), date(2022, 12, 31)))
    counts = frame.group_by("symbol").len()
    full = counts.filter(pl.col("len") == counts["len"].max())["symbol"].sort().to_list()
    rng = np.random.default_rng(seed)
    first = [str(rng.choice([s for s in full if s.startswith("A")]))]
    others = [str(s) for s in rng.choice([s for s in full if s not in first], n_symbols - 1, replace=False)]
    return frame.filter(pl.col("symbol").is_in([*first, *others])).sort("symbol", "date")


def given(case: Any, bars: pl.DataFrame) -> Any:
    return bars if case.library == "polars" else bars.to_pandas()


def ours(cases: list[Any], bars: pl.DataFrame) -> list[tuple[bool, bool]]:
    """Return (accused, warned) of each function."""
    from conviction.audit import audit_features

    reports = [audit_features(case.function, given(case, bars)) for case in cases]
    return [(report.verdict == "fail", bool(report.warnings)) for report in reports]


def leakprobe_one(case: Any, bars: pl.DataFrame) -> bool:
    """Return whether leakprobe accuses the function; it cuts at three quarters of the history."""
    import leakprobe
    import pandas as pd

    frame = bars.to_pandas()
    frame["date"] = pd.to_datetime(frame["date"])
    days = np.sort(frame["date"].unique())

    def compute(sources: dict[str, Any]) -> Any:
        import warnings

        source = sources["bars"].reset_index(drop=True)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            if case.library == "polars":
                result = case.function(pl.from_pandas(source).with_columns(pl.col("date").cast(pl.Date)))
                result = (result.collect() if isinstance(result, pl.LazyFrame) else result).to_pandas()
            else:
                result = case.function(source.copy())
        if "symbol" in result.columns:
            result["date"] = pd.to_datetime(result["date"])
            result = result.set_index(["symbol", "date"])
        return result.sort_index()

    columns = [str(c) for c in compute({"bars": frame}).columns]
    report = leakprobe.check(
        compute,
        {"bars": frame},
        {"bars": "date"},
        {column: ["bars"] for column in columns},
        tolerance=1e-9,
        probe_undeclared=False,
        cutoff=pd.Timestamp(days[3 * len(days) // 4]),
    )
    return not report.clean


def lint_one(case: Any) -> bool:
    """Return whether lookahead-lint has a finding in the function's source."""
    from lookahead_lint import analyze_source

    source = textwrap.dedent(inspect.getsource(case.function))
    preamble = "import numpy as np\nimport pandas as pd\nimport polars as pl\n"
    findings, _ = analyze_source(preamble + source, Path("function.py"))
    return bool(findings)


def peers_side(n_symbols: int, seed: int) -> None:
    """Print, as JSON, what the peers say of each function (this runs as a process with their folder on its path)."""
    from conviction.testing import honest_functions, leaky_functions

    bars = real_bars(n_symbols, seed)
    verdicts: dict[str, list[bool]] = {"leakprobe": [], "lookahead-lint": []}
    for case in [*leaky_functions(), *honest_functions()]:
        try:
            verdicts["leakprobe"].append(leakprobe_one(case, bars))
        except Exception:  # noqa: BLE001 (a tool that cannot judge a function has not accused it)
            verdicts["leakprobe"].append(False)
        verdicts["lookahead-lint"].append(lint_one(case))
    print(json.dumps(verdicts))


def peers_folder() -> Path:
    cache = Path(os.environ.get("CONVICTION_BENCH_CACHE", Path.home() / ".cache" / "conviction-kedro"))
    folder = cache / "audit-code-peers"
    if not (folder / "installed").exists():
        print(f"installing {', '.join(PEERS)} into {folder} (once)", flush=True)
        command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--upgrade", "--target", str(folder)]
        subprocess.run([*command, *PEERS], check=True)
        (folder / "installed").touch()
    return folder


def ask_peers(n_symbols: int, seed: int) -> dict[str, list[bool]]:
    environment = {**os.environ, "PYTHONPATH": str(peers_folder()), "PYTHONWARNINGS": "ignore"}
    command = [sys.executable, __file__, "--peers-side", "--symbols", str(n_symbols), "--first-seed", str(seed)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    if done.returncode:
        sys.exit(f"the peers failed:\n{done.stderr[-2000:]}")
    return json.loads(done.stdout.splitlines()[-1])


def upper_bound(hits: int, n: int) -> float:
    """Return the 95 % upper bound of a proportion (Clopper and Pearson 1934)."""
    from scipy.stats import beta

    return 1.0 if hits >= n else float(beta.ppf(0.975, hits + 1, n - hits))


def power(n_symbols: int, seeds: list[int], *, peers: bool) -> dict[str, Any]:
    """Measure detection and false alarms over seeds; print them as a table."""
    from conviction.testing import honest_functions, leaky_functions

    leaks, clean = list(leaky_functions()), list(honest_functions())
    caught: dict[str, int] = {}
    alarms: dict[str, int] = {}
    missed: dict[str, set[str]] = {}
    warned, seconds = 0, 0.0
    for seed in seeds:
        bars = real_bars(n_symbols, seed)
        begun = time.perf_counter()
        judged = ours([*leaks, *clean], bars)
        seconds += time.perf_counter() - begun
        warned += sum(warn for _, warn in judged[len(leaks) :])
        verdicts = {"this audit": [accused for accused, _ in judged]}
        if peers:
            verdicts |= ask_peers(n_symbols, seed)
        for tool, accused in verdicts.items():
            caught[tool] = caught.get(tool, 0) + sum(accused[: len(leaks)])
            alarms[tool] = alarms.get(tool, 0) + sum(accused[len(leaks) :])
            missed.setdefault(tool, set()).update(c.name for c, a in zip(leaks, accused, strict=False) if not a)
    runs, honest = len(leaks) * len(seeds), len(clean) * len(seeds)
    print(f"{len(leaks)} leaky and {len(clean)} honest functions, {n_symbols} real stocks, seeds {seeds}")
    print(f"{'tool':<18}{'caught':>12}{'false alarms':>16}{'upper 95 %':>12}")
    for tool, found in caught.items():
        bound = upper_bound(alarms[tool], honest)
        print(f"{tool:<18}{found:>6} of {runs:<5}{alarms[tool]:>8} of {honest:<6}{bound:>10.3f}")
        print(
            textwrap.fill(
                f"missed: {', '.join(sorted(missed[tool])) or 'none'}",
                116,
                initial_indent="    ",
                subsequent_indent="    ",
            )
        )
    print(f"warnings on honest functions: {warned}; {seconds / (runs + honest):.2f} s a function")
    return {
        "caught": caught,
        "false_alarms": alarms,
        "leaky": runs,
        "honest": honest,
        "seconds_per_function": seconds / (runs + honest),
    }


def cost() -> dict[str, float]:
    """Measure the audit of the whole feature library against building it once."""
    from datetime import date

    from conviction.audit import audit_features
    from conviction.audit._workspace_recompute import Recomputation
    from conviction.features import FeatureParameters, build_features
    from conviction.panel import build_panel

    frame = pl.read_parquet(MARKET / "sp500_daily_2020_2024.parquet").rename({"date": "session"})
    symbols = frame.group_by("symbol").len().sort("len", "symbol", descending=[True, False])["symbol"].head(46)
    bars = frame.filter(pl.col("symbol").is_in(symbols.implode()) & (pl.col("session") >= date(2020, 12, 1))).sort(
        "symbol", "session"
    )
    panel = build_panel(bars, calendar="XNYS", decision="close", market=None, vix=None, membership=None)
    parameters = FeatureParameters(sets=("all",))

    def build(part: pl.DataFrame) -> pl.DataFrame:
        return build_features(part, features=parameters).matrix

    built = build_features(panel, features=parameters)

    def audit() -> None:
        again = Recomputation(panel, built.matrix, build=build, tolerance=0.0)
        again.run(n_cuts=4, seed=0)
        again.measure_lookback(built.features)
        if again.guilty:
            sys.exit(f"the feature library is guilty of {sorted(again.guilty)}")

    def of_bars(part: pl.DataFrame) -> pl.DataFrame:
        closed = part.rename({"date": "session"}).with_columns(in_universe=True)
        return build_features(closed, features=parameters).matrix.rename({"session": "date"})

    def quick() -> None:
        if audit_features(of_bars, bars.rename({"session": "date"}), cuts=3, thorough=False).verdict != "pass":
            sys.exit("the feature library is guilty")

    # Processor time, and pairs side by side: other work on the machine must not decide.
    ratios: list[tuple[float, float, float]] = []
    for _ in range(5):
        one = cpu_seconds(lambda: build(panel))
        ratios.append((one, cpu_seconds(audit) / one, cpu_seconds(quick) / one))
    one, in_builds, quick_in_builds = (float(np.median(column)) for column in zip(*ratios, strict=True))
    print(
        f"feature library: {len(built.features)} columns, {panel.height} rows; one build {one:.2f} s of processor time; its code "
        f"audit takes {in_builds:.1f} builds (audit_workspace), {quick_in_builds:.1f} (audit_features, thorough=False)"
    )
    return {"build_cpu_seconds": one, "audit_in_builds": in_builds, "quick_audit_in_builds": quick_in_builds}


def cpu_seconds(work: Callable[[], object]) -> float:
    before = resource.getrusage(resource.RUSAGE_SELF)
    work()
    after = resource.getrusage(resource.RUSAGE_SELF)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main(arguments: list[str] | None = None) -> dict[str, Any]:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--symbols", type=int, default=8)
    parser.add_argument("--seeds", type=int, default=2, help="number of drawn panels")
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--without-peers", action="store_true")
    parser.add_argument("--peers-side", action="store_true", help=argparse.SUPPRESS)
    chosen = parser.parse_args(arguments)
    if chosen.peers_side:
        peers_side(chosen.symbols, chosen.first_seed)
        return {}
    seeds = list(range(chosen.first_seed, chosen.first_seed + chosen.seeds))
    figures = {"power": power(chosen.symbols, seeds, peers=not chosen.without_peers), "cost": cost()}
    print(json.dumps({"code_audit": figures}))
    return figures


if __name__ == "__main__":
    main()
