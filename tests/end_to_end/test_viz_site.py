"""The static site of Kedro-Viz: one screen, no path of this machine, no request to others, previews where people click."""

from __future__ import annotations

import functools
import http.server
import json
import re
import threading
from importlib.util import find_spec

import pytest

from conviction.errors import MissingExtraError
from conviction_kedro.viz_site import StaticSiteError, build, clean


@pytest.fixture
def raw_site(tmp_path):
    site = tmp_path / "site"
    (site / "api" / "nodes").mkdir(parents=True)
    font = '<link\n rel="stylesheet" href="https://fonts.googleapis.com/css2?family=Inter" />'
    (site / "index.html").write_text(f'<head>{font}<link rel="stylesheet" href="./assets/a.css"></head>')
    (site / "api" / "nodes" / "1").write_text(json.dumps({"filepath": "/srv/ada/project/data/x.parquet"}))
    return site


def test_paths_of_the_project_become_relative_and_fonts_are_not_asked_for(raw_site):
    clean(raw_site, {"/srv/ada/project": ""})
    assert json.loads((raw_site / "api/nodes/1").read_text()) == {"filepath": "data/x.parquet"}
    page = (raw_site / "index.html").read_text()
    assert "googleapis" not in page
    assert "./assets/a.css" in page


def test_a_path_that_is_left_is_an_error(raw_site):
    with pytest.raises(StaticSiteError, match="/srv/ada/project/data"):
        clean(raw_site, {"/srv/grace/project": ""})


@pytest.mark.skipif(find_spec("kedro_viz") is not None, reason="Kedro-Viz is installed")
def test_without_the_extra_it_says_so(tmp_path):
    with pytest.raises(MissingExtraError, match="setup-viz"):
        build(tmp_path, tmp_path / "viz")


@pytest.fixture
def server():
    servers = []

    def start(folder):
        class Quiet(http.server.SimpleHTTPRequestHandler):
            def log_message(self, *_):
                """Say nothing."""

        made = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=str(folder)))
        threading.Thread(target=made.serve_forever, daemon=True).start()
        servers.append(made)
        return f"http://127.0.0.1:{made.server_address[1]}/"

    yield start
    for made in servers:
        made.shutdown()
        made.server_close()


@pytest.mark.slow
@pytest.mark.browser
def test_the_site_of_a_finished_run(workspace, tmp_path, server, browser):
    pytest.importorskip("kedro_viz", reason="the extra viz is not installed")
    site = tmp_path / "viz"
    without = build(workspace.root, site)
    assert not set(without) & {"scores", "auc_figure", "audit_report", "panel", "summary"}
    everything = "".join(path.read_text() for path in (site / "api").rglob("*") if path.is_file())
    assert str(workspace.root) not in everything
    assert not re.search(r'"/(home|root|tmp|usr|opt)/', everything)
    main = json.loads((site / "api" / "main").read_text())
    boxes = {node["name"] for node in main["nodes"] if node["type"] == "modularPipeline"}
    assert boxes == {"data_engineering", "leakage_audit", "modeling", "ensembling", "reporting"}
    assert main["layers"][0] == "raw"
    assert main["layers"][-1] == "reporting"
    nodes = {node["name"]: json.loads((site / "api" / "nodes" / node["id"]).read_text())
             for node in main["nodes"] if node["type"] == "data"}  # fmt: skip
    assert nodes["auc_figure"]["preview"]["data"], "no figure where people click first"
    assert nodes["scores"]["preview"]["columns"][:2] == ["target", "model"]
    assert "verdict" in nodes["audit_report"]["preview"]

    address = server(site)
    seen = browser(address)
    for box in boxes:
        assert box in seen, f"{box} is not on the first screen"
    picture = tmp_path / "viz.png"
    browser(address, picture=picture)
    assert picture.stat().st_size > 30_000, "the screenshot is blank"
