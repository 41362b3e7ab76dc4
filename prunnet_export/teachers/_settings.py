"""What a user says about a teacher: how it takes images, and which of its outputs is the vector."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

import msgspec

from prunnet_export._documents import read_toml
from prunnet_export._errors import InvalidInput
from prunnet_export.preprocessing import LARGEST_SIDE, Fit, Size, sides

Channels = tuple[float, float, float]


class TeacherSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Settings of a teacher. None means that the user said nothing.

    Attributes:
        resize: Size that an image is resized for before the crop, pixels; see :class:`Preprocessing`.
        crop: Size of the centre crop: the side of a square, or height and width, pixels.
        fit: How an image is fitted to ``resize``; see :class:`Preprocessing`.
        mean: Mean of each channel, in the order of ``channels`` and the units of ``range``.
        std: Standard deviation of each channel, in the order of ``channels`` and the units of ``range``.
        range: Largest value of a pixel before mean and std are applied.
        channels: Order of the colours.
        interpolation: How images are resized, with antialiasing.
        layout: Order of the axes of an ONNX model's input.
        output: Name of the ONNX output that is the vector.
        pool: How an ONNX output of higher rank becomes one vector: ``average`` over the height and width of a feature
            map, or ``first-token`` of a sequence of tokens.
        weights: File of the weights of a timm architecture.

    Raises:
        InvalidInput: a size is out of range, a number is not finite, or a standard deviation is not positive.
    """

    # No limits in these types: msgspec 0.23 damages memory for a union of a limited number and a tuple.
    resize: Size | None = None
    crop: Size | None = None
    fit: Fit | None = None
    mean: Channels | None = None
    std: Channels | None = None
    range: Literal[1, 255] | None = None
    channels: Literal["rgb", "bgr"] | None = None
    interpolation: Literal["bilinear", "bicubic"] | None = None
    layout: Literal["nchw", "nhwc"] | None = None
    output: str | None = None
    pool: Literal["average", "first-token"] | None = None
    weights: str | None = None

    def __post_init__(self) -> None:
        for name, size in (("resize", self.resize), ("crop", self.crop)):
            if size is not None and not all(1 <= side <= LARGEST_SIDE for side in sides(size)):
                raise InvalidInput(f"{name} of the teacher is {size}", hint=f"give 1 to {LARGEST_SIDE} pixels")
        if not all(map(math.isfinite, [*(self.mean or ()), *(self.std or ())])) or min(self.std or (1,)) <= 0:
            raise InvalidInput(
                f"mean {self.mean} and std {self.std} of the teacher",
                hint="give finite numbers, and a std above 0",
            )

    def given(self) -> dict[str, object]:
        """The settings that the user gave, by name."""
        return {name: value for name, value in msgspec.structs.asdict(self).items() if value is not None}

    def over(self, base: TeacherSettings) -> TeacherSettings:
        """These settings, and those of ``base`` where these say nothing."""
        return msgspec.structs.replace(base, **self.given())


_WANTED = {
    "resize": "a side in pixels, or height and width",
    "crop": "a side in pixels, or height and width",
    "fit": "crop, squash or pad",
    "mean": "three numbers, one for each colour",
    "std": "three numbers above 0, one for each colour",
    "range": "1 or 255",
    "channels": "rgb or bgr",
    "interpolation": "bilinear or bicubic",
    "layout": "nchw or nhwc",
    "output": "the name of an output, a text",
    "pool": "average or first-token",
    "weights": "the path of a file, a text",
}
_SHOWN = 80  # characters of a wrong value


def make_settings(values: Mapping[str, object], *, where: str, texts: bool = False) -> TeacherSettings:
    """Settings from values that a user wrote.

    Args:
        values: The values by key.
        where: Where they are written, for messages.
        texts: Whether numbers may be written as texts.

    Raises:
        InvalidInput: a key is unknown, or a value is of another kind or out of range.
    """
    for key, value in values.items():
        if key not in _WANTED:
            raise InvalidInput(f"{where}: unknown field {key[:_SHOWN]!r}", hint=f"known keys: {', '.join(_WANTED)}")
        try:
            msgspec.convert({key: value}, TeacherSettings, strict=not texts)
        except msgspec.ValidationError:
            written = ",".join(map(str, value)) if texts and isinstance(value, list) else value
            raise InvalidInput(f"{where}: {key} is {repr(written)[:_SHOWN]}", hint=f"{key} is {_WANTED[key]}") from None
        except InvalidInput as error:
            raise InvalidInput(f"{where}: {error.message}", hint=error.hint) from None
    return msgspec.convert(dict(values), TeacherSettings, strict=not texts)


def read_teacher_settings(file: Path) -> TeacherSettings:
    """The settings in a TOML file. A relative path of ``weights`` is relative to the folder of the file.

    Raises:
        InvalidInput: the file cannot be read or parsed, has an unknown key, or a value is out of range.
    """
    table = read_toml(file, hint="correct the file of the teacher's settings")
    settings = make_settings(table, where=str(file))
    if settings.weights is None:
        return settings
    return msgspec.structs.replace(settings, weights=str(file.parent / settings.weights))


def is_onnx(spec: str) -> bool:
    """Whether a teacher is given by an ONNX file."""
    return spec.lower().endswith(".onnx")


def teacher_settings(spec: str, *, given: TeacherSettings, file: Path | None = None) -> TeacherSettings:
    """All settings of a teacher: those of the command line over those of its TOML file.

    Args:
        spec: The teacher, as :func:`open_teacher` takes it.
        given: Settings of the command line.
        file: The TOML file; by default ``NAME.toml`` beside ``NAME.onnx``, if it exists.

    Raises:
        InvalidInput: for the reasons of :func:`read_teacher_settings`.
    """
    beside = Path(spec).with_suffix(".toml") if is_onnx(spec) else None
    if file is None and beside is not None and beside.is_file():
        file = beside
    return given if file is None else given.over(read_teacher_settings(file))
