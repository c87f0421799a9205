"""The pipelines as a static site: ``python -m conviction_kedro.viz_site [FOLDER]`` (default: site/viz).

`kedro viz build` makes it; this takes out what it says of the machine it was made on, and what it would ask of others: absolute
paths become paths inside the project, and the page loads no font from elsewhere. Any web server shows it, with no Python behind it.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import sysconfig
from importlib.util import find_spec
from pathlib import Path

import click

import conviction_kedro
from conviction.errors import ConvictionError, MissingExtraError

_FONT_LINK = re.compile(r"<link\b[^>]*fonts\.g[^>]*>\s*", re.DOTALL)
_NO_PREVIEW = re.compile(r"'(\w+)' could not be previewed")
_ENCODED = re.compile(rb"[\"'\s=](/(?:home|root|Users|tmp|work|opt|usr|var|srv)/[^\"'\s]{0,120})")


class StaticSiteError(ConvictionError):
    """The static site could not be made, or would tell where it was made."""


def strip_machine(text: str, places: dict[str, str]) -> str:
    """Replace the folders of this machine by what they are called in the project.

    Parameters
    ----------
    text : str
        Content of a file of the site.
    places : dict
        Absolute folder -> its replacement; longer folders go first whatever their order.

    Returns
    -------
    str

    Examples
    --------
    >>> strip_machine('{"filepath": "/srv/ada/p/src/a.py"}', {"/srv/ada/p": ""})
    '{"filepath": "src/a.py"}'
    >>> strip_machine("/srv/ada/p/lib/x.py /srv/ada/p", {"/srv/ada/p": "", "/srv/ada/p/lib": "site-packages"})
    'site-packages/x.py .'
    """
    for folder in sorted(places, key=len, reverse=True):
        name = places[folder]
        text = text.replace(f"{folder}/", f"{name}/" if name else "").replace(folder, name or ".")
    return text


def clean(site: Path, places: dict[str, str]) -> None:
    """Take machine paths and foreign requests out of a site, in place.

    Parameters
    ----------
    site : Path
        Folder made by `kedro viz build`.
    places : dict
        As for `strip_machine`.

    Raises
    ------
    StaticSiteError
        A path of this machine is still there.
    """
    page = site / "index.html"
    page.write_text(_FONT_LINK.sub("", page.read_text(encoding="utf-8")), encoding="utf-8")
    for path in sorted((site / "api").rglob("*")):
        if path.is_file():
            path.write_text(strip_machine(path.read_text(encoding="utf-8"), places), encoding="utf-8")
            left = _ENCODED.search(path.read_bytes())
            if left is not None:
                raise StaticSiteError(
                    what="the static site names a folder of this machine",
                    got=f"{left.group(1).decode(errors='replace')} in {path.relative_to(site)}",
                    allowed="paths inside the project",
                    fix="move the data under the project, or leave its preview out (metadata.kedro-viz in the catalog)",
                )


def build(root: Path, target: Path) -> list[str]:
    """Build the site of a project.

    Parameters
    ----------
    root : Path
        The project's folder.
    target : Path
        Where the site goes; what is there is replaced once the new one is whole.

    Returns
    -------
    list of str
        Datasets without a preview, for they have not been made yet.

    Raises
    ------
    MissingExtraError
        Kedro-Viz is not installed.
    StaticSiteError
        Kedro-Viz failed; the message ends with what it said.
    """
    if find_spec("kedro_viz") is None:
        feature = "the static site of the pipelines"
        raise MissingExtraError.for_extra(feature, "kedro-viz", "viz")
    command = [sys.executable, "-m", "kedro", "viz", "build", "--include-hooks", "--include-previews"]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)
    said = done.stdout + done.stderr
    made = root / "build"
    if done.returncode or not (made / "index.html").exists():
        raise StaticSiteError(
            what="`kedro viz build` failed",
            got=said[-1500:].strip(),
            allowed="a site in build/",
            fix="run `kedro viz build` and mend what it says",
        )
    code = Path(conviction_kedro.__file__).resolve().parent
    libraries = {sysconfig.get_paths()[name]: "site-packages" for name in ("purelib", "platlib", "stdlib")}
    clean(made, {**libraries, str(code.parent): "src", str(root.resolve()): ""})
    shutil.rmtree(target, ignore_errors=True)
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.move(made, target)
    return sorted(set(_NO_PREVIEW.findall(said)))


def main(arguments: list[str]) -> int:
    """Build the site of the project in the current folder."""
    target = Path(arguments[0] if arguments else "site/viz")
    try:
        without = build(Path.cwd(), target)
    except ConvictionError as error:
        click.secho(f"{type(error).__name__}: {error}", err=True, fg="red")
        return 1
    click.echo(f"{target}/index.html; look at it with: python -m http.server --directory {target}")
    if without:
        click.echo(f"without a preview, since nothing has made them yet: {', '.join(without)}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
