"""What the first hour costs: installing, and starting `kedro run` until its first node.

The project is copied into a folder of its own, so nothing of yours is touched. There `kedro run` is started several times
and stopped when it announces its first node; between two starts a bare Kedro project with one node is started the same way. CPU
seconds (user and system, all threads, read from the process table of Linux) are what counts on a shared machine. Unless `--no-install` is given, an
environment is also made from the hashed lock and measured, as `make setup` makes it. The last line is one JSON object:

- `startup_cpu_s`, `startup_wall_s`: medians until the first node, MLflow's database already there;
- `startup_first_cpu_s`: the very first start, which makes that database;
- `bare_kedro_cpu_s`, `ratio_to_bare_kedro`: the peer;
- `install_wall_s`, `install_mb`: the environment from the lock (downloads included), bytes on disk / 1e6.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
COPIED = ("src", "conf", "pyproject.toml", "README.md", ".telemetry")
FIRST_NODE = "Running node"
DEADLINE = 120.0
QUIET = {"DO_NOT_TRACK": "true", "MLFLOW_DISABLE_TELEMETRY": "true", "KEDRO_DISABLE_TELEMETRY": "true"}
BARE = {
    "pyproject.toml": '[tool.kedro]\npackage_name = "bare"\nproject_name = "bare"\nkedro_init_version = "{version}"\nsource_dir = "src"\n',
    "src/bare/__init__.py": "",
    "src/bare/settings.py": 'DISABLE_HOOKS_FOR_PLUGINS = ("kedro-telemetry",)\n',
    "src/bare/pipeline_registry.py": (
        "from kedro.pipeline import Node, Pipeline\n\n\n"
        "def one():\n    return 1\n\n\n"
        'def register_pipelines():\n    return {"__default__": Pipeline([Node(one, None, "one")])}\n'
    ),
    "conf/base/catalog.yml": "",
    "conf/base/parameters.yml": "",
    "conf/local/.gitkeep": "",
}


def cpu_seconds(pid: int) -> float:
    """Return user and system seconds of a process and of its children that have ended."""
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return sum(int(value) for value in fields[11:15]) / os.sysconf("SC_CLK_TCK")


def start(project: Path, python: str, *options: str) -> tuple[float, float]:
    """Start `kedro run` in a project; return CPU and wall seconds until it announces its first node."""
    environment = {**os.environ, **QUIET, "PYTHONPATH": str(project / "src"), "COLUMNS": "200"}
    begun = time.perf_counter()
    process = subprocess.Popen(
        [python, "-m", "kedro", "run", *options],
        cwd=project,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    said = []
    try:
        assert process.stdout is not None
        for line in process.stdout:
            said.append(line)
            if FIRST_NODE in line:
                return cpu_seconds(process.pid), time.perf_counter() - begun
            if time.perf_counter() - begun > DEADLINE:
                break
    finally:
        process.kill()
        process.wait()
    raise SystemExit("kedro run announced no node; it said:\n" + "".join(said[-20:]))


def copy_project(home: Path) -> Path:
    """Copy what a run needs of this project."""
    project = home / "project"
    project.mkdir()
    for name in COPIED:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, project / name, ignore=shutil.ignore_patterns("local"))
        elif source.exists():
            shutil.copy(source, project / name)
    (project / "conf" / "local").mkdir(exist_ok=True)
    return project


def bare_project(home: Path) -> Path:
    """Write a Kedro project with one node and nothing else."""
    from kedro import __version__

    project = home / "bare"
    for name, text in BARE.items():
        path = project / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text.replace("{version}", __version__))
    return project


def install(home: Path) -> tuple[str, float, float]:
    """Make an environment as `make setup` does; return its interpreter, the wall seconds and its size in MB."""
    environment = home / "environment"
    begun = time.perf_counter()
    subprocess.run([sys.executable, "-m", "venv", environment], check=True)
    python = str(environment / "bin" / "python")
    pip = [python, "-m", "pip", "--disable-pip-version-check", "--quiet", "install"]
    subprocess.run([*pip, "--require-hashes", "-r", str(ROOT / "requirements" / "core.txt")], check=True)
    seconds = time.perf_counter() - begun
    size = sum(path.lstat().st_size for path in environment.rglob("*") if path.is_file() and not path.is_symlink())
    return python, seconds, size / 1e6


def main() -> int:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=5, help="starts of each side")
    parser.add_argument("--no-install", action="store_true", help="use the environment that runs this file")
    options = parser.parse_args()
    figures: dict[str, float] = {}
    with tempfile.TemporaryDirectory(prefix="startup-") as folder:
        home = Path(folder)
        python = sys.executable
        if not options.no_install:
            print("installing from the lock into an environment of its own ...", flush=True)
            python, figures["install_wall_s"], figures["install_mb"] = install(home)
            print(f"installed: {figures['install_mb']:.0f} MB in {figures['install_wall_s']:.0f} s", flush=True)
        ours, bare = copy_project(home), bare_project(home)
        figures["startup_first_cpu_s"], _ = start(ours, python, "--pipelines=data_engineering")
        pairs = []
        for turn in range(options.repeats):
            mine, peer = start(ours, python), start(bare, python)
            pairs.append((*mine, *peer))
            print(f"start {turn + 1}: {mine[0]:.2f} CPU s, {mine[1]:.2f} s; bare Kedro {peer[0]:.2f} CPU s", flush=True)
        cpu, wall, peer_cpu, _ = (statistics.median(values) for values in zip(*pairs, strict=True))
        figures |= {"startup_cpu_s": cpu, "startup_wall_s": wall, "bare_kedro_cpu_s": peer_cpu}
        figures["ratio_to_bare_kedro"] = statistics.median(mine / peer for mine, _, peer, _ in pairs)
    print(json.dumps({name: round(value, 2) for name, value in sorted(figures.items())}))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
