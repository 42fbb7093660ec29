"""The page in headless Chromium."""

import json
import os
import re
import shutil
import subprocess

import numpy as np
import pandas as pd
import pytest

from synth_estimators.report import evaluate_synthetic

CHROMIUM = next(
    (
        path
        for name in ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
        if (path := shutil.which(name))
    ),
    None,
)

pytestmark = pytest.mark.skipif(
    CHROMIUM is None, reason="no Chromium on this machine; install one to open the page in it"
)

FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--hide-scrollbars",
    "--enable-logging=stderr",
]

# Opens what is folded and reports what the page did; runs in a copy that allows scripts.
PROBE = """
<script>
const folds = [...document.querySelectorAll("details")];
const closed = folds.filter(fold => !fold.open);
const height = document.body.scrollHeight;
closed.forEach(fold => fold.querySelector("summary").click());
const seen = {
  folds: folds.length,
  closed: closed.length,
  open: folds.filter(fold => fold.open).length,
  grew: document.body.scrollHeight > height,
  requests: performance.getEntriesByType("resource").map(entry => entry.name),
  scripts: window.alerted || 0,
  overflow: document.documentElement.scrollWidth - document.documentElement.clientWidth,
  background: getComputedStyle(document.body).backgroundColor,
  ink: getComputedStyle(document.body).color,
};
const out = document.createElement("pre");
out.id = "seen";
out.textContent = JSON.stringify(seen);
document.body.append(out);
</script>
"""


def draw(seed, n=120):
    rng = np.random.default_rng(seed)
    z = rng.normal(size=n)
    wide = {f"a_rather_long_name_of_a_column_{j}": z + rng.normal(size=n) for j in range(6)}
    kind = np.where(z > 0, "<script>window.alerted = 1</script>", "v")
    return pd.DataFrame(wide).assign(kind=kind)


@pytest.fixture(scope="module")
def html():
    tables = [draw(seed) for seed in range(3)]
    return evaluate_synthetic(*tables, target="kind", metrics="fast").to_html()


def run(folder, html, *options):
    page = folder / "page.html"
    page.write_text(html, encoding="utf-8")
    words = [CHROMIUM, *FLAGS, f"--user-data-dir={folder / 'profile'}", *options, page.as_uri()]
    done = subprocess.run(
        words, capture_output=True, timeout=120, env={**os.environ, "HOME": str(folder)}
    )
    errors = done.stderr.decode(errors="replace")
    if done.returncode != 0:
        pytest.skip(f"Chromium cannot start here: {errors.strip().splitlines()[-1:]}")
    return done.stdout.decode(errors="replace"), re.findall(r".*CONSOLE.*", errors)


def probe(folder, html, *options):
    html = re.sub(r'<meta http-equiv="Content-Security-Policy"[^>]*>', "", html)
    html = html.replace("</body>", PROBE + "</body>")
    dom, console = run(folder, html, "--dump-dom", *options)
    found = re.search(r'<pre id="seen">(.*?)</pre>', dom, re.DOTALL)
    assert found, console
    return json.loads(found.group(1).replace("&amp;", "&")), console


def test_page_opens_without_console_messages(tmp_path, html):
    dom, console = run(tmp_path, html, "--dump-dom")
    assert "Evaluation of synthetic rows" in dom
    assert console == []


def test_console_messages_would_be_seen(tmp_path, html):
    blocked = html.replace("</body>", "<script>1</script></body>")
    assert any(
        "Content Security Policy" in line for line in run(tmp_path, blocked, "--dump-dom")[1]
    )


def test_folds_open_and_nothing_is_requested_or_run(tmp_path, html):
    seen, console = probe(tmp_path, html, "--window-size=1100,900")
    assert seen["folds"] == 7
    assert seen["closed"] == 6
    assert seen["open"] == 7
    assert seen["grew"]
    assert seen["requests"] == []
    assert seen["scripts"] == 0
    assert console == []


@pytest.mark.parametrize("width", [360, 1100])
def test_page_fits_the_width_of_phone_and_desktop(tmp_path, html, width):
    seen, _ = probe(tmp_path, html, f"--window-size={width},800")
    assert seen["overflow"] <= 0


def test_light_and_dark_follow_the_reader(tmp_path, html):
    seen = {}
    for number, name in enumerate(("dark", "light")):
        folder = tmp_path / name
        folder.mkdir()
        seen[name], _ = probe(folder, html, f"--blink-settings=preferredColorScheme={number}")
    brightness = {
        name: [sum(map(int, re.findall(r"\d+", part[key])[:3])) for key in ("background", "ink")]
        for name, part in seen.items()
    }
    assert brightness["light"][0] > 600 > 300 > brightness["light"][1]
    assert brightness["dark"][0] < 150 < 500 < brightness["dark"][1]


def test_page_prints_to_pdf(tmp_path, html):
    target = tmp_path / "page.pdf"
    run(tmp_path, html, f"--print-to-pdf={target}", "--no-pdf-header-footer")
    content = target.read_bytes()
    assert content.startswith(b"%PDF")
    assert len(re.findall(rb"/Type\s*/Page\b", content)) >= 2
