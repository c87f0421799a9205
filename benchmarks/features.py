"""Alpha158 against pyqlib: time, memory, values; growth with the rows; minute bars out of core.

``make bench-features``. pyqlib gets an environment of its own in the user's cache folder (CONVICTION_BENCH_CACHE to move
it), made at the first run. Each side runs as a process of its own with two workers: pyqlib's two processes, our two
threads. Figures are medians of paired runs, one side right after the other.

What is compared: the 158 columns on every row of every symbol without a missing session, where both sides give a number;
a difference counts relative to values above 1. We give no number where a window is not full (pyqlib starts at one row)
and where a volume of zero stands in a denominator: pyqlib divides by 1e-12 (VMA, VSTD, WVMA) or leaves the row out of the
correlation (CORD). Those are all of `null_only_in_ours_after_60_rows`: in the S&P 500 panel 10,001 values, of a symbol whose first
two years have hardly any volume (SW) and of one day each of CCI and CNC. Both sides read the same Float32 bars; the panel has no volume-weighted price, so
both get the mean of high, low and close in its place.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[1]
PEER = ("pyqlib==0.9.7", "numpy==2.4.6", "pandas==3.1.1", "pyarrow==25.0.1")
COLUMNS = ("open", "high", "low", "close", "volume", "vwap")
WORKERS = 2
TARGETS = {
    "speedup_cpu": (">=", 30.0),
    "speedup_wall": (">=", 20.0),
    "speedup_process": (">=", 8.0),
    "memory_ratio": ("<=", 1.0),
    "max_abs_difference": ("<=", 1e-4),
    "growth_exponent": ("<=", 1.1),
    "minute_peak_gb": ("<=", 4.0),
}


# -- the two sides, each in a process of its own -------------------------------------------------------------------------


def build_ours(inputs: Path):
    import polars as pl

    from conviction.features import FeatureParameters, build_features

    bars = pl.read_parquet(inputs / "bars.parquet")
    return build_features(bars, features=FeatureParameters(sets=("alpha158",)), n_jobs=WORKERS).matrix


def build_qlib(inputs: Path):
    import qlib
    from qlib.contrib.data.loader import Alpha158DL
    from qlib.data.dataset.loader import QlibDataLoader

    if not getattr(build_qlib, "ready", False):
        qlib.init(
            provider_uri=str(inputs / "qlib"),
            region="us",
            kernels=WORKERS,
            expression_cache=None,
            dataset_cache=None,
            logging_level=40,
        )
        build_qlib.ready = True
    price = {"windows": [0], "feature": ["OPEN", "HIGH", "LOW", "VWAP"]}
    fields, names = Alpha158DL.get_feature_config({"kbar": {}, "price": price, "rolling": {}})
    return QlibDataLoader(config={"feature": (fields, names)}).load("all")


def cpu_seconds() -> float:
    usages = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


class PeakMemory(threading.Thread):
    """Highest proportional set size of this process and its children, in GB, seen every 50 ms."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.peak = 0.0
        self.over = threading.Event()

    def run(self) -> None:
        while not self.over.wait(0.05):
            self.peak = max(self.peak, sum(map(self._pss, self._family())) / 1e6)

    def stop(self) -> float:
        self.over.set()
        self.join()
        return max(self.peak, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6)

    @staticmethod
    def _family() -> list[int]:
        family = [os.getpid()]
        for pid in family:
            for task in Path(f"/proc/{pid}/task").glob("*/children"):
                try:
                    family += [int(child) for child in task.read_text().split()]
                except OSError:
                    continue
        return family

    @staticmethod
    def _pss(pid: int) -> int:
        try:
            lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
        except OSError:
            return 0
        return next((int(line.split()[1]) for line in lines if line.startswith("Pss:")), 0)


def side(name: str, inputs: Path, builds: int, values: Path | None) -> None:
    build = {"ours": build_ours, "qlib": build_qlib}[name]
    memory = PeakMemory()
    if values:
        memory.start()
    found = None
    for _ in range(builds):
        found = None
        wall, cpu = time.perf_counter(), cpu_seconds()
        found = build(inputs)
        wall, cpu = time.perf_counter() - wall, cpu_seconds() - cpu
    result = {"wall": wall, "cpu": cpu, "rows": len(found)}
    if values:
        result["memory_gb"] = memory.stop()
        if name == "ours":
            found.write_parquet(values)
        else:
            found.columns = [column[-1] for column in found.columns]
            found.rename_axis(index=["session", "symbol"]).reset_index().to_parquet(values)
    print(json.dumps(result))


def minutes(folder: Path, symbols: int, sessions: int) -> None:
    """Build Alpha158 on generated minute bars, one symbol in memory at a time, written as one file a symbol."""
    import polars as pl

    from conviction.features import FeatureParameters, build_in_parts

    parts = (pl.read_parquet(path) for path in sorted((folder / "bars").glob("*.parquet")))
    (folder / "features").mkdir()
    rows = 0
    wall = time.perf_counter()
    for number, built in enumerate(
        build_in_parts(parts, features=FeatureParameters(sets=("alpha158",)), n_jobs=WORKERS)
    ):
        built.matrix.write_parquet(folder / "features" / f"{number:03}.parquet", compression="lz4")
        rows += built.matrix.height
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    assert rows == symbols * sessions * 390, (rows, symbols, sessions)
    print(json.dumps({"wall": time.perf_counter() - wall, "peak_gb": peak, "rows": rows}))


# -- inputs --------------------------------------------------------------------------------------------------------------


def read_panel(limit: int | None):
    import polars as pl

    folder = Path(os.environ.get("CONVICTION_MARKET_DATA", PROJECT.parent / "shared" / "market"))
    path = folder / "sp500_daily_2020_2024.parquet"
    if path.exists():
        panel, source = pl.read_parquet(path).rename({"date": "session"}), path.name
    else:
        panel, source = generated(501, 1258), "generated (no real prices found; set CONVICTION_MARKET_DATA)"
    if limit:
        panel = panel.filter(pl.col("symbol").is_in(panel["symbol"].unique().sort()[:limit].implode()))
    panel = panel.sort("symbol", "session").with_columns(pl.col(*COLUMNS[:-1]).cast(pl.Float32))
    vwap = (pl.col("high") + pl.col("low") + pl.col("close")) / 3
    return panel.with_columns(vwap.alias("vwap")).select("symbol", "session", *COLUMNS), source


def generated(symbols: int, sessions: int):
    import datetime as dt

    import numpy as np
    import polars as pl

    rng = np.random.default_rng(0)
    days = [d for n in range(sessions * 2) if (d := dt.date(2018, 1, 1) + dt.timedelta(n)).weekday() < 5][:sessions]
    frames = []
    for number in range(symbols):
        close = 50.0 * np.exp(np.cumsum(rng.standard_t(4, sessions) * 0.012))
        opening = close * np.exp(rng.normal(0.0, 0.006, sessions))
        spread = np.abs(rng.normal(0.0, 0.006, (2, sessions)))
        frames.append(
            pl.DataFrame(
                {
                    "symbol": [f"G{number:04}"] * sessions,
                    "session": days,
                    "open": opening,
                    "high": np.maximum(opening, close) * np.exp(spread[0]),
                    "low": np.minimum(opening, close) * np.exp(-spread[1]),
                    "close": close,
                    "volume": np.round(np.exp(rng.normal(13.0, 0.5, sessions))),
                }
            )
        )
    return pl.concat(frames)


def write_qlib(panel, root: Path) -> None:
    """Write pyqlib's format: calendar, instruments, and one array a field, headed by its first session's number."""
    import numpy as np

    (root / "calendars").mkdir(parents=True)
    (root / "instruments").mkdir()
    days = panel["session"].unique().sort().to_list()
    (root / "calendars" / "day.txt").write_text("".join(f"{day}\n" for day in days))
    number = {day: n for n, day in enumerate(days)}
    lines = []
    for (symbol,), part in panel.group_by("symbol", maintain_order=True):
        folder = root / "features" / symbol.lower()
        folder.mkdir(parents=True)
        place = np.array([number[day] for day in part["session"]])
        for column in COLUMNS:
            values = np.full(place[-1] - place[0] + 2, np.nan, dtype="<f4")
            values[0] = place[0]
            values[place - place[0] + 1] = part[column].to_numpy()
            values.tofile(folder / f"{column}.day.bin")
        lines.append(f"{symbol}\t{part['session'][0]}\t{part['session'][-1]}\n")
    (root / "instruments" / "all.txt").write_text("".join(lines))


def write_minutes(folder: Path, symbols: int, sessions: int) -> None:
    import numpy as np
    import polars as pl

    (folder / "bars").mkdir(parents=True)
    size = sessions * 390
    number = pl.int_range(size, eager=True)
    start = pl.datetime(2024, 1, 2, 14, 31, time_zone="UTC")
    moment = (start + pl.duration(days=number // 390, minutes=number % 390)).cast(pl.Datetime("us", "UTC"))
    for symbol in range(symbols):
        rng = np.random.default_rng(symbol)
        close = 100.0 * np.exp(np.cumsum(rng.normal(0.0, 0.0006, size)))
        bars = {"open": close * np.exp(rng.normal(0.0, 0.0003, size)), "close": close}
        bars["high"] = np.maximum(bars["open"], close) * np.exp(np.abs(rng.normal(0.0, 0.0003, size)))
        bars["low"] = np.minimum(bars["open"], close) * np.exp(-np.abs(rng.normal(0.0, 0.0003, size)))
        bars["volume"], bars["vwap"] = np.round(np.exp(rng.normal(8.0, 0.7, size))), close
        frame = pl.DataFrame(bars).with_columns(moment.alias("bar_end"), pl.lit(f"M{symbol:03}").alias("symbol"))
        frame = frame.with_columns(pl.col("bar_end").dt.date().alias("session"))
        frame.select("symbol", "session", "bar_end", *COLUMNS).write_parquet(folder / "bars" / f"{symbol:03}.parquet")


def peer_python() -> Path:
    """Return the interpreter of pyqlib's environment, made if it is not there."""
    cache = Path(os.environ.get("CONVICTION_BENCH_CACHE", Path.home() / ".cache" / "conviction-kedro"))
    folder = cache / f"{PEER[0].replace('==', '-')}-py{sys.version_info.major}{sys.version_info.minor}"
    python, done = folder / "bin" / "python", folder / "installed"
    if not done.exists():
        print(f"making an environment for {PEER[0]} in {folder} (minutes, once)", flush=True)
        shutil.rmtree(folder, ignore_errors=True)
        subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
        subprocess.run([str(python), "-m", "pip", "install", "-qq", *PEER], check=True)
        done.touch()
    return python


# -- measuring -----------------------------------------------------------------------------------------------------------


def run(python: Path, *arguments: str) -> dict[str, float]:
    """Run this file as a process; its JSON line, and the wall and CPU seconds of the whole process."""
    environment = {**os.environ, "PYTHONWARNINGS": "ignore", "OMP_NUM_THREADS": "1"}
    wall, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(
        [str(python), __file__, *arguments], capture_output=True, text=True, check=False, env=environment
    )
    wall, after = time.perf_counter() - wall, resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode:
        sys.exit(f"{python} {' '.join(arguments)} failed:\n{done.stderr[-3000:]}")
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return {**json.loads(done.stdout.splitlines()[-1]), "process_wall": wall, "process_cpu": cpu}


def compare(panel, ours: Path, theirs: Path) -> dict[str, object]:
    import numpy as np
    import polars as pl

    days = {day: n for n, day in enumerate(panel["session"].unique().sort().to_list())}
    spans = panel.group_by("symbol").agg(pl.len(), first=pl.col("session").min(), last=pl.col("session").max())
    whole = [r["symbol"] for r in spans.iter_rows(named=True) if days[r["last"]] - days[r["first"]] + 1 == r["len"]]
    left = pl.read_parquet(ours).filter(pl.col("symbol").is_in(whole))
    right = pl.read_parquet(theirs).with_columns(pl.col("session").cast(pl.Date)).filter(pl.col("symbol").is_in(whole))
    right = right.sort("symbol", "session")
    assert left.select("symbol", "session").equals(right.select("symbol", "session")), "the rows differ"
    worst, worst_name, compared, ours_alone, theirs_alone = 0.0, "", 0, 0, 0
    warm = left.select(pl.int_range(pl.len()).over("symbol") >= 60).to_series().to_numpy()
    for name in left.columns[2:]:
        a, b = left[name].to_numpy().astype(np.float64), right[name].to_numpy().astype(np.float64)
        both = np.isfinite(a) & np.isfinite(b)
        gap = np.abs(a[both] - b[both]) / np.maximum(1.0, np.abs(b[both]))
        compared += int(both.sum())
        ours_alone += int((np.isfinite(a) & ~np.isfinite(b)).sum())
        theirs_alone += int((~np.isfinite(a) & np.isfinite(b) & warm).sum())
        if gap.max() > worst:
            worst, worst_name = float(gap.max()), name
    return {
        "max_abs_difference": worst,
        "worst_factor": worst_name,
        "symbols_without_gaps": len(whole),
        "values_compared": compared,
        "null_only_in_pyqlib": ours_alone,
        "null_only_in_ours_after_60_rows": theirs_alone,
    }


def measure_pairs(peer: Path, inputs: Path, runs: int) -> dict[str, object]:
    me = Path(sys.executable)
    pairs = []
    for number in range(runs):
        pair = {}
        for name, python in (("ours", me), ("qlib", peer)):
            once = run(python, "--side", name, "--inputs", str(inputs), "--builds", "1")
            warm = run(python, "--side", name, "--inputs", str(inputs), "--builds", "2")
            pair[name] = {"cpu": warm["cpu"], "wall": warm["wall"], "process": once["process_wall"]}
        pairs.append(pair)
        print(f"pair {number + 1} of {runs}: " + "; ".join(f"{k} {_seconds(v)}" for k, v in pair.items()), flush=True)
    found: dict[str, object] = {}
    for key, name in (("cpu", "speedup_cpu"), ("wall", "speedup_wall"), ("process", "speedup_process")):
        found[name] = statistics.median(pair["qlib"][key] / pair["ours"][key] for pair in pairs)
        for who in ("ours", "qlib"):
            found[f"{who}_{key}_s"] = statistics.median(pair[who][key] for pair in pairs)
    return found


def _seconds(times: dict[str, float]) -> str:
    return ", ".join(f"{key} {value:.2f} s" for key, value in times.items())


def measure_growth(panel, folder: Path) -> dict[str, object]:
    """Time our build at a quarter, the whole and four times the symbols."""
    import polars as pl

    symbols = panel["symbol"].unique().sort()
    quarter = panel.filter(pl.col("symbol").is_in(symbols[: len(symbols) // 4].implode()))
    four = pl.concat(panel.with_columns(pl.col("symbol") + f"-{n}") for n in range(4)).sort("symbol", "session")
    found: dict[str, object] = {}
    sizes, times = [], []
    for name, frame in (("0.25x", quarter), ("1x", panel), ("4x", four)):
        inputs = folder / name
        inputs.mkdir()
        frame.write_parquet(inputs / "bars.parquet")
        cpu = [
            run(Path(sys.executable), "--side", "ours", "--inputs", str(inputs), "--builds", "2")["cpu"]
            for _ in range(3)
        ]
        sizes.append(frame.height)
        times.append(statistics.median(cpu))
        found[f"cpu_s_at_{name}"] = times[-1]
        print(f"{name}: {frame.height:,} rows, {times[-1]:.2f} CPU s", flush=True)
    return {**found, "growth_exponent": math.log(times[-1] / times[0]) / math.log(sizes[-1] / sizes[0])}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=3, help="paired runs")
    parser.add_argument("--symbols", type=int, default=None, help="only the first symbols: a quick look")
    parser.add_argument("--check", action="store_true", help="fail if a target is missed")
    parser.add_argument("--side", choices=("ours", "qlib"), help=argparse.SUPPRESS)
    parser.add_argument("--inputs", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--builds", type=int, default=1, help=argparse.SUPPRESS)
    parser.add_argument("--values", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--minutes", type=int, nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.side:
        side(options.side, options.inputs, options.builds, options.values)
    elif options.minutes:
        minutes(options.inputs, *options.minutes)
    else:
        benchmark(options.runs, options.symbols, check=options.check)


def benchmark(runs: int, limit: int | None, *, check: bool) -> None:
    peer, me = peer_python(), Path(sys.executable)
    panel, source = read_panel(limit)
    figures: dict[str, object] = {"panel": source, "rows": panel.height, "symbols": panel["symbol"].n_unique()}
    with tempfile.TemporaryDirectory(prefix="conviction-bench-") as name:
        folder = Path(name)
        panel.write_parquet(folder / "bars.parquet")
        write_qlib(panel, folder / "qlib")
        memory = {}
        for who, python in (("ours", me), ("qlib", peer)):
            # The first run of ours compiles the kernels if no run before has.
            run(python, "--side", who, "--inputs", str(folder))
            got = run(python, "--side", who, "--inputs", str(folder), "--values", str(folder / f"{who}.parquet"))
            memory[who] = got["memory_gb"]
            print(f"{who}: peak {memory[who]:.2f} GB", flush=True)
        figures |= {f"{who}_memory_gb": value for who, value in memory.items()}
        figures |= {"memory_ratio": memory["ours"] / memory["qlib"]}
        figures |= compare(panel, folder / "ours.parquet", folder / "qlib.parquet")
        print(f"values: largest difference {figures['max_abs_difference']:.1e} ({figures['worst_factor']})", flush=True)
        figures |= measure_pairs(peer, folder, runs)
        figures |= measure_growth(panel, folder)
        shape = (50, 250) if limit is None else (4, 25)
        write_minutes(folder / "minutes", *shape)
        got = run(me, "--minutes", *map(str, shape), "--inputs", str(folder / "minutes"))
        figures |= {"minute_rows": got["rows"], "minute_peak_gb": got["peak_gb"], "minute_wall_s": got["wall"]}
    if limit:
        print("a quick look: start-up weighs more than in the whole panel, for which the targets are")
    missed = []
    for key, (sign, bound) in TARGETS.items():
        value = float(figures[key])
        met = value >= bound if sign == ">=" else value <= bound
        missed += [] if met else [key]
        print(f"{'met   ' if met else 'MISSED'} {key} {value:.3g} (target {sign} {bound:g})")
    print(json.dumps({k: round(v, 9) if isinstance(v, float) else v for k, v in figures.items()}))
    if check and missed:
        sys.exit(1)


if __name__ == "__main__":
    main()
