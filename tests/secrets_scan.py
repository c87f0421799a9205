"""Find credentials in the working tree, or with ``--history`` in every line any commit ever added.

Exit code 0: nothing found. 1: something found; the place is printed, never the secret itself.
A line that only looks like a secret ends with the comment ``not-a-secret``.
"""

from __future__ import annotations

import math
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
ALLOWED = "not-a-secret"
KNOWN = {
    "cloud access key": re.compile(r"\b(?:AKIA|ASIA)[0-9A-Z]{16}\b"),
    "private key": re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----"),
    "source-forge token": re.compile(r"\bgh[pousr]_[A-Za-z0-9]{36,}\b|\bgithub_pat_[A-Za-z0-9_]{50,}\b"),
    "chat token": re.compile(r"\bxox[abprs]-[A-Za-z0-9-]{20,}\b"),
    "web token": re.compile(r"\beyJ[A-Za-z0-9_-]{10,}\.eyJ[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]{10,}\b"),
    "password in an address": re.compile(r"\b[a-z][a-z0-9+]{2,}://[^\s:/@{}$]+:[^\s:/@{}$]{6,}@[\w.-]+"),
}
#: A name that promises a secret, given a value that looks random.
NAMED = re.compile(
    r"""(?i)["']?[\w.-]*(?:secret|passw(?:or)?d|api_?key|access_?key|auth_?token|credential)[\w.-]*["']?\s*[:=]\s*["']?"""
    r"""(?P<value>[A-Za-z0-9/+_=.-]{16,})"""
)
#: Bits per character above which a value is taken for random; English words stay under 3.6.
RANDOM_BITS = 3.6


def entropy(text: str) -> float:
    """Return the Shannon entropy of the characters of `text`, in bits per character."""
    counts = Counter(text)
    return -sum(count / len(text) * math.log2(count / len(text)) for count in counts.values())


def findings(line: str) -> list[str]:
    """Return what kinds of secret one line seems to hold."""
    if ALLOWED in line:
        return []
    found = [kind for kind, pattern in KNOWN.items() if pattern.search(line)]
    for match in NAMED.finditer(line):
        value = match["value"]
        mixed = re.search(r"[0-9]", value) and re.search(r"[A-Za-z]", value)
        if mixed and entropy(value) > RANDOM_BITS and not re.fullmatch(r"[\w.]+\.[A-Za-z_]\w*", value):
            found.append("named secret with a random value")
            break
    return found


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
