"""GitHub-flavoured Markdown for pull requests, job summaries and model cards."""

from __future__ import annotations

from prunnet_export._text import printable
from prunnet_export.reports._cells import cell_text, is_numeric
from prunnet_export.reports._report import Check, Failure, Report, Skip, Table


def render_markdown(report: Report) -> str:
    """The report as Markdown: headings, tables, a list of checks, failures and skips, and the footer."""
    parts = [f"## {markdown_text(report.title)}"] if report.title else []
    for table in report.tables:
        if table.title:
            parts.append(f"### {markdown_text(table.title)}")
        parts.append(markdown_table(table))
    if items := [*map(_check, report.checks), *map(_failure, report.failures), *map(_skip, report.skips)]:
        parts.append("\n".join(items))
    if report.footer:
        parts.append("\n".join(_code(line) for line in report.footer))
    return "\n\n".join(parts) + "\n"


def markdown_table(table: Table) -> str:
    """The table in Markdown, without its title."""
    numeric = [is_numeric([row[index] for row in table.rows]) for index in range(len(table.columns))]
    lines = [
        _row(table.columns),
        _row(tuple("---:" if right else "---" for right in numeric), escape=False),
        *(_row(tuple(map(cell_text, row))) for row in table.rows),
    ]
    return "\n".join(lines)


def _row(cells: tuple[str, ...], *, escape: bool = True) -> str:
    return f"| {' | '.join(map(markdown_text, cells) if escape else cells)} |"


def _check(check: Check) -> str:
    message = f": {markdown_text(check.message)}" if check.message else ""
    return f"- {'pass' if check.passed else '**FAIL**'} {markdown_text(check.name)}{message}"


def _failure(failure: Failure) -> str:
    return f"- **ERROR** {markdown_text(failure.name)}: {markdown_text(failure.text)}"


def _skip(skip: Skip) -> str:
    return f"- skip {markdown_text(skip.name)}: {markdown_text(skip.text)}"


def markdown_text(text: str) -> str:
    """The text on one line, escaped so that Markdown and HTML show it as it is."""
    text = printable(" ".join(text.split()))
    for character in ("\\", "|", "`", "*", "_", "[", "]"):
        text = text.replace(character, f"\\{character}")
    return text.replace("&", "&amp;").replace("<", "&lt;")


def _code(line: str) -> str:
    return "    " + printable(" ".join(line.splitlines()))
