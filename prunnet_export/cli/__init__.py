"""``prunnet-export``."""

from __future__ import annotations


def main() -> None:
    """The entry point."""
    from prunnet_export._console import run
    from prunnet_export.cli._command import command

    run(command, name="prunnet-export", extra="host")
