"""Rendering a report in one of five formats, and printing it."""

from __future__ import annotations

import os
import shutil
import sys

import click

from prunnet_export._errors import UnknownName
from prunnet_export.reports._machine import render_github, render_json, render_junit
from prunnet_export.reports._markdown import render_markdown
from prunnet_export.reports._report import Report
from prunnet_export.reports._terminal import render_table

OUTPUT_FORMATS = ("table", "json", "junit", "github", "markdown")


def render(report: Report, output_format: str = "table") -> str:
    """The report as text that ends with a line feed, for stdout.

    On a terminal, ``table`` has the terminal's width, and colours unless ``NO_COLOR`` is set. Elsewhere it has no
    colours and no limit of width. The other formats are the same everywhere.

    Args:
        report: The report.
        output_format: One of :data:`OUTPUT_FORMATS`.

    Raises:
        UnknownName: there is no such format.
        ValueError: the format is ``json`` and the document holds NaN or infinity.
    """
    if output_format == "table":
        terminal = sys.stdout.isatty()
        colour = terminal and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
        return render_table(report, colour=colour, width=shutil.get_terminal_size().columns if terminal else None)
    if output_format == "json":
        return render_json(report)
    if output_format == "junit":
        return render_junit(report)
    if output_format == "github":
        return render_github(report)
    if output_format == "markdown":
        return render_markdown(report)
    raise UnknownName("output format", output_format, OUTPUT_FORMATS)


def print_report(report: Report, output_format: str) -> None:
    """Print a rendered report on stdout."""
    click.echo(render(report, output_format), nl=False)
