"""The input and the output of an ONNX teacher, chosen without a guess."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from prunnet_export._errors import InvalidInput
from prunnet_export.teachers._settings import TeacherSettings

_INPUT_TYPES: dict[str, type[np.floating[Any]]] = {"tensor(float)": np.float32, "tensor(float16)": np.float16}
_OUTPUT_TYPES = {*_INPUT_TYPES, "tensor(double)"}
_IMAGE_RANK = 4
_TOKENS_RANK = 3
_VECTOR_RANK = 2


@dataclass(frozen=True)
class ImageInput:
    """The input that takes the images.

    Attributes:
        name: Its name.
        dtype: float32 or float16.
        batch: Images per call if the model fixes their number, else None.
        size: Height and width in pixels; None where the model does not fix them.
        channels_last: Whether its axes are [batch, height, width, 3].
    """

    name: str
    dtype: type[np.floating[Any]]
    batch: int | None
    size: tuple[int | None, int | None]
    channels_last: bool


def choose_input(model: str, inputs: Sequence[Any], settings: TeacherSettings) -> ImageInput:
    """The input for the images.

    Args:
        model: Name of the model, for error messages.
        inputs: The inputs that have no default, as onnxruntime gives them.
        settings: The layout of the input.

    Raises:
        InvalidInput: another input has to be filled too, or the input takes no images.
    """
    names = ", ".join(one.name for one in inputs)
    if len(inputs) != 1:
        raise InvalidInput(
            f"{model} takes {len(inputs)} inputs ({names or 'none'})",
            hint="export only the part that takes images, or give the other inputs default values",
        )
    [one] = inputs
    if one.type not in _INPUT_TYPES:
        raise InvalidInput(f"{model}: its input is {one.type}", hint="export it with an input of float or float16")
    sizes = [size if isinstance(size, int) and size > 0 else None for size in one.shape]
    last = settings.layout == "nhwc"
    hint = 'it has to take [batch, 3, height, width], or [batch, height, width, 3] with layout = "nhwc"'
    if len(sizes) != _IMAGE_RANK:
        raise InvalidInput(f"{model}: its input has the shape {_shown(one.shape)}", hint=hint)
    batch, channels, height, width = (sizes[axis] for axis in ((0, 3, 1, 2) if last else (0, 1, 2, 3)))
    if channels not in {None, 3}:
        raise InvalidInput(f"{model}: its input has the shape {_shown(one.shape)}", hint=hint)
    return ImageInput(one.name, _INPUT_TYPES[one.type], batch, (height, width), last)


def choose_output(model: str, outputs: Sequence[Any], settings: TeacherSettings) -> str:
    """The name of the output that is the vector.

    Raises:
        InvalidInput: the settings choose none of several outputs, or the output has no floating-point numbers.
    """
    names = ", ".join(f"{one.name} {_shown(one.shape)}" for one in outputs)
    if settings.output is None and len(outputs) > 1:
        raise InvalidInput(f"{model} gives {len(outputs)} outputs ({names})", hint="name one with the key output")
    chosen = [one for one in outputs if settings.output in {None, one.name}]
    if not chosen:
        raise InvalidInput(f"{model} has no output {settings.output!r}", hint=f"its outputs: {names}")
    if chosen[0].type not in _OUTPUT_TYPES:
        raise InvalidInput(f"{model}: its output {chosen[0].name} is {chosen[0].type}", hint="vectors are float")
    return str(chosen[0].name)


def to_vectors(model: str, output: npt.NDArray[Any], settings: TeacherSettings) -> npt.NDArray[np.float32]:
    """The output as float32 [n, dim], pooled as the settings say.

    Raises:
        InvalidInput: the output is no vector, and the settings do not say how it becomes one.
    """
    if settings.pool == "average" and output.ndim == _IMAGE_RANK:
        output = output.astype(np.float32).mean(axis=(1, 2) if settings.layout == "nhwc" else (2, 3))
    elif settings.pool == "first-token" and output.ndim == _TOKENS_RANK:
        output = output[:, 0]
    elif settings.pool is not None or output.ndim != _VECTOR_RANK or not output.shape[1]:
        hints = {
            _IMAGE_RANK: 'a feature map: pool = "average" takes its mean over height and width',
            _TOKENS_RANK: 'a sequence of tokens: name another output, or take one token with pool = "first-token"',
            _VECTOR_RANK: "it is a vector already: leave pool out",
        }
        raise InvalidInput(
            f"{model}: its output has the shape {_shown(output.shape)}"
            + (f", which pool = {settings.pool!r} does not fit" if settings.pool else ""),
            hint=hints.get(output.ndim if output.size else 0, "it has to give [batch, dimensions]"),
        )
    return np.ascontiguousarray(output, np.float32)


def _shown(shape: Sequence[Any]) -> str:
    return f"[{', '.join(str(size or '?') for size in shape)}]"
