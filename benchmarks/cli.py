"""``prunnet-bench``: the options; what they do is imported when it is asked for."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from prunnet_export.cli._options import (
    data_options,
    network_option,
    numbers,
    output_options,
    run_options,
)

ARTIFACTS = click.argument("artifacts", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="ARTIFACT...")


class _ArtifactsByDefault(click.Group):
    """A group whose first word may be an artifact: then the command is ``check``."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and self.get_command(ctx, args[0]) is None and not args[0].startswith("-"):
            if not Path(args[0]).exists():
                raise click.UsageError(f"{args[0]!r} is neither a command nor an artifact", ctx)
            args = ["check", *args]
        return super().resolve_command(ctx, args)


@click.group(
    cls=_ArtifactsByDefault,
    no_args_is_help=False,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
)
@click.version_option(package_name="prunnet-export")
def command() -> None:
    """Prove an artifact again, and measure what capacities and patterns are worth.

    \b
    prunnet-bench ARTIFACT...   is short for   prunnet-bench check ARTIFACT...

    \b
    Exit codes: 0 everything holds; 1 a gate failed; 2 usage, bad input or a missing extra;
    3 device or runtime not reachable; 70 a bug; 130 interrupted.
    """


@command.command()
@ARTIFACTS
@run_options
@output_options
def check(artifacts: tuple[Path, ...], **options: Any) -> int:
    """Measure and verify artifacts again, from their files alone."""
    from prunnet_export.benchmarks._check import check_artifacts

    return check_artifacts(artifacts, verify_too=True, **options)


@command.command()
@ARTIFACTS
@run_options
@output_options
def latency(artifacts: tuple[Path, ...], **options: Any) -> int:
    """Measure the latency of artifacts again and hold it against their budgets."""
    from prunnet_export.benchmarks._check import check_artifacts

    return check_artifacts(artifacts, verify_too=False, **options)


@command.command()
@network_option
@data_options
@click.option("--pattern", "patterns", multiple=True, default=["channel"], show_default=True, help="Repeatable.")
@click.option("--capacities", default="1,0.8,0.6,0.4,0.2,0.1", show_default=True)
@click.option("--channel-multiple", type=click.IntRange(1, 256), default=8, show_default=True)
@click.option("--max-queries", type=click.IntRange(2), default=100_000, show_default=True)
@click.option("--max-gallery", type=click.IntRange(2), default=100_000, show_default=True)
@output_options
def compat(**options: Any) -> int:
    """Self-test and cross-test of a network's subnetworks, R@1 and mAP, computed by torch."""
    from prunnet_export.benchmarks._tables import compat_table

    return compat_table(**{**options, "capacities": numbers(options["capacities"], "--capacities")})


@command.command()
@click.option("--target", required=True, help="Hardware profile; prunnet-export --list-targets shows them.")
@click.option("--backbone", default="resnet18", show_default=True, help="A timm architecture; random weights will do.")
@click.option(
    "--crop-px", type=click.IntRange(8, 2048), default=224, show_default=True, help="Side of the input image."
)
@click.option(
    "--pattern", "patterns", multiple=True, default=["channel", "unstructured"], show_default=True, help="Repeatable."
)
@click.option("--capacities", default="0.8,0.6,0.4,0.2,0.1", show_default=True)
@click.option(
    "--samples", type=click.IntRange(10), default=60, show_default=True, help="Per model and run; there are 3 runs."
)
@click.option("--out", type=click.Path(path_type=Path), help="Where the table goes.  [default: the user's cache]")
@run_options
@output_options
def calibrate(**options: Any) -> int:
    """Measure the grid of (pattern, capacity, precision) on this device; needs no training."""
    from prunnet_export.benchmarks._tables import calibration_table

    return calibration_table(**{**options, "capacities": numbers(options["capacities"], "--capacities")})


@command.command()
@network_option
@data_options
@click.option("--out", type=click.Path(path_type=Path), required=True, help="The .npz file to write.")
@output_options
def gallery(**options: Any) -> int:
    """Embed the gallery images with the dense network, for `prunnet-export --gallery`."""
    from prunnet_export.benchmarks._tables import write_gallery

    return write_gallery(**options)


def main() -> None:
    """The entry point."""
    from prunnet_export._console import run

    run(command, name="prunnet-bench", extra="host")
