"""The page as one HTML file that loads nothing from a network."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from pathlib import Path

from prunnet_export._files import read_bytes
from prunnet_export._imports import require
from prunnet_export._limits import SETTINGS_BYTES
from prunnet_export._numbers import significant
from prunnet_export._text import printable
from prunnet_export.benchmarks.page._section import Section
from prunnet_export.reports import Cell, Table

# Nothing is loaded: scripts and styles are in the file, and pictures are data.
_POLICY = "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src data: blob:"
_STYLE = Path(__file__).with_name("page.css")
_GOOD, _BAD = frozenset({"pass", "passed", "verified", "inside"}), frozenset({"FAIL", "FAILED", "ERROR", "rejected"})


def page_html(title: str, sections: Sequence[Section]) -> str:
    """The whole page. plotly's script stands in it once.

    Raises:
        MissingExtra: plotly is not installed.
    """
    script = require("plotly.offline", extra="report").get_plotlyjs()
    style = read_bytes(_STYLE, at_most=SETTINGS_BYTES).decode()
    links = "".join(f'<li><a href="#{one.key}">{escape(one.title)}</a></li>' for one in sections)
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<link rel="icon" href="data:,">\n'
        f"<title>{escape(printable(title))}</title>\n<style>{style}</style>\n<script>{script}</script>\n</head>\n<body>\n"
        f"<h1>{escape(printable(title))}</h1>\n<nav><ul>{links}</ul></nav>\n<main>\n"
        + "\n".join(map(_section, sections))
        + "\n</main>\n</body>\n</html>\n"
    )


def _section(section: Section) -> str:
    parts = [f'<section id="{section.key}">', f"<h2>{escape(section.title)}</h2>"]
    if section.text:
        parts.append(f"<p>{escape(printable(section.text))}</p>")
    if section.figure is not None:
        parts.append(f'<figure aria-label="{escape(section.title)}">{_figure(section)}</figure>')
    tables, more = ("".join(map(_table, some)) for some in (section.tables, section.more))
    if more:
        summary = "The numbers as a table" if section.figure is not None else "Details"
        more = f"<details><summary>{summary}</summary>{more}</details>"
    return "\n".join([*parts, section.html, tables, more, "</section>"])


def _figure(section: Section) -> str:
    html: str = require("plotly.io", extra="report").to_html(
        section.figure,
        full_html=False,
        include_plotlyjs=False,
        div_id=f"figure-{section.key}",
        config={"responsive": True, "displaylogo": False, "displayModeBar": False},
    )
    return html


def _table(table: Table) -> str:
    heading = f"<h3>{escape(printable(table.title))}</h3>" if table.title else ""
    head = "".join(f'<th scope="col">{escape(printable(name))}</th>' for name in table.columns)
    body = "".join(f"<tr>{''.join(map(_cell, row))}</tr>" for row in table.rows)
    table_html = f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
    return f'{heading}<div class="scroll" tabindex="0">{table_html}</div>'


def _cell(value: Cell) -> str:
    if isinstance(value, int | float):
        exact = f' data-value="{value!r}"' if isinstance(value, float) else ""
        return f'<td class="number"{exact}>{significant(float(value)) if isinstance(value, float) else value}</td>'
    kind = ' class="good"' if value in _GOOD else ' class="bad"' if value in _BAD else ""
    return f"<td{kind}>{'-' if value is None else escape(printable(value))}</td>"
