"""The options of a teacher, and opening it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click
import msgspec

from prunnet_export._errors import InvalidInput, UsageError
from prunnet_export.preprocessing import parse_size
from prunnet_export.training._recipe import MatchSettings, Recipe

if TYPE_CHECKING:
    from prunnet_export.datasets import RetrievalData
    from prunnet_export.teachers import Teacher
    from prunnet_export.training._match import Match

F = TypeVar("F", bound=Callable[..., Any])
SELF = "self"
_SIZES = {"crop", "resize"}
# What follows from the teacher, or has no meaning with one.
_REFUSED = {
    "embedding_dim": ("--embedding-dim", "the embedding has the length of the teacher's vectors"),
    "distillation": ("--distillation", "every subnetwork learns from the teacher itself"),
}


@dataclass(frozen=True, kw_only=True)
class MatchOptions:
    """The options of a teacher, as the help of ``prunnet-train`` describes them."""

    match: str
    teacher_names: Path | None
    teacher_settings: Path | None
    teacher_options: dict[str, Any]
    views: int
    label_weight: float


def match_options(command: F) -> F:
    """Add the options of a teacher. Those of :class:`MatchOptions` become keyword arguments of these names."""
    options = (
        click.option(
            "--match",
            metavar="TEACHER",
            help="Answer a gallery that TEACHER made: a file or folder of its vectors (.npz, .npy, .parquet, FAISS,"
            " .safetensors), an .onnx file, a folder that prunnet-train wrote, timm:ARCHITECTURE, or self, the backbone"
            " with its --weights.",
        ),
        click.option(
            "--teacher-names",
            type=click.Path(path_type=Path),
            help="Names of the vectors, one a line, e.g. of an .npy.  [default: the file beside it]",
        ),
        click.option(
            "--teacher-settings",
            type=click.Path(path_type=Path),
            help="TOML file that says how a teacher that is a model takes images.",
        ),
        click.option(
            "--teacher-option",
            "teacher_options",
            multiple=True,
            metavar="KEY=VALUE",
            callback=_parse_options,
            help="A setting of this file, e.g. crop=224, fit=squash, mean=0.5,0.5,0.5 or weights=FILE. Repeatable.",
        ),
        click.option(
            "--views",
            type=click.IntRange(0, 1000),
            default=0,
            show_default=True,
            help="Versions of each image that a teacher that is a model embeds: the plain one and augmented ones. With"
            " 0 it embeds the plain images, and training augments them a little.",
        ),
        click.option(
            "--label-weight",
            type=click.FloatRange(0, 100),
            default=0.0,
            show_default=True,
            help="Weight of the cross-entropy of class labels, beside the distance to TEACHER's vectors.",
        ),
    )
    for option in reversed(options):
        command = option(command)
    return command


def take_match_options(context: click.Context, options: dict[str, Any]) -> MatchOptions | None:
    """Take the options of a teacher out of a command's options; None if no teacher is given.

    Raises:
        UsageError: an option does not go together with a teacher, or has no meaning without one.
    """
    taken = {name: options.pop(name) for name in MatchOptions.__dataclass_fields__}

    def is_given(name: str) -> bool:
        return context.get_parameter_source(name) is click.core.ParameterSource.COMMANDLINE

    if taken["match"] is None:
        for name in taken:
            if is_given(name):
                option = next(one.opts[0] for one in context.command.params if one.name == name)
                raise UsageError(
                    f"{option} says something about a teacher, but none is given", hint="add --match TEACHER"
                )
        return None
    for name, (option, reason) in _REFUSED.items():
        if is_given(name):
            raise UsageError(f"{option} cannot be given with --match: {reason}", hint=f"leave {option} out")
    return MatchOptions(**taken)


def open_match(
    options: MatchOptions,
    recipe: Recipe,
    data: RetrievalData,
    *,
    weights: Path | None,
    workers: int,
    progress: Callable[[int, int, str], None],
) -> tuple[Recipe, Match]:
    """The teacher's vectors of the training images, and the recipe that names the teacher.

    Args:
        options: The options.
        recipe: The recipe of the run.
        data: The images.
        weights: The weights that the run starts from.
        workers: Number of processes that a teacher that is a model embeds with.
        progress: Called with the finished images, all images and a text while it embeds.

    Raises:
        InvalidInput: the recipe cannot be trained on these images, the teacher cannot be read, or its vectors do not
            fit to the images.
    """
    from prunnet_export.training._held_out import held_out
    from prunnet_export.training._images import check_images
    from prunnet_export.training._match_file import match_file
    from prunnet_export.training._match_model import match_model

    learned = int((~held_out(data.train.relative_names)).sum())
    check_images(data, recipe, label_weight=options.label_weight, images=learned)
    file = vector_file(options)
    if file is not None:
        match = match_file(file, data.train, names=options.teacher_names)
    else:
        match = match_model(
            open_model(options, recipe, weights),
            data.train,
            views=options.views,
            seed=recipe.seed,
            flip=data.flip,
            workers=workers,
            progress=progress,
        )
    return with_teacher(recipe, match, options), match


def with_teacher(recipe: Recipe, match: Match, options: MatchOptions) -> Recipe:
    """The recipe of a run that learns from a teacher. Its embedding is as long as the teacher's vectors."""
    chosen = MatchSettings(
        teacher=match.name,
        kind=match.kind,
        sha256=match.sha256,
        views=options.views,
        label_weight=options.label_weight,
    )
    return msgspec.structs.replace(recipe, match=chosen, embedding_dim=match.targets.dim)


def vector_file(options: MatchOptions) -> Path | None:
    """The file of vectors that the options name; None if they name a model.

    Raises:
        InvalidInput: an option does not go together with this kind of teacher.
    """
    from prunnet_export.teachers import TIMM
    from prunnet_export.training._match_file import is_vector_file

    if options.match == SELF or options.match.startswith(TIMM) or not is_vector_file(options.match):
        if options.teacher_names is not None:
            raise InvalidInput(f"{options.match} is a model and needs no names", hint="leave --teacher-names out")
        return None
    if options.views or options.teacher_options or options.teacher_settings is not None:
        raise InvalidInput(
            f"{options.match} holds vectors and no model",
            hint="leave --views, --teacher-settings and --teacher-option out",
        )
    return Path(options.match)


def open_model(options: MatchOptions, recipe: Recipe, weights: Path | None) -> Teacher:
    """The model that the options name.

    Args:
        options: The options; their teacher is no file of vectors.
        recipe: The recipe of the run, for ``--match self``.
        weights: The weights that the run starts from, for ``--match self``.

    Raises:
        InvalidInput: the teacher cannot be loaded, or a setting does not apply to it.
        UnknownName: timm has no such architecture.
    """
    from prunnet_export.teachers import make_settings, open_teacher, teacher_settings
    from prunnet_export.training._self_teacher import SelfTeacher, check_weights

    if options.match == SELF:
        if options.teacher_options or options.teacher_settings is not None:
            raise InvalidInput(
                f"--match {SELF} takes images as the network does",
                hint="leave --teacher-settings and --teacher-option out; --crop-px, --mean and --std say it",
            )
        return SelfTeacher(recipe, check_weights(weights))
    given = make_settings(options.teacher_options, where="--teacher-option", texts=True)
    return open_teacher(
        options.match, settings=teacher_settings(options.match, given=given, file=options.teacher_settings)
    )


def _parse_options(_context: click.Context, _option: click.Parameter, texts: tuple[str, ...]) -> dict[str, Any]:
    """The values by key: sizes, texts, and lists of texts with commas between them."""
    parsed: dict[str, Any] = {}
    for text in texts:
        key, equals, value = text.partition("=")
        if not key or not equals or not value:
            raise InvalidInput(f"--teacher-option {text!r} is not KEY=VALUE", hint="e.g. --teacher-option crop=224")
        if key in _SIZES:
            parsed[key] = parse_size(value)
        else:
            parsed[key] = value.split(",") if "," in value else value
    return parsed
