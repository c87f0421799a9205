"""Find credentials in the working tree, or with ``--history`` in every line any commit ever added.

Exit code 0: nothing found. 1: something found; the place is printed, never the secret itself.
A line that only looks like a secret ends with the comment ``not-a-secret``.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "src"))  # the scan runs without the project being installed

from conviction_kedro.secret_scan import findings  # noqa: E402


def _git(*arguments: str) -> str:
    done = subprocess.run(["git", "-C", str(ROOT), *arguments], capture_output=True, check=True)
    return done.stdout.decode("utf-8", errors="replace")


def tracked_lines() -> Iterator[tuple[str, str]]:
    """Yield (place, line) of every tracked text file."""
    for name in _git("ls-files", "-z").split("\0"):
        path = ROOT / name
        if name and path.is_file() and not name.startswith("requirements/"):
            text = path.read_bytes().decode("utf-8", errors="replace")
            for number, line in enumerate(text.splitlines(), start=1):
                yield f"{name}:{number}", line


def history_lines() -> Iterator[tuple[str, str]]:
    """Yield (place, line) of every line that any commit of any branch added; locks of hashes are left out."""
    commit = name = ""
    for line in _git("log", "--all", "-p", "--unified=0", "--no-color", "--format=commit %H").splitlines():
        if line.startswith("commit "):
            commit = line[7:19]
        elif line.startswith("+++ "):
            name = line[6:]
        elif line.startswith("+") and not name.startswith("requirements/"):
            yield f"{commit} {name}", line[1:]


def main(arguments: list[str]) -> int:
    """Print one line for each suspicious place; return 1 if there is any."""
    lines = history_lines() if "--history" in arguments else tracked_lines()
    bad = sorted({f"{place}: {kind}" for place, line in lines for kind in findings(line)})
    for entry in bad:
        sys.stdout.write(f"{entry}\n")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
