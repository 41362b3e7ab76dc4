"""Loaded models: what one has to look like, and what a batch has to look like."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from prunnet_export._errors import InvalidInput

Batch = npt.NDArray[np.float32]

_CHANNELS = 3
_INPUT_RANK = 4
_OUTPUT_RANK = 2
_LINE = 160  # characters of an engine's message that are shown

FOREIGN = "it may be truncated, or written for another runtime; export it again"
"""The hint for a file that an engine cannot load."""

MATRIX = 2
"""Dimensions from which on a constant counts as weights."""


@dataclass(frozen=True)
class Shape:
    """Input and output of an embedding network: float32 [batch, 3, height, width] to float32 [batch, dim].

    Attributes:
        batch: Images per call where the model fixes it, else None.
        height: Pixels.
        width: Pixels.
        dim: Length of an embedding.
    """

    batch: int | None
    height: int
    width: int
    dim: int


def embedding_shape(
    model_file: Path,
    inputs: Sequence[Sequence[int | None]],
    outputs: Sequence[Sequence[int | None]],
    *,
    float32: bool,
) -> Shape:
    """The shape of a model, where it is an embedding network.

    Args:
        model_file: For the error.
        inputs: One shape per input; None stands for an axis that the model leaves open.
        outputs: The same for the outputs.
        float32: All inputs and outputs are float32.

    Raises:
        InvalidInput: it is something else.
    """
    if float32 and len(inputs) == len(outputs) == 1:
        source, result = inputs[0], outputs[0]
        if len(source) == _INPUT_RANK and len(result) == _OUTPUT_RANK and source[1] == _CHANNELS:
            batch, _, height, width = source
            dim = result[1]
            if height and width and dim:
                return Shape(batch, height, width, dim)
    described = f"{[list(s) for s in inputs]} -> {[list(s) for s in outputs]}".replace("None", "?")
    raise InvalidInput(
        f"{model_file.name}: not an embedding network ({described}{'' if float32 else ', not all float32'})",
        hint="it has to map one float32 [batch, 3, height, width] to one float32 [batch, dim]",
    )


class Session(ABC):
    """A model that is loaded and ready to run on this device.

    It refuses a batch of the wrong shape or type before the engine sees it.

    Attributes:
        shape: What the model takes and gives.
    """

    def __init__(self, shape: Shape) -> None:
        self.shape = shape

    def run(self, images: Batch) -> Batch:
        """Embeddings of a batch.

        Args:
            images: float32 [n, 3, height, width] in 0..1, RGB, n >= 1.

        Returns:
            float32 [n, dim], L2-normalised by the graph; the caller owns it.

        Raises:
            InvalidInput: the batch has another shape or type, or the engine fails on it.
        """
        shape = self.shape
        wanted = (_CHANNELS, shape.height, shape.width)
        if images.dtype != np.float32 or images.ndim != _INPUT_RANK or images.shape[1:] != wanted:
            raise InvalidInput(
                f"the batch is {images.dtype} {list(images.shape)}",
                hint=f"this model takes float32 [n, {', '.join(map(str, wanted))}]",
            )
        if not len(images) or shape.batch not in {None, len(images)}:
            count = "one or more" if shape.batch is None else f"exactly {shape.batch}"
            raise InvalidInput(f"the batch has {len(images)} images", hint=f"this model takes {count} at a time")
        return self._infer(np.ascontiguousarray(images))

    @abstractmethod
    def _infer(self, images: Batch) -> Batch:
        """Embeddings of a contiguous batch of the right shape."""


def check_file(file: Path) -> None:
    """Refuse a model file that is not there.

    Raises:
        InvalidInput: there is no such file.
    """
    if not file.is_file():
        raise InvalidInput(f"{file}: no such model file", hint="check the path")


def check_threads(threads: int | None) -> int | None:
    """The number of threads.

    Raises:
        InvalidInput: it is not positive.
    """
    if threads is not None and threads < 1:
        raise InvalidInput(f"{threads} threads", hint="give 1 or more, or leave it to the engine")
    return threads


def no_threads(threads: int | None, engine: str) -> None:
    """Refuse a number of threads for an engine that has none to set.

    Raises:
        InvalidInput: a number is given.
    """
    if check_threads(threads) is not None:
        raise InvalidInput(f"{engine} has no number of threads to set", hint="leave out --threads")


def one_line(error: BaseException) -> str:
    """The line of an engine's message that says something, at most 160 characters."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    telling = [line for line in lines if not line.startswith(("Exception from ", "Check '", "FrontEnd API "))]
    line = (telling or lines or [type(error).__name__])[0].rsplit(" : ", 1)[-1]
    return line if len(line) <= _LINE else line[: _LINE - 3] + "..."
