"""The commands ``prunnet-bench plan`` and ``prunnet-bench plan-accuracy``, and their options."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from prunnet_export.cli import number_list, output_options
from prunnet_export.thresholds import Thresholds
from prunnet_export.training import (
    MatchOptions,
    match_options,
    recipe_option,
    recipe_options,
    take_match_options,
    take_recipe,
    weights_options,
)


@click.command()
@click.argument("data", metavar="IMAGES")
@click.option("--layout", help="Layout of IMAGES, if the tool should not guess it.")
@match_options
@weights_options
@recipe_options
@recipe_option(
    "patterns",
    "--pattern",
    "patterns",
    multiple=True,
    help="Pattern of the subnetworks, as for prunnet-train. Repeatable; the figures are those of the first.",
)
@recipe_option("capacities", callback=number_list, help="Capacities that the training trains in every step.")
@recipe_option("epochs", type=click.IntRange(1), help="Epochs of the planned training.")
@recipe_option("seed", type=click.IntRange(0, 2**32 - 1))
@click.option(
    "--images",
    type=click.IntRange(40),
    default=8000,
    show_default=True,
    help="Training images to look at, spread evenly.",
)
@click.option(
    "--trial-minutes",
    type=click.FloatRange(0, 600),
    default=5.0,
    show_default=True,
    help="How long to train for the prediction, in both trials together. Longer is more certain.",
)
@click.option(
    "--min-recall",
    type=click.FloatRange(0, 2),
    default=Thresholds().recall,
    show_default=True,
    help="The gate with labels: least R@1, as a share of the teacher's own.",
)
@click.option(
    "--min-overlap",
    type=click.FloatRange(0, 1),
    default=Thresholds().overlap,
    show_default=True,
    help="The gate without labels: least share of the teacher's 10 nearest.",
)
@click.option(
    "--network", type=click.Path(path_type=Path), help="The run that was planned, to compare it with the plan."
)
@click.option(
    "--record", type=click.Path(path_type=Path), help="File to add this plan and what --network reaches to, for --runs."
)
@click.option(
    "--runs",
    type=click.Path(path_type=Path),
    help="Measured runs that say how sure a prediction is.  [default: the package's]",
)
@click.option("--device", default="auto", show_default=True, help="Where to train: auto, cpu, cuda, cuda:1, mps, ...")
@click.option(
    "--workers", type=click.IntRange(0, 64), default=0, show_default=True, help="Processes that decode images."
)
@output_options
@click.pass_context
def plan(
    context: click.Context,
    /,
    *,
    data: str,
    runs: Path | None,
    **options: Any,
) -> int:
    """Before a training with --match: what would it reach, what would it cost, and is it needed?

    Takes the options of prunnet-train. It looks at a few thousand images, fits the best linear map from the student
    that exists to the TEACHER's vectors, trains twice, for five minutes in all, and predicts the whole training from
    what the longer trial gained over the shorter one. It is advice: the exit code is 0 whatever the verdict.
    """
    from prunnet_export.benchmarks.plan._command import plan_command
    from prunnet_export.benchmarks.plan._options import RUNS, PlanOptions

    match: MatchOptions | None = take_match_options(context, options)
    if match is None:
        raise click.UsageError("plan is about a teacher: add --match TEACHER")
    recipe = take_recipe(options, data=data, match=True)
    return plan_command(PlanOptions(recipe=recipe, match=match, runs=runs or RUNS, **options))


@click.command("plan-accuracy")
@click.argument("runs", required=False, type=click.Path(path_type=Path))
@output_options
def plan_accuracy(*, runs: Path | None, output_format: str) -> int:
    """How well `plan` predicts the measured runs in a file, each teacher and data set from the others.

    Without a file it judges the runs that come with the package.
    """
    from prunnet_export.benchmarks.plan._accuracy import accuracy
    from prunnet_export.benchmarks.plan._options import RUNS

    return accuracy(runs or RUNS, output_format)
