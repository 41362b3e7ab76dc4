"""A section of the page: a heading, a figure, and the same numbers as a table."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from html import escape
from itertools import cycle
from typing import Any

from prunnet_export._imports import require
from prunnet_export._text import printable
from prunnet_export.reports import Table

# Okabe and Ito's colours, which people with any kind of colour vision tell apart, without black and yellow: all of them
# are seen on white and on black.
_COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")
_SYMBOLS = ("circle", "square", "diamond", "triangle-up", "cross", "x")
_GREY = "rgba(128,128,128,0.35)"


@dataclass(frozen=True)
class Section:
    """A part of the page.

    Attributes:
        key: Its name in links and for tests.
        title: Its heading.
        text: What is shown, and how it was found, in plain sentences.
        figure: A plotly figure; None if there is none.
        tables: The content of the section, if it has no figure.
        html: Further content, as HTML.
        more: Tables that are folded up.
    """

    key: str
    title: str
    text: str
    figure: Any = None
    tables: Sequence[Table] = ()
    html: str = ""
    more: Sequence[Table] = ()


def graph_objects() -> Any:
    """The module ``plotly.graph_objects``; raises MissingExtra if plotly is not installed."""
    return require("plotly.graph_objects", extra="report")


def new_figure(x: str, y: str, *, height: int = 420, **layout: Any) -> Any:
    """An empty figure with named axes. Its background is transparent; the page colours text and grid."""
    axis = {"gridcolor": _GREY, "zerolinecolor": _GREY, "linecolor": _GREY, "automargin": True}
    settings = {
        "template": "none",
        "paper_bgcolor": "rgba(0,0,0,0)",
        "plot_bgcolor": "rgba(0,0,0,0)",
        "height": height,
        "margin": {"l": 10, "r": 10, "t": 20, "b": 10},
        "font": {"family": "system-ui, sans-serif", "size": 13},
        "xaxis": {"title": {"text": x}, **axis},
        "yaxis": {"title": {"text": y}, **axis},
        "legend": {"orientation": "h", "yref": "container", "yanchor": "bottom", "y": 0, "x": 0},
        "hovermode": "closest",
    }
    return graph_objects().Figure(layout={**settings, **layout})


def styles() -> Iterator[dict[str, Any]]:
    """Endless pairs of a colour and a symbol, so that no trace is told by its colour alone."""
    for colour, symbol in zip(cycle(_COLOURS), cycle(_SYMBOLS), strict=False):
        yield {"color": colour, "symbol": symbol}


def label(text: str) -> str:
    """A text of a user in a figure. Plotly reads its texts as HTML."""
    return escape(printable(text))
