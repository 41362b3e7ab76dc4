"""The command ``prunnet-bench matrix`` and its options."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from prunnet_export.cli import FORMATS, output_options


@click.command()
@click.argument("file", type=click.Path(path_type=Path), metavar="MATRIX.toml")
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    default=Path("matrix"),
    show_default=True,
    help="Folder of the artifacts, and of the results of all runs.",
)
@click.option("--device", "devices", multiple=True, metavar="LABEL", help="Only the cells of this device. Repeatable.")
@click.option("--allow-skip", is_flag=True, help="Cells of a device that is not there do not change the exit code.")
@click.option(
    "--also",
    type=(click.Choice(FORMATS), click.Path(path_type=Path)),
    multiple=True,
    metavar="FORMAT FILE",
    help="Write the report to a file too, in this format. Repeatable.",
)
@click.option("--restart", is_flag=True, help="Drop an unfinished run in --out, and begin a new one.")
@output_options
def matrix(**options: Any) -> int:
    """Export, measure and verify every network at every budget on every device that a file names.

    A cell whose device is not there is skipped: exit code 3, unless a gate failed (1) or --allow-skip is given.
    If the command is killed, the same command again goes on with the cells that are missing.

    \b
    A small MATRIX.toml:
      networks = ["demo"]
      [[budget]]
      ms = 5
      [[device]]
      label = "here"
      address = "local"
      targets = ["x86-onnxruntime", "x86-openvino"]
    """
    from prunnet_export.benchmarks.matrix._command import MatrixOptions, matrix_command

    return matrix_command(MatrixOptions(**options))
