from __future__ import annotations

import sys
from typing import Any

import pytest

from prunnet_export.artifact._report import frontier_plot
from prunnet_export.reports import Plot, Report, render
from prunnet_export.reports._plot import plot_text
from tests.conftest import full_manifest

PLOT = Plot("capacity", {"a": ([0.1, 0.2], [5, 100]), "\x1b[31mb": ([0.15], [50])}, "ms", "%", limit=0.3)


class Screen:
    """A standard output with an encoding."""

    def __init__(self, encoding: str = "utf-8", *, terminal: bool = True) -> None:
        self.encoding, self._terminal = encoding, terminal

    def isatty(self) -> bool:
        return self._terminal


@pytest.fixture
def screen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdout", Screen())


def points(text: str) -> int:
    inside = [line.rpartition("│")[0] for line in text.splitlines() if line.startswith("│")]
    return sum(mark in "+x" for line in inside for mark in line)


@pytest.mark.usefixtures("screen")
def test_every_point_and_the_limit_are_shown() -> None:
    text = plot_text(PLOT, width=100)
    assert points(text) == 3
    assert all(word in text for word in ("capacity", "100 %", "0.3 ms"))
    assert "\x1b" not in text
    marked = [line for line in text.splitlines() if line.count("│") > 2]
    assert len(marked) >= 10  # the line of the limit


@pytest.mark.usefixtures("screen")
def test_a_limit_far_away_does_not_press_the_points_together() -> None:
    far = Plot("t", PLOT.series, "ms", "%", limit=100.0)
    assert points(plot_text(far, width=100)) == 3
    assert "100.0 ms" not in plot_text(far, width=100)


@pytest.mark.parametrize(("encoding", "width"), [("ascii", 100), ("utf-8", 30), ("latin-1", 100)])
def test_where_it_has_no_room_or_no_frame(encoding: str, width: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdout", Screen(encoding))
    assert not plot_text(PLOT, width=width)


@pytest.mark.usefixtures("screen")
def test_without_the_library(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "uniplot", None)
    assert not plot_text(PLOT, width=100)


@pytest.mark.parametrize("terminal", [True, False])
def test_only_a_terminal_shows_it(monkeypatch: pytest.MonkeyPatch, *, terminal: bool) -> None:
    monkeypatch.setattr(sys, "stdout", Screen(terminal=terminal))
    monkeypatch.setenv("COLUMNS", "100")
    report: Any = Report(title="x", plots=(PLOT,), document={})
    assert ("capacity" in render(report)) == terminal
    for other in ("json", "junit", "github", "markdown"):
        assert "capacity" not in render(report, other)


def test_the_frontier_of_an_export() -> None:
    plot = frontier_plot(full_manifest())
    assert plot.series == {"channel fp32": ([5], [39.0])}
    assert plot.limit == 15.0
