"""The result that the README shows is the result that `kedro run` gives."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
NUMBER = re.compile(r"\d+\.\d+")


def verdict_of(text):
    """Return the words and the numbers of the verdict, without line breaks."""
    part = re.search(r"VERDICT.*?AUDIT\s+\w+", text, re.DOTALL)[0]
    words = re.sub(r"\s+", " ", NUMBER.sub("#", part))
    return words, [float(found) for found in NUMBER.findall(part)]


def agree(shown, seen):
    """Return whether two verdicts say the same in words and, to the third decimal of another platform, in numbers."""
    (words, numbers), (other_words, other_numbers) = verdict_of(shown), verdict_of(seen)
    return words == other_words and numbers == pytest.approx(other_numbers, abs=0.0025)


def test_a_changed_number_or_word_would_be_noticed():
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert agree(readme, readme)
    assert not agree(readme, readme.replace("0.511", "0.519", 1))
    assert not agree(readme, readme.replace("does no worse", "does worse"))


@pytest.mark.slow
def test_the_readme_shows_what_a_run_gives(tmp_path):
    for name in ("conf", "src"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    settings = {**os.environ, "MLFLOW_TRACKING_URI": f"sqlite:///{tmp_path}/mlflow.db"}
    command = [sys.executable, "-m", "kedro", "run"]
    done = subprocess.run(command, cwd=tmp_path, env=settings, capture_output=True, text=True, timeout=580, check=False)
    assert done.returncode == 0, (done.stdout + done.stderr)[-3000:]
    summary = (tmp_path / "data" / "08_reporting" / "summary.txt").read_text(encoding="utf-8")
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert agree(readme, summary), f"the README's verdict is out of date; a run says:\n{summary[:900]}"
