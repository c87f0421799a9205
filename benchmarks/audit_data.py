"""The data audit measured: detection by family, false alarms with bounds, power over strength, peers, and cost.

Peers: a naive rule (any column whose pooled AUC against the direction is more than 0.05 from 0.5) run here, and two
dataset auditors in an environment of their own in the user's cache (CONVICTION_BENCH_CACHE moves it): cleanlab's
Datalab and deepchecks. They see the same frames; what they flag is counted when it names the guilty column or symbol, or,
where the dataset as a whole is guilty, when they flag anything beyond what they flag on its clean twin.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from conviction.audit import audit_dataset
from conviction.testing import LEAK_KINDS, VARIANTS, can_plant, make_clean_dataset, plant_leak

PROJECT = Path(__file__).resolve().parents[1]
MARKET = Path(os.environ.get("CONVICTION_MARKET_DATA", PROJECT.parent / "shared" / "market"))
SIZES = ((12, 320), (20, 500), (8, 260))
# deepchecks 0.19.1 needs the scikit-learn of its time.
PEERS = ("cleanlab[datalab]==2.9.0", "deepchecks==0.19.1", "scikit-learn<1.6", "category-encoders<2.7")


def real_bars() -> tuple[pl.DataFrame, pl.DataFrame]:
    path = MARKET / "sp500_daily_2020_2024.parquet"
    if not path.exists():
        sys.exit(f"this benchmark needs real prices: {path} not found; set CONVICTION_MARKET_DATA")
    bars = pl.read_parquet(path).with_columns(pl.col("date").cast(pl.Date)).rename({"date": "session"})
    vix = pl.read_csv(MARKET / "vix_daily.csv", try_parse_dates=True)
    return bars, vix.select(pl.col("date").cast(pl.Date).alias("session"), pl.col("close").alias("vix"))


def at_error(report: Any) -> tuple[set[str], set[str]]:
    errors = [f for f in report.findings if f.severity == "error"]
    return {c for f in errors for c in f.columns}, {s for f in errors for s in f.symbols}


def named(case: Any, columns: set[str], symbols: set[str], *, any_error: bool) -> bool:
    """The guilty column (or symbol) is named with at most two innocent columns beside it."""
    innocent = columns - set(case.columns)
    if case.columns:
        return bool(columns & set(case.columns)) and len(innocent) <= 2
    if case.symbols:
        return bool(symbols & set(case.symbols)) and len(innocent) <= 2
    return any_error


def naive(frame: pl.DataFrame) -> set[str]:
    """Return the columns whose pooled AUC against the direction is more than 0.05 from one half."""
    from scipy.stats import rankdata

    label = frame["direction"].to_numpy().astype(float)
    skip = {"symbol", "date", "open", "high", "low", "close", "volume", "direction"}
    guilty = set()
    for name in frame.columns:
        if name in skip or name.startswith("target") or not frame.schema[name].is_numeric():
            continue
        x = frame[name].to_numpy().astype(float)
        good = np.isfinite(x) & np.isfinite(label)
        up = label[good] > 0
        if up.sum() < 20 or (~up).sum() < 20:
            continue
        ranks = rankdata(x[good])
        auc = (ranks[up].sum() - up.sum() * (up.sum() + 1) / 2) / (up.sum() * (~up).sum())
        if abs(auc - 0.5) > 0.05:
            guilty.add(name)
    return guilty


def clopper_pearson(hits: int, n: int) -> tuple[float, float]:
    from scipy.stats import beta

    low = 0.0 if hits == 0 else float(beta.ppf(0.025, hits, n - hits + 1))
    high = 1.0 if hits == n else float(beta.ppf(0.975, hits + 1, n - hits))
    return low, high


def detection(bars: pl.DataFrame, vix: pl.DataFrame, seeds: list[int], peers: Path | None) -> dict[str, Any]:
    ours: dict[str, list[bool]] = defaultdict(list)
    simple: dict[str, list[bool]] = defaultdict(list)
    others: dict[str, dict[str, list[bool]]] = defaultdict(lambda: defaultdict(list))
    missed = []
    for seed in seeds:
        symbols, sessions = SIZES[seed % len(SIZES)]
        clean = make_clean_dataset(bars, seed=seed, n_symbols=symbols, n_sessions=sessions, vix=vix)
        baseline = peer_flags(peers, clean.frame) if peers else {}
        for kind in sorted(LEAK_KINDS):
            if not can_plant(clean, kind):
                continue
            case = plant_leak(clean, kind, seed=seed)
            report = audit_dataset(case.frame, sources=case.sources)
            columns, accused = at_error(report)
            hit = named(case, columns, accused, any_error=report.verdict == "fail")
            ours[case.family].append(hit)
            flagged = naive(case.frame)
            simple[case.family].append(named(case, flagged, set(), any_error=bool(flagged)))
            if peers:
                for peer, flags in peer_flags(peers, case.frame).items():
                    new = set(flags) - set(baseline.get(peer, []))
                    others[peer][case.family].append(named(case, new, new, any_error=bool(new)))
            if not hit:
                missed.append(f"{kind} (seed {seed}, strength {case.strength:g}): named {sorted(columns)[:4]}")
    print(f"\ndetection, guilty named with at most two innocent columns (seeds {seeds})")
    print(f"{'family':16s} {'conviction':>12s} {'naive AUC':>12s}" + "".join(f" {p:>12s}" for p in others))
    for family in [*sorted(ours), "all"]:
        tables = [ours, simple, *others.values()]
        cells = [[x for v in t.values() for x in v] if family == "all" else t[family] for t in tables]
        print(f"{family:16s}" + "".join(f" {sum(c):>6d}/{len(c):<5d}" for c in cells))
    print("missed:", *(missed or ["none"]), sep="\n  ")
    tables = {"conviction": ours, "naive": simple, **others}
    return {n: {f: [sum(c), len(c)] for f, c in sorted(t.items())} for n, t in tables.items()} | {"missed": missed}


def false_alarms(bars: pl.DataFrame, vix: pl.DataFrame, seeds: list[int]) -> dict[str, Any]:
    audited = wrong = warned = failed = datasets = 0
    simple = 0
    for seed in seeds:
        for variant in VARIANTS:
            symbols, sessions = SIZES[seed % len(SIZES)]
            clean = make_clean_dataset(
                bars, seed=100 + seed, variant=variant, n_symbols=symbols, n_sessions=sessions, vix=vix
            )
            report = audit_dataset(clean.frame, sources=clean.sources)
            columns, _ = at_error(report)
            datasets += 1
            failed += report.verdict == "fail"
            audited += len(clean.features)
            wrong += len(columns)
            warned += len({c for f in report.findings if f.severity == "warning" for c in f.columns})
            simple += len(naive(clean.frame) & set(clean.features))
            if report.verdict == "fail":
                print(
                    "  failed:",
                    variant,
                    seed,
                    [(f.check, f.columns, f.symbols) for f in report.findings if f.severity == "error"],
                )
    low, high = clopper_pearson(wrong, audited)
    print(f"\nclean datasets failed: {failed} of {datasets} ({', '.join(VARIANTS)})")
    print(f"clean columns at error: {wrong} of {audited} = {wrong / audited:.4f}, 95 % bounds [{low:.4f}, {high:.4f}]")
    print(f"clean columns at warning: {warned} of {audited}; naive AUC rule accuses {simple} of {audited}")
    return {
        "datasets_failed": [failed, datasets],
        "columns_at_error": [wrong, audited],
        "bounds": [round(low, 5), round(high, 5)],
        "columns_at_warning": warned,
        "naive_accuses": simple,
    }


def power(bars: pl.DataFrame, vix: pl.DataFrame, seeds: list[int]) -> dict[str, Any]:
    print(
        "\npower over strength (share of datasets in which the column is named at error; in brackets at least warned)"
    )
    curves: dict[str, Any] = {}
    strengths = (0.03, 0.06, 0.1, 0.15, 0.2, 0.3, 0.5)
    print(f"{'kind':22s}" + "".join(f"{s:>14.2f}" for s in strengths))
    for kind in ("copy_linear", "copy_of_ten_sessions", "copy_in_missingness", "partial_one_symbol"):
        cells = []
        for strength in strengths:
            hit = seen = 0
            for seed in seeds:
                clean = make_clean_dataset(bars, seed=seed, n_symbols=20, n_sessions=500, vix=vix, variant="no_sources")
                case = plant_leak(clean, kind, seed=seed, strength=strength)
                report = audit_dataset(case.frame)
                hit += bool(at_error(report)[0] & set(case.columns))
                seen += any(set(f.columns) & set(case.columns) for f in report.findings if f.severity != "info")
            cells.append(f"{hit}/{len(seeds)} ({seen}/{len(seeds)})")
        print(f"{kind:22s}" + "".join(f"{c:>14s}" for c in cells))
        curves[kind] = dict(zip(map(str, strengths), cells, strict=True))
    return curves


def cost(bars: pl.DataFrame, vix: pl.DataFrame, *, large: bool) -> dict[str, Any]:
    sizes = [(46, 900, 60)] + ([(482, 1128, 158)] if large else [])
    print("\ncost, one thread")
    spent: dict[str, Any] = {}
    for symbols, sessions, columns in sizes:
        clean = make_clean_dataset(bars, seed=3, n_symbols=symbols, n_sessions=sessions, vix=vix)
        frame = clean.frame
        rng = np.random.default_rng(0)
        for number in range(columns - len(clean.features)):
            # Columns that no definition explains cost the most: every statistic is asked of them.
            noise = np.cumsum(rng.standard_normal(frame.height)) if number % 2 else rng.standard_normal(frame.height)
            frame = frame.insert_column(frame.width - 5, pl.Series(f"vendor_{number:03d}", noise))
        wall, cpu = time.perf_counter(), time.process_time()
        report = audit_dataset(frame, sources=clean.sources)
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
        shape = f"{report.dataset.symbols} symbols x {sessions} sessions x {columns} columns"
        print(
            f"{shape}: {cpu:.1f} s CPU ({wall:.1f} s on this machine now), peak {peak:.1f} GB, verdict {report.verdict}"
        )
        spent[shape] = {"cpu_seconds": round(cpu, 1), "peak_gb": round(peak, 1), "verdict": report.verdict}
        slow = sorted(report.checks, key=lambda c: -c.seconds)[:4]
        print("  slowest:", ", ".join(f"{c.name} {c.seconds:.1f} s" for c in slow))
    return spent


def peer_environment() -> Path | None:
    """Return the Python of the peers' environment, made on first use; None where it cannot be made."""
    cache = Path(os.environ.get("CONVICTION_BENCH_CACHE", Path.home() / ".cache" / "conviction-kedro"))
    folder = cache / "audit-data-peers"
    python = folder / "bin" / "python"
    if not python.exists():
        folder.parent.mkdir(parents=True, exist_ok=True)
        subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
        subprocess.run([str(python), "-m", "pip", "install", "-q", "setuptools<81", "pyarrow", *PEERS], check=False)
    return python if python.exists() else None


def peer_flags(python: Path | None, frame: pl.DataFrame) -> dict[str, list[str]]:
    if python is None:
        return {}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "frame.parquet"
        frame.write_parquet(path)
        script = Path(__file__).with_name("audit_data_peers.py")
        done = subprocess.run([str(python), str(script), str(path)], capture_output=True, text=True, check=False)
    lines = [line for line in done.stdout.splitlines() if line.startswith("{")]
    return json.loads(lines[-1]) if lines else {}


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--no-peers", action="store_true")
    parser.add_argument("--large", action="store_true", help="also 482 symbols x 158 columns")
    parser.add_argument("--only", choices=("detection", "clean", "power", "cost"))
    chosen = parser.parse_args(arguments)
    bars, vix = real_bars()
    seeds = list(range(chosen.seeds))
    figures: dict[str, Any] = {}
    if chosen.only in (None, "cost"):
        figures["cost"] = cost(bars, vix, large=chosen.large)
    if chosen.only in (None, "clean"):
        figures["false_alarms"] = false_alarms(bars, vix, seeds)
    if chosen.only in (None, "detection"):
        figures["detection"] = detection(bars, vix, seeds, None if chosen.no_peers else peer_environment())
    if chosen.only in (None, "power"):
        figures["power"] = power(bars, vix, list(range(max(2, chosen.seeds))))
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
