"""A small plot of points for a terminal."""

from __future__ import annotations

import sys
from dataclasses import dataclass

from prunnet_export._text import printable

_WIDTH, _HEIGHT = 60, 12  # characters inside the frame
_BESIDE = 14  # characters of the labels beside it


@dataclass(frozen=True)
class Plot:
    """Points of one or more series, which a terminal shows. Other outputs have the same numbers in a table.

    Attributes:
        title: What is plotted, with both axes.
        series: Names of the series, each with its values of x and y.
        x_unit: Unit of x.
        y_unit: Unit of y.
        limit: A value of x that is drawn as a line; None if there is none.
    """

    title: str
    series: dict[str, tuple[list[float], list[float]]]
    x_unit: str
    y_unit: str
    limit: float | None = None


def plot_text(plot: Plot, *, width: int) -> str:
    """The plot as text; empty if there is no room, the terminal has no frames, or uniplot is not installed.

    Args:
        plot: The plot.
        width: Width of the terminal in columns.
    """
    inside = min(_WIDTH, width - _BESIDE)
    if not plot.series or inside < _WIDTH // 2 or (sys.stdout.encoding or "").lower().replace("-", "") != "utf8":
        return ""
    try:
        from uniplot import plot_to_string
    except ImportError:  # a device that repeats an export's report needs no plot
        return ""
    largest = max(x for xs, _ in plot.series.values() for x in xs)
    near = plot.limit is not None and plot.limit <= 2 * largest  # else all points would be in one corner
    text: str = plot_to_string(
        xs=[xs for xs, _ in plot.series.values()],
        ys=[ys for _, ys in plot.series.values()],
        legend_labels=list(map(printable, plot.series)),
        title=printable(plot.title),
        x_unit=f" {plot.x_unit}",
        y_unit=f" {plot.y_unit}",
        x_min=0,
        x_max=1.05 * max(largest, plot.limit or 0 if near else 0),
        y_min=0,
        x_gridlines=[plot.limit] if near else [],
        character_set="ascii",
        color=False,
        width=inside,
        height=_HEIGHT,
    )
    return text
