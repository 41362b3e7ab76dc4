"""The command ``prunnet-export``, and options that other commands use too."""

from __future__ import annotations

from typing import TYPE_CHECKING

from prunnet_export._imports import lazy_names
from prunnet_export.cli._context import NetworkChoice, choose_network, open_data
from prunnet_export.cli._failures import print_failure
from prunnet_export.cli._options import (
    FORMATS,
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

if TYPE_CHECKING:
    from prunnet_export.cli._export import ExportOptions, make_artifact, parse_export

__all__ = [
    "FORMATS",
    "ExportOptions",
    "NetworkChoice",
    "backbone_options",
    "choose_network",
    "data_options",
    "gallery_at",
    "main",
    "make_artifact",
    "network_option",
    "number_list",
    "numbers",
    "open_data",
    "output_options",
    "parse_export",
    "print_failure",
    "run_options",
    "size",
]


if not TYPE_CHECKING:  # a type checker that sees __getattr__ accepts every name
    __getattr__ = lazy_names(__name__, {"_export": ("ExportOptions", "make_artifact", "parse_export")})


def main() -> None:
    """Entry point of ``prunnet-export``."""
    from prunnet_export._console import run
    from prunnet_export.cli._command import command

    run(command, name="prunnet-export", extra="host", report=print_failure)
