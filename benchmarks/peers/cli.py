"""The command ``prunnet-bench peers`` and its options."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from prunnet_export.benchmarks._methods_cli import comparison_options, runs_folder, take_settings
from prunnet_export.cli import output_options, run_options


@click.command()
@click.option(
    "--target",
    "targets",
    multiple=True,
    default=("x86-onnxruntime", "x86-openvino"),
    show_default=True,
    help="Hardware profile; prunnet-export --list-targets shows them. Repeatable.",
)
@click.option(
    "--samples",
    type=click.IntRange(20),
    default=300,
    show_default=True,
    help="Timed inferences of each file and run; there are 3 runs.",
)
@comparison_options("peers")
@run_options
@output_options
def peers(
    *,
    targets: tuple[str, ...],
    samples: int,
    data: str,
    layout: str | None,
    seeds: int,
    out: Path | None,
    device: str,
    threads: int | None,
    output_format: str,
    **fields: Any,
) -> int:
    """Compare with what people would do instead, at equal measured latency.

    The same backbone, data and steps go to our method (channel), to torch-pruning's channel pruning of the dense
    network (magnitude), to independent small networks, to switchable slices, to distilled students (aml), and to INT8
    alone. Each network is exported for each target, its file is searched with and measured. A budget gets the largest
    network of each peer that is not slower.

    Everything that is finished is a file in --out; the same command again makes only what is missing.
    """
    from prunnet_export.benchmarks.peers._command import PeersOptions, peers_table

    options = PeersOptions(
        settings=take_settings(data, layout, fields, match=False),
        seeds=seeds,
        targets=targets,
        device=device,
        threads=threads,
        samples=samples,
        out=runs_folder(out, "peers", data),
        output_format=output_format,
    )
    return peers_table(options)
