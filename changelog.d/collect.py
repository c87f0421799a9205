"""Collect the fragments of this folder: print them, or move them into CHANGELOG.md under a version.

``python changelog.d/collect.py`` prints; ``python changelog.d/collect.py VERSION YYYY-MM-DD`` releases.
"""

from __future__ import annotations

import re
import sys
from datetime import date
from pathlib import Path

HERE = Path(__file__).resolve().parent
KINDS = ("added", "changed", "deprecated", "removed", "fixed", "security")
MARK = "<!-- releases -->"


def fragments(folder: Path) -> dict[str, list[Path]]:
    """Return the fragments by kind, in alphabetical order; a file of an unknown kind is an error."""
    found: dict[str, list[Path]] = {kind: [] for kind in KINDS}
    for path in sorted(folder.glob("*.md")):
        if path.name == "README.md":
            continue
        kind = path.name.removesuffix(".md").rpartition(".")[2]
        if kind not in found:
            msg = f"{path.name} is not named <topic>.<kind>.md with a kind of {', '.join(KINDS)}; rename it"
            raise SystemExit(msg)
        found[kind].append(path)
    return {kind: paths for kind, paths in found.items() if paths}


def section(title: str, found: dict[str, list[Path]]) -> str:
    """Return one release as Markdown: a heading, a list for each kind."""
    parts = [f"## {title}"]
    for kind, paths in found.items():
        texts = (re.sub(r"\s+", " ", path.read_text(encoding="utf-8")).strip() for path in paths)
        parts.append(f"### {kind.capitalize()}\n" + "\n".join(f"- {text}" for text in texts))
    return "\n\n".join(parts) + "\n"


def release(version: str, day: str, *, folder: Path, changelog: Path) -> None:
    """Write the fragments into the changelog as one release, newest first, and delete them."""
    date.fromisoformat(day)
    if not re.fullmatch(r"\d+\.\d+\.\d+", version):
        msg = f"{version!r} is not a version such as 0.2.0"
        raise SystemExit(msg)
    found = fragments(folder)
    if not found:
        msg = "there is no fragment to release"
        raise SystemExit(msg)
    text = changelog.read_text(encoding="utf-8")
    if MARK not in text or f"## {version} " in text:
        msg = f"{changelog.name} lacks the line {MARK} or already has {version}"
        raise SystemExit(msg)
    changelog.write_text(text.replace(MARK, f"{MARK}\n\n{section(f'{version} ({day})', found)}", 1), encoding="utf-8")
    for paths in found.values():
        for path in paths:
            path.unlink()


def main(arguments: list[str]) -> None:
    """Print the fragments, or release them."""
    if arguments:
        version, day = arguments
        release(version, day, folder=HERE, changelog=HERE.parent / "CHANGELOG.md")
    else:
        sys.stdout.write(section("Unreleased", fragments(HERE)))


if __name__ == "__main__":
    main(sys.argv[1:])
