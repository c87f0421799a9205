"""Build the documentation as static pages: ``python docs/build.py [FOLDER]`` (default: site).

Every Markdown page of the project, and a reference made from the docstrings of each public name. No script, no request.
A broken link, a public name without a docstring or a page without a title is an error.
"""

from __future__ import annotations

import html
import importlib
import inspect
import os
import re
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
# One tree of modules, then the rooms in the order of the alphabet.
ROOMS = (
    "errors",
    "frames",
    "observer",
    *sorted(path.parent.name for path in (ROOT / "src" / "conviction").glob("*/__init__.py")),
)
SECTIONS = (
    ("Start", ("README.md", "docs/tutorial.md")),
    ("How to", "docs/how-to/*.md"),
    (
        "Explanation",
        ("docs/why-0.9989-was-wrong.md", "docs/architecture.md", "docs/code-audit.md", "docs/audit-limits.md"),
    ),
    ("Reference", ("docs/contracts.md", "docs/features.md", "docs/models.md", "docs/glossary.md")),
    ("Project", ("docs/contributing.md", "CHANGELOG.md")),
)
TITLED = (
    "Parameters",
    "Attributes",
    "Returns",
    "Yields",
    "Raises",
    "Examples",
    "Notes",
    "References",
    "See Also",
    "Warns",
)
STYLE = """
:root{--paper:#fff;--ink:#17191c;--soft:#5c636b;--line:#dfe3e7;--card:#f6f7f9;--link:#0072B2}
@media (prefers-color-scheme:dark){:root{--paper:#14171a;--ink:#e8eaed;--soft:#a2abb4;--line:#32383e;--card:#1d2125;--link:#56B4E9}}
*{box-sizing:border-box}
body{margin:0;background:var(--paper);color:var(--ink);font:16px/1.55 system-ui,-apple-system,"Segoe UI",Roboto,Arial,sans-serif}
.page{display:grid;grid-template-columns:15rem minmax(0,1fr);gap:2.5rem;max-width:72rem;margin:0 auto;padding:1.2rem 1rem 4rem}
nav{font-size:.9rem} nav h2{font-size:.78rem;color:var(--soft);margin:1.1rem 0 .2rem;font-weight:600} nav a{display:block;padding:.12rem 0}
nav a[aria-current]{color:var(--ink);font-weight:600;text-decoration:none}
a{color:var(--link)} h1{font-size:1.6rem;line-height:1.25;margin:.2rem 0 1rem} h2{font-size:1.2rem;margin:2rem 0 .5rem} h3{font-size:1.02rem;margin:1.6rem 0 .4rem}
main p,main li,main dd{max-width:76ch} code,pre{font:.86em/1.5 ui-monospace,SFMono-Regular,Menlo,Consolas,monospace}
pre{background:var(--card);padding:.75rem .9rem;overflow-x:auto;border-radius:4px} :not(pre)>code{background:var(--card);padding:.08em .3em;border-radius:3px;overflow-wrap:anywhere}
.scroll{overflow-x:auto} table{border-collapse:collapse;font-size:.92rem;margin:.5rem 0 1rem} th,td{border-bottom:1px solid var(--line);padding:.3rem .7rem .3rem 0;text-align:left;vertical-align:top}
.sig{white-space:pre-wrap;overflow-wrap:anywhere} dt{font-family:ui-monospace,Menlo,Consolas,monospace;font-size:.86rem;margin-top:.4rem} dd{margin:0 0 .3rem 1.2rem}
h4{margin:.9rem 0 .2rem;font-size:.9rem;color:var(--soft)}
@media (max-width:760px){.page{display:flex;flex-direction:column-reverse;gap:1rem} main{min-width:0;width:100%} nav{border-top:1px solid var(--line)} nav a{display:inline-block;margin-right:.8rem}}
@media print{nav{display:none} .page{display:block}}
"""
PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark"><link rel="icon" href="data:,">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'; img-src data:">
<title>{title} - conviction-kedro</title><style>{style}</style></head>
<body><div class="page"><nav aria-label="Pages">{nav}</nav><main>{body}</main></div></body></html>
"""


class BuildError(Exception):
    """Something in the documentation is wrong; the message lists all of it."""


@dataclass
class Page:
    """One page to be written: where it came from, where it goes, its title and its HTML body."""

    source: str
    target: str
    title: str
    section: str
    body: str = ""


def slug(text: str) -> str:
    """Return the anchor of a heading, as common Markdown hosts make it."""
    return re.sub(r"\s", "-", re.sub(r"[^\w\s-]", "", text.strip().lower()))


def target_of(source: str) -> str:
    """Return the path of the HTML page made from a Markdown page."""
    if source == "README.md":
        return "index.html"
    return str(Path(source.removeprefix("docs/")).with_suffix("")) + ".html"


def markdown_pages() -> list[Page]:
    """Return the Markdown pages in the order of the sections; pages that no section names come last."""
    listed: list[tuple[str, str]] = []
    for section, sources in SECTIONS:
        names = (
            sources
            if isinstance(sources, tuple)
            else sorted(path.relative_to(ROOT).as_posix() for path in ROOT.glob(sources))
        )
        listed += [(section, name) for name in names if (ROOT / name).exists()]
    known = {name for _, name in listed}
    rest = sorted(path.relative_to(ROOT).as_posix() for path in (ROOT / "docs").rglob("*.md"))
    listed += [("Explanation", name) for name in rest if name not in known]
    order = [section for section, _ in SECTIONS]
    listed.sort(key=lambda entry: order.index(entry[0]))
    pages = []
    for section, name in listed:
        text = (ROOT / name).read_text(encoding="utf-8")
        heading = re.search(r"^# (.+)$", text, re.MULTILINE)
        if heading is None:
            msg = f"{name} has no title"
            raise BuildError(msg)
        pages.append(Page(name, target_of(name), heading[1].replace("`", ""), section))
    return pages


def render_markdown(page: Page, targets: dict[str, str], problems: list[str]) -> None:
    """Fill the body of a Markdown page: anchors on headings, links to other pages rewritten."""
    from markdown_it import MarkdownIt

    parser = MarkdownIt("commonmark").enable("table")
    tokens = parser.parse((ROOT / page.source).read_text(encoding="utf-8"))
    for index, token in enumerate(tokens):
        if token.type == "heading_open":
            token.attrSet("id", slug(tokens[index + 1].content.replace("`", "")))
        for child in token.children or []:
            if child.type == "link_open":
                child.attrSet("href", _link(str(child.attrGet("href")), page, targets, problems))
    body = parser.renderer.render(tokens, parser.options, {})
    page.body = body.replace("<table>", '<div class="scroll"><table>').replace("</table>", "</table></div>")


def _link(link: str, page: Page, targets: dict[str, str], problems: list[str]) -> str:
    if re.match(r"https?://|mailto:|#", link):
        return link
    path, _, anchor = link.partition("#")
    source = os.path.normpath(Path(page.source).parent / path)
    if source not in targets:
        if not (ROOT / source).exists():
            problems.append(f"{page.source}: no {link}")
        return link
    here = os.path.relpath(targets[source], Path(page.target).parent)
    return f"{here}#{anchor}" if anchor else here


def reference_page(room: str, problems: list[str]) -> Page:
    """Return the reference of one room: each public name with its signature and its docstring."""
    module = importlib.import_module(f"conviction.{room}")
    names = getattr(module, "__all__", None) or [
        name
        for name, value in vars(module).items()
        if getattr(value, "__module__", "") == module.__name__ and name[0] != "_"
    ]
    parts = [f"<h1>conviction.{room}</h1>", prose(inspect.getdoc(module) or "")]
    for name in names:
        value = getattr(module, name)
        parts.append(f'<h2 id="{name}">{name}</h2>')
        if not (inspect.isclass(value) or inspect.isroutine(value)):
            shown = ", ".join(map(str, value)) if isinstance(value, dict | tuple) else repr(value)
            parts.append(f'<pre class="sig">{html.escape(shown if len(shown) < 600 else f"{shown[:600]} ...")}</pre>')
            continue
        if not (value.__doc__ or "").strip():
            problems.append(f"conviction.{room}.{name} has no docstring")
        parts.append(f'<pre class="sig">{html.escape(signature(name, value))}</pre>')
        parts.append(docstring(inspect.getdoc(value) or ""))
    return Page(f"conviction.{room}", f"reference/{room}.html", f"conviction.{room}", "Reference", "\n".join(parts))


def signature(name: str, value: object) -> str:
    """Return the signature of a function or class, one parameter a line where it is long."""
    try:
        text = name + str(inspect.signature(value))  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return name
    return text if len(text) < 90 else re.sub(r", (?=[*\w]+(?::|=|,|\)))", ",\n    ", text).replace("(", "(\n    ", 1)


def docstring(text: str) -> str:
    """Return a numpydoc docstring as HTML: paragraphs, then the titled sections."""
    blocks = re.split(rf"^({'|'.join(TITLED)})\n-+\n", text, flags=re.MULTILINE)
    parts = [prose(blocks[0])]
    for title, body in zip(blocks[1::2], blocks[2::2], strict=True):
        parts.append(f"<h4>{title}</h4>")
        if title in ("Notes", "References", "See Also"):
            parts.append(prose(body))
        elif title == "Examples":
            parts.append(f"<pre>{html.escape(body.strip())}</pre>")
        else:
            parts.append(entries(body))
    return "\n".join(parts)


def entries(body: str) -> str:
    """Return the entries of a section (name and type, indented text) as a definition list."""
    items = re.findall(r"^(\S.*)\n((?:(?:[ ]+.*)?\n)*)", body.rstrip() + "\n", re.MULTILINE)
    rows = (f"<dt>{html.escape(head)}</dt><dd>{prose(inspect.cleandoc(text))}</dd>" for head, text in items)
    return f"<dl>{''.join(rows)}</dl>"


def prose(text: str) -> str:
    """Return running text as HTML; double backticks of docstrings are single ones."""
    from markdown_it import MarkdownIt

    return str(MarkdownIt("commonmark").enable("table").render(text.replace("``", "`").strip()))


def navigation(pages: list[Page], current: Page) -> str:
    """Return the list of pages by section, with the current one marked."""
    parts, section = [], ""
    for page in pages:
        if page.section != section:
            section = page.section
            parts.append(f"<h2>{section}</h2>")
        mark = ' aria-current="page"' if page is current else ""
        href = os.path.relpath(page.target, Path(current.target).parent)
        parts.append(f'<a href="{href}"{mark}>{html.escape(page.title)}</a>')
    return "".join(parts)


def check_anchors(pages: list[Page], problems: list[str]) -> None:
    """Add a problem for each link to a page or anchor that is not there."""
    anchors = {page.target: set(re.findall(r'\bid="([^"]+)"', page.body)) for page in pages}
    for page in pages:
        for link in re.findall(r'href="([^"]+)"', page.body):
            if re.match(r"https?://|mailto:", link):
                continue
            path, _, anchor = link.partition("#")
            target = os.path.normpath(Path(page.target).parent / path) if path else page.target
            if target.endswith(".html") and (target not in anchors or (anchor and anchor not in anchors[target])):
                problems.append(f"{page.source}: no {link}")


def build(folder: Path) -> list[Path]:
    """Write the site into `folder`, replacing what is there, and return the pages written."""
    problems: list[str] = []
    pages = markdown_pages()
    targets = {page.source: page.target for page in pages}
    for page in pages:
        render_markdown(page, targets, problems)
    after = max(index for index, page in enumerate(pages) if page.section == "Reference") + 1
    pages[after:after] = [reference_page(room, problems) for room in ROOMS]
    check_anchors(pages, problems)
    if problems:
        raise BuildError("\n".join(sorted(set(problems))))
    if folder.exists():
        shutil.rmtree(folder)
    written = []
    for page in pages:
        path = folder / page.target
        path.parent.mkdir(parents=True, exist_ok=True)
        text = PAGE.format(title=html.escape(page.title), style=STYLE, nav=navigation(pages, page), body=page.body)
        path.write_text(text, encoding="utf-8")
        written.append(path)
    return written


if __name__ == "__main__":
    try:
        made = build(Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "site")
    except BuildError as error:
        sys.exit(f"the documentation is not built:\n{error}")
    print(f"{len(made)} pages in {made[0].parent}")
