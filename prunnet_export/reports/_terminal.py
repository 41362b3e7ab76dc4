"""The report as text for people: with colours on a terminal, without them in a file."""

from __future__ import annotations

from io import StringIO

from rich.box import ASCII2, ROUNDED
from rich.console import Console
from rich.table import Table as RichTable
from rich.text import Text

from prunnet_export._text import printable
from prunnet_export.reports._cells import cell_text, is_numeric
from prunnet_export.reports._plot import plot_text
from prunnet_export.reports._report import Check, Failure, Report, Skip, Table

# Wide enough that no text is cut off in a file or for a program.
_WIDE = 100_000


def render_table(report: Report, *, colour: bool = False, width: int | None = None) -> str:
    """The report as text: title, tables, checks, failures, skips, plots for a terminal, and footer.

    Args:
        report: The report.
        colour: Whether to use colours.
        width: Width of the terminal in columns; None means no limit.
    """
    buffer = StringIO()
    console = Console(
        file=buffer,
        width=width or _WIDE,
        force_terminal=colour,
        color_system="standard" if colour else None,
        no_color=not colour,
        highlight=False,
        legacy_windows=False,
    )
    parts: list[Text | RichTable] = [_text(report.title, style="bold")] if report.title else []
    parts += [_table(table, colour=colour) for table in report.tables]
    if lines := [*map(_check, report.checks), *map(_failure, report.failures), *map(_skip, report.skips)]:
        parts.append(Text("\n").join(lines))
    if width is not None:
        parts += [Text(shown) for plot in report.plots if (shown := plot_text(plot, width=width))]
    if report.footer:
        parts.append(Text("\n").join(map(_text, report.footer)))
    for index, part in enumerate(parts):
        if index:
            console.print()
        # Text is not wrapped, because a path or a command on two lines cannot be copied.
        console.print(part, soft_wrap=isinstance(part, Text))
    return "\n".join(line.rstrip() for line in buffer.getvalue().splitlines()) + "\n"


def _table(table: Table, *, colour: bool) -> RichTable:
    shown = RichTable(
        title=_text(table.title) if table.title else None,
        title_justify="left",
        box=ROUNDED if colour else ASCII2,
        header_style="bold",
        show_header=any(table.columns),
    )
    for index, name in enumerate(table.columns):
        numeric = is_numeric([row[index] for row in table.rows])
        shown.add_column(_text(name), justify="right" if numeric else "left", overflow="fold")
    for row in table.rows:
        shown.add_row(*(_text(cell_text(cell)) for cell in row))
    return shown


def _check(check: Check) -> Text:
    style, word = ("green", "pass") if check.passed else ("red", "FAIL")
    line = Text.assemble((word, style), "  ", printable(check.name))
    return line.append(f": {printable(check.message)}") if check.message else line


def _failure(failure: Failure) -> Text:
    return Text.assemble(("ERROR", "red"), " ", printable(f"{failure.name}: {failure.text}"))


def _skip(skip: Skip) -> Text:
    return Text.assemble(("skip", "yellow"), "  ", printable(f"{skip.name}: {skip.text}"))


def _text(text: str, style: str = "") -> Text:
    return Text(printable(text), style=style)
