"""The command ``prunnet-export``, and options that other commands use too."""

from __future__ import annotations

from prunnet_export.cli._context import NetworkChoice, choose_network, open_data
from prunnet_export.cli._failures import print_failure
from prunnet_export.cli._options import (
    backbone_options,
    data_options,
    gallery_at,
    network_option,
    number_list,
    numbers,
    output_options,
    run_options,
    size,
)

__all__ = [
    "NetworkChoice",
    "backbone_options",
    "choose_network",
    "data_options",
    "gallery_at",
    "main",
    "network_option",
    "number_list",
    "numbers",
    "open_data",
    "output_options",
    "print_failure",
    "run_options",
    "size",
]


def main() -> None:
    """Entry point of ``prunnet-export``."""
    from prunnet_export._console import run
    from prunnet_export.cli._command import command

    run(command, name="prunnet-export", extra="host", report=print_failure)
