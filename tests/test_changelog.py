"""Fragments become a release, newest first, and are gone afterwards."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
_spec = importlib.util.spec_from_file_location("collect", ROOT / "changelog.d" / "collect.py")
collect = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(collect)


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "audit.added.md").write_text("The audit finds\nmore.\n")
    (tmp_path / "tuning.fixed.md").write_text("Trials are counted once.\n")
    (tmp_path / "README.md").write_text("not a fragment")
    return tmp_path


@pytest.fixture
def changelog(tmp_path):
    path = tmp_path / "CHANGELOG.txt"
    path.write_text(f"# Changelog\n\n{collect.MARK}\n\n## 0.1.0 (2026-01-01)\n")
    return path


def test_a_release_stands_before_the_older_one_and_takes_the_fragments_away(folder, changelog):
    collect.release("0.2.0", "2026-12-01", folder=folder, changelog=changelog)
    text = changelog.read_text()
    new = "## 0.2.0 (2026-12-01)\n\n### Added\n- The audit finds more.\n\n### Fixed\n- Trials are counted once.\n"
    assert new in text
    assert text.index("## 0.2.0") < text.index("## 0.1.0")
    assert [path.name for path in folder.glob("*.md")] == ["README.md"]


@pytest.mark.parametrize(
    ("version", "day", "error"),
    [("two", "2026-12-01", SystemExit), ("0.2.0", "soon", ValueError), ("0.1.0", "2026-12-01", SystemExit)],
)
def test_a_bad_release_changes_nothing(folder, changelog, version, day, error):
    before = changelog.read_text()
    with pytest.raises(error):
        collect.release(version, day, folder=folder, changelog=changelog)
    assert changelog.read_text() == before
    assert len(list(folder.glob("*.*.md"))) == 2


def test_an_unknown_kind_is_an_error_that_names_the_file(folder):
    (folder / "audit.improved.md").write_text("x")
    with pytest.raises(SystemExit, match=r"audit\.improved\.md"):
        collect.fragments(folder)


def test_the_projects_own_fragments_are_well_named():
    found = collect.fragments(ROOT / "changelog.d")
    assert collect.section("Unreleased", found).startswith("## Unreleased")
