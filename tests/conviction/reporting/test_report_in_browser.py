"""The page in headless Chromium: no overflow on a phone, no request, no message on the console."""

from __future__ import annotations

import json
import re
import subprocess
from html import escape

import pytest

from conviction.reporting import render_report

pytestmark = [pytest.mark.browser, pytest.mark.slow]

# A page cannot be measured from outside, and its policy forbids scripts: so it is put, unchanged, into a frame of the
# wanted width, and the frame's owner measures it.
MEASURE = """<!doctype html><body style="margin:0"><iframe id="f" srcdoc="{page}" style="width:{width}px;height:800px;border:0"></iframe>
<pre id="out"></pre><script>
f.onload = () => {{
  const page = f.contentDocument, root = page.documentElement;
  const wide = [...page.querySelectorAll('body *')].filter(e => e.getBoundingClientRect().right > {width} + 1)
    .filter(e => !e.closest('thead')).map(e => e.tagName + '.' + (e.getAttribute('class') || ''));
  out.textContent = JSON.stringify({{scroll: root.scrollWidth, wide: wide.slice(0, 10),
    requests: f.contentWindow.performance.getEntriesByType('resource').map(r => r.name),
    small: [...page.querySelectorAll('td, p, li')].filter(e => e.textContent.trim() && parseFloat(getComputedStyle(e).fontSize) < 11).length}});
}};</script></body>"""


def look(chromium, folder, page, *, width):
    folder.mkdir(exist_ok=True)
    owner = folder / "owner.html"
    owner.write_text(MEASURE.format(page=escape(page, quote=True), width=width), encoding="utf-8")
    flags = (
        *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync"),
        *("--disable-background-networking", "--disable-component-update", "--enable-logging=stderr"),
        *(f"--user-data-dir={folder / 'profile'}", "--virtual-time-budget=4000", "--window-size=1300,900"),
    )
    done = subprocess.run(
        [chromium, *flags, "--dump-dom", owner.as_uri()], capture_output=True, text=True, timeout=120, check=True
    )
    found = re.search(r'<pre id="out">(\{.*?\})</pre>', done.stdout)
    assert found, f"the page did not load: {done.stderr[-500:]}"
    messages = [line for line in done.stderr.splitlines() if "CONSOLE" in line]
    return json.loads(found.group(1)), messages


@pytest.mark.parametrize("width", [390, 1200])
@pytest.mark.parametrize("failed", [False, True])
def test_the_page_fits_asks_for_nothing_and_says_nothing(chromium, tmp_path, make, width, failed):
    seen, messages = look(chromium, tmp_path, render_report(make(failed=failed)), width=width)
    assert seen["scroll"] <= width, seen["wide"]
    assert seen["wide"] == []
    assert seen["requests"] == []
    assert seen["small"] == 0
    assert messages == []


def test_the_measurement_sees_a_wide_page_that_asks_for_an_image(chromium, tmp_path):
    bad = '<html><body><div style="width:900px">x</div><img src="http://127.0.0.1:9/x.png"></body></html>'
    seen, messages = look(chromium, tmp_path, bad, width=390)
    assert seen["scroll"] > 390
    assert seen["wide"]
    assert seen["requests"] or messages
