"""The command ``prunnet-bench report`` and its options."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from prunnet_export.cli import output_options


@click.command()
@click.argument("sources", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="SOURCE...")
@click.option(
    "--images",
    metavar="DATA",
    help="Data set of the export. Queries and their neighbours in it are shown as pictures, so the page holds them.",
)
@click.option("--layout", help="Layout of --images, if the tool should not guess it.")
@click.option("--title", default="prunnet-bench", show_default=True, help="Heading of the page.")
@click.option(
    "--out", type=click.Path(path_type=Path), default="report.html", show_default=True, help="The file to write."
)
@output_options
def report(**options: Any) -> int:
    """Write one HTML page that shows artifacts and results. It loads nothing from a network.

    A SOURCE is an artifact, a file or a folder of results (check --results, matrix), or the output of
    `prunnet-bench compat --output-format json` or `prunnet-bench peers --output-format json`.
    """
    from prunnet_export.benchmarks.page._command import PageOptions, write_page

    return write_page(PageOptions(**options))
