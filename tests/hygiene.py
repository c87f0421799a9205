"""Say what must never be committed: registry addresses, machine paths, secrets, large or binary files, notebook outputs."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
FORBIDDEN = {
    "address of a package registry": re.compile(r"(?:py" + r"pi|python" + r"hosted|npm" + r"js)\.(?:org|com)"),
    "path of a machine": re.compile(r"(?<![A-Za-z0-9_.])/(?:wo" + r"rk|ro" + r"ot|home/[a-z]+)/"),
    "cloud access key": re.compile(r"AKIA[0-9A-Z]{16}"),
    "secret key": re.compile(r"aws_secret_access_key\s*[:=]\s*[A-Za-z0-9/+]{30,}"),
    "private key": re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY"),
}
BINARY = {".pkl", ".pickle", ".joblib", ".onnx", ".pt", ".db", ".sqlite"}
LARGEST = 1024 * 1024


def tracked() -> list[Path]:
    """Return the files that git tracks."""
    listed = subprocess.run(["git", "-C", str(ROOT), "ls-files", "-z"], capture_output=True, text=True, check=True)
    return [ROOT / name for name in listed.stdout.split("\0") if name]


def problems(path: Path) -> list[str]:
    """Return what is wrong with one file."""
    found = []
    if path.suffix in BINARY:
        found.append("binary artefact")
    if path.stat().st_size > LARGEST:
        found.append("larger than 1 MiB")
    text = path.read_bytes().decode("utf-8", errors="ignore")
    found += [name for name, pattern in FORBIDDEN.items() if pattern.search(text)]
    if path.suffix == ".ipynb" and any(cell.get("outputs") for cell in json.loads(text)["cells"]):
        found.append("notebook with outputs")
    return found


def main() -> int:
    """Print one line for each problem; return 1 if there is any."""
    bad = [(path, problem) for path in tracked() if path.is_file() for problem in problems(path)]
    for path, problem in bad:
        sys.stdout.write(f"{path.relative_to(ROOT)}: {problem}\n")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
