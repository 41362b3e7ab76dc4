"""``prunnet-bench``: the commands and their options. The code of a command is imported when the command runs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from prunnet_export.benchmarks._compat_cli import compat
from prunnet_export.benchmarks._diff_cli import diff
from prunnet_export.benchmarks._methods_cli import methods
from prunnet_export.benchmarks._options import PATTERNS
from prunnet_export.benchmarks.drift.cli import preprocessing
from prunnet_export.benchmarks.matrix.cli import matrix
from prunnet_export.benchmarks.page.cli import report
from prunnet_export.benchmarks.peers.cli import peers
from prunnet_export.benchmarks.plan.cli import plan, plan_accuracy
from prunnet_export.cli import (
    backbone_options,
    data_options,
    network_option,
    number_list,
    numbers,
    output_options,
    print_failure,
    run_options,
    size,
)
from prunnet_export.network_config import DataSource
from prunnet_export.preprocessing import Preprocessing, Size
from prunnet_export.training import Recipe, recipe_option

ARTIFACTS = click.argument("artifacts", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="ARTIFACT...")
RESULTS = click.option(
    "--results",
    type=click.Path(path_type=Path),
    metavar="FOLDER",
    help="Measure an anchor model too, and store the run as a new file in this folder, for `prunnet-bench diff`.",
)


class _ArtifactsByDefault(click.Group):
    """A command group. If the first argument is an artifact, the command is ``check``."""

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
    """Measure and verify artifacts again, and compare capacities, patterns and methods.

    \b
    prunnet-bench ARTIFACT...   is short for   prunnet-bench check ARTIFACT...

    \b
    Exit codes: 0 everything holds; 1 a gate failed; 2 usage, bad input or a missing extra;
    3 device or runtime not reachable; 70 a bug; 130 interrupted.
    """


@command.command()
@ARTIFACTS
@RESULTS
@run_options
@output_options
def check(**options: Any) -> int:
    """Measure and verify artifacts again, with only the files in their folders."""
    from prunnet_export.benchmarks._check import CheckOptions, check_artifacts

    return check_artifacts(CheckOptions(**options), verify_too=True)


@command.command()
@ARTIFACTS
@RESULTS
@run_options
@output_options
def latency(**options: Any) -> int:
    """Measure the latency of artifacts again and compare it with their budgets."""
    from prunnet_export.benchmarks._check import CheckOptions, check_artifacts

    return check_artifacts(CheckOptions(**options), verify_too=False)


@command.command()
@click.option(
    "--target",
    "targets",
    multiple=True,
    required=True,
    help="Hardware profile; prunnet-export --list-targets shows them. Repeatable: all models are timed in turn.",
)
@click.option(
    "--backbone",
    default="resnet18",
    show_default=True,
    help="A timm architecture, or resnet18-no-maxpool; random weights will do.",
)
@click.option(
    "--crop-px",
    metavar="SIZE",
    callback=size,
    default="224",
    show_default=True,
    help="Size of the input image: 224, or 256x128 for height x width.",
)
@click.option("--pattern", "patterns", multiple=True, help=f"{PATTERNS}  [default: the target's, and unstructured]")
@click.option("--capacities", default="0.8,0.6,0.4,0.2,0.1", show_default=True)
@click.option(
    "--samples",
    type=click.IntRange(10),
    default=60,
    show_default=True,
    help="Inferences for each model and run; there are 3 runs.",
)
@click.option("--out", type=click.Path(path_type=Path), help="File to write the table to.  [default: the user's cache]")
@run_options
@output_options
def calibrate(**options: Any) -> int:
    """Measure the grid of (pattern, capacity, precision) on this device; needs no training.

    With several targets, `--output-format json` prints {"tables": [...]}.
    """
    from prunnet_export.benchmarks._calibrate_command import calibrate_command
    from prunnet_export.benchmarks._options import CalibrateOptions

    options["capacities"] = numbers(options["capacities"], "--capacities")
    return calibrate_command(CalibrateOptions(**options))


@command.command()
@network_option
@data_options
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    required=True,
    help="The .npz file to write, or a folder for many files. A folder that is begun is completed.",
)
@click.option(
    "--shard-images",
    type=click.IntRange(1),
    default=10_000,
    show_default=True,
    help="Images of each file in a folder.",
)
@output_options
def gallery(**options: Any) -> int:
    """Embed the gallery images with the dense network, for `prunnet-export --gallery`.

    Several processes fill one folder together, on one machine or on machines that share it:
    torchrun --no-python --nproc-per-node 2 prunnet-bench gallery --out FOLDER
    """
    from prunnet_export.benchmarks._gallery_command import GalleryOptions, write_gallery

    return write_gallery(GalleryOptions(**options))


@command.command("training-cost")
@recipe_option("backbone", help="A timm architecture; random weights will do.")
@backbone_options
@click.option(
    "--image-size",
    metavar="SIZE",
    callback=size,
    default="112",
    show_default=True,
    help="Size of the image in pixels: 112, or 256x128 for height x width.",
)
@recipe_option(
    "batch_size", "--batch", "batch_size", type=click.IntRange(2, 4096), default=16, help="Images in a step."
)
@recipe_option("capacities", callback=number_list, help="Capacities of the subnetworks in a step.")
@click.option(
    "--repeats", type=click.IntRange(1, 1000), default=10, show_default=True, help="Steps to time for each pattern."
)
@click.option("--threads", type=click.IntRange(1, 1024), help="Threads of torch.  [default: torch's own]")
@output_options
def training_cost(*, image_size: Size, repeats: int, threads: int | None, output_format: str, **fields: Any) -> int:
    """Time and memory of a training step, as multiples of plain forward/backward passes of the backbone."""
    from prunnet_export.benchmarks._training_cost import TrainingCostOptions, training_cost_table

    recipe = Recipe(
        data=DataSource(source="random"),
        preprocessing=Preprocessing(crop=image_size, resize=image_size),
        learning_rate=1e-3,  # small, so that no number overflows with random labels
        **fields,
    )
    options = TrainingCostOptions(recipe=recipe, repeats=repeats, threads=threads, output_format=output_format)
    return training_cost_table(options)


command.add_command(matrix)
command.add_command(compat)
command.add_command(diff)
command.add_command(methods)
command.add_command(peers)
command.add_command(plan)
command.add_command(plan_accuracy)
command.add_command(preprocessing)
command.add_command(report)


def main() -> None:
    """The entry point."""
    from prunnet_export._console import run

    run(command, name="prunnet-bench", extra="host", report=print_failure)
