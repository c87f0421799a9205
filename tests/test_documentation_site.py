"""The static documentation is built whole, loads nothing, and a mistake in it stops the build."""

from __future__ import annotations

import importlib.util
import re
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
_spec = importlib.util.spec_from_file_location("documentation_build", ROOT / "docs" / "build.py")
site = importlib.util.module_from_spec(_spec)
sys.modules[_spec.name] = site
_spec.loader.exec_module(site)


@pytest.fixture(scope="module")
def pages(tmp_path_factory):
    folder = tmp_path_factory.mktemp("documentation") / "site"
    site.build(folder)
    return {path.relative_to(folder).as_posix(): path.read_text(encoding="utf-8") for path in folder.rglob("*.html")}


def test_every_markdown_page_and_every_room_has_a_page(pages):
    markdown = {
        path.relative_to(ROOT / "docs").with_suffix(".html").as_posix() for path in (ROOT / "docs").rglob("*.md")
    }
    rooms = {f"reference/{path.parent.name}.html" for path in (ROOT / "src/conviction").glob("*/__init__.py")}
    assert markdown | rooms | {"index.html"} <= set(pages)


def test_the_pages_load_nothing(pages):
    for name, text in pages.items():
        assert not re.search(
            r"<(script|img|iframe)\b|\bsrc=|@import|url\(", re.sub(r"<(pre|code).*?</\1>", "", text, flags=re.DOTALL)
        ), name
        assert "default-src 'none'" in text


def test_links_between_pages_are_to_html_that_exists(pages):
    for name, text in pages.items():
        for link in re.findall(r'href="([^"#:]+)(?:#[^"]*)?"', text):
            target = (Path("/") / Path(name).parent / link).resolve().relative_to("/").as_posix()
            assert target in pages or (ROOT / target).exists(), f"{name}: {link}"


def test_the_reference_shows_signature_parameters_and_example(pages):
    text = pages["reference/folds.html"]
    assert '<h2 id="make_fold_plan">' in text
    assert "<dt>purge : int</dt>" in text
    assert "FoldParameters(purge=1, embargo=5, holdout_sessions=252)" in text


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("# A page\n\n[gone](nowhere.md)\n", r"no nowhere\.md"),
        ("# A page\n\n[gone](page.md#no-such-heading)\n", "no page.html#no-such-heading"),
        ("no title\n", "has no title"),
    ],
)
def test_a_mistake_in_a_page_stops_the_build(tmp_path, monkeypatch, text, message):
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "page.md").write_text(text)
    (tmp_path / "docs" / "contracts.md").write_text("# Contracts\n")
    monkeypatch.setattr(site, "ROOT", tmp_path)
    monkeypatch.setattr(site, "ROOMS", ())
    with pytest.raises(site.BuildError, match=message):
        site.build(tmp_path / "site")
    assert not (tmp_path / "site").exists()


def test_a_public_name_without_a_docstring_is_a_problem(monkeypatch):
    import conviction.reporting as room

    def bare():
        pass

    monkeypatch.setattr(room, "bare", bare, raising=False)
    monkeypatch.setattr(room, "__all__", ["bare"])
    problems = []
    site.reference_page("reporting", problems)
    assert problems == ["conviction.reporting.bare has no docstring"]
