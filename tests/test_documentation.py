"""The documentation is executed, and what it says of the project is compared with the project.

A ``python`` fence runs, page by page, in one namespace; a ``text`` fence right after it is its expected output (``...``
stands for anything). A ``console`` fence holds commands that must exist. A page whose fences are slow starts with the
comment ``<!-- slow -->``.
"""

from __future__ import annotations

import contextlib
import doctest
import io
import re
import tomllib
import warnings
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[1]
PAGES = sorted([ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").rglob("*.md")])
FENCE = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
FLAGS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
#: Signatures without bodies: read, never run.
NOT_RUN = {"contracts.md"}


def name_of(page):
    return page.relative_to(ROOT).as_posix()


def fences(page):
    """Return (language, code, line number, expected output or None) of each fence."""
    text = page.read_text(encoding="utf-8")
    found = list(FENCE.finditer(text))
    result = []
    for index, match in enumerate(found):
        after = found[index + 1] if index + 1 < len(found) else None
        expected = None
        if match[1] == "python" and after and after[1] == "text" and not text[match.end() : after.start()].strip():
            expected = after[2]
        result.append((match[1], match[2], text.count("\n", 0, match.start()) + 2, expected))
    return result


def with_python():
    for page in PAGES:
        if page.name not in NOT_RUN and any(language == "python" for language, *_ in fences(page)):
            slow = page.read_text(encoding="utf-8").startswith("<!-- slow -->")
            yield pytest.param(page, id=name_of(page), marks=[pytest.mark.slow] if slow else [])


def run_page(page, folder):
    """Execute the python fences of a page in `folder`; raise where the output is not the one that is printed."""
    namespace = {"__name__": "__page__"}
    checker = doctest.OutputChecker()
    with contextlib.chdir(folder), warnings.catch_warnings():
        warnings.simplefilter("error")
        # exchange_calendars' own use of pandas; nothing of ours.
        warnings.filterwarnings("ignore", message="Series.values returning an ndarray that drops timezone")
        for language, code, line, expected in fences(page):
            if language != "python":
                continue
            printed = io.StringIO()
            with contextlib.redirect_stdout(printed):
                exec(compile("\n" * (line - 1) + code, str(page), "exec"), namespace)  # noqa: S102 (running the pages is the point)
            if expected is not None and not checker.check_output(expected, printed.getvalue(), FLAGS):
                pytest.fail(f"{name_of(page)}, line {line}: expected\n{expected}\ngot\n{printed.getvalue()}")


@pytest.mark.parametrize("page", list(with_python()))
def test_every_python_fence_runs_and_prints_what_the_page_says(page, tmp_path):
    run_page(page, tmp_path)


@pytest.mark.parametrize("bad", ["```python\nprint(1)\n```\n\n```text\n2\n```\n", "```python\n1 / 0\n```\n"])
def test_a_page_that_is_wrong_is_found_out(tmp_path, monkeypatch, bad):
    page = tmp_path / "page.md"
    page.write_text(bad)
    monkeypatch.setitem(globals(), "ROOT", tmp_path)
    with pytest.raises((pytest.fail.Exception, ZeroDivisionError)):
        run_page(page, tmp_path)


# what the pages promise ---------------------------------------------------------------------------------------------


def make_targets():
    text = (ROOT / "Makefile").read_text(encoding="utf-8")
    return set(re.findall(r"^([a-z%-]+):", text, re.MULTILINE))


def commands():
    """Return (page, command) of every command in a console fence, without prompts, comments and settings."""
    for page in PAGES:
        for language, code, _, _ in fences(page):
            if language == "console":
                joined = code.replace("\\\n", " ")
                for line in joined.splitlines():
                    command = re.sub(r"^\s*\$\s*", "", line).split("  #")[0].strip()
                    if command and not command.startswith("#"):
                        yield name_of(page), command


def leaves(mapping, prefix=""):
    for key, value in (mapping or {}).items():
        yield f"{prefix}{key}"
        if isinstance(value, dict):
            yield from leaves(value, f"{prefix}{key}.")


def parameter_names():
    names = set()
    for path in (ROOT / "conf" / "base").glob("parameters*.yml"):
        names |= set(leaves(yaml.safe_load(path.read_text(encoding="utf-8"))))
    # The made-up market has defaults in code alone: nothing of it stands in the base environment.
    from conviction_kedro.parameters import SyntheticParameters

    return names | {f"synthetic.{name}" for name in SyntheticParameters.model_fields}


def kedro_commands():
    from conviction_kedro.cli import cli

    return set(cli.commands)


@pytest.mark.parametrize(("page", "command"), sorted(set(commands())))
def test_commands_of_the_pages_exist(page, command):
    words = [word for word in command.split() if not re.fullmatch(r"[A-Z_]+=\S+", word)]
    tool = Path(words[0]).name
    known = {"git", "cd", "curl", "cp", "export", "open", "aws", "python", "source", "pip"}
    if tool == "make":
        for target in words[1:]:
            if "=" not in target:
                wanted = {target, re.sub(r"^(setup|bench)-.*", r"\1-%", target)}
                assert wanted & make_targets(), f"{page}: no make target {target}"
    elif tool in ("kedro", "conviction"):
        assert words[1] in kedro_commands() | {"viz", "run"}, f"{page}: no command {words[1]}"
        for option, value in re.findall(r"--(pipeline|env)[= ](\S+)", command):
            names = (
                {path.name for path in (ROOT / "src/conviction_kedro/pipelines").iterdir() if path.is_dir()}
                if option == "pipeline"
                else {path.name for path in (ROOT / "conf").iterdir() if path.is_dir()}
            )
            assert value in names, f"{page}: no {option} {value}"
        for listed in re.findall(r"--params[= ]'?([^\s']+)", command):
            for entry in listed.split(","):
                assert entry.split("=")[0] in parameter_names() | {""}, f"{page}: no parameter {entry}"
    else:
        assert tool in known, f"{page}: unknown command {tool}"


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_links_between_pages_lead_somewhere(page):
    text = page.read_text(encoding="utf-8")
    for link in re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", text):
        if not re.match(r"https?://|mailto:", link):
            assert (page.parent / link).exists(), f"{name_of(page)}: {link}"


def test_the_architecture_names_every_room_and_no_other():
    text = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    block = text[text.index("src/conviction/ ") : text.index("src/conviction_kedro/ ")]
    named = set(re.findall(r"^ {6}([a-z]+)/", block, re.MULTILINE))
    rooms = {path.parent.name for path in (ROOT / "src/conviction").glob("*/__init__.py")}
    assert named == rooms


def test_the_architecture_names_the_pipelines():
    text = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    pipelines = {
        path.name for path in (ROOT / "src/conviction_kedro/pipelines").iterdir() if (path / "pipeline.py").exists()
    }
    listed = re.search(r"pipelines/\s+\{(.*?)\}", text, re.DOTALL)[1]
    assert set(re.split(r"[,\s]+", listed.strip())) == pipelines


def test_the_datasets_of_the_first_table_are_in_the_catalog():
    text = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    catalog = {
        name
        for path in ROOT.glob("conf/base/catalog*.yml")
        for name in yaml.safe_load(path.read_text(encoding="utf-8"))
    }
    rows = [line.split("|") for line in text.splitlines() if line.startswith("| ")][1:]
    assert len(rows) >= 10
    for row in rows:
        for dataset in re.findall(r"`(\w+)`", row[5]):
            assert dataset in catalog, dataset


def test_the_layers_of_the_page_are_those_of_the_import_contract():
    text = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    sentence = re.search(r"From the top: (.*?)\.\n", text, re.DOTALL)[1]
    written = re.findall(r"`(\w+)`", sentence)
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["importlinter"][
        "contracts"
    ]
    layers = next(contract["layers"] for contract in contracts if contract["type"] == "layers")
    ordered = [name.strip().removeprefix("conviction.") for layer in layers for name in layer.split(":")]
    assert written == ordered


def test_the_glossary_is_sorted_and_explains_each_metric_and_role():
    from conviction.folds import ROLES

    text = (ROOT / "docs" / "glossary.md").read_text(encoding="utf-8")
    terms = re.findall(r"^- \*\*(.+?)\*\*", text, re.MULTILINE)
    assert len(terms) > 30
    assert [term.lower() for term in terms] == sorted(term.lower() for term in terms)
    for word in (*ROLES, "auc_pooled", "auc_daily", "auc_daily_t", "rank_ic"):
        assert f"`{word}`" in text, word


def test_the_pages_name_no_machine_of_ours():
    for page in PAGES:
        assert "/" + "work/" not in page.read_text(encoding="utf-8"), name_of(page)
