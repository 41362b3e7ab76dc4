"""The options of commands that train. Their defaults are those of the :class:`Recipe`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar, get_args

import click
import msgspec

from prunnet_export._errors import InvalidInput
from prunnet_export._stored_paths import stored_path
from prunnet_export.cli import backbone_options, number_list, size
from prunnet_export.network_config import LEAST_DIMENSIONS, MOST_DIMENSIONS, DataSource
from prunnet_export.preprocessing import IMAGENET_MEAN, IMAGENET_STD, Fit, Preprocessing, Size, sides
from prunnet_export.training._optimization import LEARNING_RATE_OF_WEIGHTS, OPTIMIZER_OF_MATCH, optimization
from prunnet_export.training._recipe import (
    LEARNING_RATE,
    OPTIMIZER,
    SCHEDULE,
    WEIGHT_DECAY,
    Optimizer,
    Recipe,
    Schedule,
)

F = TypeVar("F", bound=Callable[..., Any])
_DEFAULTS = {field.name: field.default for field in msgspec.structs.fields(Recipe)}
_DEFAULTS["capacities"] = ",".join(map(str, _DEFAULTS["capacities"]))  # the format of the command line


def recipe_option(field: str, *names: str, **settings: Any) -> Callable[[F], F]:
    """The option for a field of the recipe. ``names`` and ``settings`` are passed to :func:`click.option`."""
    settings = {"default": _DEFAULTS[field], "show_default": True, **settings}
    return click.option(*(names or (f"--{field.replace('_', '-')}",)), **settings)


def weights_options(command: F) -> F:
    """Add the options of weights that exist: ``--weights``, and the ``--mean`` and ``--std`` that they expect."""
    options = (
        click.option(
            "--weights",
            type=click.Path(path_type=Path),
            help="File that the backbone starts from: safetensors, or written by torch.save. Scores start from it too.",
        ),
        click.option(
            "--mean",
            default=",".join(map(str, IMAGENET_MEAN)),
            show_default=True,
            callback=_channels,
            help="Mean of red, green and blue that is subtracted, for values in 0..1. Weights have theirs.",
        ),
        click.option(
            "--std",
            default=",".join(map(str, IMAGENET_STD)),
            show_default=True,
            callback=_channels,
            help="Standard deviation of red, green and blue to divide by, for values in 0..1. Weights have theirs.",
        ),
    )
    for option in reversed(options):
        command = option(command)
    return command


def _channels(context: click.Context, option: click.Parameter, text: str) -> tuple[float, float, float]:
    """Callback of an option with a value for each of the three channels."""
    values = number_list(context, option, text)
    if len(values) != 3 or not all(0 <= value <= 1 for value in values):  # noqa: PLR2004  # red, green, blue
        raise InvalidInput(
            f"{option.opts[0]} {text!r} is not three numbers between 0 and 1",
            hint="e.g. 0.485,0.456,0.406; divide values between 0 and 255 by 255",
        )
    return values


def take_recipe(options: dict[str, Any], *, data: str, match: bool, before: Recipe | None = None) -> Recipe:
    """Take the options of a recipe, and those of its images, out of a command's options.

    Args:
        options: The options of :func:`recipe_options` and :func:`weights_options`, ``layout``, and more of its fields.
        data: The data set.
        match: Whether the run has a teacher.
        before: The recipe of the run that is resumed. What the user does not say about the optimization is as there.

    Raises:
        InvalidInput: a number is not finite, or the crop does not fit.
    """
    layout = options.pop("layout")
    options.update(optimization(options, match=match, weights=options["weights"] is not None, before=before))
    return Recipe(
        data=DataSource(source=stored_path(data), layout=layout, seed=options["seed"]),
        preprocessing=take_preprocessing(options, data=data, layout=layout),
        **{field: options.pop(field) for field in Recipe.__struct_fields__ if field in options},
    )


def take_preprocessing(options: dict[str, Any], *, data: str, layout: str | None) -> Preprocessing:
    """Take the options of the images out of a command's options.

    What the user does not say is decided by the layout of the data set.

    Args:
        options: ``crop_px``, ``resize_px`` and ``fit``, and ``mean`` and ``std`` if the command has them.
        data: The data set.
        layout: Its layout, if the user gave it.

    Raises:
        InvalidInput: the sizes do not fit each other, or there is no such data set.
        UnknownName: there is no such layout.
    """
    crop, resize, fit = (options.pop(name) for name in ("crop_px", "resize_px", "fit"))
    if crop is None or fit is None:
        from prunnet_export.datasets import default_input

        default_crop, default_fit = default_input(data, layout=layout)
        crop, fit = crop or default_crop, fit or default_fit
    if resize is None:
        resize = _enlarged(crop) if fit == "crop" else crop
    colours = {name: options.pop(name) for name in ("mean", "std") if name in options}
    return Preprocessing(crop=crop, resize=resize, fit=fit, **colours)


def _enlarged(crop: Size) -> Size:
    """The size of the frame from which a training takes random crops: 8/7 of them."""
    height, width = sides(crop)
    return round(height * 8 / 7), round(width * 8 / 7)


def _by_optimizer(values: dict[Optimizer, float]) -> str:
    return ", ".join(f"{value:g} ({name})" for name, value in values.items())


def recipe_options(command: F) -> F:
    """Add the options of every command that trains: fields of the recipe, ``crop_px``, ``resize_px`` and ``fit``.

    Those of the optimizer are None if the user does not give them; see :func:`optimization`.
    """
    options = (
        recipe_option(
            "backbone", help="A timm architecture, resnet18-no-maxpool, or the backbone of an installed package."
        ),
        backbone_options,
        recipe_option("embedding_dim", type=click.IntRange(LEAST_DIMENSIONS, MOST_DIMENSIONS)),
        click.option(
            "--crop-px",
            metavar="SIZE",
            callback=size,
            help="Size of the input image: 224, or 256x128 for height x width.  [default: 224, or the layout's]",
        ),
        click.option(
            "--fit",
            type=click.Choice(get_args(Fit)),
            help="How an image is fitted to --resize-px: crop covers it, squash changes the ratio, pad puts white"
            " around.  [default: crop, or the layout's]",
        ),
        click.option(
            "--resize-px",
            metavar="SIZE",
            callback=size,
            help="Size before the crop; for a square the shorter side.  [default: 8/7 of --crop-px for crop,"
            " --crop-px for squash and pad]",
        ),
        recipe_option("channel_multiple", type=click.IntRange(1, 256), help="Kept widths are multiples of this."),
        recipe_option(
            "random_capacities",
            type=click.IntRange(0, 16),
            help="Number of additional subnetworks in every step, at random capacities above the smallest.",
        ),
        recipe_option(
            "dense_first",
            type=click.FloatRange(0, 1, max_open=True),
            help="Share of the steps, from the start, in which the dense network is trained alone.",
        ),
        recipe_option(
            "distillation",
            type=click.FloatRange(0, 100),
            help="Weight of the distance to the dense embedding in a subnetwork's loss.",
        ),
        recipe_option("batch_size", type=click.IntRange(2), help="Images in a step, of all processes together."),
        recipe_option(
            "optimizer",
            type=click.Choice(get_args(Optimizer)),
            default=None,
            help=f"sgd has momentum 0.9.  [default: {OPTIMIZER}; with a teacher {OPTIMIZER_OF_MATCH}]",
        ),
        recipe_option(
            "learning_rate",
            type=click.FloatRange(0, min_open=True),
            default=None,
            help=f"The highest learning rate.  [default: {_by_optimizer(LEARNING_RATE)}; from weights that exist"
            f" {_by_optimizer(LEARNING_RATE_OF_WEIGHTS)}]",
        ),
        recipe_option(
            "schedule",
            type=click.Choice(get_args(Schedule)),
            default=None,
            help="How the learning rate falls: along a cosine, or to a tenth after each quarter of the steps."
            f"  [default: {SCHEDULE}]",
        ),
        recipe_option(
            "weight_decay",
            type=click.FloatRange(0),
            default=None,
            help=f"Weight decay of weights and scores.  [default: {_by_optimizer(WEIGHT_DECAY)}]",
        ),
    )
    for option in reversed(options):
        command = option(command)
    return command
