"""The page of the command: its sections, and that their figures are those of the files."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from prunnet_export._errors import InvalidInput, MissingExtra
from prunnet_export.benchmarks._history import append_run
from prunnet_export.benchmarks.page._command import PageOptions, write_page
from prunnet_export.benchmarks.page._compatibility import capacity_curves, heat_maps
from prunnet_export.benchmarks.page._latency import candidates, distributions, frontier, history
from prunnet_export.benchmarks.page._peers import peers
from prunnet_export.benchmarks.page._sources import read_sources
from tests.benchmarks._runs import result
from tests.benchmarks.page._pages import CAPACITIES, write, write_peers, write_runs, write_table, write_teacher_table
from tests.conftest import full_manifest

MakeArtifact = Callable[..., Path]


class Page(HTMLParser):
    """What a browser would load, and the text of the page."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.loads: list[str] = []
        self.links: list[str] = []
        self.text: list[str] = []
        self.tags: list[str] = []
        self._script = False
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self._script = tag in {"script", "style"}
        for name, value in attrs:
            if name in {"src", "srcset", "data"} or (name == "href" and tag == "link"):
                self.loads.append(value or "")
            elif name == "href":
                self.links.append(value or "")

    def handle_endtag(self, _tag: str) -> None:
        self._script = False

    def handle_data(self, data: str) -> None:
        if not self._script:
            self.text.append(data)


def traces(section: Any) -> dict[str, Any]:
    return {trace.name: trace for trace in section.figure.data}


def test_everything_is_on_it(make_artifact: MakeArtifact, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    html = write(
        tmp_path / "r.html", make_artifact(), write_runs(tmp_path / "results"), write_table(tmp_path / "c.json")
    )
    keys = [
        "overview", "frontier", "curves-1", "pairs-1", "candidates", "distributions", "history", "environment",
    ]  # fmt: skip
    assert json.loads(capsys.readouterr().out)["sections"] == keys
    page = Page(html)
    assert [link for link in page.links if link.startswith("#")] == [f"#{key}" for key in keys]
    assert "dist/tiny/manifest.json" in page.links  # relative to the page
    text = " ".join(page.text)
    for words in ("Nightly & <more>", "<b>third</b>", "2 passed, 1 FAILED, 1 skipped", "no answer", "A CPU"):
        assert words in text, words


def test_nothing_is_loaded_and_no_name_becomes_markup(tmp_path: Path) -> None:
    page = Page(write(tmp_path / "r.html", write_runs(tmp_path / "results"), write_table(tmp_path / "c.json")))
    assert [source for source in page.loads if not source.startswith("data:")] == []
    assert not {"b", "i", "iframe", "object", "embed"} & set(page.tags)
    html = (tmp_path / "r.html").read_text()
    assert "default-src 'none'" in html
    figures = html[html.index("<main>") :]
    assert "<b>third" not in figures.replace("\\u003c", "&lt;")
    assert "&lt;b\\u003e" not in figures  # plotly reads markup in names, so they are escaped twice


def test_the_frontier_is_what_was_measured(make_artifact: MakeArtifact, tmp_path: Path) -> None:
    sources = read_sources([make_artifact(), write_runs(tmp_path / "results")])
    section = frontier(sources)
    assert section is not None
    found = traces(section)
    newest = sources.newest
    assert set(found) == {"x86", "&lt;i&gt;odd&lt;/i&gt;"}
    expected = sorted(
        [(one.latency.percentile_ms, 0.91) for one in (newest["first"], newest["second"]) if one.latency]
        + [(sources.artifacts[0].manifest.latency.percentile_ms, 0.91)]
        + [(sources.artifacts[0].manifest.latency.percentile_ms, 0.93)]  # the dense network's own
    )
    assert sorted(zip(found["x86"].x, found["x86"].y, strict=True)) == expected
    assert [shape.x0 for shape in section.figure.layout.shapes] == [15.0]
    assert [10**note.x for note in section.figure.layout.annotations] == [pytest.approx(15.0)]
    assert len(section.more[0].rows) == 5


def test_without_labels_the_frontier_shows_the_overlap(make_artifact: MakeArtifact, tmp_path: Path) -> None:
    sources = read_sources([make_artifact(verification=_without_labels(tmp_path, make_artifact))])
    section = frontier(sources)
    assert section is not None
    assert section.figure.layout.yaxis.title.text == "neighbour overlap"
    assert list(section.figure.data[0].y) == [0.7]


def _without_labels(tmp_path: Path, make_artifact: MakeArtifact) -> Any:
    from prunnet_export.artifact import Gate

    del tmp_path, make_artifact
    gate = Gate(name="neighbour overlap", value=0.7, passed=True, n=50)
    return msgspec.structs.replace(
        full_manifest().verification, gates=[gate], cross_r1=None, self_r1=None, teacher_self_r1=None
    )


def test_distributions_hold_samples_alone(tmp_path: Path) -> None:
    sources = read_sources([write_runs(tmp_path / "results")])
    section = distributions(sources)
    assert section is not None
    for name, newest in sources.newest.items():
        trace = traces(section)[name.replace("<", "&lt;").replace(">", "&gt;")]
        samples = np.concatenate(newest.samples_ms)
        assert set(trace.x) <= set(samples.tolist())
        assert (trace.x[0], trace.x[-1]) == (samples.min(), samples.max())
        for share, time in list(zip(trace.y, trace.x, strict=True))[1:]:
            assert (samples <= time).mean() >= share


def test_history_is_relative_to_the_anchor(tmp_path: Path) -> None:
    sources = read_sources([write_runs(tmp_path / "results")])
    section = history(sources)
    assert section is not None
    first, second, third = (traces(section)[name] for name in ("first", "second", "&lt;b&gt;third&lt;/b&gt;"))
    assert np.allclose(first.y, [5, 5.1, 6])
    assert np.allclose(second.y, [5.0, 5.1, 6.0])  # its anchor took two milliseconds
    assert not third.y  # it has no anchor
    assert history(read_sources(sorted((tmp_path / "results").iterdir())[:1])) is None


def test_times_of_an_emulator_are_in_no_figure(make_artifact: MakeArtifact, tmp_path: Path) -> None:
    real, other = result(5.0, name="real", target="x86"), result(5.0, name="other", target="x86")
    assert other.latency is not None
    slow = msgspec.structs.replace(other, latency=msgspec.structs.replace(other.latency, source="emulated"))
    (tmp_path / "results").mkdir()
    for day in (1, 2):
        append_run(tmp_path / "results", [real, slow], created=f"2026-11-0{day}T10:00:00Z")
    latency = msgspec.structs.replace(full_manifest().latency, source="emulated")
    sources = read_sources([tmp_path / "results", make_artifact(latency=latency, dense_latency=None)])
    for section in (frontier(sources), distributions(sources), history(sources)):
        assert section is not None
        assert {name for row in section.more[0].rows for name in row if name in {"real", "other", "tiny"}} == {"real"}
        assert {name for name, trace in traces(section).items() if trace.x} <= {"real", "x86"}


def test_candidates_are_those_of_the_manifest(make_artifact: MakeArtifact) -> None:
    section = candidates(read_sources([make_artifact()]))
    assert section is not None
    [trace] = section.figure.data
    assert (list(trace.x), list(trace.y), trace.name) == ([5.0], [0.39], "tiny: channel fp32")


def test_curves_and_pairs(tmp_path: Path) -> None:
    sources = read_sources([write_table(tmp_path / "c.json"), write_teacher_table(tmp_path / "t.json")])
    labelled, theirs = capacity_curves(sources)
    cross = traces(labelled)["channel cross-test"]
    assert list(cross.x) == [0.19, 0.49, 1.0]
    assert np.allclose(cross.y, [0.48, 0.6, 0.8])
    assert list(traces(theirs)["channel"].y) == [0.7 * one for one in sorted(CAPACITIES)]
    [pairs] = heat_maps(sources)
    [cells] = pairs.figure.data
    assert list(cells.x) == ["20%", "50%", "100%"]
    assert list(cells.y) == ["100%", "50%", "20%"]
    assert np.allclose(cells.z, [[0.16, 0.4, 0.8], [0.16, 0.4, 0.4], [0.16, 0.16, 0.16]])


def test_peers_are_drawn_over_their_latency(tmp_path: Path) -> None:
    file = write_peers(tmp_path / "p.json")
    [section] = peers(read_sources([file]))
    assert section.title == "Peers: glyphs, x86-onnxruntime"
    drawn = traces(section)
    assert list(drawn) == ["channel, fp32", "channel, int8", "&lt;b&gt;aml, fp32", "&lt;b&gt;aml, int8"]
    assert list(drawn["channel, int8"].x) == sorted(CAPACITIES)
    assert np.allclose(drawn["channel, int8"].y, [0.5, 0.65, 0.9])
    assert {line.line.dash for name, line in drawn.items() if name.endswith("int8")} == {"dot"}
    html = write(tmp_path / "r.html", file)
    assert "<b>aml" not in html
    assert {0.4 + 0.5 * one for one in CAPACITIES} <= {float(one) for one in re.findall(r'data-value="([^"]+)"', html)}


def test_tables_have_the_numbers_of_the_figures(tmp_path: Path) -> None:
    html = write(tmp_path / "r.html", write_table(tmp_path / "c.json"))
    exact = {float(value) for value in re.findall(r'data-value="([^"]+)"', html)}
    assert {0.4 + 0.4 * one for one in CAPACITIES} <= exact
    assert html.count("<summary>") == 2


@pytest.mark.parametrize(
    ("images", "layout", "message"),
    [(None, "folder", "--layout is the layout of --images"), ("glyphs", None, "--images needs an artifact")],
)
def test_options_that_do_not_fit(images: str | None, layout: str | None, message: str, tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match=message):
        write(tmp_path / "r.html", write_table(tmp_path / "c.json"), images=images, layout=layout)
    assert not (tmp_path / "r.html").exists()


def test_without_plotly(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "plotly", None)
    with pytest.raises(MissingExtra) as caught:
        write_page(PageOptions((tmp_path,), None, None, "x", tmp_path / "r.html", "table"))
    assert "prunnet-export[report]" in caught.value.hint
