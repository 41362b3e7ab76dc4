"""``prunnet-export``, and what the other commands share with it."""

from __future__ import annotations

from prunnet_export.cli._context import NetworkChoice, choose_network, open_data

__all__ = ["NetworkChoice", "choose_network", "main", "open_data"]


def main() -> None:
    """The entry point."""
    from prunnet_export._console import run
    from prunnet_export.cli._command import command

    run(command, name="prunnet-export", extra="host")
