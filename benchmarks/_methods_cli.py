"""The command ``prunnet-bench methods``, and the options of every command that trains methods on equal terms."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from prunnet_export._stored_paths import stored_path
from prunnet_export.cli import number_list, output_options
from prunnet_export.network_config import DataSource
from prunnet_export.training import (
    match_options,
    optimization,
    recipe_option,
    recipe_options,
    take_match_options,
    take_preprocessing,
)

if TYPE_CHECKING:
    from prunnet_export.benchmarks.methods import Settings

Command = TypeVar("Command", bound=Callable[..., object])


def comparison_options(kind: str) -> Callable[[Command], Command]:
    """The options of a comparison; the finished runs lie in a folder ``runs/<kind>/<data>`` by default."""
    options = (
        click.option("--data", required=True, help="Images: a folder, or `glyphs`, which is built in."),
        click.option("--layout", help="Layout of --data, if the tool should not guess it."),
        click.option(
            "--steps",
            type=click.IntRange(1),
            required=True,
            help="Training steps of each network that a method trains.",
        ),
        click.option(
            "--seeds", type=click.IntRange(1), default=1, show_default=True, help="Number of seeds: 0, 1, ..."
        ),
        recipe_options,
        recipe_option(
            "capacities",
            "--train-capacities",
            callback=number_list,
            help="Capacities to train, if the method lets you choose.",
        ),
        click.option(
            "--student-capacities",
            callback=lambda context, option, text: None if text is None else number_list(context, option, text),
            help="Capacities of methods with one network for each capacity.  [default: those of --train-capacities]",
        ),
        click.option(
            "--capacities",
            callback=number_list,
            default="1,0.8,0.6,0.4,0.2,0.1",
            show_default=True,
            help="Capacities to evaluate; 1 is always evaluated.",
        ),
        click.option("--max-queries", type=click.IntRange(2), default=100_000, show_default=True),
        click.option("--max-gallery", type=click.IntRange(2), default=1_000_000, show_default=True),
        click.option(
            "--out",
            type=click.Path(path_type=Path),
            help=f"Folder of the finished runs.  [default: runs/{kind}/DATA]",
        ),
    )

    def add(command: Command) -> Command:
        for option in reversed(options):
            command = option(command)
        return command

    return add


def take_settings(data: str, layout: str | None, fields: dict[str, Any], *, match: bool) -> Settings:
    """The settings of a comparison from its options; those of the preprocessing are taken out of ``fields``."""
    from prunnet_export.benchmarks.methods import Settings

    return Settings(
        data=DataSource(source=stored_path(data), layout=layout),
        preprocessing=take_preprocessing(fields, data=data, layout=layout),
        widths="by cost and rank",
        **fields | optimization(fields, match=match, weights=False),
    )


def runs_folder(out: Path | None, kind: str, data: str) -> Path:
    """The folder of the finished runs."""
    return out or Path("runs") / kind / Path(data).resolve().name


@click.command()
@click.option(
    "--methods", default="all", show_default=True, help="Names with commas between them; a wrong name lists all."
)
@comparison_options("methods")
@match_options
@output_options
@click.pass_context
def methods(
    context: click.Context,
    /,
    *,
    data: str,
    layout: str | None,
    methods: str,
    seeds: int,
    out: Path | None,
    output_format: str,
    **fields: Any,
) -> int:
    """Train methods on equal terms and compare their self-test and cross-test.

    Every method gets the same backbone, batches, steps, optimizer and seeds. Each finished run is one file in --out;
    the same command again trains only the missing runs.

    With --match TEACHER other methods are compared: their queries search the gallery that TEACHER makes of --data,
    and they learn from its vectors, without labels.
    """
    match = take_match_options(context, fields)

    from prunnet_export.benchmarks._methods_table import MethodsOptions, methods_table

    options = MethodsOptions(
        settings=take_settings(data, layout, fields, match=match is not None),
        methods=tuple(name.strip() for name in methods.split(",")),
        seeds=seeds,
        match=match,
        out=runs_folder(out, "methods", data),
        output_format=output_format,
    )
    return methods_table(options)
