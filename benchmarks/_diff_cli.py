"""The options of ``prunnet-bench diff``. Its code is imported when it runs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from prunnet_export.cli import output_options, run_options


@click.command()
@click.argument("old", type=click.Path(path_type=Path))
@click.argument("new", type=click.Path(path_type=Path))
@click.option(
    "--threshold-percent",
    type=click.FloatRange(0, 1000),
    default=5.0,
    show_default=True,
    help="The smallest slowdown that counts, of the 5th percentile. The median and the budget's percentile, which are "
    "noisier, have to exceed twice as much.",
)
@run_options
@output_options
def diff(**options: Any) -> int:
    """Compare two runs, or two artifacts: is NEW slower or worse than OLD by more than noise?

    OLD and NEW are files that `prunnet-bench check --results FOLDER` stored, or folders of such files, of which the
    newest one is taken. For one folder given twice, its newest two are compared. Latencies are compared relative to
    the anchor's.

    Or OLD and NEW are artifacts. They are measured in turns now, on --device.

    Exit code 1: something became slower, a gate passed before and fails now, or an error came up.
    """
    from prunnet_export.benchmarks._diff import DiffOptions
    from prunnet_export.benchmarks._diff import diff as compare

    return compare(DiffOptions(**options))
