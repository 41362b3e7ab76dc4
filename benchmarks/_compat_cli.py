"""The command ``prunnet-bench compat`` and its options."""

from __future__ import annotations

from typing import Any

import click

from prunnet_export.benchmarks._options import PATTERNS
from prunnet_export.cli import data_options, gallery_at, network_option, numbers, output_options


@click.command()
@network_option
@data_options
@click.option("--pattern", "patterns", multiple=True, default=["channel"], show_default=True, help=PATTERNS)
@click.option("--capacities", default="1,0.8,0.6,0.4,0.2,0.1", show_default=True)
@click.option("--channel-multiple", type=click.IntRange(1, 256), default=8, show_default=True)
@click.option("--max-queries", type=click.IntRange(2), default=100_000, show_default=True)
@click.option("--max-gallery", type=click.IntRange(2), default=1_000_000, show_default=True)
@click.option(
    "--gallery",
    callback=gallery_at,
    metavar="FILE|ADDRESS",
    help="The teacher's gallery, for a network with a teacher.  [default: the teacher's vectors of training images]",
)
@click.option("--all-pairs", is_flag=True, help="Test each query capacity with each gallery capacity, for one pattern.")
@click.option(
    "--corruptions",
    is_flag=True,
    help="Also search with queries as bad cameras make them (JPEG, blur, low light, ...), for one pattern.",
)
@output_options
def compat(**options: Any) -> int:
    """Self-test and cross-test of a network's subnetworks by the data set's own figures, computed by torch."""
    from prunnet_export.benchmarks._compat_command import CompatOptions
    from prunnet_export.benchmarks._compat_command import compat as print_tables

    return print_tables(CompatOptions(capacities=numbers(options.pop("capacities"), "--capacities"), **options))
