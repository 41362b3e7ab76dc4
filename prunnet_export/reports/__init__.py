"""Reports: the result of a command as one value, rendered for people, programs and build servers."""

from prunnet_export.reports._markdown import markdown_table, markdown_text
from prunnet_export.reports._plot import Plot
from prunnet_export.reports._render import print_report, render
from prunnet_export.reports._report import Cell, Check, Failure, Report, Skip, Table

__all__ = [
    "Cell",
    "Check",
    "Failure",
    "Plot",
    "Report",
    "Skip",
    "Table",
    "markdown_table",
    "markdown_text",
    "print_report",
    "render",
]
