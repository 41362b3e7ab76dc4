"""The page in Chromium: it renders without an error, and shows the numbers of its sources.

These tests are slow. They are skipped without Chromium, unless ``PRUNNET_TESTS_NEED_CHROMIUM=1`` says that it is there.
"""

from __future__ import annotations

import html
import json
import os
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from prunnet_export.benchmarks.page._latency import frontier
from prunnet_export.benchmarks.page._sources import read_sources
from tests._cli import shell
from tests.benchmarks.page._pages import write, write_runs, write_table

MakeArtifact = Callable[..., Path]
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
NEEDED = os.environ.get("PRUNNET_TESTS_NEED_CHROMIUM") == "1"

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None and not NEEDED, reason="Chromium is not installed"),
]

# Appended to a copy of the page: it writes what plotly drew into the document, which Chromium prints.
PROBE = """
<script>
window.addEventListener('load', () => setTimeout(() => {
  const found = [...document.querySelectorAll('.js-plotly-plot')].map(one => ({
    id: one.id,
    lines: one.querySelectorAll('svg.main-svg').length,
    marks: one.querySelectorAll('path.point, path.js-line, .heatmaplayer image').length,
    data: one.data.map(trace => ({name: trace.name, x: Array.from(trace.x), y: Array.from(trace.y)})),
    width: one.getBoundingClientRect().width,
  }));
  const probe = document.createElement('pre');
  probe.id = 'probe';
  probe.textContent = JSON.stringify({figures: found, wide: document.documentElement.scrollWidth,
    seen: window.innerWidth, dark: matchMedia('(prefers-color-scheme: dark)').matches,
    ink: getComputedStyle(document.querySelector('.xtick text') || document.body).fill});
  document.body.appendChild(probe);
}, 1000));
</script>
"""


def browse(page: Path, *options: str, width: int = 1200) -> tuple[dict[str, Any], str]:
    """What the probe found, and what Chromium said."""
    assert CHROMIUM is not None, "PRUNNET_TESTS_NEED_CHROMIUM=1, and there is no Chromium"
    copy = page.with_name(f"probed-{page.name}")
    copy.write_text(page.read_text(encoding="utf-8").replace("</body>", PROBE + "</body>"), encoding="utf-8")
    ran = subprocess.run(
        [
            CHROMIUM, "--headless=new", "--no-sandbox", "--disable-gpu", "--enable-logging=stderr", "--v=0",
            f"--user-data-dir={page.parent / 'profile'}", f"--window-size={width},1600",
            "--virtual-time-budget=20000", *options, "--dump-dom", copy.absolute().as_uri(),
        ],
        capture_output=True, text=True, timeout=300, check=True,
    )  # fmt: skip
    found = re.search(r'<pre id="probe">(.*?)</pre>', ran.stdout, re.DOTALL)
    assert found, ran.stderr
    return json.loads(html.unescape(found[1])), ran.stderr


def console(said: str) -> list[str]:
    """The lines of the page's console."""
    return [line for line in said.splitlines() if "CONSOLE" in line]


@pytest.fixture
def page(make_artifact: MakeArtifact, tmp_path: Path) -> Path:
    write(tmp_path / "r.html", make_artifact(), write_runs(tmp_path / "results"), write_table(tmp_path / "c.json"))
    return tmp_path / "r.html"


def test_figures_are_drawn_with_the_numbers_of_the_sources(page: Path) -> None:
    found, said = browse(page)
    assert console(said) == []
    figures = {one["id"]: one for one in found["figures"]}
    keys = ("frontier", "curves-1", "pairs-1", "candidates", "distributions", "history")
    assert set(figures) == {f"figure-{key}" for key in keys}
    assert all(one["lines"] and one["marks"] for one in figures.values())
    section = frontier(read_sources([page.parent / "dist" / "tiny", page.parent / "results"]))
    assert section is not None
    for drawn, made in zip(figures["figure-frontier"]["data"], section.figure.data, strict=True):
        assert (drawn["x"], drawn["y"]) == (list(made.x), list(made.y))


@pytest.mark.parametrize("width", [1200, 500])  # Chromium's window is no narrower than 500 pixels
@pytest.mark.parametrize("dark", [False, True])
def test_it_fits_the_screen_in_dark_and_light(width: int, page: Path, *, dark: bool) -> None:
    found, said = browse(page, *(["--force-dark-mode"] if dark else []), width=width)
    assert console(said) == []
    assert found["wide"] <= found["seen"]
    assert all(one["width"] <= found["seen"] for one in found["figures"])
    if found["dark"] == dark:  # some builds of Chromium do not pass the option on to pages
        assert found["ink"] == ("rgb(230, 237, 243)" if dark else "rgb(27, 31, 36)")


def test_the_report_of_the_demo(environment: dict[str, str], tmp_path: Path) -> None:
    """The commands of ``make demo``, with the demo network that is in the package, and pictures."""
    artifacts = []
    for target in ("x86-onnxruntime", "x86-openvino"):
        artifacts.append(str(tmp_path / "dist" / target))
        words = (f"--target={target}", "--budget-ms=1000", "--budget-mb=2", "--threads=1", f"--out={artifacts[-1]}")
        ran = shell(environment, "prunnet-export", *words)
        assert ran.code == 0, ran.err
    results = tmp_path / "results"
    assert shell(environment, "prunnet-bench", "check", *artifacts, f"--results={results}").code == 0
    page = tmp_path / "report.html"
    ran = shell(environment, "prunnet-bench", "report", *artifacts, str(results), "--images=glyphs", f"--out={page}")
    assert ran.code == 0, ran.err
    found, said = browse(page)
    assert console(said) == []
    assert {one["id"] for one in found["figures"]} == {"figure-frontier", "figure-candidates", "figure-distributions"}
    # Two artifacts, twelve queries, and five neighbours by each of two networks.
    assert page.read_text(encoding="utf-8").count("data:image/jpeg") == 2 * 12 * 11
    shot = tmp_path / "shot.png"
    subprocess.run(
        [str(CHROMIUM), "--headless=new", "--no-sandbox", "--disable-gpu", "--window-size=1200,2400",
         f"--user-data-dir={tmp_path / 'profile'}", "--virtual-time-budget=20000", f"--screenshot={shot}",
         page.absolute().as_uri()],
        capture_output=True, timeout=300, check=True,
    )  # fmt: skip
    with Image.open(shot) as image:
        pixels = np.asarray(image.convert("RGB").resize((120, 240))).reshape(-1, 3)
    assert len(np.unique(pixels, axis=0)) > 50  # it is no blank page
